"""Ranges of ids of a guest on its host, and those that geats allocates for one VM."""

from collections.abc import Iterable, Iterator
from enum import StrEnum

from geats_core.reading.values import dataclass

ENOUGH = 65_536  # ids of one guest, up to those of nobody and nogroup


class Ids(StrEnum):
    """Whose ids a range is of."""

    BOTH = "both"
    USERS = "users"
    GROUPS = "groups"


@dataclass(frozen=True, slots=True, kw_only=True)
class IdRange:
    """``count`` ids of a guest from ``guest`` on: on the host they are those from ``host`` on."""

    guest: int
    host: int
    count: int
    ids: Ids = Ids.BOTH


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnIds:
    """``count`` ids of the host from ``first`` on, which are those of one VM alone.

    ``first`` is None until they are allocated. The holes ``through`` are ids of the guest that are
    others on the host, such as those of the owner of a bind.
    """

    count: int = ENOUGH
    first: int | None = None
    through: tuple[IdRange, ...] = ()

    @property
    def ranges(self) -> tuple[IdRange, ...]:
        """The ranges with their holes; none as long as they are not allocated."""
        if self.first is None:
            return ()
        users = tuple(_around(self.first, self.count, of_kind(self.through, Ids.USERS)))
        groups = tuple(_around(self.first, self.count, of_kind(self.through, Ids.GROUPS)))
        return merged((*_as(users, Ids.USERS), *_as(groups, Ids.GROUPS)))


def of_kind(found: Iterable[IdRange], kind: Ids) -> tuple[IdRange, ...]:
    """The ranges for users, or those for groups."""
    return tuple(each for each in found if each.ids in (kind, Ids.BOTH))


def merged(found: Iterable[IdRange]) -> tuple[IdRange, ...]:
    """Ranges that are the same for users and groups become one."""
    by_numbers: dict[tuple[int, int, int], set[Ids]] = {}
    for one in found:
        by_numbers.setdefault((one.guest, one.host, one.count), set()).add(one.ids)
    return tuple(
        IdRange(
            guest=guest, host=host, count=count, ids=kinds.pop() if len(kinds) == 1 else Ids.BOTH
        )
        for (guest, host, count), kinds in by_numbers.items()
    )


def _as(found: Iterable[IdRange], kind: Ids) -> Iterator[IdRange]:
    for each in found:
        yield IdRange(guest=each.guest, host=each.host, count=each.count, ids=kind)


def _around(first: int, count: int, holes: Iterable[IdRange]) -> Iterator[IdRange]:
    """The range from *first* on without the *holes*, and these."""
    at = 0
    for hole in sorted(holes, key=lambda each: each.guest):
        end = min(hole.guest, count)
        if end > at:
            yield IdRange(guest=at, host=first + at, count=end - at)
        yield hole
        at = max(at, hole.guest + hole.count)
    if at < count:
        yield IdRange(guest=at, host=first + at, count=count - at)


def ids_warnings(own: OwnIds | None) -> Iterator[tuple[str, str]]:
    """What each hole opens."""
    for hole in own.through if own else ():
        whose = {Ids.BOTH: "users and groups"}.get(hole.ids, str(hole.ids))
        last = hole.host + hole.count - 1
        of_host = f"{hole.host}" if hole.count == 1 else f"{hole.host} to {last}"
        yield "idmap", f"the guest has the {whose} {of_host} of the host: their files are its own"
