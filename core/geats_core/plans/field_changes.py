"""The parts of a changed field that differ, such as one address of one NIC among several."""

from collections.abc import Iterable, Iterator, Mapping

from geats_core.planning.spec_changes import Change, changes, in_short, keeping_ids
from geats_core.reading.values import dataclass
from geats_core.vm.observation import Observation
from geats_core.vm.spec import VMSpec

NAMES = ("name", "target", "mount", "path")  # what the entries of a list are told apart by


@dataclass(frozen=True, slots=True)
class Difference:
    """What is another value at one path, such as ``nics.eth0.addresses``."""

    path: str
    old: object
    new: object

    def __str__(self) -> str:
        match self.old, self.new:
            case None, dict() as new:
                return f"{self.path} added {_added(new)}"
            case dict(), None:
                return f"{self.path} removed"
            case list() as old, list() as new:
                return f"{self.path} {_of_lists(old, new)}"
            case _:
                return f"{self.path} {_word(self.old)} → {_word(self.new)}"


def differences_of(change: Change) -> tuple[Difference, ...]:
    """The smallest parts of the field that differ, in the order of the field."""
    return tuple(_differences(change.field, change.old, change.new))


def unlike(declared: VMSpec, have: Observation) -> tuple[Difference, ...]:
    """The parts in which a VM is not as *declared*: what it runs with, and what is written of it.

    One that is not defined differs in that alone.
    """
    written = have.defined or have.recorded
    if written is None:
        return (Difference("defined", False, True),)
    declared = keeping_ids(declared, have)
    found = (*changes(have.in_effect or written, declared), *changes(written, declared))
    parts = [part for change in found for part in differences_of(change)]
    return tuple({part.path: part for part in reversed(parts)}.values())[::-1]


def undeclared(have: Observation) -> tuple[Difference, ...]:
    """How a VM differs that nobody declared: it is there, unless nothing but volumes is."""
    return (Difference("defined", True, False),) if have.has_power else ()


def _differences(path: str, old: object, new: object) -> Iterator[Difference]:
    match _by_name(old), _by_name(new):
        case dict() as before, dict() as now:
            for key in {**before, **now}:
                if before.get(key) != now.get(key):
                    yield from _differences(f"{path}.{key}", before.get(key), now.get(key))
        case _:
            yield Difference(path, old, new)


def _by_name(value: object) -> Mapping[str, object] | None:
    """A mapping as it is, and a list of mappings with names by these; None if it is neither."""
    if isinstance(value, dict):
        return value
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        return None
    for key in NAMES:
        names = [each.get(key) for each in value]
        if None not in names and len(set(names)) == len(names):
            return {str(name): each for name, each in zip(names, value, strict=True)}
    return None


def _only(these: Iterable[object], those: list[object]) -> list[object]:
    return [each for each in these if each not in those]


def _of_lists(old: list[object], new: list[object]) -> str:
    gone, came = _only(old, new), _only(new, old)
    if gone and came:
        return f"{_items(gone)} → {_items(came)}"
    if gone or came:
        return f"added {_items(came)}" if came else f"removed {_items(gone)}"
    return f"{_items(old)} → {_items(new)}"


def _items(items: list[object]) -> str:
    return ", ".join(in_short([item])[1:-1] for item in items)


def _added(entry: dict[str, object]) -> str:
    """What an entry says, such as a NIC; of entries by name, such as users, their names."""
    if any(key in entry for key in NAMES):
        return f"({in_short([entry])[1:-1]})"
    if entry and all(isinstance(each, dict) for each in entry.values()):
        return ", ".join(entry)
    return in_short(entry)


def _word(value: object) -> str:
    return _items(value) if isinstance(value, list) else in_short(value)
