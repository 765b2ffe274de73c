"""What is configured and not available now stops those that need it, and nobody else."""

from dataclasses import replace

import pytest
from returns.result import Failure

from geats_core import HostFacts, Observation, Target, VMSpec, parse_vm, plan
from geats_core.planning.goal import DataLoss, Goal
from geats_core.vm.unseen import out_of_sight
from tests.core.hosts import at

OWN = {"name": "root", "pool": "fast"}
DATA = {"name": "data", "mount": "/data", "pool": "slow"}
MOUNTED = {"vm": "db", "volume": "data", "pool": "shared", "mount": "/db"}


def web(*volumes: object, **changed: object) -> VMSpec:
    raw = {"template": "debian", "volumes": list(volumes) or [OWN, DATA]}
    return parse_vm("web", raw | changed).unwrap()


WEB = web()
MOVED = web({**OWN, "pool": "other"}, DATA)
ON = at(Target.RUNNING, WEB)["web"]
UNSEEN = replace(ON, volumes=tuple(seen for seen in ON.volumes if seen.pool != "fast"))
NOT_MOUNTED = {"pools.fast": "nothing is mounted there"}
OFF_OR_NAMED = (Target.OFF, Target.UNDEFINED, Target.LOCKED, Target.UNLOCKED)
NEEDING = tuple(target for target in Target if target not in OFF_OR_NAMED)


def reasons(
    target: Target, have: Observation, away: dict[str, str], spec: VMSpec | None = WEB
) -> list[str]:
    wanted = Goal(name="web", target=target, spec=spec, data_loss=DataLoss.ALLOWED)
    match plan(wanted, have, HostFacts(unavailable=away)):
        case Failure(problems):
            return [str(each) for each in problems]
        case _:
            return []


@pytest.mark.parametrize("target", NEEDING)
def test_a_vm_is_not_planned_without_a_pool_of_its_volumes(target: Target) -> None:
    assert reasons(target, UNSEEN, NOT_MOUNTED) == [
        "web.volumes[root].pool: the pool 'fast' is not available: nothing is mounted there"
    ]


@pytest.mark.parametrize("target", OFF_OR_NAMED)
def test_a_vm_is_stopped_forgotten_and_locked_without_its_pools(target: Target) -> None:
    assert reasons(target, UNSEEN, NOT_MOUNTED) == []


def test_a_transient_vm_is_not_forgotten_without_the_pools_where_its_volumes_stay() -> None:
    gone = replace(UNSEEN, recorded=web(transient=True))
    assert reasons(Target.UNDEFINED, gone, NOT_MOUNTED) == [
        "web.volumes[root].pool: the pool 'fast' is not available: nothing is mounted there"
    ]


def test_a_root_in_a_pool_that_is_away_is_not_made_anew_in_another() -> None:
    assert reasons(Target.RUNNING, UNSEEN, NOT_MOUNTED, MOVED) == [
        "web.volumes[root].pool: the pool 'fast' is not available: nothing is mounted there"
    ]


def test_a_pool_that_a_shared_volume_is_in_is_needed_as_well() -> None:
    sharing = web(shared_volumes={"theirs": {"vm": "db", "pool": "shared", "mount": "/db"}})
    assert reasons(Target.RUNNING, Observation(), {"pools.shared": "away"}, sharing) == [
        "web.shared_volumes.theirs.pool: the pool 'shared' is not available: away"
    ]


@pytest.mark.parametrize("target", Target)
def test_a_driver_is_needed_for_all_but_locks(target: Target) -> None:
    found = reasons(target, ON, {"drivers.lxc": "it is wrong"})
    if target in (Target.LOCKED, Target.UNLOCKED):
        assert found == []
    else:
        assert found == ["web.driver: the driver 'lxc' is not available: it is wrong"]


def test_a_template_is_needed_only_where_a_root_is_made() -> None:
    away = {"templates.debian": "geats.templates.debian.path: is missing"}
    message = (
        "web.template: the template 'debian' is not available: "
        "geats.templates.debian.path: is missing"
    )
    assert reasons(Target.RUNNING, ON, away) == []
    assert reasons(Target.REBOOTED, ON, away) == []
    assert reasons(Target.REINITIALISED, ON, away) == [message]
    assert reasons(Target.RUNNING, Observation(), away) == [message]


def test_what_nobody_needs_is_no_reason() -> None:
    away = {"pools.other": "away", "drivers.kvm": "away", "templates.arch": "away"}
    assert all(reasons(target, ON, away) == [] for target in Target)


def test_a_vm_is_out_of_sight_where_its_driver_or_a_pool_is() -> None:
    facts = HostFacts(unavailable={**NOT_MOUNTED, "drivers.lxc": "it is wrong"})
    assert [str(each) for each in out_of_sight("web", UNSEEN, facts.unavailable)] == [
        "web.driver: the driver 'lxc' is not available: it is wrong",
        "web.volumes[root].pool: the pool 'fast' is not available: nothing is mounted there",
    ]
    assert out_of_sight("web", UNSEEN, {}) == ()
    assert out_of_sight("web", Observation(), facts.unavailable) == ()
