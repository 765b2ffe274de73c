"""The pillar out of containers of Proxmox."""

import pytest

from geats_core.proxmox.proxmox_import import import_proxmox, texts_of_lxc
from tests.core.proxmox.guests import CONTAINER, imported, told, wrong

SMALL = "hostname: www\nmemory: 512\nrootfs: thin:vm-1-disk-0,size=4G\n"
BUILT = "u:0:100000:65536"


def vm(text: str) -> dict[str, object]:
    vms = imported(text).geats["vms"]
    assert isinstance(vms, dict)
    (found,) = vms.values()
    assert isinstance(found, dict)
    return found


def test_a_container_with_all_that_people_have_becomes_a_vm() -> None:
    made = imported(CONTAINER, "101.conf")
    assert made.problems == ()
    assert made.geats["bind_sources"] == ["/mnt/media"]
    assert made.geats["device_sources"] == ["/dev/net/tun", "/dev/dri/renderD128"]
    assert BUILT in str(made.geats["templates"])
    assert "/var/lib/lxc/101/rootfs" in str(made.geats["templates"])
    assert made.geats["vms"] == {
        "www": {
            "devices": {
                "net-tun": {"source": "/dev/net/tun"},
                "dev0": {"source": "/dev/dri/renderD128"},
            },
            "swap": "512MiB",
            "binds": {
                "mp1": {"source": "/mnt/media", "mount": "/media", "read_only": True},
            },
            "memory": "1024MiB",
            "hostname": "www",
            "nesting": True,
            "cpus": 1.5,
            "template": "www-root",
            "volumes": [
                {"name": "root", "size": "8GiB"},
                {"name": "mp0", "mount": "/srv/data", "size": "50GiB"},
            ],
            "dns": {"search": ["example.org"]},
            "nics": [
                {
                    "name": "lan",
                    "mac": "BC:24:11:00:00:03",
                    "bridge": "vmbr0",
                    "addresses": ["10.0.0.7/24"],
                    "gateways": ["10.0.0.1"],
                }
            ],
        }
    }


def test_each_line_of_a_container_is_told_of() -> None:
    made = imported(CONTAINER, "101.conf")
    keys = [note.key for note in made.notes]
    assert len(set(keys)) == len(keys)
    for line in CONTAINER.splitlines():
        key = line.replace(" =", ":").partition(":")[0]
        assert any(each == key or each.startswith(f"{key}.") for each in keys), key
    assert "pct mount 101" in next(n.why for n in made.notes if n.key == "rootfs.volume")
    assert told(made)["net0.ip6"].startswith("the guest asks for one")


def test_a_privileged_one_is_copied_as_it_is() -> None:
    made = imported(SMALL, "1.conf")
    assert made.geats["templates"] == {"www-root": {"path": "/var/lib/lxc/1/rootfs"}}
    assert vm(SMALL)["privileged"] is True
    assert "cpus" not in vm(SMALL)


def test_ids_of_its_own_are_those_of_the_vm() -> None:
    lines = "unprivileged: 1\nlxc.idmap: u 0 300000 65536\nlxc.idmap: g 0 300000 65536\n"
    made = imported(SMALL + lines)
    assert made.problems == ()
    assert vm(SMALL + lines)["idmap"] == [{"guest": 0, "host": 300000, "count": 65536}]
    assert "u:0:300000:65536" in str(made.geats["templates"])


@pytest.mark.parametrize(
    ("line", "known"),
    [
        ("cores: 3", {"cpus": 3}),
        ("cpulimit: 0\ncores: 3", {"cpus": 3}),
        ("cpulimit: x", {}),
        ("cpulimit: 2", {"cpus": 2.0}),
        ("cpuunits: 50", {"cpu_weight": 50}),
        ("swap: 0", {"swap": 0}),
        (
            "dev0: /dev/dri/card0,gid=44\ndev1: path=/dev/fuse,deny-write=1",
            {
                "devices": {
                    "dev0": {"source": "/dev/dri/card0"},
                    "dev1": {"source": "/dev/fuse", "access": "rm"},
                }
            },
        ),
        ("onboot: 0", {"autostart": {"enabled": False}}),
        ("startup: up=5", {"autostart": {"enabled": False, "delay": 5}}),
        ("features: ,", {}),
        ("features: nesting=1,keyctl=1", {"nesting": True}),
        ("features: nesting=0", {}),
        ("net0: bridge=vmbr0,ip=manual", {"nics": [{"name": "eth0", "bridge": "vmbr0"}]}),
        (
            "net0: bridge=vmbr0,tag=7,trunks=8;9,rate=2,mtu=1400,link_down=1",
            {
                "nics": [
                    {
                        "name": "eth0",
                        "bridge": "vmbr0",
                        "mtu": 1400,
                        "vlan": 7,
                        "trunk": [8, 9],
                        "rate": {"in": "2000000B", "out": "2000000B"},
                        "link": "down",
                    }
                ]
            },
        ),
        (
            "lxc.net.9.type: veth\nlxc.net.9.link: br0\nnet0: name=lan,bridge=vmbr0",
            {"nics": [{"name": "eth0", "bridge": "br0"}, {"name": "lan", "bridge": "vmbr0"}]},
        ),
        ("mp0: /srv/a,mp=/a", {"binds": {"mp0": {"source": "/srv/a", "mount": "/a"}}}),
    ],
)
def test_what_a_vm_has_of_other_lines(line: str, known: dict[str, object]) -> None:
    text = f"{SMALL}{line}\n"
    assert wrong(text) == []
    assert {key: vm(text)[key] for key in known} == known
    assert vm(text).keys() == vm(SMALL).keys() | known.keys()


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("mp0: /dev/sdb1,mp=/a", "mp0.volume: is a device of the host"),
        ("net0: name=eth0,bridge=vmbr0,type=phys", "net0.type: Proxmox has NICs on bridges only"),
        ("net0: name=eth0,bridge=vmbr0,trunks=1;x", "net0.trunks: must be of numbers from 1"),
        ("net0: name=eth0,bridge=vmbr0,tag=5000", "net0.tag: must be of numbers from 1 to 4094"),
        ("net0: name=eth0", "net0.bridge: is missing"),
        ("net0: name=eth0,bridge=vmbr0,ip=x/y", ""),
    ],
)
def test_without_it_the_guest_would_be_another_one(line: str, problem: str) -> None:
    found = wrong(f"{SMALL}{line}\n")
    assert [each[: len(problem) + 9] for each in found][:1] == (
        [f"vms.www: {problem}"] if problem else []
    )


def test_lines_of_lxc_are_given_to_whoever_looks_at_the_host() -> None:
    guests = {"a": ("1", CONTAINER), "b": ("2", SMALL), "c": ("3", "no guest")}
    (text,) = texts_of_lxc(guests)
    assert text.startswith("lxc.cgroup2.devices.allow = c 10:200 rwm\nlxc.mount.entry = /dev")
    assert import_proxmox({"b": ("2", SMALL)}).problems == ()


def test_a_container_without_a_name_or_a_size_has_its_number() -> None:
    made = imported("rootfs: thin:vm-7-disk-0\nmp0: thin:a,mp=/a\n", "7.conf")
    assert made.problems == ()
    assert made.geats["vms"] == {
        "vm-7": {
            "privileged": True,
            "memory": "512MiB",
            "template": "vm-7-root",
            "volumes": [{"name": "root"}, {"name": "mp0", "mount": "/a"}],
        }
    }


def test_a_description_is_left_out_once() -> None:
    made = imported(f"# a\n{SMALL}description: canary\n")
    assert [note.key for note in made.notes].count("description") == 1
    assert "canary" not in str(made)
