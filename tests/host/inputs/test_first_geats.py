"""A host of the first geats, as its files were: YAML of Python 2, a pickle, directories."""

import pickle
from pathlib import Path

import pytest

from geats_host.inputs.first_geats import imported
from geats_host.inputs.pickled import DEEPEST, MOST_NODES, WrongPickle, is_pickle, read_pickle

# As cPickle of Python 2 wrote them: {'__version__': 2, 'web': {'definition': {'ram': 256L, ...}}}.
PROTOCOL_0 = b"""(dp1
S'__version__'
p2
I2
sS'web'
p3
(dp4
S'definition'
p5
(dp6
S'vm_type'
p7
S'lxc'
p8
sS'ram'
p9
L256L
sS'template'
p10
Vsqueeze
p11
sS'description'
p12
S'caf\\xc3\\xa9'
p13
sss."""
PROTOCOL_2 = (
    b"\x80\x02}q\x01U\x02dbq\x02}q\x03(U\x07vm_typeq\x04U\x03lxcq\x05U\x03ramq\x06\x8a\x02\x00\x02u"
    b"s."
)
CONF = """\
[database]
    current = pickle
    [[pickle]]
        filename = {store}
[vms]
    [[lxc]]
        default_rootfs_prefix = {roots}
"""
OLD_YAML = """\
name: !!python/unicode 'a'
vm_type: !!python/str "lxc"
ram: !!python/long 128
template: squeeze
network: !!python/tuple [{ipaddr: 10.0.0.2, netmask: 255.0.0.0}]
---
name: b
vm_type: lxc
template: squeeze
---
"""


def vms(*paths: Path) -> dict[str, object]:
    """The VMs that files make."""
    found = imported(map(str, paths)).geats["vms"]
    assert isinstance(found, dict)
    return found


def problems(*paths: Path) -> list[str]:
    """What is wrong, without the directory of the files."""
    [folder] = {str(path.parent) for path in paths}
    return [f"{each}".replace(f"{folder}/", "") for each in imported(map(str, paths)).problems]


def test_a_whole_host_comes_from_its_directory(tmp_path: Path) -> None:
    store, roots = tmp_path / "state/vms", tmp_path / "roots"
    for folder in (store.parent, roots / "web/rootfs", tmp_path / "host/more"):
        folder.mkdir(parents=True)
    store.write_bytes(PROTOCOL_0)
    (roots / "web/rootfs.locked").touch()
    (tmp_path / "host/geats.conf").write_text(CONF.format(store=store, roots=roots))
    (tmp_path / "host/old.yaml").write_text(OLD_YAML)
    (tmp_path / "host/more/c.json").write_text('{"vm_type": "lxc", "template": "squeeze"}')
    (tmp_path / "host/more/notes.txt").write_text("not: read")
    made = imported([str(tmp_path / "host")])
    squeeze = {"driver": "lxc", "template": "squeeze"}
    nic = {"name": "eth0", "bridge": "br0", "addresses": ["10.0.0.2/255.0.0.0"]}
    assert made.problems == ()
    assert made.geats["vms"] == {
        "web": {**squeeze, "privileged": True, "memory": "256MiB", "description": "café"},
        "a": {**squeeze, "privileged": True, "memory": "128MiB", "nics": [nic]},
        "b": {**squeeze, "privileged": True, "memory": "1024MiB"},
        "c": {**squeeze, "privileged": True, "memory": "1024MiB"},
    }
    assert f"{roots}/web/rootfs.locked" in [note.key for note in made.notes if note.to]


@pytest.mark.parametrize("data", [PROTOCOL_0, PROTOCOL_2])
def test_a_store_is_known_by_what_it_holds(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "geats.vms").write_bytes(data)
    [name] = vms(tmp_path / "geats.vms")
    assert name in {"web", "db"}


def test_one_bad_file_is_its_own_problem(tmp_path: Path) -> None:
    texts: dict[str, bytes] = {
        "good.yaml": b"template: d\n",
        "text.yaml": b"\xff",
        "list.yaml": b"[1]\n",
        "two.yaml": b"{template: d}\n---\n{name: x, template: d}\n",
        "tag.yaml": b"!!python/object:os.system {}\n",
        "bad.conf": b"[a",
        "bad.pickle": b"(dp1\nS'a'\n",
        "set.pickle": b"\x80\x04\x8f.",
    }
    for name, data in texts.items():
        (tmp_path / name).write_bytes(data)
    files = [*map(tmp_path.joinpath, texts), tmp_path / "missing.yaml"]
    assert set(vms(*files)) == {"good", "x"}
    assert problems(*files) == [
        "text.yaml: is not text",
        "list.yaml: must be the definition of a VM, got a list",
        "two.yaml, document 1: must say the name of its VM",
        "tag.yaml: cannot be read: line 1, column 1: could not determine a constructor for the tag "
        "'tag:yaml.org,2002:python/object:os.system'",
        "bad.conf:1: must be [section], key = value or # comment, got '[a'",
        "bad.pickle: cannot be read: it is damaged (EOFError)",
        "set.pickle: must be a store of the first geats, got a set",
        "missing.yaml: No such file or directory",
    ]


class Hostile:
    """Makes a file, if anything ever calls what a pickle names."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.made,)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_never_runs_anything(tmp_path: Path, protocol: int) -> None:
    data = pickle.dumps({"web": Hostile(tmp_path / "made")}, protocol)
    with pytest.raises(WrongPickle, match="which is no plain value"):
        read_pickle(data)
    assert not (tmp_path / "made").exists()


def test_an_object_outside_of_a_pickle_is_refused() -> None:
    with pytest.raises(WrongPickle, match="an object outside"):
        read_pickle(b"(dp1\nS'a'\nP7\ns.")


def test_a_pickle_that_stands_for_too_much_is_refused() -> None:
    deep: object = {}
    for _ in range(DEEPEST):
        deep = {"a": deep}
    with pytest.raises(WrongPickle, match="levels deep"):
        read_pickle(pickle.dumps(deep))
    within: dict[str, object] = {}
    within["itself"] = within
    with pytest.raises(WrongPickle, match="levels deep"):
        read_pickle(pickle.dumps(within))
    wide: list[object] = ["a"] * 1000
    for _ in range(MOST_NODES.bit_length()):
        wide = [wide, wide]
    with pytest.raises(WrongPickle, match="stands for more"):
        read_pickle(pickle.dumps(wide))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"}r\xff\xff\xff\x7f.", None),  # remembered as the last of two billion values
        (b"}p2147483647\n.", None),
        (b"}r\xff", "it is damaged"),
        (b"})" + b"2\x86" * 60 + b"K\x01s.", "a key that is neither"),
        (b"}()" + b"2\x86" * 60 + b"K\x01u.", "a key that is neither"),
        (b"()" + b"2\x86" * 60 + b"K\x01d.", "a key that is neither"),
        (b"}K\x01(" + b")" + b"2\x86" * 60 + b"\x91s.", "a key that is neither"),
        (b"}K\x01\x8f()" + b"2\x86" * 60 + b"\x90s.", "a key that is neither"),
        (pickle.dumps({"web": {"ram": 1 << 100_000}})[2:], "too large"),
    ],
)
def test_a_short_pickle_costs_no_more_than_it_is_long(data: bytes, why: str | None) -> None:
    whole = b"\x80\x04" + data
    if why is None:
        assert read_pickle(whole) == {}
        return
    with pytest.raises(WrongPickle, match=why):
        read_pickle(whole)


def test_a_definition_with_too_long_a_name_or_number_stops_no_other(tmp_path: Path) -> None:
    (tmp_path / "web01.yaml").write_text("ram: 512\n")
    long = f"storage: [{{type: directory, directory: /{'a' * 300}/x}}]\n"
    (tmp_path / "long.yaml").write_text(long)
    (tmp_path / "large.yaml").write_text(f"ram: 0x{'f' * 5000}\n")
    assert "web01" in vms(tmp_path)
    [large] = [each for each in problems(tmp_path) if "large" in each]
    assert large.endswith("cannot be read: line 1, column 6: the number is too large")
    assert problems(Path("a" * 300)) == [f"{'a' * 300}: File name too long"]


def test_text_of_python_2_that_is_not_utf_8_keeps_its_bytes() -> None:
    assert read_pickle(b"(dp1\nS'a'\nS'\\xe9'\ns.") == {"a": "\udce9"}
    assert is_pickle(PROTOCOL_2)
    assert not is_pickle(b"[vms]")
