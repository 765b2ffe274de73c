"""Guests that ended by themselves are started again, when it is time: see ``deciding.keeping_up``
of the core."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace

from returns.result import Success

from geats_core.deciding.keeping_up import Due, Ended, due, in_words
from geats_core.hostwide.host_planner import HostPlan
from geats_core.planning.actions import Start
from geats_core.planning.goal import Goal, Restart, Target
from geats_core.planning.steps import Step
from geats_core.plans.plan_files import SavedPlan
from geats_core.reading.values import dataclass
from geats_core.vm.observation import Observation, Power
from geats_core.vm.spec import Restarts, VMSpec
from geats_host.drivers import Driver
from geats_host.drivers.abilities import EndingDriver, LiveMoving
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import Refused
from geats_host.host import Host
from geats_host.observing import offers
from geats_host.planning.plans import plan_each
from geats_host.registry import kept_up

UNKNOWN = Ended(can_tell=False)


@dataclass(frozen=True, slots=True)
class Fallen:
    """A VM that ended by itself: how, and when it is started again, if it is."""

    spec: VMSpec
    ended: Ended
    due: Due | None

    def in_words(self, now_s: int) -> str:
        """For example ``exited (3), restarts in 40 s``."""
        if self.due is None:
            return in_words(self.ended)
        left_s = self.due.left_s(now_s)
        return f"{in_words(self.ended)}, restarts {f'in {left_s} s' if left_s else 'now'}"


def fallen(host: Host, seen: Mapping[str, Observation]) -> dict[str, Fallen]:
    """Every VM that ended by itself, and says what is to be done then."""
    found: dict[str, Fallen] = {}
    for name, kept in kept_up.noted(host.registry).items():
        have = seen.get(name, Observation())
        spec = have.recorded
        if spec is None or spec.restart is Restarts.NO or have.power is not Power.STOPPED:
            continue
        if kept.started_s is None or have.to_run or spec.driver in host.drivers.away:
            continue
        if _is_sent(host, spec):
            continue
        ended = how_ended(host, spec)
        found[name] = Fallen(spec, ended, due(spec, kept, ended))
    return found


def plan_keep_up(host: Host, *, noting: bool = False) -> SavedPlan:
    """The plan that starts again every VM whose time has come; one that cannot keeps no other
    from it. If it is applied next, *noting* notes that first: see ``note_restarts``."""
    seen = host.observe_all()
    down = _down(host, seen)
    made = _plan_of(host, down, seen)
    return _noted(host, made, down, seen) if noting else made


def _noted(
    host: Host, made: SavedPlan, down: Mapping[str, Fallen], seen: Mapping[str, Observation]
) -> SavedPlan:
    """Note what *made* starts; the answer is the plan without what somebody else starts now."""
    starts = _starts(made)
    mine = note_restarts(host, made) if starts else frozenset[str]()
    if mine == starts.keys():
        return made
    return _plan_of(host, {name: down[name] for name in (*mine, *made.refused)}, seen)


def _starts(made: SavedPlan) -> dict[str, str]:
    """Each VM that it starts, and why."""
    return {step.vm: step.reason for step in made.plan.steps if isinstance(step.action, Start)}


def _down(host: Host, seen: Mapping[str, Observation]) -> dict[str, Fallen]:
    """The VMs whose time has come."""
    now_s = int(time.time())
    return {
        name: each
        for name, each in fallen(host, seen).items()
        if each.due and not each.due.left_s(now_s) and name not in host.config.gone
    }


def _plan_of(host: Host, down: Mapping[str, Fallen], seen: Mapping[str, Observation]) -> SavedPlan:
    wanted = [
        Goal(name=name, target=Target.RUNNING, spec=each.spec, restart=Restart.NEVER)
        for name, each in down.items()
    ]
    made = plan_each(host, wanted, seen)
    plans = tuple(replace(each, steps=_with_reasons(each.steps, down)) for each in made.plan.plans)
    steps = _with_reasons(made.plan.steps, down)
    return replace(made, plan=HostPlan(plans=plans, steps=steps, strays=made.plan.strays))


def note_restarts(host: Host, planned: SavedPlan) -> frozenset[str]:
    """Note what such a plan is about to start again, before it does: also if that fails.

    If two look at the same time, as two beacons do, one of them notes it: else the wait would grow
    twice for one restart. The answer is what this one noted.
    """
    mine: set[str] = set()
    starts = _starts(planned)
    known = kept_up.noted(host.registry)
    for name, each in fallen(host, host.observe_all()).items():
        now_s = int(time.time())
        if name not in starts or each.due is None or each.due.left_s(now_s):
            continue
        if kept_up.noted(host.registry).get(name) == known.get(name):
            kept_up.note(host.registry, name, replace(each.due.kept, started_s=now_s))
            mine.add(name)
    return frozenset(mine)


def _with_reasons(steps: Iterable[Step], down: Mapping[str, Fallen]) -> tuple[Step, ...]:
    return tuple(
        replace(step, reason=f"it {in_words(down[step.vm].ended)} by itself")
        if isinstance(step.action, Start) and step.vm in down
        else step
        for step in steps
    )


def _is_sent(host: Host, spec: VMSpec) -> bool:
    """Whether it is off because it moved as it ran, and all of it is on the other host already."""
    noted = offers.noted(host.registry, spec.name)
    if noted is None or not noted.machine:
        return False

    def sent(driver: Driver) -> bool | None:
        return driver.was_sent(spec.name) if isinstance(driver, LiveMoving) else False

    told = host.drivers.ask(spec.driver, sent)
    return offers.was_sent(host.registry, noted) if told is None else told


def how_ended(host: Host, spec: VMSpec) -> Ended:
    """How a VM that is off ended when it was last on, as far as its driver knows."""

    def ended(driver: Driver) -> Ended:
        return driver.ended(spec.name) if isinstance(driver, EndingDriver) else UNKNOWN

    return host.drivers.ask(spec.driver, ended) or UNKNOWN


def keep_up(host: Host, *, only_look: bool = False) -> list[dict[str, str]]:
    """Start again what ended by itself, if its time has come: each ``vm``, and ``why``; or the
    ``error`` that one had. With *only_look*, nothing is done."""
    if not kept_up.noted(host.registry):
        return []
    made = plan_keep_up(host, noting=not only_look)
    told = _starts(made)
    failed = {name: "; ".join(map(str, why)) for name, why in made.refused.items()}
    if told and not only_look:
        failed |= _failures(host, made, told)
    started = [{"vm": name, "why": why} for name, why in told.items() if name not in failed]
    return [*started, *({"vm": name, "error": why} for name, why in failed.items())]


def _failures(host: Host, made: SavedPlan, names: Iterable[str]) -> dict[str, str]:
    """What kept each VM from its start; a plan that is refused starts none."""
    try:
        how_far = apply_plan(host, made)
    except Refused as refused:
        return dict.fromkeys(names, str(refused))
    if isinstance(how_far, Success):
        return {}
    return {each.step.vm: each.error for each in how_far.failure().failed}
