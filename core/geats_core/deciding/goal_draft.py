"""A draft of a plan that brings a VM to a goal: what the steps of it look at."""

from dataclasses import KW_ONLY, dataclass, replace

from returns.result import Failure, Success

from geats_core.deciding.only_named import unnamed
from geats_core.deciding.refusals import without_start
from geats_core.deciding.restarts import growth_while_off
from geats_core.planning.costs import Impact
from geats_core.planning.draft import Draft
from geats_core.planning.goal import Goal
from geats_core.planning.host_facts import HostFacts
from geats_core.planning.model import ON
from geats_core.planning.spec_changes import Change, at_least, changes
from geats_core.planning.steps import Plan
from geats_core.reading.checked import Checked
from geats_core.vm.observation import Observation
from geats_core.vm.spec import VMSpec


@dataclass(slots=True)
class GoalDraft(Draft):
    """A draft of a plan that brings a VM from ``have`` to its goal; ``wish`` is what was asked."""

    _: KW_ONLY
    wish: Goal
    goal: Goal
    have: Observation
    facts: HostFacts
    changes: tuple[Change, ...] = ()

    def changed(self, old: VMSpec | None, want: VMSpec) -> tuple[Change, ...]:
        """What differs from *old* to what is wanted, at the cost that its driver says.

        Of a new VM, what its driver knows nothing of says nothing.
        """
        able = self.facts.driver(want.driver)
        found = changes(old, want, able.all_costs)
        return tuple(each for each in found if old is not None or each.field not in able.lacks)

    def finished(self) -> Checked[Plan]:
        match super(GoalDraft, self).finished():
            case Success(drafted):
                made = replace(drafted, changes=self.changes, pending=self._pending())
                found = (
                    *unnamed(self.wish, made, self.have),
                    *without_start(self.goal, made, self.have, self.facts),
                )
                return Failure(found) if found else Success(made)
            case Failure() as refused:
                return refused

    def _pending(self) -> tuple[Change, ...]:
        want, have = self.goal.spec, self.state
        if want is None or have.power not in ON or have.in_effect is None:
            return ()
        found = at_least(Impact.RESTART, self.changed(have.in_effect, want))
        return (*found, *growth_while_off(want, have, self.facts))
