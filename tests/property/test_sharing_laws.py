"""The laws of volumes that VMs share: for small hosts of one owner, and two that mount."""

from collections.abc import Mapping
from dataclasses import replace
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from returns.result import Failure, Success

from geats_core import (
    DataLoss,
    Goal,
    HostFacts,
    HostPlan,
    HostPolicy,
    Observation,
    Restart,
    Strays,
    Target,
    VMSpec,
    plan_host,
)
from geats_core.planning.actions import DestroyVolume, RollbackVolume, Start
from geats_core.vm.claims import running_spec
from geats_core.vm.spec import ROOT, SharedVolume, Volume
from tests.property.test_host_laws import an_order, as_left, follow, many, shuffles

Hosts = Mapping[str, Observation]
POOLS = st.sampled_from(["fast", "fast", "slow"])
MOSTLY = st.sampled_from([True, True, True, False])


def spec(name: str, *volumes: Volume, shared: tuple[SharedVolume, ...] = ()) -> VMSpec:
    root = Volume(name=ROOT, pool="fast", mount="/")
    return VMSpec(
        name=name,
        driver="lxc",
        template="debian",
        hostname=name,
        volumes=(root, *volumes),
        shared_volumes=shared,
    )


@st.composite
def owners(draw: st.DrawFn) -> VMSpec:
    media = Volume(name="media", pool=draw(POOLS), mount="/media", shared=draw(MOSTLY))
    owner = spec("nas", *([media] if draw(MOSTLY) else []))
    return replace(owner, transient=not draw(MOSTLY), privileged=not draw(MOSTLY))


@st.composite
def users(draw: st.DrawFn, name: str) -> VMSpec:
    media = SharedVolume(name="films", vm="nas", volume="media", pool=draw(POOLS), mount="/films")
    return spec(name, shared=(media,) if draw(MOSTLY) else ())


@st.composite
def hosts(draw: st.DrawFn) -> tuple[tuple[Goal, ...], dict[str, Observation]]:
    there: dict[str, Observation] = {}
    goals: list[Goal] = []
    lefts = st.sampled_from(
        [Target.RUNNING, Target.RUNNING, Target.STOPPED, Target.DEFINED, Target.DEPROVISIONED]
    )
    for name, kinds in (("nas", owners()), ("web", users("web")), ("app", users("app"))):
        old = draw(kinds)
        new = old if draw(st.booleans()) else draw(kinds)
        there[name] = as_left(draw(lefts), old)
        if there[name].recorded and not draw(MOSTLY):  # a restart is still to come
            there[name] = replace(there[name], recorded=new, defined=new)
        if draw(MOSTLY):
            goals.append(
                Goal(
                    name=name,
                    target=draw(
                        st.sampled_from([Target.RUNNING, Target.DEPROVISIONED] * 3 + [*Target])
                    ),
                    spec=new,
                    restart=draw(st.sampled_from([Restart.IF_NEEDED, *Restart])),
                    data_loss=draw(st.sampled_from([DataLoss.ALLOWED, *DataLoss])),
                )
            )
    return tuple(draw(st.permutations(goals))), there


def planned(goals: tuple[Goal, ...], there: Hosts) -> HostPlan | None:
    match plan_host(goals, there):
        case Success(made):
            return made
        case Failure():
            return None


def mounting(have: Observation) -> tuple[SharedVolume, ...]:
    running = running_spec(have)
    return running.shared_volumes if running else ()


@many
@given(hosts(), shuffles)
def test_nobody_loses_what_is_mounted_or_starts_without_it(
    host: tuple[tuple[Goal, ...], dict[str, Observation]], shuffle: Random
) -> None:
    goals, there = host
    made = planned(goals, there)
    if made is None:
        return
    steps = an_order(made, shuffle)
    for step, before in zip(steps, follow(there, steps), strict=False):
        match step.action:
            case DestroyVolume(pool, volume) | RollbackVolume(pool, volume, _):
                key = (step.vm, pool, volume)
                assert all(each.key != key for have in before.values() for each in mounting(have))
            case Start():
                defined = before[step.vm].defined
                assert defined is not None
                for each in defined.shared_volumes:
                    seen = before[each.vm].volume(each.pool, each.volume)
                    assert seen is not None
                    assert seen.active
            case _:
                pass


def can_mount(host: Hosts, have: Observation) -> list[bool]:
    """For each volume of others that the VM is defined to mount, whether it is there."""
    return [
        host.get(each.vm, Observation()).volume(each.pool, each.volume) is not None
        for each in (have.recorded.shared_volumes if have.recorded else ())
    ]


@many
@given(hosts(), shuffles)
def test_what_a_vm_is_defined_to_mount_stays(
    host: tuple[tuple[Goal, ...], dict[str, Observation]], shuffle: Random
) -> None:
    goals, there = host
    made = planned(goals, there)
    if made is None:
        return
    *_, end = follow(there, an_order(made, shuffle))
    for name, have in there.items():
        if name not in {goal.name for goal in goals}:
            before = can_mount(there, have)
            assert before == [
                now and was for now, was in zip(can_mount(end, have), before, strict=True)
            ]


STOPPING = HostPolicy(strays=(("*", Strays.STOP),), at_most=3)
REQUESTS = (Target.REBOOTED, Target.REINITIALISED)


@st.composite
def unknown(draw: st.DrawFn, have: Observation) -> Observation:
    """A VM that the registry, or nobody, or only something else, knows of."""
    gone: list[dict[str, object]] = [
        {},
        {"recorded": None},
        {"recorded": None, "defined": None},
        {"recorded": None, "foreign": True},
    ]
    return replace(have, **draw(st.sampled_from(gone)))  # type: ignore[arg-type]


@many
@given(hosts(), shuffles, st.floats(0, 1), st.sampled_from([HostPolicy(), STOPPING]), st.data())
def test_a_plan_with_shared_volumes_that_is_cut_anywhere_is_resumed(
    host: tuple[tuple[Goal, ...], dict[str, Observation]],
    shuffle: Random,
    cut: float,
    policy: HostPolicy,
    data: st.DataObject,
) -> None:
    """Also where it takes owners away, and stops strays."""
    goals, there = host
    named = frozenset(goal.name for goal in goals)
    stray = data.draw(st.sampled_from(sorted(there)))
    if stray not in named:
        there = {**there, stray: data.draw(unknown(there[stray]))}
    facts = HostFacts(declared=named)
    made = plan_host(goals, there, facts, policy).value_or(None)
    if made is None:
        return
    states = list(follow(there, an_order(made, shuffle)))
    left = states[round(cut * (len(states) - 1))]
    goals = tuple(  # to power off what is gone is refused
        goal for goal in goals if goal.target is not Target.OFF or left[goal.name].exists
    )
    rest = plan_host(goals, left, facts, policy).unwrap()
    end = list(follow(left, an_order(rest, shuffle)))[-1]
    if not any(goal.target in REQUESTS for goal in goals):
        assert plan_host(goals, end, facts, policy).unwrap().is_empty
