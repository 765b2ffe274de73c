"""What became of a plan that was applied: which steps were done, failed, or not tried."""

from typing import TypeAlias

from returns.result import Failure, Success

from geats_core.planning.steps import Plan, Step
from geats_core.reading.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted(Step):
    """A step that was done, and not as one would wish: ``note`` says how."""

    note: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A step that failed, and why."""

    step: Step
    error: str


@dataclass(frozen=True, slots=True)
class NotTried:
    """A step that needed another, which failed or needed one that did: ``because_of``.

    If that is the step itself, somebody cancelled the plan before its turn.
    """

    step: Step
    because_of: Step


@dataclass(frozen=True, slots=True)
class Interrupted:
    """How far a plan got if steps failed."""

    done: tuple[Step, ...]
    failed: tuple[Failed, ...]
    not_tried: tuple[NotTried, ...]

    def of_plan(self, plan: Plan) -> "Interrupted":
        """What of it are steps of *plan*, that of one VM: also what the host needs before them."""
        actions = {step.action for step in plan.steps if not step.vm}

        def is_own(step: Step) -> bool:
            return step.vm == plan.name or (not step.vm and step.action in actions)

        return Interrupted(
            tuple(filter(is_own, self.done)),
            tuple(each for each in self.failed if is_own(each.step)),
            tuple(each for each in self.not_tried if is_own(each.step)),
        )


Applied: TypeAlias = Success[tuple[Step, ...]] | Failure[Interrupted]
