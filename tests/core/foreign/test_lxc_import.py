"""The pillar out of the config files of LXC containers that something else made."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geats_core.foreign.lxc_import import import_lxc
from geats_core.foreign.lxc_lines import OnHost
from geats_core.foreign.lxc_nics import nics_of, said
from geats_core.foreign.notes import Imported
from geats_core.vm.observation import ForeignNic

NEW = """\
# by hand
lxc.include = /usr/share/lxc/config/common.conf
lxc.uts.name = web.example.org
lxc.rootfs.path = dir:/var/lib/lxc/web/rootfs
lxc.signal.halt = SIGUSR1
lxc.net.0.type = veth
lxc.net.0.link = br1
lxc.net.0.flags = up
lxc.net.0.name = lan
lxc.net.0.hwaddr = 00:16:3e:00:00:02
lxc.net.0.ipv4.address = 10.0.3.2/24 10.0.3.255
lxc.net.0.ipv6.address = fd00::2/64
lxc.net.0.ipv4.gateway = 10.0.3.1
lxc.net.0.ipv6.gateway = auto
lxc.net.0.script.up = /bin/true
lxc.cgroup2.memory.max = 512M
lxc.cgroup2.cpu.max = 150000 100000
lxc.cgroup.cpu.cfs_quota_us = 150000
lxc.cgroup2.pids.max = max
lxc.start.auto = 1
lxc.start.order = 5
lxc.start.delay = 3
lxc.start.group = onboot
lxc.mount.entry = /srv/media srv/media none bind,ro,create=dir 0 0
lxc.mount.entry = /srv/media srv/again none rbind 0 0
lxc.mount.entry = proc proc proc nodev 0 0
lxc.environment = TOKEN=canary
nothing
"""
OLD = """\
lxc.utsname = old
lxc.rootfs = /srv/old
lxc.network.type = veth
lxc.network.link = br0
lxc.network.ipv4 = 10.0.0.9/24
lxc.network.type = macvlan
lxc.network.link = br2
lxc.cgroup.memory.limit_in_bytes = 1048576
"""


def imported(text: str, name: str = "web") -> Imported:
    return import_lxc({"config": (name, text)}, OnHost(kinds={"/srv/media": True}))


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("veth.vlan.id = none", "has no key: add it"),
        ("veth.mode = router", "has no key: add it"),
        ("ipv4.gateway = auto", "say the address of the gateway"),
    ],
)
def test_what_is_left_out_of_a_nic_is_told_for_its_own_reason(line: str, why: str) -> None:
    word, _, value = line.partition(" = ")
    found = said(word, value, {"type": "veth", "link": "br0"}, "web")
    assert why in found.why
    assert found.stays


def test_a_nic_that_is_up_from_then_on_is_told() -> None:
    nic = "lxc.net.0.type = veth\nlxc.net.0.link = br0\n"
    told = "is missing: eth0 is up, and was down until the guest acted"
    whys = {note.key: note.why for note in imported(nic).notes}
    assert whys["lxc.net.0.flags"] == told
    assert told not in str(imported(f"{nic}lxc.net.0.flags = up\n").notes)


def test_of_a_kind_of_nic_that_geats_lacks_nothing_is_taken() -> None:
    for word, value in (("type", "tap"), ("link", "br0"), ("name", "eth0")):
        assert said(word, value, {"type": "tap"}, "web").key == ""


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("lxc.pts = 2", "add 'lxc.pty.max = 2' to the new VM's config by hand"),
        ("lxc.pty.max = 2", "add it to the new VM's config by hand"),
        (
            "lxc.network.type = veth\nlxc.network.script.up = /x",
            "add 'lxc.net.0.script.up = /x' to",
        ),
        ("lxc.ephemeral = 1", "would have it destroyed once it is off"),
    ],
)
def test_a_line_to_add_by_hand_is_one_that_lxc_can_read(line: str, why: str) -> None:
    assert any(why in f"{note}" for note in imported(line).notes)


def test_a_container_becomes_a_vm() -> None:
    made = imported(NEW)
    media = {"source": "/srv/media", "read_only": True, "mount": "/srv/media"}
    again = {**media, "recursive": True}
    assert made.geats == (
        {
            "templates": {"web-root": {"path": "/var/lib/lxc/web/rootfs"}},
            "vms": {
                "web": {
                    "privileged": True,
                    "hostname": "web.example.org",
                    "template": "web-root",
                    "init": "busybox",
                    "environment": {"TOKEN": "canary"},
                    "memory": "512M",
                    "cpus": 1.5,
                    "autostart": {"enabled": True, "priority": -5, "delay": 3},
                    "binds": {
                        "srv-media": media,
                        "srv-again": {**again, "mount": "/srv/again", "read_only": False},
                    },
                    "nics": [
                        {
                            "name": "lan",
                            "bridge": "br1",
                            "mac": "00:16:3e:00:00:02",
                            "addresses": ["10.0.3.2/24", "fd00::2/64"],
                            "gateways": ["10.0.3.1"],
                        }
                    ],
                }
            },
            "bind_sources": ["/srv/media"],
        }
    )
    # The same source twice, once read-only, is what geats refuses: that is told.
    assert {problem.path for problem in made.problems} == {
        "vms.web.binds.srv-again.source",
        "vms.web.binds.srv-media.source",
    }


def test_each_line_leaves_a_note() -> None:
    made = imported(NEW)
    lines = [line for line in NEW.splitlines() if line.startswith("lxc.")]
    assert len(made.notes) == len(lines)
    assert [note.key for note in made.notes if note.to is None] == [
        "lxc.include",
        "lxc.net.0.type",
        "lxc.net.0.flags",
        "lxc.net.0.ipv6.gateway",
        "lxc.net.0.script.up",
        "lxc.cgroup2.pids.max",
        "lxc.start.group",
        "lxc.mount.entry",
    ]
    assert "canary" not in str(made.notes)


def test_the_names_of_lxc_2_are_read_too() -> None:
    made = imported(OLD, "old")
    assert (made.geats["vms"], [*map(str, made.problems)]) == (
        {
            "old": {
                "privileged": True,
                "includes": [],
                "hostname": "old",
                "template": "old-root",
                "memory": "1MiB",
                "nics": [
                    {"name": "eth0", "bridge": "br0", "addresses": ["10.0.0.9/24"]},
                    {"name": "eth1", "type": "macvlan", "parent": "br2", "mode": "private"},
                ],
            }
        },
        [],
    )


@pytest.mark.parametrize(
    ("lines", "template"),
    [
        ("lxc.rootfs.path = dir:/r", True),
        ("lxc.rootfs.path = overlay:/a:/b", False),
        ("lxc.id_map = u 0 1 2\nlxc.rootfs.options = idmap=container\nlxc.rootfs.path = /r", True),
    ],
)
def test_a_root_filesystem_that_is_a_directory_is_the_template(lines: str, template: bool) -> None:
    made = imported(lines)
    assert ("templates" in made.geats) == template
    assert ("privileged" in str(made.geats)) == ("map" not in lines.split("\n")[0])


def test_a_root_filesystem_with_ids_of_the_host_is_packed_with_those_of_the_guest() -> None:
    """As lxc-create leaves one that is unprivileged: adopt sends it here."""
    made = imported("lxc.idmap = b 0 100000 65536\nlxc.rootfs.path = dir:/my root\n")
    assert made.problems == ()
    maps = ["-m", "u:0:100000:65536", "-m", "g:0:100000:65536"]
    tar = ["tar", "-C", "/my root", "--numeric-owner", "--xattrs", "--xattrs-include=*"]
    start = ["sh", "-c", 'exec lxc-usernsexec "$@" > "$0"', "{output}"]
    command = [*start, *maps, "--", *tar, "-cf", "-", "."]
    assert made.geats == {
        "templates": {"web-root": {"build": {"command": command}}},
        "vms": {
            "web": {
                "idmap": [{"guest": 0, "host": 100000, "count": 65536}],
                "includes": [],
                "template": "web-root",
            }
        },
    }


def test_ids_with_holes_are_kept_and_an_empty_line_takes_back_what_was_said() -> None:
    made = imported(
        "lxc.idmap = u 0 1 2\nlxc.idmap =\n"
        "lxc.idmap = u 0 100000 1000\nlxc.idmap = g 0 100000 1000\n"
        "lxc.idmap = u 1000 1000 1\n"
    )
    ids = [
        {"guest": 0, "host": 100000, "count": 1000},
        {"guest": 1000, "host": 1000, "count": 1, "ids": "users"},
    ]
    assert made.geats == {"vms": {"web": {"idmap": ids, "includes": []}}}


@pytest.mark.parametrize("value", ["x 0 1 2", "u 0 1", "u 0 1 many", "u 0 1 99999999999"])
def test_ids_that_liblxc_could_not_read_either_are_told(value: str) -> None:
    told = [str(problem) for problem in imported(f"lxc.idmap = {value}").problems]
    assert f"vms.web: lxc.idmap: cannot be read: '{value}'" in told


@pytest.mark.parametrize(
    "line",
    [
        "lxc.idmap = \xa0",
        "lxc.cgroup2.pids.max = \xb2",
        "lxc.cgroup2.cpu.weight = \xb2",
    ],
)
def test_spaces_and_digits_that_are_none_for_liblxc_stop_nothing(line: str) -> None:
    assert imported(f"lxc.net.0.type = veth\nlxc.net.0.link = br0\n{line}").problems


def test_an_address_that_is_a_space_is_none() -> None:
    text = "lxc.net.0.type = veth\nlxc.net.0.link = br0\nlxc.net.0.ipv4.address = \xa0"
    assert all(nic.addresses == () for nic in nics_of(text))
    assert "addresses" not in f"{imported(text).geats}"


def test_a_file_is_bound_as_one_and_an_empty_network_is_no_nic() -> None:
    made = imported(
        "lxc.mount.entry = /etc/localtime etc/localtime none bind,create=file 0 0\n"
        "lxc.net.0.type = empty\nlxc.net.0.flags = up\n"
    )
    bind = {"source": "/etc/localtime", "mount": "/etc/localtime", "read_only": False}
    binds = {"etc-localtime": {**bind, "file": True}}
    assert made.geats == {
        "vms": {"web": {"privileged": True, "includes": [], "binds": binds}},
        "bind_sources": ["/etc/localtime"],
    }
    assert [note.key for note in made.notes] == [
        "lxc.mount.entry",
        "lxc.net.0.type",
        "lxc.net.0.flags",
        "lxc.uts.name",
    ]


@pytest.mark.parametrize(
    ("signal", "init"),
    [
        ("SIGRTMIN+3", "systemd"),
        ("37", "systemd"),
        ("sigpwr", "sysvinit"),
        ("TERM", "openrc"),
        ("18", "runit"),
        ("SIGUSR2", "procd"),
    ],
)
def test_a_halt_signal_says_what_the_init_is(signal: str, init: str) -> None:
    made = imported(f"lxc.signal.halt = {signal}")
    assert made.geats["vms"] == {"web": {"privileged": True, "includes": [], "init": init}}


def test_a_halt_signal_that_no_init_takes_is_left() -> None:
    made = imported("lxc.signal.halt = SIGRTMIN+4")
    assert made.geats["vms"] == {"web": {"privileged": True, "includes": []}}
    assert next((note.key, note.to) for note in made.notes) == ("lxc.signal.halt", None)


@pytest.mark.parametrize("value", ["-1", "max 100000", "", "1 2 3"])
def test_a_quota_that_is_none_is_left_out(value: str) -> None:
    assert imported(f"lxc.cgroup2.cpu.max = {value}").geats == {
        "vms": {"web": {"privileged": True, "includes": []}}
    }


@given(st.lists(st.sampled_from([*NEW.splitlines(), *OLD.splitlines()]) | st.text(max_size=9)))
def test_an_import_of_any_lines_never_raises(lines: list[str]) -> None:
    imported("\n".join(lines))


def test_the_interfaces_of_a_config_are_read_however_they_are_written() -> None:
    text = """
lxc.net.1.type = veth
lxc.net.1.hwaddr = 02:AB:00:00:00:01
lxc.net.1.veth.pair = fw0
lxc.net.1.ipv4.address = 10.0.0.2/24 10.0.0.255
lxc.net.1.ipv4.address = 10.0.0.3
lxc.net.1.ipv6.address = FD00:0::2/64
lxc.net.0.type = veth
lxc.net.2.hwaddr = 02:xx:xx:xx:xx:xx
lxc.net.2.ipv4.address = nonsense
lxc.net.2.ipv4.address =
lxc.net.3.type = phys
lxc.net.3.link = enp1s0
"""
    assert nics_of(text) == (
        ForeignNic(
            mac="02:ab:00:00:00:01", pair="fw0", addresses=("10.0.0.2", "10.0.0.3", "fd00::2")
        ),
        ForeignNic(addresses=("nonsense",)),
        ForeignNic(pair="enp1s0"),
    )
    site = {"/etc/site.conf": (("/etc/site.conf", text.replace("lxc.net.2", "lxc.net.7")),)}
    assert nics_of("lxc.include = /etc/site.conf\n", site)[0] == nics_of(text)[0]
    assert nics_of("lxc.include = /etc/site.conf\n") == ()
    old = "lxc.network.ipv4 = 10.0.0.9/24\nlxc.network.hwaddr = 02:00:00:00:00:09"
    assert nics_of(old) == (ForeignNic(mac="02:00:00:00:00:09", addresses=("10.0.0.9",)),)
