"""Situations of old containers: what goes to the VM, what stays as it is, and what is told."""

import pytest

from geats_core.foreign.lxc_container import Container, container
from geats_core.foreign.lxc_import import import_lxc
from geats_core.foreign.lxc_lines import OnHost
from geats_core.foreign.lxc_nics import nics_of
from geats_core.foreign.notes import Taken
from geats_core.vm.lxc_config import COMMON, USERNS

FILE = "/lxc/old/config"
ROOT = "lxc.rootfs.path = dir:/lxc/old/rootfs\n"
NESTING = "/usr/share/lxc/config/nesting.conf"
USUAL = f"lxc.include = {COMMON}\n{ROOT}"
UNNAMED = "lxc.uts.name: is missing: its hostname is old, as its config says none"
HOST = OnHost(
    includes={
        COMMON: ((COMMON, "lxc.tty.max = 4\nlxc.mount.auto = proc:mixed sys:mixed\n"),),
        USERNS: ((USERNS, "lxc.cap.drop =\n"),),
        NESTING: (
            (
                NESTING,
                "lxc.apparmor.profile = nesting\n"
                "lxc.mount.entry = proc dev/.lxc/proc proc create=dir,optional 0 0\n",
            ),
        ),
        "/etc/lxc/debian.conf": (("/etc/lxc/debian.conf", f"lxc.include = {COMMON}\n"),),
        "/etc/lxc/site.conf": (
            (
                "/etc/lxc/site.conf",
                "lxc.cgroup2.memory.max = 128M\nlxc.signal.halt = SIGUSR1\n"
                "lxc.net.0.type = veth\nlxc.net.0.link = br0\nlxc.net.0.flags = up\n"
                "lxc.net.0.mtu = 1400\nlxc.cgroup2.cpu.max = 1 2 3\n"
                "lxc.rootfs.options = discard\nlxc.environment = SITE=1\nlxc.start.group = a\n",
            ),
        ),
    },
    kinds={"/srv": True, "/srv/a": True, "/etc/hosts": False, "/dev/dri": True},
)


def adopted(text: str, host: OnHost = HOST) -> Container:
    """What stays in place, without what is so of every case here."""
    return container(Taken(FILE), "old", text, host, in_place=True)


def kept(text: str) -> list[str]:
    return [line for line in adopted(text).keep if line != "lxc.apparmor.profile ="]


def new(text: str) -> tuple[object, list[str]]:
    """The VM that an import makes, and the notes of what is left out, and why."""
    made = import_lxc({FILE: ("old", text)}, HOST)
    vms = made.geats["vms"]
    assert isinstance(vms, dict)
    vm = {key: value for key, value in vms["old"].items() if key not in ("privileged", "template")}
    return vm, [f"{note.key}: {note.why}" for note in made.notes if note.to is None and note.why]


def mounted(*entries: str) -> tuple[object, list[str]]:
    """The binds, and the lines that stay, of a container with these mounts."""
    text = "".join(f"lxc.mount.entry = {entry}\n" for entry in entries)
    made = adopted(USUAL + text)
    stays = [line.removeprefix("lxc.mount.entry = ") for line in kept(USUAL + text)]
    binds = made.vm.get("binds", {})
    assert isinstance(binds, dict)
    return {name: [*bind.values()] for name, bind in binds.items()}, stays


@pytest.mark.parametrize(
    ("lines", "nesting"),
    [
        ("lxc.apparmor.profile = generated\nlxc.idmap = u 0 100000 65536\n", ["0"]),
        ("lxc.apparmor.profile = generated\n", []),
        ("lxc.idmap = u 0 100000 65536\n", []),
        (
            "lxc.apparmor.profile = generated\nlxc.apparmor.allow_nesting = 1\n"
            "lxc.idmap = u 0 100000 65536\n",
            ["1"],
        ),
    ],
)
def test_what_was_confined_so_that_its_services_cannot_mount_stays_so(
    lines: str, nesting: list[str]
) -> None:
    key = "lxc.apparmor.allow_nesting = "
    stays = [line.removeprefix(key) for line in adopted(USUAL + lines).keep if key in line]
    assert stays == nesting


def test_an_include_that_geats_has_anyway_is_no_key_whatever_its_name() -> None:
    assert "includes" not in adopted(USUAL).vm
    assert "includes" not in adopted(f"lxc.include = /etc/lxc/debian.conf\n{ROOT}").vm
    unprivileged = f"lxc.include = {USERNS}\nlxc.idmap = u 0 100000 65536\n"
    assert "includes" not in adopted(USUAL + unprivileged).vm
    assert adopted(USUAL + "lxc.idmap = u 0 100000 65536\n").vm["includes"] == [COMMON]


def test_other_includes_and_none_at_all_are_what_the_vm_includes() -> None:
    assert adopted(f"{USUAL}lxc.include = {NESTING}\n").vm["includes"] == [COMMON, NESTING]
    assert adopted(ROOT).vm["includes"] == []
    assert new(f"{USUAL}lxc.include = {NESTING}\n") == ({"includes": [COMMON, NESTING]}, [UNNAMED])


def test_what_an_include_says_and_geats_writes_is_said_by_the_vm() -> None:
    """All else stays with the include; but what geats writes in its place is repeated."""
    text = f"{USUAL}lxc.include = /etc/lxc/site.conf\n"
    made = adopted(text)
    assert made.vm == {
        "privileged": True,
        "includes": [COMMON, "/etc/lxc/site.conf"],
        "memory": "128M",
        "init": "busybox",
        "nics": [{"name": "eth0", "bridge": "br0", "mtu": 1400}],
    }
    assert made.keep == (
        "lxc.cgroup2.cpu.max = 1 2 3",
        "lxc.rootfs.options = discard",
        "lxc.apparmor.profile =",
    )
    made_new = import_lxc({FILE: ("old", text)}, HOST)
    assert "from the include /etc/lxc/site.conf" in [note.why for note in made_new.notes]


def test_what_geats_writes_though_no_key_says_it_stays_as_it_was() -> None:
    profile = "lxc.apparmor.profile ="
    assert adopted(USUAL).keep == (profile,)
    assert adopted(f"{USUAL}lxc.apparmor.profile = generated\n").keep == (f"{profile} generated",)
    assert adopted(f"{USUAL}lxc.apparmor.profile = a\n").vm["apparmor"] == "a"
    nesting = f"lxc.include = {NESTING}\n"
    assert adopted(USUAL + nesting).keep == (f"{profile} nesting",)
    both = f"{USUAL}lxc.apparmor.profile = a\n{nesting}"
    assert adopted(both).keep == (f"{profile} nesting",)
    veth = "lxc.net.0.type = veth\nlxc.net.0.link = br0\n"
    assert kept(USUAL + veth) == ["lxc.net.0.flags ="]
    assert kept(f"{USUAL}{veth}lxc.net.0.flags =\n") == ["lxc.net.0.flags ="]
    assert kept(f"{USUAL}{veth}lxc.net.0.flags = up\n") == []


def test_a_bind_is_what_it_was() -> None:
    assert mounted(
        "/srv srv none bind,create=dir 0 0",
        "/srv mnt/a.b none rbind,optional,create=dir",
        "/srv mnt/a-b/ none bind,defaults 0 0",
        "/srv/gone /lxc/old/rootfs/gone none bind,create=dir",
    ) == (
        {
            "srv": ["/srv", "/srv", False],
            "mnt-a-b": ["/srv", "/mnt/a.b", False, True, True],
            "mnt-a-b-2": ["/srv", "/mnt/a-b", False],
            "gone": ["/srv/gone", "/gone", False],
        },
        [],
    )


@pytest.mark.parametrize(
    "entry",
    [
        "tmpfs run tmpfs rw,nodev,relatime,mode=755 0 0",
        "/srv srv none rshared,rbind,create=dir 0 0",  # its options have no key
        "/srv srv none rslave,bind,create=dir 0 0",
        "/srv srv none rbind,ro 0 0",  # what is below stays writable, as liblxc does it
        "/srv/new srv none bind 0 0",  # of what, nobody knows
        "/srv srv none bind,optional 0 0",  # not there if the target is not
        "/srv srv none bind,create=file 0 0",
        "/etc/hosts etc/hosts none bind,ro 0 0",  # files and devices take no leave where they are
        "/etc/hosts etc/hosts none bind,ro,create=file 0 0",
        "/dev/dri dev/dri none bind,optional,create=dir",
        "/dev/net/tun dev/net/tun none bind,create=file",
        "/srv srv/my\\040data none bind,create=dir 0 0",
        "srv srv none bind,create=dir 0 0",
        "proc proc proc nodev 0 0",
    ],
)
def test_what_no_bind_is_like_stays_as_it_is(entry: str) -> None:
    assert mounted(entry) == ({}, [entry])


def test_a_target_with_the_path_of_the_root_stays_where_it_is_once_the_root_moves() -> None:
    assert mounted("tmpfs /lxc/old/rootfs/srv/a\\040b tmpfs rw 0 0") == (
        {},
        ["tmpfs srv/a\\040b tmpfs rw 0 0"],
    )


def test_what_liblxc_mounts_nothing_for_goes() -> None:
    assert mounted("/srv /elsewhere none bind 0 0", "# a b", "x") == ({}, [])
    assert mounted("/srv /elsewhere none bind", "/srv srv none bind") == (
        {"srv": ["/srv", "/srv", False]},
        [],
    )
    text = f"{USUAL}lxc.mount.entry = /srv srv none bind 0 0\nlxc.mount.entry =\n"
    assert (adopted(text).vm.get("binds"), kept(text)) == (None, [])


def test_mounts_within_each_other_stay_in_their_order() -> None:
    entries = ("tmpfs srv tmpfs rw 0 0", "/srv/a srv/a none bind,create=dir 0 0")
    assert mounted(*entries) == ({}, [*entries])
    twice = ("/srv srv none bind 0 0", "/srv/a srv none bind 0 0")
    assert mounted(*twice) == ({}, [*twice])


def test_what_is_read_only_in_one_place_and_not_in_another_stays() -> None:
    entries = ("/srv a none bind,create=dir", "/srv/a b none bind,ro,create=dir")
    assert mounted(*entries) == ({}, [*entries])
    assert len(mounted(entries[0], "/srv2 b none bind,ro,create=dir")[0]) == 2  # type: ignore[arg-type]


@pytest.mark.parametrize("key", ["lxc.cgroup", "lxc.cgroup2", "lxc.mount.entry"])
def test_what_would_unset_what_geats_writes_is_told(key: str) -> None:
    text = f"{USUAL}lxc.include = {NESTING}\n{key} =\n"
    assert [each for each, _ in adopted(text).wrong] == [key]
    assert [
        str(each).split(":")[1].strip() for each in import_lxc({"f": ("a", text)}, HOST).problems
    ]


NETWORK = """\
lxc.net.0.type = veth
lxc.net.0.link = br0
lxc.net.0.flags = up
"""


@pytest.mark.parametrize(
    ("line", "nic", "stays"),
    [
        ("hwaddr = 00:16:3E:aa:bb:cc", {"mac": "00:16:3e:aa:bb:cc"}, False),
        ("ipv4.address = 192.168.188.11", {"addresses": ["192.168.188.11/8"]}, False),
        ("ipv4.address = 10.0.0.130", {"addresses": ["10.0.0.130/16"]}, False),
        ("ipv4.address = 10.0.0.200", {"addresses": ["10.0.0.200/24"]}, False),
        ("ipv4.address = 10.0.0.230", {"addresses": ["10.0.0.230/0"]}, False),
        ("ipv4.address = 10.0.0.2/24 10.0.0.255", {"addresses": ["10.0.0.2/24"]}, False),
        ("ipv4.address = bananas", {"addresses": ["bananas"]}, False),
        ("ipv6.address = fd00:88::5", {"addresses": ["fd00:88::5/64"]}, False),
        ("ipv4.address = 0.0.0.0", {}, False),
        ("ipv4.gateway = auto", {}, True),
        ("ipv6.gateway = dev", {}, True),
        ("veth.pair = pbfwweb", {"host_name": "pbfwweb"}, False),
        ("veth.vlan.id = 30", {"vlan": 30}, False),
        ("mtu = 1400", {"mtu": 1400}, False),
        ("mtu = big", {}, True),
        ("veth.pair = a/b", {}, True),
        ("veth.vlan.id = none", {}, True),
        ("veth.vlan.tagged.id = 31", {"trunk": [31]}, False),
        ("veth.mode = bridge", {}, False),
        ("script.up = /x", {}, True),
    ],
)
def test_a_line_of_an_interface_is_in_the_nic_or_stays(
    line: str, nic: dict[str, object], stays: bool
) -> None:
    text = f"{USUAL}{NETWORK}lxc.net.0.{line}\n"
    assert adopted(text).vm["nics"] == [{"name": "eth0", "bridge": "br0", **nic}]
    assert kept(text) == ([f"lxc.net.0.{line}"] if stays else [])


def test_digits_that_liblxc_draws_are_the_same_from_now_on() -> None:
    text = f"{USUAL}{NETWORK}lxc.net.0.hwaddr = xx:16:3e:xx:xX:01\n"
    first, again = adopted(text).vm["nics"], adopted(text).vm["nics"]
    assert first == again
    assert isinstance(first, list)
    mac = first[0]["mac"]
    assert (mac[1], mac[2:9], mac[14:], "x" in mac) == ("2", ":16:3e:", ":01", False)


def test_what_is_unset_is_not_there() -> None:
    lines = f"{NETWORK}lxc.net.0.ipv4.address = 10.0.0.2/24\nlxc.uts.name = a\n"
    assert adopted(f"{USUAL}{lines}lxc.net =\nlxc.uts.name =\n").vm == {"privileged": True}
    assert adopted(f"{USUAL}{lines}lxc.net.0 =\n").vm == {"privileged": True, "hostname": "a"}
    assert adopted(
        f"{USUAL}{NETWORK}lxc.net.0.ipv4.address = 10.0.0.2/24\nlxc.net.0.ipv4.address =\n"
    ).vm["nics"] == [{"name": "eth0", "bridge": "br0"}]
    unset = "lxc.idmap = u 0 1 2\nlxc.idmap =\nlxc.cap.drop =\nlxc.cap.drop = sys_time\n"
    assert adopted(USUAL + unset).vm == {
        "privileged": True,
        "capabilities": {"drop": ["sys_time"]},
    }
    assert kept(USUAL + unset) == []


def test_an_interface_that_is_no_nic_of_geats_is_wrong_and_never_another_network() -> None:
    text = f"{USUAL}{NETWORK}lxc.net.1.type = tap\nlxc.net.1.link = br1\nlxc.net.2.type = none\n"
    made = import_lxc({FILE: ("old", text)}, HOST)
    assert made.geats["vms"]["old"]["nics"] == [  # type: ignore[index]
        {"name": "eth0", "bridge": "br0"},
        {"name": "eth1"},
        {"name": "eth2"},
    ]
    assert [str(each) for each in made.problems[:2]] == [
        "vms.old: lxc.net.1.type: geats has no NIC of the type 'tap'",
        "vms.old: lxc.net.2.type: the guest is to have the network of the host, beside NICs: take"
        " one of the two out",
    ]


def test_the_network_of_the_host_is_a_key() -> None:
    shared = "lxc.net.3.type = none\nlxc.net.3.link = br1\n"
    assert adopted(USUAL + shared).vm == {"privileged": True, "host_network": True}
    assert kept(USUAL + shared) == []
    made = import_lxc({FILE: ("old", USUAL + shared)}, HOST)
    assert made.geats["policy"] == {"host_network": True}
    to = {note.key: (note.to, note.why) for note in made.notes}
    assert to["lxc.net.3.type"] == ("vms.old.host_network", "")


OF_VLAN = "lxc.net.0.type = vlan\nlxc.net.0.link = br1\nlxc.net.0.vlan.id = 100\n"
ROUTED = "lxc.net.0.type = veth\nlxc.net.0.veth.mode = router\n"
PROXY = "lxc.net.0.link = e0\nlxc.net.0.l2proxy = 1\n"
MACVLAN = "lxc.net.0.type = macvlan\nlxc.net.0.link = br1\n"


@pytest.mark.parametrize(
    ("text", "nic", "stays"),
    [
        (OF_VLAN, {"type": "vlan", "parent": "br1", "vlan": 100}, []),
        (ROUTED, {"type": "routed"}, []),
        (f"{ROUTED}{PROXY}", {"type": "routed", "parent": "e0"}, []),
        (f"{ROUTED}lxc.net.0.link = e0\n", {"type": "routed"}, []),
        (f"{ROUTED}lxc.net.0.l2proxy = 0\n", {"type": "routed"}, []),
        (MACVLAN, {"type": "macvlan", "parent": "br1", "mode": "private"}, []),
        (
            f"{MACVLAN}lxc.net.0.macvlan.mode = vepa\nlxc.net.0.ipvlan.mode = l2\n"
            "lxc.net.0.l2proxy = 1\n",
            {"type": "macvlan", "parent": "br1", "mode": "vepa"},
            ["lxc.net.0.ipvlan.mode = l2", "lxc.net.0.l2proxy = 1"],
        ),
        (
            "lxc.net.0.type = ipvlan\nlxc.net.0.link = e0\nlxc.net.0.hwaddr = 02:00:00:00:00:01\n",
            {"type": "ipvlan", "parent": "e0", "mode": "l3"},
            ["lxc.net.0.hwaddr = 02:00:00:00:00:01"],
        ),
        (
            "lxc.net.0.type = phys\nlxc.net.0.link = e0\nlxc.net.0.mtu =\nlxc.net.0.link =\n",
            {"type": "physical"},
            [],
        ),
        (
            "lxc.net.0.type = veth\nlxc.net.0.l2proxy = 1\n",
            {"type": "veth"},
            ["lxc.net.0.l2proxy = 1"],
        ),
    ],
)
def test_each_kind_of_interface_is_a_type_of_nic(
    text: str, nic: dict[str, object], stays: list[str]
) -> None:
    text = f"{USUAL}{text}lxc.net.0.flags = up\n"
    assert adopted(text).vm["nics"] == [{"name": "eth0", **nic}]
    assert kept(text) == stays


def test_a_new_vm_binds_files_and_devices_and_is_told_what_has_no_key() -> None:
    made = new(
        USUAL
        + "lxc.mount.entry = /dev/net/tun dev/net/tun none bind,create=file\n"
        + "lxc.mount.entry = /etc/hosts etc/hosts none bind,ro 0 0\n"
        + "lxc.mount.entry = proc proc proc nodev 0 0\n"
        + "lxc.mount.entry = /dev/fuse dev/fuse none bind,optional 0 0\n"
        + "lxc.mount.entry = /dev/dri dev/gpu none rbind,create=dir 0 0\n"
        + "lxc.mount.entry = /dev/net dev/net none bind,ro,create=dir 0 0\n"
        + "lxc.mount.entry = /dev/net dev/net devtmpfs rw 0 0\n"
        + "lxc.cgroup2.devices.allow = c 10:200 rwm\nlxc.cgroup.devices.allow = c 226:* rwm\n"
        + "lxc.cgroup2.devices.allow = c 195:* rwm\nlxc.cgroup2.devices.allow = a\n"
        + "lxc.autodev = 1\nlxc.arch = amd64\n"
        + "lxc.kmsg = 0\nlxc.rootfs.options = idmap=container\nlxc.start.order = x\n"
    )
    by_hand = "has no key: add it to the new VM's config by hand, where it stays"
    assert made == (
        {
            "devices": {
                "net-tun": {"source": "/dev/net/tun"},
                "fuse": {"source": "/dev/fuse", "optional": True},
                "dri": {"source": "/dev/dri", "mount": "/dev/gpu"},
            },
            "binds": {
                "etc-hosts": {
                    "source": "/etc/hosts",
                    "mount": "/etc/hosts",
                    "read_only": True,
                    "file": True,
                },
            },
        },
        [
            "lxc.include: geats includes it by itself",
            "lxc.mount.entry: LXC mounts it by itself",
            f"lxc.mount.entry: {by_hand}",
            f"lxc.mount.entry: {by_hand}",
            f"lxc.cgroup2.devices.allow: {by_hand}",
            f"lxc.cgroup2.devices.allow: {by_hand}",
            "lxc.autodev: geats writes what is needed",
            "lxc.arch: geats writes what is needed",
            "lxc.kmsg: has no effect since LXC 3",
            "lxc.rootfs.options: geats writes what is needed",
            f"lxc.start.order: {by_hand}",
            UNNAMED,
        ],
    )


@pytest.mark.parametrize(
    ("root", "why"),
    [
        ("loop:/a.img", "it is an image in a file (loop:)"),
        ("zfs:lxc/a", "it is a dataset of ZFS (zfs:)"),
        ("nonsense", "geats knows no root filesystem 'nonsense'"),
    ],
)
def test_a_root_that_is_no_directory_is_said_to_be_what_it_is(root: str, why: str) -> None:
    _, notes = new(f"lxc.include = {COMMON}\nlxc.rootfs.path = {root}\n")
    assert f"lxc.rootfs.path: {why}: copy its files into a directory, and give that" in notes


def test_files_with_ids_of_a_guest_are_packed_with_those_that_it_sees() -> None:
    shifted = "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n"
    made = import_lxc({"f": ("a", f"{USUAL}lxc.include = {USERNS}\n{shifted}")}, HOST)
    assert [(note.to, note.why) for note in made.notes if note.key == "lxc.rootfs.path"] == [
        ("templates.a-root.build", "its files have ids of the host: a copy has the guest's")
    ]


def test_a_subvolume_is_a_directory() -> None:
    assert adopted("lxc.rootfs.path = btrfs:/lxc/old/rootfs\n").root == "/lxc/old/rootfs"


def test_an_include_that_is_not_there_is_noted() -> None:
    made = import_lxc({"f": ("a", "lxc.include = /gone\n")}, HOST)
    whys = {note.key: note.why for note in made.notes}
    assert whys["lxc.include"] == "what it sets is not known: /gone: not found"


def test_several_files_are_several_vms_and_what_is_no_config_is_none() -> None:
    proxmox = "arch: amd64\nrootfs: local:101/disk\nlxc.apparmor.profile: a=b\n"
    made = import_lxc(
        {
            "/a/web/config": ("web", USUAL),
            "/b/web/config": ("web", USUAL),
            "/etc/pve/lxc/101.conf": ("101", proxmox),
            "notes.txt": ("notes", "hello\n"),
        },
        HOST,
    )
    assert sorted(made.geats["vms"]) == ["web", "web-2"]  # type: ignore[call-overload]
    assert sorted(made.geats["templates"]) == ["web-2-root", "web-root"]  # type: ignore[call-overload]
    assert [str(each) for each in made.problems] == [
        "/etc/pve/lxc/101.conf: is no config of LXC: it is one of Proxmox: import-proxmox reads it",
        "notes.txt: is no config of LXC: it has no line with a key that begins with lxc.",
    ]
    assert "another file has it as well: this is vms.web-2" in [note.why for note in made.notes]


LATE = "/etc/lxc/late.conf"


@pytest.mark.parametrize(
    ("before", "late", "stays"),
    [
        ("lxc.tty.max = 2", "lxc.tty.max = 3", ""),
        ("lxc.pty.max = 2", "lxc.tty.max = 3", "lxc.pty.max = 2"),
        ("lxc.hook.start = /a", "lxc.hook.start = /b", "lxc.hook.start = /a"),
        ("lxc.cap.drop = sys_time", "lxc.cap.drop =", ""),
        ("lxc.cap.drop =", "lxc.tty.max = 3", "lxc.cap.drop ="),
        ("lxc.cap.drop =", "lxc.cap.drop = sys_boot", ""),
        ("lxc.environment = A=1", "lxc.environment = A=2", ""),
        ("lxc.environment = A=1", "lxc.environment = B=2", "lxc.environment = A=1"),
        ("lxc.mount.auto = shmounts: sys:rw", "lxc.mount.auto = sys", "lxc.mount.auto = shmounts:"),
        ("lxc.mount.auto = sys:rw", "lxc.mount.auto = sys:ro", ""),
        ("lxc.cgroup2.devices.allow = c 1:1 r", "lxc.cgroup2.devices.deny = a", ""),
        (
            "lxc.cgroup2.devices.allow = c 1:1 r",
            "lxc.cgroup2.devices.deny = c 2:2 r",
            "lxc.cgroup2.devices.allow = c 1:1 r",
        ),
    ],
)
def test_a_line_before_an_include_stays_as_far_as_it_is_in_effect(
    before: str, late: str, stays: str
) -> None:
    host = OnHost(includes={LATE: ((LATE, late),)})
    made = adopted(f"{ROOT}{before}\nlxc.include = {LATE}\n", host)
    assert [line for line in made.keep if line != "lxc.apparmor.profile ="] == [stays] * bool(stays)
    assert made.wrong == ()


def test_a_veth_on_a_bridge_without_a_vlan_is_a_nic() -> None:
    assert [
        nic.mac for nic in nics_of(f"{USUAL}{NETWORK}lxc.net.0.hwaddr = 02:0a:00:00:00:01")
    ] == ["02:0a:00:00:00:01"]
    assert import_lxc({FILE: ("old", USUAL + NETWORK)}, HOST).problems == ()


def test_what_no_order_brings_about_is_told() -> None:
    files = {"/a": "lxc.cap.drop = sys_time", "/b": "lxc.cap.drop = sys_boot"}
    srv = "lxc.mount.entry = /x srv/a none bind"
    host = OnHost(includes={name: ((name, text),) for name, text in {**files, "/c": srv}.items()})
    made = adopted(f"{ROOT}lxc.include = /a\nlxc.cap.drop =\nlxc.include = /b\n", host)
    assert made.wrong == (
        (
            "lxc.cap.drop",
            "stands between what is included, and unsets only a part of it: include it in another"
            " way",
        ),
    )
    made = adopted(f"{ROOT}lxc.mount.entry = tmpfs srv tmpfs rw\nlxc.include = /c\n", host)
    assert made.wrong == (("lxc.mount.entry", "/srv is mounted before what is included there"),)


def test_of_several_lines_for_one_value_the_last_one_counts() -> None:
    halt = "lxc.signal.halt = SIGINT\n", "lxc.signal.halt = SIGUSR1\n"
    assert (adopted(USUAL + "".join(halt)).vm["init"], kept(USUAL + "".join(halt))) == (
        "busybox",
        [],
    )
    back = USUAL + "".join(halt[::-1])
    assert ("init" in adopted(back).vm, kept(back)) == (False, ["lxc.signal.halt = SIGINT"])
    gateways = "lxc.net.0.ipv4.gateway = auto\n", "lxc.net.0.ipv4.gateway = 10.0.0.1\n"
    text = f"{USUAL}{NETWORK}lxc.net.0.ipv6.gateway = fd00::1\n"
    nics = adopted(text + "".join(gateways)).vm["nics"]
    assert isinstance(nics, list)
    assert (nics[0]["gateways"], kept(text + "".join(gateways))) == (["fd00::1", "10.0.0.1"], [])
    assert kept(text + "".join(gateways[::-1])) == ["lxc.net.0.ipv4.gateway = auto"]


def test_interfaces_are_those_that_are_left_in_the_order_of_their_numbers() -> None:
    """As liblxc makes them: what a line is kept for is the interface at its place."""
    text = (
        "lxc.net.0.type = veth\nlxc.net.0.mtu = 9000\nlxc.net.3.type = veth\nlxc.net =\n"
        "lxc.net.7.type = veth\nlxc.net.7.link = br7\nlxc.net.7.script.up = /x\n"
        "lxc.net.7.flags = up\n"
        "lxc.net.5.link = gone\nlxc.net.5.type = veth\nlxc.net.5.link = br5\nlxc.net.5.name = lan\n"
        "lxc.net.5.name =\nlxc.net.2.type = veth\nlxc.net.2.link = br2\nlxc.net.2.name = eth0\n"
        "lxc.net.1.type = empty\nlxc.net.4.link = br4\nlxc.net.6.type = veth\nlxc.net.6 =\n"
    )
    assert adopted(USUAL + text).vm["nics"] == [
        {"name": "eth0", "bridge": "br2"},
        {"name": "eth1", "bridge": "br5"},
        {"name": "eth2", "bridge": "br7"},
    ]
    assert kept(USUAL + text) == [
        "lxc.net.2.script.up = /x",
        "lxc.net.0.flags =",
        "lxc.net.1.flags =",
    ]
    assert [nic.mac for nic in nics_of("lxc.net.0.hwaddr = 02:a::1\nlxc.net.0.type = veth")] == []
    _, told = new(USUAL + text)
    assert told[1:3] == [
        "lxc.net.0.type: a later line takes it back",
        "lxc.net.0.mtu: a later line takes it back",
    ]
    assert "lxc.net.5.link: a later line takes it back" in told
    assert "lxc.net.4.link: a VM without NICs has a network of its own, with nothing in it" in told


QUOTA, PERIOD = "lxc.cgroup.cpu.cfs_quota_us = 25000\n", "lxc.cgroup.cpu.cfs_period_us = 50000\n"


def test_a_quota_of_cpu_time_is_of_its_period() -> None:
    for text in (QUOTA + PERIOD, PERIOD + QUOTA):
        assert adopted(USUAL + text).vm["cpus"] == 0.5
        assert kept(USUAL + text) == []
    assert kept(USUAL + PERIOD) == [PERIOD.strip()]
    site = OnHost(includes={**HOST.includes, "/p": (("/p", PERIOD),)})
    assert PERIOD.strip() in adopted(f"{USUAL}lxc.include = /p\n", site).keep


V1, V2 = "lxc.cgroup.memory.limit_in_bytes = 256M\n", "lxc.cgroup2.memory.max = 512M\n"


@pytest.mark.parametrize("cgroup2", [False, True])
def test_a_limit_for_other_cgroups_limits_nothing_before_or_after(*, cgroup2: bool) -> None:
    host = OnHost(includes=HOST.includes, cgroup2=cgroup2)
    own, other = (V2, V1) if cgroup2 else (V1, V2)
    both = adopted(USUAL + own + other, host)
    assert both.vm["memory"] == ("512M" if cgroup2 else "256M")
    assert both.keep[0] == other.strip()
    alone = adopted(USUAL + other, host)
    assert "memory" not in alone.vm
    assert alone.keep[0] == other.strip()
    same = adopted(USUAL + (own + other).replace("512", "256"), host)
    assert same.vm["memory"] == "256M"
    assert same.keep == ("lxc.apparmor.profile =",)
    empty = f"{other.partition('=')[0]}=\n"
    assert adopted(USUAL + empty, host).keep[0] == empty.strip()


def test_a_new_vm_has_the_limit_that_was_in_effect() -> None:
    host = OnHost(includes=HOST.includes, cgroup2=True)
    period = USUAL + QUOTA + PERIOD
    why = "is for another version of cgroups, so it limits nothing here"
    for text, key, value, note in (
        (USUAL + V1 + V2, "memory", "512M", why),
        (USUAL + V1, "memory", "256M", f"{why}, but in the new VM"),
        (period, "cpus", 0.5, f"{why}, but in the new VM"),
    ):
        made = import_lxc({FILE: ("old", text)}, host)
        vms = made.geats["vms"]
        assert isinstance(vms, dict)
        assert vms["old"][key] == value
        assert note in [each.why for each in made.notes]
    assert adopted(period, host).keep[:2] == (QUOTA.strip(), PERIOD.strip())


def test_what_differs_though_no_line_says_so_is_told() -> None:
    veth = "lxc.net.0.type = veth\nlxc.net.0.link = br0\n"
    hooks = "lxc.hook.destroy = /bin/true\nlxc.hook.clone = /usr/share/lxc/hooks/clonehostname\n"
    made = adopted(f"{USUAL}{veth}{hooks}lxc.rootfs.managed = 0\n")
    assert made.told == (
        ("lxc.uts.name", "its hostname is old, as its config says none"),
        ("lxc.net.0.hwaddr", "eth0 has one MAC address, and no longer another after each start"),
        ("lxc.hook.destroy", "nothing runs lxc.hook.destroy"),
        ("lxc.rootfs.managed", "deprovision deletes its files in spite of lxc.rootfs.managed"),
    )
    said = f"{USUAL}{veth}lxc.uts.name = a\nlxc.net.0.hwaddr = 02:00:00:00:00:01\n"
    assert adopted(said).told == ()
    assert "lxc.hook.destroy: geats runs no such hook" in new(USUAL + hooks)[1]


def test_groups_are_those_of_autostart() -> None:
    vm, left = new(f"{USUAL}lxc.group = onboot, shop\nlxc.group = shop\nlxc.start.auto = 1\n")
    assert isinstance(vm, dict)
    assert vm["autostart"] == {"enabled": True, "groups": ["onboot", "shop"]}
    assert [each for each in left if "group" in each] == []

    vm, _ = new(f"{USUAL}lxc.group = onboot\nlxc.group =\n")
    assert isinstance(vm, dict)
    assert vm["autostart"] == {"enabled": False}

    vm, left = new(f"{USUAL}lxc.group = On Boot\n")
    assert isinstance(vm, dict)
    assert "autostart" not in vm
    (told,) = [each for each in left if each.startswith("lxc.group: ")]
    assert "no group of geats can have" in told
