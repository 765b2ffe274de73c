"""Rounds: a call of an operation fails; then what was said, what is there, and the same again."""

import os
import random
import re
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from errno import EIO, ENOSPC, EROFS

from tests.failing_calls.ground import OTHER, Ended, Ground, clear, make_ready
from tests.failing_calls.library import CHANGES, Call, Calls, Kind
from tests.failing_calls.operations import Operation

CLOCK = "clock"
TEN_YEARS_S = 10 * 365 * 24 * 3600
ERRORS: Mapping[str, tuple[int, Kind]] = {
    "ENOSPC": (ENOSPC, Kind.GROWS),
    "EROFS": (EROFS, Kind.NAMES),
    "EIO": (EIO, CHANGES),
    "EIO looks": (EIO, Kind.LOOKS),
    CLOCK: (0, CHANGES),  # nothing fails, it is the clock that jumps
}
SHARE_OF_LASTING = 0.4
CAUSES = (
    *(os.strerror(error) for error in (ENOSPC, EIO, EROFS)),
    *("disk is full", "disk I/O error", "readonly database", "unable to open database file"),
    "can't read superblock",
)


class Fault(StrEnum):
    """What can be wrong after a round."""

    TRACEBACK = "traceback"
    UNCLEAR = "unclear"
    SILENT = "said to be done"
    BLOCKED = "others blocked"
    STUCK = "not converged"
    DIFFERENT = "lost or left over"


@dataclass(frozen=True)
class Found:
    """Something wrong, and how to see it again."""

    operation: str
    pool: str
    error: str
    at: str
    fault: Fault
    detail: str

    def __str__(self) -> str:
        where = f"{self.operation} on {self.pool}: {self.error} at {self.at}"
        return f"{self.fault}: {where}\n{textwrap.indent(self.detail, '    ')}"


@dataclass(frozen=True)
class Strike:
    """Which call fails, of those below some paths; and whether all after it do."""

    below: Sequence[str]
    at: int
    lasting: bool = False


@dataclass
class Tally:
    """What came of all rounds."""

    rounds: Counter[tuple[str, str]] = field(default_factory=Counter)  # by operation and error
    found: list[Found] = field(default_factory=list)

    def table(self) -> str:
        """By operation, as Markdown."""
        kinds = list(Fault)
        lines = ["| operation | rounds | " + " | ".join(kinds) + " |", "|---" * 8 + "|"]
        for name in (*dict.fromkeys(operation for operation, _ in self.rounds), "all"):
            rounds = sum(n for (each, _), n in self.rounds.items() if name in (each, "all"))
            wrong = Counter(each.fault for each in self.found if name in (each.operation, "all"))
            counts = " | ".join(str(wrong[kind]) for kind in kinds)
            lines.append(f"| {name} | {rounds} | {counts} |")
        return "\n".join(lines)


@dataclass
class Rounds:
    """Goes on with rounds on one ground; *choose* is seeded, so that a run can be had again."""

    ground: Ground
    calls: Calls
    choose: random.Random
    tally: Tally = field(default_factory=Tally)
    clean: Mapping[str, object] = field(default_factory=dict)

    def begin(self) -> None:
        """From an empty host; the templates are unpacked, and stay."""
        clear(self.ground)
        for file in (self.ground.at / "exports").iterdir():
            file.unlink()
        make_ready(self.ground)
        self.clean = self.ground.world()

    def operation(self, operation: Operation, error: str, at_most: int | None) -> None:
        """Each call of it fails in turn, or so many that are chosen of them."""
        wanted, calls = self._count(operation, error)
        for call in self._chosen(calls, at_most):
            lasting = self.choose.random() < SHARE_OF_LASTING
            self._round(operation, error, self._strike(calls, call, lasting=lasting), wanted)

    def while_the_clock_jumps(self, operation: Operation) -> None:
        """By years, back and forth: it is done all the same, and nothing else is."""
        wanted, _ = self._count(operation, CLOCK)
        operation.before(self.ground)
        with self.calls.jumping(TEN_YEARS_S):
            ended = self.ground.geats(*operation.argv(self.ground))
        self.tally.rounds[operation.name, CLOCK] += 1
        there = self.ground.world()
        if there != wanted or ended.code != 0:
            detail = f"{_differences(wanted, there)}\n{ended}"
            self._tell(operation, CLOCK, "any moment", [(Fault.DIFFERENT, detail)])
        self._take_back(operation)

    def _chosen(self, calls: Sequence[Call], at_most: int | None) -> Sequence[Call]:
        """Some, of as many kinds as there are: SQLite writes a lot to the same few files."""
        shuffled = self.choose.sample(calls, len(calls))
        by_kind = {(call.name, _without_chance(call.path)): call for call in shuffled}
        some = list(by_kind.values()) if at_most is not None else calls
        return self.choose.sample(some, min(len(some), at_most or len(some)))

    def _strike(self, calls: Sequence[Call], call: Call, *, lasting: bool) -> "Strike":
        """That call; where it lasts, then everything on that part of the disk fails from there."""
        if not lasting:
            return Strike(self.ground.below, call.number)
        area = next(each for each in self.ground.below if call.path.startswith(each))
        before = [each for each in calls[: call.number] if each.path.startswith(area)]
        return Strike((area,), len(before), lasting=True)

    def _count(
        self, operation: Operation, error: str
    ) -> tuple[Mapping[str, object], Sequence[Call]]:
        """What is there after it, and the calls that it makes."""
        _, kinds = ERRORS[error]
        operation.before(self.ground)
        with self.calls.armed(self.ground.below, kinds):
            ended = self.ground.geats(*operation.argv(self.ground))
        calls = self.calls.counted()
        if ended.code != 0:
            raise AssertionError(operation.name, ended)
        wanted = self.ground.world()
        self._take_back(operation)
        return wanted, calls

    def _take_back(self, operation: Operation) -> None:
        operation.after(self.ground)
        ended = self.ground.geats("apply")
        assert ended.code == 0, ended
        self.clean = self.ground.world()

    def _round(
        self,
        operation: Operation,
        error: str,
        strike: "Strike",
        wanted: Mapping[str, object],
    ) -> None:
        code, kinds = ERRORS[error]
        operation.before(self.ground)
        with self.calls.armed(strike.below, kinds, code, strike.at, lasting=strike.lasting):
            ended = self.ground.geats(*operation.argv(self.ground))
            failed = next((each for each in self.calls.counted() if each.failed), None)
            others = self._others(strike, error) if strike.lasting else []
        self.tally.rounds[operation.name, error] += 1
        if strike.lasting:
            self.ground.geats("start", OTHER)
        again = self.ground.geats(*operation.argv(self.ground))
        there = self.ground.world()
        wrong = list(others)
        if failed is not None:
            wrong += _wrong_of(ended, there == wanted)
        if "Traceback" in again.said:
            wrong.append((Fault.TRACEBACK, f"the same again: {again.said}"))
        if there != wanted:
            fault = Fault.DIFFERENT if again.code == 0 else Fault.STUCK
            wrong.append((fault, f"{_differences(wanted, there)}\n{ended}\n{again}"))
        elif again.code != 0 and ended.code != 0 and _is_a_failure(again):
            wrong.append((Fault.STUCK, f"{again}"))
        lasting = "from then on " if strike.lasting else ""
        self._tell(operation, f"{lasting}{error}", f"{failed}", wrong)
        try:
            assert there == wanted
            self._take_back(operation)
        except (AssertionError, OSError, ValueError):
            self.begin()

    def _tell(
        self, operation: Operation, error: str, at: str, wrong: Sequence[tuple[Fault, str]]
    ) -> None:
        for fault, detail in wrong:
            found = Found(operation.name, self.ground.pool, error, at, fault, detail)
            print(found, flush=True)
            self.tally.found.append(found)

    def _others(self, strike: "Strike", error: str) -> list[tuple[Fault, str]]:
        """What must be possible as long as calls fail: to see all, and to power another VM off.

        But for a disk that nothing can be read from, and locks that nobody can take.
        """
        if error == "EIO looks":
            return []
        locks_fail = error != "ENOSPC" and any(each.endswith("/run") for each in strike.below)
        wrong = []
        for argv in (("list",), *([] if locks_fail else [("stop", OTHER)])):
            ended = self.ground.geats(*argv)
            if ended.code != 0:
                wrong.append((Fault.BLOCKED, f"{' '.join(argv)}: {ended}"))
        return wrong


def _without_chance(path: str) -> str:
    """The path without what is different each time."""
    return re.sub(r"[0-9a-f]{8,}|[0-9]+-", "*", path)


def _is_a_failure(ended: Ended) -> bool:
    """A refusal is one only where nothing says that it is done already."""
    return ended.code != 2


def _wrong_of(ended: Ended, converged: bool) -> list[tuple[Fault, str]]:
    """What is wrong with what was said of a call that failed."""
    if "Traceback" in ended.said:
        return [(Fault.TRACEBACK, ended.said[-1500:])]
    if ended.code == 0:
        return [] if converged else [(Fault.SILENT, ended.said)]
    if not any(cause in ended.said for cause in CAUSES) or "/" not in ended.said:
        return [(Fault.UNCLEAR, f"{ended}")]
    return []


def _differences(wanted: Mapping[str, object], there: Mapping[str, object]) -> str:
    keys = [key for key in {**wanted, **there} if wanted.get(key) != there.get(key)]
    return "\n".join(f"{key}: {wanted.get(key)} became {there.get(key)}" for key in keys[:4])
