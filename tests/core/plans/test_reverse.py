"""Undoing a plan, told as stories."""

from dataclasses import replace
from functools import reduce

from returns.result import Failure, Success

from geats_core import (
    DataLoss,
    DriverFacts,
    Goal,
    HostFacts,
    Observation,
    Plan,
    PoolFacts,
    Power,
    Stage,
    Step,
    Target,
    VMSpec,
    VolumeSeen,
    after,
    explain,
    parse_vm,
    plan,
    reverse,
    with_snapshots,
)
from geats_core.planning.actions import DeleteSnapshot, RollbackVolume, SnapshotVolume, Start
from tests.core.hosts import LXC

FACTS = HostFacts(drivers=LXC, pools={"snap": PoolFacts(snapshots=True), "plain": PoolFacts()})


def web(pool: str = "snap", **changed: object) -> VMSpec:
    volumes = [{"name": "root", "pool": pool, "size": "1GiB"}]
    return parse_vm("web", {"template": "debian", "volumes": volumes, **changed}).unwrap()


def made(target: Target, have: Observation, spec: VMSpec | None = None) -> Plan:
    goal = Goal(name="web", target=target, spec=spec, data_loss=DataLoss.ALLOWED)
    return plan(goal, have, FACTS).unwrap()


def then(planned: Plan, have: Observation) -> Observation:
    return reduce(lambda state, step: after(step.action, state).unwrap(), planned.steps, have)


def at(target: Target, spec: VMSpec) -> Observation:
    return then(made(target, Observation(), spec), Observation())


def undone(planned: Plan, have: Observation) -> tuple[list[str], tuple[str, ...]]:
    """What the reverse plan does, and of what it warns."""
    back = reverse(planned, have, FACTS).unwrap()
    return [line.partition(" because")[0] for line in explain(back.plan).splitlines()], (
        back.warnings
    )


def test_a_live_change_is_undone_live() -> None:
    have = at(Target.RUNNING, web(memory="1GiB"))
    planned = made(Target.RUNNING, have, web(memory="2GiB"))

    assert undone(planned, have) == (
        [
            "1. define web",
            "2. set the limits of web: memory 1GiB, cpus no limit",
        ],
        (),
    )


def test_a_new_vm_is_undone_by_taking_it_away() -> None:
    planned = made(Target.RUNNING, Observation(), web())

    assert undone(planned, Observation()) == (
        [
            "1. shut down web (power off after 60 s)",
            "2. destroy volume web/root in pool snap",
            "3. undefine web",
        ],
        (),
    )


def test_a_volume_that_grew_stays_as_large_and_that_is_said() -> None:
    have = at(Target.RUNNING, web())
    larger = web(volumes=[{"name": "root", "pool": "snap", "size": "2GiB"}])
    planned = made(Target.RUNNING, have, larger)

    steps, warnings = undone(planned, have)
    assert steps == ["web is as described: nothing to do"]
    assert warnings == (
        "web.recorded: volume sizes changed {root: 1GiB} → {root: 2GiB}",
        "web.defined: volume sizes changed {root: 1GiB} → {root: 2GiB}",
        "web.volumes[snap/root].size: was 1GiB, is 2GiB",
    )


def test_a_volume_that_was_destroyed_comes_back_empty_and_that_is_said() -> None:
    have = at(Target.STOPPED, web())
    planned = made(Target.DEPROVISIONED, have)

    steps, warnings = undone(planned, have)
    assert steps[0] == "1. define web"
    assert "what was on volume web/root is lost" in warnings


def test_with_snapshots_what_was_written_into_a_guest_is_undone() -> None:
    have = at(Target.RUNNING, web())
    careful = with_snapshots(
        made(Target.RUNNING, have, web(hostname="other")), have, FACTS, "before", 1_700_000_000
    )

    assert careful.warnings == ()
    assert [line.partition(" because")[0] for line in explain(careful.plan).splitlines()] == [
        "1. define web",
        "2. shut down web (power off after 60 s)",
        "3. snapshot volume web/root as before",
        "4. configure the guest on volume web/root",
        "5. start web",
    ]
    assert undone(careful.plan, have) == (
        [
            "1. shut down web (power off after 60 s)",
            "2. roll volume web/root back to snapshot before",
            "3. delete snapshot before of volume web/root",
            "4. define web",
            "5. start web",
        ],
        (),
    )
    back = reverse(careful.plan, have, FACTS).unwrap()
    assert then(back.plan, then(careful.plan, have)) == have


def test_a_pool_without_snapshots_is_named() -> None:
    have = at(Target.STOPPED, web("plain"))
    planned = made(Target.STOPPED, have, web("plain", hostname="other"))
    careful = with_snapshots(planned, have, FACTS, "before", 0)

    assert careful.plan.steps == planned.steps
    assert careful.warnings == (
        "what changes on volume web/root cannot be undone: pool plain has no snapshots",
    )


def test_nothing_is_kept_of_a_volume_that_is_destroyed() -> None:
    have = at(Target.STOPPED, web())
    careful = with_snapshots(made(Target.DEPROVISIONED, have), have, FACTS, "before", 0)

    assert careful.warnings == ("destroying volume web/root cannot be undone",)


def test_a_new_volume_needs_no_snapshot() -> None:
    planned = made(Target.STOPPED, Observation(), web())

    assert with_snapshots(planned, Observation(), FACTS, "before", 0).plan == planned


def test_a_lock_is_undone() -> None:
    have = at(Target.RUNNING, web())

    assert undone(made(Target.LOCKED, have), have) == (["1. unlock web"], ())
    locked = replace(have, locked=True)
    assert undone(made(Target.UNLOCKED, locked), locked) == (["1. lock web"], ())


def test_a_vm_that_was_only_defined_is_only_defined_again() -> None:
    old = Observation(recorded=web(), defined=web())
    planned = made(Target.DEFINED, old, web(memory="1GiB"))

    assert undone(planned, old) == (["1. define web"], ())


def test_power_comes_back_as_it_was() -> None:
    have = at(Target.FROZEN, web())
    planned = made(Target.OFF, have)

    steps, warnings = undone(planned, have)
    assert steps == ["1. start web", "2. freeze web"]
    assert warnings == ()


def test_a_plan_that_does_not_go_with_the_observation_has_no_reverse() -> None:
    planned = Plan(name="web", steps=(Step(vm="web", action=Start(), reason="it should run"),))

    refused = reverse(planned, Observation())
    assert isinstance(refused, Failure)
    assert [str(each) for each in refused.failure()] == [
        "web: step 1 cannot be done: it is not defined"
    ]


def test_what_was_data_without_a_definition_stays() -> None:
    left = replace(at(Target.STOPPED, web()), recorded=None, defined=None)
    planned = made(Target.DEFINED, left, web())

    assert isinstance(reverse(planned, left), Success)
    assert undone(planned, left) == (["1. undefine web"], ())


def test_a_stuck_vm_cannot_be_stuck_again() -> None:
    have = replace(at(Target.RUNNING, web()), power=Power.STUCK)
    _, warnings = undone(made(Target.OFF, have), have)

    assert warnings == ("web.power: was stuck, is running",)


def renamed_with_snapshot(have: Observation) -> Plan:
    planned = made(Target.RUNNING, have, web(hostname="other"))
    return with_snapshots(planned, have, FACTS, "before", 0).plan


def test_a_locked_vm_has_a_way_back_and_is_not_rolled_back() -> None:
    have = replace(at(Target.RUNNING, web()), locked=True)

    back = reverse(renamed_with_snapshot(have), have).unwrap()
    assert back.warnings[0] == "web is locked: volume web/root is not rolled back to before"
    assert not any(isinstance(step.action, RollbackVolume) for step in back.plan.steps)


def test_a_vm_without_its_driver_is_not_rolled_back() -> None:
    have = at(Target.RUNNING, web())
    facts = HostFacts(drivers={"memory": DriverFacts()})

    refused = reverse(renamed_with_snapshot(have), have, facts).failure()
    assert [str(each) for each in refused] == [
        "web.driver: unknown driver 'lxc' (there is: memory)"
    ]


def test_a_volume_that_never_held_anything_loses_nothing() -> None:
    empty = VolumeSeen(name="root", pool="snap", stage=Stage.ALLOCATED, size_bytes=2**30)
    have = Observation(recorded=web(), defined=web(), volumes=(empty,))

    _, warnings = undone(made(Target.DEPROVISIONED, have), have)
    assert not any("is lost" in warning for warning in warnings)


def test_there_is_no_way_back_to_a_template_that_is_gone() -> None:
    have = at(Target.RUNNING, web())
    planned = made(Target.RUNNING, have, web(memory="1GiB"))

    refused = reverse(planned, have, HostFacts(templates=frozenset())).failure()
    assert [str(each) for each in refused] == [
        "web.template: unknown template 'debian' (there is none)"
    ]


def test_a_plan_that_deletes_its_own_snapshot_has_no_way_back() -> None:
    have = at(Target.STOPPED, web())
    actions = (
        SnapshotVolume("snap", "root", "before", 1),
        DeleteSnapshot("snap", "root", "before"),
    )
    planned = Plan(name="web", steps=tuple(Step(vm="web", action=a, reason="") for a in actions))
    refused = reverse(planned, have, FACTS).failure()
    assert [each.message for each in refused] == [
        "step 1 cannot be done: there is no such snapshot"
    ]
