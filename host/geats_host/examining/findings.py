"""What was found on a host, how bad it is, and where that is read from."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

TOP = Path("/")


class Health(StrEnum):
    """How bad a finding is."""

    WELL = "well"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was checked, what was found, and how to correct it (empty if it is well)."""

    what: str
    health: Health
    found: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class HostFiles:
    """Where a host tells of itself; another root is for tests."""

    root: Path = TOP

    @property
    def is_this_host(self) -> bool:
        """Whether things can be tried: files of another root are only read."""
        return self.root == TOP

    def text(self, path: str) -> str | None:
        """What the file contains; None if it is not there."""
        try:
            return (self.root / path).read_text().strip()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def number(self, path: str) -> int | None:
        """The number that the file holds."""
        text = self.text(path)
        return int(text) if text and text.isdecimal() else None
