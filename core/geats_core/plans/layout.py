"""Where the steps of a plan stand in a picture: a lane for each VM, and columns from left to right.

A step stands to the right of all that it waits for, and of the step of its VM before it. So no two
steps are at one place, and each arrow leads to the right.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from geats_core.planning.steps import Step


@dataclass(frozen=True, slots=True)
class Spot:
    """The place of a step: both count from 0."""

    lane: int
    column: int


@dataclass(frozen=True, slots=True)
class Arrow:
    """From one step to another that waits for it, by position; ``needed``: not only in order."""

    start: int
    end: int
    needed: bool


@dataclass(frozen=True, slots=True)
class Layout:
    """The VMs of the lanes, from top to bottom, and the place of each step by its position."""

    lanes: tuple[str, ...]
    spots: tuple[Spot, ...]
    arrows: tuple[Arrow, ...]

    @property
    def columns(self) -> int:
        """How many there are."""
        return max((spot.column + 1 for spot in self.spots), default=0)


def layout(steps: Iterable[Step]) -> Layout:
    """The layout of *steps*, which wait only for earlier ones, in time that grows with them."""
    lanes: dict[str, int] = {}
    last: dict[str, int] = {}  # column of each VM
    spots: list[Spot] = []
    arrows: list[Arrow] = []
    for position, step in enumerate(steps):
        lane = lanes.setdefault(step.vm, len(lanes))
        before = (spots[each].column for each in step.waits_for)
        column = 1 + max((last.get(step.vm, -1), *before))
        last[step.vm] = column
        spots.append(Spot(lane, column))
        arrows += [Arrow(each, position, needed=each in step.needs) for each in step.waits_for]
    return Layout(tuple(lanes), tuple(spots), tuple(arrows))
