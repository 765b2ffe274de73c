"""Drivers and pools that are configured twice: under other names, or by mistake at one place."""

from pathlib import Path

import pytest

from geats_core.planning.goal import Target
from geats_core.planning.plugin_facts import PoolFacts
from geats_core.vm.observation import Power
from geats_host.calls import inventory, lifecycle
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import Refused
from geats_host.host import Host
from geats_host.observing.place_checks import pools_at_one_place
from tests.memory_host import memory_config
from tests.problems import in_words

Raw = dict[str, object]
TWICE = {"memory": {}, "fast": {"type": "memory"}}


def config(directory: Path, **change: object) -> Raw:
    """Two drivers of one type, and a VM with each."""
    return {
        **memory_config(directory),
        "drivers": TWICE,
        "vms": {"web01": {"profile": "small"}, "db01": {"profile": "small", "driver": "fast"}},
        **change,
    }


def running(host: Host, *names: str) -> Host:
    for name in names:
        apply_plan(host, lifecycle.plan_to(host, name)).unwrap()
    return host


def test_one_type_of_driver_runs_under_two_names(tmp_path: Path) -> None:
    host = running(Host.from_config(config(tmp_path)), "web01", "db01")

    assert lifecycle.validate(config(tmp_path)) == {"web01": (), "db01": ()}
    assert {name: said["vms"] for name, said in inventory.drivers_report(host).items()} == {
        "fast": ["db01"],
        "memory": ["web01"],
    }
    assert host.observe("db01").power is Power.RUNNING


def test_an_unknown_type_and_unknown_options_are_told_by_their_place(tmp_path: Path) -> None:
    drivers = {"memory": {"size": 1}, "fast": {"type": "memry"}}
    found = lifecycle.validate(config(tmp_path, drivers=drivers))
    problems = in_words(found)[lifecycle.CONFIGURATION]

    assert "geats.drivers.memory.size: unknown key 'size' (there is: roots)" in problems
    assert any(p.startswith("geats.drivers.fast.type: unknown driver 'memry'") for p in problems)


def two_of_a_name(directory: Path) -> Host:
    """``web01`` is with both drivers: the second was made while geats did not look at the first."""
    running(Host.from_config(config(directory)), "web01")
    other = config(
        directory,
        drivers={"fast": {"type": "memory"}},
        registry={"type": "memory"},
        vms={"web01": {"profile": "small", "driver": "fast"}},
    )
    host = Host.from_config(other)
    host.driver("web01").define(host.observe_all()["web01"].recorded, {})  # type: ignore[arg-type]
    return Host.from_config(config(directory))


def test_two_drivers_that_know_one_name_are_a_problem_of_that_name(tmp_path: Path) -> None:
    host = running(two_of_a_name(tmp_path), "db01")
    have = host.observe("web01")

    assert have.drivers == ("memory", "fast")
    row = inventory.list_report(host)["web01"]
    assert "the drivers 'memory' and 'fast' each have a VM of this name" in f"{row['problems']}"
    for target in set(Target) - {Target.REBOOTED}:
        with pytest.raises(Refused, match="nobody can tell which is meant"):
            lifecycle.plan_to(host, "web01", str(target), allow_data_loss=True)
    with pytest.raises(Refused, match="nobody can tell which is meant"):
        host.running("web01")


def pools(directory: Path, **paths: str) -> Raw:
    (directory / "disk").mkdir(exist_ok=True)
    return {
        name: {"type": "directory", "path": str(directory / path)} for name, path in paths.items()
    }


@pytest.mark.parametrize(
    "second",
    ["disk/one", "disk/one/inner", "disk", "link/one"],
    ids=["same", "in", "around", "link"],
)
def test_two_pools_at_one_place_are_refused_with_both_names(tmp_path: Path, second: str) -> None:
    (tmp_path / "link").symlink_to("disk")
    raw = config(
        tmp_path,
        pools=pools(tmp_path, default="elsewhere", one="disk/one", two=second),
        vms={
            "near": {"profile": "small"},
            "far": {"profile": "small", "volumes": [{"name": "root", "pool": "one"}]},
        },
    )
    found = in_words(lifecycle.validate(raw))

    assert [("'one'" in each, "'two'" in each) for each in found[lifecycle.CONFIGURATION]] == [
        (True,) * 2
    ] * 2
    assert found["near"] == []
    assert any("the pool 'one' is not available: pool 'one' is at" in each for each in found["far"])


def clashing(**places: tuple[str | None, str]) -> set[str]:
    """The pools that are at the place of another."""
    facts = {name: PoolFacts(location=at, part=part) for name, (at, part) in places.items()}
    return set(pools_at_one_place(facts))


def test_places_that_only_begin_alike_are_two() -> None:
    group = "/dev/vg/geats.{vm}"

    assert clashing(a=("/srv/a/{vm}", ""), b=("/srv/ab/{vm}", "")) == set()
    assert clashing(a=(group, ""), b=(group, "thin")) == set()
    assert clashing(a=(group, "thin"), b=(group, "thin")) == {"a", "b"}
    assert clashing(a=("/dev/sdz", ""), b=("/dev/sdz", ""), c=("/dev/sdy", "")) == {"a", "b"}
    assert clashing(a=(None, ""), b=(None, "")) == set()


def test_two_drivers_at_one_place_are_refused(tmp_path: Path) -> None:
    path = str(tmp_path / "lxc")
    drivers = {"memory": {}, **{name: {"type": "lxc", "path": path} for name in ("one", "two")}}
    found = lifecycle.validate(config(tmp_path, drivers=drivers, vms={}))
    problems = in_words(found)[lifecycle.CONFIGURATION]

    assert [("'one'" in each, "'two'" in each) for each in problems] == [(True, True)] * 2
