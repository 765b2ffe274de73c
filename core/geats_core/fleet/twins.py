"""Which VMs each host must not create, because another host has them."""

from collections.abc import Mapping

from geats_core.fleet.placement import Candidate


def on_others(hosts: Mapping[str, Candidate]) -> dict[str, dict[str, str]]:
    """For each host, the VMs that it does not have and another one has: that one, by their names.

    A VM counts where it is defined, and not where it only arrives, or where only volumes are left.
    """
    owners = {
        vm: host
        for host in sorted(hosts, reverse=True)
        for vm, have in hosts[host].observations.items()
        if have.is_recorded and not have.copy_of
    }
    return {
        name: {
            vm: owner
            for vm, owner in sorted(owners.items())
            if owner != name and not _has(candidate, vm)
        }
        for name, candidate in sorted(hosts.items())
    }


def _has(host: Candidate, vm: str) -> bool:
    have = host.observations.get(vm)
    return have is not None and have.is_recorded
