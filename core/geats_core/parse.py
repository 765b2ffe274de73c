"""From pillar, SLS, YAML or JSON to a ``VMSpec``, and back to plain data."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from functools import reduce
from hashlib import sha256
from itertools import permutations

from returns.result import Failure, Success

from geats_core import fields
from geats_core.checked import Checked, Problem, problem, shown, unknown
from geats_core.fields import Reader, each, named, of_mapping
from geats_core.sizes import format_size, parse_size
from geats_core.spec import ROOT, Autostart, Bind, Dns, Gateway, Init, Limits, Nic, VMSpec, Volume

DEFAULT_DRIVER = "lxc"
DEFAULT_POOL = "default"
DEFAULT_VOLUMES: tuple[Volume, ...] = (Volume(name=ROOT, pool=DEFAULT_POOL, mount="/"),)
NO_BINDS: Mapping[str, Bind] = {}
NO_NICS: tuple[Nic, ...] = ()
NO_GATEWAYS: tuple[Gateway, ...] = ()
NO_NAMES: tuple[str, ...] = ()


def parse_vm(
    vm_name: object, raw: object, profiles: Mapping[str, Mapping[object, object]] | None = None
) -> Checked[VMSpec]:
    """Read the spec of the VM *vm_name*; report everything that is wrong with it at once.

    A ``profile`` key merges one or more named *profiles* below the spec's own keys: mappings are
    merged key by key, anything else is replaced.
    """
    if raw is None:
        raw = {}
    if not isinstance(raw, Mapping):
        return problem("", f"a VM must be a mapping, got {shown(raw)}")
    match _with_profiles(raw, profiles or {}):
        case Success(merged):
            return _vm(vm_name, merged)
        case Failure() as refused:
            return refused


def _with_profiles(
    raw: Mapping[object, object], profiles: Mapping[str, Mapping[object, object]]
) -> Checked[Mapping[object, object]]:
    names = raw.get("profile")
    if names is None:
        return Success(raw)
    names = names if isinstance(names, list | tuple) else [names]
    absent = [name for name in names if not isinstance(name, str) or name not in profiles]
    if absent:
        return Failure(tuple(unknown("profile", "profile", name, profiles) for name in absent))
    return Success(reduce(merge, [*(profiles[str(name)] for name in names), raw]))


def merge(below: Mapping[object, object], above: Mapping[object, object]) -> dict[object, object]:
    """*above* laid over *below*: mappings in both merge, anything else in *above* wins.

    One level down, and no deeper: a bind of the same name is replaced as a whole.
    """
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        if isinstance(under, Mapping) and isinstance(value, Mapping):
            merged[key] = {**under, **value}
        else:
            merged[key] = value
    return merged


def _vm(vm_name: object, raw: Mapping[object, object]) -> Checked[VMSpec]:
    read = Reader("", raw, known={"profile"})
    name = read.keep(fields.name("name", vm_name), "")
    volumes = read.take("volumes", each(_volume), DEFAULT_VOLUMES)
    given = read.take("binds", named(_bind), NO_BINDS)
    binds = tuple(replace(given[name], name=name) for name in sorted(given))
    nics = read.take("nics", each(of_mapping(lambda nic: _nic(nic, name))), NO_NICS)
    read.problems += [
        *_duplicates("volumes", "name", [volume.name for volume in volumes]),
        *_duplicates("volumes", "mount", [volume.mount for volume in volumes]),
        *_within_binds(binds, volumes),
        *_both_ways(binds),
        *_duplicates("nics", "name", [nic.name for nic in nics]),
        *_duplicates("nics", "mac", [nic.mac for nic in nics]),
        *_duplicates("nics", "addresses", [str(a.ip) for nic in nics for a in nic.addresses]),
    ]
    after = read.take("after", each(fields.name), NO_NAMES)
    read.problems += _duplicates("after", "name", after)
    if name and name in after:
        read.problems.append(Problem("after", "cannot name the VM itself"))
    if all(volume.name != ROOT for volume in volumes):
        read.problems.append(Problem("volumes", f"must hold a volume named {ROOT!r}"))
    return read.done(
        VMSpec(
            name=name,
            driver=read.take("driver", fields.name, DEFAULT_DRIVER),
            template=read.need("template", fields.name, ""),
            hostname=read.take("hostname", fields.hostname, name),
            volumes=tuple(sorted(volumes, key=lambda volume: volume.mount)),
            binds=binds,
            limits=Limits(
                memory_bytes=read.take("memory", parse_size, None),
                cpus=read.take("cpus", fields.cpus, None),
                processes=read.take("processes", fields.positive_int, None),
            ),
            nics=nics,
            dns=read.take("dns", _dns, Dns()),
            metadata=read.take("metadata", _metadata, ()),
            init=read.take("init", fields.one_of("init", Init), Init.SYSTEMD),
            privileged=read.take("privileged", fields.boolean, False),
            transient=read.take("transient", fields.boolean, False),
            shutdown_timeout_s=read.take("shutdown_timeout", fields.positive_int, 60),
            after=after,
            autostart=read.take("autostart", _autostart, Autostart()),
        )
    )


@of_mapping
def _volume(read: Reader) -> Checked[Volume]:
    name = read.need("name", fields.name, "")
    if name == ROOT:
        read.problems.extend(
            Problem(read.at(key), "is not for the root volume")
            for key in ("mount", "read_only")
            if key in read.raw
        )
        mount = "/"
        read.known |= {"mount"}
    else:
        mount = read.need("mount", fields.mount, "")
    return read.done(
        Volume(
            name=name,
            mount=mount,
            pool=read.take("pool", fields.name, DEFAULT_POOL),
            size_bytes=read.take("size", parse_size, None),
            read_only=read.take("read_only", fields.boolean, False),
        )
    )


@of_mapping
def _bind(read: Reader) -> Checked[Bind]:
    return read.done(
        Bind(
            name="",
            source=read.need("source", fields.bind_source, ""),
            mount=read.need("mount", fields.mount, ""),
            read_only=read.take("read_only", fields.boolean, True),
        )
    )


def _within_binds(binds: Collection[Bind], volumes: Iterable[Volume]) -> Iterable[Problem]:
    """What is mounted where a bind is, or below: there, others may exchange what it stands on."""
    mounts = {f"volumes[{volume.name}].mount": volume.mount for volume in volumes}
    mounts |= {f"binds.{bind.name}.mount": bind.mount for bind in binds}
    for bind in binds:
        for path, mount in mounts.items():
            if f"{mount}/".startswith(f"{bind.mount}/") and path != f"binds.{bind.name}.mount":
                yield Problem(path, f"{mount!r} is within the bind {bind.name!r} at {bind.mount}")


def _both_ways(binds: Collection[Bind]) -> Iterable[Problem]:
    """What would be read-only as a part of another source, and is not by itself; or the reverse."""
    for bind, other in permutations(binds, 2):
        if f"{bind.source}/".startswith(f"{other.source}/") and bind.read_only != other.read_only:
            both = f"{bind.source!r} is within the source of the bind {other.name!r}"
            yield Problem(f"binds.{bind.name}.source", f"{both}, and one of them is read-only")


def _nic(read: Reader, vm_name: str) -> Checked[Nic]:
    name = read.need("name", fields.interface, "")
    gateways = read.take("gateways", each(fields.ip), NO_GATEWAYS)
    if len({gateway.version for gateway in gateways}) < len(gateways):
        read.problems.append(Problem(read.at("gateways"), "must be one of each IP version at most"))
    return read.done(
        Nic(
            name=name,
            bridge=read.need("bridge", fields.interface, ""),
            mac=read.take("mac", fields.mac, derived_mac(vm_name, name)),
            addresses=read.take("addresses", each(fields.ip_address_with_prefix), ()),
            gateways=gateways,
        )
    )


def derived_mac(vm_name: str, nic_name: str) -> str:
    """A locally administered MAC address that stays the same across rebuilds."""
    digest = sha256(f"{vm_name}/{nic_name}".encode()).digest()
    return ":".join(f"{byte:02x}" for byte in (0x02, *digest[:5]))


@of_mapping
def _dns(read: Reader) -> Checked[Dns]:
    return read.done(
        Dns(
            nameservers=read.take("nameservers", each(fields.ip), ()),
            search=read.take("search", each(fields.domain), ()),
        )
    )


@of_mapping
def _metadata(read: Reader) -> Checked[tuple[tuple[str, str], ...]]:
    keys = [read.keep(fields.key_name(read.at(fields.printable(k)), k), "") for k in read.raw]
    pairs = tuple((key, read.take(key, fields.text, "")) for key in sorted(keys))
    return Failure(tuple(read.problems)) if read.problems else Success(pairs)


def _autostart(path: str, raw: object) -> Checked[Autostart]:
    """``true`` and ``false`` are short for a mapping with only ``enabled``."""
    if isinstance(raw, bool):
        return Success(Autostart(enabled=raw))
    return _autostart_mapping(path, raw)


@of_mapping
def _autostart_mapping(read: Reader) -> Checked[Autostart]:
    return read.done(
        Autostart(
            enabled=read.take("enabled", fields.boolean, True),
            priority=read.take("priority", fields.priority, 0),
            delay_s=read.take("delay", fields.delay_s, 0),
        )
    )


def _duplicates(path: str, what: str, values: Iterable[str]) -> list[Problem]:
    seen: set[str] = set()
    twice: list[Problem] = []
    for value in values:
        if value in seen and value:
            twice.append(Problem(path, f"have the {what} {value!r} twice"))
        seen.add(value)
    return twice


def to_plain(spec: VMSpec) -> dict[str, object]:
    """*spec* as plain data: ``parse_vm(spec.name, to_plain(spec))`` gives it back."""
    return _without_none(
        {
            "driver": spec.driver,
            "template": spec.template,
            "hostname": spec.hostname,
            "memory": _size_or_none(spec.limits.memory_bytes),
            "cpus": spec.limits.cpus,
            "processes": spec.limits.processes,
            "volumes": [_plain_volume(volume) for volume in spec.volumes],
            "binds": {bind.name: _plain_bind(bind) for bind in spec.binds},
            "nics": [_plain_nic(nic) for nic in spec.nics],
            "dns": {
                "nameservers": [str(server) for server in spec.dns.nameservers],
                "search": list(spec.dns.search),
            },
            "metadata": dict(spec.metadata),
            "init": str(spec.init),
            "privileged": spec.privileged,
            "transient": spec.transient,
            "shutdown_timeout": spec.shutdown_timeout_s,
            "after": list(spec.after),
            "autostart": {
                "enabled": spec.autostart.enabled,
                "priority": spec.autostart.priority,
                "delay": spec.autostart.delay_s,
            },
        }
    )


def _plain_volume(volume: Volume) -> dict[str, object]:
    plain: dict[str, object] = {
        "name": volume.name,
        "pool": volume.pool,
        "size": _size_or_none(volume.size_bytes),
    }
    if volume.name != ROOT:
        plain |= {"mount": volume.mount, "read_only": volume.read_only}
    return _without_none(plain)


def _plain_bind(bind: Bind) -> dict[str, object]:
    return {"source": bind.source, "mount": bind.mount, "read_only": bind.read_only}


def _plain_nic(nic: Nic) -> dict[str, object]:
    return {
        "name": nic.name,
        "bridge": nic.bridge,
        "mac": nic.mac,
        "addresses": [str(address) for address in nic.addresses],
        "gateways": [str(gateway) for gateway in nic.gateways],
    }


def _size_or_none(size_bytes: int | None) -> str | None:
    return None if size_bytes is None else format_size(size_bytes)


def _without_none(plain: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in plain.items() if value is not None}
