"""The beacon and the grains, through Salt's real loader, on a host in memory."""

import time
from pathlib import Path
from typing import Any

import pytest
import salt.loader

from geats_core.deciding.keeping_up import Kept
from geats_host.drivers.memory import MemoryDriver
from geats_host.errors import HostError
from geats_host.host import Host
from geats_host.registry import kept_up
from tests.salt_modules.masters import A_MACHINE


@pytest.fixture
def testmode():
    return False


@pytest.fixture
def beacon(opts, modules):
    loaded = salt.loader.beacons(opts, modules, {})
    return loaded["geats.beacon"]


@pytest.fixture
def validate(opts, modules):
    return salt.loader.beacons(opts, modules, {})["geats.validate"]


ONLY_STATES = [{"strays": False}, {"drift": False}, {"pool_space": False}]


def test_a_state_that_changes_is_told_once(beacon, modules):
    assert beacon(ONLY_STATES) == []
    modules["geats.start"]("db01")
    told = {"tag": "state/db01", "vm": "db01", "from": None, "to": "running"}
    assert beacon(ONLY_STATES) == [told]
    assert beacon(ONLY_STATES) == []
    modules["geats.freeze"]("db01")
    assert beacon(ONLY_STATES) == [{**told, "from": "running", "to": "frozen"}]


def test_a_virtual_machine_is_watched_as_a_container_is(beacon, modules, geats_config, opts):
    geats_config.update(A_MACHINE | {"vms": {**geats_config["vms"], **A_MACHINE["vms"]}})
    assert beacon(ONLY_STATES) == []
    modules["geats.start"]("vm01")
    assert beacon(ONLY_STATES) == [
        {"tag": "state/vm01", "vm": "vm01", "from": None, "to": "running"}
    ]
    geats_config["vms"]["vm01"]["cpus"] = 2
    (drift,) = beacon([{"strays": False}, {"pool_space": False}])
    assert drift == {"tag": "drift/vm01", "vm": "vm01", "fields": ["cpus"]}
    assert grains(opts)["drivers"] == [*A_MACHINE["drivers"]]


def test_two_beacons_are_told_of_the_same(beacon, modules):
    other = [*ONLY_STATES, {"_beacon_name": "other"}, {"vms": ["web*"]}]
    assert (beacon(ONLY_STATES), beacon(other)) == ([], [])
    modules["geats.start"]("db01")
    modules["geats.start"]("web01")
    assert [each["vm"] for each in beacon(ONLY_STATES)] == ["db01", "web01"]
    assert [each["vm"] for each in beacon(other)] == ["web01"]


def test_drift_and_strays_are_told_at_the_first_look(beacon, modules, geats_config):
    for name in ("web01", "db01"):
        modules["geats.start"](name)
    del geats_config["vms"]["db01"]
    geats_config["vms"]["web01"]["hostname"] = "www"
    assert beacon([]) == [
        {"tag": "stray/db01", "vm": "db01", "stray": True},
        {"tag": "drift/web01", "vm": "web01", "fields": ["hostname"]},
    ]
    geats_config["vms"]["web01"]["memory"] = "10 bananas"
    assert beacon([]) == [
        {"tag": "drift/web01", "vm": "web01", "fields": ["its description is wrong"]}
    ]
    geats_config["policy"] = {"strays": "ignore"}
    assert beacon([])[0] == {"tag": "stray/db01", "vm": "db01", "stray": False}


def test_trouble_with_the_host_is_told_once_and_no_state_is_lost(beacon, modules, monkeypatch):
    assert beacon(ONLY_STATES) == []
    modules["geats.start"]("db01")

    def fails(host):
        raise HostError("no such luck")

    with monkeypatch.context() as patched:
        patched.setattr(Host, "observe_all", fails)
        assert beacon(ONLY_STATES) == [{"tag": "trouble", "error": "no such luck"}]
        assert beacon(ONLY_STATES) == []
    assert [each["tag"] for each in beacon(ONLY_STATES)] == ["trouble", "state/db01"]


@pytest.mark.parametrize(
    "config",
    [[], [{"interval": 10}], [{"pool_space": "80%"}, {"vms": ["web*"]}, {"enabled": True}]],
)
def test_a_right_configuration_is_valid(validate, config):
    assert validate(config) == (True, "Valid beacon configuration")


def test_a_wrong_configuration_is_told_whole(validate):
    assert validate({"states": True})[0] is False
    assert validate(["states"])[0] is False
    valid, why = validate([{"states": "yes, please"}, {"pool_space": 0}, {"colour": "red"}])
    assert valid is False
    assert [line.partition(":")[0] for line in why.splitlines()] == [
        "states",
        "pool_space",
        "colour",
    ]


def test_the_grain_tells_what_is_configured(opts):
    files = {"type": "sparsefile", "path": "/srv/images"}
    opts["geats"] = {"pools": {"disks": {"type": "filesystem", True: files}}}
    opts["pillar"] = {"geats": {"drivers": {"lxc": {}, "memory": {}}}}
    grain = grains(opts)
    assert grain["drivers"] == ["lxc", "memory"]
    assert grain["pools"] == {"disks": "filesystem on sparsefile"}
    assert grain["version"]
    assert grain["liblxc"].split(".")[0].isdigit()


@pytest.mark.parametrize("wrong", [None, "nonsense", {"pools": 7, "drivers": ["lxc"]}])
def test_a_wrong_configuration_leaves_the_grain_with_defaults(opts, wrong):
    opts["pillar"] = {"geats": wrong}
    grain = grains(opts)
    assert (grain["drivers"], grain["pools"]) == (["lxc"], {"default": "directory"})


def test_a_host_without_salts_configuration_tells_that_of_its_file(opts, tmp_path):
    file = tmp_path / "geats.yaml"
    opts["pillar"] = {}
    for text, pools in (
        ("geats: {pools: {fast: {type: btrfs}}}", {"fast": "btrfs"}),
        ("geats: {", {"default": "directory"}),
    ):
        file.write_text(text)
        assert grains(opts, default_file=file)["pools"] == pools


def grains(opts, default_file=Path("/nowhere")):
    """As a minion loads them, with another default file."""
    function: Any = salt.loader.grain_funcs(opts)["geats.geats"]
    function.func.__globals__["DEFAULT_FILE"] = default_file
    return function()["geats"]


def test_a_guest_that_ended_by_itself_is_started_again(beacon, modules, geats_config):
    """The beacon tells why; with restart: false it only looks."""
    geats_config["vms"]["db01"]["restart"] = "always"
    modules["geats.start"]("db01")
    assert beacon(ONLY_STATES) == []
    host, now_s = Host.from_config(geats_config), int(time.time())
    kept_up.note(host.registry, "db01", Kept(started_s=now_s - 60))
    driver = host.drivers["memory"]
    assert isinstance(driver, MemoryDriver)
    driver.end_by_itself("db01", 3, now_s - 5)

    told = {"tag": "state/db01", "vm": "db01", "from": "running", "to": "stopped"}
    assert beacon([*ONLY_STATES, {"restart": False}]) == [told]
    why = "it exited (3) by itself"
    assert modules["geats.keep_up"](test=True) == [{"vm": "db01", "why": why}]
    assert beacon(ONLY_STATES) == [
        {"tag": "restart/db01", "vm": "db01", "why": why},
        {**told, "from": "stopped", "to": "running"},
    ]
    assert modules["geats.keep_up"]() == []
