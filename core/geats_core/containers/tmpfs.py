"""Filesystems in memory that a container has at its start, such as ``/tmp`` or ``/dev/shm``."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from geats_core.reading import fields
from geats_core.reading.checked import Checked, Problem, problem, shown
from geats_core.reading.fields import Reader, named, of_mapping
from geats_core.reading.mappings import shorthand
from geats_core.reading.schemas import taking, text_matching
from geats_core.reading.sizes import format_size, parse_size
from geats_core.reading.values import dataclass

SAFE = frozenset({"nosuid", "nodev"})  # options that each has
MODE = re.compile("[0-7]{3,4}")
ANYBODYS = "1777"  # who made a file may delete it, and nobody else: as in /tmp


@dataclass(frozen=True, slots=True, kw_only=True)
class Tmpfs:
    """A filesystem in memory, at ``mount``; without a size, it may have half of the host's memory.

    ``mode`` is that of its directory, in octal.
    """

    mount: str
    size_bytes: int | None = None
    mode: str = ANYBODYS


@taking(text_matching(MODE.pattern, "an octal mode as text, such as '0755'"))
def _mode(path: str, raw: object) -> Checked[str]:
    if isinstance(raw, str) and MODE.fullmatch(raw):
        return fields.text(path, f"{int(raw, 8):03o}")  # one text for each mode
    return problem(path, f"must be an octal mode as text, such as '0755', got {shown(raw)}")


_size = fields.or_none(parse_size)


@of_mapping
def _tmpfs(read: Reader) -> Checked[Tmpfs]:
    return read.done(
        Tmpfs(
            mount="",
            size_bytes=read.take("size", _size, None),
            mode=read.take("mode", _mode, ANYBODYS),
        )
    )


_all = named(shorthand(str, _size.schema(), "size", _tmpfs), fields.mount)
NONE: Mapping[str, Tmpfs] = {}


def read_tmpfs(read: Reader, others: Mapping[str, str]) -> tuple[Tmpfs, ...]:
    """Take ``tmpfs``; problems are kept in *read*. *others* are other mounts, by their paths."""
    given = read.take("tmpfs", _all, NONE)
    for mount in given:
        for path, other in others.items():
            if mount == other or (not path.startswith("volumes") and _is_within(mount, other)):
                message = f"is within what {path.rpartition('.')[0]} mounts at {other}"
                read.problems.append(Problem(f"tmpfs.{mount}", message))
    return tuple(replace(given[mount], mount=mount) for mount in sorted(given))


def _is_within(mount: str, other: str) -> bool:
    return mount.startswith(f"{other}/")


def tmpfs_to_plain(tmpfs: Iterable[Tmpfs]) -> dict[str, object]:
    """As people write it, without what is usual; nothing if there is none."""
    plain: dict[str, object] = {
        each.mount: {
            **({} if each.size_bytes is None else {"size": format_size(each.size_bytes)}),
            **({} if each.mode == ANYBODYS else {"mode": each.mode}),
        }
        for each in tmpfs
    }
    return {"tmpfs": plain} if plain else {}


def tmpfs_line(each: Tmpfs) -> str:
    """The line of one."""
    size = "" if each.size_bytes is None else f",size={each.size_bytes}"
    options = f"rw,nosuid,nodev,create=dir,mode={each.mode}{size}"
    return f"lxc.mount.entry = tmpfs {each.mount[1:]} tmpfs {options} 0 0"


def tmpfs_of(mount: str, options: Iterable[str]) -> dict[str, object] | None:
    """The key and value that say what a line with these *options* does; None if none does."""
    words = {*options} - {"rw", "defaults", "create=dir", "relatime"} - SAFE
    said = dict(word.split("=", 1) for word in words if "=" in word)
    if words - {f"{key}={value}" for key, value in said.items()} or said.keys() - {"size", "mode"}:
        return None
    if mount in fields.NO_MOUNTS:
        return None
    size = said.get("size", "none")
    raw = {"size": size.upper() if size != "none" else size, "mode": said.get("mode", ANYBODYS)}
    read = Reader("", {"tmpfs": {mount: raw}})
    found = read_tmpfs(read, {})
    return None if read.problems else tmpfs_to_plain(found)
