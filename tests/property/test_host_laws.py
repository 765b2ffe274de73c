"""The laws of host plans: they hold for every host, and in every order that a plan allows."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import reduce
from itertools import chain, combinations
from random import Random

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from returns.result import Failure, Success

from geats_core import (
    LIVE_LIMITS,
    Checked,
    DataLoss,
    DriverFacts,
    Goal,
    HostFacts,
    HostPlan,
    HostPolicy,
    Observation,
    PoolFacts,
    Power,
    Restart,
    Step,
    Strays,
    Target,
    VMSpec,
    after,
    dot,
    explain,
    host_plan_to_plain,
    mermaid,
    plan,
    plan_host,
    saved,
    table,
    why,
)
from geats_core.hostwide.capacity import lower_first
from geats_core.planning.action_words import describe
from geats_core.planning.actions import (
    Action,
    AwaitReady,
    Pause,
    Repair,
    Shutdown,
    Start,
    Stop,
    Unfreeze,
)
from geats_core.planning.costs import Impact
from geats_core.planning.model import ON
from geats_core.plans.explain import step_words
from geats_core.plans.glance import glance
from geats_core.plans.progress import Course
from geats_core.vm.lxc_config import veth_name
from geats_core.vm.readiness import Ready, TcpProbe
from geats_core.vm.spec import ROOT, Autostart, Limits, Nic, Volume
from tests.property.space import half_way
from tests.property.strategies import addresses, observations_of
from tests.property.test_plan_laws import reached

NAMES = ["a", "b", "c", "d", "e"]
POWER_OFFS = (Shutdown, Stop, Repair)
REQUESTS = (Target.REBOOTED, Target.REINITIALISED)
ON_AT_END = (Target.FROZEN, Target.REBOOTED, Target.REINITIALISED)
MOSTLY_ON = (*[Target.RUNNING] * 4, Target.FROZEN, Target.STOPPED)
NO_SPEC = (Target.OFF, Target.UNDEFINED, Target.DEPROVISIONED, Target.LOCKED, Target.UNLOCKED)

many = settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@dataclass(frozen=True)
class Situation:
    """What ``plan_host`` is asked."""

    goals: tuple[Goal, ...]
    there: Mapping[str, Observation]
    facts: HostFacts
    policy: HostPolicy

    def planned(self) -> HostPlan | None:
        made = plan_host(self.goals, self.there, self.facts, self.policy).value_or(None)
        event("refused" if made is None else "planned, gated" if gated(made) else "planned")
        return made


def gated(made: HostPlan) -> bool:
    return any(not step.vm for step in made.steps)


small = st.sampled_from([None, 1, 2, 3])
readies = st.sampled_from([None, None, Ready(probe=TcpProbe(80))])
limits = st.builds(Limits, memory_bytes=small, cpus=st.sampled_from([None, 0.1, 0.2, 0.3]))
autostarts = st.just(Autostart()) | st.builds(
    Autostart, priority=st.sampled_from([-1, 0, 5]), delay_s=st.sampled_from([0, 5])
)


@st.composite
def specs_of(draw: st.DrawFn, name: str, number: int, earlier: list[str]) -> VMSpec:
    """A spec of one VM, close to those of the others: they share addresses, and what comes first.

    The *number* picks the address and the MAC.
    """
    nic = Nic(
        name="eth0",
        bridge="br0",
        mac=f"02:00:00:00:00:0{number}",
        addresses=(draw(addresses),) if number < 2 else (),
    )
    root = Volume(
        name=ROOT,
        pool=draw(st.sampled_from(["fast", "fast", "slow"])),
        mount="/",
        size_bytes=draw(small),
    )
    return VMSpec(
        name=name,
        driver="lxc",
        template="debian",
        hostname=name,
        volumes=(root,),
        limits=draw(limits),
        nics=(nic,),
        after=tuple(draw(st.lists(st.sampled_from(earlier), max_size=2))) if earlier else (),
        autostart=draw(autostarts),
        ready=draw(readies),
    )


def as_left(target: Target, spec: VMSpec) -> Observation:
    """The VM as a plan for *target* leaves it."""
    steps = plan(Goal(name=spec.name, target=target, spec=spec), Observation()).unwrap().steps
    return reduce(lambda have, step: after(step.action, have).unwrap(), steps, Observation())


@st.composite
def seen(draw: st.DrawFn, old: VMSpec, new: VMSpec) -> Observation:
    """Mostly what some plan leaves; sometimes any state at all."""
    usual = [Target.RUNNING, Target.RUNNING, Target.FROZEN, Target.STOPPED, Target.DEFINED]
    kind = draw(st.sampled_from([*usual, "new", "any", "stuck", None]))
    if kind is None:
        return Observation()
    if kind == "any":
        return draw(observations_of(st.sampled_from([old, new])))
    if kind == "stuck":
        return replace(as_left(Target.RUNNING, old), power=Power.STUCK)
    if kind == "new":
        return as_left(Target.RUNNING, new)
    return as_left(Target(kind), old)


targets = st.sampled_from([*[Target.RUNNING] * 24, *[Target.STOPPED] * 3, *Target])
room = st.none() | st.sampled_from([2, 4, 6, 8])
places = st.sampled_from([None, "/srv/{vm}/{volume}", "/srv/{volume}"])
pool_facts = st.builds(PoolFacts, location=places, size_bytes=room, grows_online=st.booleans())
DRIVERS = {name: DriverFacts(costs=LIVE_LIMITS) for name in ("lxc", "memory")}
LIVE = HostFacts(drivers=DRIVERS)
host_facts = st.builds(
    HostFacts,
    drivers=st.none() | st.just(DRIVERS),
    pools=st.fixed_dictionaries({"fast": pool_facts, "slow": pool_facts}),
    memory_bytes=room,
    cpus=st.sampled_from([None, 0.3, 0.6, 0.9]),
    declared=st.frozensets(st.sampled_from(NAMES), max_size=1),
)
policies = st.builds(
    HostPolicy,
    memory_overcommit=st.sampled_from([1.0, 1.5]),
    cpu_overcommit=st.sampled_from([1.0, 2.0]),
    strays=st.sampled_from(
        [(), (("*", Strays.STOP),), (("a", Strays.IGNORE), ("[b-c]", Strays.STOP))]
    ),
)


@st.composite
def situations_of(draw: st.DrawFn) -> Situation:
    names = draw(st.permutations(NAMES))[: draw(st.integers(2, 5))]
    was, becomes = draw(st.permutations(range(5))), draw(st.permutations(range(5)))
    if draw(st.booleans()):
        becomes = was
    twins = draw(st.integers(0, 9)) == 0
    goals: list[Goal] = []
    there: dict[str, Observation] = {}
    for index, name in enumerate(names):
        anyone = names if draw(st.integers(0, 9)) == 0 else names[:index]
        old = draw(specs_of(name, was[index], anyone))
        new = draw(specs_of(name, 0 if twins else becomes[index], anyone))
        if draw(st.booleans()):
            new = replace(old, limits=new.limits, nics=new.nics)
        there[name] = draw(seen(old, new))
        if draw(st.integers(0, 5)):
            goals.append(
                Goal(
                    name=name,
                    target=draw(targets),
                    spec=draw(st.sampled_from([new, new, new, old])),
                    restart=draw(st.sampled_from([*[Restart.IF_NEEDED] * 4, *Restart])),
                    data_loss=draw(st.sampled_from([DataLoss.ALLOWED] * 4 + [DataLoss.REFUSED])),
                )
            )
    return Situation(tuple(goals), there, draw(st.just(LIVE) | host_facts), draw(policies))


@st.composite
def resizings(draw: st.DrawFn) -> Situation:
    """Running VMs whose limits change, on a host that is just large enough, or not quite."""
    names = NAMES[: draw(st.integers(2, 3))]
    some = st.integers(1, 3)
    goals: list[Goal] = []
    there: dict[str, Observation] = {}
    for name in names:
        spec = VMSpec(
            name=name,
            driver="lxc",
            template="debian",
            hostname=name,
            volumes=(Volume(name=ROOT, pool="fast", mount="/"),),
            limits=Limits(memory_bytes=draw(some), cpus=draw(some) / 10),
        )
        there[name] = as_left(draw(st.sampled_from([Target.RUNNING, Target.STOPPED])), spec)
        new = replace(spec, limits=Limits(memory_bytes=draw(some), cpus=draw(some) / 10))
        target = draw(st.sampled_from([Target.RUNNING] * 4 + [Target.STOPPED]))
        goals.append(Goal(name=name, target=target, spec=new))
    most = 2 * len(names)
    memory, cpus = draw(st.integers(most - 1, most + 1)), draw(st.integers(most - 1, most + 1))
    facts = HostFacts(drivers=DRIVERS, memory_bytes=memory, cpus=cpus / 10)
    return Situation(tuple(goals), there, facts, HostPolicy(cpu_overcommit=1.0))


@st.composite
def restarts(draw: st.DrawFn) -> Situation:
    """VMs that are on, and mostly have to restart; some get a volume, some are recreated."""
    names = draw(st.permutations(NAMES))[: draw(st.integers(2, 4))]
    was, becomes = draw(st.permutations(range(5))), draw(st.permutations(range(5)))
    goals: list[Goal] = []
    there: dict[str, Observation] = {}
    for index, name in enumerate(names):
        old = draw(specs_of(name, was[index], names[:index]))
        new = replace(draw(specs_of(name, becomes[index], names[:index])), privileged=True)
        new = replace(new, volumes=old.volumes) if draw(st.booleans()) else new
        data = Volume(name="data", pool="fast", mount="/data", size_bytes=draw(small))
        new = replace(new, volumes=(*new.volumes, data)) if draw(st.booleans()) else new
        target = draw(st.sampled_from([*[Target.RUNNING] * 4, *ON_AT_END, Target.STOPPED]))
        there[name] = as_left(
            draw(st.sampled_from([*[Target.RUNNING] * 4, Target.FROZEN, Target.STOPPED])), old
        )
        goals.append(Goal(name=name, target=target, spec=new, data_loss=DataLoss.ALLOWED))
    return Situation(tuple(goals), there, draw(st.just(LIVE) | host_facts), draw(policies))


situations = situations_of() | resizings() | restarts()
shuffles = st.randoms(use_true_random=False)


def an_order(made: HostPlan, shuffle: Random) -> list[Step]:
    """A topological order of all steps."""
    left, done = set(range(len(made.steps))), list[Step]()
    while left:
        ready = sorted(here for here in left if left.isdisjoint(made.steps[here].waits_for))
        chosen = shuffle.choice(ready)
        left.remove(chosen)
        done.append(made.steps[chosen])
    return done


def follow(there: Mapping[str, Observation], steps: list[Step]) -> Iterator[dict[str, Observation]]:
    """The host at first, and after each step; raises where a step is not applicable."""
    state = dict(there)
    yield dict(state)
    for step in steps:
        if step.vm:
            state[step.vm] = after(step.action, state.get(step.vm, Observation())).unwrap()
        yield dict(state)


def end_of(there: Mapping[str, Observation], steps: list[Step]) -> dict[str, Observation]:
    *_, end = follow(there, steps)
    return end


@many
@given(situations, shuffles)
def test_every_order_reaches_every_goal(situation: Situation, shuffle: Random) -> None:
    made = situation.planned()
    if made is None:
        return
    end = end_of(situation.there, an_order(made, shuffle))
    for goal in situation.goals:
        start = situation.there.get(goal.name, Observation())
        assert reached(goal, start, end.get(goal.name, Observation()))


def all_before(made: HostPlan) -> list[frozenset[int]]:
    """The steps that each comes after, at once or because of others."""
    found: list[frozenset[int]] = []
    for position, step in enumerate(made.steps):
        assert all(need < position for need in step.waits_for)
        found.append(frozenset(step.waits_for).union(*(found[at] for at in step.waits_for)))
    return found


def all_needed(made: HostPlan, *, through_starts: bool = True) -> list[frozenset[int]]:
    """The steps that each needs, at once or because of others; *through_starts* or not."""
    found: list[frozenset[int]] = []
    for step in made.steps:
        through = (n for n in step.needs if through_starts or not starts(made.steps[n]))
        found.append(frozenset(step.needs).union(*(found[need] for need in through)))
    return found


@many
@given(situations)
def test_no_step_waits_for_what_it_comes_after_anyway(situation: Situation) -> None:
    """But who needs a VM to be started does not need what that start needs: it may run already."""
    made = situation.planned()
    if made is None:
        return
    before, needed = all_before(made), all_needed(made, through_starts=False)
    for step in made.steps:
        others = [need for need in step.needs if not starts(made.steps[need])]
        for need in step.needs:
            assert all(need not in needed[other] for other in others)
        for earlier in step.after:
            assert earlier not in step.needs
            assert all(earlier not in before[other] for other in step.waits_for)


@many
@given(situations)
def test_the_steps_of_a_vm_are_its_own_plan(situation: Situation) -> None:
    made = situation.planned()
    if made is None:
        return
    before = all_before(made)
    goals = {goal.name: goal for goal in situation.goals}
    for each in made.plans:
        have = situation.there.get(each.name, Observation())
        goal = goals.get(each.name, Goal(name=each.name, target=Target.OFF, foreign=True))
        alone = plan(goal, have, situation.facts).unwrap()
        assert each in (alone, lower_first(alone, have))
        numbers: dict[Action, int] = {
            step.action: number
            for number, step in enumerate(made.steps)
            if step.vm == each.name and not isinstance(step.action, Pause)
        }
        assert numbers.keys() == {step.action for step in each.steps}
        for step in each.steps:
            placed = made.steps[numbers[step.action]]
            needs = {numbers[each.steps[need].action] for need in step.needs}
            assert needs <= before[numbers[step.action]]
            assert (placed.reason, placed.changes) == (step.reason, step.changes)


def promises(host: Mapping[str, Observation]) -> dict[str, Fraction]:
    """What VMs are promised in all, reckoned once more."""
    found = dict.fromkeys(["memory", "cpus", "pools.fast", "pools.slow"], Fraction(0))
    for have in host.values():
        if have.power is not Power.STOPPED and have.in_effect is not None:
            found["memory"] += have.in_effect.limits.memory_bytes or 0
            found["cpus"] += Fraction(str(have.in_effect.limits.cpus or 0))
        for volume in have.volumes:
            found[f"pools.{volume.pool}"] += volume.size_bytes or 0
    return found


def room_of(situation: Situation) -> dict[str, Fraction]:
    facts, policy = situation.facts, situation.policy
    found = {
        "memory": (facts.memory_bytes, policy.memory_overcommit),
        "cpus": (facts.cpus, policy.cpu_overcommit),
        **{f"pools.{p}": (facts.pool(p).size_bytes, 1.0) for p in ("fast", "slow")},
    }
    return {
        what: Fraction(str(has)) * Fraction(str(factor))
        for what, (has, factor) in found.items()
        if has is not None
    }


@many
@given(situations, shuffles)
def test_a_host_never_promises_more_than_it_may(situation: Situation, shuffle: Random) -> None:
    made = situation.planned()
    if made is None:
        return
    before, room = promises(situation.there), room_of(situation)
    for host in follow(situation.there, an_order(made, shuffle)):
        now = promises(host)
        assert all(now[what] <= max(limit, before[what]) for what, limit in room.items())


@many
@given(situations)
def test_room_is_only_refused_where_the_goals_do_not_fit(situation: Situation) -> None:
    """So there is no order, of any steps, in which they would."""
    answer = plan_host(situation.goals, situation.there, situation.facts, situation.policy)
    paths = {each.path for each in answer.failure()} if isinstance(answer, Failure) else set()
    assert "plan" not in paths
    short = paths & {"memory", "cpus", "pools.fast", "pools.slow"}
    if not short:
        return
    event("no room")
    end = dict(situation.there)
    goals = {goal.name: goal for goal in situation.goals}
    for name, have in situation.there.items():
        stray = name not in goals and name not in situation.facts.declared and have.exists
        if stray and situation.policy.on_stray(name) is Strays.STOP:
            goals[name] = Goal(name=name, target=Target.OFF, foreign=True)
    for name, goal in goals.items():
        have = end.get(name, Observation())
        steps = plan(goal, have, situation.facts).unwrap().steps
        end |= end_of({name: have}, list(steps))
    room = room_of(situation)
    assert all(promises(end)[what] > room[what] for what in short)


def held(name: str, have: Observation, facts: HostFacts) -> set[str]:
    """What only one VM can have."""
    found: set[str] = set()
    if have.power is not Power.STOPPED and have.in_effect is not None:
        for index, nic in enumerate(have.in_effect.nics):
            found |= {nic.mac, veth_name(name, index), *(str(a.ip) for a in nic.addresses)}
    for volume in have.volumes:
        location = facts.pool(volume.pool).location
        if location is not None:
            found.add(location.replace("{vm}", name).replace("{volume}", volume.name))
    return found


def shared(host: Mapping[str, Observation], facts: HostFacts) -> set[tuple[str, str, str]]:
    each = {name: held(name, have, facts) for name, have in host.items()}
    return {(x, y, what) for x, y in combinations(sorted(each), 2) for what in each[x] & each[y]}


@many
@given(situations, shuffles)
def test_two_vms_never_come_to_hold_the_same(situation: Situation, shuffle: Random) -> None:
    made = situation.planned()
    if made is None:
        return
    before = shared(situation.there, situation.facts)
    for host in follow(situation.there, an_order(made, shuffle)):
        assert shared(host, situation.facts) <= before


def effective(name: str, specs: Mapping[str, VMSpec]) -> int:
    """The priority of a VM, or of any that comes after it; *specs* are those that move."""
    reachable, todo = {name}, [name]
    while todo:
        here = todo.pop()
        then = {other for other, spec in specs.items() if here in spec.after} - reachable
        reachable |= then
        todo += then
    return max(specs[each].autostart.priority for each in reachable)


def has_cycle(specs: Mapping[str, VMSpec]) -> bool:
    left = dict(specs)
    while free := [name for name, spec in left.items() if not left.keys() & set(spec.after)]:
        for name in free:
            del left[name]
    return bool(left)


@many
@given(situations, shuffles)
def test_starts_and_stops_are_in_order(situation: Situation, shuffle: Random) -> None:
    made = situation.planned()
    if made is None:
        return
    order = an_order(made, shuffle)
    at = {(step.vm, type(step.action)): n for n, step in enumerate(order)}
    goals = {goal.name: goal for goal in situation.goals}
    starts = {step.vm: n for n, step in enumerate(order) if isinstance(step.action, Start)}
    stops = {step.vm: n for n, step in enumerate(order) if isinstance(step.action, POWER_OFFS)}
    started = {vm: spec for vm in starts if (spec := goals[vm].spec)}
    for name, spec in started.items():
        for other in started.keys() & set(spec.after):
            delay_s = started[other].autostart.delay_s
            assert starts[name] > (at[other, Pause] if delay_s else starts[other])
            assert starts[name] > at.get((other, AwaitReady), -1)
        for other in started:
            if effective(name, started) < effective(other, started):
                assert starts[name] > starts[other]
    stopped: dict[str, VMSpec] = {}
    for name in stops:
        have = situation.there[name]
        known = have.recorded or have.in_effect or have.defined
        spec_ = goals[name].spec if name in goals else known
        if spec_ is None:
            return
        stopped[name] = spec_
    if has_cycle(stopped):
        return
    for name, spec in stopped.items():
        for other in stopped:
            before = other in spec.after
            if before or effective(name, stopped) < effective(other, stopped):
                assert stops[name] < stops[other]


@dataclass(frozen=True)
class Failed:
    """What a plan leads to where one of its steps fails, in some order of the others."""

    at: int
    course: Course
    hosts: list[dict[str, Observation]]  # the host at first, and after each step

    @property
    def end(self) -> dict[str, Observation]:
        return self.hosts[-1]


def failures(situation: Situation, shuffle: Random) -> Iterator[tuple[HostPlan, Failed]]:
    """Each step of the plan fails, with no effect, and in its midst."""
    made = situation.planned()
    for at, step in enumerate(made.steps if made else ()):
        for midst in (False, True) if step.vm else ():
            assert made is not None
            yield made, failed(situation.there, made, shuffle, at, midst=midst)


def failed(
    there: Mapping[str, Observation], made: HostPlan, shuffle: Random, failing: int, *, midst: bool
) -> Failed:
    course, host = Course.of(made.steps, there), dict(there)
    hosts, ready = [dict(host)], course.take()
    while ready:
        position = ready.pop(shuffle.randrange(len(ready)))
        step = made.steps[position]
        have = host.get(step.vm, Observation())
        if position == failing:
            halves = half_way(step.action, have) if midst else ()
            host[step.vm] = shuffle.choice(halves or [have])
            course.fail(position, host[step.vm])
        else:
            host[step.vm] = after(step.action, have).unwrap()
            course.succeed(position)
        hosts.append(dict(host))
        ready = sorted([*ready, *course.take()])
    return Failed(failing, course, hosts)


@many
@given(situations, shuffles)
def test_what_does_not_need_a_step_that_fails_is_done(
    situation: Situation, shuffle: Random
) -> None:
    """And whatever is tried can be done."""
    for made, ran in failures(situation, shuffle):
        needed = all_needed(made)
        for position in range(len(made.steps)):
            if position != ran.at and ran.at not in needed[position]:
                assert position in ran.course.done
            elif position not in ran.course.done:
                assert ran.course.because_of[position] == ran.at


@many
@given(situations, shuffles)
def test_a_failure_makes_no_vm_take_what_another_has(situation: Situation, shuffle: Random) -> None:
    before, room = promises(situation.there), room_of(situation)
    shared_before = shared(situation.there, situation.facts)
    for host in chain.from_iterable(ran.hosts for _, ran in failures(situation, shuffle)):
        now = promises(host)
        assert all(now[what] <= max(limit, before[what]) for what, limit in room.items())
        assert shared(host, situation.facts) <= shared_before


@many
@given(situations, shuffles)
def test_what_ran_runs_again_after_a_failure_if_it_can(
    situation: Situation, shuffle: Random
) -> None:
    """It cannot where its start fails, its volumes are not ready, its guest was recreated and not
    configured, or another has what it would take.
    """
    for made, ran in failures(situation, shuffle):
        at = {step.vm: n for n, step in enumerate(made.steps) if isinstance(step.action, Start)}
        for goal in situation.goals:
            was, now = (host.get(goal.name, Observation()) for host in (situation.there, ran.end))
            if was.power not in ON or now.power in ON or at.get(goal.name) in (None, ran.at):
                continue
            event("left off")
            assert not can_start(made, ran, at[goal.name])


def can_start(made: HostPlan, ran: Failed, start: int) -> bool:
    """Whether the VM could be started: as it was configured, and with what others gave for it."""
    vm = made.steps[start].vm
    started = after(Start(), ran.end[vm]).value_or(None)
    if started is None or started.in_effect is None:
        return False
    root = started.volume(started.in_effect.root.pool, ROOT)
    given = [need for need in made.steps[start].needs if made.steps[need].vm != vm]
    order = Start | AwaitReady  # it ran before, whatever became of those that it starts after
    kept = [
        n for n in given if n not in ran.course.done and not isinstance(made.steps[n].action, order)
    ]
    return root is not None and root.guest is not None and not kept


def starts(step: Step) -> bool:
    return isinstance(step.action, Start)


def again(situation: Situation, host: Mapping[str, Observation]) -> Situation:
    """The same wish later: without the goals that were, and would be refused when there is none."""
    goals = tuple(
        goal
        for goal in situation.goals
        if goal.target is not Target.OFF or host.get(goal.name, Observation()).exists
    )
    declared = situation.facts.declared | {goal.name for goal in situation.goals}
    return replace(
        situation, goals=goals, there=host, facts=replace(situation.facts, declared=declared)
    )


@many
@given(situations)
def test_a_host_at_its_goals_needs_nothing(situation: Situation) -> None:
    made = situation.planned()
    if made is None or any(goal.target in REQUESTS for goal in situation.goals):
        return
    end = end_of(situation.there, list(made.steps))
    assert plan_host_of(again(situation, end)).unwrap().is_empty


def plan_host_of(situation: Situation) -> Checked[HostPlan]:
    return plan_host(situation.goals, situation.there, situation.facts, situation.policy)


@many
@given(situations, shuffles, st.floats(0, 1))
def test_a_host_plan_cut_anywhere_is_resumed(
    situation: Situation, shuffle: Random, part: float
) -> None:
    """Unless the host had promised too much: then a VM that is off has no right to what it had.

    What was on, and was to be on in the end, is on then: also where that was powered off meanwhile.
    """
    made = situation.planned()
    if made is None:
        return
    before, room = promises(situation.there), room_of(situation)
    if any(before[what] > limit for what, limit in room.items()):
        return
    order = an_order(made, shuffle)
    cut = end_of(situation.there, order[: round(part * len(order))])
    later = again(situation, cut)
    resumed = plan_host_of(later).unwrap()
    end = end_of(cut, an_order(resumed, shuffle))
    for goal in later.goals:
        start = cut.get(goal.name, Observation())
        assert reached(goal, start, end.get(goal.name, Observation()))
    whole = end_of(situation.there, order)
    for name, have in situation.there.items():
        was_on = have.power is not Power.STOPPED or have.to_run
        assert not was_on or whole[name].power not in ON or end[name].power in ON


@many
@given(situations)
def test_what_has_no_goal_is_not_touched(situation: Situation) -> None:
    made = situation.planned()
    if made is None:
        return
    goals = {goal.name for goal in situation.goals}
    for step in made.steps:
        if step.vm and step.vm not in goals:
            assert isinstance(step.action, (*POWER_OFFS, Unfreeze))
            assert situation.policy.on_stray(step.vm) is Strays.STOP
            assert step.vm not in situation.facts.declared
    for stray in made.strays:
        assert stray.name not in goals | situation.facts.declared
        assert situation.policy.on_stray(stray.name) is stray.policy is not Strays.IGNORE


@many
@given(situations)
def test_planning_and_explaining_a_host_never_raise(situation: Situation) -> None:
    answer = plan_host(situation.goals, situation.there, situation.facts, situation.policy)
    match answer:
        case Success(made):
            assert explain(made)
            assert table(made).count("\n") == len(made.steps) + 2
            assert mermaid(made).startswith("flowchart")
            assert dot(made).endswith("}\n")
            assert host_plan_to_plain(made).keys() == {"impact", "steps", "vms", "strays"}
            for step in made.steps:
                assert all(step_words(step))
                assert isinstance(why(made, describe(step.action, step.vm)), Success)
        case Failure(problems):
            assert problems
            assert len(set(problems)) == len(problems)
            assert all(each.path and each.message for each in problems)


@given(situations_of())
def test_a_plan_at_a_glance_names_each_vm_that_it_changes_once(situation: Situation) -> None:
    if (made := situation.planned()) is None:
        return
    lines = glance(saved(made, situation.there))
    impacts: dict[str, Impact] = {}
    for step in made.steps:
        impacts[step.vm] = max(step.impact, impacts.get(step.vm, Impact.NONE))
    of_vms = {line.name: line.impact for line in lines if line.fate is not None}

    assert of_vms == {name: impact for name, impact in impacts.items() if name}
    assert len(lines) == len({step for step in made.steps if not step.vm}) + len(of_vms)
    assert all(line.words and "\n" not in line.words for line in lines)
    assert all("DATA LOSS" in line.words for line in lines if line.impact is Impact.DATA_LOSS)


@given(situations_of())
def test_two_goals_for_one_name_are_refused(situation: Situation) -> None:
    twice = [*situation.goals, *situation.goals]
    answer = plan_host(twice, situation.there, situation.facts, situation.policy)
    said = [str(each) for each in answer.failure()] if isinstance(answer, Failure) else []
    for goal in situation.goals:
        assert f"{goal.name}: has two goals: a name belongs to one VM only" in said


@many
@given(situations_of())
def test_vms_that_have_nothing_to_do_with_each_other_never_wait(situation: Situation) -> None:
    goals = [
        replace(goal, spec=alone(number, goal.spec)) for number, goal in enumerate(situation.goals)
    ]
    names = {goal.name for goal in goals}
    there = {
        name: replace(have, recorded=None, defined=None, in_effect=None)
        for name, have in situation.there.items()
        if name in names
    }
    answer = plan_host(goals, there)
    if isinstance(answer, Failure):
        return
    steps = answer.unwrap().steps
    for step in steps:
        assert {steps[earlier].vm for earlier in step.waits_for} <= {step.vm}


def alone(number: int, spec: VMSpec | None) -> VMSpec | None:
    if spec is None:
        return None
    nics = tuple(replace(nic, mac=f"02:00:00:00:00:0{number}", addresses=()) for nic in spec.nics)
    return replace(spec, nics=nics, after=(), autostart=Autostart())
