"""Undoing the plans of several VMs, and the snapshots that make more of them undoable."""

from collections.abc import Mapping
from dataclasses import replace

from returns.result import Failure

from geats_core.declared.policy import AtOnce, HostPolicy
from geats_core.hostwide.host_planner import plan_host
from geats_core.planning.actions import (
    ConfigureGuest,
    DestroyVolume,
    RollbackVolume,
    Shutdown,
    SnapshotVolume,
    Start,
)
from geats_core.planning.goal import DataLoss, Goal, Restart, Target
from geats_core.planning.host_facts import HostFacts
from geats_core.planning.model import after
from geats_core.planning.plugin_facts import PoolFacts
from geats_core.plans.plan_files import SavedPlan, saved
from geats_core.plans.reverse_host import reverse_host, snapshots_first
from geats_core.vm.observation import Observation
from geats_core.vm.parse import parse_vm

FACTS = HostFacts(pools={"default": PoolFacts(snapshots=True)})
MEDIA = {"name": "media", "mount": "/media", "shared": True}
TAKEN_S = 1_700_000_000


def goal(name: str, target: Target = Target.RUNNING, **raw: object) -> Goal:
    spec = parse_vm(name, {"template": "debian", **raw}).unwrap()
    return Goal(name=name, target=target, spec=spec, data_loss=DataLoss.ALLOWED)


def nic(address: str) -> dict[str, object]:
    return {"name": "eth0", "bridge": "br0", "addresses": [address]}


def planned(have: Mapping[str, Observation], *goals: Goal) -> SavedPlan:
    return saved(plan_host(goals, have, FACTS).unwrap(), have)


def applied(made: SavedPlan) -> dict[str, Observation]:
    """The host once every step is done, in the order of the plan; what is gone is left out."""
    host = dict(made.observations)
    for step in made.plan.steps:
        if step.vm:
            host[step.vm] = after(step.action, host.get(step.vm, Observation())).unwrap()
    return {name: have for name, have in host.items() if have.exists}


def undone(made: SavedPlan) -> SavedPlan:
    return reverse_host(made, FACTS).unwrap()


def test_a_plan_and_its_reverse_leave_the_host_as_it_was() -> None:
    here = applied(planned({}, goal("db")))
    both = planned(here, goal("db", hostname="sql"), goal("web", after=["db"]))
    back = undone(both)
    assert back.observations == applied(both)
    assert applied(back) == here


def test_vms_are_undone_in_the_reverse_order() -> None:
    made = planned({}, goal("db"), goal("web", after=["db"]))
    running = applied(made)
    stopped = planned(
        running, goal("db", Target.STOPPED), goal("web", Target.STOPPED, after=["db"])
    )
    steps = undone(stopped).plan.steps
    starts = {step.vm: at for at, step in enumerate(steps) if isinstance(step.action, Start)}
    assert starts["db"] in steps[starts["web"]].needs


def test_new_vms_stop_in_the_reverse_order_of_their_start() -> None:
    steps = undone(planned({}, goal("db"), goal("web", after=["db"]))).plan.steps
    stops = {step.vm: at for at, step in enumerate(steps) if isinstance(step.action, Shutdown)}
    assert stops["web"] in steps[stops["db"]].after


def test_addresses_that_were_swapped_are_handed_back_before_they_are_taken() -> None:
    def swapped(one: str, other: str) -> tuple[Goal, Goal]:
        return goal("db", nics=[nic(one)]), goal("web", nics=[nic(other)])

    here = applied(planned({}, *swapped("10.0.0.1/24", "10.0.0.2/24")))
    steps = undone(planned(here, *swapped("10.0.0.2/24", "10.0.0.1/24"))).plan.steps
    positions = {(step.vm, type(step.action)): at for at, step in enumerate(steps)}
    assert positions["db", Shutdown] in steps[positions["web", Start]].needs
    assert positions["web", Shutdown] in steps[positions["db", Start]].needs


def test_memory_is_given_back_before_it_is_taken_back() -> None:
    facts = replace(FACTS, memory_bytes=2 * 2**30)
    here = applied(planned({}, goal("db", memory="2GiB"), goal("web", Target.STOPPED)))
    there = planned(here, goal("db", Target.STOPPED, memory="2GiB"), goal("web", memory="1GiB"))
    steps = reverse_host(there, facts).unwrap().plan.steps
    kinds = {(step.vm, type(step.action)): at for at, step in enumerate(steps)}
    assert kinds["web", Shutdown] in steps[kinds["db", Start]].needs


def test_a_plan_cannot_be_undone_where_there_is_no_more_room_for_it() -> None:
    here = applied(planned({}, goal("db", memory="2GiB")))
    made = planned(here, goal("db", Target.STOPPED, memory="2GiB"))
    problems = reverse_host(made, replace(FACTS, memory_bytes=2**30)).failure()
    assert [problem.path for problem in problems] == ["memory"]
    policy = HostPolicy(memory_overcommit=2.0)
    assert reverse_host(made, replace(FACTS, memory_bytes=2**30), policy).unwrap().plan.steps


def test_vms_that_stand_in_for_each_other_go_back_in_waves() -> None:
    names = ["web1", "web2", "web3"]
    groups = dict.fromkeys(names, "profile web")
    here = applied(planned({}, *map(goal, names)))
    made = planned(here, *(goal(name, hostname="www") for name in names))
    policy = HostPolicy(at_once=AtOnce(1))

    back = reverse_host(made, FACTS, policy, groups).unwrap()

    assert [step.reason for step in back.plan.steps if not step.vm] == [
        f"profile web, wave {n} of 3: web{n} must be up again before the turn of web{n + 1}"
        for n in (1, 2)
    ]
    assert applied(back) == here


def test_what_has_nothing_to_do_has_nothing_to_undo() -> None:
    pending = replace(goal("db", hostname="sql"), restart=Restart.NEVER)
    here = applied(planned(applied(planned({}, goal("db"))), pending))
    back = undone(planned(here, pending, goal("web")))
    assert {step.vm for step in back.plan.steps} == {"web"}


def test_all_that_cannot_be_undone_is_said_of_every_vm() -> None:
    here = applied(planned({}, goal("db"), goal("web")))
    gone = planned(here, goal("db", Target.DEPROVISIONED), goal("web", Target.DEPROVISIONED))
    assert [line for line in undone(gone).warnings if "is lost" in line] == [
        "what was on volume db/root is lost",
        "what was on volume web/root is lost",
    ]


def test_a_plan_that_does_not_hold_has_no_reverse() -> None:
    here = applied(planned({}, goal("db")))
    made = planned(here, goal("db", Target.STOPPED))
    assert isinstance(reverse_host(saved(made.plan, {}), FACTS), Failure)


def test_snapshots_come_before_the_content_changes_and_wait_for_what_was_before() -> None:
    here = applied(planned({}, goal("db"), goal("web")))
    made = planned(here, goal("db", hostname="sql"), goal("web", hostname="www", after=["db"]))
    safe = snapshots_first(made, FACTS, "before", TAKEN_S).unwrap()
    steps = safe.plan.steps
    for vm in ("db", "web"):
        kinds = {type(step.action): at for at, step in enumerate(steps) if step.vm == vm}
        assert kinds[SnapshotVolume] in steps[kinds[ConfigureGuest]].needs
        assert kinds[Shutdown] < kinds[ConfigureGuest] < kinds[Start]
    assert len(steps) == len(made.plan.steps) + 2
    assert safe.warnings == ()
    back = undone(safe)
    assert sum(isinstance(step.action, RollbackVolume) for step in back.plan.steps) == 2
    assert applied(back) == here


def test_what_waits_for_other_vms_waits_for_them_with_snapshots_too() -> None:
    here = applied(planned({}, goal("db"), goal("web")))
    made = planned(here, goal("db", hostname="sql"), goal("web", hostname="www", after=["db"]))
    steps = snapshots_first(made, FACTS, "before", TAKEN_S).unwrap().plan.steps
    starts = {step.vm: at for at, step in enumerate(steps) if isinstance(step.action, Start)}
    assert starts["db"] in steps[starts["web"]].needs


def test_what_no_snapshot_can_save_is_said() -> None:
    here = applied(planned({}, goal("db"), goal("web")))
    made = planned(here, goal("db", hostname="sql"), goal("web", template="other"))
    assert any(isinstance(step.action, DestroyVolume) for step in made.plan.steps)
    safe = snapshots_first(made, None, "before", TAKEN_S).unwrap()
    assert safe.plan.steps == made.plan.steps
    assert [line.partition(":")[0] for line in safe.warnings] == [
        "what changes on volume db/root cannot be undone",
        "destroying volume web/root cannot be undone",
    ]


def test_a_plan_whose_steps_wait_for_themselves_gets_no_snapshots() -> None:
    made = planned({}, goal("db"))
    circle = tuple(replace(step, needs=(at,)) for at, step in enumerate(made.plan.steps))
    wrong = replace(made, plan=replace(made.plan, steps=circle))
    assert isinstance(snapshots_first(wrong, FACTS, "before", TAKEN_S), Failure)


def test_two_that_had_one_address_do_not_both_come_back() -> None:
    twins = {
        name: applied(planned({}, goal(name, nics=[nic("10.0.0.2/24")])))[name]
        for name in ("db", "web")
    }
    made = planned(twins, *(replace(goal(name), target=Target.OFF, spec=None) for name in twins))

    assert [str(each) for each in reverse_host(made, FACTS).failure()] == [
        "web.nics[eth0].addresses: the address 10.0.0.2 is also that of db.nics[eth0].addresses"
    ]


def test_a_volume_is_not_taken_back_from_who_mounts_it_since() -> None:
    owner = goal("nas", volumes=[{"name": "root", "pool": "default"}, MEDIA])
    here = applied(planned({}, goal("nas", volumes=[{"name": "root", "pool": "default"}])))
    made = planned(here, owner)
    shared = {"films": {"vm": "nas", "volume": "media", "pool": "default", "mount": "/films"}}
    user = applied(planned(applied(made), goal("web", shared_volumes=shared)))["web"]

    since = replace(made, observations={**made.observations, "web": user})

    assert "nas" in str(reverse_host(since, FACTS).failure())
