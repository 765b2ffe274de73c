"""The pillar out of the files of the first geats."""

from collections.abc import Iterator, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from returns.result import Success

from geats_core import parse_config
from geats_core.first_geats.definitions import Definition
from geats_core.first_geats.importing import import_first_geats, looked_for
from geats_core.first_geats.ini import parse_ini
from geats_core.first_geats.settings import store_of
from geats_core.first_geats.store import definitions_in
from geats_core.foreign.notes import Imported, Note, Written
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


def imported(
    definitions: Mapping[str, Written],
    conf: Mapping[str, Mapping[str, object]],
    there: frozenset[str] = frozenset(),
) -> Imported:
    """What becomes of definitions by their files."""
    found = [Definition(file=file, name="", written=raw) for file, raw in definitions.items()]
    return import_first_geats(found, conf, there=there)


def vm_of(definition: Written) -> object:
    """The VM that a definition makes, whatever else it makes."""
    vms = imported({"vm.yaml": definition}, {}).geats["vms"]
    assert isinstance(vms, dict)
    return vms["web"]


def test_a_host_and_its_vm_become_a_pillar() -> None:
    overlays = frozenset({"/srv/old templates/overlay/squeeze.tar.gz"})
    made = imported({"web.yaml": WEB}, settings_of(SETTINGS), overlays)
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
                    "privileged": True,
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
    made = imported({"web.yaml": WEB}, settings_of(SETTINGS))
    unknown = "is not known, nor was it to the first geats"
    first = "the first geats used only the first {}"
    database = "definitions come from pillar or geats.yaml, and geats keeps its own registry"
    by_name = "pools and their adapters are found by their names"
    left = [(note.file, note.key, note.why) for note in made.notes if note.to is None]
    host = [
        ("vms.dummy", "only VMs of LXC are imported"),
        ("vms.lxc.factory", "drivers are found by their names"),
        ("vms.lxc.lxc_bin_path", "LXC is used by its library"),
        ("vms.lxc.cgroup_path", "cgroups are found automatically"),
        ("vms.lxc.valid_storage_types", "a volume may come from any pool that is configured"),
        ("vms.lxc.colour", unknown),
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


def test_a_vm_without_a_template_or_a_volume_gets_an_empty_root() -> None:
    web = Definition(file="web.yaml", name="web", written={"name": "web"})
    made = import_first_geats([web], {})
    assert made.problems == ()
    vm = {"template": "empty", "privileged": True, "memory": "1024MiB"}
    assert made.geats == {"templates": {"empty": {"empty": "tree"}}, "vms": {"web": vm}}
    why = "it had none: adopt it with the root that it has, or fill a new one by hand"
    assert ("(template)", "vms.web.template", why) in [(n.key, n.to, n.why) for n in made.notes]


def test_the_older_form_of_a_network_is_read_too() -> None:
    eth1 = {"ipaddress": "10.0.0.2", "netmask": "255.0.0.0", "gateway": "10.0.0.1"}
    vm = vm_of({"name": "web", "template": "d", "network": {"eth1": eth1, "eth2": {}}})
    assert vm == {
        "template": "d",
        "privileged": True,
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
    made = imported({"f": {"name": "web", "network": [{"ipaddr": "10.0.0.2"}]}}, {})
    both = "an address needs both, the address and its netmask"
    assert Note(file="f", key="network[0].ipaddr", to=None, why=both) in made.notes
    other = imported({"f": {"name": "web", "network": [{"netmask": "255.0.0.0"}]}}, {})
    assert Note(file="f", key="network[0].netmask", to=None, why=both) in other.notes


@pytest.mark.parametrize("network", ["eth0", [], {}, None])
def test_a_vm_may_be_without_a_network(network: object) -> None:
    vm = vm_of({"name": "web", "template": "d", "network": network})
    assert vm == {"template": "d", "privileged": True, "memory": "1024MiB"}


@pytest.mark.parametrize(
    ("volume", "pool"),
    [
        ({"type": "dummy"}, "default"),
        ({"type": "dummyadapter", "directory": "/web"}, "default"),
    ],
)
def test_a_volume_without_a_directory_is_of_the_pool_of_its_type(volume: object, pool: str) -> None:
    vm = vm_of({"name": "web", "template": "d", "storage": volume})
    assert vm == {
        "template": "d",
        "privileged": True,
        "memory": "1024MiB",
        "volumes": [{"name": "root", "pool": pool}],
    }


def test_a_vm_of_another_type_is_not_imported() -> None:
    made = imported({"f": {"vm_type": "kvm", "name": "web"}}, {})
    why = "a VM of the type 'kvm' is not imported, only those of LXC"
    assert made == Imported(
        geats={},
        notes=tuple(Note(file="f", key=key, to=None, why=why) for key in ("vm_type", "name")),
        problems=(),
    )


def test_what_is_still_wrong_with_the_pillar_is_told() -> None:
    made = imported({"f": {"name": "web", "ram": "much"}}, {})
    assert [str(problem) for problem in made.problems] == [
        "vms.web.memory: must be a positive size such as 10GiB, got 'muchMiB'",
    ]
    [bad] = imported({"f": {"name": "Web 1", "template": "d"}}, {}).problems
    assert bad.path == "vms.Web 1"


def test_what_the_host_is_asked_for_are_overlays_and_locks() -> None:
    web = Definition(file="web.yaml", name="", written=WEB)
    other = Definition(file="other.yaml", name="db", written={"template": "other"})
    folder = "/srv/old templates/overlay"
    assert looked_for([web, other], settings_of(SETTINGS)) == {
        f"{folder}/squeeze.tar.gz",
        f"{folder}/Debian_7.tar.gz",
        f"{folder}/other.tar.gz",
        "/data/vms/web.locked",
        "/srv/roots/db/rootfs.locked",
    }
    assert looked_for([web], {}) == {
        "/var/lib/lxc/templates/overlay/squeeze.tar.gz",
        "/data/vms/web.locked",
    }


def test_a_mark_beside_the_root_filesystem_was_a_lock() -> None:
    made = imported({"web.yaml": WEB}, {}, frozenset({"/data/vms/web.locked"}))
    [note] = [note for note in made.notes if note.key.endswith(".locked")]
    assert (note.key, note.to) == ("/data/vms/web.locked", "its lock")
    assert "geats lock" in note.why


def test_any_section_that_made_containers_is_a_driver() -> None:
    conf = settings_of("""\
[vms]
    [[lxc]]
        config_directory_prefix = /var/lib/lxc
        template_path = /srv/slow
        default_rootfs_prefix = /srv/roots/
    [[fastlxc]]
        factory = geats.virtualmachine.lxc:LXCVirtualMachine
        config_directory_prefix = /srv/fast/lxc
        template_path = /srv/quick
        default_rootfs_prefix = /srv/fast/roots
    [[same]]
        factory = geats.virtualmachine.lxc:LXCVirtualMachine
        config_directory_prefix = /var/lib/lxc
    [[plain]]
        factory = geats.virtualmachine.lxc:LXCVirtualMachine
""")
    kinds = {"a": "lxc", "b": "fastlxc", "c": "same", "d": "plain"}
    made = imported(
        {kind: {"name": name, "vm_type": kind, "template": "deb"} for name, kind in kinds.items()},
        conf,
    )
    vm = {"privileged": True, "memory": "1024MiB"}
    assert (made.geats, made.problems) == (
        {
            "drivers": {
                "lxc": {"path": "/var/lib/lxc"},
                "fastlxc": {"type": "lxc", "path": "/srv/fast/lxc"},
                "plain": {"type": "lxc"},
            },
            "pools": {
                "default": {"type": "directory", "path": "/srv/roots-geats"},
                "fastlxc": {"type": "directory", "path": "/srv/fast/roots-geats"},
            },
            "templates": {
                "deb": {"path": "/srv/slow/deb.tar.gz"},
                "deb-2": {"path": "/srv/quick/deb.tar.gz"},
                "deb-3": {"path": "/var/lib/lxc/templates/deb.tar.gz"},
            },
            "vms": {
                "a": {**vm, "driver": "lxc", "template": "deb"},
                "b": {
                    **vm,
                    "driver": "fastlxc",
                    "template": "deb-2",
                    "volumes": [{"name": "root", "pool": "fastlxc"}],
                },
                "c": {**vm, "driver": "lxc", "template": "deb-3"},
                "d": {**vm, "driver": "plain", "template": "deb-3"},
            },
        },
        (),
    )


def test_pools_at_one_path_are_one() -> None:
    conf = settings_of("[vms]\n[[lxc]]\ndefault_rootfs_prefix = /data/vms/\n")
    made = imported({"web.yaml": WEB}, conf)
    assert made.geats["pools"] == {"default": {"type": "directory", "path": "/data/vms-geats"}}
    vms = made.geats["vms"]
    assert isinstance(vms, dict)
    assert vms["web"]["volumes"] == [{"name": "root", "pool": "default"}]


def test_a_pool_that_no_configuration_has_is_told() -> None:
    made = imported({"f": {"name": "web", "template": "d", "storage": [{"type": "lvm"}]}}, {})
    why = "no configuration that was read has it: declare it, or read that file as well"
    assert [*map(str, made.problems)] == [f"pools.lvm: {why} (web: storage[0].type)"]


def test_what_a_root_filesystem_was_not_on_is_told() -> None:
    storage = [{"type": "dummy", "filename": "/a.img", "blockdevice": "/dev/sdx"}]
    made = imported({"f": {"name": "web", "template": "d", "storage": storage}}, {})
    left = [(note.key, note.why) for note in made.notes if note.to is None]
    why = "containers used directories only: the root was below default_rootfs_prefix"
    assert left == [("storage[0].blockdevice", why), ("storage[0].filename", why)]


def test_an_interface_may_stand_alone() -> None:
    network = {"name": "eth2", "ipaddr": "::1", "netmask": "128"}
    vm = vm_of({"name": "web", "template": "d", "network": network})
    nic = {"name": "eth2", "bridge": "br0", "addresses": ["::1/128"]}
    assert vm == {"template": "d", "privileged": True, "memory": "1024MiB", "nics": [nic]}


def test_a_definition_without_a_name_has_that_of_its_file() -> None:
    made = import_first_geats([Definition(file="f", name="web", written={"template": "d"})], {})
    assert made.geats["vms"] == {"web": {"template": "d", "privileged": True, "memory": "1024MiB"}}
    assert made.notes[0] == Note(
        file="f", key="name", to="vms.web", why="was not given: that of the file"
    )


def test_a_vm_that_two_files_define_otherwise_is_a_problem() -> None:
    same = {"name": "web", "template": "d"}
    made = imported({"a": same, "b": {**same, "description": "web"}, "c": {**same, "ram": 7}}, {})
    assert [*map(str, made.problems)] == [
        "vms.web: is defined otherwise by c: this is what a says",
    ]
    assert made.geats["vms"] == {"web": {"template": "d", "privileged": True, "memory": "1024MiB"}}


def test_a_store_has_definitions_in_either_version() -> None:
    written = {"vm_type": "lxc"}
    held: dict[object, object] = {
        "__version__": 2,
        "a": {"definition": written},
        "b": written,
        "c": 1,
        2: written,
    }
    held["d"] = {"vm_type": "lxc", "metadata": {"A": "\udce9"}}
    found, problems = definitions_in("f", held).unwrap()
    assert found == (
        Definition(file="f: a", name="a", written=written),
        Definition(file="f: b", name="b", written=written),
    )
    assert [*map(str, problems)] == [
        "f: c: must be the definition of a VM, got 1",
        "f: 2: must be the definition of a VM, got a mapping",
        "f: d: has text that is not UTF-8: write it to a YAML file",
    ]
    [wrong] = definitions_in("f", [1]).failure()
    assert str(wrong) == "f: must be a store of the first geats, got a list"


def test_a_store_that_was_read_is_no_loss() -> None:
    conf = settings_of(SETTINGS)
    assert store_of(conf["geats.conf"]) == "/var/lib/old.pickle"
    assert store_of({}) is None
    made = import_first_geats([], conf, ["/var/lib/old.pickle"])
    told = [(note.key, note.to) for note in made.notes if note.key.startswith("database")]
    assert told == [("database.pickle.filename", "vms")]


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
    made = imported({"web.yaml": WEB}, settings_of(SETTINGS))
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
    made = imported({"f": raw}, {"g": conf})
    assert made.problems or isinstance(parse_config(made.geats), Success)
    looked_for([Definition(file="f", name="x", written=raw)], {"g": conf})
    store_of(conf)


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


@pytest.mark.parametrize(
    "line", ["a{}b", "[{}x", 'a = b{}"', "a = {},", "[{}]", "{}= b", "a = b{}c"]
)
def test_a_long_line_is_read_or_refused_at_once(line: str) -> None:
    for many in (" " * 20_000, "a," * 20_000, "[" * 20_000):
        parse_ini("f", line.format(many))  # it comes back


def test_spaces_around_what_a_line_says_are_no_part_of_it() -> None:
    text = '[  main  ]  # of all\n a b  =  c d , " e " , f  # last\n[]\n[ ]\n = b'
    wrong = "must be [section], key = value or # comment"
    assert [str(each) for each in parse_ini("f", text).failure()] == [
        f"f:3: {wrong}, got '[]'",
        f"f:4: {wrong}, got '[ ]'",
        f"f:5: {wrong}, got '= b'",
    ]
    whole = "\n".join(text.split("\n")[:2])
    assert parse_ini("f", whole) == Success({"main": {"a b": ["c d", " e ", "f"]}})
