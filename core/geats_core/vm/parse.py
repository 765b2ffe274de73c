"""From pillar, SLS, YAML or JSON to a ``VMSpec``, and back to plain data."""

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache, reduce

from returns.result import Failure, Success

from geats_core.containers import nics
from geats_core.containers.cgroups import cgroups_to_plain, read_cgroups
from geats_core.containers.devices import devices_to_plain, read_devices, stand_ins
from geats_core.containers.guest_networks import Manager, unasked
from geats_core.containers.hooks import hooks_to_plain, read_hooks
from geats_core.containers.isolation import isolation_to_plain, network_problems, read_isolation
from geats_core.containers.nics import derived_mac as derived_mac
from geats_core.containers.programs import (
    program_to_plain,
    read_from_image,
    read_program,
    what_runs_to_plain,
)
from geats_core.containers.raw import read_raw
from geats_core.containers.tmpfs import read_tmpfs, tmpfs_to_plain
from geats_core.guests import minion, users
from geats_core.reading import fields
from geats_core.reading.checked import Checked, Problem, problem, repeated, shown, unknown
from geats_core.reading.fields import Reader, each, of_mapping
from geats_core.reading.labels import NO_LABELS, labels
from geats_core.reading.mappings import merge as merge
from geats_core.reading.mappings import outlined, shorthand
from geats_core.reading.schemas import Schema, any_of, by_name, list_of, taking
from geats_core.reading.sizes import parse_size
from geats_core.vm import hardware, idmap, readiness
from geats_core.vm.mounts import (
    hiding,
    mount_points,
    mounts_to_plain,
    read_mounts,
    size_or_none,
    without_none,
)
from geats_core.vm.spec import (
    Autostart,
    Dns,
    IdRange,
    Init,
    Limits,
    Nic,
    OwnIds,
    PowerWish,
    Restarts,
    VMSpec,
)

DEFAULT_DRIVER = "lxc"
NO_NICS: tuple[Nic, ...] = ()
NO_RANGES: tuple[IdRange, ...] | OwnIds = ()
NO_USERS: tuple[users.User, ...] = ()
NO_NAMES: tuple[str, ...] = ()


def parse_vm(
    vm_name: object,
    raw: object,
    profiles: Mapping[str, Mapping[object, object]] | None = None,
    *,
    is_recorded: bool = False,
) -> Checked[VMSpec]:
    """Read the spec of the VM *vm_name*; report everything that is wrong with it at once.

    A ``profile`` key merges one or more named *profiles* below the spec's own keys: mappings are
    merged key by key, anything else is replaced. What geats itself *is_recorded* is read even if an
    older one took what is refused now: such a VM can still be looked at, changed and removed.
    """
    if raw is None:
        return problem("", "is empty: write {} for the defaults")
    if not isinstance(raw, Mapping):
        return problem("", f"a VM must be a mapping, got {shown(raw)}")
    match _with_profiles(raw, profiles or {}):
        case Success(merged):
            return _vm(Reader("", merged), vm_name, is_recorded=is_recorded)
        case Failure() as refused:
            return refused


def _with_profiles(
    raw: Mapping[object, object], profiles: Mapping[str, Mapping[object, object]]
) -> Checked[Mapping[object, object]]:
    names = raw.get("profile")
    if names is None:  # if it is empty, the reader of the rest says so
        return Success(raw)
    names = names if isinstance(names, list | tuple) else [names]
    absent = [name for name in names if not isinstance(name, str) or name not in profiles]
    if absent:
        return Failure(tuple(unknown("profile", "profile", name, profiles) for name in absent))
    return Success(reduce(merge, [*(profiles[str(name)] for name in names), raw]))


def vm_schema() -> Schema:
    """What a VM takes, as JSON Schema; nothing is needed, as a profile may have it."""
    said = dict(outlined(lambda read: _vm(read, "web")))
    del said["required"]
    return said


@taking(any_of(fields.name.schema(), list_of(fields.name.schema())))
def _merged(_: str, raw: object) -> Checked[object]:
    """Profiles are merged before anything is read."""
    return Success(raw)


def _vm(read: Reader, vm_name: object, *, is_recorded: bool = False) -> Checked[VMSpec]:
    read.take("profile", _merged, None)
    name = read.keep(fields.vm_name("name", vm_name), "")
    volumes, binds, shared = read_mounts(read, name)
    interfaces = tuple(nics.with_mac(nic, name) for nic in read.take("nics", nics.nics, NO_NICS))
    read.problems += nics.repetitions(interfaces)
    after = read.take("after", _names, NO_NAMES)
    read.problems += repeated("after", "name", after)
    if name and name in after:
        read.problems.append(Problem("after", "cannot name the VM itself"))
    ids = read.take("idmap", idmap.idmap, NO_RANGES)
    spec = VMSpec(
        name=name,
        driver=read.take("driver", fields.name, DEFAULT_DRIVER),
        template=read.need("template", fields.name, ""),
        hostname=read.take("hostname", fields.hostname, fields.hostname_of(name)),
        volumes=volumes,
        binds=binds,
        shared_volumes=shared,
        limits=Limits(
            memory_bytes=read.take("memory", _size_or_none, None),
            cpus=read.take("cpus", _cpus_or_none, None),
            processes=read.take("processes", _processes_or_none, None),
            cgroup=read_cgroups(read),
        ),
        nics=interfaces,
        guest_network=read.take("guest_network", _manager, Manager.NONE),
        dns=read.take("dns", parse_dns, Dns()),
        metadata=read.take("metadata", _metadata, ()),
        timezone=read.take("timezone", users.timezone, ""),
        users=read.take("users", users.users, NO_USERS),
        ssh_keys=read.take("ssh_keys", users.ssh_keys, users.NO_KEYS),
        minion=read.take("minion", _minion_or_none, None),
        init=read.take("init", _init, Init.AUTO),
        privileged=read.take("privileged", fields.boolean, False),
        idmap=() if isinstance(ids, OwnIds) else ids,
        own_ids=ids if isinstance(ids, OwnIds) else None,
        includes=read.take("includes", _includes, None),
        isolation=read_isolation(read),
        program=read_program(read),
        from_image=read.take("from_image", read_from_image, None),
        devices=read_devices(read, mount_points(volumes, binds, shared)),
        tmpfs=read_tmpfs(read, mount_points(volumes, binds, shared)),
        hooks=read_hooks(read),
        raw=read_raw(read),
        transient=read.take("transient", fields.boolean, False),
        shutdown_timeout_s=read.take("shutdown_timeout", fields.positive_int, 60),
        after=after,
        autostart=read.take("autostart", _autostart, Autostart()),
        power=read.take("power", _power, PowerWish.RUNNING),
        enabled=read.take("enabled", fields.boolean, True),
        restart=read.take("restart", _restart, Restarts.NO),
        ready=read.take("ready", _ready_or_none, None),
        hardware=read.take(hardware.HARDWARE, hardware.read_hardware, ()),
        labels=read.take("labels", labels, NO_LABELS),
        description=read.take("description", fields.text, ""),
    )
    read.problems += unasked(spec.nics, spec.guest_network)
    read.problems += users.user_problems(spec.users)
    read.problems += idmap.unmapped(spec)
    read.problems += (
        idmap.own_problems("idmap", spec.own_ids, privileged=spec.privileged)
        if spec.own_ids
        else idmap.problems("idmap", spec.idmap, privileged=spec.privileged)
    )
    read.problems += network_problems(spec.isolation, nics=bool(spec.nics))
    read.problems += () if is_recorded else _refused_now(spec)
    return read.done(spec)


def _refused_now(spec: VMSpec) -> Iterable[Problem]:
    """What older versions took, and no guest could be run with."""
    return (*hiding(spec), *nics.misnamed(spec.nics), *stand_ins(spec.devices))


@of_mapping
def parse_dns(read: Reader) -> Checked[Dns]:
    """Read the servers that a guest asks for names, and the domains that it looks in."""
    return read.done(
        Dns(
            nameservers=read.take("nameservers", _ips, ()),
            search=read.take("search", _domains, ()),
        )
    )


@taking(by_name(fields.key_name.schema(), fields.text.schema()))
def _metadata(path: str, raw: object) -> Checked[tuple[tuple[str, str], ...]]:
    """What is no mapping may be secret all the same."""
    if not isinstance(raw, Mapping):
        return problem(path, "must be a mapping of names to text")
    return _metadata_mapping(path, raw)


@of_mapping
def _metadata_mapping(read: Reader) -> Checked[tuple[tuple[str, str], ...]]:
    keys = [read.keep(fields.key_name(read.at(fields.printable(k)), k), "") for k in read.raw]
    pairs = tuple((key, read.take(key, fields.secret_text, "")) for key in sorted(keys))
    return Failure(tuple(read.problems)) if read.problems else Success(pairs)


@of_mapping
def _autostart_mapping(read: Reader) -> Checked[Autostart]:
    return read.done(
        Autostart(
            enabled=read.take("enabled", fields.boolean, True),
            priority=read.take("priority", fields.priority, 0),
            delay_s=read.take("delay", fields.delay_s, 0),
            groups=read.take("groups", _groups, NO_NAMES),
        )
    )


_groups = each(fields.name)
# Made once, as a parser takes longer to make than to use.
_autostart = shorthand(bool, fields.boolean.schema(), "enabled", _autostart_mapping)
_domains = each(fields.domain)
_includes = fields.or_none(each(fields.include))
_init = fields.one_of("init", Init)
_manager = fields.one_of("network manager", Manager)
_ips = each(fields.ip)
_minion_or_none = fields.or_none(fields.unseen(minion.read_minion))
_names = each(fields.vm_name)
_cpus_or_none = fields.or_none(fields.cpus)
_power = fields.one_of("power", PowerWish)
_one_of_restarts = fields.one_of("restart", Restarts)


@taking({"enum": [*map(str, Restarts), False]})
def _restart(path: str, raw: object) -> Checked[Restarts]:
    """For YAML 1.1 the word ``no`` is a boolean (https://yaml.org/type/bool.html)."""
    return _one_of_restarts(path, str(Restarts.NO) if raw is False else raw)


_processes_or_none = fields.or_none(fields.positive_int)
_ready_or_none = fields.or_none(readiness.parse_ready)
_size_or_none = fields.or_none(parse_size)


def dns_to_plain(dns: Dns) -> dict[str, object]:
    """As people write it: ``parse_dns`` gives it back."""
    return {"nameservers": [*map(str, dns.nameservers)], "search": list(dns.search)}


def to_plain(spec: VMSpec) -> dict[str, object]:
    """*spec* as plain data: ``parse_vm(spec.name, to_plain(spec))`` gives it back."""
    return without_none(
        {
            "driver": spec.driver,
            "template": spec.template,
            "hostname": spec.hostname,
            "memory": size_or_none(spec.limits.memory_bytes),
            "cpus": spec.limits.cpus,
            "processes": spec.limits.processes,
            **cgroups_to_plain(spec.limits.cgroup),
            **mounts_to_plain(spec.volumes, spec.binds, spec.shared_volumes),
            "nics": [*map(nics.to_plain, spec.nics)],
            "guest_network": None
            if spec.guest_network is Manager.NONE
            else str(spec.guest_network),
            "dns": dns_to_plain(spec.dns),
            "metadata": dict(spec.metadata),
            "timezone": spec.timezone or None,
            "users": users.users_to_plain(spec.users) or None,
            "ssh_keys": [*spec.ssh_keys] or None,
            "minion": spec.minion and minion.minion_to_plain(spec.minion),
            "init": str(spec.init),
            "privileged": spec.privileged,
            "idmap": (
                idmap.own_to_plain(spec.own_ids)
                if spec.own_ids
                else idmap.to_plain(spec.idmap) or None
            ),
            "includes": None if spec.includes is None else list(spec.includes),
            **isolation_to_plain(spec.isolation),
            **program_to_plain(spec.program),
            "from_image": spec.from_image and what_runs_to_plain(spec.from_image),
            **devices_to_plain(spec.devices),
            **tmpfs_to_plain(spec.tmpfs),
            **hooks_to_plain(spec.hooks),
            "raw": [*spec.raw] or None,
            "transient": spec.transient,
            "shutdown_timeout": spec.shutdown_timeout_s,
            "after": list(spec.after),
            "autostart": {
                "enabled": spec.autostart.enabled,
                "priority": spec.autostart.priority,
                "delay": spec.autostart.delay_s,
                **({"groups": [*spec.autostart.groups]} if spec.autostart.groups else {}),
            },
            "power": None if spec.power is PowerWish.RUNNING else str(spec.power),
            "enabled": None if spec.enabled else False,
            "restart": None if spec.restart is Restarts.NO else str(spec.restart),
            "ready": None if spec.ready is None else readiness.to_plain(spec.ready),
            hardware.HARDWARE: hardware.to_plain(spec.hardware) or None,
            "labels": dict(spec.labels) or None,
            "description": spec.description or None,
        }
    )


def to_text(spec: VMSpec) -> str:
    """*spec* as one line of JSON, as it is kept on a host: ``parse_text`` gives it back."""
    return json.dumps(to_plain(spec), sort_keys=True)


@lru_cache(maxsize=4096)  # a host keeps the same text in several places
def parse_text(vm_name: str, text: str) -> Checked[VMSpec]:
    """The spec in such a text, which was recorded."""
    try:
        raw: object = json.loads(text)
    except (ValueError, RecursionError):
        return problem("", "must be JSON")
    return parse_vm(vm_name, raw, is_recorded=True)
