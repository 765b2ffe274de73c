"""The laws of parsing and rendering."""

from collections.abc import Mapping
from functools import reduce

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from returns.result import Failure, Success

from geats_core import (
    Checked,
    HostConfig,
    Observation,
    Problem,
    VMSpec,
    after,
    parse_config,
    parse_vm,
    to_plain,
)
from geats_core.declared.config import DEEPEST_STACK
from geats_core.planning.actions import (
    Action,
    ActivateVolume,
    AllocateVolume,
    AwaitReady,
    ConfigureGuest,
    Define,
    DestroyVolume,
    FormatVolume,
    Freeze,
    GrowVolume,
    Hold,
    InstallTemplate,
    Lock,
    Repair,
    SetDevices,
    SetDns,
    SetLimits,
    Shutdown,
    Start,
    Stop,
    Undefine,
    Unfreeze,
    Unlock,
)
from geats_core.reading.sizes import LARGEST, LEAST_BARE, format_size, parse_size
from geats_core.vm.lxc_config import LxcFacts, render_lxc_config, spec_of_lxc_config
from geats_core.vm.origins import origins
from geats_core.vm.parse import merge, parse_text, to_text
from geats_core.vm.secrets import declaration
from tests.property.strategies import (
    dnses,
    junk,
    limits,
    lxc_facts,
    mappings,
    observations,
    pools,
    readies,
    sizes,
    specs,
)

many = settings(max_examples=200, deadline=None)
volume_names = st.sampled_from(["root", "data"])
actions: st.SearchStrategy[Action] = st.one_of(
    st.sampled_from([Undefine(), Start(), Shutdown(1), Stop(), Freeze(), Hold(), Unfreeze()]),
    st.sampled_from([Repair(), Lock(), Unlock()]),
    st.builds(Define, specs),
    st.builds(SetLimits, limits),
    st.builds(SetDevices, specs),
    st.builds(SetDns, dnses),
    st.builds(AwaitReady, readies),
    st.builds(AllocateVolume, pools, volume_names, sizes),
    st.builds(FormatVolume, pools, volume_names),
    st.builds(ActivateVolume, pools, volume_names),
    st.builds(GrowVolume, pools, volume_names, st.integers(1, 10)),
    st.builds(DestroyVolume, pools, volume_names),
    st.builds(InstallTemplate, pools, volume_names, st.just("debian")),
    st.builds(ConfigureGuest, pools, volume_names, specs),
)


def assert_checked(result: Checked[VMSpec] | Checked[HostConfig]) -> None:
    """Either a value, or problems that can be shown to anyone."""
    if isinstance(result, Failure):
        problems = result.failure()
        assert problems
        for each in problems:
            assert isinstance(each, Problem)
            str(each).encode()
            assert len(each.message) < 1000


@many
@given(junk, junk | mappings, mappings)
def test_parsing_a_vm_never_raises(
    name: object, raw: object, profile: dict[object, object]
) -> None:
    """Law 7, Total."""
    assert_checked(parse_vm("web", raw, {"web": profile}))
    assert_checked(parse_vm(name, raw))


@many
@given(junk | mappings)
def test_parsing_a_configuration_never_raises(raw: object) -> None:
    """Law 7, Total."""
    assert_checked(parse_config(raw))


@many
@given(specs, mappings)
def test_a_valid_spec_with_junk_in_it_never_raises(
    spec: VMSpec, junk_keys: Mapping[object, object]
) -> None:
    assert_checked(parse_vm(spec.name, to_plain(spec) | dict(junk_keys)))


def cyclic() -> dict[object, object]:
    """What the YAML ``&a {type: x, on: *a, dns: *a, metadata: *a, ...}`` gives."""
    itself: dict[object, object] = {"type": "x"}
    for key in ("on", "dns", "metadata", "volumes", "pools", "vms", "templates", "memory"):
        itself[key] = itself
    return itself


def deep() -> object:
    nested: object = []
    for _ in range(100_000):
        nested = [nested]
    return nested


UNPRINTABLE_INT = 16**5000  # Python refuses to write it in decimal; YAML reads it from hexadecimal


def hostile_values() -> list[object]:
    return [cyclic(), deep(), {"dns": deep()}, UNPRINTABLE_INT, {UNPRINTABLE_INT: UNPRINTABLE_INT}]


@pytest.mark.parametrize("raw", hostile_values(), ids=["cyclic", "deep", "inside", "int", "key"])
def test_parsing_what_python_cannot_print_never_raises(raw: object) -> None:
    keys = ("memory", "cpus", "processes", "init", "hostname", "metadata", "profile", "nics", "dns")
    assert_checked(parse_vm(raw, dict.fromkeys(keys, raw)))
    assert_checked(parse_vm("web", {"metadata": {"x": raw}, "nics": [raw], "volumes": [raw]}))
    assert_checked(parse_vm("web", raw, {"web": cyclic()}))
    assert_checked(parse_vm("web", cyclic() | {"profile": "web"}, {"web": cyclic()}))
    assert_checked(parse_config({"pools": {"p": raw}, "vms": raw, "profiles": raw}))


def test_a_stack_that_holds_itself_is_too_deep() -> None:
    itself: dict[object, object] = {"type": "x"}
    itself["on"] = itself

    path = ".".join(["pools.p", *["on"] * DEEPEST_STACK])
    message = f"is more than {DEEPEST_STACK} layers deep"
    assert parse_config({"pools": {"p": itself}}) == Failure((Problem(path, message),))


@many
@given(specs)
def test_a_spec_survives_plain_data(spec: VMSpec) -> None:
    assert parse_vm(spec.name, to_plain(spec)) == Success(spec)
    assert parse_text(spec.name, to_text(spec)) == Success(spec)


@settings(max_examples=50, deadline=None)
@given(specs)
def test_what_declares_a_spec_declares_it_and_no_key_too_many(spec: VMSpec) -> None:
    said = declaration(spec, shows_secrets=True)
    assert parse_vm(spec.name, said) == Success(spec)
    for key in said:
        less = {other: value for other, value in said.items() if other != key}
        assert parse_vm(spec.name, less) != Success(spec)


@many
@given(specs, lxc_facts)
def test_a_spec_survives_its_lxc_config(spec: VMSpec, facts: LxcFacts) -> None:
    assert spec_of_lxc_config(render_lxc_config(spec, facts)) == Success(spec)


@many
@given(specs, lxc_facts)
def test_an_lxc_config_has_one_line_for_each_key_and_value(spec: VMSpec, facts: LxcFacts) -> None:
    """No text of a spec adds a line, or a key."""
    lines = render_lxc_config(spec, facts).removesuffix("\n").split("\n")
    assert all(line.startswith(("# ", "lxc.")) and line.isprintable() for line in lines)
    assert sum(line.startswith("# ") for line in lines) == 4
    keys = [line.partition(" = ")[0] for line in lines[4:]]
    repeatable = (
        *("lxc.include", "lxc.idmap", "lxc.mount.entry", "lxc.mount.auto", "lxc.hook.start-host"),
        "lxc.environment",
    )
    ends = (".address", ".vlan.tagged.id")
    several = [key for key in keys if not (key in repeatable or key.endswith(ends))]
    assert sorted(several) == sorted(set(several))


@many
@given(actions, observations)
def test_the_model_follows_or_refuses_and_never_raises(action: Action, have: Observation) -> None:
    match after(action, have):
        case Success(state):
            assert isinstance(state, Observation)
        case Failure(why):
            assert why


@given(st.integers(1, LARGEST) | sizes.filter(bool))
def test_a_size_survives_being_written(size_bytes: int) -> None:
    assert parse_size("x", format_size(size_bytes)) == Success(size_bytes)
    if size_bytes >= LEAST_BARE:
        assert parse_size("x", size_bytes) == Success(size_bytes)


Raw = Mapping[object, object]
no_keys: Raw = {}
parts = st.fixed_dictionaries({}, optional={"root": st.integers(), "data": st.integers()})


@st.composite
def layers(draw: st.DrawFn) -> Raw:
    """What a profile or a VM says."""
    said: dict[object, object] = {}
    for key in ("memory", "volumes", "dns"):
        if draw(st.booleans()):
            said[key] = draw(st.integers() | parts)
    return said


@given(st.lists(layers(), max_size=3), layers())
def test_a_value_is_what_its_origin_says(below: list[Raw], own: Raw) -> None:
    profiles = {f"p{position}": layer for position, layer in enumerate(below)}
    said = {"vms.web": own, **{f"profiles.{name}": layer for name, layer in profiles.items()}}
    merged = reduce(merge, [*below, own], no_keys)
    found = origins({**own, "profile": list(profiles)}, profiles, "vms.web")
    assert {path.partition(".")[0] for path in found} == {
        key for key in merged if merged[key] != {}
    }
    for path, source in found.items():
        assert at(merged, path) == at(said[source], path)


def at(raw: Raw, path: str) -> object:
    """What stands there: below a key, or below one of the parts of a key."""
    key, _, part = path.partition(".")
    value = raw[key]
    if not part:
        return value
    assert isinstance(value, Mapping)
    return value[part]
