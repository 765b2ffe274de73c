"""A whole VM in one file: a plain tar of a packed tar or disk for each volume, and of geats.json.

The packed volumes come first, each as it is written; then geats.json, which contains their
checksums and the VM's spec. ``tar`` and ``zstd`` can take all of it apart, without geats.
"""

import errno
import os
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeAlias, assert_never

from geats_core.declared.config import HostConfig
from geats_core.jobs.manifests import Manifest, PackedVolume, manifest_from_json, manifest_to_json
from geats_core.vm.spec import VMSpec
from geats_host.archives.disk_archives import Disk, check_disk, pack_disk, unpack_disk
from geats_host.archives.volume_archives import Packed, Tree, check, pack, unpack
from geats_host.errors import HostError, accepted
from geats_host.storage import Offer, Pool, VolumeId
from geats_host.streams import meters
from geats_host.templates.digests import sha256_of

MANIFEST = "geats.json"
LARGEST_MANIFEST_BYTES = 2**23  # with what the machine remembers
TREE_SUFFIX, DISK_SUFFIX = ".tar.zst", ".raw.zst"
NOTHING: Mapping[str, str] = {}
Content: TypeAlias = Tree | Disk | None  # of a volume; None exists in memory only
# What geats calls an archive that was given no path.
NAMED = re.compile(r"(?P<vm>.+)-(?P<at>\d{4}-\d\d-\d\d-\d{6})(-\d+)?\.geats\.tar")
MAKE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK)  # link(2), where there are no hard links


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive that was read: its content, and the position in the file at which each volume
    begins."""

    path: Path
    manifest: Manifest
    offsets: Mapping[str, int]


def write(
    path: Path,
    spec: VMSpec,
    template: str,
    contents: Mapping[str, Content],
    taken_s: int,
    by_hand: tuple[str, ...] = (),
    done_with_volumes: Callable[[], None] = lambda: None,
    remembered: Mapping[str, str] = NOTHING,
) -> None:
    """Write the VM *spec* with the volumes at *contents*; the file appears only when complete.

    *by_hand* are the lines that a person added to it, *remembered* is what its machine remembers,
    and *taken_s* is now. *done_with_volumes* is called before the file appears: once there is one,
    nothing is left to do. If there is a file at *path* by then, it is not replaced: raises
    ``HostError``.
    """
    with host_errors(path):
        for left in _left_of(path, spec.name):
            left.unlink(missing_ok=True)
    with appearing(path, done_with_volumes) as out:
        about = Manifest(
            spec=spec,
            template=template,
            volumes=(),
            taken_s=taken_s,
            by_hand=by_hand,
            remembered=remembered,
        )
        _write(out, about, contents)


@contextmanager
def appearing(path: Path, done_with_volumes: Callable[[], None]) -> Iterator[BinaryIO]:
    """A new file, which is at *path* once it is whole and on disk; what is there is not replaced.

    *done_with_volumes* is called before that.
    """
    new = new_of(path)
    with host_errors(path):
        new.unlink(missing_ok=True)
        try:
            with open(os.open(new, MAKE, 0o600), "w+b") as out:
                yield out
                out.flush()
                os.fsync(out.fileno())
            done_with_volumes()
            _take_place(new, path)
        except BaseException:
            new.unlink(missing_ok=True)
            raise
        _sync_directory(path.parent)


def _take_place(new: Path, path: Path) -> None:
    """Give the archive its name, unless anything has it.

    Where there are no hard links, an empty file has the name first, so that nobody else takes it.
    """
    try:
        os.link(new, path)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
    else:
        with suppress(OSError):  # the next export removes it
            new.unlink()
        return
    os.close(os.open(path, MAKE, 0o600))
    try:
        new.rename(path)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def folder_of(config: HostConfig) -> Path:
    """Where the archives of a host are that were given no path."""
    return Path(config.state_dir) / "exports"


def new_of(path: Path) -> Path:
    """Where an archive is until it is whole."""
    return path.with_name(f".{path.name}.new")


def named_new(path: Path) -> str:
    """The VM whose archive *path* was to become, one that geats named; empty if it is none."""
    named = NAMED.fullmatch(path.name.removeprefix(".").removesuffix(".new"))
    return named["vm"] if named is not None and path == new_of(path.with_name(named[0])) else ""


def read(path: Path) -> Archive:
    """What an archive says that it contains; ``Refused`` if it is none, or was changed."""
    with host_errors(path), path.open("rb") as file:
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                members = tar.getmembers()
        except (tarfile.TarError, ValueError, OverflowError, EOFError) as error:
            raise HostError(f"{path}: is not an archive of a VM: {error}") from None
        found = {member.name: member for member in members if member.type == tarfile.REGTYPE}
        last = found.get(MANIFEST)
        if last is None or len(found) != len(members) or last.size > LARGEST_MANIFEST_BYTES:
            raise HostError(f"{path}: is not an archive of a VM")
        file.seek(last.offset_data)
        text = file.read(last.size).decode(errors="replace")
        manifest = accepted(manifest_from_json(str(path), text))
        packed = {_member(each): each for each in manifest.volumes}
        if {name: each.size_bytes for name, each in packed.items()} != {
            name: member.size for name, member in found.items() if name != MANIFEST
        }:
            raise HostError(f"{path}: does not contain the volumes that it lists")
        offsets = {each.name: found[name].offset_data for name, each in packed.items()}
    return Archive(path, manifest, offsets)


def verify(archive: Archive, sha256: str | None) -> None:
    """Read an archive whole; ``HostError`` if anything is not what it should be."""
    got = sha256_of(str(archive.path)) if sha256 is not None else None
    if got != sha256:
        raise HostError(f"{archive.path}: must have the sha256 {sha256}, got {got}")
    for volume in archive.manifest.volumes:
        with _volume(archive, volume) as file:
            _check(file, _packed_as(volume))


def unpack_volume(path: Path, name: str, sha256: str, content: Content) -> None:
    """Let the volume at *content* hold what the archive's part *name*, of this sha256, holds."""
    archive = read(path)
    volume = next((each for each in archive.manifest.volumes if each.name == name), None)
    if volume is None or volume.sha256 != sha256:
        raise HostError(f"{path}: has changed since it was checked")
    with _volume(archive, volume) as opened:
        packed = _packed_as(volume)
        file = meters.counted(opened, packed.size_bytes)
        match content:
            case None:
                _check(opened, packed)
            case Tree() if packed.disk_bytes is None:
                unpack(file, packed, content)
            case Disk() if packed.disk_bytes is not None:
                unpack_disk(file, packed, content)
            case Tree() | Disk():
                raise HostError("what is in the archive is of another kind than the volume")
            case _:
                assert_never(content)


def content_of(pool: Pool, volume: VolumeId, aside: Path) -> Content:
    """Where the files or the disk of a volume are; None if it exists in memory only.

    *aside* is a directory for what is needed to read it.
    """
    match pool.offers:
        case Offer.NOTHING:
            return None
        case Offer.DIRECTORY:
            return Tree(pool.path(volume), pool.facts.shifted_by)
        case Offer.BLOCK_DEVICE | Offer.FILE | Offer.QCOW2 as offered:
            return Disk(pool.path(volume), offered, aside)


def _member(volume: PackedVolume) -> str:
    """What the part of a volume is called."""
    return f"{volume.name}{TREE_SUFFIX if volume.disk_bytes is None else DISK_SUFFIX}"


def _packed_as(volume: PackedVolume) -> Packed:
    return Packed(volume.sha256, volume.size_bytes, volume.disk_bytes)


def _check(file: BinaryIO, packed: Packed) -> None:
    if packed.disk_bytes is None:
        check(file, packed)
    else:
        check_disk(file, packed)


@contextmanager
def _volume(archive: Archive, volume: PackedVolume) -> Iterator[BinaryIO]:
    with host_errors(archive.path), archive.path.open("rb") as file:
        file.seek(archive.offsets[volume.name])
        try:
            yield file
        except HostError as error:
            raise HostError(f"{archive.path}: {volume.name}: {error}") from None


def _write(out: BinaryIO, about: Manifest, contents: Mapping[str, Content]) -> None:
    """Each volume, and last what *about* says of the VM, with these volumes."""
    volumes: list[PackedVolume] = []
    for name, content in contents.items():
        if isinstance(content, Disk):
            member, write = f"{name}{DISK_SUFFIX}", partial(pack_disk, content, out)
        else:
            member, write = f"{name}{TREE_SUFFIX}", partial(pack, content, out)
        packed = _append(out, member, about.taken_s, write)
        volumes.append(
            PackedVolume(
                name=name,
                sha256=packed.sha256,
                size_bytes=packed.size_bytes,
                disk_bytes=packed.disk_bytes,
            )
        )
    text = manifest_to_json(replace(about, volumes=tuple(volumes))).encode()
    _append(out, MANIFEST, about.taken_s, lambda: Packed("", out.write(text)))
    out.write(bytes(2 * tarfile.BLOCKSIZE))


def _append(out: BinaryIO, name: str, taken_s: int, write: Callable[[], Packed]) -> Packed:
    """One member: its size is known once it is written, so its header is written last."""
    at = out.tell()
    out.write(bytes(tarfile.BLOCKSIZE))
    packed = write()
    out.write(bytes(-packed.size_bytes % tarfile.BLOCKSIZE))
    header = tarfile.TarInfo(name)
    header.size, header.mtime, header.mode = packed.size_bytes, taken_s, 0o600
    back = out.tell()
    out.seek(at)
    out.write(header.tobuf(tarfile.GNU_FORMAT))
    out.seek(back)
    return packed


def _left_of(path: Path, vm: str) -> Iterator[Path]:
    """What earlier exports of the VM left that were killed: each has a name of its own, for a time.

    None of them is at work: whoever exports holds the VM's operation lock.
    """
    named = NAMED.fullmatch(path.name)
    if named is not None and named["vm"] == vm:
        for each in path.parent.glob(f".{vm}-*.new"):
            if named_new(each) == vm:
                yield each


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def host_errors(path: Path) -> Iterator[None]:
    """What goes wrong with a file, as ``HostError``."""
    try:
        yield
    except OSError as error:
        raise HostError(f"{path}: {error.strerror or error}") from None
