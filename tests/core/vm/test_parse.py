"""Parsing: every problem at once, and nothing hostile gets in."""

from ipaddress import ip_address, ip_interface

import pytest
from returns.result import Failure, Success

from geats_core import Problem, VMSpec, parse_vm, to_plain
from geats_core.reading.checked import shown
from geats_core.reading.sizes import parse_size
from geats_core.vm.parse import derived_mac
from geats_core.vm.spec import Autostart, Bind, Dns, Init, Limits, Nic, SharedVolume, Volume


def problems(raw: object, name: object = "web") -> list[str]:
    return [str(each) for each in parse_vm(name, raw).failure()]


def test_every_mistake_is_reported_at_once() -> None:
    raw = {
        "memmory": "1GiB",
        "memory": "10 bananas",
        "cpus": 0,
        "init": "systemmd",
        "hostname": "a b",
        "volumes": [{"name": "root", "mount": "/"}, {"name": "../x", "mount": "/../etc"}],
        "nics": [{"name": "eth0", "bridge": "br 0", "addresses": ["10.0.0.2"], "mac": "ff:00"}],
        "metadata": {"a-b": 1},
        "privileged": "yes",
        "shutdown_timeout": True,
    }

    assert parse_vm("web", raw) == Failure(EXPECTED)


def test_a_whole_spec_is_read() -> None:
    raw = {
        "driver": "lxc",
        "template": "debian",
        "hostname": "web.example.org",
        "memory": "1.5GiB",
        "cpus": 2,
        "processes": 100,
        "volumes": [
            {"name": "data", "mount": "/srv/data", "pool": "slow", "read_only": True},
            {"name": "root", "pool": "fast", "size": "10GiB"},
        ],
        "nics": [
            {
                "name": "eth0",
                "bridge": "br0",
                "addresses": ["10.0.0.2/24", "fd00::2/64"],
                "gateways": ["10.0.0.1", "fd00::1"],
            },
            {"name": "eth1", "bridge": "br1", "mac": "02:00:00:AA:BB:CC"},
        ],
        "dns": {"nameservers": ["10.0.0.1"], "search": ["example.org"]},
        "metadata": {"ROLE": "web", "COUNT": 3, "ON": True},
        "init": "busybox",
        "privileged": True,
        "transient": True,
        "shutdown_timeout": 5,
    }

    assert parse_vm("web", raw) == Success(
        VMSpec(
            name="web",
            driver="lxc",
            template="debian",
            hostname="web.example.org",
            volumes=(
                Volume(name="root", pool="fast", mount="/", size_bytes=10 * 2**30),
                Volume(name="data", pool="slow", mount="/srv/data", read_only=True),
            ),
            limits=Limits(memory_bytes=3 * 2**29, cpus=2.0, processes=100),
            nics=(
                Nic(
                    name="eth0",
                    bridge="br0",
                    mac=derived_mac("web", "eth0"),
                    addresses=(ip_interface("10.0.0.2/24"), ip_interface("fd00::2/64")),
                    gateways=(ip_address("10.0.0.1"), ip_address("fd00::1")),
                ),
                Nic(name="eth1", bridge="br1", mac="02:00:00:aa:bb:cc"),
            ),
            dns=Dns(nameservers=(ip_address("10.0.0.1"),), search=("example.org",)),
            metadata=(("COUNT", "3"), ("ON", "True"), ("ROLE", "web")),
            init=Init.BUSYBOX,
            privileged=True,
            transient=True,
            shutdown_timeout_s=5,
        )
    )


BIND = {"source": "/srv/media", "mount": "/media"}


def test_binds_are_read_by_name_and_read_only_unless_told() -> None:
    up = {"source": "/srv//up/", "mount": "/up", "read_only": False}
    raw = {"template": "debian", "binds": {"up": up, "media": BIND}}

    assert parse_vm("web", raw).unwrap().binds == (
        Bind(name="media", source="/srv/media", mount="/media"),
        Bind(name="up", source="/srv/up", mount="/up", read_only=False),
    )


def test_a_bind_is_of_what_is_mounted_below_it_or_of_a_file_and_may_be_absent() -> None:
    disks = {**BIND, "recursive": True, "optional": True}
    tun = {"source": "/dev/net/tun", "mount": "/dev/net/tun", "file": True}
    read = parse_vm("web", {"template": "debian", "binds": {"disks": disks, "tun": tun}}).unwrap()

    assert read.binds == (
        Bind(name="disks", source="/srv/media", mount="/media", recursive=True, optional=True),
        Bind(name="tun", source="/dev/net/tun", mount="/dev/net/tun", file=True),
    )
    slave = {**BIND, "propagation": "slave"}
    assert problems({"template": "debian", "binds": {"disks": slave}}) == [
        "binds.disks.propagation: is for directories that the guest may write to (read_only: false)"
    ]
    assert problems({"template": "debian", "binds": {"tun": {**tun, "recursive": True}}}) == [
        "binds.tun.recursive: is for directories, and not for a file"
    ]


def test_a_bind_of_a_profile_is_replaced_as_a_whole_and_others_stay() -> None:
    profiles: dict[str, dict[object, object]]
    profiles = {"p": {"template": "debian", "binds": {"a": {**BIND, "read_only": False}, "b": {}}}}
    own = {"source": "/srv/x", "mount": "/x"}

    assert parse_vm("web", {"profile": "p", "binds": {"a": own, "b": BIND}}, profiles) == parse_vm(
        "web", {"template": "debian", "binds": {"b": BIND, "a": own}}
    )


def test_nothing_else_is_mounted_where_a_bind_is_or_below_it() -> None:
    volumes = [{"name": "root"}, {"name": "data", "mount": "/media/x"}]
    binds = {"a": BIND, "b": {**BIND, "mount": "/media"}, "c": {**BIND, "mount": "/mediabase"}}

    assert problems({"template": "debian", "volumes": volumes, "binds": binds}) == [
        "volumes[data].mount: '/media/x' is within the bind 'a' at /media",
        "binds.b.mount: '/media' is within the bind 'a' at /media",
        "volumes[data].mount: '/media/x' is within the bind 'b' at /media",
        "binds.a.mount: '/media' is within the bind 'b' at /media",
    ]
    within = {
        "template": "debian",
        "volumes": volumes,
        "binds": {"a": {**BIND, "mount": "/media/x/y"}},
    }
    assert parse_vm("web", within).unwrap().binds


def test_a_part_of_what_is_bound_is_as_read_only_as_all_of_it() -> None:
    up = {"source": "/srv/media/up", "mount": "/up", "read_only": False}
    raw = {"template": "debian", "binds": {"media": BIND, "up": up}}

    assert problems(raw) == [
        "binds.up.source: '/srv/media/up' is within the source of the bind 'media', and one of"
        " them is read-only"
    ]
    for other in ({**up, "read_only": True}, {**up, "source": "/srv/media-up"}):
        assert parse_vm("web", raw | {"binds": {"media": BIND, "up": other}}).unwrap().binds


def test_what_is_wrong_with_a_bind_is_said() -> None:
    binds = {"A": BIND, "b": {"source": "/srv/../etc", "mount": "/a b", "ro": True}, "c": 1}

    assert problems({"template": "debian", "binds": binds}) == [
        "binds.A: must be 1 to 63 lower-case letters, digits and inner hyphens, got 'A'",
        "binds.b.source: must be an absolute path without '..', got '/srv/../etc'",
        "binds.b.mount: must be an absolute path of plain letters, digits and ._@+- without '.' or"
        " '..', got '/a b'",
        "binds.b.ro: unknown key 'ro' (there is: file, mount, optional, propagation, read_only, "
        "recursive, source)",
        "binds.c: must be a mapping, got 1",
    ]
    assert problems({"template": "debian", "binds": []}) == ["binds: must be a mapping, got a list"]


def test_a_template_is_all_that_a_spec_must_have() -> None:
    root = Volume(name="root", pool="default", mount="/")

    assert parse_vm("web", {"template": "debian"}) == Success(
        VMSpec(name="web", driver="lxc", template="debian", hostname="web", volumes=(root,))
    )
    assert problems({}) == ["template: is missing"]
    assert problems(None) == ["is empty: write {} for the defaults"]
    assert problems([]) == ["a VM must be a mapping, got a list"]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "../x",
        "a b",
        "-x",
        "x-",
        "x" * 64,
        "x" * 200,
        "web\n",
        "web.",
        ".web",
        "a..b",
        "a.-b",
        "a_",
        "_a",
        "a_.b",
        "w\u00e9b",
        "a/b",
        ".",
        1,
        None,
    ],
)
def test_a_hostile_name_is_refused(name: object) -> None:
    (problem,) = parse_vm(name, {"template": "debian"}).failure()

    assert problem.path == "name"
    assert "\n" not in problem.message
    assert len(problem.message) < 200


@pytest.mark.parametrize(
    "address", ["fe80::1%a\nlxc.hook.start = x/64", "fe80::1%eth0/64", "10.0.0.2", 1, "x/24"]
)
def test_an_address_carries_no_other_text(address: object) -> None:
    nic = {"name": "eth0", "bridge": "br0", "addresses": [address]}

    assert [p.path for p in parse_vm("web", {"template": "d", "nics": [nic]}).failure()] == [
        "nics[0].addresses[0]"
    ]


@pytest.mark.parametrize("server", ["fe80::1%a\nnameserver 10.6.6.6", "10.0.0.1/24", 1])
def test_a_nameserver_carries_no_other_text(server: object) -> None:
    raw = {"template": "d", "dns": {"nameservers": [server]}}

    assert [p.path for p in parse_vm("web", raw).failure()] == ["dns.nameservers[0]"]


def test_the_root_volume_is_mounted_where_it_must_be_and_can_be_written() -> None:
    root = {"name": "root", "mount": "/", "read_only": True, "size": 0}

    assert problems({"template": "debian", "volumes": [root]}) == [
        "volumes[0].mount: is not for the root volume",
        "volumes[0].read_only: is not for the root volume",
        "volumes[0].size: must be a positive size such as 10GiB, got 0",
    ]


def test_what_is_left_out_of_a_mapping_stays_as_it_is_by_default() -> None:
    raw = {
        "template": "debian",
        "dns": {"nameservers": ["10.0.0.1"]},
        "autostart": {"priority": 1},
        "metadata": {"FLAG": ""},
    }
    spec = parse_vm("web", raw).unwrap()

    assert spec.dns == Dns(nameservers=(ip_address("10.0.0.1"),))
    assert spec.autostart == Autostart(enabled=True, priority=1)
    assert spec.metadata == (("FLAG", ""),)


def test_a_mac_address_stays_the_same_for_ever() -> None:
    """Leases and firewalls know VMs by it."""
    assert derived_mac("web", "eth0") == "02:c3:14:42:68:92"
    assert derived_mac("web", "eth1") == "02:64:bb:10:4e:e3"


FILMS = {"vm": "nas", "mount": "/films"}


def test_volumes_of_others_are_read_by_name_and_read_only_unless_told() -> None:
    raw = {
        "template": "debian",
        "shared_volumes": {
            "up": {"vm": "nas", "volume": "in", "pool": "p", "mount": "/up", "read_only": False},
            "films": FILMS,
        },
        "volumes": [{"name": "root"}, {"name": "data", "mount": "/data", "shared": True}],
    }
    spec = parse_vm("web", raw).unwrap()
    assert spec.shared_volumes == (
        SharedVolume(name="films", vm="nas", volume="films", pool="default", mount="/films"),
        SharedVolume(name="up", vm="nas", volume="in", pool="p", mount="/up", read_only=False),
    )
    assert [volume.shared for volume in spec.volumes] == [False, True]
    assert parse_vm("web", to_plain(spec)).unwrap() == spec


def test_what_is_wrong_with_volumes_of_others_is_told_at_once() -> None:
    shared = {
        "data": {"vm": "web", "mount": "/a"},
        "films": FILMS,
        "again": {"vm": "nas", "volume": "films", "mount": "/films/new"},
        "bad": {"volume": "x", "mount": "b"},
    }
    volumes = [{"name": "root", "shared": True}, {"name": "data", "mount": "/films/data"}]
    assert problems({"template": "debian", "volumes": volumes, "shared_volumes": shared}) == [
        "volumes[0].shared: is not for the root volume",
        "shared_volumes.bad.vm: is missing",
        "shared_volumes.bad.mount: must be an absolute path of plain letters, digits and ._@+- "
        "without '.' or '..', got 'b'",
    ]
    del shared["bad"]
    volumes[0] = {"name": "root"}
    assert problems({"template": "debian", "volumes": volumes, "shared_volumes": shared}) == [
        "volumes[data].mount: '/films/data' is within the shared volume 'films' at /films",
        "shared_volumes.again.mount: '/films/new' is within the shared volume 'films' at /films",
        "shared_volumes.data.vm: cannot name the VM itself",
        "shared_volumes.data: has the name of a volume of the VM's own",
        "shared_volumes: have the volume 'nas/films' twice",
    ]


def test_nothing_is_there_twice() -> None:
    volume = {"name": "data", "mount": "/data"}
    nic = {
        "name": "eth0",
        "bridge": "br0",
        "addresses": ["10.0.0.2/24"],
        "gateways": ["10.0.0.1", "10.0.0.3"],
    }
    raw = {"template": "debian", "volumes": [volume, volume], "nics": [nic]}

    assert problems(raw) == [
        "volumes: have the name 'data' twice",
        "volumes: have the mount '/data' twice",
        "volumes: must contain a volume named 'root'",
        "nics[0].gateways: must be one of each IP version at most",
    ]
    twice = [{key: nic[key] for key in ("name", "bridge", "addresses")}] * 2
    assert problems({"template": "debian", "nics": twice}) == [
        "nics: have the name 'eth0' twice",
        f"nics: have the mac '{derived_mac('web', 'eth0')}' twice",
        "nics: have the addresses '10.0.0.2' twice",
    ]


def test_a_hostname_is_as_long_as_the_kernel_takes() -> None:
    assert problems({"template": "debian", "hostname": "x" * 65}) == [
        f"hostname: must be of at most 64 characters, got '{'x' * 65}'"
    ]


def test_metadata_is_one_line_of_text() -> None:
    raw = {"template": "debian", "metadata": {"a": "b\nc", "d": None, "e": ["f"], 1: "x"}}

    assert problems(raw) == [
        "metadata.1: must be a name of up to 64 letters, digits and underscores, got 1",
        "metadata.a: must be one line of printable text, got a text of 3 characters",
        "metadata.d: is empty: leave the key out",
        "metadata.e: must be one line of printable text, got a list",
    ]


def test_a_profile_lies_below_the_spec() -> None:
    profiles: dict[str, dict[object, object]] = {
        "small": {"memory": "512MiB", "metadata": {"A": "1", "B": "1"}},
        "debian": {"template": "debian", "memory": "1GiB"},
    }
    own = {"metadata": {"B": "2"}, "cpus": 1}
    both = {"profile": ["small", "debian"], **own}

    assert parse_vm("web", both, profiles) == parse_vm(
        "web",
        {"template": "debian", "memory": "1GiB", "metadata": {"A": "1", "B": "2"}, "cpus": 1},
    )
    assert parse_vm("web", {"profile": "debian"}, profiles) == parse_vm("web", profiles["debian"])


def test_a_mapping_of_a_profile_gives_way_to_a_plain_value() -> None:
    profiles: dict[str, dict[object, object]] = {"late": {"autostart": {"priority": -5}}}
    raw = {"template": "debian", "profile": "late"}

    assert parse_vm("web", raw, profiles).unwrap().autostart.priority == -5
    assert parse_vm("web", raw | {"autostart": True}, profiles).unwrap().autostart == Autostart(
        enabled=True
    )


def test_an_unknown_profile_names_those_there_are() -> None:
    raw = {"profile": ["smal", 1]}

    assert parse_vm("web", raw, {"small": {}}) == Failure(
        (
            Problem("profile", "unknown profile 'smal', did you mean 'small'? (there is: small)"),
            Problem("profile", "unknown profile 1 (there is: small)"),
        )
    )
    assert problems(raw)[1] == "profile: unknown profile 1 (there is none)"


@pytest.mark.parametrize(
    ("raw", "size_bytes"),
    [
        (4 * 2**20, 4 * 2**20),
        ("4194304", 4 * 2**20),
        ("1B", 1),
        ("1K", 1024),
        ("512MiB", 512 * 2**20),
        ("512 MiB", 512 * 2**20),
        ("1.5GiB", 3 * 2**29),
        ("1.0001KiB", 1024),
        ("1024PiB", 2**60),
    ],
)
def test_a_size_is_read_as_people_write_it(raw: object, size_bytes: int) -> None:
    assert parse_size("size", raw) == Success(size_bytes)


@pytest.mark.parametrize(
    "raw", [0, -1, "0", "0.1B", "-1GiB", 1.5, True, None, "1 GB", "1e3", "GiB", "1025PiB", "1GiB\n"]
)
def test_what_is_no_size_is_refused(raw: object) -> None:
    message = f"must be a positive size such as 10GiB, got {shown(raw)}"

    assert parse_size("size", raw) == Failure((Problem("size", message),))


def test_a_value_is_shown_within_bounds() -> None:
    shown = [problems({"template": value})[0].rpartition("got ")[2] for value in VALUES]

    assert shown == ["a mapping", "a list", "a bytes", f"'{'X' * 80}'…", "a number of 301 bits"]


VALUES: list[object] = [{}, [], b"x", "X" * 100, 2**300]
EXPECTED = (
    Problem("volumes[0].mount", "is not for the root volume"),
    Problem(
        "volumes[1].name",
        "must be 1 to 63 lower-case letters, digits and inner hyphens, got '../x'",
    ),
    Problem(
        "volumes[1].mount",
        "must be an absolute path of plain letters, digits and ._@+- without '.' or '..', "
        "got '/../etc'",
    ),
    Problem(
        "nics[0].bridge",
        "must be an interface name of 1 to 15 letters, digits, '.', '_' and '-', got 'br 0'",
    ),
    Problem("nics[0].mac", "must be a unicast MAC address such as 02:00:00:12:34:56, got 'ff:00'"),
    Problem(
        "nics[0].addresses[0]", "must be an address with prefix such as 10.0.0.2/24, got '10.0.0.2'"
    ),
    Problem("template", "is missing"),
    Problem("hostname", "must be a domain name, got 'a b'"),
    Problem("memory", "must be a positive size such as 10GiB, got '10 bananas'"),
    Problem("cpus", "must be a number of CPUs from 0.01 to 4096, got 0"),
    Problem(
        "metadata.a-b", "must be a name of up to 64 letters, digits and underscores, got 'a-b'"
    ),
    Problem(
        "init",
        "unknown init 'systemmd', did you mean 'systemd'? (there is: auto, busybox, none, openrc, "
        "procd, runit, s6, systemd, sysvinit)",
    ),
    Problem("privileged", "must be true or false, got 'yes'"),
    Problem("shutdown_timeout", "must be a positive whole number, got true"),
    Problem("memmory", "unknown key 'memmory', did you mean 'memory'?"),
)


def test_when_a_vm_starts_is_read_in_full_or_in_short() -> None:
    def autostart(raw: object) -> Autostart:
        return parse_vm("web", {"template": "debian", "autostart": raw}).unwrap().autostart

    assert autostart(True) == Autostart(enabled=True)
    assert autostart(False) == Autostart()
    assert autostart({"priority": -5, "delay": 3}) == Autostart(
        enabled=True, priority=-5, delay_s=3
    )
    assert parse_vm("web", {"template": "debian", "after": ["db", "app"]}).unwrap().after == (
        "db",
        "app",
    )


def test_a_vm_starts_neither_after_itself_nor_twice_after_another() -> None:
    raw = {"template": "debian", "after": ["web", "db", "db"], "autostart": {"priority": 2000}}

    assert parse_vm("web", raw) == Failure(
        (
            Problem("after", "have the name 'db' twice"),
            Problem("after", "cannot name the VM itself"),
            Problem("autostart.priority", "must be a whole number from -1000 to 1000, got 2000"),
        )
    )


@pytest.mark.parametrize("bare", [1, 64, "64", "0.5", "1.5", 4 * 2**20 - 1])
def test_a_small_size_needs_a_unit(bare: object) -> None:
    assert parse_size("size", bare) == (
        Failure((Problem("size", f"must have a unit, got {bare!r}: did you mean {bare}MiB?"),))
        if bare != "0.5"
        else Failure((Problem("size", "must be a positive size such as 10GiB, got '0.5'"),))
    )


def test_a_key_without_a_value_says_what_to_write() -> None:
    """A template that rendered nothing leaves one behind."""
    keys = {
        "nics": ", or write [] if there is none",
        "after": ", or write [] if there is none",
        "volumes": ", or write [] if there is none",
        "binds": ", or write {} if there is none",
        "metadata": ", or write {} if there is none",
        "dns": ", or write {} if there is none",
        "memory": ", or write none if there is none",
        "cpus": ", or write none if there is none",
        "processes": ", or write none if there is none",
        "hostname": "",
        "privileged": "",
        "profile": ", or write [] if there is none",
        "shutdown_timeout": "",
    }
    for key, said in keys.items():
        assert problems({"template": "debian", key: None}) == [
            f"{key}: is empty: leave the key out{said}"
        ]
    assert problems({"template": None}) == ["template: is empty"]
    nic = {"name": None, "bridge": "br0", "mac": None}
    assert problems({"template": "debian", "nics": [nic]}) == [
        "nics[0].name: is empty",
        "nics[0].mac: is empty: leave the key out",
    ]


def test_there_is_none_of_a_limit_where_the_spec_says_so() -> None:
    small: dict[object, object] = {"template": "debian", "memory": "1GiB", "cpus": 1}
    profiles = {"small": {**small, "processes": 9}}
    none = {"profile": "small", "memory": "none", "cpus": "none", "processes": "none"}

    assert parse_vm("web", none, profiles) == parse_vm("web", {"template": "debian"})
    root = [{"name": "root", "size": "none"}]
    assert parse_vm("web", {"template": "debian", "volumes": root}).unwrap().root.size_bytes is None


def test_what_is_empty_in_a_vm_is_no_leave_to_take_the_profiles() -> None:
    nic = {"name": "eth0", "bridge": "br0"}
    profiles: dict[str, dict[object, object]] = {"small": {"template": "debian", "nics": [nic]}}

    assert parse_vm("web", {"profile": "small", "nics": None}, profiles) == Failure(
        (Problem("nics", "is empty: leave the key out, or write [] if there is none"),)
    )


def test_numbers_are_read_from_text() -> None:
    text = {"cpus": "0.5", "processes": "9", "shutdown_timeout": "5", "autostart": {"delay": "3"}}
    numbers = {"cpus": 0.5, "processes": 9, "shutdown_timeout": 5, "autostart": {"delay": 3}}

    assert parse_vm("web", {"template": "debian", **text}) == parse_vm(
        "web", {"template": "debian", **numbers}
    )


def test_what_is_included_is_a_list_of_paths_and_an_empty_one_is_not_none() -> None:
    def includes(said: object) -> object:
        match parse_vm("web", {"template": "t", "includes": said}):
            case Success(spec):
                return spec.includes
            case Failure(found):
                return [str(each) for each in found]

    assert includes("none") is None
    assert includes([]) == ()
    assert includes(["/etc/lxc/a.conf", "/etc/lxc/b.d/"]) == ("/etc/lxc/a.conf", "/etc/lxc/b.d/")
    assert includes(["a", "/b ", "/c'"]) == [
        "includes[0]: must be an absolute path without '..', got 'a'",
        "includes[1]: must not end with a blank or a quote, got '/b '",
        'includes[2]: must not end with a blank or a quote, got "/c\'"',
    ]
