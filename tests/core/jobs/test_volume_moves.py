"""A volume moves to another pool: one copy counts, wherever that is interrupted."""

from dataclasses import replace

import pytest
from returns.result import Failure, Success

from geats_core import (
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
    VolumeSeen,
    explain,
    follow,
    plan,
    plan_from_json,
    plan_volume_move,
    reverse,
    saved,
    to_json,
)
from geats_core.jobs.volume_moves import notes
from geats_core.planning.actions import MoveVolume
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
    assert all(isinstance(after(action, have), Failure) for have in wrong)
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
