"""Instances of Incus become VMs: each option and device is carried, or told of."""

from typing import Any

import pytest

from geats_core.foreign.notes import Imported
from geats_core.incus.incus_import import import_incus, texts_of_lxc
from tests.core.incus.fleet import CONFIG, INSTANCE, PROFILE, SHIFTED, imported


def part(made: Imported, key: str) -> Any:
    """What the pillar has under a key."""
    return made.geats[key]


def notes(made: Imported) -> dict[str, str]:
    return {note.key: note.to or f"left: {note.why}" for note in made.notes}


def small(name: str = "web01", **more: Any) -> dict[str, object]:
    root = {"root": {"path": "/", "pool": "default", "type": "disk"}}
    return {"name": name, "type": "container", "config": {}, "devices": root} | more


def problems(made: Imported) -> list[str]:
    return [str(each) for each in made.problems]


def test_an_instance_with_its_profiles_becomes_a_vm() -> None:
    made = imported(fleet=[INSTANCE], profiles=[PROFILE])
    assert made.problems == ()
    assert made.geats == {
        "templates": {
            "web01-root": {"path": "/var/lib/incus/storage-pools/fast/containers/web01/rootfs"}
        },
        "vms": {
            "web01": {
                "template": "web01-root",
                "autostart": {"enabled": True, "priority": 10, "delay": 5},
                "binds": {
                    "srv": {
                        "source": "/srv/a",
                        "mount": "/srv",
                        "read_only": True,
                        "optional": True,
                    },
                },
                "capabilities": {"drop": ["mknod"]},
                "cpus": 2,
                "environment": {"TZ": "UTC"},
                "devices": {"tun": {"source": "/dev/net/tun"}},
                "memory": "512MiB",
                "nesting": True,
                "nics": [
                    {"name": "eth0", "bridge": "incusbr0", "mac": "10:66:6a:01:02:03"},
                    {"name": "eth1", "bridge": "br1", "mac": "10:66:6a:01:02:04", "mtu": 9000},
                ],
                "processes": 500,
                "rlimits": {"nofile": "1024:4096"},
                "shutdown_timeout": 90,
                "sysctls": {"net.ipv4.ip_forward": "1"},
                "volumes": [
                    {"name": "root", "size": "10GiB"},
                    {"name": "backup", "mount": "/backup", "size": "1000000000B"},
                ],
            }
        },
        "bind_sources": ["/srv/a"],
        "device_sources": ["/dev/net/tun"],
    }


def test_each_key_is_told_of_once_and_no_value_is() -> None:
    made = imported(fleet=[INSTANCE], profiles=[PROFILE])
    told = notes(made)
    assert len(told) == len(made.notes)
    assert "canary" not in str(made.notes)
    assert {key: why for key, why in told.items() if why.startswith("left")}.keys() >= {
        *("cloud-init.user-data", "description", "ephemeral", "image.*"),
        *("security.syscalls.deny_compat", "snapshots.schedule", "strange", "user.owner"),
        *("user.user-data", "volatile.*", "web", "eth1.ipv4.address"),
    }
    assert told["limits.memory"] == "vms.web01.memory"
    assert told["strange"] == "left: has no key"
    grouped = {key for key in CONFIG if not key.startswith(("image.", "volatile."))}
    assert grouped <= {*told}


def test_an_instance_that_is_expanded_needs_no_profile() -> None:
    whole: dict[str, Any] = {
        "expanded_config": {"limits.cpu": "3"},
        "expanded_devices": small()["devices"],
    }
    made = imported(fleet=[small(profiles=["gone"], **whole)])
    assert made.problems == ()
    assert part(made, "vms") == {
        "web01": {"template": "web01-root", "cpus": 3, "volumes": [{"name": "root"}]}
    }
    assert part(imported(web=small(profiles=["gone"], name="")), "vms").keys() == {"web"}


def test_a_profile_that_is_missing_is_a_problem_of_its_instances_only() -> None:
    made = imported(fleet=[small("a", profiles=["gone"], devices={}), small("b")])
    assert [*part(made, "vms")] == ["a", "b"]
    (problem,) = problems(made)
    assert problem.startswith("fleet: a has profiles that are missing: give what 'incus profile")


@pytest.mark.parametrize(
    "raw",
    [
        {"metadata": [small()], "type": "sync"},
        {"metadata": small()},
        {"config": {"instance": small(), "profiles": [PROFILE]}, "pool": "default"},
        {"config": {"container": small()}, "backend": "dir"},
    ],
)
def test_what_is_around_an_instance_does_not_matter(raw: object) -> None:
    made = imported(fleet=raw)
    assert (made.problems, [*part(made, "vms")]) == ((), ["web01"])


def test_a_preseed_has_profiles() -> None:
    preseed = {"config": {}, "networks": [], "profiles": [PROFILE]}
    made = imported(preseed=preseed, fleet=[INSTANCE])
    assert made.problems == ()


def test_what_is_no_instance_is_told_and_the_others_are_read() -> None:
    made = imported(fleet=[small(), 7, {"name": "x"}, small("vm", type="virtual-machine")], odd="x")
    assert [*part(made, "vms")] == ["web01"]
    assert [each.partition(", got")[0] for each in problems(made)] == [
        "fleet: must be an instance or a profile of Incus",
        "fleet: must be an instance or a profile of Incus",
        "odd: must be an instance or a profile of Incus",
        "fleet: vm: is a virtual machine: its root.img or volume is a disk for templates, with the"
        " driver kvm",
    ]
    many = imported(fleet=[small()] * 10_001)
    assert problems(many) == ["fleet: must have at most 10000 instances and profiles"]


def test_names_that_no_vm_can_have_are_told() -> None:
    made = imported(fleet=[small("Web01"), small("Web01"), small("-")])
    assert [*part(made, "vms")] == ["Web01", "Web01-2", "instance"]
    assert notes(made)["name"].startswith("left: no VM can have it, or another has")
    assert made.problems == ()


def test_values_of_yaml_are_read_as_incus_writes_them() -> None:
    config = {"security.privileged": True, "limits.processes": 500, "user.x": 2**70, "strange": []}
    made = imported(fleet=[small(config=config, devices={"root": {"path": "/", "type": "disk"}})])
    vm = part(made, "vms")["web01"]
    assert (vm["privileged"], vm["processes"]) == (True, 500)
    odd = {"name": "a", "architecture": "x", "config": {}, "devices": {"x": 7}}
    assert imported(fleet=[odd | {"devices": 7}]).problems == ()
    assert imported(fleet=[odd]).problems == ()


def test_files_with_ids_of_the_host_are_read_as_the_guest() -> None:
    made = import_incus(
        {"a": ("a", [small(project="ops", config={"volatile.last_state.idmap": SHIFTED})])},
        "/srv/incus",
    )
    command = part(made, "templates")["web01-root"]["build"]["command"]
    assert "/srv/incus/storage-pools/default/containers/ops_web01/rootfs" in command
    assert {"u:0:1000000:65536", "g:0:1000000:65536", "u:65536:2000000:10"} <= {*command}


@pytest.mark.parametrize("text", ["{", "[1]", '[{"Nsid":"0","Hostid":1,"Maprange":1}]', "7"])
def test_ids_that_cannot_be_read_are_a_problem(text: str) -> None:
    made = imported(fleet=[small(config={"volatile.last_state.idmap": text})])
    assert problems(made) == [
        "vms.web01: volatile.last_state.idmap: cannot be read: stop the instance, and export it"
        " again"
    ]


@pytest.mark.parametrize(
    ("option", "value", "vm"),
    [
        ("limits.cpu.allowance", "25ms/100ms", {"cpus": 0.25}),
        ("limits.memory", "2GB", {"memory": "1953125KiB"}),
        ("limits.memory", "64KiB", {"memory": "64KiB"}),
        ("limits.cpu.allowance", "50%", {"cpu_weight": 50}),
        ("limits.cpu", "0-3,8", {"cpuset": "0-3,8"}),
        ("limits.memory.swap", "false", {"swap": 0}),
        ("limits.memory.swap", "1GiB", {"swap": "1GiB"}),
        ("limits.memory.swap", "true", {"swap": "none"}),
        ("boot.autostart", "false", {"autostart": {"enabled": False}}),
    ],
)
def test_how_options_are_read(option: str, value: str, vm: dict[str, object]) -> None:
    made = imported(fleet=[small(config={option: value})])
    assert part(made, "vms")["web01"] == {
        **{"template": "web01-root", "volumes": [{"name": "root"}]},
        **vm,
    }


@pytest.mark.parametrize(
    ("option", "value"),
    [("limits.memory", "50%"), ("limits.cpu.allowance", "much"), ("limits.processes", "many")],
)
def test_a_limit_that_cannot_be_said_is_a_problem(option: str, value: str) -> None:
    made = imported(fleet=[small(config={option: value})])
    assert problems(made) == [
        f"vms.web01: {option}: cannot be read, or is a share of what the host has: say how much"
    ]


def test_how_many_cpus_and_which() -> None:
    both = {"limits.cpu": "2", "limits.cpu.allowance": "50ms/100ms"}
    made = imported(fleet=[small(config=both)])
    assert part(made, "vms")["web01"]["cpus"] == 0.5
    assert notes(made)["limits.cpu"] == "left: limits.cpu.allowance says how much time"


def test_a_soft_limit_of_memory_is_one() -> None:
    soft = {"limits.memory": "1GiB", "limits.memory.enforce": "soft"}
    made = imported(fleet=[small(config=soft)])
    assert part(made, "vms")["web01"]["memory_soft"] == "1GiB"
    assert "memory" not in part(made, "vms")["web01"]


@pytest.mark.parametrize(("status", "power"), [("Stopped", "stopped"), ("Frozen", "frozen")])
def test_what_is_off_stays_off(status: str, power: str) -> None:
    made = imported(fleet=[small(status=status)])
    assert part(made, "vms")["web01"]["power"] == power
    assert notes(made)["status"] == "vms.web01.power"


@pytest.mark.parametrize(
    ("device", "problem"),
    [
        ({"type": "nic", "nictype": "sriov", "parent": "eth0"}, "eth1.nictype: geats has no such"),
        ({"type": "nic", "nictype": "macvlan"}, "eth1.nictype: geats has no such NIC"),
        ({"type": "nic", "network": ""}, ""),
        ({"type": "disk", "path": "/a", "source": "cloud-init:config"}, "eth1.source: is no dir"),
        ({"type": "disk", "path": "", "source": "/a"}, "eth1.source: is no directory of the host"),
    ],
)
def test_a_device_that_cannot_be_had_is_a_problem(device: dict[str, str], problem: str) -> None:
    root = {"path": "/", "type": "disk"}
    made = imported(fleet=[small(devices={"root": root, "eth1": device})])
    (found,) = problems(made)
    assert found.startswith(f"vms.web01: {problem}")


@pytest.mark.parametrize(
    ("device", "nic"),
    [
        ({"nictype": "macvlan", "parent": "lan0"}, {"type": "macvlan", "parent": "lan0"}),
        (
            {"nictype": "physical", "parent": "lan0", "hwaddr": "x"},
            {"type": "physical", "parent": "lan0"},
        ),
        ({"nictype": "p2p", "host_name": "web"}, {"type": "veth", "host_name": "web"}),
        (
            {"nictype": "routed", "ipv4.address": "10.0.0.7, 10.0.0.8", "ipv6.address": "none"},
            {"type": "routed", "addresses": ["10.0.0.7/32", "10.0.0.8/32"]},
        ),
        ({"nictype": "routed", "parent": "lan0"}, {"type": "routed", "parent": "lan0"}),
        ({"network": "br0", "vlan": "7", "mtu": "1400"}, {"bridge": "br0", "vlan": 7, "mtu": 1400}),
    ],
)
def test_nics_are_of_the_types_that_incus_has(
    device: dict[str, str], nic: dict[str, object]
) -> None:
    root = {"path": "/", "type": "disk"}
    made = imported(fleet=[small(devices={"root": root, "eth1": {"type": "nic", **device}})])
    assert made.problems == ()
    assert part(made, "vms")["web01"]["nics"] == [{"name": "eth1", **nic}]


def test_device_nodes_of_the_host_become_devices() -> None:
    devices = {
        "tun": {"type": "unix-char", "path": "/dev/net/tun", "mode": "0666"},
        "fuse": {"type": "unix-char", "source": "/dev/fuse", "required": "false"},
        "disk": {"type": "unix-block", "source": "/dev/sdb", "path": "/dev/data"},
        "none": {"type": "unix-char", "major": "10", "minor": "200"},
    }
    made = imported(fleet=[small(devices=devices)])
    assert part(made, "vms")["web01"]["devices"] == {
        "tun": {"source": "/dev/net/tun"},
        "fuse": {"source": "/dev/fuse", "optional": True},
        "disk": {"source": "/dev/sdb", "mount": "/dev/data"},
    }
    assert made.geats["device_sources"] == ["/dev/net/tun", "/dev/fuse", "/dev/sdb"]
    assert notes(made)["tun.mode"] == "left: is of the node on the host: a rule of udev sets it"
    assert notes(made)["none"].startswith("left: is a device of the host")


def test_binds_are_writable_unless_they_say_so_and_names_are_made_to_fit() -> None:
    devices = {
        "My Data": {"type": "disk", "path": "/a", "source": "/a", "recursive": "true"},
        "my-data": {"type": "disk", "path": "/b", "source": "/b"},
        "root": {"type": "disk", "pool": "p", "path": "/c", "readonly": "1"},
        "???": {"type": "disk", "pool": "p", "path": "/d"},
    }
    vm = part(imported(fleet=[small(devices=devices)]), "vms")["web01"]
    assert vm["binds"] == {
        "my-data": {"source": "/a", "mount": "/a", "read_only": False, "recursive": True},
        "my-data-2": {"source": "/b", "mount": "/b", "read_only": False},
    }
    assert vm["volumes"] == [
        {"name": "root-2", "mount": "/c", "read_only": True},
        {"name": "disk", "mount": "/d"},
    ]


def test_lines_of_lxc_can_name_what_the_host_has() -> None:
    assert texts_of_lxc({"a": ("a", [INSTANCE, small("b")])}) == (CONFIG["raw.lxc"],)


@pytest.mark.parametrize(
    ("config", "idmap", "told"),
    [
        ({"security.idmap.isolated": "true"}, "auto", ["idmap"]),
        (
            {"security.idmap.isolated": "true", "security.idmap.size": "131072"},
            {"count": 131072},
            ["idmap.count", "idmap"],
        ),
        (
            {"raw.idmap": "both 1000 1001\n\nuid 50-51 500-501\ngid 7 8\n"},
            {
                "through": [
                    {"guest": 1001, "host": 1000, "count": 1},
                    {"guest": 500, "host": 50, "count": 2, "ids": "users"},
                    {"guest": 8, "host": 7, "count": 1, "ids": "groups"},
                ]
            },
            ["idmap.through"],
        ),
        (
            {"security.idmap.isolated": "false"},
            None,
            ["left: is false: it has the ids that all have which say nothing of ids"],
        ),
        (
            {"security.privileged": "true", "raw.idmap": "both 1 1"},
            None,
            ["privileged", "left: is for guests that are not privileged"],
        ),
    ],
)
def test_ids_of_its_own_are_allocated(
    config: dict[str, str], idmap: object, told: list[str]
) -> None:
    made = imported(fleet=[small(config=config)])
    assert made.problems == ()
    assert part(made, "vms")["web01"].get("idmap") == idmap
    keys = {
        note.key: (note.to or f"left: {note.why}").removeprefix("vms.web01.") for note in made.notes
    }
    assert [keys[key] for key in keys if key in config] == told


@pytest.mark.parametrize("line", ["both 1", "both 5-4 1-0", "uid 1-3 1-2", "uid 1-2 1"])
def test_ids_that_cannot_be_read_are_refused(line: str) -> None:
    made = imported(fleet=[small(config={"raw.idmap": line})])
    (problem,) = problems(made)
    assert "raw.idmap" in problem
