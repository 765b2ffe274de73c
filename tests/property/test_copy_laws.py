"""The laws of copies: whole or not at all, never in the place of another, and resumable."""

from dataclasses import replace

from hypothesis import event, given, settings
from hypothesis import strategies as st
from returns.result import Failure, Success

from geats_core import (
    DataLoss,
    Goal,
    HostFacts,
    HostPlan,
    Manifest,
    Observation,
    PackedVolume,
    Plan,
    PoolFacts,
    Power,
    Restart,
    Stage,
    Target,
    VMSpec,
    after,
    copied,
    follow,
    manifest_from_json,
    manifest_to_json,
    plan,
    plan_clone,
    plan_export,
    plan_import,
)
from geats_core.jobs.copies import claimed
from geats_core.planning.actions import DestroyVolume, InstallTemplate, UnpackVolume
from geats_core.vm.claims import HOST_INTERFACE, THE_ADDRESS, THE_VLAN, claims
from tests.property.strategies import host_facts, junk, observations, specs

many = settings(max_examples=200, deadline=None)
NOTHING_KNOWN = HostFacts(pools={name: PoolFacts() for name in ("fast", "slow")})
CLONING = HostFacts(
    pools={name: PoolFacts(snapshots=True, clones=True) for name in ("fast", "slow")}
)
NEW = Observation()


def manifest_of(spec: VMSpec) -> Manifest:
    packed = tuple(
        PackedVolume(name=volume.name, sha256="0" * 64, size_bytes=1) for volume in spec.volumes
    )
    return Manifest(spec=spec, template=spec.template, volumes=packed, taken_s=1)


def importing(spec: VMSpec, have: Observation = NEW) -> Plan | None:
    made = plan_import("/a.tar", manifest_of(spec), spec, have, NOTHING_KNOWN, {})
    return made.value_or(None)


def after_steps(made: Plan, have: Observation, cut: int | None = None) -> Observation:
    return follow(replace(made, steps=made.steps[:cut]), have).unwrap()


def goes_on(have: Observation) -> Power:
    """What an operation leaves a VM with: one that was left held is let go on."""
    return Power.RUNNING if have.power is Power.HELD else have.power


def without_guests(have: Observation) -> Observation:
    return replace(have, volumes=tuple(replace(seen, guest=None) for seen in have.volumes))


@many
@given(specs)
def test_an_import_ends_where_provisioning_ends(spec: VMSpec) -> None:
    made = importing(spec)
    assert made is not None
    goal = Goal(name=spec.name, target=Target.STOPPED, spec=spec)
    assert after_steps(made, NEW) == after_steps(plan(goal, NEW).unwrap(), NEW)


@many
@given(specs, st.integers(0, 12))
def test_an_import_that_was_cut_is_finished_or_taken_away(spec: VMSpec, cut: int) -> None:
    made = importing(spec)
    assert made is not None
    left = after_steps(made, NEW, cut)
    end = after_steps(made, NEW)
    rest = importing(spec, left)
    event("finished" if rest else "done before")
    if rest is None:  # but for the files in the guest, which any plan writes
        assert without_guests(left) == without_guests(end)
    else:
        assert after_steps(rest, left) == end
    gone = plan(Goal(name=spec.name, target=Target.DEPROVISIONED), left).unwrap()
    assert after_steps(gone, left) == NEW


@many
@given(
    specs,
    st.integers(0, 12),
    st.sampled_from([Target.RUNNING, Target.FROZEN, Target.STOPPED, Target.PROVISIONED]),
    st.sampled_from(Restart),
    st.sampled_from(DataLoss),
)
def test_no_vm_starts_with_a_part_of_an_archive(
    spec: VMSpec, cut: int, target: Target, restart: Restart, data_loss: DataLoss
) -> None:
    """From the first step on, it is all of the archive or nothing."""
    made = importing(spec)
    assert made is not None
    left = after_steps(made, NEW, cut)
    goal = Goal(name=spec.name, target=target, spec=spec, restart=restart, data_loss=data_loss)
    steps = plan(goal, left).value_or(Plan(name=spec.name)).steps
    if 0 < cut < len(made.steps):
        assert not steps
    elif cut:
        assert not [step for step in steps if isinstance(step.action, InstallTemplate)]


@many
@given(specs)
def test_every_volume_is_reserved_before_any_is_filled_in_any_order(spec: VMSpec) -> None:
    """Whatever order the steps' needs allow: a fill waits for all reservations."""
    made = importing(spec)
    assert made is not None
    before: list[set[int]] = []
    for step in made.steps:
        before.append(set(step.waits_for).union(*(before[at] for at in step.waits_for)))
    for position, step in enumerate(made.steps):
        if isinstance(step.action, UnpackVolume):
            done = after_steps(
                replace(made, steps=tuple(made.steps[at] for at in sorted(before[position]))), NEW
            )
            assert len(done.volumes) == len(spec.volumes)
            assert all(volume.is_reserved for volume in done.volumes)


@many
@given(specs, observations)
def test_what_is_there_is_never_harmed_by_an_import(spec: VMSpec, have: Observation) -> None:
    made = importing(spec, have)
    if made is None:
        return
    event("goes on" if have.exists else "begins")
    assert have.power is Power.STOPPED
    root = have.volume(spec.root.pool, spec.root.name)
    assert root is None or root.stage <= Stage.FORMATTED or root.is_reserved
    assert not [step for step in made.steps if isinstance(step.action, DestroyVolume)]


@many
@given(observations, host_facts | st.just(CLONING))
def test_an_export_changes_nothing_and_a_running_vm_goes_on(
    have: Observation, known: HostFacts
) -> None:
    match plan_export("web", "/a.tar", have, known):
        case Success(made):
            end = after_steps(made, have)
            active = [replace(volume, active=True) for volume in have.volumes]
            assert [replace(volume, active=True) for volume in end.volumes] == active
            assert replace(end, volumes=()) == replace(have, power=goes_on(have), volumes=())
            for cut in range(1, len(made.steps)):
                left = after_steps(made, have, cut)
                assert isinstance(plan_export("web", "/a.tar", left, known), Success)
        case Failure(problems):
            assert problems


@many
@given(specs)
def test_a_copy_beside_it_shares_no_mac_and_no_interface_and_no_address_that_is_accepted(
    spec: VMSpec,
) -> None:
    copy = copied(spec, "mail", {}).unwrap()
    mine = {claim for claim, _ in claims(spec.name, spec)}
    shared = {claim for claim, _ in claims("mail", copy)} & mine
    parents = {(HOST_INTERFACE, nic.parent) for nic in spec.nics}
    assert {kind for kind, _ in shared - parents} <= {THE_ADDRESS, THE_VLAN}
    assert bool(claimed(copy, {spec.name: spec})) == bool(shared)
    own = spec.own_ids and replace(spec.own_ids, first=None)  # those of the VM are not a copy's
    assert copied(spec, spec.name, {}) == Success(replace(spec, own_ids=own))


def state_after(
    made: HostPlan, start: dict[str, Observation], cut: int | None = None
) -> dict[str, Observation]:
    state = dict(start)
    for step in made.steps[:cut]:
        state[step.vm] = after(step.action, state.get(step.vm, NEW)).unwrap()
    return state


@many
@given(observations, st.integers(0, 16))
def test_a_clone_changes_nothing_of_its_source_and_is_finished_after_a_cut(
    have: Observation, cut: int
) -> None:
    """At most the source is frozen where it was cut; in the end it is what it was."""
    spec = have.recorded
    if spec is None:
        return
    copy = copied(replace(spec, nics=(), driver="lxc"), "mail", {}).unwrap()
    start = {"web": have}
    match plan_clone("web", copy, start, NOTHING_KNOWN):
        case Success(made):
            end = state_after(made, start)
            event(f"of a VM that is {have.power}")
            let_go = replace(have, power=goes_on(have))
            assert end["web"] == let_go
            assert end["mail"].power is Power.STOPPED
            assert not any(volume.is_reserved for volume in end["mail"].volumes)
            left = state_after(made, start, cut)
            assert left["web"] in (let_go, replace(have, power=Power.HELD))
            match plan_clone("web", copy, left, NOTHING_KNOWN):
                case Success(rest):
                    assert state_after(rest, left)["mail"] == end["mail"]
                case Failure():
                    assert not any(volume.is_reserved for volume in left["mail"].volumes)
        case Failure(problems):
            assert problems


@many
@given(specs)
def test_a_manifest_survives_its_file(spec: VMSpec) -> None:
    manifest = manifest_of(spec)
    assert manifest_from_json("a.tar", manifest_to_json(manifest)) == Success(manifest)


@many
@given(specs, st.dictionaries(st.sampled_from(["pools", "nics", "memory", "x"]), junk))
def test_changes_never_raise(spec: VMSpec, changes: dict[str, object]) -> None:
    assert isinstance(copied(spec, "mail", changes), Success | Failure)


@many
@given(st.text(max_size=20) | st.sampled_from(['{"manifest": {"version": 1}, "sha256": ""}', "[]"]))
def test_reading_a_manifest_never_raises(text: str) -> None:
    assert isinstance(manifest_from_json("a.tar", text), Failure)
