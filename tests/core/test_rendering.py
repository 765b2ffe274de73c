"""What is written to the host and into the guest: as text, to the letter."""

import shlex

import pytest
from returns.result import Failure

from geats_core import (
    LxcFacts,
    Problem,
    VMSpec,
    parse_vm,
    render_lxc_config,
)
from geats_core.guest import fingerprint, guest_files
from geats_core.lxc_config import cgroup_items, live_items, spec_line, spec_of_lxc_config, veth_name
from geats_core.spec import Limits

RAW: dict[object, object] = {
    "template": "debian",
    "memory": "1GiB",
    "cpus": 1.5,
    "processes": 100,
    "volumes": [
        {"name": "root"},
        {"name": "data", "mount": "/srv/data"},
        {"name": "docs", "mount": "/srv/docs", "read_only": True},
    ],
    "nics": [
        {"name": "eth0", "bridge": "br0", "mac": "02:00:00:00:00:01", "addresses": ["fd00::2/64"]},
        {
            "name": "eth1",
            "bridge": "br1",
            "mac": "02:00:00:00:00:02",
            "addresses": ["fd00:1::2/64", "10.0.0.2/24", "10.0.0.3/24"],
            "gateways": ["fd00:1::1", "10.0.0.1"],
        },
    ],
}
FACTS = LxcFacts(volume_paths={"root": "/p/web/root", "data": "/p/a b", "docs": "/p/d\\\t"})


def web(**changed: object) -> VMSpec:
    return parse_vm("web", RAW | changed).unwrap()


def test_an_lxc_config_says_all_of_a_spec() -> None:
    spec = web()

    assert render_lxc_config(spec, FACTS) == (
        "# Written by geats; changes made by hand are replaced at the next apply.\n"
        f"{spec_line(spec)}\n"
        "lxc.include = /usr/share/lxc/config/common.conf\n"
        "lxc.include = /usr/share/lxc/config/userns.conf\n"
        "lxc.idmap = u 0 100000 65536\n"
        "lxc.idmap = g 0 100000 65536\n"
        "lxc.uts.name = web\n"
        "lxc.signal.halt = SIGRTMIN+3\n"
        "lxc.apparmor.profile = unconfined\n"
        "lxc.rootfs.path = dir:/p/web/root\n"
        "lxc.rootfs.options = idmap=container\n"
        "lxc.mount.entry = /p/a\\040b srv/data none bind,rw,create=dir,idmap=container 0 0\n"
        "lxc.mount.entry = /p/d\\134\\011 srv/docs none bind,ro,create=dir,idmap=container 0 0\n"
        "lxc.net.0.type = veth\n"
        "lxc.net.0.link = br0\n"
        "lxc.net.0.flags = up\n"
        "lxc.net.0.name = eth0\n"
        "lxc.net.0.hwaddr = 02:00:00:00:00:01\n"
        f"lxc.net.0.veth.pair = {veth_name('web', 0)}\n"
        "lxc.net.0.ipv6.address = fd00::2/64\n"
        "lxc.net.1.type = veth\n"
        "lxc.net.1.link = br1\n"
        "lxc.net.1.flags = up\n"
        "lxc.net.1.name = eth1\n"
        "lxc.net.1.hwaddr = 02:00:00:00:00:02\n"
        f"lxc.net.1.veth.pair = {veth_name('web', 1)}\n"
        "lxc.net.1.ipv6.address = fd00:1::2/64\n"
        "lxc.net.1.ipv4.address = 10.0.0.2/24\n"
        "lxc.net.1.ipv4.address = 10.0.0.3/24\n"
        "lxc.net.1.ipv6.gateway = fd00:1::1\n"
        "lxc.net.1.ipv4.gateway = 10.0.0.1\n"
        "lxc.cgroup.memory.limit_in_bytes = 1073741824\n"
        "lxc.cgroup2.memory.max = 1073741824\n"
        "lxc.cgroup.cpu.cfs_quota_us = 150000\n"
        "lxc.cgroup2.cpu.max = 150000 100000\n"
        "lxc.cgroup.pids.max = 100\n"
        "lxc.cgroup2.pids.max = 100\n"
    )


def test_a_privileged_container_has_no_id_map() -> None:
    spec = web(privileged=True, init="busybox", nics=[], memory=None, cpus=None, processes=None)
    facts = LxcFacts(volume_paths=FACTS.volume_paths, apparmor=True)

    assert render_lxc_config(spec, facts).splitlines()[2:] == [
        "lxc.include = /usr/share/lxc/config/common.conf",
        "lxc.uts.name = web",
        "lxc.signal.halt = SIGUSR1",
        "lxc.apparmor.profile = generated",
        "lxc.rootfs.path = dir:/p/web/root",
        "lxc.mount.entry = /p/a\\040b srv/data none bind,rw,create=dir 0 0",
        "lxc.mount.entry = /p/d\\134\\011 srv/docs none bind,ro,create=dir 0 0",
    ]


@pytest.mark.parametrize(
    "text", ["", "lxc.uts.name = x\n", "# geats-spec: web {", "# geats-spec: "]
)
def test_a_config_by_another_hand_is_no_spec(text: str) -> None:
    problem = Problem("config", "was not written by geats")

    assert spec_of_lxc_config(text) == Failure((problem,))


def test_a_deeply_nested_spec_line_is_no_spec() -> None:
    assert isinstance(spec_of_lxc_config("# geats-spec: web " + "[" * 100_000), Failure)


def test_limits_lifted_while_it_runs_are_written_as_unlimited() -> None:
    assert live_items(Limits(), cgroup2=True) == (
        ("memory.max", "max"),
        ("cpu.max", "max 100000"),
        ("pids.max", "max"),
    )
    assert live_items(Limits(memory_bytes=1), cgroup2=False) == (
        ("memory.limit_in_bytes", "1"),
        ("cpu.cfs_quota_us", "-1"),
        ("pids.max", "max"),
    )
    assert cgroup_items(Limits()) == ()


def test_the_hosts_end_of_a_nic_is_short_and_its_own() -> None:
    names = {veth_name(vm, index) for vm in ("web", "db", "x" * 63) for index in (0, 10)}

    assert len(names) == 6
    assert max(map(len, names)) <= 15


HOSTILE = {"A": "$(reboot)", "B": "'; rm -rf / #", "C": 'a "b" \\', "D": "", "NAME": "other"}


def test_guest_files_are_quoted_for_the_shell() -> None:
    files = guest_files(web(metadata=HOSTILE, dns={"nameservers": ["10.0.0.1"], "search": ["lan"]}))

    assert shlex.split(files["etc/firstboot.config"], comments=True) == [
        "NAME=web",
        "IPADDRESS=10.0.0.2",
        "NETMASK=255.255.255.0",
        "GATEWAY=10.0.0.1",
        "A=$(reboot)",
        "B='; rm -rf / #",
        'C=a "b" \\',
        "D=",
    ]
    assert {path: text for path, text in files.items() if "firstboot" not in path} == {
        "etc/hostname": "web\n",
        "etc/resolv.conf": "# written by geats\nnameserver 10.0.0.1\nsearch lan\n",
    }


def test_a_guest_without_network_or_dns_gets_its_name_alone() -> None:
    assert guest_files(web(nics=[])) == {
        "etc/hostname": "web\n",
        "etc/firstboot.config": "# written by geats\nNAME=web\n",
    }
    alone = web(nics=[{"name": "eth0", "bridge": "br0", "addresses": ["10.0.0.2/24"]}])
    assert "GATEWAY" not in guest_files(alone)["etc/firstboot.config"]
    only = guest_files(web(dns={"nameservers": ["fd00::1"]}))
    assert only["etc/resolv.conf"] == "# written by geats\nnameserver fd00::1\n"


def test_a_fingerprint_names_the_guests_files() -> None:
    assert fingerprint(web()) == fingerprint(web(memory="2GiB"))
    assert fingerprint(web()) != fingerprint(web(hostname="other"))
