"""What a VM has to itself while it runs, and what is known of that."""

from collections.abc import Iterable
from typing import TypeAlias

from geats_core.containers.nics import NicType, host_end
from geats_core.reading.fields import dns_name
from geats_core.vm.observation import Observation, Power
from geats_core.vm.spec import VMSpec

Claim: TypeAlias = tuple[str, str]  # what it is, and which one
HOST_INTERFACE = "the interface on the host"
THE_VLAN = "the VLAN on an interface"
THE_MAC = "the MAC address"
THE_ADDRESS = "the address"


def claims(name: str, spec: VMSpec) -> Iterable[tuple[Claim, str]]:
    """What only this VM may have while it runs, and the path in its spec that says so."""
    for index, nic in enumerate(spec.nics):
        path = f"nics[{nic.name}]"
        yield from ((claim, f"{path}.mac") for claim in [(THE_MAC, nic.mac.lower())] if nic.mac)
        yield from (
            ((HOST_INTERFACE, end), f"{path}.host_name" if nic.host_name else path)
            for end in [host_end(name, index, nic)]
            if end
        )
        if nic.takes_parent:
            yield (HOST_INTERFACE, nic.parent), f"{path}.parent"
        if nic.type is NicType.VLAN:
            yield (THE_VLAN, f"{nic.parent}.{nic.vlan}"), f"{path}.vlan"
        for address in nic.addresses:
            yield (THE_ADDRESS, str(address.ip)), f"{path}.addresses"


def name_claim(name: str) -> tuple[Claim, str]:
    """What is made of the name of a VM, on or off: for DNS, others may be too much like it."""
    return ("the name in DNS,", f"{dns_name(name)},"), "name"


def foreign_claims(have: Observation) -> Iterable[Claim]:
    """What a VM that geats did not make has to itself while it is on, as its definition says."""
    if not have.foreign or have.power is Power.STOPPED:
        return
    for nic in have.foreign_nics:
        yield from ((THE_MAC, mac) for mac in [nic.mac.lower()] if mac)
        yield from ((HOST_INTERFACE, pair) for pair in [nic.pair] if pair)
        yield from ((THE_ADDRESS, address) for address in nic.addresses)


def running_spec(have: Observation) -> VMSpec | None:
    """What a VM that is not off was started with, as far as anything is known of it."""
    if have.power is Power.STOPPED:
        return None
    return have.in_effect or have.defined or have.recorded


def kept_spec(have: Observation) -> VMSpec | None:
    """What nobody else may take: of a VM that is not off, or that is off only to be started."""
    return have.recorded or have.defined if have.to_run else running_spec(have)


def would_forget(want: VMSpec, have: Observation) -> bool:
    """Whether defining a VM as *want* would lose track of what it uses now, so that others could
    take it.

    That is so if it is on, and only its definition says what it uses.
    """
    known = running_spec(have)
    if known is None or have.in_effect is not None:
        return False
    given_up = {*claims(want.name, known)} - {*claims(want.name, want)}
    mounts = {*known.shared_volumes} - {*want.shared_volumes}
    return bool(given_up or mounts) or known.limits != want.limits
