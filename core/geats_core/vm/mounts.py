"""What a VM mounts: its own volumes, directories of the host, volumes that other VMs share."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from itertools import permutations

from geats_core.reading import fields
from geats_core.reading.checked import Checked, Problem, repeated
from geats_core.reading.fields import Reader, each, named, of_mapping
from geats_core.reading.sizes import format_size, parse_size
from geats_core.vm.spec import ROOT, Bind, SharedVolume, VMSpec, Volume

DEFAULT_POOL = "default"
PRIVATE, SLAVE = "private", "slave"  # what a guest sees of later mounts: see mount(8)
DEFAULT_VOLUMES: tuple[Volume, ...] = (Volume(name=ROOT, pool=DEFAULT_POOL, mount="/"),)
NO_BINDS: Mapping[str, Bind] = {}
NO_SHARED_VOLUMES: Mapping[str, SharedVolume] = {}
Mounts = tuple[tuple[Volume, ...], tuple[Bind, ...], tuple[SharedVolume, ...]]


def read_mounts(read: Reader, vm_name: str) -> Mounts:
    """Take ``volumes``, ``binds`` and ``shared_volumes``; problems are kept in *read*."""
    volumes = read.take("volumes", _volumes, DEFAULT_VOLUMES)
    given = read.take("binds", _binds, NO_BINDS)
    binds = tuple(replace(given[name], name=name) for name in sorted(given))
    others = read.take("shared_volumes", _shared_volumes, NO_SHARED_VOLUMES)
    shared = tuple(_named(others[key], key) for key in sorted(others))
    read.problems += [
        *repeated("volumes", "name", [volume.name for volume in volumes]),
        *repeated("volumes", "mount", [volume.mount for volume in volumes]),
        *_within_others(binds, shared, volumes),
        *_both_ways(binds),
        *_wrong_shared_volumes(vm_name, shared, volumes),
    ]
    if all(volume.name != ROOT for volume in volumes):
        read.problems.append(Problem("volumes", f"must contain a volume named {ROOT!r}"))
    return tuple(sorted(volumes, key=_mounted_first)), binds, shared


def _mounted_first(volume: Volume) -> tuple[bool, str]:
    """What is mounted on another one comes after it; what nothing mounts stays in its order."""
    return not volume.mount, volume.mount


@of_mapping
def _volume(read: Reader) -> Checked[Volume]:
    name = read.need("name", fields.name, "")
    if name == ROOT:
        read.problems.extend(
            Problem(read.at(key), "is not for the root volume")
            for key in ("mount", "read_only", "shared")
            if key in read.raw
        )
        mount = "/"
        read.known |= {"mount"}
    else:
        mount = read.take("mount", fields.mount, "")
    return read.done(
        Volume(
            name=name,
            mount=mount,
            pool=read.take("pool", fields.name, DEFAULT_POOL),
            size_bytes=read.take("size", _size, None),
            read_only=read.take("read_only", fields.boolean, False),
            shared=read.take("shared", fields.boolean, False),
        )
    )


_propagation = fields.one_of("propagation", [PRIVATE, SLAVE])


@of_mapping
def _bind(read: Reader) -> Checked[Bind]:
    recursive = read.take("recursive", fields.boolean, False)
    file = read.take("file", fields.boolean, False)
    if recursive and file:
        read.problems.append(
            Problem(read.at("recursive"), "is for directories, and not for a file")
        )
    read_only = read.take("read_only", fields.boolean, True)
    slave = read.take("propagation", _propagation, PRIVATE) == SLAVE
    if slave and (read_only or file):
        message = "is for directories that the guest may write to (read_only: false)"
        read.problems.append(Problem(read.at("propagation"), message))
    return read.done(
        Bind(
            name="",
            source=read.need("source", fields.bind_source, ""),
            mount=read.need("mount", fields.mount, ""),
            read_only=read_only,
            recursive=recursive,
            optional=read.take("optional", fields.boolean, False),
            file=file,
            slave=slave,
        )
    )


@of_mapping
def _shared_volume(read: Reader) -> Checked[SharedVolume]:
    return read.done(
        SharedVolume(
            name="",
            vm=read.need("vm", fields.vm_name, ""),
            volume=read.take("volume", fields.name, ""),
            pool=read.take("pool", fields.name, DEFAULT_POOL),
            mount=read.need("mount", fields.mount, ""),
            read_only=read.take("read_only", fields.boolean, True),
        )
    )


_size = fields.or_none(parse_size)
_volumes, _binds, _shared_volumes = each(_volume), named(_bind), named(_shared_volume)


def _named(shared: SharedVolume, name: str) -> SharedVolume:
    return replace(shared, name=name, volume=shared.volume or name)


def _within_others(
    binds: Iterable[Bind], shared: Iterable[SharedVolume], volumes: Iterable[Volume]
) -> Iterable[Problem]:
    """What is mounted where a bind is, or below: there, others may replace what it is on.

    The same goes for volumes of other VMs.
    """
    others = {f"binds.{bind.name}.mount": (f"the bind {bind.name!r}", bind.mount) for bind in binds}
    others |= {
        f"shared_volumes.{other.name}.mount": (f"the shared volume {other.name!r}", other.mount)
        for other in shared
    }
    mounts = mount_points(volumes, binds, shared)
    for own, (what, above) in others.items():
        for path, mount in mounts.items():
            if f"{mount}/".startswith(f"{above}/") and path != own:
                yield Problem(path, f"{mount!r} is within {what} at {above}")


def mount_points(
    volumes: Iterable[Volume], binds: Iterable[Bind], shared: Iterable[SharedVolume]
) -> dict[str, str]:
    """Where each is mounted in the guest, by the path of the key that says so."""
    own = {f"volumes[{v.name}].mount": v.mount for v in volumes if v.mount not in ("", "/")}
    bound = {f"binds.{bind.name}.mount": bind.mount for bind in binds}
    return own | bound | {f"shared_volumes.{other.name}.mount": other.mount for other in shared}


def hiding(spec: VMSpec) -> Iterable[Problem]:
    """What is mounted where the guest needs what is there anyway."""
    mounts = mount_points(spec.volumes, spec.binds, spec.shared_volumes)
    for path, mount in {**mounts, **{f"tmpfs.{e.mount}": e.mount for e in spec.tmpfs}}.items():
        why = fields.reserved(mount, fields.NO_MOUNTS)
        if why:
            yield Problem(path, why)


def _wrong_shared_volumes(
    vm_name: str, shared: Collection[SharedVolume], volumes: Iterable[Volume]
) -> Iterable[Problem]:
    """Volumes that are the VM's own, or are there twice, and names that its own have."""
    own = {volume.name for volume in volumes}
    for other in shared:
        path = f"shared_volumes.{other.name}"
        if other.vm and other.vm == vm_name:
            yield Problem(f"{path}.vm", "cannot name the VM itself")
        if other.name in own:
            yield Problem(path, "has the name of a volume of the VM's own")
    yield from repeated("shared_volumes", "volume", [str(other) for other in shared])


def _both_ways(binds: Collection[Bind]) -> Iterable[Problem]:
    """What would be read-only as a part of another source, and is not by itself; or the reverse."""
    for bind, other in permutations(binds, 2):
        if f"{bind.source}/".startswith(f"{other.source}/") and bind.read_only != other.read_only:
            both = f"{bind.source!r} is within the source of the bind {other.name!r}"
            yield Problem(f"binds.{bind.name}.source", f"{both}, and one of them is read-only")


def mounts_to_plain(
    volumes: Iterable[Volume], binds: Iterable[Bind], shared: Iterable[SharedVolume]
) -> dict[str, object]:
    """As people write it."""
    return {
        "volumes": [_plain_volume(volume) for volume in volumes],
        "binds": {bind.name: _plain_bind(bind) for bind in binds},
        "shared_volumes": {other.name: _plain_shared(other) for other in shared},
    }


def _plain_volume(volume: Volume) -> dict[str, object]:
    plain: dict[str, object] = {
        "name": volume.name,
        "pool": volume.pool,
        "size": size_or_none(volume.size_bytes),
    }
    if volume.name != ROOT:
        plain |= {
            "mount": volume.mount or None,
            "read_only": volume.read_only,
            "shared": volume.shared,
        }
    return without_none(plain)


def _plain_bind(bind: Bind) -> dict[str, object]:
    """What it is not is left out: an older geats, which does not know the keys, reads the rest."""
    kinds = {"recursive": bind.recursive, "optional": bind.optional, "file": bind.file}
    return {
        "source": bind.source,
        "mount": bind.mount,
        "read_only": bind.read_only,
        **{key: True for key, is_so in kinds.items() if is_so},
        **({"propagation": SLAVE} if bind.slave else {}),
    }


def _plain_shared(other: SharedVolume) -> dict[str, object]:
    return {
        "vm": other.vm,
        "volume": other.volume,
        "pool": other.pool,
        "mount": other.mount,
        "read_only": other.read_only,
    }


def size_or_none(size_bytes: int | None) -> str | None:
    return None if size_bytes is None else format_size(size_bytes)


def without_none(plain: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in plain.items() if value is not None}
