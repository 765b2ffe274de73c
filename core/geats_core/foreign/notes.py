"""What became of each key of what another program wrote: the notes that an import leaves."""

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import field
from typing import Any, TypeAlias

from geats_core.reading.checked import Problems
from geats_core.reading.fields import printable
from geats_core.reading.values import dataclass

Written: TypeAlias = Mapping[Any, object]
Plain: TypeAlias = dict[str, object]
Pillar: TypeAlias = dict[str, Plain]

UNKNOWN = "is not known, nor was it to the first geats"


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What became of one key: ``to`` is where it went in the pillar, None is nowhere."""

    file: str
    key: str
    to: str | None
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What stands under ``geats`` now, a note for each key, and what is still wrong."""

    geats: Mapping[str, object]
    notes: tuple[Note, ...]
    problems: Problems


@dataclasses.dataclass(slots=True)
class Taken:
    """One file, whose keys are taken out one by one."""

    file: str
    notes: list[Note] = field(default_factory=list)

    def went(self, key: str, to: str, why: str = "") -> None:
        """Note that *key* is *to* be found there."""
        self.notes.append(Note(file=self.file, key=key, to=to, why=why))

    def left(self, key: str, why: str) -> None:
        """Note that *key* is nowhere."""
        self.notes.append(Note(file=self.file, key=key, to=None, why=why))

    def rest(self, at: str, raw: Written, known: Collection[object], why: str = UNKNOWN) -> None:
        """Note every key of *raw* but those that are *known*."""
        for key in raw:
            if key not in known:
                self.left(f"{at}{printable(key)}", why)
