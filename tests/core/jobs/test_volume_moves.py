"""A volume moves to another pool: one copy counts, wherever that is interrupted."""

from dataclasses import replace

import pytest
from returns.result import Failure, Success

from geats_core import (
    DataLoss,
    Goal,
    HostFacts,
    Observation,
    Offer,
    Plan,
    PoolFacts,
    Power,
    SnapshotSeen,
    Stage,
    Target,
    VMSpec,
    VolumeSeen,
    explain,
    follow,
    plan,
    plan_from_json,
    plan_rename,
    plan_volume_move,
    reverse,
    saved,
    to_json,
)
from geats_core.jobs.volume_moves import notes
from geats_core.planning.actions import InstallTemplate, MoveVolume
from geats_core.planning.model import after
from geats_core.plans.glance import in_lines
from geats_core.plans.plan_files import alone
from tests.core.hosts import at, vm

WEB = vm("web01", volumes=[{"name": "root"}, {"name": "data", "mount": "/srv", "size": "1GiB"}])
THEN = vm(
    "web01",
    volumes=[{"name": "root"}, {"name": "data", "mount": "/srv", "size": "1GiB", "pool": "fast"}],
)
TREES = PoolFacts(offers=Offer.DIRECTORY)
FACTS = HostFacts(pools={"default": TREES, "fast": TREES, "disks": PoolFacts(offers=Offer.FILE)})
OFF = at(Target.STOPPED, WEB)["web01"]
DATA = next(each for each in OFF.volumes if each.name == "data")
HALF = replace(DATA.as_moving(), pool="fast", size_bytes=None)


def moved(have: Observation = OFF, pool: str = "fast", volume: str = "data") -> Plan:
    return plan_volume_move("web01", volume, pool, {"web01": have}, FACTS).unwrap()


def with_volumes(have: Observation, *volumes: VolumeSeen) -> Observation:
    kept = tuple(each for each in have.volumes if each.name != "data")
    return replace(have, volumes=(*volumes, *kept))


def ends(made: Plan, have: Observation) -> Observation:
    return follow(made, have).unwrap()


def test_a_volume_moves_in_one_step_and_is_in_the_new_pool_alone() -> None:
    made = moved()
    assert explain(made) == (
        "1. move volume web01/data from pool default to pool fast: copy it, compare, use the copy, "
        "destroy the old one because another pool is asked for (impact: none)"
    )
    then = ends(made, OFF)
    assert (then.recorded, then.defined) == (THEN, THEN)
    assert [(each.pool, each.stage) for each in then.volumes if each.name == "data"] == [
        ("fast", Stage.FORMATTED)
    ]
    assert moved(then).is_empty
    assert plan(Goal(name="web01", target=Target.STOPPED, spec=THEN), then).unwrap().is_empty
    assert in_lines(saved(alone(made), {"web01": OFF})) == ["~ web01  move a volume"]


def test_a_root_keeps_what_it_was_installed_from() -> None:
    root = ends(moved(volume="root"), OFF).volume("fast", "root")
    old = OFF.volume("default", "root")
    assert root is not None
    assert old is not None
    assert root == replace(old, pool="fast")


BEFORE = with_volumes(OFF, DATA, HALF)  # copying was interrupted
AFTER = replace(
    with_volumes(OFF, DATA.as_moving(), replace(DATA, pool="fast")), recorded=THEN, defined=WEB
)  # it was copied, and recorded


@pytest.mark.parametrize("have", [BEFORE, AFTER])
def test_wherever_it_was_interrupted_the_same_move_ends_it(have: Observation) -> None:
    made = moved(have)
    assert len([step for step in made.steps if isinstance(step.action, MoveVolume)]) == 1
    then = ends(made, have)
    assert [each.pool for each in then.volumes if each.name == "data"] == ["fast"]
    assert then.recorded == then.defined == THEN
    assert not any(each.is_moving for each in then.volumes)


def test_until_the_copy_counts_the_vm_is_used_as_before_and_the_move_can_be_undone() -> None:
    goal = Goal(name="web01", target=Target.RUNNING, spec=WEB)
    assert [type(step.action).__name__ for step in plan(goal, BEFORE).unwrap().steps] == ["Start"]
    undone = ends(moved(BEFORE, "default"), BEFORE)
    assert undone == replace(OFF, volumes=undone.volumes)
    assert [each for each in undone.volumes if each.name == "data"] == [DATA]


def test_what_is_left_in_the_old_pool_hinders_nobody() -> None:
    goal = Goal(name="web01", target=Target.RUNNING, spec=THEN)
    steps = plan(goal, AFTER).unwrap().steps
    assert [type(step.action).__name__ for step in steps] == ["Define", "Start"]


ELSEWHERE = vm(
    "web01",
    volumes=[{"name": "root"}, {"name": "data", "mount": "/srv", "size": "1GiB", "pool": "disks"}],
)
WITHOUT = vm("web01", volumes=[{"name": "root"}])
NO_SPEC = replace(BEFORE, recorded=None, defined=None)
HALF_COUNTS = replace(BEFORE, recorded=THEN)  # nothing geats does leads there


@pytest.mark.parametrize("target", [Target.DEFINED, Target.PROVISIONED, Target.RUNNING])
@pytest.mark.parametrize(
    ("have", "want"),
    [
        *((BEFORE, want) for want in (THEN, ELSEWHERE, WITHOUT)),
        *((AFTER, want) for want in (WEB, ELSEWHERE, WITHOUT)),
    ],
)
def test_while_it_moves_no_other_plan_changes_its_pool(
    target: Target, have: Observation, want: VMSpec
) -> None:
    goal = Goal(name="web01", target=target, spec=want, data_loss=DataLoss.ALLOWED)
    said = "\n".join(map(str, plan(goal, have).failure()))
    for pool in ("default", "fast"):
        assert f"geats move-volume web01 data --to {pool}" in said
    assert "web01.volumes[data]: an interrupted move left a copy of it in pool" in said


@pytest.mark.parametrize("have", [NO_SPEC, HALF_COUNTS])
def test_a_copy_that_is_not_whole_is_never_the_vms(have: Observation) -> None:
    goal = Goal(name="web01", target=Target.DEFINED, spec=THEN, data_loss=DataLoss.ALLOWED)
    said = "\n".join(map(str, plan(goal, have).failure()))
    assert "declare the pool that it is whole in, or destroy the copy: geats volumes remove" in said
    back = plan(replace(goal, spec=WEB, data_loss=DataLoss.REFUSED), have).unwrap()
    assert ends(back, have) == BEFORE


@pytest.mark.parametrize("pool", ["default", "fast"])
def test_the_copy_that_is_not_whole_takes_nobodys_place(pool: str) -> None:
    found = plan_volume_move("web01", "data", pool, {"web01": HALF_COUNTS}, FACTS).failure()
    assert "declare the pool that it is whole in" in str(found[0])
    for spec, there in ((THEN, "fast"), (WEB, "default")):
        action = MoveVolume(there, "data", {"fast": "default"}.get(there, "fast"), None, spec)
        assert isinstance(after(action, HALF_COUNTS), Failure)
    root = with_volumes(OFF).volumes[0]
    install = InstallTemplate(root.pool, root.name, "debian")
    assert isinstance(after(install, replace(OFF, volumes=(root.as_moving(),))), Failure)


@pytest.mark.parametrize("have", [BEFORE, AFTER])
def test_while_it_moves_it_goes_to_no_third_pool_and_its_vm_keeps_its_name(
    have: Observation,
) -> None:
    facts = replace(FACTS, pools={**(FACTS.pools or {}), "third": TREES})
    found = plan_volume_move("web01", "data", "third", {"web01": have}, facts).failure()
    assert "an interrupted move left a copy of it" in str(found[0])
    renaming = plan_rename("web01", "web02", {"web01": have}, facts).failure()
    assert "web01.volumes[data]: an interrupted move left a copy of it" in "\n".join(
        map(str, renaming)
    )


def test_what_grew_since_is_made_anew_as_large() -> None:
    have = with_volumes(OFF, replace(DATA, size_bytes=2**31), replace(HALF, size_bytes=2**30))
    volume = ends(moved(have), have).volume("fast", "data")
    assert volume is not None
    assert volume.size_bytes == 2**31


def test_what_only_goes_is_not_said_to_be_copied_for_it() -> None:
    assert (
        "it counts in pool default already, so only what a move left in pool fast is destroyed"
        in (explain(moved(BEFORE, "default")))
    )


@pytest.mark.parametrize(
    ("have", "pool", "volume", "why"),
    [
        (Observation(), "fast", "data", "web01: is not defined"),
        (replace(OFF, foreign=True), "fast", "data", "did not make"),
        (replace(OFF, power=Power.RUNNING), "fast", "data", "is running: shut it down first"),
        (replace(OFF, copy_of="the VM x"), "fast", "data", "is an unfinished copy of the VM x"),
        (OFF, "fast", "dat", "unknown volume 'dat', did you mean 'data'?"),
        (OFF, "fats", "data", "pool: unknown pool 'fats', did you mean 'fast'?"),
        (OFF, "disks", "data", "is a directory, and the pool 'disks' offers a file"),
        (with_volumes(OFF), "fast", "data", "is missing or not ready"),
        (
            with_volumes(OFF, replace(DATA, stage=Stage.ALLOCATED)),
            "fast",
            "data",
            "is missing or not ready",
        ),
        (
            with_volumes(
                OFF,
                replace(
                    DATA, snapshots=(SnapshotSeen(name="mon", taken_s=1, stage=Stage.FORMATTED),)
                ),
            ),
            "fast",
            "data",
            "has snapshots, which cannot move: delete them first (mon)",
        ),
        (
            with_volumes(OFF, DATA, replace(DATA, pool="fast")),
            "fast",
            "data",
            "geats volumes remove web01 data --pool fast destroys that one",
        ),
    ],
)
def test_what_is_in_the_way_is_told(have: Observation, pool: str, volume: str, why: str) -> None:
    found = plan_volume_move("web01", volume, pool, {"web01": have}, FACTS).failure()
    assert why in "\n".join(map(str, found))


def test_a_volume_that_another_vm_mounts_stays() -> None:
    pics = {"vm": "web01", "volume": "data", "pool": "default", "mount": "/p"}
    there = {"web01": OFF, **at(Target.STOPPED, vm("db01", shared_volumes={"pics": pics}))}
    found = plan_volume_move("web01", "data", "fast", there).failure()
    assert "db01 mounts it" in str(found[0])


def test_a_volume_that_is_not_active_is_activated_to_be_read() -> None:
    have = with_volumes(OFF, replace(DATA, active=False))
    assert [type(s.action).__name__ for s in moved(have).steps] == ["ActivateVolume", "MoveVolume"]


def test_the_model_moves_no_other_volume_over() -> None:
    action = MoveVolume("fast", "data", "default", None, THEN)
    wrong = (
        with_volumes(OFF),
        with_volumes(OFF, DATA, replace(DATA, pool="fast")),
        replace(OFF, power=Power.RUNNING),
        replace(OFF, recorded=None),
        with_volumes(OFF, replace(DATA, unreadable="torn")),
        replace(with_volumes(OFF, DATA, replace(DATA, pool="fast")), recorded=THEN),
    )
    half = replace(with_volumes(OFF, DATA.as_moving(), HALF), recorded=THEN)
    assert all(isinstance(after(action, have), Failure) for have in (*wrong, half))
    assert isinstance(after(action, with_volumes(OFF, DATA, HALF)), Success)
    assert isinstance(after(action, AFTER), Success)


def test_a_saved_move_is_read_back_and_undone_by_another() -> None:
    made = saved(alone(moved()), {"web01": OFF})
    assert plan_from_json(to_json(made)).unwrap() == made
    found = reverse(moved(), OFF).failure()
    assert str(found[0]).endswith(
        "is undone by another move: geats move-volume web01 data --to default"
    )


def test_what_is_declared_otherwise_is_told() -> None:
    assert notes("web01", "data", "fast", None) == ()
    assert notes("web01", "data", "fast", THEN) == ()
    assert notes("web01", "data", "fast", WEB) == (
        "web01 is declared with volume data in pool default: write pool: fast there, or the next "
        "plan is refused",
    )
