"""The pillar out of the files of the first geats."""

from collections.abc import Iterator, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from returns.result import Success

from geats_core import parse_config
from geats_core.foreign.legacy import import_legacy, overlay_of, template_names
from geats_core.foreign.legacy_ini import parse_ini
from geats_core.foreign.legacy_notes import Imported, Note, Written
from tests.property.strategies import junk

SETTINGS = """\
[database]
    current = pickle
    [[pickle]]
        factory = geats.databases.pickledatabase:PickleDatabase
        filename = /var/lib/old.pickle
[vms]
    [[dummy]]
        factory = a:B
    [[lxc]]
        factory = a:C   # by its class
        lxc_bin_path = /usr/bin
        cgroup_path = /cgroup
        template_path = "/srv/old templates"
        config_directory_prefix = /var/lib/lxc
        default_rootfs_prefix = /srv/roots
        valid_storage_types = dummy, dummyadapter
        valid_templates = squeeze, Debian_7,
        colour = 'blue'
[storage]
    [[dummyadapter]]
        factory = a:D
    [[sparsefile_ext3_dir]]
        factory = a:E
        prefix = /mnt/images
        block_filesystem_adapter_type = ext3
    [[sparsefile]]
        volume_prefix = /mnt/more
    [[libvirtpool]]
        factory = a:F
[lock]
"""
WEB: Written = {
    "vm_type": "lxc",
    "name": "web",
    "description": "the web",
    "ram": 256,
    "template": "squeeze",
    "transient": True,
    "metadata": {"ROLE": "web", "PORT": 80},
    "colour": "blue",
    "network": [
        {
            "name": "eth0",
            "ipaddr": "192.168.1.23",
            "netmask": "255.255.255.0",
            "gateway": "192.168.1.1",
            "hwaddr": "02:BC:8a:e9:f0:0a",
            "bridge": "br1",
            "mtu": 1400,
        },
        {"name": "eth1"},
    ],
    "storage": [
        {"type": "dummyadapter", "name": "main", "directory": "/data/vms/web", "size": 1},
        {"type": "dummy"},
    ],
}


def settings_of(text: str) -> Mapping[str, Mapping[str, object]]:
    return {"geats.conf": parse_ini("geats.conf", text).unwrap()}


def vm_of(definition: Written) -> object:
    """The VM that a definition makes, whatever else it makes."""
    vms = import_legacy({"vm.yaml": definition}, {}).geats["vms"]
    assert isinstance(vms, dict)
    return vms["web"]


def test_a_host_and_its_vm_become_a_pillar() -> None:
    overlays = frozenset({"/srv/old templates/overlay/squeeze.tar.gz"})
    made = import_legacy({"web.yaml": WEB}, settings_of(SETTINGS), overlays)
    pool = {"type": "filesystem", "fstype": "ext4"}
    assert (made.geats, made.problems) == (
        {
            "drivers": {"lxc": {"path": "/var/lib/lxc"}},
            "pools": {
                "default": {"type": "directory", "path": "/srv/roots-geats"},
                "data-vms": {"type": "directory", "path": "/data/vms-geats"},
                "sparsefile-ext3-dir": {
                    **pool,
                    "on": {"type": "sparsefile", "path": "/mnt/images"},
                },
                "sparsefile": {**pool, "on": {"type": "sparsefile", "path": "/mnt/more"}},
            },
            "templates": {
                "squeeze": {
                    "path": "/srv/old templates/squeeze.tar.gz",
                    "overlay": "/srv/old templates/overlay/squeeze.tar.gz",
                },
                "debian-7": {"path": "/srv/old templates/Debian_7.tar.gz"},
            },
            "vms": {
                "web": {
                    "driver": "lxc",
                    "template": "squeeze",
                    "memory": "256MiB",
                    "transient": True,
                    "metadata": {"ROLE": "web", "PORT": 80},
                    "description": "the web",
                    "nics": [
                        {
                            "name": "eth0",
                            "bridge": "br1",
                            "mac": "02:BC:8a:e9:f0:0a",
                            "addresses": ["192.168.1.23/255.255.255.0"],
                            "gateways": ["192.168.1.1"],
                        }
                    ],
                    "volumes": [{"name": "root", "pool": "data-vms"}],
                }
            },
        },
        (),
    )


def test_what_is_left_out_is_told_with_the_reason() -> None:
    made = import_legacy({"web.yaml": WEB}, settings_of(SETTINGS))
    unknown = "is not known, nor was it to the first geats"
    first = "the first geats used only the first {}"
    database = "definitions come from pillar or geats.yaml, and geats keeps its own registry"
    by_name = "pools and their adapters are found by their names"
    left = [(note.file, note.key, note.why) for note in made.notes if note.to is None]
    host = [
        ("vms.lxc.factory", "drivers are found by their names"),
        ("vms.lxc.lxc_bin_path", "LXC is used by its library"),
        ("vms.lxc.cgroup_path", "cgroups are found automatically"),
        ("vms.lxc.valid_storage_types", "a volume may come from any pool that is configured"),
        ("vms.lxc.colour", unknown),
        ("vms.dummy", "only VMs of LXC are imported"),
        ("storage.dummyadapter", "each VM's directory makes a pool"),
        ("storage.sparsefile_ext3_dir.factory", by_name),
        ("storage.libvirtpool", "no plugin is like it"),
        ("database.current", database),
        ("database.pickle", database),
        ("lock", unknown),
    ]
    vm = [
        ("network[0].mtu", unknown),
        ("network[1]", first.format("interface")),
        ("storage[0].size", unknown),
        ("storage[1]", first.format("volume")),
        ("colour", unknown),
    ]
    assert left == [
        *(("geats.conf", key, why) for key, why in host),
        *(("web.yaml", key, why) for key, why in vm),
    ]


def test_the_older_form_of_a_network_is_read_too() -> None:
    eth1 = {"ipaddress": "10.0.0.2", "netmask": "255.0.0.0", "gateway": "10.0.0.1"}
    vm = vm_of({"name": "web", "template": "d", "network": {"eth1": eth1, "eth2": {}}})
    assert vm == {
        "template": "d",
        "memory": "1024MiB",
        "nics": [
            {
                "name": "eth1",
                "bridge": "br0",
                "addresses": ["10.0.0.2/255.0.0.0"],
                "gateways": ["10.0.0.1"],
            }
        ],
    }


def test_an_address_without_its_netmask_is_left_out() -> None:
    made = import_legacy({"f": {"name": "web", "network": [{"ipaddr": "10.0.0.2"}]}}, {})
    both = "an address needs both, the address and its netmask"
    assert Note(file="f", key="network[0].ipaddr", to=None, why=both) in made.notes
    other = import_legacy({"f": {"name": "web", "network": [{"netmask": "255.0.0.0"}]}}, {})
    assert Note(file="f", key="network[0].netmask", to=None, why=both) in other.notes


@pytest.mark.parametrize("network", ["eth0", [], {}, None])
def test_a_vm_may_be_without_a_network(network: object) -> None:
    assert vm_of({"name": "web", "network": network}) == {"memory": "1024MiB"}


@pytest.mark.parametrize(
    ("volume", "pool"),
    [
        ({"type": "dummy"}, "default"),
        ({"type": "sparsefile_ext3"}, "sparsefile-ext3"),
        ({"type": "dummyadapter", "directory": "/web"}, "default"),
    ],
)
def test_a_volume_without_a_directory_is_of_the_pool_of_its_type(volume: object, pool: str) -> None:
    vm = vm_of({"name": "web", "storage": volume})
    assert vm == {"memory": "1024MiB", "volumes": [{"name": "root", "pool": pool}]}


def test_a_vm_of_another_type_is_not_imported() -> None:
    made = import_legacy({"f": {"vm_type": "kvm", "name": "web"}}, {})
    why = "a VM of the type 'kvm' is not imported, only those of LXC"
    assert made == Imported(
        geats={},
        notes=tuple(Note(file="f", key=key, to=None, why=why) for key in ("vm_type", "name")),
        problems=(),
    )


def test_what_is_still_wrong_with_the_pillar_is_told() -> None:
    made = import_legacy({"f": {"name": "web", "ram": "much"}}, {})
    assert [str(problem) for problem in made.problems] == [
        "vms.web.template: is missing",
        "vms.web.memory: must be a positive size such as 10GiB, got 'muchMiB'",
    ]
    [bad] = import_legacy({"f": {"name": "Web 1", "template": "d"}}, {}).problems
    assert bad.path == "vms.Web 1"


def test_the_templates_that_are_named_tell_where_overlays_may_be() -> None:
    conf = settings_of(SETTINGS)["geats.conf"]
    names = template_names([WEB, {"template": "other"}, {}], [conf])
    folder = "/srv/old templates"
    assert names == ((folder, "squeeze"), (folder, "Debian_7"), (folder, "other"))
    assert template_names([WEB], []) == (("/var/lib/lxc/templates", "squeeze"),)
    assert overlay_of("/a", "b") == "/a/overlay/b.tar.gz"


def keys_of(raw: object, path: str = "") -> Iterator[str]:
    """Every key, at any depth."""
    if isinstance(raw, Mapping):
        for key, value in raw.items():
            yield from keys_of(value, f"{path}.{key}" if path else str(key))
    elif isinstance(raw, list):
        for index, value in enumerate(raw):
            yield from keys_of(value, f"{path}[{index}]")
    else:
        yield path


def test_every_key_leaves_a_note() -> None:
    """Its own, or that of what it is in."""
    made = import_legacy({"web.yaml": WEB}, settings_of(SETTINGS))
    noted = {note.key for note in made.notes}
    unnoted = [
        key
        for raw in (WEB, parse_ini("x", SETTINGS).unwrap())
        for key in keys_of(raw)
        if not any(key == note or key.startswith((f"{note}.", f"{note}[")) for note in noted)
    ]
    assert unnoted == []


words = st.sampled_from(["lxc", "sparsefile", "prefix", "template_path", "valid_templates", "a b"])
sections = st.recursive(
    words | st.text(max_size=3) | st.lists(words),
    lambda inner: st.dictionaries(words, inner),
    max_leaves=9,
)
hosts = st.dictionaries(st.sampled_from(["vms", "storage", "database", "x"]), sections)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from([*WEB]), junk, max_size=6), hosts)
def test_an_import_never_raises(raw: Written, conf: Mapping[str, object]) -> None:
    made = import_legacy({"f": raw}, {"g": conf})
    assert made.problems or isinstance(parse_config(made.geats), Success)
    template_names([raw], [conf])


@given(st.text("[]=,'\"# \na"))
def test_any_text_is_read_or_refused(text: str) -> None:
    parse_ini("f", text)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("a = b", "b"),
        ("a=", ""),
        ("a = 'b, c' # d", "b, c"),
        ('a = "b#c"', "b#c"),
        ("a = b, 'c',", ["b", "c"]),
        ("a = b c , d", ["b c", "d"]),
    ],
)
def test_a_value_is_a_word_or_a_list(line: str, value: object) -> None:
    assert parse_ini("f", line) == Success({"a": value})


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("[a", "must be [section], key = value or # comment, got '[a'"),
        ("[[a]]", "must be a section whose brackets match, one deeper than the last at most, got"),
        ("[a]]", "must be a section whose brackets match, one deeper than the last at most, got"),
        ("[a]\n[a]", "must not be given twice, got '[a]'"),
        ("a = 1\na = 2", "must not be given twice, got 'a = 2'"),
        ("a = '''b", "must be on one line, and not name other values, got"),
        ("a = %(home)s", "must be on one line, and not name other values, got"),
        ("a = 'b", "must have quotes that match, got"),
        ("a = b 'c'", "must have quotes that match, got"),
    ],
)
def test_a_line_that_cannot_be_read_is_a_problem(text: str, wrong: str) -> None:
    [problem] = parse_ini("f", text).failure()
    assert (problem.path, wrong in problem.message) == (f"f:{len(text.splitlines())}", True)
