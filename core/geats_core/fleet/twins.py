"""Which VMs each host must not create, because another host has them."""

from collections.abc import Mapping

from geats_core.fleet.placement import Candidate


def owners(hosts: Mapping[str, Candidate]) -> dict[str, str]:
    """Which host has each VM: one that every other host must not create.

    A VM counts where it is defined, and not where it only arrives, or where only volumes are left.
    """
    return {
        vm: host
        for host in sorted(hosts, reverse=True)
        for vm, have in hosts[host].observations.items()
        if have.is_recorded and not have.copy_of
    }
