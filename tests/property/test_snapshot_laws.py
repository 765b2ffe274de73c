"""The laws of snapshots: taken together, gone back to, given up, and never of what is locked."""

from dataclasses import replace

from hypothesis import event, example, given, settings
from hypothesis import strategies as st
from returns.result import Failure, Success

from geats_core import (
    DataLoss,
    HostFacts,
    Keep,
    Observation,
    Parts,
    Plan,
    PoolFacts,
    Power,
    SnapshotSeen,
    Stage,
    follow,
    plan_delete,
    plan_kept,
    plan_restore,
    plan_snapshot,
    snapshots_of,
)
from geats_core.planning.actions import RollbackVolume, SnapshotVolume, Start
from geats_core.vm.guest_files import guest_digest
from tests.property.space import WANT
from tests.property.strategies import host_facts, observations

NOW_S = 1  # what is taken at 2 is dated later
many = settings(max_examples=300, deadline=None)
ABLE = HostFacts(pools={name: PoolFacts(snapshots=True) for name in ("fast", "slow")})
NAMES = ["monday", "tuesday"]
names = st.sampled_from(NAMES)
snapshots_seen = st.lists(
    st.builds(
        SnapshotSeen,
        name=names,
        taken_s=st.sampled_from([1, 2]),
        stage=st.sampled_from(Stage) | st.just(Stage.INSTALLED),
        template=st.just("debian"),
    ),
    unique_by=lambda each: each.name,
    max_size=2,
)


@st.composite
def with_snapshots_of(draw: st.DrawFn) -> Observation:
    """A VM in any state, whose volumes have some of two snapshots."""
    have = draw(observations)
    volumes = (replace(seen, snapshots=tuple(draw(snapshots_seen))) for seen in have.volumes)
    return replace(have, volumes=tuple(volumes))


def goes_on(have: Observation) -> Power:
    """What an operation leaves a VM with: one that was left held is let go on."""
    return Power.RUNNING if have.power is Power.HELD else have.power


vms = with_snapshots_of()
facts = host_facts | st.just(ABLE)
parts = st.sampled_from(Parts)


def end_of(made: Plan, have: Observation) -> Observation:
    return follow(made, have).unwrap()


@many
@given(vms, names, facts, parts)
def test_taking_a_snapshot_converges_and_changes_nothing_else(
    have: Observation, name: str, known: HostFacts, some: Parts
) -> None:
    """Afterwards there is nothing left to take, and without the snapshots all is as it was."""
    match plan_snapshot("web", name, 9, have, known, some):
        case Success(made):
            event("taken" if made.steps else "there already")
            end = end_of(made, have)
            assert plan_snapshot("web", name, 10, end, known, some) == Success(
                Plan(name="web", by_hand=have.by_hand)
            )
            was_active = {(v.pool, v.name): v.active for v in have.volumes}
            assert replace(have, power=goes_on(have)) == replace(
                end,
                volumes=tuple(
                    replace(
                        v,
                        active=was_active[v.pool, v.name],
                        snapshots=tuple(s for s in v.snapshots if s.taken_s != 9),
                    )
                    for v in end.volumes
                ),
            )
        case Failure(problems):
            event("refused")
            assert problems


@many
@given(vms, names)
def test_no_running_vm_has_a_snapshot_taken(have: Observation, name: str) -> None:
    made = plan_snapshot("web", name, 9, have, ABLE).value_or(Plan(name="web"))
    for position, step in enumerate(made.steps):
        if isinstance(step.action, SnapshotVolume):
            before = end_of(replace(made, steps=made.steps[:position]), have)
            assert before.power in (Power.STOPPED, Power.FROZEN, Power.HELD)


@many
@given(vms, names, st.integers(0, 5))
def test_a_snapshot_that_was_cut_is_completed(have: Observation, name: str, cut: int) -> None:
    """From wherever it was cut: every part is there in the end."""
    made = plan_snapshot("web", name, 9, have, ABLE).value_or(Plan(name="web"))
    middle = end_of(replace(made, steps=made.steps[:cut]), have)
    if made.steps:
        rest = plan_snapshot("web", name, 10, middle, ABLE).unwrap()
        end, whole = end_of(rest, middle), end_of(made, have)
        assert [[s.name for s in v.snapshots] for v in end.volumes] == [
            [s.name for s in v.snapshots] for v in whole.volumes
        ]


def restored(have: Observation, name: str, some: Parts = Parts.SOME) -> Plan:
    made = plan_restore("web", name, have, ABLE, DataLoss.ALLOWED, some)
    return made.value_or(Plan(name="web"))


@many
@given(vms, names, parts)
def test_going_back_makes_volumes_what_they_were_and_the_power_what_it_is(
    have: Observation, name: str, some: Parts
) -> None:
    made = restored(have, name, some)
    event("gone back" if made.steps else "refused")
    if not made.steps or have.recorded is None:
        return
    end = end_of(made, have)
    is_to_run = have.power is Power.STUCK or have.to_run
    power = Power.RUNNING if is_to_run else goes_on(have)
    power = Power.FROZEN if have.to_freeze else power
    power = Power.STOPPED if have.recorded.is_to_be_off else power
    assert (end.power, end.recorded, end.locked) == (power, have.recorded, have.locked)
    named = {(volume.pool, volume.name) for volume in have.recorded.volumes}
    for before, now in zip(have.volumes, end.volumes, strict=True):
        old = before.snapshot(name)
        touched = old is not None and (before.pool, before.name) in named
        touched = touched and before.stage >= Stage.FORMATTED
        assert now.snapshots == before.snapshots
        if touched and old is not None:
            assert (now.stage, now.template) == (old.stage, old.template)
            assert now.guest in (old.guest, guest_digest(have.recorded))
        elif now.guest != guest_digest(have.recorded):
            assert replace(now, active=before.active) == before


@many
@given(vms, names, st.integers(0, 6))
def test_going_back_that_was_cut_is_finished(have: Observation, name: str, cut: int) -> None:
    """The content is then what it was; whether the VM was on is not known any more."""
    made = restored(have, name)
    middle = end_of(replace(made, steps=made.steps[:cut]), have)
    rest = restored(middle, name)
    if made.steps and middle.volumes == have.volumes:
        assert rest.steps
    if made.steps and rest.steps:
        end, whole = end_of(rest, middle), end_of(made, have)
        assert [(v.stage, v.template, v.guest) for v in end.volumes] == [
            (v.stage, v.template, v.guest) for v in whole.volumes
        ]


@many
@given(vms, names, parts)
def test_data_is_lost_only_with_leave_and_never_of_a_locked_vm(
    have: Observation, name: str, some: Parts
) -> None:
    assert isinstance(plan_restore("web", name, have, ABLE, DataLoss.REFUSED, some), Failure)
    locked = replace(have, locked=True)
    assert isinstance(plan_restore("web", name, locked, ABLE, DataLoss.ALLOWED, some), Failure)
    assert isinstance(plan_delete("web", name, locked), Failure)
    gone = plan_kept("web", Keep(), locked, NOW_S + 1)
    assert isinstance(gone, Failure) == bool(snapshots_of(have))


@many
@given(vms, names, facts)
def test_no_volume_is_rolled_back_beneath_a_vm_that_is_on(
    have: Observation, name: str, known: HostFacts
) -> None:
    made = plan_restore("web", name, have, known, DataLoss.ALLOWED, Parts.SOME)
    steps = made.value_or(Plan(name="web")).steps
    rolled = [at for at, step in enumerate(steps) if isinstance(step.action, RollbackVolume)]
    started = [at for at, step in enumerate(steps) if isinstance(step.action, Start)]
    assert all(at < start for at in rolled for start in started)


@many
@given(
    vms,
    st.builds(Keep, last=st.integers(0, 2), daily=st.integers(0, 2)),
    st.sampled_from(["", "m", "x"]),
    st.integers(0, 4),
)
@example(Observation(recorded=WANT, power=Power.HELD, copy_of="the VM mail"), Keep(), "", 0)
def test_thinning_out_leaves_what_the_rules_keep_also_after_a_cut(
    have: Observation, keep: Keep, prefix: str, cut: int
) -> None:
    have = replace(have, locked=False)
    thinned = plan_kept("web", keep, have, NOW_S, prefix)
    if isinstance(thinned, Failure):
        assert any(seen.unreadable for seen in have.volumes)
        assert all("of a newer geats" in each.message for each in thinned.failure())
        return
    found = thinned.unwrap()
    kept = {each.snapshot.name for each in found.retention.kept}
    others = {each.name for each in snapshots_of(have) if not each.name.startswith(prefix)}
    end = end_of(found.plan, have)
    assert {each.name for each in snapshots_of(end)} == kept | others
    assert plan_kept("web", keep, end, NOW_S, prefix).unwrap().plan.is_empty
    middle = end_of(replace(found.plan, steps=found.plan.steps[:cut]), have)
    assert kept | others <= {each.name for each in snapshots_of(middle)}
