"""Which ids of the host the users and groups of a guest have: ranges, read and written.

The rules are those of user_namespaces(7): ranges may not overlap, on neither side, and there are at
most 340 of them. A guest needs root, and its root may not be root of the host: for that there is
``privileged``.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from geats_core.reading import fields
from geats_core.reading.checked import Checked, Problem
from geats_core.reading.fields import Reader, each, of_mapping
from geats_core.vm.spec import IdRange, Ids, VMSpec

HIGHEST = (1 << 32) - 2  # the last id is that of nobody who could be
MOST_RANGES = 340
KINDS = {"u": Ids.USERS, "g": Ids.GROUPS}  # as lxc.container.conf(5) calls them

_id = fields.whole_number(0, HIGHEST)
_ids = fields.one_of("kind of ids", Ids)
_count = fields.whole_number(1, HIGHEST)


@of_mapping
def _range(read: Reader) -> Checked[IdRange]:
    return read.done(
        IdRange(
            guest=read.need("guest", _id, 0),
            host=read.need("host", _id, 0),
            count=read.need("count", _count, 1),
            ids=read.take("ids", _ids, Ids.BOTH),
        )
    )


ranges = each(_range)


def problems(path: str, found: Sequence[IdRange], *, privileged: bool) -> Iterator[Problem]:
    """What is wrong with the ranges together."""
    if not found:
        return
    if privileged:
        yield Problem(path, "is for unprivileged VMs only, and the VM is privileged")
    if len(found) > MOST_RANGES:
        yield Problem(path, f"must be of {MOST_RANGES} ranges at most, got {len(found)}")
        return
    for index, each_range in enumerate(found):
        at = f"{path}[{index}]"
        if max(each_range.guest, each_range.host) + each_range.count - 1 > HIGHEST:
            yield Problem(at, f"must end at {HIGHEST} or below")
        if each_range.host == 0:
            yield Problem(f"{at}.host", "must not be root of the host: say privileged for that")
    for kind in KINDS.values():
        own = of_kind(found, kind)
        if not any(each_range.guest == 0 for each_range in own):
            yield Problem(path, f"must have a range for root of the guest (guest: 0) of {kind}")
        for side in ("guest", "host"):
            yield from _overlaps(path, own, side, kind)


def _overlaps(path: str, own: Iterable[IdRange], side: str, kind: Ids) -> Iterator[Problem]:
    before: tuple[int, int] | None = None
    for first, count in sorted((getattr(each_range, side), each_range.count) for each_range in own):
        if before is not None and first < sum(before):
            message = f"has two ranges with the same {kind} of the {side}, from {first} on"
            yield Problem(path, message)
        before = (first, count)


def of_kind(found: Iterable[IdRange], kind: Ids) -> tuple[IdRange, ...]:
    """The ranges for users, or those for groups."""
    return tuple(each_range for each_range in found if each_range.ids in (kind, Ids.BOTH))


def unmapped(spec: VMSpec) -> Iterator[Problem]:
    """Users with an id that their guest has not: nothing could belong to them."""
    owns = [of_kind(spec.idmap, kind) for kind in KINDS.values() if spec.idmap]
    for user in spec.users:
        uid = user.uid or 0
        if not all(any(r.guest <= uid < r.guest + r.count for r in own) for own in owns):
            yield Problem(f"users.{user.name}.uid", f"{uid} is in no range of idmap")


def to_plain(found: Iterable[IdRange]) -> list[dict[str, object]]:
    """The ranges as plain data, as ``ranges`` reads them."""
    return [
        {
            "guest": each_range.guest,
            "host": each_range.host,
            "count": each_range.count,
            **({} if each_range.ids is Ids.BOTH else {"ids": str(each_range.ids)}),
        }
        for each_range in found
    ]


def from_plain(raw: object) -> tuple[IdRange, ...]:
    """The ranges out of such plain data; none if it is no such data."""
    return ranges("idmap", raw).value_or(())


def lxc_values(found: Iterable[IdRange]) -> Iterator[str]:
    """The values of ``lxc.idmap``, in the order of the ranges."""
    for each_range in found:
        for letter, kind in KINDS.items():
            if each_range.ids in (kind, Ids.BOTH):
                yield f"{letter} {each_range.guest} {each_range.host} {each_range.count}"


def from_lxc_values(values: Iterable[str]) -> tuple[IdRange, ...] | None:
    """The ranges out of values of ``lxc.idmap``; None if one of them is none.

    Ranges that are the same for users and groups become one.
    """
    found: list[IdRange] = []
    for value in values:
        kind, *numbers = value.split() or [""]
        ids = KINDS.get(kind, Ids.BOTH if kind == "b" else None)
        if ids is None or len(numbers) != 3 or not all(map(_is_number, numbers)):
            return None
        guest, host, count = map(int, numbers)
        found.append(IdRange(guest=guest, host=host, count=count, ids=ids))
    return _merged(found)


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) < 11


def _merged(found: Iterable[IdRange]) -> tuple[IdRange, ...]:
    by_numbers: dict[tuple[int, int, int], set[Ids]] = {}
    for one in found:
        by_numbers.setdefault((one.guest, one.host, one.count), set()).add(one.ids)
    return tuple(
        IdRange(
            guest=guest, host=host, count=count, ids=kinds.pop() if len(kinds) == 1 else Ids.BOTH
        )
        for (guest, host, count), kinds in by_numbers.items()
    )


def shift(found: Iterable[IdRange]) -> int | None:
    """By how much ids of the host are higher than those of the guest; None if not all alike."""
    shifts = {each_range.host - each_range.guest for each_range in found}
    return shifts.pop() if len(shifts) == 1 else None


def sharing(maps: Mapping[str, Sequence[IdRange]]) -> tuple[tuple[str, ...], ...]:
    """Groups of VMs of which each has ids of the host that another one of the group has too."""
    groups: list[set[str]] = []
    for name in maps:
        mine = [group for group in groups if any(_overlap(maps[name], maps[e]) for e in group)]
        groups = [group for group in groups if group not in mine]
        groups.append({name}.union(*mine))
    return tuple(sorted(tuple(sorted(group)) for group in groups if len(group) > 1))


def _overlap(some: Sequence[IdRange], others: Sequence[IdRange]) -> bool:
    return any(
        one.host < other.host + other.count and other.host < one.host + one.count
        for kind in KINDS.values()
        for one in of_kind(some, kind)
        for other in of_kind(others, kind)
    )
