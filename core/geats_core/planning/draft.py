"""A plan while it is made: steps one after the other, each of them followed in the model."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from returns.result import Failure, Success

from geats_core.planning.action_words import describe
from geats_core.planning.actions import POWER_OFFS, Action, AwaitReady, KeepOff, Start, Unfreeze
from geats_core.planning.costs import Impact
from geats_core.planning.host_facts import HostFacts
from geats_core.planning.model import after
from geats_core.planning.ordering import ordered
from geats_core.planning.spec_changes import Change
from geats_core.planning.steps import Plan, Step
from geats_core.planning.then import Then
from geats_core.reading.checked import Checked, Code, Problem
from geats_core.vm.by_hand import winning
from geats_core.vm.observation import Observation, Power
from geats_core.vm.spec import VMSpec

LEFT_HELD = "an interrupted operation left it frozen"
LEFT_OFF = "an interrupted plan powered it off, to start it again"
LEFT_UNFROZEN = "an interrupted plan was to freeze it again"
WITHOUT_AGENT = ("agent", "false")  # in the hardware of a VM
THEN = {Power.STOPPED: Then.OFF, Power.RUNNING: Then.ON, Power.FROZEN: Then.FROZEN}


def zeroed(facts: HostFacts, pool: str) -> str:
    """What to add to why a volume is made or grows, in a pool that may contain what others left."""
    return " (and zeroed: others may have left data there)" if facts.pool(pool).zeroes else ""


@dataclass(slots=True)
class Draft:
    """The steps so far of the VM ``name``, and where they lead (``state``).

    No step may cost more than ``max_impact``.
    """

    name: str
    state: Observation
    max_impact: Impact = Impact.DATA_LOSS
    steps: list[Step] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def add(self, action: Action, reason: str, because: tuple[Change, ...] = ()) -> None:
        """Take one step, for a reason in words, or because of changes.

        If the model does not allow it, that is a problem of the whole plan.
        """
        words = reason or "; ".join(map(str, because))
        match after(action, self.state):
            case Success(state):
                self.state = state
                self.steps.append(Step(vm=self.name, action=action, reason=words, changes=because))
            case Failure(why):
                message = f"cannot {describe(action, self.name)}: {why}"
                self.problems.append(Problem(self.name, message, self._code_of(action)))

    def start(self, reason: str, end: Power) -> None:
        """Start the VM; it counts as started once it is ready, unless it is frozen in the *end*."""
        self.add(Start(), reason)
        started = self.state.in_effect
        if end is Power.RUNNING and started is not None and started.ready is not None:
            self.add(AwaitReady(started.ready), f"{self.name} counts as started once it is ready")

    def _code_of(self, refused: Action) -> Code:
        """What kind of problem it is that the model does not allow the action."""
        unlocked = after(refused, replace(self.state, locked=False))
        return Code.LOCKED if isinstance(unlocked, Success) else Code.REFUSED

    def finished(self) -> Checked[Plan]:
        """The plan, each step with those that it waits for; or every problem.

        None stays held, but for what came here suspended: the VM itself may run elsewhere.
        """
        if self.state.power is Power.HELD and not self.state.copy_of:
            self.add(Unfreeze(), LEFT_HELD)
        problems = (*self.problems, *self._above_max_impact())
        if problems:
            return Failure(problems)
        steps = ordered(self.steps)
        lines, spec = self.state.by_hand, self.state.defined
        wins = () if spec is None else winning(lines, spec)
        return Success(Plan(name=self.name, steps=steps, by_hand=lines, wins=wins))

    def _above_max_impact(self) -> Iterable[Problem]:
        for position, step in enumerate(self.steps, start=1):
            if step.impact > self.max_impact:
                yield Problem(
                    self.name,
                    f"step {position}, {describe(step.action, self.name)}, because {step.reason}, "
                    f"has impact {step.impact}, and {self.max_impact} is the most that is allowed",
                    Code.IMPACT,
                )


def again(have: Observation) -> Power:
    """What a VM is in the end that is powered off only for a while: frozen if it was, else on."""
    return Power.FROZEN if have.power is Power.FROZEN or have.to_freeze else Power.RUNNING


def held_as(reason: str, spec: VMSpec | None, facts: HostFacts) -> str:
    """Why a VM is held, and, where its guest has a kernel of its own, what that knows of it."""
    if spec is None or not facts.driver(spec.driver).guests_mount:
        return reason
    if WITHOUT_AGENT in spec.hardware:
        return f"{reason}; without an agent, its filesystems are as after a power cut"
    return f"{reason}; if its agent answers, its filesystems are at rest"


def for_now(off: Iterable[Step], have: Observation) -> tuple[Step, ...]:
    """Steps that power a VM *off*, if it will be started again, or be frozen again, afterwards."""
    return tuple(
        replace(step, action=replace(step.action, then=THEN[again(have)]))
        if isinstance(step.action, (*POWER_OFFS, Unfreeze))
        else step
        for step in off
        if not isinstance(step.action, KeepOff)
    )
