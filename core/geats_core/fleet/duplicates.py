"""What only one VM of several hosts can have: its name, its addresses, its MAC addresses."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from geats_core.fleet.placement import Candidate
from geats_core.hostwide.conflicts import described
from geats_core.reading.fields import dns_name
from geats_core.vm.claims import HOST_INTERFACE, Claim, claims
from geats_core.vm.spec import VMSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """One thing that VMs on different hosts have; ``owners`` as ``HOST.VM`` or ``HOST.VM.PATH``."""

    what: str
    value: str
    owners: tuple[str, ...]


def duplicates(hosts: Mapping[str, Candidate]) -> tuple[Duplicate, ...]:
    """Every claim that VMs on two hosts both make, whether these exist (running or not) or are
    wanted.

    If two VMs of one host claim the same, the plan of that host is refused.
    """
    owners: dict[Claim, dict[str, str]] = defaultdict(dict)  # the paths, by the host
    for host, candidate in sorted(hosts.items()):
        for vm in sorted(candidate.vms):
            owners["the name", dns_name(vm)].setdefault(host, f"{host}.{vm}")
            for spec in _specs(candidate, vm):
                for claim, path in claims(vm, spec):
                    if claim[0] != HOST_INTERFACE:  # each host has its own
                        owners[claim].setdefault(host, f"{host}.{vm}.{path}")
    return tuple(
        Duplicate(what=what, value=value, owners=tuple(paths.values()))
        for (what, value), paths in owners.items()
        if len(paths) > 1
    )


def _specs(candidate: Candidate, vm: str) -> Iterable[VMSpec]:
    """What the VM is, and what it is to be."""
    have = candidate.observations.get(vm)
    wanted = [described(goal) for goal in candidate.goals if goal.name == vm]
    return [spec for spec in (have and have.recorded, *wanted) if spec]
