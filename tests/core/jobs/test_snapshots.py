"""Snapshots of a whole VM, told as stories."""

from dataclasses import replace
from itertools import islice
from typing import Any

import pytest
from returns.result import Failure, Success

from geats_core import (
    Checked,
    DataLoss,
    DriverFacts,
    Goal,
    HostFacts,
    Keep,
    Observation,
    Parts,
    Plan,
    PoolFacts,
    Power,
    Stage,
    Target,
    VMSnapshot,
    VMSpec,
    after,
    explain,
    follow,
    name_at,
    parse_vm,
    plan,
    plan_clone,
    plan_delete,
    plan_export,
    plan_kept,
    plan_restore,
    plan_snapshot,
    snapshots_of,
    to_plain,
)
from geats_core.jobs.snapshots import numbered
from geats_core.planning.actions import Start
from geats_core.planning.draft import WITHOUT_AGENT
from geats_core.vm.spec import PowerWish

FACTS = HostFacts(pools={"snap": PoolFacts(snapshots=True), "plain": PoolFacts()})


def web(*pools: str, **changed: object) -> VMSpec:
    """A VM whose volumes, root and data, are in these pools."""
    volumes = [
        {"name": name, "pool": pool, **({} if name == "root" else {"mount": f"/{name}"})}
        for name, pool in zip(("root", "data"), pools, strict=False)
    ]
    return parse_vm("web", {"template": "debian", "volumes": volumes, **changed}).unwrap()


def at(target: Target, spec: VMSpec, have: Observation | None = None) -> Observation:
    have = have or Observation()
    goal = Goal(name="web", target=target, spec=spec)
    return follow(plan(goal, have).unwrap(), have).unwrap()


def snapped(have: Observation, name: str = "monday", taken_s: int = 1) -> Observation:
    return follow(plan_snapshot("web", name, taken_s, have, FACTS).unwrap(), have).unwrap()


def lines(made: Checked[Plan]) -> list[str]:
    """The steps without their impact; or the problems."""
    match made:
        case Success(found):
            return [line.partition(" (impact")[0] for line in explain(found).splitlines()]
        case Failure(problems):
            return list(map(str, problems))


RUNNING = at(Target.RUNNING, web("snap", "snap"))
NOW_S = 2_000_000_000
STOPPED = at(Target.STOPPED, web("snap", "snap"))


def test_a_running_vm_is_frozen_around_the_snapshots_of_all_of_its_volumes() -> None:
    made = plan_snapshot("web", "monday", 1, RUNNING, FACTS)

    assert lines(made) == [
        "1. freeze web for a while because the snapshot must be of one moment",
        "2. snapshot volume web/data as monday because snapshot monday is wanted",
        "3. snapshot volume web/root as monday because snapshot monday is wanted",
        "4. unfreeze web because it ran before",
    ]
    steps = made.unwrap().steps
    assert [(step.needs, step.after) for step in steps] == [
        ((), ()),
        ((0,), ()),
        ((0,), ()),
        ((0,), (1, 2)),
    ]


def test_a_vm_that_is_off_or_frozen_stays_so() -> None:
    two = [
        "1. snapshot volume web/data as monday because snapshot monday is wanted",
        "2. snapshot volume web/root as monday because snapshot monday is wanted",
    ]
    for target in (Target.STOPPED, Target.FROZEN):
        have = at(target, web("snap", "snap"))
        assert lines(plan_snapshot("web", "monday", 1, have, FACTS)) == two


def test_a_snapshot_that_is_there_is_not_taken_again() -> None:
    assert plan_snapshot("web", "monday", 2, snapped(RUNNING), FACTS) == Success(Plan(name="web"))


def test_what_was_cut_is_completed_and_is_not_of_one_moment() -> None:
    first, second = plan_snapshot("web", "monday", 1, STOPPED, FACTS).unwrap().steps
    cut = follow(Plan(name="web", steps=(replace(first, needs=()),)), STOPPED).unwrap()
    made = plan_snapshot("web", "monday", 5, cut, FACTS)

    assert lines(made) == [
        "1. snapshot volume web/root as monday because this part of it is missing"
    ]
    assert snapshots_of(follow(made.unwrap(), cut).unwrap()) == (
        VMSnapshot(name="monday", taken_s=1, volumes=("data", "root"), together=False),
    )
    assert second.action != first.action


def test_volumes_that_are_not_active_are_made_so() -> None:
    idle = replace(
        STOPPED, volumes=tuple(replace(volume, active=False) for volume in STOPPED.volumes)
    )

    assert lines(plan_snapshot("web", "monday", 1, idle, FACTS))[:2] == [
        "1. activate volume web/data in pool snap because it is not active",
        "2. activate volume web/root in pool snap because it is not active",
    ]


def test_asking_again_lets_one_go_on_that_a_kill_left_frozen() -> None:
    left = "unfreeze web because an interrupted operation left it frozen"
    have = replace(snapped(RUNNING), power=Power.HELD)

    assert lines(plan_snapshot("web", "monday", 2, have, FACTS)) == [f"1. {left}"]
    assert lines(plan_delete("web", "monday", have))[-1].endswith(left)


def test_pools_without_snapshots_are_named_unless_told_to_skip_them() -> None:
    have = at(Target.STOPPED, web("snap", "plain"))

    assert lines(plan_snapshot("web", "monday", 1, have, FACTS)) == [
        "web.volumes[data].pool: the pool 'plain' has no snapshots: leave it out with partial"
    ]
    assert lines(plan_snapshot("web", "monday", 1, have, FACTS, Parts.SOME)) == [
        "1. snapshot volume web/root as monday because snapshot monday is wanted"
    ]


def test_a_vm_without_any_volume_that_can_be_kept_is_refused() -> None:
    have = at(Target.STOPPED, web("plain"))
    only_defined = at(Target.DEFINED, web("snap"))

    for parts in Parts:
        assert lines(plan_snapshot("web", "monday", 1, have, FACTS, parts)) == [
            "web.volumes[root].pool: the pool 'plain' has no snapshots: export the VM, or move the "
            "volume to a pool that has them, as 'geats help snapshots' tells"
        ]
    assert lines(plan_snapshot("web", "monday", 1, only_defined, FACTS)) == [
        "web: has no volumes yet"
    ]


def test_vms_that_are_not_defined_foreign_or_stuck_are_refused() -> None:
    def said(have: Observation) -> list[str]:
        return lines(plan_snapshot("web", "monday", 1, have, FACTS))

    assert said(replace(STOPPED, recorded=None)) == ["web: is not defined"]
    assert said(replace(RUNNING, power=Power.STUCK)) == [
        "web: its monitor is stuck, so that it cannot be frozen: stop it first"
    ]
    assert said(Observation(foreign=True)) == [
        "web: there is a VM of this name on the host that geats did not make: it is left alone "
        "until it is adopted"
    ]


def restored(
    have: Observation, data_loss: DataLoss = DataLoss.ALLOWED, parts: Parts = Parts.ALL
) -> list[str]:
    return lines(plan_restore("web", "monday", have, FACTS, data_loss, parts))


def test_a_running_vm_is_off_while_it_goes_back_and_runs_again() -> None:
    assert restored(snapped(RUNNING)) == [
        "1. shut down web (power off after 60 s) because "
        "its volumes can be rolled back only while it is off",
        (
            "2. roll volume web/data back to snapshot monday because it should be as in snapshot "
            "monday"
        ),
        (
            "3. roll volume web/root back to snapshot monday because it should be as in snapshot "
            "monday"
        ),
        "4. start web because it was running before",
    ]


def test_a_frozen_vm_is_frozen_again_and_a_stuck_one_runs() -> None:
    frozen = snapped(at(Target.FROZEN, web("snap")))
    stuck = replace(snapped(at(Target.RUNNING, web("snap"))), power=Power.STUCK)

    assert restored(frozen)[-2:] == [
        "4. start web because it was frozen before",
        "5. freeze web because it was frozen before",
    ]
    assert restored(stuck)[0] == (
        "1. repair web: end its stuck monitor because "
        "its volumes can be rolled back only while it is off"
    )
    assert restored(stuck)[-1] == "3. start web because it was on before"


@pytest.mark.parametrize("off", [{"power": PowerWish.STOPPED}, {"enabled": False}])
def test_what_is_to_be_off_stays_off(off: dict[str, Any]) -> None:
    """As it is described now; if it is not described, as it was recorded."""
    have = snapped(RUNNING)
    assert have.recorded is not None
    described = replace(have.recorded, **off)
    for there, spec in (
        (have, described),
        (replace(have, recorded=described), None),
        (replace(have, power=Power.STOPPED, in_effect=None, to_run=True), described),
    ):
        made = plan_restore(
            "web", "monday", there, FACTS, DataLoss.ALLOWED, described=spec
        ).unwrap()
        assert not any(isinstance(step.action, Start) for step in made.steps)
        state = there
        for step in made.steps:
            state = after(step.action, state).unwrap()
        assert (state.power, state.to_run) == (Power.STOPPED, False)
    assert "stays off, as it is described" in f"{restored(replace(have, recorded=described))}"
    wanted = plan_restore(
        "web",
        "monday",
        replace(have, recorded=described),
        FACTS,
        DataLoss.ALLOWED,
        described=have.recorded,
    ).unwrap()
    assert isinstance(wanted.steps[-1].action, Start)


def test_what_was_restored_has_started_once_it_is_ready_unless_it_was_frozen() -> None:
    probed = snapped(at(Target.RUNNING, web("snap", ready={"tcp": 80})))

    assert restored(probed)[-1] == (
        "4. wait until web is ready (tcp 80, within 60 s) because web counts as started once it is"
        " ready"
    )
    assert "wait until" not in " ".join(restored(replace(probed, power=Power.FROZEN)))


def test_files_in_the_guest_are_those_of_now() -> None:
    """The definition does not go back: what geats writes into the guest is what it says."""
    have = at(Target.STOPPED, web("snap", hostname="new"), snapped(at(Target.STOPPED, web("snap"))))
    idle = replace(have, volumes=tuple(replace(volume, active=False) for volume in have.volumes))

    assert restored(idle)[1:] == [
        "2. activate volume web/root in pool snap because it is not active",
        "3. configure the guest on volume web/root because "
        "its files in the guest are not as described",
    ]


def test_going_back_needs_leave_and_a_vm_that_is_not_locked() -> None:
    have = snapped(RUNNING)

    assert restored(have, DataLoss.REFUSED) == [
        "web.snapshot: going back to monday loses what was written since: allow data loss"
    ]
    assert restored(replace(have, locked=True)) == [
        "web: is locked: going back to monday would lose data"
    ]
    assert lines(plan_restore("web", "sunday", have, FACTS)) == [
        "web.snapshot: unknown snapshot 'sunday', did you mean 'monday'? (there is: monday)"
    ]
    assert restored(replace(have, recorded=None)) == ["web: is not defined"]


def test_what_a_snapshot_lacks_is_left_alone_only_on_request() -> None:
    only_root = snapped(at(Target.STOPPED, web("snap")))
    have = at(Target.STOPPED, web("snap", "snap"), only_root)

    assert restored(have) == [
        "web.snapshot: monday has nothing of data: leave that out with partial"
    ]
    assert restored(have, parts=Parts.SOME) == [
        (
            "1. roll volume web/root back to snapshot monday because it should be as in snapshot "
            "monday"
        )
    ]


def test_a_snapshot_of_volumes_that_the_vm_no_longer_has_is_of_no_use() -> None:
    have = replace(snapped(STOPPED), recorded=web("plain"))
    moved = replace(at(Target.STOPPED, web("plain")), volumes=(*have.volumes,))
    there = at(Target.STOPPED, web("plain"))
    both = replace(moved, volumes=(*there.volumes, *have.volumes))

    assert restored(both, parts=Parts.SOME) == [
        "web.snapshot: monday has none of the volumes that the VM has now"
    ]


def test_parts_of_different_moments_are_gone_back_to_only_on_request() -> None:
    root_of_monday = snapped(at(Target.STOPPED, web("snap")))
    have = snapped(at(Target.STOPPED, web("snap", "snap"), root_of_monday), taken_s=9)

    assert restored(have) == [
        "web.snapshot: monday was not taken at one moment: restore its parts with partial"
    ]
    assert len(restored(have, parts=Parts.SOME)) == 2


def test_a_vm_whose_pool_is_out_of_reach_or_whose_root_was_empty_then_does_not_run_again() -> None:
    have = snapped(at(Target.RUNNING, web("snap")))
    empty = tuple(
        replace(seen, snapshots=tuple(replace(s, stage=Stage.FORMATTED) for s in seen.snapshots))
        for seen in have.volumes
    )
    nowhere = replace(FACTS, drivers={"libvirt": DriverFacts()})

    assert restored(replace(have, volumes=empty)) == [
        "web: cannot start web: a volume is not ready"
    ]
    assert lines(plan_restore("web", "monday", have, nowhere, DataLoss.ALLOWED)) == [
        "web.driver: unknown driver 'lxc' (there is: libvirt)"
    ]


def test_an_inactive_volume_of_a_vm_that_ran_is_active_before_it_starts() -> None:
    have = snapped(at(Target.RUNNING, web("snap")))
    idle = replace(have, volumes=tuple(replace(volume, active=False) for volume in have.volumes))

    assert restored(idle)[2:] == [
        "3. activate volume web/root in pool snap because it is not active",
        "4. start web because it was running before",
    ]


def test_a_snapshot_is_given_up_on_all_volumes() -> None:
    assert lines(plan_delete("web", "monday", snapped(RUNNING))) == [
        "1. delete snapshot monday of volume web/data because it is no longer wanted",
        "2. delete snapshot monday of volume web/root because it is no longer wanted",
    ]
    only_root = snapped(at(Target.STOPPED, web("snap")))
    with_data = at(Target.STOPPED, web("snap", "snap"), only_root)
    assert lines(plan_delete("web", "monday", with_data)) == [
        "1. delete snapshot monday of volume web/root because it is no longer wanted"
    ]
    assert lines(plan_delete("web", "monday", RUNNING)) == [
        "web.snapshot: unknown snapshot 'monday' (there is none)"
    ]


def test_a_locked_vm_keeps_its_snapshots() -> None:
    have = replace(snapped(RUNNING), locked=True)
    said = ["web: is locked, and so keeps its snapshots monday"]

    assert lines(plan_delete("web", "monday", have)) == said
    assert plan_kept("web", Keep(), have, NOW_S).failure()[0].message == said[0].partition(": ")[2]
    assert plan_kept("web", Keep(last=1), have, NOW_S).unwrap().plan == Plan(name="web")


def test_what_no_rule_keeps_goes_and_why_the_rest_stays_is_said() -> None:
    have = STOPPED
    for taken_s, name in enumerate(["auto-1", "by-hand", "auto-2", "auto-3"]):
        have = snapped(have, name, taken_s)
    made = plan_kept("web", Keep(last=2), have, NOW_S, prefix="auto-").unwrap()

    assert lines(Success(made.plan)) == [
        "1. delete snapshot auto-1 of volume web/data because no rule keeps it",
        "2. delete snapshot auto-1 of volume web/root because no rule keeps it",
    ]
    assert {each.snapshot.name: each.reasons for each in made.retention.kept} == {
        "auto-3": ("last 1 of 2",),
        "auto-2": ("last 2 of 2",),
    }
    everything = plan_kept("web", Keep(last=2), have, NOW_S).unwrap().retention.gone
    assert [each.name for each in everything] == ["by-hand", "auto-1"]


def test_snapshots_that_somebody_named_stay_if_only_those_named_by_time_go() -> None:
    have = STOPPED
    names = ["2025-11-23-070000", "before-upgrade", "2025-11-24-070000-2", "2025-11-25-070000"]
    for taken_s, name in enumerate(names):
        have = snapped(have, name, taken_s)
    made = plan_kept("web", Keep(last=1), have, NOW_S, named_by_time=True).unwrap()
    assert [each.name for each in made.retention.gone] == [names[2], names[0]]
    assert [each.snapshot.name for each in made.retention.kept] == [names[3]]


def test_a_snapshot_is_named_for_the_time_in_utc() -> None:
    assert name_at(1763881200) == "2025-11-23-070000"


def test_a_name_that_is_taken_gets_a_number() -> None:
    assert list(islice(numbered("monday"), 3)) == ["monday", "monday-2", "monday-3"]


def test_what_nobody_may_look_at_while_it_is_in_use_waits_until_the_vm_is_off() -> None:
    image = PoolFacts(snapshots=True, clones=True, works_online=False)
    facts = HostFacts(pools={"snap": image})
    for have in (RUNNING, at(Target.FROZEN, web("snap", "snap"))):
        for made in (
            plan_snapshot("web", "monday", 1, have, facts),
            plan_export("web", "/a.tar", have, facts),
        ):
            assert lines(made) == [
                f"web.volumes[{name}]: is in use, and the pool 'snap' can do this only while the"
                " VM is off"
                for name in ("data", "root")
            ]
    held = snapped(RUNNING)
    for refused in (
        plan_delete("web", "monday", held, facts),
        plan_kept("web", Keep(), held, NOW_S, facts=facts),
    ):
        assert len(refused.failure()) == 2
    assert plan_kept("web", Keep(last=1), held, NOW_S, facts=facts).unwrap().plan.is_empty
    for made in (
        plan_snapshot("web", "monday", 1, STOPPED, facts),
        plan_export("web", "/a.tar", STOPPED, facts),
        plan_delete("web", "monday", snapped(STOPPED), facts),
    ):
        assert isinstance(made, Success)


def test_a_clone_of_such_a_vm_waits_as_well() -> None:
    facts = HostFacts(pools={"snap": PoolFacts(clones=True, works_online=False)})
    copy = parse_vm("copy", {**to_plain(web("snap", "snap")), "hostname": "copy"}).unwrap()
    refused = plan_clone("web", copy, {"web": RUNNING}, facts)
    assert [str(each).split(":")[0] for each in refused.failure()] == [
        "web.volumes[data]",
        "web.volumes[root]",
    ]
    assert isinstance(plan_clone("web", copy, {"web": STOPPED}, facts), Success)


def test_a_guest_with_a_kernel_of_its_own_has_its_filesystems_at_rest_by_its_agent() -> None:
    facts = replace(FACTS, drivers={"lxc": DriverFacts(guests_mount=True)})
    without = replace(web("snap", "snap"), hardware=(WITHOUT_AGENT,))
    reasons = [
        plan_snapshot("web", "monday", 1, have, facts).unwrap().steps[0].reason
        for have in (RUNNING, replace(RUNNING, recorded=without))
    ]
    assert reasons == [
        "the snapshot must be of one moment; if its agent answers, its filesystems are at rest",
        "the snapshot must be of one moment; without an agent, its filesystems are as after a power"
        " cut",
    ]
