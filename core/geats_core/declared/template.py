"""Templates as they are declared: one source each, and archives or directories on top of it."""

import re
from collections.abc import Callable
from enum import StrEnum
from typing import TypeAlias, TypeVar

from returns.result import Failure, Success

from geats_core.reading import fields
from geats_core.reading.checked import Checked, Problem, problem, shown
from geats_core.reading.fields import Reader, of_mapping
from geats_core.reading.mappings import shorthand
from geats_core.reading.schemas import Described, Parser, taking
from geats_core.reading.sizes import parse_size
from geats_core.reading.values import dataclass
from geats_core.vm.spec import RootKind

T = TypeVar("T")
OUTPUT = "{output}"  # stands for the path of the tarball, in the words of a build command
BUILD_TIMEOUT_S = 3600

URL = re.compile(
    r"https?://([A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\])(:[0-9]{1,5})?(/[A-Za-z0-9._~%+@=,-]+)*/?"
)
ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+:-]{0,127}")
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@:/+-]{0,254}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """A tarball or a directory; which of them is found out when it is opened."""

    path: str
    sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OciImage:
    """An image in the layout of the OCI: a directory, or an archive of one."""

    path: str
    tag: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LxdImage:
    """An image of LXD or distrobuilder: one tarball, or the metadata and the rootfs apart."""

    path: str
    sha256: str | None = None
    rootfs: str | None = None
    rootfs_sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LxdDisk:
    """An image of a virtual machine of LXD or Incus: one tarball, or metadata and disk apart.

    The disk is in the format qcow2, in a tarball as ``rootfs.img``.
    """

    path: str
    sha256: str | None = None
    rootfs: str | None = None
    rootfs_sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Simplestreams:
    """The newest image with an alias on a server; *sha256* names the one rootfs that will do.

    Most images are there twice: for containers, as a tree, and for virtual machines, as a disk.
    """

    url: str
    alias: str
    arch: str | None = None
    sha256: str | None = None
    root_kind: RootKind = RootKind.TREE


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """A command that makes a tarball at the path that replaces ``{output}``."""

    command: tuple[str, ...]
    timeout_s: int = BUILD_TIMEOUT_S


class DiskFormat(StrEnum):
    """How a disk is in a file. It is always said: a guest could make its disk look like another."""

    RAW = "raw"
    QCOW2 = "qcow2"


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskFile:
    """A disk image in a file of the host."""

    path: str
    format: DiskFormat
    sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskDownload:
    """A disk image on a server; *sha256* says which one, whatever the server has later.

    *disk_bytes* is how large the disk in it is, for plans that are made before it is downloaded.
    """

    url: str
    format: DiskFormat
    sha256: str
    disk_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Empty:
    """Nothing: a root that a guest installs itself on, or that people fill by hand."""

    root_kind: RootKind


Disk: TypeAlias = DiskFile | DiskDownload
Source: TypeAlias = Files | OciImage | LxdImage | LxdDisk | Simplestreams | Build | Disk | Empty


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """What a root volume is filled from: a source, and then each overlay on top of the last."""

    name: str
    source: Source
    overlays: tuple[Files, ...] = ()

    @property
    def root_kind(self) -> RootKind:
        """Whether it is a tree of files or a disk image: its declaration says so."""
        match self.source:
            case DiskFile() | DiskDownload() | LxdDisk():
                return RootKind.DISK
            case Simplestreams(root_kind=kind) | Empty(root_kind=kind):
                return kind
            case _:
                return RootKind.TREE


@of_mapping
def parse_template(read: Reader) -> Checked[Template]:
    """Read a template out of the mapping that declares it; its name is the last of the path."""
    source = _source(read)
    no_overlays: tuple[Files, ...] = ()
    overlays = read.take("overlays", fields.each(_files), no_overlays) + _one_overlay(read)
    name = read.path.rpartition(".")[2]
    template = Template(name=name, source=source, overlays=overlays)
    if template.root_kind is RootKind.DISK and overlays:
        read.problems.append(Problem(read.path, "must have no overlays: a disk image is whole"))
    return read.done(template)


def kind(source: Source) -> str:
    """The key under which *source* is declared."""
    return next(key for key, (type_, _) in SOURCES.items() if isinstance(source, type_))


def _source(read: Reader) -> Source:
    given = [key for key in SOURCES if read.raw.get(key) is not None]
    if len(given) != 1:
        got = " and ".join(given) or "none"
        there = f"must have exactly one of {', '.join(SOURCES)}, got {got}"
        read.problems.append(Problem(read.path, there))
    if read.raw.get("sha256") is not None and "path" not in given:
        read.problems.append(Problem(read.at("sha256"), "is allowed only with path"))
    none = Files(path="/")
    found = [read_source(read, key) for key, (_, read_source) in SOURCES.items()]
    return next((each for each in found if each is not None), none)


def _path(read: Reader, key: str) -> Source | None:
    sha256 = read.take("sha256", fields.sha256, None)
    path = read.take(key, fields.absolute_path, None)
    return None if path is None else Files(path=path, sha256=sha256)


def _one_overlay(read: Reader) -> tuple[Files, ...]:
    """``overlay`` and ``overlay_sha256``: a list of one, in words of its own."""
    path = read.take("overlay", fields.absolute_path, None)
    sha256 = read.take("overlay_sha256", fields.sha256, None)
    if read.raw.get("overlay") is None:
        if read.raw.get("overlay_sha256") is not None:
            read.problems.append(Problem(read.at("overlay_sha256"), "is allowed only with overlay"))
    elif read.raw.get("overlays") is not None:
        read.problems.append(Problem(read.path, "must have overlay or overlays, not both"))
    return () if path is None else (Files(path=path, sha256=sha256),)


def _or_path(whole: Parser[T]) -> Described[T]:
    """A plain path is short for a mapping with nothing else."""
    return shorthand(str, fields.absolute_path.schema(), "path", whole)


@of_mapping
def _files_mapping(read: Reader) -> Checked[Files]:
    path = read.need("path", fields.absolute_path, "/")
    return read.done(Files(path=path, sha256=read.take("sha256", fields.sha256, None)))


_files = _or_path(_files_mapping)


@of_mapping
def _oci_mapping(read: Reader) -> Checked[Source | None]:
    path = read.need("path", fields.absolute_path, "/")
    return read.done(OciImage(path=path, tag=read.take("tag", _tag, None)))


_oci = _or_path(_oci_mapping)


@of_mapping
def _image_mapping(read: Reader) -> Checked[Source | None]:
    root_kind = read.take("kind", _root_kind, RootKind.TREE)
    type_: type[LxdImage | LxdDisk] = LxdDisk if root_kind is RootKind.DISK else LxdImage
    image = type_(
        path=read.need("path", fields.absolute_path, "/"),
        sha256=read.take("sha256", fields.sha256, None),
        rootfs=read.take("rootfs", fields.absolute_path, None),
        rootfs_sha256=read.take("rootfs_sha256", fields.sha256, None),
    )
    if image.rootfs_sha256 is not None and read.raw.get("rootfs") is None:
        read.problems.append(Problem(read.at("rootfs_sha256"), "is allowed only with rootfs"))
    return read.done(image)


_image = _or_path(_image_mapping)


@of_mapping
def _disk(read: Reader) -> Checked[Source | None]:
    path = read.take("path", fields.absolute_path, None)
    url = read.take("url", server_url, None)
    format_ = read.need("format", _format, DiskFormat.RAW)
    sha256 = read.take("sha256", fields.sha256, None)
    disk_bytes = read.take("disk_size", parse_size, None)
    given = [key for key in ("path", "url") if read.raw.get(key) is not None]
    if len(given) != 1:
        got = " and ".join(given) or "none"
        read.problems.append(Problem(read.path, f"must have exactly one of path, url, got {got}"))
    if given == ["url"]:
        read.miss("sha256")
    if url is None:
        if disk_bytes is not None:
            at = read.at("disk_size")
            read.problems.append(Problem(at, "is only for a url: of a file, geats looks"))
        return read.done(DiskFile(path=path or "/", format=format_, sha256=sha256))
    return read.done(
        DiskDownload(url=url, format=format_, sha256=sha256 or "", disk_bytes=disk_bytes)
    )


@of_mapping
def _simplestreams(read: Reader) -> Checked[Source | None]:
    return read.done(
        Simplestreams(
            url=read.need("url", server_url, ""),
            alias=read.need("alias", _alias, ""),
            arch=read.take("arch", fields.name, None),
            sha256=read.take("sha256", fields.sha256, None),
            root_kind=read.take("kind", _root_kind, RootKind.TREE),
        )
    )


def _empty(read: Reader, key: str) -> Source | None:
    root_kind = read.take(key, _empty_kind, None)
    return None if root_kind is None else Empty(root_kind=root_kind)


@of_mapping
def _build(read: Reader) -> Checked[Source | None]:
    return read.done(
        Build(
            command=read.need("command", _command, ()),
            timeout_s=read.take("timeout", fields.positive_int, BUILD_TIMEOUT_S),
        )
    )


@taking(fields.each(fields.text).schema())
def _command(path: str, raw: object) -> Checked[tuple[str, ...]]:
    """A list of words, such that one of them says where the tarball goes."""
    match fields.each(fields.text)(path, raw):
        case Success(words):
            if words and words[0] and any(OUTPUT in word for word in words[1:]):
                return Success(words)
            return problem(path, f"must be a command whose words have {OUTPUT}, got {shown(raw)}")
        case Failure() as refused:
            return refused


_format = fields.one_of("format", DiskFormat)
_root_kind = fields.one_of("kind", RootKind)
_empty_kind = fields.one_of("kind of root", RootKind)
_tag = fields.matching(TAG, "a tag or reference of an image")
server_url = fields.matching(URL, "an http or https URL without a query")
_alias = fields.matching(ALIAS, "an alias such as debian/12")


def _under_key(
    parse: Callable[[str, object], Checked[Source | None]],
) -> Callable[[Reader, str], Source | None]:
    return lambda read, key: read.take(key, parse, None)


Types: TypeAlias = type[Source] | tuple[type[Source], ...]
SOURCES: dict[str, tuple[Types, Callable[[Reader, str], Source | None]]] = {
    "path": (Files, _path),
    "oci": (OciImage, _under_key(_oci)),
    "image": ((LxdImage, LxdDisk), _under_key(_image)),
    "simplestreams": (Simplestreams, _under_key(_simplestreams)),
    "build": (Build, _under_key(_build)),
    "disk": ((DiskFile, DiskDownload), _under_key(_disk)),
    "empty": (Empty, _empty),
}
