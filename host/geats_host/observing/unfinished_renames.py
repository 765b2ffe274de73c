"""Which VMs are being renamed: remembered from the first step on, until the last is done.

Theory of operation
-------------------
The note is written before anything has the new name, and removed once nothing has the old one. So
wherever a renaming is interrupted, the host knows of both names that they are one VM, and that the
same renaming has to be asked for again.
"""

from collections.abc import Container, Mapping

from geats_core.vm.observation import Renaming
from geats_host.registry import Registry

KIND = "renaming"  # of the registry's notes: the key of each is the new name, its text the old one


def noted(registry: Registry, known: Container[str]) -> Mapping[str, Renaming]:
    """What is being renamed, by both names; not if nothing of either is *known* any more."""
    found: dict[str, Renaming] = {}
    for new, old in registry.notes(KIND).items():
        if new in known or old in known:
            found |= dict.fromkeys((old, new), Renaming(old, new))
    return found


def note(registry: Registry, this: Renaming) -> None:
    """Remember it, durably, unless it is noted."""
    if registry.notes(KIND).get(this.new_name) != this.old_name:
        registry.note(KIND, this.new_name, this.old_name)


def forget(registry: Registry, this: Renaming) -> None:
    """It is done."""
    registry.forget_note(KIND, this.new_name)
