"""Steps taken one after the other from an observation, each of them followed in the model."""

from dataclasses import dataclass, field

from returns.result import Failure, Success

from geats_core.actions import Action, Unfreeze, describe
from geats_core.checked import Checked, Problem
from geats_core.model import after
from geats_core.observation import Observation, Power
from geats_core.ordering import ordered
from geats_core.plan import Plan, Step

LEFT_HELD = "an operation that was interrupted left it frozen"


@dataclass(slots=True)
class Trail:
    """The steps so far of the VM ``name``, and where they lead (``state``)."""

    name: str
    state: Observation
    steps: list[Step] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def take(self, action: Action, reason: str) -> None:
        """Take one step; where the model does not allow it, that is a problem of the whole."""
        match after(action, self.state):
            case Success(state):
                self.state = state
                self.steps.append(Step(vm=self.name, action=action, reason=reason))
            case Failure(why):
                message = f"cannot {describe(action, self.name)}: {why}"
                self.problems.append(Problem(self.name, message))

    def finished(self) -> Checked[Plan]:
        """The plan, each step with those that it waits for; or every problem. None stays held."""
        if self.state.power is Power.HELD:
            self.take(Unfreeze(), LEFT_HELD)
        if self.problems:
            return Failure(tuple(self.problems))
        steps = ordered(self.steps)
        return Success(Plan(name=self.name, steps=steps, by_hand=self.state.by_hand))
