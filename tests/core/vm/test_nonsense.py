"""Values that no guest could have, or that would hide what it needs, are refused with reasons."""

from dataclasses import replace

import pytest
from returns.pipeline import is_successful
from returns.result import Success

from geats_core.foreign.lxc_mounts import Entry, bind_of, device_of
from geats_core.jobs.renames import renamed
from geats_core.plans.codec import parser_of
from geats_core.vm.lxc_config import spec_line, spec_of_lxc_config
from geats_core.vm.parse import parse_text, parse_vm, to_plain, to_text
from geats_core.vm.secrets import declaration
from geats_core.vm.spec import VMSpec

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
    path = "volumes[1].mount" if mount == "/" else "volumes[data].mount"
    assert f"{path}: {said}" in wrong(volumes=[{"name": "root"}, data])
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


REFUSED: dict[str, object] = {
    "tmpfs": {"/dev": "1MiB"},
    "binds": {"a": {"source": "/srv", "mount": "/proc"}},
    "nics": [{**NIC, "name": "lo", "host_name": "all"}],
    "devices": {"a": {"source": "/dev/sda", "mount": "/dev/null"}},
}


def test_what_an_older_geats_took_is_read_where_it_is_recorded() -> None:
    assert len(wrong(**REFUSED)) == 5
    raw = {"template": "t", **REFUSED}
    spec = parse_vm("web", raw, is_recorded=True).unwrap()
    assert parse_text("web", to_text(spec)) == Success(spec)
    assert spec_of_lxc_config(spec_line(spec)) == Success(spec)
    assert parser_of(VMSpec)("vm", {"name": "web", **to_plain(spec)}) == Success(spec)
    assert renamed(spec, "web").unwrap().tmpfs == spec.tmpfs
    shown = declaration(spec)
    assert shown.keys() == {"template", *REFUSED}


def test_mounts_of_others_that_no_description_may_say_stay_lines_of_theirs() -> None:
    over = Entry("/srv", "/proc", "none", ("bind", "create=dir"))
    assert bind_of(over, [], {"/srv": True}) is None
    below = replace(over, target="/proc/a")
    assert bind_of(below, [], {"/srv": True}) == {
        "source": "/srv",
        "mount": "/proc/a",
        "read_only": False,
    }
    instead = Entry("/dev/sda", "/dev/null", "none", ("bind", "create=file"))
    assert device_of(instead) is None
    assert device_of(replace(instead, source="/dev/null")) == {"source": "/dev/null"}
