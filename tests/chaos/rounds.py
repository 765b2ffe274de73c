"""Rounds of chaos: an operation is killed, asked for again, then all is applied, then looked at."""

import random
import subprocess
import time
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain, count, islice

from geats_core.vm.observation import Power
from tests.chaos.ground import NAME, Ended, Ground, Wish, clear
from tests.chaos.operations import FIRST, OPERATIONS, WRITE, Operation

SETTLES_S = 5.0


class Fault(StrEnum):
    """What can be wrong after a round."""

    LOST = "lost"
    FROZEN = "frozen"
    LEFT_OVER = "left over"
    NOT_CONVERGED = "not converged"
    REFUSED_AGAIN = "refused again"


@dataclass(frozen=True)
class Found:
    """Something wrong, in which round, and how to see it again."""

    operation: str
    pool: str
    fault: Fault
    killed_after_s: float
    detail: str


@dataclass
class Tally:
    """What came of all rounds: kills by operation and pool, and everything that was wrong."""

    kills: Counter[tuple[str, str]] = field(default_factory=Counter)
    found: list[Found] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.kills.total()} kills so far, {len(self.found)} faults"

    def table(self) -> str:
        """By operation, as Markdown."""
        lines = ["| operation | kills | " + " | ".join(Fault) + " |", "|---|" + "---|" * 6]
        names = [each.name for each in OPERATIONS]
        for name in (*names, "all"):
            kills = sum(n for (op, _), n in self.kills.items() if name in (op, "all"))
            wrong = Counter(each.fault for each in self.found if name in (each.operation, "all"))
            lines.append(f"| {name} | {kills} | " + " | ".join(str(wrong[f]) for f in Fault) + " |")
        pools = Counter[str]()
        for (_, pool), n in self.kills.items():
            pools[pool] += n
        return "\n".join([*lines, "", f"kills by pool: {dict(pools)}"])


@dataclass
class Chaos:
    """Goes on with rounds on one ground; *choose* is seeded, so that a run can be had again."""

    ground: Ground
    choose: random.Random
    tally: Tally = field(default_factory=Tally)
    durations_s: dict[tuple[str, str], float] = field(default_factory=dict)
    clean: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def on_pool(self, pool: str, kills: int, until_s: float, without: Collection[str] = ()) -> None:
        """So many kills, or until then, of a VM in *pool*: each operation as often as others.

        But for those that are *without*.
        """
        clear(self.ground)  # while the pool that it is in is still there
        self.ground.wish = Wish(pool)
        self._begin()
        able = [
            each
            for each in OPERATIONS
            if each.name not in without and (not each.pools or pool in each.pools)
        ]
        turns = chain.from_iterable(self.choose.sample(able, len(able)) for _ in count())
        for operation in islice(turns, kills):
            if time.monotonic() > until_s:
                break
            self.round(operation)

    def _begin(self) -> None:
        """With a VM that nothing has happened to yet."""
        clear(self.ground)
        self.clean = {}
        self._settle()
        self.clean = self.ground.traces()

    def round(self, operation: Operation) -> None:
        """Kill it once at a moment that is as likely as any other, and look what comes of it."""
        key = (operation.name, self.ground.wish.pool)
        if key not in self.durations_s:
            operation.before(self.ground)
            whole = self.ground.geats(*operation.argv(self.ground))
            assert whole.code == 0, (operation.name, whole)
            self.durations_s[key] = whole.took_s
            operation.after(self.ground)
            self._settle()
        operation.before(self.ground)
        at_s = self.choose.uniform(0, self.durations_s[key])
        killed = self.ground.geats(*operation.argv(self.ground), kill_after_s=at_s)
        self.tally.kills[key] += 1
        before = len(self.tally.found)
        try:
            self._look(operation, at_s, killed)
        except (AssertionError, subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            self._found(operation, at_s, Fault.NOT_CONVERGED, f"{error!r:.600}")
        if len(self.tally.found) > before:
            self._begin()

    def _look(self, operation: Operation, at_s: float, killed: Ended) -> None:
        ground = self.ground
        if (
            operation.then is not Power.FROZEN
            and ground.observe().power
            in (
                Power.FROZEN,
                Power.HELD,
            )
            and operation.name != "unfreeze"
        ):
            self._found(operation, at_s, Fault.FROZEN, "right after the kill")
        again = ground.geats(*operation.argv(ground))
        there = ground.observe()
        if again.code != 0 and killed.code != 0 and not operation.is_done(ground):
            self._found(operation, at_s, Fault.REFUSED_AGAIN, again.said)
        if there.power is not (operation.then or Power.STOPPED):
            detail = f"{there.power} after the same again: {again.said}"
            frozen = there.power in (Power.FROZEN, Power.HELD)
            self._found(operation, at_s, Fault.FROZEN if frozen else Fault.NOT_CONVERGED, detail)
        if operation.then is None and there.recorded is not None:
            self._found(operation, at_s, Fault.NOT_CONVERGED, f"is still there: {again.said}")
        operation.after(ground)
        self._check_applied(operation, at_s)
        self._check_kept(operation, at_s)
        self._check_nothing_left(operation, at_s)

    def _check_applied(self, operation: Operation, at_s: float) -> None:
        applied = self.ground.geats("apply", NAME)
        planned = self.ground.geats("plan", "--exit-code", NAME)
        if (applied.code, planned.code) != (0, 0):
            detail = f"apply: {applied.said}\nplan: {planned.said}"
            self._found(operation, at_s, Fault.NOT_CONVERGED, detail)

    def _check_kept(self, operation: Operation, at_s: float) -> None:
        """The guest answers, and what was written is there."""
        read = 'echo "$(cat /data/marker)|$(cat /tmp/marker)|$(hostname)"'
        data, root, hostname = self.ground.inside(f"{read} 2>/dev/null").split("|")
        wanted = (operation.data or "", operation.root or "", self.ground.wish.hostname)
        if (data, root, hostname) != wanted:
            detail = f"{(data, root, hostname)} instead of {wanted}"
            self._found(operation, at_s, Fault.LOST, detail)
        if (data, root) != (FIRST, FIRST):
            self.ground.inside(WRITE.format(FIRST))

    def _check_nothing_left(self, operation: Operation, at_s: float) -> None:
        end = time.monotonic() + SETTLES_S
        while (wrong := self._differences()) and time.monotonic() < end:
            time.sleep(0.05)
        if wrong:
            self._found(operation, at_s, Fault.LEFT_OVER, "; ".join(wrong))

    def _differences(self) -> list[str]:
        now = self.ground.traces()
        more = [f"{kind} {each}" for kind in now for each in sorted(now[kind] - self.clean[kind])]
        less = [
            f"no {kind} {each}" for kind in now for each in sorted(self.clean[kind] - now[kind])
        ]
        return [*more, *less]

    def _settle(self) -> None:
        """The VM as it is to be before each operation: it runs, and holds the markers."""
        ended = self.ground.geats("apply", NAME)
        assert ended.code == 0, ended
        self.ground.inside(WRITE.format(FIRST))

    def _found(self, operation: Operation, at_s: float, fault: Fault, detail: str) -> None:
        pool = self.ground.wish.pool
        found = Found(operation.name, pool, fault, at_s, detail)
        print(found, flush=True)
        self.tally.found.append(found)
