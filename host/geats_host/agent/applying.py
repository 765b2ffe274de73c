"""Plans that programs ask for, and how they are carried out: step by step, to be told."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from threading import Event
from typing import Any, TypeAlias

from returns.result import Failure

from geats_core.declared.access import Access
from geats_core.planning.costs import Impact
from geats_core.planning.steps import Step
from geats_core.plans.explain import step_to_plain
from geats_core.plans.plan_files import SavedPlan
from geats_core.plans.plan_files import fingerprint as fingerprint_of
from geats_core.reading.checked import Code, Problem, shown
from geats_core.reading.fields import boolean, vm_name
from geats_core.reading.mappings import Raw
from geats_core.vm.secrets import SECRETS
from geats_host.agent.faults import Fault
from geats_host.calls import lifecycle, reports, several_vms
from geats_host.calls.in_turn import in_turn
from geats_host.engine.apply_plan import apply_plan
from geats_host.engine.outcomes import Interrupted
from geats_host.errors import Refused, accepted
from geats_host.host import Host
from geats_host.metrics.timings import timed
from geats_host.planning.goals import wishes
from geats_host.planning.plans import plan_wishes
from geats_host.registry import Outcome
from geats_host.registry.host_keys import keyed

Tell: TypeAlias = Callable[[Mapping[str, Any]], None]
NO_ACCESS = Access()
OF_VERBS = frozenset({"max_impact", "allow_data_loss"})  # the policies that go with a verb
CHANGED = "is not what would be done now: look at the new plan"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is wanted of VMs, as it came: see ``definition.ABOUT_WISH``."""

    names: list[str] | None = None
    verb: str | None = None
    spec: object = None
    policies: object = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How a plan may be carried out."""

    fingerprint: str | None = None
    wait_s: float = 0.0
    may_lose_data: bool = False


@dataclass(frozen=True)
class Planned:
    """A plan, and what is told of it."""

    host: Host
    made: SavedPlan

    @property
    def report(self) -> dict[str, Any]:
        """The plan as data, and its fingerprint."""
        plan = reports.host_plan_report(self.made)
        return {"plan": plan, "fingerprint": self.fingerprint}

    @cached_property
    def fingerprint(self) -> str:
        """Of the plan and of all that it was made from; only this host can tell from what."""
        return keyed(self.host.registry, fingerprint_of(self.made))


def tells_secrets(spec: object) -> bool:
    """Whether a plan for *spec* tells whether secrets of a VM are those that the spec says."""
    return isinstance(spec, dict) and not spec.keys().isdisjoint({*SECRETS, "raw"})


def planned(host: Host, wish: Wish) -> Planned:
    """The plan for a wish; ``Refused`` if there is none at all."""
    policies, spec = mapping("policies", wish.policies) or {}, mapping("spec", wish.spec)
    names = tuple(accepted(vm_name(f"names[{at}]", n)) for at, n in enumerate(wish.names or ()))
    if spec is not None and len(names) != 1:
        raise Refused(Problem("spec", "describes one VM: name it, and no other"))
    made = _made(host, wish.verb, names, spec, policies)
    if made.refused and made.plan.is_empty:
        raise Refused(*(problem for problems in made.refused.values() for problem in problems))
    return Planned(host, made)


def _made(
    host: Host, verb: str | None, names: tuple[str, ...], spec: Raw | None, policies: Raw
) -> SavedPlan:
    if verb is None:
        wanted = wishes(policies, names)
        return (
            plan_wishes(host, wanted) if spec is None else lifecycle.plan_spec(host, wanted, spec)
        )
    wrong = sorted(f"{each}" for each in policies.keys() - OF_VERBS)
    if wrong or not names:
        why = f"goes with no verb: only {' and '.join(sorted(OF_VERBS))} do"
        nobody = [] if names else [Problem("names", "must name a VM at least, for a verb")]
        raise Refused(*nobody, *(Problem(f"policies.{each}", why) for each in wrong))
    impact = policies.get("max_impact", str(Impact.DATA_LOSS))
    name, *others = names
    if others:
        return several_vms.plan_verb_for_several(host, verb, names, impact)
    loss = accepted(boolean("policies.allow_data_loss", policies.get("allow_data_loss", False)))
    return lifecycle.plan_verb(host, verb, name, spec, loss, impact)


def applied(host: Host, wish: Wish, terms: Terms, tell: Tell, over: Event) -> dict[str, Any]:
    """Plan and apply; *tell* hears of the plan and of each step. The answer is the result."""

    def act() -> dict[str, Any]:
        with timed("plan"):
            ready = planned(host, wish)
        _check(ready, terms)
        tell(ready.report)
        with timed("apply"):
            return _carry_out(host, ready.made, tell, over)

    return in_turn(terms.wait_s, act, over.is_set)


def _check(ready: Planned, terms: Terms) -> None:
    if terms.fingerprint not in (None, ready.fingerprint):
        raise Refused(Problem("fingerprint", CHANGED, Code.CHANGED))
    if ready.made.plan.impact is Impact.DATA_LOSS and not terms.may_lose_data:
        raise Fault("NotAllowed")


def _carry_out(host: Host, made: SavedPlan, tell: Tell, over: Event) -> dict[str, Any]:
    def progress(step: Step, outcome: Outcome, detail: str) -> None:
        said = {**step_to_plain(step), "outcome": str(outcome), "detail": detail}
        tell({"step": said})

    done = apply_plan(host, made, progress, over)
    if isinstance(done, Failure):
        raise _failed(done.failure())
    return {"result": reports.apply_host_report(made, done)}


def _failed(interrupted: Interrupted) -> Fault:
    failed = [step_to_plain(each.step) for each in interrupted.failed]
    return Fault(
        "Failed",
        step=failed[0] if failed else None,
        error=reports.failure_text(interrupted),
        done=list(map(step_to_plain, interrupted.done)),
        not_tried=[step_to_plain(each.step) for each in interrupted.not_tried],
    )


def mapping(path: str, raw: object) -> Raw | None:
    """What is given as an object, if it is one, and anything."""
    if raw is None or isinstance(raw, dict):
        return raw
    raise Refused(Problem(path, f"must be a mapping, got {shown(raw)}"))
