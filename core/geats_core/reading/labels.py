"""Labels of VMs: who owns one, what it is for. People and programs sort by them."""

import re
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from returns.result import Success

from geats_core.reading import fields
from geats_core.reading.checked import Checked, problem, shown
from geats_core.reading.fields import Reader, of_mapping
from geats_core.reading.schemas import by_name, taking, text_matching
from geats_core.reading.values import dataclass

Labels: TypeAlias = tuple[tuple[str, str], ...]  # sorted, each name once

NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_./-]{0,61}[A-Za-z0-9])?")
WORDS = "a label's name of up to 63 letters, digits, '-', '_', '.' and '/'"
NO_LABELS: Labels = ()


@taking(text_matching(NAME.pattern, WORDS))
def label_name(path: str, raw: object) -> Checked[str]:
    """The name of a label, such as ``owner`` or ``example.org/tenant``."""
    if isinstance(raw, str) and NAME.fullmatch(raw):
        return Success(raw)
    return problem(path, f"must be {WORDS}, got {shown(raw)}")


@of_mapping
def _labels(read: Reader) -> Checked[Labels]:
    names = [read.keep(label_name(read.at(fields.printable(k)), k), "") for k in read.raw]
    pairs = tuple((name, read.take(name, fields.text, "")) for name in sorted(filter(None, names)))
    return read.checked(pairs)


labels = taking(by_name(label_name.schema(), fields.text.schema()))(_labels)


@dataclass(frozen=True, slots=True)
class Labelled:
    """Those that have a label of that name; with a ``value``, only if it is this one."""

    name: str
    value: str | None = None

    def picks(self, labels: Mapping[str, object]) -> bool:
        """Whether one with these *labels* is meant."""
        return self.name in labels and self.value in (None, labels[self.name])


@taking({"type": "string"})
def labelled(path: str, raw: object) -> Checked[Labelled]:
    """A label that VMs must have: ``owner=ada``, or ``owner`` with any value."""
    name, equals, value = raw.partition("=") if isinstance(raw, str) else ("", "", "")
    match label_name(path, name), fields.text(path, value):
        case Success(name), Success(value):
            return Success(Labelled(name, value if equals else None))
        case _:
            return problem(path, f"must be a label such as owner=ada or owner, got {shown(raw)}")


def alike(name: str, of_vms: Iterable[tuple[str, Labels]]) -> dict[str, frozenset[str]]:
    """By the value of the label *name*, the VMs that have it."""
    found: dict[str, set[str]] = {}
    for vm, its in of_vms:
        value = dict(its).get(name)
        if value is not None:
            found.setdefault(value, set()).add(vm)
    return {value: frozenset(vms) for value, vms in found.items()}
