"""What a VM has to itself while it runs, and what is known of that."""

from collections.abc import Iterable
from typing import TypeAlias

from geats_core.vm.lxc_config import veth_name
from geats_core.vm.observation import Observation, Power
from geats_core.vm.spec import VMSpec

Claim: TypeAlias = tuple[str, str]  # what it is, and which one
HOST_INTERFACE = "the interface on the host"


def claims(name: str, spec: VMSpec) -> Iterable[tuple[Claim, str]]:
    """What a VM of this name and spec has to itself while it runs, and where its spec says so."""
    for index, nic in enumerate(spec.nics):
        path = f"nics[{nic.name}]"
        yield ("the MAC address", nic.mac.lower()), f"{path}.mac"
        yield (HOST_INTERFACE, veth_name(name, index)), path
        for address in nic.addresses:
            yield ("the address", str(address.ip)), f"{path}.addresses"


def running_spec(have: Observation) -> VMSpec | None:
    """What a VM that is not off was started with, as far as anything is known of it."""
    if have.power is Power.STOPPED:
        return None
    return have.in_effect or have.defined or have.recorded


def would_forget(want: VMSpec, have: Observation) -> bool:
    """Whether to define a VM as *want* is to forget what it may use now, so that others take it.

    That is so where it is on, and nothing but its definition says with what.
    """
    known = running_spec(have)
    if known is None or have.in_effect is not None:
        return False
    given_up = {*claims(want.name, known)} - {*claims(want.name, want)}
    mounts = {*known.shared_volumes} - {*want.shared_volumes}
    return bool(given_up or mounts) or known.limits != want.limits
