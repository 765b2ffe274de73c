"""The JSON Schema and the parsers, held against each other on the same examples."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from returns.result import Failure, Success

from geats_core import VMSpec, parse_config, parse_vm, to_plain
from geats_core.declared.pillar_schema import pillar_schema
from tests.property.strategies import WORDS, hostile_texts, specs

SCHEMA = json.loads(json.dumps(pillar_schema()))
VALIDATOR = Draft7Validator(SCHEMA)
VM: Mapping[str, object] = {"template": "debian"}
NIC: Mapping[str, object] = {"name": "eth0", "bridge": "br0"}
BIND: Mapping[str, object] = {"source": "/srv/a", "mount": "/a"}
many = settings(max_examples=300, deadline=None)


def parses(geats: object) -> bool:
    """Whether the configuration is valid, and every VM in it."""
    match parse_config(geats):
        case Success(config):
            vms = (parse_vm(name, vm, config.profiles) for name, vm in config.vms.items())
            return all(isinstance(vm, Success) for vm in vms)
        case Failure():
            return False


def allowed(geats: Any) -> bool:
    return VALIDATOR.is_valid({"geats": geats})


def vm(**said: object) -> dict[str, object]:
    """A configuration with one VM."""
    return {"vms": {"web": {**VM, **said}}}


def of_host(**said: object) -> dict[str, object]:
    return said


def template(**said: object) -> dict[str, object]:
    return {"templates": {"t": said}}


VALID = [
    vm(volumes=[{"name": "root"}, {"name": "d"}]),
    {},
    vm(),
    vm(memory="1.5 GiB", cpus="1", processes="2", hostname="web.example.org", profile=[]),
    vm(memory=2**30, cpus=0.5, init="busybox", privileged=True, after=["db"], autostart=True),
    vm(autostart={"priority": -1, "delay": 5}, shutdown_timeout=1, metadata={"A": 1, "B": ""}),
    vm(volumes=[{"name": "root", "size": "1GiB"}, {"name": "d", "mount": "/d", "size": "none"}]),
    vm(nics=[{**NIC, "mac": "02:AA:00:00:00:0E", "addresses": ["10.0.0.2/255.255.255.0"]}]),
    vm(nics=[{**NIC, "gateways": ["10.0.0.1", "::ffff:10.0.0.1"]}], dns={"search": ["lan"]}),
    vm(binds={"a": {**BIND, "source": "/srv/a..b/..c", "read_only": False}}),
    {"profiles": {"p": {"template": "debian"}}, "vms": {"web": {"profile": ["p"]}}},
    {"profiles": {"p": {"template": "debian"}}, "vms": {"web": {"profile": "p", "dns": {}}}},
    of_host(policy={"overcommit": {"memory": 2, "disk": 0.5}, "strays": {"tmp-*": "ignore"}}),
    of_host(policy={"strays": "stop"}, bind_sources=["/srv"], registry="memory", drivers={}),
    of_host(pools={"p": {"type": "filesystem", "x": {"y": 1}, "on": {"type": "sparsefile"}}}),
    of_host(
        registry={"type": "sqlite", "x": 1},
        drivers={"lxc": {"anything": [1]}, "fast": {"type": "lxc", "path": "/srv/lxc"}},
        state_dir="/s",
        run_dir="/r",
        vms={},
        gone={"a": "stopped"},
    ),
    template(path="/t.tar", sha256="0" * 64, overlays=["/a", {"path": "/b", "sha256": "0" * 64}]),
    template(oci="/image", overlay="/o", overlay_sha256="0" * 64),
    template(image={"path": "/m.tar", "rootfs": "/r.squashfs"}),
    template(simplestreams={"url": "https://example.org/", "alias": "debian/12", "arch": "amd64"}),
    template(build={"command": ["mmdebstrap", "bookworm", "{output}"], "timeout": 60}),
]
# What is wrong in one place: editors underline it.
REFUSED_BY_BOTH = [
    1,
    {"vms": {"web": None}},
    {"vm": {}},
    {"vms": {"-web": VM}},
    {"vms": {"web": [VM]}},
    vm(memory="10 bananas"),
    vm(memory=0),
    vm(memory=-1),
    vm(memory=True),
    vm(cpus=0),
    vm(cpus="one"),
    vm(cpus=None),
    vm(nics=None),
    {"vms": None},
    None,
    vm(memory=64),
    of_host(gone={"web": "away"}),
    vm(processes=2**31 + 1),
    vm(memmory="1GiB"),
    vm(hostname="a" * 65),
    vm(init="upstart"),
    vm(privileged="yes"),
    vm(autostart="yes"),
    vm(autostart={"priority": 1001}),
    vm(after="db"),
    vm(metadata={"a b": 1}),
    vm(metadata={"A": "x" * 4097}),
    vm(metadata={"A": []}),
    vm(volumes=[{"mount": "/d"}]),
    vm(volumes=[{"name": None}]),
    vm(volumes=[{"name": "root"}, {"name": "d", "mount": "/../d"}]),
    vm(nics=[{"bridge": "br0"}]),
    vm(nics=[{**NIC, "mac": "01:00:00:00:00:00"}]),
    vm(nics=[{**NIC, "addresses": ["10.0.0.2"]}]),
    vm(nics=[{**NIC, "gateways": ["10.0.0.1/24"]}]),
    vm(dns={"nameservers": "10.0.0.1"}),
    vm(binds={"a": {**BIND, "source": "srv"}}),
    vm(binds={"a": {**BIND, "source": "/srv/.."}}),
    vm(profile=1),
    of_host(policy={"overcommit": {"memory": 0}}),
    of_host(policy={"strays": {"*": "kill"}}),
    of_host(pools={"p": {"path": "/x"}}),
    of_host(pools={"p": {"type": "a", "on": {"type": "B"}}}),
    of_host(drivers={"lxc": []}),
    template(path="/t.tar", sha256="0"),
    template(oci={"path": "/i", "tag": "a b"}),
    template(simplestreams={"alias": "debian"}),
    template(build={"command": "mmdebstrap"}),
    template(build={"command": ["a", []]}),
]
# Rules between several keys, what must be there, and what only Python can tell.
REFUSED_BY_THE_PARSERS_ONLY = [
    {"vms": {"web": {}}},  # the template may come from a profile
    vm(profile="nowhere"),
    vm(after=["web"]),
    vm(after=["db", "db"]),
    vm(volumes=[]),
    vm(volumes=[{"name": "root", "mount": "/d"}]),
    vm(volumes=[{"name": "root"}, {"name": "root"}]),
    vm(nics=[NIC, NIC]),
    vm(nics=[{**NIC, "gateways": ["10.0.0.1", "10.0.0.2"]}]),
    vm(nics=[{**NIC, "addresses": ["10.0.0.256/24"]}]),
    vm(binds={"a": BIND, "b": BIND}),
    vm(memory="0GiB"),
    vm(memory="64"),
    vm(cpus="0"),
    of_host(vms={"web": VM}, gone={"web": "stopped"}),
    vm(memory="9999999PiB"),
    vm(processes=1.0),  # for JSON that is a whole number
    vm(hostname="web\n"),
    vm(metadata={"A": "a\nb"}),
    of_host(bind_sources=["/"]),
    of_host(pools={"p": {"type": "a", 1: 2}}),
    template(),
    template(path="/a", oci="/b"),
    template(oci="/b", sha256="0" * 64),
    template(path="/a", overlay="/b", overlays=["/c"]),
    template(image={"path": "/a", "rootfs_sha256": "0" * 64}),
    template(build={"command": ["mmdebstrap"]}),
]
# A profile alone is nothing; and what is wrong in it may be replaced by every VM that has it.
REFUSED_BY_THE_SCHEMA_ONLY = [
    of_host(profiles={"p": {"memory": "lots"}}),
    of_host(profiles={"p": {"memmory": 1}}, vms={"web": VM}),
]


def test_the_schema_is_one() -> None:
    Draft7Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("geats", VALID, ids=str)
def test_what_the_parsers_accept_the_schema_allows(geats: object) -> None:
    assert (parses(geats), allowed(geats)) == (True, True)


@pytest.mark.parametrize("geats", REFUSED_BY_BOTH, ids=str)
def test_what_is_wrong_in_one_place_both_refuse(geats: object) -> None:
    assert (parses(geats), allowed(geats)) == (False, False)


@pytest.mark.parametrize("geats", REFUSED_BY_THE_PARSERS_ONLY, ids=str)
def test_what_breaks_a_wider_rule_only_the_parsers_refuse(geats: object) -> None:
    assert (parses(geats), allowed(geats)) == (False, True)


@pytest.mark.parametrize("geats", REFUSED_BY_THE_SCHEMA_ONLY, ids=str)
def test_what_is_wrong_in_a_profile_the_schema_refuses_though_no_vm_has_it(geats: object) -> None:
    assert (parses(geats), allowed(geats)) == (True, False)


texts = st.text(max_size=5) | hostile_texts | st.sampled_from(WORDS)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
    | st.sampled_from(["1GiB", "/srv/a", "10.0.0.1", "eth0", "stop", "debian/12", "0" * 64]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)
places = st.sampled_from(list(to_plain(parse_vm("web", {**VM, "memory": "1B"}).unwrap())))


@many
@given(specs)
def test_every_spec_is_allowed(spec: VMSpec) -> None:
    assert allowed({"vms": {spec.name: to_plain(spec)}})


@many
@given(specs, places, values)
def test_what_the_parser_of_vms_accepts_is_allowed(spec: VMSpec, place: str, value: object) -> None:
    geats = {"vms": {spec.name: {**to_plain(spec), place: value}}}
    assert allowed(geats) or not parses(geats)


@many
@given(st.dictionaries(texts, values, max_size=4), st.data())
def test_what_the_parser_of_hosts_accepts_is_allowed(
    geats: dict[str, object], data: st.DataObject
) -> None:
    keys = [key for key in of_hosts() if key not in ("vms", "profiles")]
    geats[data.draw(st.sampled_from(keys))] = data.draw(values)
    geats.pop("profiles", None)
    assert allowed(geats) or not parses(geats)


def of_hosts() -> Mapping[str, object]:
    """The keys below ``geats``."""
    found = dict(within(SCHEMA))[".properties.geats.properties"]
    assert isinstance(found, Mapping)
    return found


def within(schema: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Every schema of a key, an item or an entry that is in *schema*, and where."""
    if isinstance(schema, list):
        for index, each in enumerate(schema):
            yield from within(each, f"{path}[{index}]")
    elif isinstance(schema, Mapping):
        yield path, schema
        for key, each in schema.items():
            if key not in ("default", "enum", "required", "type"):
                yield from within(each, f"{path}.{key}")


def test_every_parser_says_what_it_takes() -> None:
    """None is left that would take anything, but for what a driver or Salt's minion reads."""
    anything = [path for path, schema in within(SCHEMA) if schema == {}]
    others = (".hardware.", ".minion.anyOf[0].properties.config.")
    assert [path for path in anything if not any(each in path for each in others)] == []


def test_only_options_of_plugins_are_open() -> None:
    holding = {
        path
        for path, schema in within(SCHEMA)
        if isinstance(schema, Mapping)
        and schema.get("type") == "object"
        and "additionalProperties" not in schema
    }
    assert holding == {
        "",
        ".definitions.layer",
        ".properties.geats.properties.drivers.additionalProperties",
        ".properties.geats.properties.lock.anyOf[1]",
        ".properties.geats.properties.pools.additionalProperties",
        ".properties.geats.properties.registry.anyOf[1]",
    }
