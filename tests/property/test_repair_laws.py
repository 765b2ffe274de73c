"""The laws of repairing a host: it ends what was interrupted, and takes nothing that is of use."""

from dataclasses import replace

from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from geats_core import Observation, Power, Stage, follow
from geats_core.declared.policy import HostPolicy
from geats_core.hostwide.host_planner import HostPlan
from geats_core.jobs.repairs import FoundLeftover, plan_repair
from geats_core.planning.actions import (
    AwaitReady,
    DestroyVolume,
    Freeze,
    RemoveLeftover,
    Repair,
    Start,
    Undefine,
    Unfreeze,
)
from geats_core.planning.host_facts import HostFacts
from geats_core.planning.plugin_facts import Leftover
from geats_core.vm.observation import UNFINISHED_COPY, VolumeSeen
from tests.property.space import WANT
from tests.property.strategies import host_facts, observations

many = settings(max_examples=300, deadline=None)
names = st.sampled_from(["web", "db", "nas", ""])
found = st.builds(
    FoundLeftover,
    action=st.builds(
        RemoveLeftover, st.sampled_from(Leftover), st.sampled_from("ab"), st.sampled_from("xy")
    ),
    reason=st.just("it is left over"),
    vm=names,
)
reserved = VolumeSeen(
    name="root", pool="fast", stage=Stage.FILLING, active=True, template=UNFINISHED_COPY
)
copies = observations.map(lambda have: replace(have, volumes=(*have.volumes[:1], reserved)))
hosts = st.dictionaries(st.sampled_from(["web", "db", "nas"]), observations | copies, max_size=3)


def repaired(made: HostPlan, before: dict[str, Observation]) -> dict[str, Observation]:
    """Every VM once the plan is done."""
    after = {each.name: follow(each, before.get(each.name, Observation())) for each in made.plans}
    return {**before, **{name: then.unwrap() for name, then in after.items() if name}}


@many
@given(
    st.lists(found, max_size=4, unique_by=lambda each: (each.vm, each.action)), hosts, host_facts
)
def test_a_host_is_repaired_whatever_state_it_is_in_and_then_there_is_nothing_to_repair(
    left: list[FoundLeftover], seen: dict[str, Observation], known: HostFacts
) -> None:
    made = plan_repair(left, seen, known).unwrap()
    then = repaired(made, seen)
    removed = [s.action for s in made.steps if isinstance(s.action, RemoveLeftover)]
    assert len(removed) == len(left)
    again = plan_repair([], then, known).unwrap()
    assert again.is_empty
    for plan in made.plans:
        event(", ".join(sorted({type(step.action).__name__ for step in plan.steps})))


@many
@given(hosts, host_facts)
@example({"web": Observation(power=Power.STUCK)}, HostFacts(memory_bytes=1, drivers={}))
@example({"web": Observation(recorded=WANT, copy_of="the VM mail")}, HostFacts())
def test_nothing_goes_that_anybody_could_miss(
    seen: dict[str, Observation], known: HostFacts
) -> None:
    made = plan_repair([], seen, known, HostPolicy()).unwrap()
    then = repaired(made, seen)
    for plan in made.plans:
        have, now = seen[plan.name], then[plan.name]
        copy = have.is_unfinished_copy
        for step in plan.steps:
            match step.action:
                case DestroyVolume(pool, name):
                    volume = have.volume(pool, name)
                    assert volume is not None
                    assert copy or volume.stage is Stage.ALLOCATED
                    kept = have.locked, have.foreign, volume.unreadable, have.missing
                    assert not any(kept)
                case Undefine():
                    assert copy
                case Repair():
                    assert have.power is Power.STUCK
                case AwaitReady():
                    assert now.power in (Power.RUNNING, Power.FROZEN)
                case Start():
                    assert have.power is Power.STUCK or have.to_run
                    assert now.power in (Power.RUNNING, Power.FROZEN)
                case Freeze():
                    assert (have.to_freeze, now.power) == (True, Power.FROZEN)
                case Unfreeze():
                    assert (have.power, now.power) == (Power.HELD, Power.RUNNING)
                case other:
                    raise AssertionError(other)
