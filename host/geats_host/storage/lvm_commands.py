"""The commands of LVM as lists of arguments, and the reports that it prints, parsed."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from geats_host.errors import HostError

Row: TypeAlias = dict[str, str]

SECTOR = 512
COLUMNS = "lv_name,lv_tags,lv_size,lv_active,pool_lv,thin_id,origin,segtype,zero,data_percent"
REPORT = ("--reportformat", "json", "--units", "b", "--nosuffix", "--options")
ON_ONE_LINE = re.compile(r" *([0-9]+) +([0-9]+) *")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogicalVolume:
    """One line of what ``lvs`` prints.

    ``pool`` is its thin pool, ``thin_id`` what it is there, ``origin`` what it is a snapshot of.
    ``zeroes`` is whether it is a thin pool itself that zeroes what it hands out. ``full`` is how
    much of such a pool, or of a thin volume, is in use in percent; None if it is not active.
    """

    name: str
    size_bytes: int
    tags: frozenset[str] = frozenset()
    active: bool = False
    pool: str | None = None
    thin_id: int | None = None
    origin: str | None = None
    is_thin_pool: bool = False
    zeroes: bool = False
    full: float | None = None


def list_volumes(vg: str) -> list[str]:
    """Report every logical volume of a group, for ``parse_volumes``."""
    return ["lvs", *REPORT, COLUMNS, "--", vg]


def list_groups() -> list[str]:
    """Report every volume group, its size and what is left of it, for ``parse_report``."""
    return ["vgs", *REPORT, "vg_name,vg_size,vg_free"]


def create(
    vg: str, thin_pool: str | None, name: str, size_bytes: int, tags: Iterable[str]
) -> list[str]:
    """Make a volume that is not active, and is not made active when the host starts."""
    if thin_pool is None:
        space = ["--wipesignatures", "n", "--zero", "n", "--size"]
    else:
        space = ["--thinpool", thin_pool, "--virtualsize"]
    argv = ["lvcreate", "--yes", "--activate", "n", "--setactivationskip", "y"]
    return [*argv, *_adding(tags), "--name", name, *space, _size(size_bytes), "--", vg]


def snapshot(vg: str, source: str, name: str, tags: Iterable[str]) -> list[str]:
    """Make a thin volume that shares all that the thin volume *source* holds."""
    argv = ["lvcreate", "--yes", "--snapshot", "--setactivationskip", "y", *_adding(tags)]
    return [*argv, "--name", name, "--", f"{vg}/{source}"]


def activate(vg: str, name: str) -> list[str]:
    """Make its device."""
    return ["lvchange", "--activate", "y", "--ignoreactivationskip", "--", f"{vg}/{name}"]


def deactivate(vg: str, name: str) -> list[str]:
    """Take its device away; LVM refuses it while that is in use."""
    return ["lvchange", "--activate", "n", "--", f"{vg}/{name}"]


def retag(vg: str, name: str, old: frozenset[str], new: frozenset[str]) -> list[str]:
    """Replace tags, all in one commit of the group's metadata; at least one must differ."""
    dropped = [word for tag in sorted(old - new) for word in ("--deltag", tag)]
    return ["lvchange", *dropped, *_adding(new - old), "--", f"{vg}/{name}"]


def extend(vg: str, name: str, size_bytes: int) -> list[str]:
    """Make it larger, also while it is active; it must not be as large yet."""
    return ["lvextend", "--size", _size(size_bytes), "--", f"{vg}/{name}"]


def rename(vg: str, old: str, new: str) -> list[str]:
    """Give it a name that is free."""
    return ["lvrename", "--", vg, old, new]


def remove(vg: str, names: Sequence[str]) -> list[str]:
    """Remove volumes, in any order; LVM refuses it for those that are in use."""
    return ["lvremove", "--yes", "--", *(f"{vg}/{name}" for name in names)]


def copy(source: str, target: str) -> list[str]:
    """Copy one device to the start of another, past the page cache."""
    files = [f"if={source}", f"of={target}", "bs=4M", "status=none"]
    return ["dd", *files, "iflag=direct", "oflag=direct", "conv=fsync,notrunc"]


def message(vg: str, thin_pool: str, text: str) -> list[str]:
    """Tell the kernel's thin pool something."""
    return ["dmsetup", "message", f"{mapped(vg, thin_pool)}-tpool", "0", text]


def list_own_bytes(metadata: str) -> list[str]:
    """Report what each thin volume shares with no other, for ``parse_own_bytes``."""
    fields = ["--format", "DEV,EXCLUSIVE_BYTES"]
    return ["thin_ls", "--metadata-snap", "--no-headers", *fields, metadata]


def mapped(vg: str, name: str) -> str:
    """What device-mapper calls a logical volume."""
    return "-".join(part.replace("-", "--") for part in (vg, name))


def parse_report(text: str, kind: str) -> list[Row]:
    """The rows of a report in JSON; *kind* is ``lv`` or ``vg``."""
    try:
        match json.loads(text):
            case {"report": [dict(report)]} if isinstance(report.get(kind), list):
                return [_row(raw) for raw in report[kind]]
            case _:
                pass
    except ValueError:
        pass
    raise HostError(f"LVM printed a report that makes no sense: {text[:200]!r}")


def parse_volumes(text: str) -> tuple[LogicalVolume, ...]:
    """What ``list_volumes`` reported."""
    return tuple(
        LogicalVolume(
            name=row["lv_name"],
            size_bytes=int(row["lv_size"]),
            tags=frozenset(row["lv_tags"].split(",")) - {""},
            active=row["lv_active"].startswith("active"),
            pool=row["pool_lv"] or None,
            thin_id=int(row["thin_id"]) if row["thin_id"] else None,
            origin=row["origin"] or None,
            is_thin_pool=row["segtype"] == "thin-pool",
            zeroes=row["zero"] == "zero",
            full=float(row["data_percent"]) if row["data_percent"] else None,
        )
        for row in parse_report(text, "lv")
    )


def parse_own_bytes(text: str) -> dict[int, int]:
    """What ``list_own_bytes`` reported, by the id of the thin volume."""
    found = (ON_ONE_LINE.fullmatch(line) for line in text.splitlines())
    return {int(line[1]): int(line[2]) for line in found if line is not None}


def _row(raw: object) -> Row:
    match raw:
        case {**columns} if all(isinstance(value, str) for value in columns.values()):
            return {str(name): str(value) for name, value in columns.items()}
        case _:
            raise ValueError


def _adding(tags: Iterable[str]) -> list[str]:
    return [word for tag in sorted(tags) for word in ("--addtag", tag)]


def _size(size_bytes: int) -> str:
    """Whole sectors; LVM rounds them up to whole extents."""
    return f"{-(-size_bytes // SECTOR) * SECTOR}b"
