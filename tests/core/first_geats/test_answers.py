"""Definitions and states as the first geats told them."""

import pytest
from returns.result import Failure, Success

from geats_core.first_geats.answers import definition_of, read_asked, state_of
from geats_core.vm.observation import Power
from geats_core.vm.parse import parse_vm

NETWORK = {
    "name": "eth0",
    "bridge": "br0",
    "hwaddr": "02:bc:8a:27:f0:0b",
    "ipaddr": "10.0.0.2",
    "netmask": "255.255.255.0",
    "gateway": "10.0.0.1",
}
WRITTEN = {
    "name": "web",
    "description": "the web",
    "vm_type": "lxc",
    "template": "squeeze",
    "ram": 256,
    "transient": False,
    "network": [NETWORK],
    "storage": [{"name": "root", "type": "fast"}],
}


def test_a_definition_comes_back_as_it_was_given() -> None:
    vm, notes = read_asked("web", WRITTEN, ["lxc"], ["fast"]).unwrap()
    assert [note for note in notes if note.to is None] == []
    assert definition_of(parse_vm("web", vm).unwrap()) == WRITTEN


def test_what_a_vm_does_not_have_is_not_told() -> None:
    spec = parse_vm("web", {"template": "d", "nics": [{"name": "eth0", "bridge": "br0"}]}).unwrap()
    told = definition_of(spec)
    [nic] = spec.nics
    assert (told["description"], "ram" in told) == ("web", False)
    assert told["network"] == [{"name": "eth0", "bridge": "br0", "hwaddr": nic.mac}]


@pytest.mark.parametrize(
    ("written", "wrong"),
    [
        ([1], "web: must be the definition of a VM, got a list"),
        ({"name": "db"}, "web.name: must be the name in the call, got 'db'"),
        ({"vm_type": "kvm"}, "web.vm_type: must be one of fast, lxc, got 'kvm'"),
        (
            {"storage": [{"type": "lvm"}]},
            "pools.lvm: no configuration that was read has it: declare it, or read that file as "
            "well (web: storage[0].type)",
        ),
    ],
)
def test_a_definition_that_cannot_be_one_is_refused(written: object, wrong: str) -> None:
    match read_asked("web", written, ["fast"], []):
        case Failure(problems):
            assert [*map(str, problems)] == [wrong]
        case Success(_):
            pytest.fail("it was taken")


def test_states_are_those_of_then() -> None:
    assert {power: "/".join(state_of(power)) for power in Power} == {
        Power.STOPPED: "stopped/stopped",
        Power.RUNNING: "running/running",
        Power.FROZEN: "running/paused",
        Power.HELD: "running/paused",
        Power.STUCK: "running/stuck",
    }
