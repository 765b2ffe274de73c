"""The laws of plain data: what is written is read back, and nothing else is read."""

import json
from collections.abc import Mapping
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from returns.result import Failure, Success

from geats_core import (
    Checked,
    Goal,
    HostFacts,
    HostPlan,
    Observation,
    Plan,
    Problem,
    SnapshotSeen,
    Stage,
    VMSpec,
    VolumeSeen,
    plan,
    plan_host,
)
from geats_core.planning.actions import (
    Action,
    ActivateVolume,
    Adopt,
    AdoptVolume,
    AllocateVolume,
    AwaitReady,
    CloneVolume,
    ConfigureGuest,
    Define,
    DeleteSnapshot,
    DestroyVolume,
    Export,
    ForgetVolume,
    FormatVolume,
    Freeze,
    GrowVolume,
    Hold,
    Identity,
    InstallTemplate,
    KeepOff,
    Lock,
    MoveVolume,
    NotePlaces,
    OfOneGuest,
    Pause,
    Publish,
    Reading,
    RemoveLeftover,
    Rename,
    RenameVolume,
    Repair,
    ReserveVolume,
    RollbackVolume,
    SetDevices,
    SetDns,
    SetLimits,
    Shutdown,
    SnapshotVolume,
    Start,
    Stop,
    TakeOver,
    TakeVolumes,
    Undefine,
    Unfreeze,
    Unlock,
    UnpackVolume,
    UpgradeRegistry,
)
from geats_core.planning.plugin_facts import Leftover
from geats_core.planning.then import Then
from geats_core.plans.codec import decode, encode, parser_of
from tests.property.strategies import (
    dnses,
    host_facts,
    junk,
    limits,
    mappings,
    moved_lists,
    observations,
    pools,
    readies,
    situations,
    sizes,
    specs,
)

many = settings(max_examples=200, deadline=None)
names = st.sampled_from(["root", "data", "s1"])
lines = st.lists(st.text(max_size=5), max_size=2).map(tuple)
volumes = observations.map(lambda have: have.volumes)
of_volume = {"pool": pools, "volume": names}
ACTIONS: dict[type[Action], st.SearchStrategy[Action]] = {
    Define: st.builds(Define, specs, lines),
    Undefine: st.builds(Undefine, st.just(()) | st.just(("lxc.environment = A=1",))),
    AllocateVolume: st.builds(AllocateVolume, **of_volume, size_bytes=sizes),
    FormatVolume: st.builds(FormatVolume, **of_volume),
    ActivateVolume: st.builds(ActivateVolume, **of_volume),
    GrowVolume: st.builds(GrowVolume, **of_volume, size_bytes=st.integers()),
    DestroyVolume: st.builds(DestroyVolume, **of_volume),
    ForgetVolume: st.builds(ForgetVolume, **of_volume),
    SnapshotVolume: st.builds(SnapshotVolume, **of_volume, snapshot=names, taken_s=st.integers()),
    RollbackVolume: st.builds(RollbackVolume, **of_volume, snapshot=names),
    DeleteSnapshot: st.builds(DeleteSnapshot, **of_volume, snapshot=names),
    InstallTemplate: st.builds(InstallTemplate, **of_volume, template=st.text()),
    ConfigureGuest: st.builds(ConfigureGuest, **of_volume, spec=specs),
    ReserveVolume: st.builds(ReserveVolume, **of_volume),
    UnpackVolume: st.builds(
        UnpackVolume,
        **of_volume,
        archive=st.text(),
        sha256=st.text(),
        template=st.none() | st.text(),
        identity=st.sampled_from(Identity),
        waits=st.booleans(),
    ),
    TakeOver: st.builds(
        TakeOver, source=st.text(), mark=st.text(), template=st.text(), along=volumes
    ),
    TakeVolumes: st.builds(TakeVolumes, source=st.text(), mark=st.text(), volumes=volumes),
    CloneVolume: st.builds(CloneVolume, **of_volume, source=names, template=st.none() | st.text()),
    AdoptVolume: st.builds(
        AdoptVolume,
        **of_volume,
        size_bytes=sizes,
        tree=st.text(),
        template=st.text(),
        guest=st.text(),
        called=st.text(),
    ),
    RenameVolume: st.builds(RenameVolume, **of_volume, old_name=st.text(), new_name=st.text()),
    MoveVolume: st.builds(MoveVolume, **of_volume, from_pool=names, size_bytes=sizes, spec=specs),
    Rename: st.builds(Rename, specs, lines),
    Adopt: st.builds(Adopt, specs, specs, lines, st.text(), st.text()),
    Export: st.builds(Export, st.text(), st.sampled_from(Reading)),
    Publish: st.builds(
        Publish, st.text(), st.tuples(st.sampled_from(OfOneGuest)), st.sampled_from(Reading)
    ),
    SetLimits: st.builds(SetLimits, limits),
    SetDevices: st.builds(SetDevices, specs, lines),
    SetDns: st.builds(SetDns, dnses),
    AwaitReady: st.builds(AwaitReady, readies),
    Start: st.just(Start()),
    Shutdown: st.builds(Shutdown, st.integers(), st.sampled_from(Then)),
    Stop: st.builds(Stop, st.sampled_from(Then)),
    KeepOff: st.just(KeepOff()),
    Freeze: st.just(Freeze()),
    Hold: st.just(Hold()),
    Unfreeze: st.builds(Unfreeze, st.sampled_from(Then)),
    Repair: st.builds(Repair, st.sampled_from(Then)),
    Lock: st.just(Lock()),
    Unlock: st.just(Unlock()),
    Pause: st.builds(Pause, st.integers()),
    UpgradeRegistry: st.builds(UpgradeRegistry, st.integers(), st.integers()),
    RemoveLeftover: st.builds(RemoveLeftover, st.sampled_from(Leftover), st.text(), st.text()),
    NotePlaces: st.builds(NotePlaces, moved_lists),
}
actions = st.sampled_from(list(ACTIONS)).flatmap(ACTIONS.__getitem__)
snapshots_seen = st.builds(
    SnapshotSeen, name=names, taken_s=st.integers(), stage=st.sampled_from(Stage)
)
volumes_with_snapshots = st.builds(
    VolumeSeen,
    name=names,
    pool=pools,
    stage=st.sampled_from(Stage),
    snapshots=st.lists(snapshots_seen, max_size=3).map(tuple),
)
KINDS = [Observation, Goal, Plan, HostPlan, HostFacts, VMSpec, Action, object, tuple[Plan, ...]]


def through_json(value: object) -> object:
    return json.loads(json.dumps(encode(value), allow_nan=False))


def assert_checked(result: Checked[object]) -> None:
    """Either a value, or problems that can be shown to anyone, below the path that was given."""
    if isinstance(result, Failure):
        assert result.failure()
        for each in result.failure():
            assert isinstance(each, Problem)
            assert each.path.startswith("x")
            str(each).encode()


@st.composite
def spoiled(draw: st.DrawFn, plain: object) -> object:
    """*plain* with one thing in it taken away, added or replaced, however deep."""
    if isinstance(plain, dict) and plain and draw(st.integers(0, 9)):
        key = draw(st.sampled_from(sorted(plain)))
        others = {other: value for other, value in plain.items() if other != key}
        return others | draw(
            st.just({}) | spoiled(plain[key]).map(lambda value: {key: value}) | mappings
        )
    if isinstance(plain, list) and plain and draw(st.integers(0, 9)):
        at = draw(st.integers(0, len(plain) - 1))
        return [*plain[:at], draw(spoiled(plain[at])), *plain[at + 1 :]]
    return draw(junk)


@many
@given(observations | volumes_with_snapshots.map(lambda seen: Observation(volumes=(seen,))))
def test_an_observation_survives_json(have: Observation) -> None:
    assert decode(Observation, "x", through_json(have)) == Success(have)


@many
@given(situations)
def test_a_goal_survives_json(situation: tuple[Goal, Observation]) -> None:
    goal, _ = situation
    assert decode(Goal, "x", through_json(goal)) == Success(goal)


def test_every_action_is_tried() -> None:
    assert set(ACTIONS) == set(get_args(Action))


@many
@given(actions)
def test_an_action_survives_json(action: Action) -> None:
    assert parser_of(Action)("x", through_json(action)) == Success(action)


@many
@given(situations)
def test_a_plan_survives_json(situation: tuple[Goal, Observation]) -> None:
    goal, have = situation
    made = plan(goal, have)
    if isinstance(made, Success):
        assert decode(Plan, "x", through_json(made.unwrap())) == made
    on_host = plan_host([goal], {goal.name: have, "stray": have})
    if isinstance(on_host, Success):
        assert decode(HostPlan, "x", through_json(on_host.unwrap())) == on_host


@many
@given(host_facts)
def test_the_facts_of_a_host_survive_json(facts: HostFacts) -> None:
    assert decode(HostFacts, "x", through_json(facts)) == Success(facts)


@many
@given(specs)
def test_a_spec_survives_json(spec: VMSpec) -> None:
    assert decode(VMSpec, "x", through_json(spec)) == Success(spec)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@settings(max_examples=50, deadline=None)
@given(raw=junk | mappings)
def test_reading_junk_never_raises(kind: object, raw: object) -> None:
    assert_checked(parser_of(kind)("x", raw))


@many
@given(st.data(), situations)
def test_reading_what_was_spoiled_never_raises(
    data: st.DataObject, situation: tuple[Goal, Observation]
) -> None:
    goal, have = situation
    made = plan(goal, have)
    values: Mapping[type, object] = {Goal: goal, Observation: have} | (
        {Plan: made.unwrap()} if isinstance(made, Success) else {}
    )
    for kind, value in values.items():
        assert_checked(decode(kind, "x", data.draw(spoiled(through_json(value)))))


@many
@given(actions, st.data())
def test_reading_a_spoiled_action_never_raises(action: Action, data: st.DataObject) -> None:
    assert_checked(parser_of(Action)("x", data.draw(spoiled(through_json(action)))))


@many
@given(junk | mappings)
def test_what_is_read_as_plain_data_is_what_json_can_say(raw: object) -> None:
    match parser_of(object)("x", raw):
        case Success(found):
            assert json.loads(json.dumps(found, allow_nan=False)) == found == raw
        case Failure(problems):
            assert [problem.path for problem in problems] == ["x"]
