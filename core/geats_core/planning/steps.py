"""A plan for one VM: its steps, in an order in which they may run."""

from geats_core.planning.actions import Action, impact_of
from geats_core.planning.costs import Impact
from geats_core.planning.spec_changes import Change
from geats_core.reading.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """An action in a plan, on the VM ``vm`` (empty for a step that is about the whole host).

    ``changes`` are the fields that make it necessary. ``needs`` are the positions of the steps that
    must be done before it, ``after`` those of steps that must have ended, done or not. None is in
    both.
    """

    vm: str
    action: Action
    reason: str
    changes: tuple[Change, ...] = ()
    needs: tuple[int, ...] = ()
    after: tuple[int, ...] = ()

    def waiting(self, needs: tuple[int, ...], after: tuple[int, ...]) -> "Step":
        """The same step, with those that it waits for."""
        return Step(
            vm=self.vm,
            action=self.action,
            reason=self.reason,
            changes=self.changes,
            needs=needs,
            after=after,
        )

    @property
    def waits_for(self) -> tuple[int, ...]:
        """The positions of all steps that must have ended before it."""
        return tuple(sorted((*self.needs, *self.after)))

    @property
    def impact(self) -> Impact:
        """What the step costs a user of the VM."""
        return impact_of(self.action)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The steps that bring one VM to its goal, in an order in which they may run.

    ``changes`` are the fields whose recorded value the plan replaces; ``pending`` are those that
    will be written, but not in effect until the VM restarts. ``by_hand`` are lines that a person
    added to the definition, and that stay in it; ``wins`` are those of them that win over the
    spec, each with the key of it that is not in effect.
    """

    name: str
    steps: tuple[Step, ...] = ()
    changes: tuple[Change, ...] = ()
    pending: tuple[Change, ...] = ()
    by_hand: tuple[str, ...] = ()
    wins: tuple[tuple[str, str], ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.steps

    @property
    def impact(self) -> Impact:
        """The highest impact among the steps."""
        return max((step.impact for step in self.steps), default=Impact.NONE)
