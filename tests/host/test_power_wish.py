"""A VM that is declared off is off after an apply, and who starts it hears that."""

from pathlib import Path

from geats_core.vm.observation import Power
from geats_host.calls import lifecycle
from geats_host.calls.several_vms import plan_verb_for_several
from geats_host.engine.apply_plan import apply_plan
from geats_host.host import Host
from geats_host.planning.goals import wishes
from geats_host.planning.plans import plan_wishes
from tests.memory_host import memory_config

TOLD = ("web01 is declared stopped: the next apply powers it off",)


def host(directory: Path, **web01: object) -> Host:
    config = memory_config(directory)
    vms = {"web01": {"profile": "small", **web01}, "db01": {"profile": "small"}}
    return Host.from_config({**config, "registry": "sqlite", "vms": vms})


def powers(there: Host) -> dict[str, Power]:
    return {name: have.power for name, have in there.observe_all().items()}


def test_what_is_declared_off_is_held_off_by_every_apply(tmp_path: Path) -> None:
    apply_plan(host(tmp_path), plan_wishes(host(tmp_path), wishes({}))).unwrap()
    there = host(tmp_path, power="stopped")
    apply_plan(there, plan_wishes(there, wishes({}))).unwrap()
    assert powers(there) == {"web01": Power.STOPPED, "db01": Power.RUNNING}

    started = lifecycle.plan_verb(there, "start", "web01")
    assert started.warnings == TOLD
    assert plan_verb_for_several(there, "start", ["web01", "db01"]).warnings == TOLD
    assert lifecycle.plan_to(there, "web01", "running").warnings == TOLD
    apply_plan(there, started).unwrap()
    assert powers(there)["web01"] is Power.RUNNING

    apply_plan(there, lifecycle.plan_to(there, "web01")).unwrap()
    assert powers(there)["web01"] is Power.STOPPED
    assert plan_wishes(there, wishes({})).plan.is_empty


def test_a_description_that_is_wrong_says_nothing_of_power(tmp_path: Path) -> None:
    apply_plan(host(tmp_path), plan_wishes(host(tmp_path), wishes({}))).unwrap()
    wrong = host(tmp_path, power="of")

    assert lifecycle.plan_verb(wrong, "reboot", "web01").warnings == ()


def test_a_line_of_a_shared_profile_powers_off_none_and_holds_up_no_other(tmp_path: Path) -> None:
    apply_plan(host(tmp_path), plan_wishes(host(tmp_path), wishes({}))).unwrap()
    profiles = {
        "small": {"driver": "memory", "template": "debian"},
        "off": {"driver": "memory", "template": "debian", "enabled": False},
    }
    vms = {name: {"profile": "off"} for name in ("web01", "db01")}
    config = {**memory_config(tmp_path), "registry": "sqlite", "profiles": profiles}
    there = Host.from_config({**config, "vms": {**vms, "new": {"profile": "small"}}})

    made = plan_wishes(there, wishes({}))

    assert {step.vm for step in made.plan.steps} == {"new"}
    assert {name: [str(each) for each in why] for name, why in made.refused.items()} == {
        name: [
            f"{name}: would be off by its description, as one of 2 VMs that nobody named, and "
            "at_most 1 may be: name the VMs that you mean, or write at_most: 2"
        ]
        for name in ("web01", "db01")
    }
    apply_plan(there, made).unwrap()
    assert powers(there) == dict.fromkeys(("web01", "db01", "new"), Power.RUNNING)
    apply_plan(there, plan_wishes(there, wishes({"at_most": 2}))).unwrap()
    assert powers(there) == {**dict.fromkeys(vms, Power.STOPPED), "new": Power.RUNNING}
