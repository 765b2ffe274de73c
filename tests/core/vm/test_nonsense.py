"""Values that no guest could have, or that would hide what it needs, are refused with reasons."""

import pytest
from returns.pipeline import is_successful

from geats_core.vm.parse import parse_vm

NIC = {"name": "eth0", "bridge": "br0"}
HIDES = {
    "/": "the root of a guest is the volume root",
    "/dev": "the devices of the guest are there, which would be hidden",
    "/proc": "the processes of the guest are there, which would be hidden",
    "/sys": "what the kernel tells the guest is there, which would be hidden",
}
OF_ALL = "the kernel has settings by this name, of no interface"
OWN_LO = "each network has an interface of this name, which is its own"


def wrong(**keys: object) -> list[str]:
    return [str(each) for each in parse_vm("web", {"template": "t", **keys}).failure()]


@pytest.mark.parametrize(("mount", "why"), HIDES.items())
def test_nothing_is_mounted_over_what_each_guest_needs(mount: str, why: str) -> None:
    said = f"cannot be {mount!r}: {why}"
    assert wrong(tmpfs={mount: "1MiB"}) == [f"tmpfs.{mount}: {said}"]
    assert said in wrong(binds={"a": {"source": "/srv", "mount": mount}})[0]
    data = {"name": "data", "mount": mount}
    assert f"volumes[1].mount: {said}" in wrong(volumes=[{"name": "root"}, data])
    shared = {"vm": "db", "mount": mount}
    assert said in wrong(shared_volumes={"a": shared})[0]


def test_below_them_something_may_be_mounted() -> None:
    below = {"/dev/shm": "1MiB", "/devices": "1MiB"}
    binds = {"a": {"source": "/sys/kernel/debug", "mount": "/sys/kernel/debug"}}
    assert is_successful(parse_vm("web", {"template": "t", "tmpfs": below, "binds": binds}))


@pytest.mark.parametrize(("name", "why"), [("lo", OWN_LO), ("all", OF_ALL), ("default", OF_ALL)])
def test_no_interface_has_a_name_that_means_another_thing(name: str, why: str) -> None:
    said = f"cannot be {name!r}: {why}"
    assert wrong(nics=[{**NIC, "name": name}]) == [f"nics[0].name: {said}"]
    assert wrong(nics=[{**NIC, "host_name": name}]) == [f"nics[0].host_name: {said}"]
    on = {"name": "eth0", "type": "macvlan", "parent": name}
    assert f"nics[0].parent: {said}" in wrong(nics=[on])


def test_no_device_stands_in_for_one_that_each_guest_has() -> None:
    assert wrong(devices={"a": {"source": "/dev/sda", "mount": "/dev/null"}}) == [
        "devices.a.mount: each guest has its own /dev/null, which /dev/sda would be instead of"
    ]
    same = {"a": "/dev/random", "b": {"source": "/dev/sda", "mount": "/dev/nulls"}}
    assert is_successful(parse_vm("web", {"template": "t", "devices": same}))
