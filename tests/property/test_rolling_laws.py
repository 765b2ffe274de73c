"""Laws of waves: of a group no more is down than may be, and all else is as without waves."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from returns.result import Failure, Success

from geats_core import (
    Checked,
    Goal,
    HostPlan,
    HostPolicy,
    Observation,
    Power,
    Target,
    VMSpec,
    plan_host,
)
from geats_core.declared.policy import AtOnce
from geats_core.planning.actions import POWER_OFFS, AwaitReady, SetLimits, Start
from geats_core.planning.model import ON
from geats_core.vm.readiness import Ready, TcpProbe
from geats_core.vm.spec import ROOT, Limits, Volume
from tests.property.test_host_laws import (
    LIVE,
    NAMES,
    Situation,
    an_order,
    as_left,
    autostarts,
    end_of,
    failures,
    follow,
    restarts,
    shuffles,
)
from tests.property.test_plan_laws import reached

UP = (Power.RUNNING, Power.HELD)
GROUPS = ("", *["profile web"] * 5, "profile db")
READY = Ready(probe=TcpProbe(80))
many = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@dataclass(frozen=True)
class Rolling(Situation):
    """A situation in which VMs stand in for each other; those without a goal were refused."""

    groups: Mapping[str, str]

    def asked(self) -> Checked[HostPlan]:
        return plan_host(self.goals, self.there, self.facts, self.policy, self.groups)

    def planned(self) -> HostPlan | None:
        made = self.asked().value_or(None)
        event("refused" if made is None else "planned")
        return made

    @property
    def at_once(self) -> AtOnce:
        assert self.policy.at_once is not None
        return self.policy.at_once

    def without_waves(self) -> Situation:
        policy = replace(self.policy, at_once=None)
        return Situation(self.goals, self.there, self.facts, policy)


@st.composite
def all_restarting(draw: st.DrawFn) -> Situation:
    """VMs that are mostly on and have to restart, one after others, on a host with little room."""
    names = draw(st.permutations(NAMES))[: draw(st.integers(3, 5))]
    goals: list[Goal] = []
    there: dict[str, Observation] = {}
    for index, name in enumerate(names):
        old = VMSpec(
            name=name,
            driver="lxc",
            template="debian",
            hostname=name,
            volumes=(Volume(name=ROOT, pool="fast", mount="/"),),
            limits=Limits(memory_bytes=draw(st.integers(1, 2))),
            after=tuple(draw(st.lists(st.sampled_from(names[:index]), max_size=1)))
            if index
            else (),
            autostart=draw(autostarts),
            ready=draw(st.sampled_from([None, READY])),
        )
        new = replace(old, limits=Limits(memory_bytes=draw(st.integers(1, 2))))
        new = replace(new, privileged=draw(st.integers(0, 2)) > 0)
        have = as_left(draw(st.sampled_from([Target.RUNNING] * 5 + [Target.STOPPED])), old)
        was_left = have.power is Power.STOPPED and draw(st.booleans())
        there[name] = replace(have, to_run=True) if was_left else have
        if have.power is Power.RUNNING and draw(st.integers(0, 5 if new.privileged else 1)) == 0:
            there[name] = replace(have, power=Power.HELD)
        goals.append(Goal(name=name, target=Target.RUNNING, spec=new))
    facts = replace(LIVE, memory_bytes=draw(st.sampled_from([None, None, len(names), 9])))
    return Situation(tuple(goals), there, facts, HostPolicy())


@st.composite
def rollings(draw: st.DrawFn) -> Rolling:
    found = draw(all_restarting() | all_restarting() | all_restarting() | restarts())
    at_once = AtOnce(draw(st.integers(1, 2))) if draw(st.booleans()) else AtOnce(50, True)
    grouped = [replace(goal, group=draw(st.sampled_from(GROUPS))) for goal in found.goals]
    goals = tuple(goal for goal in grouped if draw(st.integers(0, 5)))  # the others are refused
    groups = {goal.name: goal.group for goal in grouped if goal.group}
    facts = replace(found.facts, declared=found.facts.declared | {goal.name for goal in grouped})
    return Rolling(goals, found.there, facts, replace(found.policy, at_once=at_once), groups)


def groups_of(situation: Rolling) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, group in situation.groups.items():
        found.setdefault(group, []).append(name)
    return found


def restarting(made: HostPlan) -> set[str]:
    offs = {step.vm for step in made.steps if isinstance(step.action, POWER_OFFS)}
    return offs & {step.vm for step in made.steps if isinstance(step.action, Start)}


def assert_few_are_down(
    situation: Rolling, made: HostPlan, host: Mapping[str, Observation]
) -> None:
    """Of those that were up, and are to be up again; those that are refused, and down, count."""
    planned = {goal.name for goal in situation.goals}
    for names in groups_of(situation).values():
        have = {name: situation.there.get(name, Observation()) for name in names}
        to_be_up = [
            n for n, was in have.items() if was.power in UP or was.to_run or was.power == "stuck"
        ]
        up = [name for name in to_be_up if have[name].power in UP]
        down = [n for n in up if host[n].power not in ON and n in restarting(made)]
        lost = [n for n in to_be_up if n not in planned and have[n].power is not Power.RUNNING]
        assert not down or len(down) + len(lost) <= situation.at_once.of(len(to_be_up))


@many
@given(rollings(), shuffles)
def test_never_more_of_a_group_are_down_than_may_be(situation: Rolling, shuffle: Random) -> None:
    """In each order that the plan allows; and it comes to its goals."""
    made = situation.planned()
    if made is None:
        return
    waves = [step for step in made.steps if "must be" in step.reason]
    event("in waves" if waves else "at once")
    asked = {step.vm for step in made.steps if "stands in" in step.reason}
    event("a held VM stands in", str(any(situation.there[n].power == "held" for n in asked)))
    order = an_order(made, shuffle)
    for host in follow(situation.there, order):
        assert_few_are_down(situation, made, host)
    end = end_of(situation.there, order)
    for goal in situation.goals:
        start = situation.there.get(goal.name, Observation())
        assert reached(goal, start, end.get(goal.name, Observation()))


@settings(many, max_examples=50)
@given(rollings(), shuffles)
def test_nor_where_a_step_fails(situation: Rolling, shuffle: Random) -> None:
    """Those that the failed step is of are down as well, if it leaves them so."""
    for made, ran in failures(situation, shuffle):
        failing = made.steps[ran.at].vm
        for host in ran.hosts:
            assert_few_are_down(situation, made, {**host, failing: situation.there[failing]})


@many
@given(rollings())
def test_waves_change_only_when_a_step_is_done(situation: Rolling) -> None:
    """The steps are those of a plan without waves, and whether those that stand in are ready."""
    made = situation.planned()
    without = situation.without_waves().planned()
    if made is None:
        if without is not None:
            refused = situation.asked()
            assert isinstance(refused, Failure)
            assert {each.path for each in refused.failure()} == {"at_once"}
        return
    assert without is not None
    steps = [(s.vm, s.action) for s in without.steps if s.vm]
    more = [(s.vm, s.action) for s in made.steps if s.vm]
    for each in steps:
        if each in more:
            more.remove(each)
    assert {type(action) for _, action in more} <= {AwaitReady, SetLimits}  # in two, see there


@given(rollings())
def test_without_a_number_groups_make_no_difference(situation: Rolling) -> None:
    alone = situation.without_waves()
    plain = tuple(replace(goal, group="") for goal in alone.goals)

    match plan_host(alone.goals, alone.there, alone.facts, alone.policy):
        case Success(made):
            assert Success(made) == plan_host(plain, alone.there, alone.facts, alone.policy)
        case Failure(problems):
            found = plan_host(plain, alone.there, alone.facts, alone.policy)
            assert found == Failure(problems)
