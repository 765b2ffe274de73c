"""Which steps end what was interrupted, and whom nothing is taken from."""

from dataclasses import replace

from returns.result import Success

from geats_core import HostFacts, HostPlan, Observation, Power, Stage, explain, parse_vm
from geats_core.jobs.repairs import FoundLeftover, plan_repair
from geats_core.planning.actions import RemoveLeftover
from geats_core.planning.plugin_facts import Leftover
from geats_core.vm.guest_files import guest_digest
from geats_core.vm.observation import UNFINISHED_COPY, VolumeMissing, VolumeSeen
from geats_core.vm.spec import VMSpec


def web(name: str = "web01", **words: object) -> VMSpec:
    nic = {"name": "eth0", "bridge": "br0", "addresses": ["10.0.0.2/24"]}
    return parse_vm(name, {"template": "debian", "nics": [nic], **words}).unwrap()


WEB = web()
ROOT = VolumeSeen(
    name="root",
    pool="default",
    stage=Stage.INSTALLED,
    active=True,
    template="debian",
    guest=guest_digest(WEB),
)
EMPTY = replace(ROOT, stage=Stage.ALLOCATED, active=False, template=None, guest=None)
RESERVED = replace(ROOT, stage=Stage.FILLING, template=UNFINISHED_COPY, guest=None)
OFF = Observation(recorded=WEB, defined=WEB, volumes=(ROOT,))
ON = replace(OFF, power=Power.RUNNING, in_effect=WEB)
STUCK = replace(ON, power=Power.STUCK)
LEFT = FoundLeftover(
    action=RemoveLeftover(Leftover.INTERFACE, "gt0n0", "lxc"), reason="nobody has it", vm="web01"
)


def steps(
    seen: dict[str, Observation], *found: FoundLeftover, facts: HostFacts | None = None
) -> list[str]:
    return explain(made(seen, *found, facts=facts)).splitlines()


def made(
    seen: dict[str, Observation], *found: FoundLeftover, facts: HostFacts | None = None
) -> HostPlan:
    match plan_repair(found, seen, facts):
        case Success(plan):
            return plan
        case refused:
            raise AssertionError(refused)


NOTHING = ["no VM is affected: nothing to do"]


def test_what_is_started_again_has_started_once_it_is_ready() -> None:
    """But a frozen one answers no probe."""
    probed = web(ready={"tcp": 80})
    off = replace(OFF, recorded=probed, defined=probed)
    wait = "wait until web01 is ready (tcp 80, within 60 s)"

    for left in (
        replace(off, to_run=True),
        replace(off, power=Power.STUCK, in_effect=probed),
    ):
        assert wait in steps({"web01": left})[-1]
        assert wait not in " ".join(steps({"web01": replace(left, to_freeze=True)}))


def test_a_vm_that_came_to_its_end_is_left_as_it_is() -> None:
    assert steps({"web01": ON, "off": OFF}) == NOTHING


def test_a_stuck_vm_is_repaired_and_started_again() -> None:
    assert steps({"web01": STUCK}) == [
        "1. repair web01: end its stuck monitor because its monitor does not answer, or is gone"
        " (impact: restart)",
        "2. start web01 because it was on (impact: none)",
    ]


def test_a_vm_that_a_plan_was_to_start_again_is_started_where_it_can_be() -> None:
    to_run = replace(OFF, to_run=True)

    assert steps({"web01": to_run}) == [
        "1. start web01 because an interrupted plan powered it off, to start it again (impact: "
        "none)"
    ]
    assert steps({"web01": replace(to_run, volumes=(EMPTY,))}) == [
        "1. destroy volume web01/root in pool default because its creation or destruction was "
        "interrupted, and it is empty (impact: data_loss)"
    ]


def test_a_vm_that_is_not_enabled_is_not_started_again() -> None:
    spec = replace(web(), enabled=False)
    to_run = replace(OFF, recorded=spec, defined=spec, to_run=True)
    stuck = replace(STUCK, recorded=spec, defined=spec, in_effect=spec)

    assert steps({"web01": to_run}) == NOTHING
    assert [line.partition(" because")[0] for line in steps({"web01": stuck})] == [
        "1. repair web01: end its stuck monitor"
    ]


def test_a_stuck_vm_that_cannot_start_is_repaired_all_the_same() -> None:
    repaired = [
        "1. repair web01: end its stuck monitor because its monitor does not answer, or is gone"
        " (impact: restart)"
    ]
    assert steps({"web01": replace(STUCK, volumes=())}) == repaired
    assert steps({"web01": replace(STUCK, in_effect=None)}) == repaired
    assert steps({"web01": STUCK, "web02": replace(ON, recorded=web("web02"))}) == repaired


def test_a_vm_whose_driver_or_pool_is_away_is_not_taken_for_stuck() -> None:
    for away in ("drivers.lxc", "pools.default"):
        facts = HostFacts(unavailable={away: "its disk is gone"})
        assert steps({"web01": STUCK}, facts=facts) == NOTHING


def test_what_was_left_frozen_goes_on_and_what_is_frozen_by_wish_stays_so() -> None:
    assert steps(
        {"web01": replace(ON, power=Power.HELD), "ice": replace(ON, power=Power.FROZEN)}
    ) == ["1. unfreeze web01 because an interrupted operation left it frozen (impact: live)"]


def test_a_volume_that_holds_nothing_goes_and_its_vm_stays() -> None:
    gone = (
        "1. destroy volume web01/root in pool default because its creation or destruction was "
        "interrupted, and it is empty (impact: data_loss)"
    )
    assert steps({"web01": replace(OFF, volumes=(EMPTY,))}) == [gone]
    assert steps({"web01": Observation(volumes=(EMPTY,))}) == [gone]
    assert steps({"web01": Observation(volumes=(replace(EMPTY, stage=Stage.FORMATTED),))}) == (
        NOTHING
    )


def test_a_copy_that_was_never_finished_goes_with_its_definition() -> None:
    data = replace(ROOT, name="data", stage=Stage.FORMATTED, template=None, guest=None)
    why = "because a copy to it was interrupted, and nobody ever used it"
    assert steps({"web01": replace(OFF, volumes=(data, RESERVED))}) == [
        f"1. destroy volume web01/data in pool default {why} (impact: data_loss)",
        f"2. destroy volume web01/root in pool default {why} (impact: data_loss)",
        f"3. undefine web01 {why} (impact: none)",
    ]


def test_nothing_is_destroyed_of_a_vm_of_which_not_everything_is_known_or_that_is_protected() -> (
    None
):
    missing = (VolumeMissing(name="root", pool="other"),)
    for volumes in ((EMPTY,), (RESERVED,)):
        have = replace(OFF, volumes=volumes)
        for other in (
            replace(have, locked=True),
            replace(have, unreliable="it cannot be read"),
            replace(have, missing=missing),
            replace(have, foreign=True),
            replace(have, volumes=(*volumes, replace(EMPTY, name="x", unreadable="it is newer"))),
            replace(have, power=Power.RUNNING, in_effect=WEB),
        ):
            assert steps({"web01": other}) == NOTHING


def test_a_copy_that_was_only_defined_goes_too_but_one_that_is_whole_stays() -> None:
    why = "because a copy to it was interrupted, and nobody ever used it"
    made = replace(OFF, copy_of="the VM web00", volumes=())
    assert steps({"web01": made}) == [f"1. undefine web01 {why} (impact: none)"]
    empty = replace(made, volumes=(EMPTY,))
    assert steps({"web01": empty}) == [
        f"1. destroy volume web01/root in pool default {why} (impact: data_loss)",
        f"2. undefine web01 {why} (impact: none)",
    ]
    assert steps({"web01": replace(made, volumes=(ROOT,))}) == NOTHING


def test_a_copy_of_which_another_vm_mounts_a_volume_stays() -> None:
    other = web("web02", shared_volumes={"films": {"vm": "web01", "mount": "/films"}}, nics=[])
    seen = {"web01": replace(OFF, volumes=(RESERVED,)), "web02": Observation(recorded=other)}
    assert steps(seen) == NOTHING


def test_what_was_found_goes_with_its_vm_or_with_none_and_each_by_itself() -> None:
    file = FoundLeftover(action=RemoveLeftover(Leftover.FILE, "/a"), reason="it is half")
    plan = made({"web01": replace(ON, power=Power.HELD)}, LEFT, file)
    assert [each.name for each in plan.plans] == ["web01", ""]
    assert explain(plan).splitlines() == [
        "1. remove the interface gt0n0 of lxc because nobody has it (impact: none)",
        "2. unfreeze web01 because an interrupted operation left it frozen (impact: live)",
        "3. remove the file /a because it is half (impact: none)",
    ]
    foreign = {"web01": Observation(foreign=True, power=Power.STUCK)}
    assert len(made(foreign, LEFT).steps) == 1


def test_a_vm_that_somebody_works_on_is_left_alone() -> None:
    assert plan_repair([], {"web01": STUCK}, at_work=["web01"]) == Success(HostPlan())
