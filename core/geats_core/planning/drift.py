"""How far a VM is from what is said of it."""

from geats_core.planning.spec_changes import changes
from geats_core.vm.observation import Observation
from geats_core.vm.spec import VMSpec


def drift(declared: VMSpec, have: Observation) -> tuple[str, ...]:
    """The fields in which the VM, as it is now, is not as *declared*; see ``changes.COST``.

    What runs counts before what is only written down: a change that is pending is a drift.
    """
    now = have.in_effect or have.defined or have.recorded
    written = have.defined or have.recorded
    found = [*changes(now, declared), *changes(written, declared)]
    return tuple(dict.fromkeys(each.field for each in found))
