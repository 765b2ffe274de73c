"""Another name for a VM: what is done, what is told, and what is refused."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from returns.result import Failure, Success

from geats_core import (
    Checked,
    HostFacts,
    Observation,
    Plan,
    PoolFacts,
    Power,
    SavedPlan,
    Target,
    VMSpec,
    VolumeMissing,
    explain,
    follow,
    plan,
    plan_from_json,
    plan_rename,
    reverse,
    saved,
    to_json,
)
from geats_core.jobs.renames import NEW_GUEST, NEW_UUID, SAME_UUID, notes, renamed
from geats_core.planning.actions import ConfigureGuest, Rename, RenameVolume
from geats_core.planning.goal import Goal
from geats_core.planning.plugin_facts import DriverFacts
from geats_core.plans.plan_files import alone
from geats_core.vm.observation import Renaming
from tests.core.hosts import at, nic, vm

WEB = vm(
    "web01",
    hostname="web01.example.com",
    nics=nic("10.0.0.2"),
    volumes=[{"name": "root"}, {"name": "data", "mount": "/data", "size": "1GiB"}],
)
DONE = renamed(WEB, "web02").unwrap()
POOLS = {"default": PoolFacts(renames=True)}
FACTS = HostFacts(pools=POOLS)
THIS = Renaming("web01", "web02")


def off(spec: VMSpec = WEB) -> Observation:
    return at(Target.STOPPED, spec)[spec.name]


def asked(
    have: Observation | None = None,
    others: Mapping[str, Observation] | None = None,
    facts: HostFacts = FACTS,
    new_name: str = "web02",
) -> Checked[Plan]:
    return plan_rename("web01", new_name, {"web01": have or off(), **(others or {})}, facts)


def refused(answer: Checked[Plan]) -> list[str]:
    assert isinstance(answer, Failure), answer
    return [str(each) for each in answer.failure()]


def test_the_guests_files_then_the_volumes_then_the_definition_get_the_new_name() -> None:
    assert explain(asked().unwrap()).splitlines() == [
        "1. configure the guest on volume web01/root because its files in the guest have the old "
        "name (impact: none)",
        "2. rename volume web01/data to web02/data in pool default because it is the VM's "
        "(impact: none)",
        "3. rename volume web01/root to web02/root in pool default because it is the VM's "
        "(impact: none)",
        "4. rename web01 to web02 because another name was asked for (impact: none)",
    ]
    assert [step.needs for step in asked().unwrap().steps] == [(), (), (0,), (1, 2)]


def test_nothing_but_the_name_and_what_was_made_of_it_changes() -> None:
    assert replace(WEB, name="web02", hostname="web02.example.com") == DONE
    assert DONE.nics[0].mac == WEB.nics[0].mac
    other = replace(WEB, hostname="mail")
    assert renamed(other, "web02").unwrap() == replace(other, name="web02")


def test_nothing_has_the_old_name_afterwards() -> None:
    assert follow(asked().unwrap(), off()) == Success(Observation())


def test_lines_by_hand_stay() -> None:
    have = replace(off(), by_hand=("lxc.environment = A=1",))
    last = asked(have).unwrap().steps[-1].action
    assert last == Rename(DONE, ("lxc.environment = A=1",))


def test_a_volume_that_is_not_active_is_activated_if_the_guests_files_change() -> None:
    have = off()
    idle = replace(have, volumes=tuple(replace(each, active=False) for each in have.volumes))
    kinds = [type(step.action).__name__ for step in asked(idle).unwrap().steps]
    assert kinds == ["ActivateVolume", "ConfigureGuest", "RenameVolume", "RenameVolume", "Rename"]


def test_the_guests_files_stay_if_nothing_in_them_changes() -> None:
    have = off(replace(WEB, hostname="mail"))
    kinds = [type(step.action).__name__ for step in asked(have).unwrap().steps]
    assert kinds == ["RenameVolume", "RenameVolume", "Rename"]


@pytest.mark.parametrize("cut", range(5))
def test_what_was_interrupted_is_finished_by_the_same_renaming(cut: int) -> None:
    made = asked().unwrap()
    have = follow(replace(made, steps=made.steps[:cut]), off()).unwrap()
    began = [step.action for step in made.steps[:cut] if isinstance(step.action, RenameVolume)]
    assert have.renaming == (THIS if began and cut < len(made.steps) else None)
    if cut < len(made.steps):
        rest = asked(have, {"web02": Observation(renaming=THIS)}).unwrap()
        assert [step.action for step in rest.steps] == [s.action for s in made.steps[cut:]]


def test_a_volume_that_nobody_finds_under_the_old_name_may_be_handed_over_already() -> None:
    missing = VolumeMissing(name="data", pool="default")
    root = tuple(each for each in off().volumes if each.name == "root")
    have = replace(off(), volumes=root, missing=(missing,), renaming=THIS)
    steps = asked(have, {"web02": Observation(renaming=THIS)}).unwrap().steps
    handed = [s.action.volume for s in steps if isinstance(s.action, RenameVolume)]
    assert handed == ["root", "data"]


def test_what_is_forgotten_under_the_old_name_is_taken_from_the_new_one() -> None:
    """The driver may still have the old one, though the registry does not."""
    assert asked(Observation(defined=WEB, renaming=THIS)).unwrap().steps[-1].action == Rename(DONE)
    have = Observation(defined=WEB, renaming=THIS)
    lines = ("lxc.environment = A=1",)
    there = replace(off(DONE), by_hand=lines, renaming=THIS)
    made = asked(have, {"web02": there}).unwrap()
    assert [step.action for step in made.steps] == [Rename(DONE, lines)]


def test_a_renaming_of_which_nothing_is_left_has_nothing_to_go_by() -> None:
    here = Observation(renaming=THIS)
    assert "web01: is not defined" in refused(asked(here, {"web02": here}))


@pytest.mark.parametrize("target", [Target.RUNNING, Target.DEFINED, Target.DEPROVISIONED])
@pytest.mark.parametrize("name", ["web01", "web02"])
def test_nothing_else_is_done_to_either_name_meanwhile(target: Target, name: str) -> None:
    spec = WEB if name == "web01" else DONE
    goal = Goal(name=name, target=target, spec=spec)
    answer = plan(goal, replace(off(spec), renaming=THIS))
    message = f"{name}.name: the renaming of web01 to web02 was interrupted: "
    assert f"{message}geats rename web01 web02 ends it" in refused(answer)


def test_another_renaming_is_refused_meanwhile() -> None:
    answer = asked(replace(off(), renaming=Renaming("web01", "web03")))
    assert "web01.name: the renaming of web01 to web03 was" in refused(answer)[0]


@pytest.mark.parametrize("name", ["web01", "web02"])
def test_a_renaming_does_not_go_on_with_a_vm_that_somebody_started(name: str) -> None:
    both = {each: Observation(renaming=THIS) for each in ("web01", "web02")}
    both["web01"] = replace(off(), renaming=THIS)
    both[name] = replace(both[name], power=Power.RUNNING)
    answer = plan_rename("web01", "web02", both, FACTS)
    assert refused(answer) == [f"{name}: is running: power it off first"]


@pytest.mark.parametrize(
    ("have", "message"),
    [
        (replace(off(), power=Power.RUNNING), "web01: is running: shut it down first"),
        (replace(off(), power=Power.FROZEN), "web01: is frozen: shut it down first"),
        (
            replace(off(), power=Power.STUCK),
            "web01: its monitor is stuck, so that it cannot be frozen: stop it first",
        ),
        (
            replace(off(), to_run=True),
            "web01: an interrupted plan is to start it again: start it, or keep it off, first",
        ),
        (
            replace(off(), volumes=off().volumes[:1]),
            "web01: some of its volumes are missing or not ready",
        ),
        (Observation(), "web01: is not defined"),
        (Observation(volumes=off().volumes), "web01: is not defined"),
    ],
)
def test_the_vm_must_be_whole_and_off(have: Observation, message: str) -> None:
    answer = plan_rename("web01", "web02", {"web01": have}, FACTS)
    assert message in refused(answer)


def test_a_volume_that_is_not_found_is_not_left_behind() -> None:
    have = replace(off(), missing=(VolumeMissing(name="data", pool="slow"),))
    assert any("is not found there" in each for each in refused(asked(have)))


def test_no_vm_of_another_is_replaced() -> None:
    assert refused(asked(others={"web02": off(vm("web02"))})) == [
        "web02: there is a VM of this name, or a volume of one: give another name",
    ]
    foreign = {"web02": Observation(foreign=True)}
    assert "web02: there is a VM of this name" in refused(asked(others=foreign))[0]


def test_the_same_name_is_no_other() -> None:
    assert refused(asked(new_name="web01")) == ["web01: has that name already"]


def test_a_name_that_is_another_vms_in_dns_is_refused() -> None:
    answer = asked(others={"Web-02": off(vm("Web-02"))}, new_name="web_02")
    assert "web_02.name: the name in DNS, web-02, is also that of Web-02.name" in refused(answer)


def test_upper_and_lower_case_of_its_own_name_may_change() -> None:
    assert isinstance(asked(new_name="Web01"), Success)


def test_a_name_that_makes_no_hostname_is_refused() -> None:
    answer = asked(off(replace(WEB, hostname=f"web01.{'b' * 58}")), new_name="web001")
    assert "hostname: must be of at most 64 characters" in refused(answer)[0]


def test_a_pool_that_cannot_rename_is_named() -> None:
    facts = HostFacts(pools={"default": PoolFacts()})
    assert (
        "web01.volumes[root].pool: 'default' cannot give a volume another name: export and import "
        "the VM" in refused(asked(facts=facts))
    )


def test_where_nothing_is_known_of_pools_nothing_is_refused_for_them() -> None:
    assert isinstance(asked(facts=HostFacts()), Success)


def test_a_pool_that_is_not_available_is_needed() -> None:
    facts = HostFacts(pools=POOLS, unavailable={"pools.default": "no disk"})
    assert any("is not available: no disk" in each for each in refused(asked(facts=facts)))


def test_a_description_that_has_the_old_name_would_make_a_new_vm() -> None:
    facts = HostFacts(pools=POOLS, declared=frozenset({"web01"}))
    assert refused(asked(facts=facts)) == [
        "web01: the configuration still has this name: write web02 there first"
    ]
    both = HostFacts(pools=POOLS, declared=frozenset({"web02"}))
    assert isinstance(asked(facts=both), Success)


def test_a_vm_of_the_new_name_elsewhere_on_this_host_is_in_the_way() -> None:
    facts = HostFacts(pools=POOLS, elsewhere={"web02": "in /old"})
    assert "is on this host already" in refused(asked(facts=facts))[0]


def test_volumes_that_others_mount_do_not_move_away_under_them() -> None:
    shared = {"films": {"vm": "web01", "volume": "data", "mount": "/films"}}
    films = vm("films", shared_volumes=shared)
    answer = asked(others={"films": Observation(recorded=films)})
    assert refused(answer) == [
        "films.shared_volumes: mounts a volume of web01: take it out first, and put it in after"
    ]


def test_what_keeps_the_old_name_is_told() -> None:
    have = replace(off(), by_hand=("lxc.log.file = /log/web01", "lxc.environment = A=web011"))
    later = off(vm("db", after=["web01"]))
    seen = {"web01": have, "db": later, "x": Observation()}
    assert notes("web01", "web02", seen, None) == (
        "a line by hand keeps the name web01: lxc.log.file = /log/web01",
        "db is started after web01: describe it after web02",
    )


def test_what_is_described_otherwise_is_told() -> None:
    described = replace(DONE, limits=replace(DONE.limits, memory_bytes=2**30))
    told = notes("web01", "web02", {"web01": off()}, described)
    assert told == (
        "web02 is described otherwise, for the next plan: memory changed (not set) → 1GiB",
    )
    assert notes("web01", "web02", {"web01": off()}, DONE) == ()
    assert notes("web01", "web02", {}, DONE) == ()


@pytest.mark.parametrize(
    ("driver", "guest", "told"),
    [
        (DriverFacts(guests_mount=True), {}, (NEW_UUID, NEW_GUEST)),
        (DriverFacts(guests_mount=True), {"guest": "none"}, (NEW_UUID,)),
        (DriverFacts(guests_mount=True, renames=True), {}, (SAME_UUID,)),
        (DriverFacts(), {"guest": "cloud-init"}, (NEW_GUEST,)),
        (DriverFacts(), {}, ()),
    ],
)
def test_what_the_guest_takes_itself_for_is_told(
    driver: DriverFacts, guest: Mapping[str, object], told: tuple[str, ...]
) -> None:
    seen, facts = {"web01": off(vm("web01", hardware=guest))}, HostFacts(drivers={"lxc": driver})
    assert notes("web01", "web02", seen, None, facts) == told


def test_a_saved_renaming_can_be_read_again_and_no_other_is_taken_for_one() -> None:
    made = saved(alone(asked().unwrap()), {"web01": off()})
    assert plan_from_json(to_json(made)) == Success(made)
    other = vm("db")
    first, second, *rest = made.plan.steps
    wrong = replace(first, action=ConfigureGuest("default", "root", other))
    not_its = replace(second, action=RenameVolume("default", "data", "db", "web02"))
    for steps, message in (
        ((wrong, second, *rest), "is that of 'db', and the step of 'web01'"),
        ((first, not_its, *rest), "is 'db', and the step of 'web01'"),
    ):
        plans = replace(made.plan, steps=steps, plans=(replace(made.of_vm, steps=steps),))
        read = plan_from_json(to_json(SavedPlan(plan=plans, observations=made.observations)))
        assert message in str(read)


def test_a_renaming_is_undone_by_another() -> None:
    answer = reverse(asked().unwrap(), off())
    assert "geats rename web02 web01" in str(answer)
