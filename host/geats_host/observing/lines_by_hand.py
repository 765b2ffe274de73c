"""Lines that a person added to a VM that is undefined: remembered until it is defined again.

Theory of operation
-------------------
They are noted before the driver forgets the VM, and the note is removed after the VM was defined
again with them. So wherever that is interrupted, they are in the note or with the driver. What the
driver has counts, if it has anything.
"""

import json
from collections.abc import Mapping

from geats_host.drivers import DriverSeen
from geats_host.registry import Registry

KIND = "by hand"  # of the registry's notes: the key of each is the name of a VM


def noted(registry: Registry) -> Mapping[str, tuple[str, ...]]:
    """The lines of each VM that has a note."""
    return {vm: _lines(text) for vm, text in registry.notes(KIND).items()}


def note(registry: Registry, vm: str, lines: tuple[str, ...]) -> None:
    """Remember them, durably; if a VM has none, it needs no note."""
    if lines:
        registry.note(KIND, vm, json.dumps(lines))
    else:
        registry.forget_note(KIND, vm)


def seen_of(seen: DriverSeen | None, noted_: tuple[str, ...]) -> tuple[str, ...]:
    """Those that the VM has now."""
    if seen is None:
        return noted_
    if seen.foreign:
        return ()
    return seen.by_hand if seen.by_hand or seen.defined is not None else noted_


def _lines(text: str) -> tuple[str, ...]:
    """What is no list of lines is none: somebody changed the registry by hand."""
    try:
        lines = json.loads(text)
    except ValueError:
        return ()
    return tuple(str(line) for line in lines) if isinstance(lines, list) else ()
