"""The laws of moves between hosts: wherever it is cut, one host has the VM, and it goes on."""

from dataclasses import replace

from hypothesis import event, given, settings
from hypothesis import strategies as st
from returns.result import Success

from geats_core import (
    Goal,
    HostFacts,
    Observation,
    Plan,
    PoolFacts,
    Target,
    VMSpec,
    after,
    follow,
    plan,
)
from geats_core.jobs.moves import (
    Offer,
    offer_from_plain,
    offer_to_plain,
    plan_fetch,
    plan_take_over,
)
from geats_core.planning.actions import (
    Shutdown,
    Start,
    TakeOver,
    TakeVolumes,
    Undefine,
    Unfreeze,
    UnpackVolume,
)
from geats_core.planning.goal import PowerOff
from geats_core.planning.model import SUSPENDED
from geats_core.vm.observation import Power
from tests.property.strategies import POOLS, specs
from tests.property.test_copy_laws import NOTHING_KNOWN, manifest_of

many = settings(max_examples=200, deadline=None)
NEW = Observation()
enabled_specs = specs.map(lambda spec: replace(spec, enabled=True))  # others run nowhere


def fetched(offer: Offer, spec: VMSpec, have: Observation, facts: HostFacts) -> Plan:
    return plan_fetch("ssh://root@a/web", offer, spec, have, facts, {}).unwrap()


def sharing(offer: Offer, spec: VMSpec, have: Observation, shared: set[str]) -> Offer:
    """The offer of a VM whose pools of these names both hosts use."""
    pools = {each.name: each.pool for each in spec.volumes if each.pool in shared}
    seen = {each.name: each for each in have.volumes if each.name in pools}
    return replace(offer, pools=pools, shared=seen)


def both_use(shared: set[str]) -> HostFacts:
    pools = {name: PoolFacts(shared=name in shared, identity=name) for name in POOLS}
    return replace(NOTHING_KNOWN, pools=pools)


def runnable(spec: VMSpec, have: Observation) -> bool:
    """Whether a plan that is to start the VM, defined as it is, starts it."""
    goal = Goal(name=spec.name, target=Target.RUNNING, spec=spec)
    return have.recorded is not None and isinstance(plan(goal, have), Success)


def until(
    made: Plan, cut: int, target: Observation, source: Observation
) -> tuple[Observation, ...]:
    """Both hosts where the move was cut; the source forgets the VM where it is taken over."""
    for step in made.steps[:cut]:
        target = after(step.action, target).unwrap()
        if isinstance(step.action, UnpackVolume) and step.action.takes_over:
            source = after(Undefine(), source).unwrap()
        if isinstance(step.action, TakeVolumes):
            passed = {each.name for each in step.action.volumes}
            left = tuple(each for each in source.volumes if each.name not in passed)
            source = after(Undefine(), replace(source, volumes=left)).unwrap()
    return target, source


@many
@given(
    enabled_specs,
    st.booleans(),
    st.lists(st.integers(0, 14), max_size=4),
    st.sets(st.sampled_from(POOLS)),
)
def test_wherever_and_how_often_it_is_cut_one_host_has_the_vm_and_the_end_is_the_same(
    spec: VMSpec, is_running: bool, cuts: list[int], shared: set[str]
) -> None:
    """Whether volumes are copied, or both hosts have them in one pool."""
    off = follow(plan(Goal(name=spec.name, target=Target.STOPPED, spec=spec), NEW).unwrap(), NEW)
    source, target = off.unwrap(), NEW
    offer = Offer(manifest=manifest_of(spec), mark="5a", is_running=is_running)
    offer, facts = sharing(offer, spec, source, shared), both_use(shared)
    event(f"{len(offer.shared)} of {len(spec.volumes)} volumes shared")
    end = Target.RUNNING if is_running else Target.STOPPED
    for cut in (*cuts, 99):
        offer = replace(offer, is_given=source.recorded is None)
        target, source = until(fetched(offer, spec, target, facts), cut, target, source)
        assert runnable(spec, source) is not runnable(spec, target)
        event("given" if source.recorded is None else "kept")
    assert runnable(spec, target)
    wanted = plan(Goal(name=spec.name, target=end, spec=spec), NEW).unwrap()
    assert target == follow(wanted, NEW).unwrap()


@many
@given(
    enabled_specs,
    st.lists(st.integers(0, 14), max_size=4),
    st.sampled_from(Power),
    st.sets(st.sampled_from(POOLS)),
)
def test_a_live_move_that_is_cut_anywhere_ends_as_if_the_vm_had_been_made_there(
    spec: VMSpec, cuts: list[int], left: Power, shared: set[str]
) -> None:
    """Until the one step that takes it over, nothing can start it on the target."""
    offer = Offer(manifest=manifest_of(spec), mark="5a", machine="q35", is_running=True)
    on = plan(Goal(name=spec.name, target=Target.RUNNING, spec=spec), NEW).unwrap()
    offer = sharing(offer, spec, follow(on, NEW).unwrap(), shared)
    target, facts = NEW, both_use(shared)
    for cut in (*cuts, 99):
        made = plan_take_over("ssh://root@a/web", offer, spec, target, facts, {}).unwrap()
        *room, taking = made.steps
        assert [type(taking.action)] == [TakeOver]
        for step in (*room, *([taking] if cut == 99 else []))[:cut]:
            target = after(step.action, target).unwrap()
        assert runnable(spec, target) is (cut == 99)
        is_whole = target.copy_of and all(seen.is_reserved for seen in target.volumes)
        made_here = len(spec.volumes) - len(offer.shared)
        if is_whole and len(target.volumes) == made_here and left is not Power.STUCK:
            target = replace(target, power=left)  # what was sent before it was cut
    wanted = plan(Goal(name=spec.name, target=Target.RUNNING, spec=spec), NEW).unwrap()
    assert target == follow(wanted, NEW).unwrap()


@many
@given(
    specs,
    st.sampled_from([Power.RUNNING, *SUSPENDED]),
    st.sampled_from([each for each in Target if each is not Target.DEFINED]),
    st.sampled_from(PowerOff),
)
def test_no_plan_lets_a_copy_go_on_that_came_here_as_it_ran(
    spec: VMSpec, power: Power, target: Target, power_off: PowerOff
) -> None:
    """Whether the VM runs on at its source, only the move knows."""
    offer = Offer(manifest=manifest_of(spec), mark="5a", machine="q35", is_running=True)
    *room, _ = (
        plan_take_over("ssh://root@a/web", offer, spec, NEW, NOTHING_KNOWN, {}).unwrap().steps
    )
    target_has = NEW
    for step in room:
        target_has = after(step.action, target_has).unwrap()
    came = replace(target_has, power=power, in_effect=spec)
    match plan(Goal(name=spec.name, target=target, power_off=power_off), came):
        case Success(made):
            event(f"{target}")
            assert not any(isinstance(s.action, Unfreeze | Shutdown | Start) for s in made.steps)
        case _:
            event("refused")


@many
@given(specs, st.booleans())
def test_an_offer_survives_its_way(spec: VMSpec, is_given: bool) -> None:
    offer = Offer(manifest=manifest_of(spec), mark="5a", is_given=is_given)
    assert offer_from_plain(offer_to_plain(offer)) == Success(offer)
