"""What the first geats was asked and answered: definitions and states, to and from those of now."""

from collections.abc import Collection
from typing import assert_never

from returns.result import Failure, Success

from geats_core.first_geats.definitions import Definition, read_definition
from geats_core.first_geats.new_host import NewHost
from geats_core.first_geats.settings import LXC, Kind, OldHost
from geats_core.foreign.notes import Note, Plain, Taken
from geats_core.reading.checked import Checked, problem, shown
from geats_core.vm.observation import Power
from geats_core.vm.spec import Nic, VMSpec

ACTIONS = (
    *("define", "provision", "start", "stop", "shutdown", "reboot", "undefine", "deprovision"),
    *("reinit", "lock", "unlock"),
)
WITH_DEFINITION = ("define", "provision")
GONE_IS_DONE = ("undefine", "deprovision")  # of what is not there, they have nothing to do
MIB = 1 << 20


def read_asked(
    name: str, written: object, drivers: Collection[str], pools: Collection[str]
) -> Checked[tuple[Plain, tuple[Note, ...]]]:
    """The VM that a definition of the first geats describes, as in a pillar, with its notes.

    *drivers* are those of LXC that the host has, and *pools* its pools.
    """
    if not isinstance(written, dict):
        return problem(name, f"must be the definition of a VM, got {shown(written)}")
    definition = Definition(file=name, name=name, written=written)
    if definition.called != name:
        return problem(f"{name}.name", f"must be the name in the call, got {definition.called!r}")
    kind = str(written.get("vm_type", LXC))
    kinds = {each: Kind(driver=each) for each in (LXC, *drivers)}
    if kind not in kinds:
        return problem(
            f"{name}.vm_type", f"must be one of {', '.join(sorted(kinds))}, got {kind!r}"
        )
    new, taken = NewHost(), Taken(name)
    old = OldHost(kinds=kinds, pools={each: each for each in pools})
    if wrong := read_definition(taken, definition, old, new):
        return Failure(wrong)
    vm = new.vms[name]
    assert isinstance(vm, dict)
    return Success((vm, tuple(taken.notes)))


def definition_of(spec: VMSpec) -> Plain:
    """The definition of a VM as the first geats had it: what it had no key for is not in it."""
    memory = spec.limits.memory_bytes
    return {
        "name": spec.name,
        "description": spec.description or spec.name,
        "vm_type": spec.driver,
        "template": spec.template,
        **({} if memory is None else {"ram": memory // MIB}),
        "transient": spec.transient,
        "network": [_interface(nic) for nic in spec.nics],
        "storage": [{"name": each.name, "type": each.pool} for each in spec.volumes],
    }


def _interface(nic: Nic) -> Plain:
    written: Plain = {"name": nic.name, "bridge": nic.bridge, "hwaddr": nic.mac}
    for address in nic.addresses[:1]:
        written |= {"ipaddr": str(address.ip), "netmask": str(address.netmask)}
    for gateway in nic.gateways[:1]:
        written["gateway"] = str(gateway)
    return written


def state_of(power: Power) -> tuple[str, str]:
    """The state and the substate of a VM, as the first geats told them."""
    match power:
        case Power.RUNNING:
            return "running", "running"
        case Power.FROZEN | Power.HELD:
            return "running", "paused"
        case Power.STUCK:
            return "running", "stuck"
        case Power.STOPPED:
            return "stopped", "stopped"
        case _:
            assert_never(power)
