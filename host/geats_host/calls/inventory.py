"""Reports on pools, volumes, drivers, pending changes and strays."""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

from geats_core.declared.config import StackLayer
from geats_core.declared.policy import Strays
from geats_core.hostwide.strays import NO_NAME
from geats_core.planning.spec_changes import drift
from geats_core.plans.explain import changes_to_plain
from geats_core.reading.fields import VM_NAME, each, text
from geats_core.reading.mappings import FORMER, options
from geats_core.vm.observation import Observation
from geats_host.calls.reports import Report, pending_of, power_of
from geats_host.drivers import Driver
from geats_host.errors import Refused, accepted
from geats_host.host import Host
from geats_host.plugins.entry_points import pools_of
from geats_host.storage import Pool

ALL: tuple[str, ...] = ("*",)


def pools_report(host: Host) -> dict[str, Report]:
    """Every pool by name: its plugins, what it can do, and how much is in it.

    ``size_bytes`` is the space of the whole pool, and ``free_bytes`` what is free, None if it is
    not known; ``volumes`` and ``templates`` are counts. ``problem`` says why a pool is not
    available; then everything else is None.
    """
    found = host.pools.asked(_pool)
    away = host.pools.away
    return {
        name: {
            "type": " on ".join(_types(_layers(host, name))),
            **found.get(name, dict.fromkeys(OF_A_POOL)),
            "problem": away.get(name),
        }
        for name in sorted(host.pools)
    }


def _pool(pool: Pool) -> Report:
    there, facts = pool.observe(), pool.facts
    return {
        "offers": str(pool.offers),
        "size_bytes": facts.size_bytes,
        "free_bytes": facts.free_bytes,
        "enforces_size": facts.enforces_size,
        "snapshots": facts.snapshots,
        "clones": facts.clones,
        "grows_online": facts.grows_online,
        "volumes": sum(volume.is_of_vm for volume in there),
        "templates": sum(volume.is_template for volume in there),
    }


OF_A_POOL = (
    *("offers", "size_bytes", "free_bytes", "enforces_size", "snapshots", "clones"),
    *("grows_online", "volumes", "templates"),
)


def _layers(host: Host, name: str) -> StackLayer | None:
    return pools_of(host.config).get(name)


def _types(layer: StackLayer | None) -> Iterator[str]:
    while layer is not None:
        yield layer.type
        layer = layer.on


def volumes_report(host: Host) -> list[Report]:
    """Every volume of every VM: its location, its stage, and what is on it.

    ``used_bytes`` is the space that only it takes. ``wanted`` says whether its VM is defined with
    it; otherwise it is left over, for example from a VM that was undefined.
    """
    definitions = host.registry.definitions()
    wanted = {
        (volume.pool, name, volume.name)
        for name, spec in definitions.items()
        for volume in spec.volumes
    }
    rows: list[Report] = [
        {**row, "pool": pool, "wanted": (pool, row["vm"], row["name"]) in wanted}
        for pool, found in host.pools.asked(_volumes).items()
        for row in found
    ]
    return sorted(rows, key=lambda row: (str(row["vm"]), str(row["name"]), str(row["pool"])))


def _volumes(pool: Pool) -> list[Report]:
    return [
        {
            "vm": volume.vm,
            "name": volume.volume,
            "pool": None,
            "stage": seen.stage.name.lower(),
            "active": seen.active,
            "size_bytes": seen.size_bytes,
            "used_bytes": pool.used_bytes(volume),
            "template": seen.template,
            "snapshots": [snapshot.name for snapshot in seen.snapshots],
            "path": str(pool.path(volume)),
        }
        for volume, seen in pool.observe().items()
        if volume.is_of_vm
    ]


def drivers_report(host: Host) -> dict[str, Report]:
    """Every driver by name: the VMs that it knows, and the bridges that NICs can use.

    ``bridges`` is None if any name is fine. ``problem`` says why a driver is not available.
    """
    found = host.drivers.asked(_driver)
    away = host.drivers.away
    nothing: Report = {"vms": [], "bridges": None}
    return {
        name: {**found.get(name, nothing), "problem": away.get(name)}
        for name in sorted(host.drivers)
    }


def _driver(driver: Driver) -> Report:
    bridges = driver.bridges()
    return {
        "vms": sorted(driver.observe()),
        "bridges": None if bridges is None else sorted(bridges),
    }


def pending_report(host: Host) -> dict[str, Report]:
    """The VMs that run with something else than they are defined with: old and new by field."""
    pending = {name: pending_of(host, have) for name, have in host.observe_all().items()}
    return {name: dict(changes_to_plain(found)) for name, found in pending.items() if found}


def strays_report(host: Host) -> dict[str, Report]:
    """The VMs of this host that nobody declared, and what ``policy:strays`` says of each."""
    return {
        name: {
            "power": power_of(host, have),
            "defined": have.is_recorded,
            "foreign": have.foreign,
            "locked": have.locked,
            "policy": str(host.config.policy.on_stray(name)),
            "problem": None if VM_NAME.fullmatch(name) else NO_NAME,
        }
        for name, have in host.observe_all().items()
        if name not in host.config.known
    }


def overview_report(host: Host, words: Mapping[str, object] | None = None) -> Report:
    """What a beacon looks at: the power of each VM, strays, drift, and the room in the pools.

    ``vms`` among *words* are patterns of VMs. ``drift`` has those that are not as described, with
    the fields in which they are not; a stray that the policy ignores is none.
    ``unavailable`` are the drivers and pools that cannot be used now, and why: of what they hide,
    nothing is known.
    """
    read = options(words or {})
    patterns = accepted(read.done(read.take("vms", each(text), ALL), FORMER))

    def is_meant(name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in patterns)

    seen = {name: have for name, have in host.observe_all().items() if is_meant(name)}
    declared = list(filter(is_meant, host.config.vms))
    power = {name: power_of(host, have) for name, have in seen.items()}
    far = {name: _drift(host, name, seen.get(name, Observation())) for name in declared}
    facts = host.pools.asked(lambda pool: pool.facts)
    return {
        "states": {**dict.fromkeys(declared), **power},
        "strays": [
            name
            for name in seen
            if name not in host.config.known and host.config.policy.on_stray(name) != Strays.IGNORE
        ],
        "drift": {name: fields for name, fields in far.items() if fields},
        "pools": {
            name: {"size_bytes": pool.size_bytes, "free_bytes": pool.free_bytes}
            for name, pool in facts.items()
        },
        "unavailable": host.unavailable,
    }


def _drift(host: Host, name: str, have: Observation) -> list[str]:
    try:
        spec = host.declared(name)
    except Refused:
        return ["its description is wrong"]
    unseen = host.out_of_sight(name, have)
    return [] if spec is None or unseen else list(drift(spec, have))
