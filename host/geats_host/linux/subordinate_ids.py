"""The ids that root may give to unprivileged guests: see subuid(5) and subgid(5)."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from geats_core.vm.idmap import of_kind
from geats_core.vm.spec import IdRange, Ids

ROOTS_RANGE = re.compile(r"root:(\d+):(\d+)")
NEEDED = 65_536  # one guest's worth
PROGRAMS = ("newuidmap", "newgidmap")


def subordinate_ids(etc: Path = Path("/etc")) -> tuple[int, int] | None:
    """The first id and the number of ids of a range that root has for users and groups alike."""
    uids, gids = (_ranges_of_root(etc / file) for file in ("subuid", "subgid"))
    for first, count in uids:
        if (first, count) in gids and count >= NEEDED:
            return first, count
    return None


def lacking(etc: Path = Path("/etc")) -> tuple[str, tuple[str, ...]]:
    """The line that ``subordinate_ids`` misses, and the files of *etc* that do not have it yet."""
    uids, gids = (_ranges_of_root(etc / file) for file in ("subuid", "subgid"))
    for there, file in ((uids, "subgid"), (gids, "subuid")):
        for first, count in there:
            if count >= NEEDED:
                return f"root:{first}:{count}", (file,)
    return f"root:100000:{NEEDED}", ("subuid", "subgid")


def _ranges_of_root(file: Path) -> list[tuple[int, int]]:
    lines = file.read_text().splitlines() if file.exists() else []
    matches = filter(None, map(ROOTS_RANGE.fullmatch, map(str.strip, lines)))
    return [(int(match[1]), int(match[2])) for match in matches]


def not_roots(idmap: Sequence[IdRange], etc: Path = Path("/etc")) -> Iterator[str]:
    """Which ranges of *idmap* root may not give, and what to do: for users, then for groups.

    liblxc lets newuidmap(1) and newgidmap(1) map ids if they are there, and these take only what is
    in ``/etc/subuid`` and ``/etc/subgid``. Without them root may give any (``src/lxc/conf.c``).
    """
    from shutil import which  # it takes long to load, and observing needs none

    if not all(map(which, PROGRAMS)):
        return
    for kind, file in ((Ids.USERS, "subuid"), (Ids.GROUPS, "subgid")):
        roots = sorted(_ranges_of_root(etc / file))
        for each in of_kind(idmap, kind):
            if not _covered(each.host, each.count, roots):
                line = f"root:{each.host}:{each.count}"
                last = each.host + each.count - 1
                yield f"root may not give {kind} {each.host} to {last}: add {line} to /etc/{file}"


def _covered(first: int, count: int, roots: Sequence[tuple[int, int]]) -> bool:
    """Whether ranges that follow each other have them all; *roots* are sorted."""
    end = first + count
    for start, length in roots:
        if start <= first < start + length:
            first = start + length
    return first >= end
