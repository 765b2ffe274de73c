"""What every source of a template comes down to: layers, put on a directory one over the other."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias, assert_never

from geats_core.reading.values import dataclass
from geats_host.errors import HostError
from geats_host.guest_trees import trees
from geats_host.guest_trees.guest_files import is_guest_file, write_guest_files
from geats_host.guest_trees.subvolumes import removed_as_subvolume
from geats_host.linux.descriptors import open_directory
from geats_host.linux.mounts import mounts_below
from geats_host.linux.namespaces import sync_filesystem, writing_only_to
from geats_host.linux.run import run
from geats_host.templates import tarballs
from geats_host.templates.squashfs import unpack_squashfs
from geats_host.templates.store import Store
from geats_host.templates.whiteouts import NO_WHITEOUTS, make_way

COPY = ("cp", "--archive", "--reflink=auto", "--one-file-system", "--target-directory=.", "--")
PACK = ("tar", "--create", "--one-file-system", "--xattrs", "--xattrs-include=*", "--acls")
MACHINE_ID = "etc/machine-id"  # names one machine, so a copy starts without: machine-id(5)
TIMEOUT_S = 3600


@dataclass(frozen=True, slots=True)
class TarLayer:
    """An archive, or only what is *below* one of its folders."""

    path: str
    below: str = ""


@dataclass(frozen=True, slots=True)
class TreeLayer:
    """A directory."""

    path: str


@dataclass(frozen=True, slots=True)
class OciLayer:
    """A layer of an OCI image: whiteouts in it say what it removes from the layers below."""

    path: str


@dataclass(frozen=True, slots=True)
class SquashfsLayer:
    """A squashfs, whose filesystem is read by a program and never mounted."""

    path: str


Layer: TypeAlias = TarLayer | TreeLayer | OciLayer | SquashfsLayer


def empty(target: Path) -> None:
    """Remove everything in *target*; refused if something is mounted below it."""
    with _host_errors(target):
        below = mounts_below(target, itself=False)
        if below:
            raise HostError(f"{target}: is not emptied because {below[0]} is mounted")
        with open_directory(target) as directory:
            trees.empty(directory, removed_as_subvolume)


def put(layer: Layer, target: Path, store: Store) -> None:
    """Put a layer over what is in *target*, and write nowhere else."""
    match layer:
        case TarLayer(path, below):
            tarballs.unpack(path, target, below=below)
        case TreeLayer(path):
            _put_tree(path, target, store)
        case OciLayer(path):
            make_way(path, target)
            tarballs.unpack(path, target, options=NO_WHITEOUTS)
        case SquashfsLayer(path):
            unpack_squashfs(path, target)
        case _:
            assert_never(layer)


def bytes_of(layers: Iterable[Layer]) -> int | None:
    """How many bytes are read to put them on a directory; None if nobody counts them."""
    layers = tuple(layers)
    archives = [each.path for each in layers if isinstance(each, TarLayer | OciLayer)]
    return sum(map(os.path.getsize, archives)) if len(archives) == len(layers) else None


def finish(target: Path) -> None:
    """Make it the root of a guest's own tree, durably."""
    renew_machine_id(target)
    with _host_errors(target), open_directory(target) as directory:
        os.fchown(directory, 0, 0)
        os.fchmod(directory, 0o755)  # whatever the layer's own "." says
        sync_filesystem(directory)


def renew_machine_id(target: Path, *, owner: int = 0) -> None:
    """Remove the machine id, so that the guest gets its own when it starts."""
    if is_guest_file(target, MACHINE_ID):
        write_guest_files(target, {MACHINE_ID: ""}, mode=0o444, owner=owner)


def _put_tree(path: str, target: Path, store: Store) -> None:
    """On an empty target, a copy that may share the content; else just as an archive of it."""
    with _host_errors(target):
        names = sorted(os.listdir(path))
        is_first = not os.listdir(target)
    if is_first:
        _copy_tree(path, names, target)
        return
    with store.scratch() as scratch:
        archive = f"{scratch / 'tree.tar'}"
        exclude = ("--anchored", "--exclude=./dev/*")
        run([*PACK, *exclude, f"--file={archive}", f"--directory={path}", "."], timeout_s=TIMEOUT_S)
        tarballs.unpack(archive, target)


def _copy_tree(path: str, names: list[str], target: Path) -> None:
    """Copy all but what is in ``dev``, which is recreated."""
    sources = [os.path.join(os.path.realpath(path), name) for name in names if name != "dev"]

    def copy() -> None:
        argv = ["env", f"--chdir={target}", *COPY, *sources]
        if sources:
            run(argv, timeout_s=TIMEOUT_S, ends_with_us=True)

    try:
        writing_only_to(target, copy)
    except HostError as error:
        raise HostError(f"{path} cannot be copied to {target}: {error}") from None
    if os.path.isdir(os.path.join(path, "dev")):
        with _host_errors(target), open_directory(target) as directory:
            os.mkdir("dev", 0o755, dir_fd=directory)


@contextmanager
def _host_errors(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        name = f" ({error.filename})" if isinstance(error.filename, str) else ""
        raise HostError(f"{place}: {error.strerror}{name}") from None
