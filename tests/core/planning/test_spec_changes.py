"""What differs between two specs, and what each difference costs."""

import pytest

from geats_core import COST, LIVE_LIMITS, Change, Cost, EntryCost, Impact, changes, parse_vm
from geats_core.planning.spec_changes import at_least

DATA: dict[object, object] = {"name": "data", "mount": "/data"}
RAW: dict[object, object] = {
    "template": "debian",
    "metadata": {"name": "x", "bridge": "y"},
    "volumes": [{"name": "root"}, DATA],
}
OLD = parse_vm("web", RAW).unwrap()
CHANGED: dict[str, dict[object, object]] = {
    "driver": {"driver": "memory"},
    "template": {"template": "alpine"},
    "volume pools": {"volumes": [{"name": "root", "pool": "fast"}, DATA]},
    "hostname": {"hostname": "other"},
    "volumes": {"volumes": [{"name": "root"}, {**DATA, "read_only": True}]},
    "binds": {"binds": {"media": {"source": "/srv/media", "mount": "/media"}}},
    "shared_volumes": {"shared_volumes": {"films": {"vm": "nas", "mount": "/films"}}},
    "nics": {"nics": [{"name": "eth0", "bridge": "br0", "mac": "02:00:00:00:00:01"}]},
    "guest_network": {"guest_network": "auto"},
    "dns": {"dns": {"search": ["lan"]}},
    "metadata": {"metadata": {"mount": "z"}},
    "init": {"init": "busybox"},
    "privileged": {"privileged": True},
    "idmap": {"idmap": [{"guest": 0, "host": 200000, "count": 65536}]},
    "includes": {"includes": ["/etc/site.conf"]},
    "nesting": {"nesting": True},
    "mount_auto": {"mount_auto": ["proc:rw"]},
    "capabilities": {"capabilities": {"drop": ["net_raw"]}},
    "apparmor": {"apparmor": "mine"},
    "seccomp": {"seccomp": "none"},
    "selinux": {"selinux": "a:b:c"},
    "no_new_privileges": {"no_new_privileges": True},
    "sysctls": {"sysctls": {"net.ipv4.ip_forward": 1}},
    "rlimits": {"rlimits": {"nofile": 100}},
    "oom_score": {"oom_score": 5},
    "keyring": {"keyring": False},
    "host_network": {"host_network": True},
    "tmpfs": {"tmpfs": {"/tmp": "1GiB"}},
    "hooks": {"hooks": {"pre-start": "/etc/geats/a"}},
    "raw": {"raw": ["lxc.pty.max = 2"]},
    "devices": {"devices": {"tun": "/dev/net/tun"}},
    "memory": {"memory": "1GiB"},
    "command": {"command": ["/sbin/init", "single"]},
    "user": {"user": 5},
    "group": {"group": 6},
    "cwd": {"cwd": "/srv"},
    "stop_signal": {"stop_signal": "SIGINT"},
    "timezone": {"timezone": "Europe/Amsterdam"},
    "users": {"users": {"ada": {"password": "$6$salt$hash", "sudo": True}}},
    "ssh_keys": {"ssh_keys": ["ssh-ed25519 AAAA ada"]},
    "minion": {"minion": {"master": "salt", "config": {"log_level": "info"}}},
    "environment": {"environment": {"A": "b"}},
    "ttys": {"ttys": 1},
    "console_log": {"console_log": "1MiB"},
    "from_image": {"from_image": {"cwd": "/srv", "environment": {"A": "secret"}}},
    "cpuset": {"cpuset": "0-1"},
    "cpu_weight": {"cpu_weight": 50},
    "swap": {"swap": "1GiB"},
    "memory_soft": {"memory_soft": "1GiB"},
    "hugepages": {"hugepages": {"2MiB": "1GiB"}},
    "io_weight": {"io_weight": 50},
    "io": {"io": [{"device": "8:0", "read": "10MiB", "write_ops": 100}]},
    "cgroup": {"cgroup": {"memory.swappiness": 0}},
    "cgroup2": {"cgroup2": {"memory.oom.group": 1}},
    "volume sizes": {"volumes": [{"name": "root", "size": "1GiB"}, DATA]},
    "volume sharing": {"volumes": [{"name": "root"}, {**DATA, "shared": True}]},
    "cpus": {"cpus": 2},
    "processes": {"processes": 10},
    "transient": {"transient": True},
    "shutdown_timeout": {"shutdown_timeout": 5},
    "after": {"after": ["db"]},
    "autostart": {"autostart": {"priority": 10, "delay": 5}},
    "power": {"power": "stopped"},
    "restart": {"restart": "always"},
    "enabled": {"enabled": False},
    "ready": {"ready": {"tcp": 80}},
    "labels": {"labels": {"owner": "ada"}},
    "description": {"description": "the shop"},
    "hardware": {"hardware": {"tpm": True}},
}
LINES = {
    "hardware": "hardware.tpm changed (not set) → yes",
    "driver": "driver changed lxc → memory",
    "template": "template changed debian → alpine",
    "volume pools": "volume pools changed {root: default, data: default} → "
    "{root: fast, data: default}",
    "hostname": "hostname changed web → other",
    "volumes": "volumes changed [data /data] → [data /data read_only]",
    "binds": "binds changed [] → [media /srv/media /media read_only]",
    "shared_volumes": "shared_volumes changed [] → [films nas films default /films read_only]",
    "nics": "nics changed [] → [eth0 br0 02:00:00:00:00:01]",
    "guest_network": "guest_network changed (not set) → auto",
    "dns": "dns changed {nameservers: [], search: []} → {nameservers: [], search: [lan]}",
    "metadata": "metadata changed {name: x, bridge: y} → {mount: z}",
    "init": "init changed auto → busybox",
    "ready": "ready changed (not set) → {tcp: 80, timeout: 60}",
    "labels": "labels changed (not set) → {owner: ada}",
    "description": "description changed (not set) → the shop",
    "privileged": "privileged changed no → yes",
    "idmap": "idmap changed (not set) → [0 200000 65536]",
    "includes": "includes changed (not set) → [/etc/site.conf]",
    "nesting": "nesting changed (not set) → yes",
    "mount_auto": "mount_auto changed (not set) → [proc:rw]",
    "capabilities": "capabilities changed (not set) → {drop: [net_raw]}",
    "apparmor": "apparmor changed (not set) → mine",
    "seccomp": "seccomp changed (not set) → none",
    "selinux": "selinux changed (not set) → a:b:c",
    "no_new_privileges": "no_new_privileges changed (not set) → yes",
    "sysctls": "sysctls changed (not set) → {net.ipv4.ip_forward: 1}",
    "rlimits": "rlimits changed (not set) → {nofile: 100}",
    "oom_score": "oom_score changed (not set) → 5",
    "keyring": "keyring changed (not set) → no",
    "tmpfs": "tmpfs changed (not set) → {/tmp: {size: 1GiB}}",
    "hooks": "hooks changed (not set) → {pre-start: [/etc/geats/a]}",
    "raw": "raw changed (not set) → [lxc.pty.max = 2]",
    "devices": "devices changed (not set) → {tun: {source: /dev/net/tun}}",
    "memory": "memory changed (not set) → 1GiB",
    "command": "command changed (not set) → [/sbin/init; single]",
    "user": "user changed (not set) → 5",
    "group": "group changed (not set) → 6",
    "cwd": "cwd changed (not set) → /srv",
    "stop_signal": "stop_signal changed (not set) → SIGINT",
    "ttys": "ttys changed (not set) → 1",
    "console_log": "console_log changed (not set) → 1MiB",
    "from_image": "from_image changed (not set) → {cwd: /srv, environment: {A: (hidden)}}",
    "host_network": "host_network changed (not set) → yes",
    "timezone": "timezone changed (not set) → Europe/Amsterdam",
    "users": "users changed (not set) → {ada: {sudo: yes, password: (hidden)}}",
    "ssh_keys": "ssh_keys changed (not set) → [ssh-ed25519 AAAA ada]",
    "minion": "minion changed (not set) → {master: salt, config: {log_level: (hidden)}}",
    "environment": "environment changed (not set) → {A: (hidden)}",
    "cpuset": "cpuset changed (not set) → 0-1",
    "cpu_weight": "cpu_weight changed (not set) → 50",
    "swap": "swap changed (not set) → 1GiB",
    "memory_soft": "memory_soft changed (not set) → 1GiB",
    "hugepages": "hugepages changed (not set) → {2MiB: 1GiB}",
    "io_weight": "io_weight changed (not set) → 50",
    "io": "io changed (not set) → [8:0 10MiB 100]",
    "cgroup": "cgroup changed (not set) → {memory.swappiness: 0}",
    "cgroup2": "cgroup2 changed (not set) → {memory.oom.group: 1}",
    "volume sizes": "volume sizes changed {} → {root: 1GiB}",
    "volume sharing": "volume sharing changed {} → {data: yes}",
    "cpus": "cpus changed (not set) → 2",
    "processes": "processes changed (not set) → 10",
    "transient": "transient changed no → yes",
    "shutdown_timeout": "shutdown_timeout changed 60 → 5",
    "after": "after changed [] → [db]",
    "autostart": "autostart changed {enabled: no, priority: 0, delay: 0} → "
    "{enabled: yes, priority: 10, delay: 5}",
    "power": "power changed (not set) → stopped",
    "restart": "restart changed (not set) → always",
    "enabled": "enabled changed (not set) → no",
}


def test_each_field_changes_alone_and_at_its_own_cost() -> None:
    found = {
        field: changes(OLD, parse_vm("web", RAW | change).unwrap())
        for field, change in CHANGED.items()
    }

    assert {f: [(c.field, c.impact) for c in each] for f, each in found.items()} == {
        field: [({"hardware": "hardware.tpm"}.get(field, field), cost)]
        for field, cost in COST.items()
    }
    assert {field: str(each[0]) for field, each in found.items()} == {
        "metadata": "metadata changed {bridge: (hidden), name: (hidden)} → {mount: (hidden)}"
    } | {field: line for field, line in LINES.items() if field != "metadata"}


def cost(old: dict[object, object], new: dict[object, object], says: Cost) -> Impact:
    """What a change of the memory costs with a driver that says so."""
    before, now = (parse_vm("web", RAW | raw).unwrap() for raw in (old, new))
    (found,) = (c for c in changes(before, now, {"memory": says}) if c.field == "memory")
    return found.impact


def test_a_driver_that_says_nothing_changes_no_limit_live() -> None:
    new = parse_vm("web", RAW | CHANGED["memory"]).unwrap()

    assert [each.impact for each in changes(OLD, new)] == [Impact.RESTART]
    assert [each.impact for each in changes(OLD, new, LIVE_LIMITS)] == [Impact.LIVE]


@pytest.mark.parametrize(
    ("old", "new", "costs"),
    [
        ({"memory": "1GiB"}, {"memory": "2GiB"}, Impact.LIVE),
        ({"memory": "1GiB"}, {}, Impact.LIVE),  # without limit is more than any limit
        ({"memory": "2GiB"}, {"memory": "512MiB"}, Impact.RESTART),
        ({}, {"memory": "512MiB"}, Impact.RESTART),
    ],
)
def test_a_driver_says_what_a_rise_and_a_fall_cost(
    old: dict[object, object], new: dict[object, object], costs: Impact
) -> None:
    assert cost(old, new, Cost(rises=Impact.LIVE, falls=Impact.RESTART)) is costs


@pytest.mark.parametrize(
    ("old", "new", "costs"),
    [
        ({"memory": "1GiB", "processes": 2**31}, {"memory": "2GiB"}, Impact.LIVE),
        ({"memory": "1GiB", "processes": 2**31}, {"memory": "3GiB"}, Impact.RESTART),
        ({"memory": "1GiB"}, {"memory": "2GiB"}, Impact.RESTART),
        ({"memory": "2GiB"}, {"memory": "1GiB"}, Impact.LIVE),
    ],
)
def test_a_value_rises_no_further_than_another_says(
    old: dict[object, object], new: dict[object, object], costs: Impact
) -> None:
    says = Cost(rises=Impact.LIVE, falls=Impact.LIVE, most="processes")
    assert cost(old, new, says) is costs


def test_changes_can_be_told_apart_by_what_they_cost() -> None:
    new = parse_vm("web", RAW | {"memory": "1GiB", "hostname": "other"}).unwrap()

    found = changes(OLD, new, LIVE_LIMITS)

    assert [c.field for c in at_least(Impact.RESTART, found)] == ["hostname"]
    assert [c.field for c in at_least(Impact.LIVE, found)] == ["hostname", "memory"]


def test_a_new_volume_is_not_one_that_changed_its_pool() -> None:
    volumes = [{"name": "root"}, DATA, {"name": "more", "mount": "/more", "pool": "fast"}]
    new = parse_vm("web", RAW | {"volumes": volumes}).unwrap()

    assert [change.field for change in changes(OLD, new)] == ["volumes"]
    assert [change.field for change in changes(new, OLD)] == ["volumes"]


def test_a_new_vm_changes_in_every_field_that_is_set() -> None:
    found = changes(None, OLD)

    assert [change.field for change in found if change.new is None] == []
    assert Change("template", None, "debian", Impact.DATA_LOSS) in found
    assert changes(None, None) == ()


def test_metadata_without_a_value_is_a_change_too() -> None:
    plain = parse_vm("web", {"template": "debian"}).unwrap()
    flagged = parse_vm("web", {"template": "debian", "metadata": {"flag": ""}}).unwrap()

    assert [str(change) for change in changes(plain, flagged)] == [
        "metadata changed {} → {flag: (hidden)}"
    ]


def test_what_a_vm_leaves_empty_is_no_change_where_there_is_no_other() -> None:
    spec = parse_vm("web", {"template": "debian", "metadata": {"A": "b"}}).unwrap()
    said = [
        "driver",
        "template",
        "volume pools",
        "hostname",
        "metadata",
        "init",
        "shutdown_timeout",
    ]

    assert [change.field for change in changes(None, spec)] == said
    assert [change.field for change in changes(spec, None)] == said


def test_lists_are_written_entry_by_entry() -> None:
    nic = {
        "name": "eth0",
        "bridge": "br0",
        "mac": "02:00:00:00:00:01",
        "addresses": ["10.0.0.2/24", "fd00::2/64"],
        "gateways": ["10.0.0.1"],
    }
    volumes = [
        {"name": "root"},
        {"name": "data", "mount": "/data"},
        {"name": "logs", "mount": "/logs", "read_only": True},
    ]
    plain = parse_vm("web", {"template": "debian"}).unwrap()
    new = parse_vm("web", {"template": "debian", "nics": [nic], "volumes": volumes}).unwrap()
    of_volumes, of_nics = changes(plain, new)

    assert of_volumes.new == [
        {"name": "data", "mount": "/data", "read_only": False},
        {"name": "logs", "mount": "/logs", "read_only": True},
    ]
    assert str(of_volumes) == "volumes changed [] → [data /data; logs /logs read_only]"
    assert str(of_nics) == (
        "nics changed [] → [eth0 br0 02:00:00:00:00:01 10.0.0.2/24,fd00::2/64 10.0.0.1]"
    )


NIC0, NIC1, NIC2 = ({"name": f"eth{n}", "bridge": "br0"} for n in range(3))
DEVICES: dict[str, Cost | EntryCost] = {
    "nics": EntryCost(live=frozenset({"bridge"})),
    "volumes": EntryCost(busy="mount"),
    "hardware.nics": EntryCost(
        of="nics", live=frozenset({"link"}), fresh=frozenset({"link", "model"})
    ),
    "hardware.cdrom": Cost(rises=Impact.LIVE, falls=Impact.LIVE, if_set=True),
}


def costs_of(old: dict[object, object], new: dict[object, object]) -> dict[str, Impact]:
    """What each change costs with a driver that can change devices."""
    first, then = (parse_vm("web", {"template": "debian", **raw}).unwrap() for raw in (old, new))
    return {each.field: each.impact for each in changes(first, then, DEVICES)}


@pytest.mark.parametrize(
    ("old", "new", "impact"),
    [
        ([NIC0], [NIC0, NIC1], Impact.LIVE),
        ([], [NIC0, NIC1], Impact.LIVE),
        ([NIC0, NIC1], [NIC0], Impact.LIVE),
        ([NIC0, NIC1], [], Impact.LIVE),
        ([NIC0, NIC1], [NIC0, NIC2], Impact.LIVE),
        ([NIC0], [{**NIC0, "bridge": "br1"}], Impact.LIVE),
        ([NIC0], [{**NIC0, "addresses": ["10.0.0.2/24"]}], Impact.RESTART),
        ([NIC0, NIC1], [NIC1], Impact.RESTART),  # it would have another name on the host
        ([NIC0], [NIC1, NIC0], Impact.RESTART),
        ([NIC0, NIC1], [NIC1, NIC0], Impact.RESTART),
    ],
)
def test_nics_come_and_go_live_at_the_end(
    old: list[object], new: list[object], impact: Impact
) -> None:
    assert costs_of({"nics": old}, {"nics": new}) == {"nics": impact}


def test_a_volume_that_the_guest_mounts_does_not_go_live() -> None:
    root, raw = {"name": "root"}, {"name": "raw"}
    busy = {"name": "busy", "mount": "/busy"}

    def cost(old: list[object], new: list[object]) -> Impact:
        return costs_of({"volumes": [root, *old]}, {"volumes": [root, *new]})["volumes"]

    assert cost([], [busy]) is cost([], [raw]) is cost([raw], []) is Impact.LIVE
    assert cost([busy], []) is cost([raw], [{**raw, "read_only": True}]) is Impact.RESTART


def test_what_is_said_of_a_device_costs_what_its_coming_and_going_allows() -> None:
    def cost(old: list[object], before: object, new: list[object], now: object) -> Impact:
        raw = [{"nics": old, "hardware": {"nics": before}}]
        raw += [{"nics": new, "hardware": {"nics": now}}]
        return costs_of(*raw)["hardware.nics"]  # type: ignore[arg-type]

    down, other = {"eth0": {"link": False}}, {"eth0": {"model": "e1000"}}
    assert cost([NIC0], {}, [NIC0], down) is cost([NIC0], down, [NIC0], {}) is Impact.LIVE
    assert cost([NIC0], {}, [NIC0], other) is Impact.RESTART
    assert cost([], {}, [NIC0], other) is cost([NIC0], other, [], {}) is Impact.LIVE
    assert cost([NIC1], {}, [NIC0, NIC1], other) is Impact.RESTART


def test_a_medium_changes_live_in_a_drive_that_is_there() -> None:
    for old, new, impact in (
        ({"cdrom": "/a"}, {"cdrom": "empty"}, Impact.LIVE),
        ({}, {"cdrom": "/a"}, Impact.RESTART),
        ({"cdrom": "/a"}, {}, Impact.RESTART),
    ):
        found = costs_of({"hardware": old}, {"hardware": new})
        assert found["hardware.cdrom"] is impact
