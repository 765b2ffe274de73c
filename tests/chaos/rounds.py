"""Rounds of chaos: an operation is killed, asked for again, then all is applied, then looked at."""

import random
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, count, islice

from geats_core.vm.observation import Power
from tests.chaos.ground import NAME, POOLS, Ended, Ground, Wish, clear
from tests.chaos.operations import FIRST, OPERATIONS, WRITE, Operation
from tests.chaos.tally import Fault, Found, Round, Tally

SETTLES_S = 5.0
TRIES = 4
SUSPENDED = (Power.FROZEN, Power.HELD)


def able(pool: str) -> list[Operation]:
    """The operations that a VM in *pool* can do."""
    return [each for each in OPERATIONS if not each.pools or pool in each.pools]


def dealt() -> Mapping[str, Sequence[Operation]]:
    """Every operation once, each in one of the pools that can do it."""
    hands: dict[str, list[Operation]] = {pool: [] for pool in POOLS}
    for operation in sorted(OPERATIONS, key=lambda each: not each.pools):
        pool = min(operation.pools or POOLS, key=lambda each: len(hands[each]))
        hands[pool].append(operation)
    return hands


@dataclass
class Chaos:
    """Goes on with rounds on one ground; *choose* is seeded, so that a run can be had again."""

    ground: Ground
    choose: random.Random
    tally: Tally = field(default_factory=Tally)
    operations: Sequence[str] = tuple(each.name for each in OPERATIONS)
    making_s: float = 0.0
    durations_s: dict[str, float] = field(default_factory=dict)
    clean: Mapping[str, frozenset[str]] = field(default_factory=dict)
    wrong: list[Found] = field(default_factory=list)

    def on_pool(self, pool: str, kills: int, until_s: float) -> None:
        """So many rounds, or until then, of a VM in *pool*: each operation as often as others."""
        self.settle_in(pool)
        there = [each for each in able(pool) if each.name in self.operations]
        turns = chain.from_iterable(self.choose.sample(there, len(there)) for _ in count())
        for operation in islice(turns, kills):
            if time.monotonic() > until_s:
                break
            self.round(operation)

    def settle_in(self, pool: str) -> None:
        """From now on the VM is in *pool*."""
        clear(self.ground)  # while the pool that it is in is still there
        self.ground.wish = Wish(pool)
        self._begin()

    def until_killed(self, operation: Operation) -> None:
        """One round, and others where it had ended before, which tells how long it takes."""
        for _ in range(TRIES):
            self.round(operation)
            if self.tally.rounds[-1].was_killed:
                break

    def round(self, operation: Operation) -> None:
        """Kill it once at a moment that is as likely as any other, and look what comes of it."""
        began, self.wrong = time.monotonic(), []
        operation.before(self.ground)
        at_s = self.choose.random() * self._duration_s(operation)
        argv = operation.argv(self.ground)
        killed = self.ground.geats(*argv, kill_after_s=at_s, when_held=operation.when_held)
        if killed.code == 0:
            self.durations_s[operation.name] = killed.took_s
        try:
            self._look(operation, killed)
        except (AssertionError, subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            self._found(Fault.NOT_CONVERGED, f"{error!r:.600}")
        took_s = time.monotonic() - began
        pool, found = self.ground.wish.pool, tuple(self.wrong)
        self.tally.add(Round(operation.name, pool, at_s, killed.code < 0, took_s, found))
        if found:
            print(operation.name, pool, at_s, *found, sep="\n    ", flush=True)
            self._begin()

    def _duration_s(self, operation: Operation) -> float:
        """How long it takes; until that is known, as long as it took to make the VM."""
        return operation.when_held or self.durations_s.get(operation.name, self.making_s)

    def _begin(self) -> None:
        """With a VM that nothing has happened to yet."""
        clear(self.ground)
        made = self.ground.geats("apply", NAME)
        assert made.code == 0, made
        self.making_s = made.took_s
        self.ground.inside(WRITE.format(FIRST))
        self.clean = self.ground.traces()

    def _look(self, operation: Operation, killed: Ended) -> None:
        ground = self.ground
        if operation.is_outage and ground.observe().power in SUSPENDED:
            self._found(Fault.FROZEN, "right after the kill")
        again = ground.geats(*operation.argv(ground))
        there = ground.observe()
        if again.code != 0 and killed.code != 0 and not operation.is_done(ground):
            self._found(Fault.REFUSED_AGAIN, again.said)
        if there.power is not (operation.then or Power.STOPPED):
            fault = Fault.OFF if there.power is Power.STOPPED else Fault.NOT_CONVERGED
            fault = Fault.FROZEN if there.power in SUSPENDED else fault
            self._found(fault, f"{there.power} after the same again: {again.said}")
        if operation.then is None and there.recorded is not None:
            self._found(Fault.NOT_CONVERGED, f"is still there: {again.said}")
        operation.after(ground)
        self._check_applied()
        self._check_kept(operation)
        self._check_nothing_left()

    def _check_applied(self) -> None:
        applied = self.ground.geats("apply", NAME)
        planned = self.ground.geats("plan", "--exit-code", NAME)
        if (applied.code, planned.code) != (0, 0):
            self._found(Fault.NOT_CONVERGED, f"apply: {applied.said}\nplan: {planned.said}")

    def _check_kept(self, operation: Operation) -> None:
        """The guest answers, and what was written is there."""
        power = self.ground.observe().power
        if power is not Power.RUNNING:
            self._found(Fault.OFF, f"{power} after apply")
            return
        read = 'echo "$(cat /data/marker)|$(cat /tmp/marker)|$(hostname)"'
        data, root, hostname = self.ground.inside(f"exec 2>/dev/null; {read}").split("|")
        wanted = (operation.data or "", operation.root or "", self.ground.wish.hostname)
        if (data, root, hostname) != wanted:
            self._found(Fault.LOST, f"{(data, root, hostname)} instead of {wanted}")
        if (data, root) != (FIRST, FIRST):
            self.ground.inside(WRITE.format(FIRST))

    def _check_nothing_left(self) -> None:
        end = time.monotonic() + SETTLES_S
        while (wrong := self._differences()) and time.monotonic() < end:
            time.sleep(0.05)
        if wrong:
            self._found(Fault.LEFT_OVER, "; ".join(wrong))

    def _differences(self) -> list[str]:
        now = self.ground.traces()
        more = [f"{kind} {each}" for kind in now for each in sorted(now[kind] - self.clean[kind])]
        less = [
            f"no {kind} {each}" for kind in now for each in sorted(self.clean[kind] - now[kind])
        ]
        return [*more, *less]

    def _found(self, fault: Fault, detail: str) -> None:
        self.wrong.append(Found(fault, detail))
