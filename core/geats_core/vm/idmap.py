"""Which ids of the host the users and groups of a guest have: ranges, read and written.

The rules are those of user_namespaces(7): ranges may not overlap, on neither side, and there are at
most 340 of them. A guest needs root, and its root may not be root of the host: for that there is
``privileged``.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from returns.result import Success

from geats_core.containers.own_ids import ENOUGH, IdRange, Ids, OwnIds, merged
from geats_core.containers.own_ids import of_kind as of_kind
from geats_core.reading import fields
from geats_core.reading.checked import Checked, Problem, problem, shown
from geats_core.reading.fields import Reader, each, of_mapping
from geats_core.reading.mappings import shorthand
from geats_core.reading.schemas import any_of, schema_of, taking, words
from geats_core.vm.spec import VMSpec

HIGHEST = (1 << 32) - 2  # the last id is that of nobody who could be
MOST_RANGES = 340
AUTO = "auto"
KINDS = {"u": Ids.USERS, "g": Ids.GROUPS}  # as lxc.container.conf(5) calls them

_id = fields.whole_number(0, HIGHEST)
_ids = fields.one_of("kind of ids", Ids)
_count = fields.whole_number(1, HIGHEST)
_first = fields.whole_number(1, HIGHEST)


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


@of_mapping
def _hole(read: Reader) -> Checked[IdRange]:
    guest, host = read.need("guest", _id, 0), read.take("host", _id, None)
    return read.done(
        IdRange(
            guest=guest,
            host=guest if host is None else host,
            count=read.take("count", _count, 1),
            ids=read.take("ids", _ids, Ids.BOTH),
        )
    )


NO_HOLES: tuple[IdRange, ...] = ()
_holes = each(shorthand(int, fields.whole_number(0, HIGHEST).schema(), "guest", _hole))


@of_mapping
def _own(read: Reader) -> Checked[OwnIds]:
    return read.done(
        OwnIds(
            count=read.take("count", _count, ENOUGH),
            first=read.take("first", fields.or_none(_first), None),
            through=read.take("through", _holes, NO_HOLES),
        )
    )


@taking(any_of(words([AUTO]), schema_of(_own), schema_of(ranges)))
def idmap(path: str, raw: object) -> Checked[tuple[IdRange, ...] | OwnIds]:
    """A list of ranges; or what says that geats allocates one: ``auto``, or a mapping."""
    if raw == AUTO:
        return Success(OwnIds())
    if isinstance(raw, list | tuple):
        return ranges(path, raw)
    if isinstance(raw, Mapping):
        return _own(path, raw)
    return problem(path, f"must be {AUTO}, a mapping or a list of ranges, got {shown(raw)}")


def problems(
    path: str,
    found: Sequence[IdRange],
    *,
    privileged: bool,
    called: Callable[[int], str] = "[{}]".format,
) -> Iterator[Problem]:
    """What is wrong with the ranges together; each is *called* something below *path*."""
    if not found:
        return
    if privileged:
        yield Problem(path, "is for unprivileged VMs only, and the VM is privileged")
    if len(found) > MOST_RANGES:
        yield Problem(path, f"must be of {MOST_RANGES} ranges at most, got {len(found)}")
        return
    for index, each_range in enumerate(found):
        at = f"{path}{called(index)}"
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


def unmapped(spec: VMSpec) -> Iterator[Problem]:
    """Users with an id that their guest has not: nothing could belong to them."""
    ranges_ = _somewhere(spec.own_ids).ranges if spec.own_ids else spec.idmap
    owns = [of_kind(ranges_, kind) for kind in KINDS.values() if ranges_]
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


def own_problems(path: str, own: OwnIds, *, privileged: bool) -> Iterator[Problem]:
    """What is wrong with ids that are allocated, wherever on the host they will be."""
    found = _somewhere(own).ranges
    holes = {(e.guest, e.host, e.count): at for at, e in enumerate(own.through)}

    def called(index: int) -> str:
        at = holes.get((found[index].guest, found[index].host, found[index].count))
        return "" if at is None else f".through[{at}]"

    yield from problems(path, found, privileged=privileged, called=called)


def _somewhere(own: OwnIds) -> OwnIds:
    """The same, allocated: if it is not yet, where it overlaps none of its holes."""
    if own.first is not None:
        return own
    ends = sorted({1, *(hole.host + hole.count for hole in own.through)})
    blocks = [(hole.host, hole.count) for hole in own.through]
    free = [at for at in ends if all(at + own.count <= b or b + n <= at for b, n in blocks)]
    return replace(own, first=free[0])


def own_to_plain(own: OwnIds) -> str | dict[str, object]:
    """As ``idmap`` reads it."""
    said: dict[str, object] = {}
    if own.count != ENOUGH:
        said["count"] = own.count
    if own.first is not None:
        said["first"] = own.first
    if own.through:
        said["through"] = to_plain(own.through)
    return said or AUTO


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
    return merged(found)


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) < 11


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
