"""Images of LXD for the tests."""

import copy
import tarfile
from pathlib import Path

from geats_core.declared.template import LxdImage, Template
from tests.host.templates.archives import Members, file, folder, write

METADATA = "architecture: x86_64\ncreation_date: 1\nproperties: {os: debian}\ntemplates: {}\n"


def below(prefix: str, members: Members) -> list[tarfile.TarInfo]:
    """The same members, in a folder; hard links lead to the same files."""
    moved = [copy.copy(member) for member in members]
    for member in moved:
        member.name = f"{prefix}/{member.name}"
        if member.islnk():
            member.linkname = f"{prefix}/{member.linkname}"
    return moved


def whole_image(path: Path, members: Members, kind: str = "w:xz") -> Template:
    """A template from an image in one, with these members in its rootfs."""
    top = [file("metadata.yaml", METADATA), folder("templates"), folder("rootfs")]
    return lxd(write(path, [*top, *below("rootfs", members)], kind))


def lxd(path: Path, rootfs: Path | None = None) -> Template:
    apart = None if rootfs is None else str(rootfs)
    return Template(name="t", source=LxdImage(path=str(path), rootfs=apart))
