"""Archives for the tests, made member by member: good ones and hostile ones."""

import io
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from geats_core.declared.template import Files, Template

Members = Sequence[tarfile.TarInfo]


def folder(name: str, mode: int = 0o755, owner: int = 0) -> tarfile.TarInfo:
    return _member(name, tarfile.DIRTYPE, mode=mode, owner=owner)


def link(name: str, to: str) -> tarfile.TarInfo:
    return _member(name, tarfile.SYMTYPE, to=to, mode=0o777)


def hard_link(name: str, to: str) -> tarfile.TarInfo:
    return _member(name, tarfile.LNKTYPE, to=to)


def device(name: str) -> tarfile.TarInfo:
    """The null device: harmless, should it ever be made."""
    member = _member(name, tarfile.CHRTYPE)
    member.devmajor, member.devminor = 1, 3
    return member


def fifo(name: str) -> tarfile.TarInfo:
    return _member(name, tarfile.FIFOTYPE)


def file(name: str, content: str = "evil", mode: int = 0o644, owner: int = 0) -> tarfile.TarInfo:
    member = _member(name, tarfile.REGTYPE, mode=mode, owner=owner)
    member.size = len(content)
    member.pax_headers = {"comment": content}  # carried along for write()
    return member


def write(path: Path, members: Iterable[tarfile.TarInfo], kind: str = "w") -> Path:
    """Write an archive of *members*, plain unless *kind* says ``w:gz`` or ``w:xz``."""
    with tarfile.open(path, kind, format=tarfile.PAX_FORMAT) as archive:  # type: ignore[call-overload]
        for member in members:
            content = member.pax_headers.get("comment", "").encode()
            archive.addfile(member, io.BytesIO(content) if member.isreg() else None)
    return path


def tarball(path: Path, *overlays: Path, sha256: str | None = None) -> Template:
    """A template from an archive or a directory, with others on top."""
    on_top = tuple(Files(path=str(each)) for each in overlays)
    return Template(name="t", source=Files(path=str(path), sha256=sha256), overlays=on_top)


def _member(
    name: str, kind: bytes, *, to: str = "", mode: int = 0o644, owner: int = 0
) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.mode = kind, to, mode
    member.uid = member.gid = owner
    return member
