"""A pool, driver or plugin that is not there, or is wrong, concerns its own VMs and no other."""

import errno
import logging
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event
from typing import NoReturn

import pytest

from geats_core.planning.goal import Goal, Target
from geats_core.vm.observation import Power, VolumeSeen
from geats_host.calls import inventory, lifecycle
from geats_host.drivers import Driver
from geats_host.drivers.memory import MemoryDriver
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import HostError, Refused
from geats_host.host import Host
from geats_host.planning.goals import Wishes
from geats_host.planning.plans import plan_halt, plan_wishes
from geats_host.plugins import entry_points, opened
from geats_host.storage import Pool, VolumeId
from tests.memory_host import memory_config
from tests.problems import in_words, lines

Raw = dict[str, object]
NOT_MOUNTED = "geats.pools.fast.mount_point: nothing is mounted there"
VMS = ("near", "far")
VMS_OF_TWO: dict[str, Raw] = {
    "near": {"profile": "small", "volumes": [{"name": "root", "pool": "slow"}]},
    "far": {"profile": "small", "volumes": [{"name": "root", "pool": "fast"}]},
}


def config(directory: Path, **change: object) -> Raw:
    """Two VMs with pools of their own, ``slow`` and ``fast``; and another driver, for no VM."""
    return {
        **memory_config(directory),
        "pools": {name: there(directory, name) for name in ("slow", "fast")},
        "vms": VMS_OF_TWO,
        **change,
    }


def there(directory: Path, name: str) -> Raw:
    return {"type": "memory", "path": str(directory / name)}


def gone(directory: Path) -> Raw:
    """The pools, of which ``fast`` is on a disk that is not mounted."""
    place = str(directory / "disk")
    away = {"type": "directory", "path": f"{place}/pool", "mount_point": place}
    return {"slow": there(directory, "slow"), "fast": away}


def running(directory: Path) -> None:
    """Both VMs run, as everything was still there."""
    host = Host.from_config(config(directory))
    for name in VMS:
        apply_plan(host, lifecycle.plan_to(host, name)).unwrap()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """Both VMs run, and the pool of one of them is not mounted any more."""
    running(tmp_path)
    return Host.from_config(config(tmp_path, pools=gone(tmp_path)))


def test_a_pool_that_is_not_mounted_keeps_no_other_vm_from_anything(host: Host) -> None:
    for verb in ("stop", "start", "freeze", "unfreeze", "reboot", "shutdown", "deprovision"):
        apply_plan(host, lifecycle.plan_verb(host, verb, "near")).unwrap()
    apply_plan(host, lifecycle.plan_to(host, "near")).unwrap()
    assert host.observe("near").power is Power.RUNNING


def test_a_vm_whose_pool_is_not_mounted_is_refused_with_the_reason(host: Host) -> None:
    for target in (Target.RUNNING, Target.REBOOTED, Target.DEFINED, Target.DEPROVISIONED):
        with pytest.raises(Refused) as refused:
            lifecycle.plan_to(host, "far", str(target), allow_data_loss=True)
        (problem,) = refused.value.problems
        assert problem.startswith(
            f"far.volumes[root].pool: the pool 'fast' is not available: {NOT_MOUNTED}"
        )


def test_a_vm_whose_pool_is_not_mounted_is_powered_off_locked_and_undefined(host: Host) -> None:
    for verb in ("stop", "lock", "unlock", "undefine"):
        apply_plan(host, lifecycle.plan_verb(host, verb, "far")).unwrap()
    assert not host.observe("far").has_power  # its root is remembered: the disk may come back


def test_a_vm_in_a_pool_that_is_not_mounted_is_shown_with_the_reason(host: Host) -> None:
    row = inventory.list_report(host)["far"]
    assert row["power"] == "running"
    assert [str(each).partition(" available: ")[0] for each in problems(row)] == [
        "far.volumes[root].pool: the pool 'fast' is not"
    ]
    assert problems(inventory.list_report(host)["near"]) == []
    assert problems(inventory.info_report(host, "far")) == problems(row)
    (why,) = host.unavailable.values()
    assert why.startswith(NOT_MOUNTED)
    assert inventory.status_report(host)["unavailable"] == {"pools.fast": why}
    pools = inventory.pools_report(host)
    assert (pools["fast"]["problem"], pools["slow"]["problem"]) == (why, None)
    assert pools["fast"]["type"] == "directory"
    overview = inventory.overview_report(host)
    assert overview["unavailable"] == {"pools.fast": why}
    assert overview["drift"] == {}
    assert overview["strays"] == []
    assert [each["vm"] for each in inventory.volumes_report(host)] == ["near"]


def problems(row: Mapping[str, object]) -> list[str]:
    found = row["problems"]
    assert isinstance(found, list)
    return lines(found)


def test_a_pool_that_is_not_mounted_is_a_problem_of_the_configuration(tmp_path: Path) -> None:
    found = in_words(lifecycle.validate(config(tmp_path, pools=gone(tmp_path))))
    (why,) = found[lifecycle.CONFIGURATION]
    assert why.startswith(NOT_MOUNTED)
    assert found["near"] == []
    assert found["far"][0].endswith(why)


def test_a_pool_that_is_mounted_again_is_seen_with_all_that_is_in_it(tmp_path: Path) -> None:
    running(tmp_path)
    away = Host.from_config(config(tmp_path, pools=gone(tmp_path)))
    assert away.observe("far").volumes == ()
    back = Host.from_config(config(tmp_path))
    assert [seen.pool for seen in back.observe("far").volumes] == ["fast"]
    assert lifecycle.plan_to(back, "far").plan.is_empty


def test_a_whole_host_is_brought_to_its_description_but_for_who_is_refused(tmp_path: Path) -> None:
    vms = {**VMS_OF_TWO, "wrong": {"profile": "small", "memory": "10 bananas"}}
    host = Host.from_config(config(tmp_path, pools=gone(tmp_path), vms=vms))
    made = plan_wishes(host, Wishes(Goal(name="", target=Target.RUNNING)))
    assert sorted(made.refused) == ["far", "wrong"]
    apply_plan(host, made).unwrap()
    assert {name: have.power for name, have in host.observe_all().items()} == {
        "near": Power.RUNNING
    }
    with pytest.raises(Refused) as refused:
        plan_wishes(host, Wishes(Goal(name="", target=Target.RUNNING)))
    assert [each.partition(".")[0] for each in refused.value.problems] == ["wrong", "far"]


def test_of_two_vms_with_one_address_the_one_that_has_it_keeps_it(tmp_path: Path) -> None:
    nics = {"nics": [{"name": "eth0", "bridge": "br0", "addresses": ["10.0.0.9/24"]}]}
    before = {"vms": {"near": {**VMS_OF_TWO["near"], **nics}}}
    host = Host.from_config(config(tmp_path, **before))
    apply_plan(host, lifecycle.plan_to(host, "near")).unwrap()
    both = {"far": {**VMS_OF_TWO["far"], **nics}, **before["vms"], "third": {"profile": "small"}}
    pools = {name: there(tmp_path, name) for name in ("slow", "fast", "default")}
    host = Host.from_config(config(tmp_path, vms=both, pools=pools))
    made = plan_wishes(host, Wishes(Goal(name="", target=Target.RUNNING)))
    assert list(made.refused) == ["far"]
    assert {step.vm for step in made.plan.steps} == {"third"}


def test_a_host_is_booted_and_halted_without_the_pool_that_is_away(host: Host) -> None:
    assert apply_plan(host, plan_halt(host)).unwrap()
    assert {name: have.power for name, have in host.observe_all().items()} == {
        "near": Power.STOPPED,
        "far": Power.STOPPED,
    }


def test_a_driver_with_a_wrong_option_hides_its_vms_and_says_so(tmp_path: Path) -> None:
    running(tmp_path)
    host = Host.from_config(config(tmp_path, drivers={"memory": {"loud": True}}))
    row = inventory.list_report(host)["near"]
    assert row["power"] == "unknown"
    (problem,) = problems(row)
    assert str(problem).startswith("near.driver: the driver 'memory' is not available: ")
    assert inventory.info_report(host, "near")["pid"] is None
    for verb in ("stop", "start"):
        with pytest.raises(Refused, match=r"near\.driver: the driver 'memory' is not available"):
            lifecycle.plan_verb(host, verb, "near")
    apply_plan(host, lifecycle.plan_verb(host, "lock", "near")).unwrap()
    assert host.observe("near").locked


def test_a_driver_that_nobody_ships_is_no_matter_for_vms_of_others(tmp_path: Path) -> None:
    host = Host.from_config(config(tmp_path, drivers={"memory": {}, "lxd": {}}))
    apply_plan(host, lifecycle.plan_to(host, "near")).unwrap()
    drivers = inventory.drivers_report(host)
    assert drivers["memory"]["problem"] is None
    assert "unknown driver 'lxd'" in str(drivers["lxd"]["problem"])


class Odd(MemoryDriver):
    """A driver that raises what it must not."""

    def observe(self, only: str | None = None) -> Mapping[str, object]:  # type: ignore[override]
        raise KeyError(only)


def broken() -> Driver:
    raise ZeroDivisionError("no such thing")


@pytest.mark.parametrize(
    ("opens", "said"),
    [
        (Odd, "driver odd: its plugin failed with KeyError: None (the system's log has more)"),
        (
            broken,
            "driver odd: its plugin failed with ZeroDivisionError: no such thing "
            "(the system's log has more)",
        ),
    ],
)
def test_a_plugin_that_raises_what_it_must_not_is_one_problem_of_its_own(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    opens: Callable[[], Driver],
    said: str,
) -> None:
    real = entry_points.driver_plugin

    def plugin(path: str, name: str) -> entry_points.OpenDriver:
        return (lambda _, __: opens()) if name == "odd" else real(path, name)

    monkeypatch.setattr(entry_points, "driver_plugin", plugin)
    host = Host.from_config(config(tmp_path, drivers={"memory": {}, "odd": {}}))
    apply_plan(host, lifecycle.plan_to(host, "near")).unwrap()
    with caplog.at_level(logging.ERROR):
        assert list(inventory.list_report(host)) == ["far", "near"]
    assert host.unavailable == {"drivers.odd": said}
    assert "Traceback" in caplog.text


def test_a_pool_that_fails_in_the_midst_fails_a_step_and_no_other_vm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host.from_config(config(tmp_path))
    made = plan_wishes(host, Wishes(Goal(name="", target=Target.RUNNING)))

    def fails(pool: Pool) -> None:
        raise LookupError("somebody else's mistake")

    monkeypatch.setattr(type(host.pools["fast"]), "allocate", _only(host.pools["fast"], fails))
    interrupted = apply_plan(host, made).failure()
    assert [each.step.vm for each in interrupted.failed] == ["far"]
    assert "LookupError: somebody else's mistake" in interrupted.failed[0].error
    assert host.observe("near").power is Power.RUNNING


def _only(pool: Pool, fails: Callable[[Pool], None]) -> Callable[..., None]:
    real = type(pool).allocate

    def allocate(self: Pool, *arguments: object) -> None:
        if self is pool:
            fails(self)
        real(self, *arguments)  # type: ignore[arg-type]  # as it was called

    return allocate


def test_a_pool_that_cannot_be_read_in_the_midst_is_why_a_plan_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running(tmp_path)
    host = Host.from_config(config(tmp_path))
    planned = lifecycle.plan_verb(host, "stop", "near")
    monkeypatch.setattr(type(host.pools["slow"]), "observe", _broken)
    with pytest.raises(Refused, match="not available: pool slow: /disk: Input/output error"):
        apply_plan(host, planned)


def _broken(*_: object) -> NoReturn:
    raise OSError(errno.EIO, os.strerror(errno.EIO), "/disk")


def test_a_pool_that_never_answers_keeps_no_other_vm_from_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running(tmp_path)
    host = Host.from_config(config(tmp_path))
    hung, back, asked = host.pools["fast"], Event(), list[Pool]()
    real = type(hung).observe

    def observe(pool: Pool, *only: VolumeId) -> Mapping[VolumeId, VolumeSeen]:
        if pool is hung:
            asked.append(pool)
            back.wait()
        return real(pool, *only)

    monkeypatch.setattr(type(hung), "observe", observe)
    monkeypatch.setattr(opened, "LIMIT_S", 0.05)
    try:
        for verb in ("stop", "start", "reboot"):
            apply_plan(host, lifecycle.plan_verb(host, verb, "near")).unwrap()
        with pytest.raises(Refused, match="pool fast: has not answered for 0 s: is its disk"):
            lifecycle.plan_to(host, "far", "rebooted")
        assert list(inventory.list_report(host)) == ["far", "near"]
        assert len(asked) == 1  # as long as one waits, nobody else does
    finally:
        back.set()
    monkeypatch.undo()
    for thread in threading.enumerate():
        if thread.name == "pool fast":
            thread.join()
    apply_plan(host, lifecycle.plan_to(host, "far", "rebooted")).unwrap()


def test_a_plugin_is_opened_only_where_it_is_needed(tmp_path: Path) -> None:
    host = Host.from_config(config(tmp_path, drivers={"lxd": {}}, pools={"p": {"type": "zsf"}}))
    assert host.unavailable == {}
    with pytest.raises(HostError, match=r"geats\.pools\.p\.type: unknown storage plugin 'zsf'"):
        _ = host.pools["p"]


WRONG: Mapping[str, tuple[str, Raw, str]] = {
    "a pool": ("pools", {"path": "/x"}, "pool 'wrong' is not available: geats.pools.wrong.type"),
    "a template": (
        "templates",
        {"pth": "/x"},
        "template 'wrong' is not available: geats.templates.wrong: must have exactly one",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_an_entry_that_is_wrong_concerns_those_that_need_it(tmp_path: Path, what: str) -> None:
    kind, wrong, said = WRONG[what]
    raw = config(tmp_path)
    given, vms = raw[kind], dict(VMS_OF_TWO)
    assert isinstance(given, dict)
    pool = "wrong" if kind == "pools" else "fast"
    template = "wrong" if kind == "templates" else "debian"
    vms["far"] = {
        "profile": "small",
        "template": template,
        "volumes": [{"name": "root", "pool": pool}],
    }
    host = Host.from_config({**raw, kind: {**given, "wrong": wrong}, "vms": vms})
    made = plan_wishes(host, Wishes(Goal(name="", target=Target.RUNNING)))
    assert list(made.refused) == ["far"]
    assert said in str(made.refused["far"][0])
    apply_plan(host, made).unwrap()
    assert list(inventory.list_report(host)) == ["far", "near"]
    assert list(host.unavailable) == [f"{kind}.wrong"]


def test_a_profile_that_is_wrong_concerns_those_that_have_it(tmp_path: Path) -> None:
    raw = config(tmp_path)
    given = raw["profiles"]
    assert isinstance(given, dict)
    vms = {**VMS_OF_TWO, "far": {"profile": "wrong"}}
    host = Host.from_config({**raw, "profiles": {**given, "wrong": 5}, "vms": vms})
    apply_plan(host, lifecycle.plan_to(host, "near")).unwrap()
    with pytest.raises(Refused, match=r"far\.profile: the profile 'wrong' is not available: geats"):
        lifecycle.plan_to(host, "far")


@pytest.mark.parametrize("profile", ["wrong", ["small", "wrong"]])
def test_a_profile_that_is_null_concerns_those_that_have_it(
    tmp_path: Path, profile: object
) -> None:
    raw = config(tmp_path)
    given = raw["profiles"]
    assert isinstance(given, dict)
    vms = {**VMS_OF_TWO, "far": {"profile": profile}}
    host = Host.from_config({**raw, "profiles": {**given, "wrong": None}, "vms": vms})
    apply_plan(host, lifecycle.plan_to(host, "near")).unwrap()
    with pytest.raises(Refused, match=r"far\.profile: the profile 'wrong' is not available: geats"):
        lifecycle.plan_to(host, "far")


def test_a_vm_that_is_described_and_gone_stays_as_it_is_and_no_other_is_concerned(
    tmp_path: Path,
) -> None:
    running(tmp_path)
    vms = {"near": {**VMS_OF_TWO["near"], "hostname": "other"}, "new": VMS_OF_TWO["near"]}
    both = {"near": "deprovisioned", "far": None}
    host = Host.from_config(config(tmp_path, vms=vms, gone=both))
    made = plan_wishes(host, Wishes(Goal(name="", target=Target.RUNNING)))
    assert {name: f"{why[0]}".partition(": geats.")[0] for name, why in made.refused.items()} == {
        name: f"{name}: it is not clear whether it should be removed" for name in ("far", "near")
    }
    apply_plan(host, made).unwrap()
    assert {name: have.power for name, have in host.observe_all().items()} == dict.fromkeys(
        ("far", "near", "new"), Power.RUNNING
    )
    assert inventory.strays_report(host) == {}
    apply_plan(host, lifecycle.plan_verb(host, "stop", "far")).unwrap()  # whoever names it is plain
    for name in ("near", "far"):
        with pytest.raises(Refused, match=f"{name}: it is not clear whether it should be removed"):
            lifecycle.plan_to(host, name)


def test_what_is_wrong_with_the_whole_configuration_is_refused_as_before(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"geats\.pols: unknown key"):
        Host.from_config({**config(tmp_path), "pols": {}})


WRONG_KEYS: Mapping[str, Raw] = {
    "an unknown one": {"polciy": {}},
    "the policy": {"policy": {"memory": "much"}},
    "the pools": {"pools": []},
    "the templates": {"templates": 5},
    "the VMs": {"vms": ["near"]},
    "those to be gone": {"gone": "near"},
    "several": {"colour": 1, "events": "loud", "profiles": "x"},
}


@pytest.mark.parametrize("kind", WRONG_KEYS)
def test_where_a_whole_key_is_wrong_the_host_is_seen_and_powered_off(
    tmp_path: Path, kind: str
) -> None:
    running(tmp_path)
    wrong = config(tmp_path, **WRONG_KEYS[kind])
    with pytest.raises(Refused):
        Host.from_config(wrong)
    host = Host.in_part(wrong)
    assert {why.partition(":")[0].split(".")[1] for why in host.config.unsound} == {
        *WRONG_KEYS[kind]
    }
    assert {
        name: row["power"] for name, row in inventory.list_report(host).items()
    } == dict.fromkeys(VMS, "running")
    assert inventory.info_report(host, "far")["power"] == "running"
    apply_plan(host, lifecycle.plan_verb(host, "stop", "far")).unwrap()
    apply_plan(host, plan_halt(host)).unwrap()
    assert {have.power for have in host.observe_all().values()} == {Power.STOPPED}


@pytest.mark.parametrize(
    "wrong",
    [{"state_dir": "here"}, {"statedir": "/x"}, {"drivers": []}, {"drivres": {}}, {"run_dir": 5}],
)
def test_where_it_is_not_clear_where_the_vms_are_nothing_goes_on(
    tmp_path: Path, wrong: Raw
) -> None:
    with pytest.raises(Refused, match=f"geats.{next(iter(wrong))}: "):
        Host.in_part(config(tmp_path, **wrong))
