"""What waits for what, as plain graphs: without what is said twice, and with its circles found."""

from collections import Counter
from collections.abc import Container, Hashable, Iterable, Mapping, Sequence
from enum import Enum, auto
from itertools import chain
from typing import TypeAlias, TypeVar

T = TypeVar("T", bound=Hashable)
Positions: TypeAlias = tuple[int, ...]


class Wait(Enum):
    """How a later step waits for an earlier one: that must be done, or must have ended."""

    NEEDS = auto()
    AFTER = auto()


def nearest(
    edges: Iterable[Sequence[Sequence[int]]], alone: Container[int] = ()
) -> tuple[list[Positions], list[Positions]]:
    """What each of some steps in order needs, and comes after, without what it does anyway.

    *edges* are what each needs, and what each comes after. Whoever needs one of those *alone* does
    not need what that needs, nor what only comes after a step. All that is before a step is one
    number, a bit for each step; kept while others wait for it.
    """
    needs, after = edges
    waiting = Counter(chain.from_iterable(chain(needs, after)))
    found: tuple[list[Positions], list[Positions]] = ([], [])
    known: dict[int, tuple[int, int]] = {}  # all that each needs, and all that is before it
    for position, both in enumerate(zip(needs, after, strict=True)):
        all_needed = all_before = 0
        kept: tuple[list[int], list[int]] = ([], [])
        for earlier in sorted(both[0], reverse=True):
            needed, before = known[earlier]
            if not all_needed >> earlier & 1:
                kept[0].append(earlier)
                all_needed |= needed | 1 << earlier
                all_before |= before | 1 << earlier
        for earlier in sorted(both[1], reverse=True):
            if not all_before >> earlier & 1:
                kept[1].append(earlier)
                all_before |= known[earlier][1] | 1 << earlier
        for earlier in chain(*both):
            waiting[earlier] -= 1
            if not waiting[earlier]:
                del known[earlier]
        if waiting[position]:
            known[position] = (0 if position in alone else all_needed, all_before)
        for all_kept, these in zip(found, kept, strict=True):
            all_kept.append(tuple(reversed(these)))
    return found


def tangles(before: Mapping[T, Iterable[T]]) -> Iterable[set[T]]:
    """The strongly connected components (Kosaraju's algorithm: each edge is looked at twice)."""
    finished = _finished(before)
    waiting: dict[T, list[T]] = {name: [] for name in before}
    for name, others in before.items():
        for other in others:
            waiting[other].append(name)
    seen: set[T] = set()
    for name in reversed(finished):
        group: set[T] = set()
        todo = [name]
        while todo:
            here = todo.pop()
            if here not in seen:
                seen.add(here)
                group.add(here)
                todo += waiting[here]
        yield group


def _finished(before: Mapping[T, Iterable[T]]) -> list[T]:
    """The names in the order in which a search in depth is done with them."""
    finished: list[T] = []
    seen: set[T] = set()
    todo = [(name, False) for name in before]
    while todo:
        name, done = todo.pop()
        if done:
            finished.append(name)
        elif name not in seen:
            seen.add(name)
            todo.append((name, True))
            todo += [(other, False) for other in before[name]]
    return finished
