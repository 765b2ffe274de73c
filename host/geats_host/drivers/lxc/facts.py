"""What the planner has to know of containers."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from geats_core.containers.live_nics import LIVE_KEYS, LIVE_TYPES
from geats_core.planning.costs import LIVE_CGROUPS, LIVE_DNS, LIVE_LIMITS, Cost, EntryCost, Impact
from geats_core.planning.offers import Offer
from geats_core.planning.plugin_facts import DriverFacts, SubordinateIds
from geats_core.vm.hardware import HARDWARE
from geats_core.vm.spec import RootKind
from geats_host.drivers.lxc.kernel import apparmor
from geats_host.drivers.lxc.options import Options
from geats_host.errors import HostError
from geats_host.linux.subordinate_ids import allocatable, subordinate_ids

DIRECTORIES = frozenset({Offer.DIRECTORY})
# The halt signal is read from the config before it is sent: the next shutdown uses the new one.
KEYS: Mapping[str, object] = {  # of those for virtual machines, what containers can have as well
    "guest": {"type": "string", "enum": ["cloud-init", "none"]},
    "ssh_keys": {"type": "array", "items": {"type": "string"}},
    "user_data": {"type": "object"},
}
FOR_CLOUD_INIT = ("ssh_keys", "user_data")  # which takes them at its first start
AT_FIRST_START = frozenset(f"{HARDWARE}.{key}" for key in FOR_CLOUD_INIT)
COSTS = {
    **LIVE_LIMITS,
    **LIVE_CGROUPS,
    **LIVE_DNS,
    "init": Cost.always(Impact.NONE),
    **dict.fromkeys(sorted(AT_FIRST_START), Cost.always(Impact.NONE)),
}
OF_LXC = Path("/var/lib/lxc")  # where lxc-create makes containers
ENTRIES = {
    "devices": EntryCost(live=frozenset({"access", "optional"}), ordered=False),
    "nics": EntryCost(live=LIVE_KEYS, types=LIVE_TYPES),
}


def facts(options: Options) -> DriverFacts:
    """Directories, and nothing else: what is in a file or a block device has to be mounted."""
    return DriverFacts(
        roots=DIRECTORIES,
        volumes=DIRECTORIES,
        costs=COSTS,
        entries=ENTRIES,
        configures_nics=True,
        no_start=apparmor.no_start(),
        location=f"{options.path}",
        keys=KEYS,
        at_first_start=AT_FIRST_START,
        root_kind=RootKind.TREE,
        guests_mount=False,
        ids=_ids(options),
    )


def _ids(options: Options) -> SubordinateIds:
    """Those that guests can have, without what containers have that are not of geats."""
    shared, ranges = options.idmap or subordinate_ids(), allocatable()
    if ranges and [shared] != [*ranges]:  # else there are none to allocate, and none to look for
        from geats_host.drivers.lxc.seen import ids_by_hand  # most hosts have no more

        with suppress(HostError, OSError):  # which ``observe`` tells
            paths = {options.path, OF_LXC}
            by_hand = [each for path in paths for each in ids_by_hand(replace(options, path=path))]
            taken = sorted({*by_hand} - {shared})
            ranges = allocatable(taken=taken)
    return SubordinateIds(ranges=ranges, shared=shared)
