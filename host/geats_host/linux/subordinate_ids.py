"""The ids that root may give to unprivileged guests: see subuid(5) and subgid(5)."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from geats_core.vm.idmap import of_kind
from geats_core.vm.spec import IdRange, Ids

A_RANGE = re.compile(r"([^:\s]+):([0-9]{1,10}):([0-9]{1,10})")
ROOT = ("root", "0")  # as whom geats runs; the files may have names or numbers
NEEDED = 65_536  # one guest's worth
PROGRAMS = ("newuidmap", "newgidmap")


def subordinate_ids(etc: Path = Path("/etc")) -> tuple[int, int] | None:
    """The first id and the number of ids of a range that root has for users and groups alike."""
    uids, gids = (_ranges_of_root(etc / file) for file in ("subuid", "subgid"))
    for first, count in uids:
        if (first, count) in gids and count >= NEEDED:
            return first, count
    return None


def allocatable(
    etc: Path = Path("/etc"), taken: Iterable[tuple[int, int]] = ()
) -> tuple[tuple[int, int], ...]:
    """The ranges that root has for users and groups alike, without what others have as well, and
    without those that are *taken*."""
    uids, gids = (_ranges(etc / file) for file in ("subuid", "subgid"))
    roots = [[each for name, *each in found if name in ROOT] for found in (uids, gids)]
    others = [(first, count) for name, first, count in (*uids, *gids) if name not in ROOT]
    both = [common for first, count in roots[0] for common in _within(first, count, roots[1])]
    others += taken
    return tuple(sorted(part for block in both for part in _without(*block, others)))


def _within(first: int, count: int, ranges: Iterable[Sequence[int]]) -> Iterator[tuple[int, int]]:
    """What of the ids is in one of *ranges*."""
    for start, length in ranges:
        low, high = max(first, start), min(first + count, start + length)
        if low < high:
            yield low, high - low


def _without(first: int, count: int, ranges: Iterable[Sequence[int]]) -> Iterator[tuple[int, int]]:
    """What of the ids is in none of *ranges*."""
    end = first + count
    for start, length in sorted(map(tuple, ranges)):
        if start < end and start + length > first:
            if start > first:
                yield first, start - first
            first = start + length
    if first < end:
        yield first, end - first


def lacking(etc: Path = Path("/etc")) -> tuple[str, tuple[str, ...]]:
    """The line that ``subordinate_ids`` misses, and the files of *etc* that do not have it yet."""
    uids, gids = (_ranges_of_root(etc / file) for file in ("subuid", "subgid"))
    for there, file in ((uids, "subgid"), (gids, "subuid")):
        for first, count in there:
            if count >= NEEDED:
                return f"root:{first}:{count}", (file,)
    return f"root:100000:{NEEDED}", ("subuid", "subgid")


def _ranges_of_root(file: Path) -> list[tuple[int, int]]:
    return [(first, count) for name, first, count in _ranges(file) if name in ROOT]


def _ranges(file: Path) -> list[tuple[str, int, int]]:
    """Whose they are, the first id and the number of ids, of each line that says so."""
    lines = file.read_text(errors="replace").splitlines() if file.exists() else []
    matches = filter(None, map(A_RANGE.fullmatch, map(str.strip, lines)))
    return [(match[1], int(match[2]), int(match[3])) for match in matches]


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
