"""Reports on what there is: VMs, pools, volumes, drivers, pending changes and strays."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from geats_core.declared.config import StackLayer
from geats_core.declared.policy import Strays
from geats_core.reading.checked import problem_to_plain
from geats_core.reading.fields import VM_NAME, each, text
from geats_core.reading.mappings import FORMER, options
from geats_core.vm.observation import Observation, Power
from geats_core.vm.spec import Restarts, VMSpec
from geats_host.drivers import Driver, Info
from geats_host.errors import Refused, accepted
from geats_host.host import Host
from geats_host.lazy import later
from geats_host.observing.usage import usage
from geats_host.plugins.entry_points import pools_of
from geats_host.storage import Pool

if TYPE_CHECKING:
    from geats_core.deciding import restarts
    from geats_core.hostwide import strays
    from geats_core.planning import spec_changes
    from geats_core.requests import vm_filter as listing
    from geats_core.vm import secrets
    from geats_host.calls.guests import keeping_up
else:
    keeping_up = later("geats_host.calls.guests.keeping_up")
    restarts = later("geats_core.deciding.restarts")
    strays = later("geats_core.hostwide.strays")
    spec_changes = later("geats_core.planning.spec_changes")
    secrets = later("geats_core.vm.secrets")
    listing = later("geats_core.requests.vm_filter")

Report: TypeAlias = dict[str, object]

ALL: tuple[str, ...] = ("*",)


def list_report(host: Host, only: Mapping[str, object] = MappingProxyType({})) -> dict[str, Report]:
    """Every VM by name: its power, whether it is declared, defined and locked, and so on.

    ``power`` is None if nothing is defined. ``pending`` is the number of fields that are recorded,
    but not in effect until the VM restarts. ``to_run``: an interrupted plan powered the VM off to
    start it again, and ``to_freeze``: to freeze it again. ``memory_bytes`` and ``cpus`` are its
    limits, None if there is none, and ``disk_bytes`` the sizes of its volumes, as far as known.
    ``labels``, ``description`` and ``groups`` (of autostart) are as recorded, or else as declared.
    ``addresses`` are those that are declared, and then others that the guest has, such as by DHCP.
    ``memory_used_bytes``, ``cpu_time_s`` and ``uptime_s`` are None if it is off, or if its driver
    does not know them. ``copy_of`` is what the VM is an unfinished copy of; it is empty if it is
    none. ``ended`` says of a VM with ``restart`` how it ended by itself, and when it restarts.
    ``problems`` say why part of the VM cannot be seen or read now. *only* selects VMs, see
    ``parse_filter``.
    """
    meant = accepted(listing.parse_filter(only, host.drivers))
    seen = host.observe_all()
    ended = _ended(host, seen)
    rows = {
        name: {**_row(host, name, seen.get(name, Observation())), "ended": ended.get(name, "")}
        for name in sorted({*host.config.vms, *seen})
    }
    shown = {name: row for name, row in rows.items() if meant.picks(name, row)}
    used = usage(host.drivers, {name: seen[name] for name in shown if name in seen})
    return {name: {**row, **_in_use(row, used.get(name, Info()))} for name, row in shown.items()}


def _ended(host: Host, seen: Mapping[str, Observation]) -> dict[str, str]:
    """How VMs ended by themselves that say what is to be done then."""
    kept_up = (each.recorded for each in seen.values() if each.recorded is not None)
    if all(each.restart is Restarts.NO for each in kept_up):
        return {}  # which loads nothing that plans
    now_s = int(time.time())
    return {name: each.in_words(now_s) for name, each in keeping_up.fallen(host, seen).items()}


def _in_use(row: Report, info: Info) -> Report:
    """What a VM that is on uses; its addresses with those of its *row*."""
    declared = row["addresses"] if isinstance(row["addresses"], list) else []
    known = {address.split("/")[0] for address in declared}
    return {
        "addresses": [*declared, *(each for each in info.addresses if each not in known)],
        "memory_used_bytes": info.memory_used_bytes,
        "cpu_time_s": info.cpu_time_s,
        "uptime_s": info.uptime_s,
    }


def _row(host: Host, name: str, have: Observation) -> Report:
    spec = have.in_effect or have.defined or have.recorded
    said = have.recorded or _declared(host, name) or spec
    return {
        "power": power_of(host, have),
        "to_run": have.to_run,
        "to_freeze": have.to_freeze,
        "copy_of": have.copy_of,
        "declared": name in host.config.vms,
        "defined": have.is_recorded,
        "locked": have.locked,
        "pending": len(pending_of(host, have)),
        "driver": spec.driver if spec else None,
        "labels": dict(said.labels) if said else {},
        "description": said.description if said else "",
        "groups": [*said.autostart.groups] if said else [],
        "addresses": [str(a) for nic in spec.nics for a in nic.addresses] if spec else [],
        "memory_bytes": spec.limits.memory_bytes if spec else None,
        "cpus": spec.limits.cpus if spec else None,
        "disk_bytes": sum(each.size_bytes or 0 for each in have.volumes) or None,
        "problems": list(map(problem_to_plain, host.out_of_sight(name, have))),
    }


def _declared(host: Host, name: str) -> VMSpec | None:
    """As it is described, if that can be read."""
    try:
        return host.declared(name)
    except Refused:
        return None


def power_of(host: Host, have: Observation) -> str | None:
    """The power state as text; None if nothing is defined."""
    if have.recorded and have.recorded.driver in host.drivers.away:
        return str(listing.ListedPower.UNKNOWN)
    return str(have.power) if have.has_power else None


def status_report(host: Host) -> Report:
    """Every VM's definition and state, and the host's memory, swap, load and cpu.

    ``unavailable`` are the drivers and pools that cannot be used now, and why.
    """
    seen = host.observe_all()
    names = sorted({*host.config.vms, *seen})
    used = usage(host.drivers, seen)
    rows = {name: vm_report(host, name, seen.get(name, Observation())) for name in names}
    vms = {name: {**row, **_in_use(row, used.get(name, Info()))} for name, row in rows.items()}
    return {"vms": vms, "host": host_report(), "unavailable": host.unavailable}


def vm_report(host: Host, name: str, have: Observation) -> Report:
    """One VM: its definition, state, volumes, and what is pending until it restarts."""
    return {
        **_row(host, name, have),
        "ended": _ended(host, {name: have}).get(name, ""),
        "definition": secrets.shown_spec(have.recorded) if have.recorded else None,
        "pending": spec_changes.changes_to_plain(pending_of(host, have)),
        "volumes": [
            {
                "name": volume.name,
                "pool": volume.pool,
                "stage": volume.stage.name.lower(),
                "active": volume.active,
                "template": volume.template,
            }
            for volume in have.volumes
        ],
    }


def pending_of(host: Host, have: Observation) -> "tuple[spec_changes.Change, ...]":
    """What is written, but not in effect until the VM restarts."""
    now, then = have.in_effect, have.recorded
    if now is None or then is None or now == then:
        return ()
    able = host.drivers.ask(then.driver, lambda driver: driver.facts)
    return restarts.waiting(now, then, have, {} if able is None else able.all_costs)


def host_report() -> Report:
    """Memory and swap in bytes, load as three averages, cpu as count and percent in use."""
    import psutil  # few calls need it, and it takes long to load

    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    return {
        "memory": {
            "total_bytes": memory.total,
            "available_bytes": memory.available,
            "used_bytes": memory.used,
        },
        "swap": {"total_bytes": swap.total, "used_bytes": swap.used},
        "load": [round(load, 2) for load in psutil.getloadavg()],
        "cpu": {"count": psutil.cpu_count() or 1, "percent": psutil.cpu_percent(interval=0.1)},
    }


def info_report(host: Host, name: str) -> Report:
    """One VM: what ``vm_report`` says, and its pid, addresses, memory and cpu time.

    ``exit_code`` is that of a guest that is off, if its driver knows it: 0 if it ended well.
    """
    have = host.known(name)
    report = vm_report(host, name, have)
    spec = have.recorded if have.power is Power.STOPPED else None
    report |= {"exit_code": keeping_up.how_ended(host, spec).code if spec else None}
    info = host.info(name)
    addresses = list(info.addresses) or report["addresses"]
    return {"name": name, **report, **asdict(info), "addresses": addresses}


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
    return {
        name: dict(spec_changes.changes_to_plain(found)) for name, found in pending.items() if found
    }


def strays_report(host: Host) -> dict[str, Report]:
    """The VMs of this host that nobody declared, and what ``policy:strays`` says of each."""
    return {
        name: {
            "power": power_of(host, have),
            "defined": have.is_recorded,
            "foreign": have.foreign,
            "locked": have.locked,
            "policy": str(host.config.policy.on_stray(name)),
            "problem": None if VM_NAME.fullmatch(name) else strays.NO_NAME,
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
    return [] if spec is None or unseen else list(spec_changes.drift(spec, have))
