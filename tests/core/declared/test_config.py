"""The configuration of a host."""

import pytest
from returns.result import Failure, Success

from geats_core import Gone, HostConfig, Problem, parse_config
from geats_core.declared.config import Plugin, StackLayer, read_config, read_in_part
from geats_core.declared.template import Files, Template
from tests.core.hosts import VM_RULE

LOWEST = StackLayer(type="z", options={})


def test_an_empty_configuration_is_all_defaults() -> None:
    assert parse_config({}) == Success(HostConfig())


def test_the_key_on_is_read_whatever_yaml_makes_of_it() -> None:
    pools = {"a": {"type": "x", True: {"type": "y", True: {"type": "z"}}}}
    stack = StackLayer(type="x", options={}, on=StackLayer(type="y", options={}, on=LOWEST))
    assert parse_config({"pools": pools}).unwrap().pools == {"a": stack}
    twice = {"a": {"type": "x", "on": {"type": "z"}, True: {"type": "z"}}}
    assert [str(each) for each in parse_config({"pools": twice}).failure()] == [
        "pools.a.true: unknown key true (there is: on, shared, type)"
    ]
    other = {"a": {"type": "x", 1: {"type": "z"}}}
    assert parse_config({"pools": other}).failure()[0].path == "pools.a.1"


def test_a_configuration_is_a_mapping() -> None:
    assert parse_config([]) == Failure((Problem("", "must be a mapping, got a list"),))


def test_a_whole_configuration_is_read() -> None:
    digest = "0" * 64
    raw = {
        "state_dir": "/srv/geats",
        "run_dir": "/run/g",
        "registry": "memory",
        "bind_sources": ["/srv/media", "//srv/./shared/"],
        "drivers": {"lxc": {"path": "/var/lib/lxc"}},
        "pools": {
            "disks": {
                "type": "filesystem",
                "fstype": "ext4",
                "on": {"type": "sparsefile", "path": "/srv/images"},
            }
        },
        "templates": {"debian": {"path": "/t/d.tar", "sha256": digest, "overlay": "/t/o.tar"}},
        "profiles": {"small": {"memory": "512MiB"}},
        "vms": {"web": {"template": "debian"}, "db": {}},
    }

    assert parse_config(raw) == Success(
        HostConfig(
            state_dir="/srv/geats",
            run_dir="/run/g",
            registry=Plugin(type="memory"),
            bind_sources=("/srv/media", "/srv/shared"),
            drivers={"lxc": Plugin(type="lxc", options={"path": "/var/lib/lxc"})},
            pools={
                "disks": StackLayer(
                    type="filesystem",
                    options={"fstype": "ext4"},
                    on=StackLayer(type="sparsefile", options={"path": "/srv/images"}),
                )
            },
            templates={
                "debian": Template(
                    name="debian",
                    source=Files(path="/t/d.tar", sha256=digest),
                    overlays=(Files(path="/t/o.tar"),),
                )
            },
            profiles={"small": {"memory": "512MiB"}},
            vms={"web": {"template": "debian"}, "db": {}},
        )
    )


def test_every_mistake_in_a_configuration_is_reported() -> None:
    raw = {
        "state_dir": "/srv/../etc",
        "bind_sources": ["/", "srv", f"/{'ä' * 256}"],
        "pools": {"a b": {"type": "x"}, "p": {"on": {"type": "X"}, 1: 2}},
        "templates": {"t": {"sha256": "0"}},
        "vms": {"-web": {}},
        "gone": {"web": "away", "db": "stopped"},
        "profiles": [],
        "vm": {},
    }
    name = "must be 1 to 63 lower-case letters, digits and inner hyphens"

    assert parse_config(raw) == Failure(
        (
            Problem("state_dir", "must be an absolute path without '..', got '/srv/../etc'"),
            Problem("bind_sources[0]", "must be a path below / of at most 512 bytes, got '/'"),
            Problem("bind_sources[1]", "must be an absolute path without '..', got 'srv'"),
            Problem(
                "bind_sources[2]",
                f"must be a path below / of at most 512 bytes, got '/{'ä' * 79}'…",
            ),
            Problem("pools.a b", f"{name}, got 'a b'"),
            Problem("pools.p.on.type", f"{name}, got 'X'"),
            Problem("pools.p.type", "is missing"),
            Problem("pools.p.1", "unknown key 1 (there is: on, shared, type)"),
            Problem(
                "templates.t",
                "must have exactly one of path, oci, image, simplestreams, build, disk, empty, "
                "got none",
            ),
            Problem("templates.t.sha256", "is allowed only with path"),
            Problem("templates.t.sha256", "must be 64 lower-case hexadecimal digits, got '0'"),
            Problem("profiles", "must be a mapping, got a list"),
            Problem("vms.-web", f"must be {VM_RULE}, got '-web'"),
            Problem(
                "gone.web",
                "unknown way to be gone 'away' (there is: deprovisioned, stopped, undefined)",
            ),
            Problem(
                "vm",
                "unknown key 'vm', did you mean 'vms'? (there is: agent, bind_sources, "
                "device_sources, drivers, events, gone, hook_directories, lock, policy, pools, "
                "profiles, registry, "
                "run_dir, state_dir, templates, vms)",
            ),
        )
    )


def test_a_wrong_vm_harms_no_other() -> None:
    vms = {"web": 1, "db": [], "mail": {"template": "debian", "memory": "lots"}}
    assert parse_config({"vms": vms}) == Success(HostConfig(vms=vms))


def test_a_wrong_name_harms_no_other_vm() -> None:
    """Nor does that of what only some VMs need; a driver or a pool may be where all VMs are."""
    good: dict[str, dict[object, object]] = {
        "vms": {"web.example.com": {}, "web": 1},
        "gone": {"db_1": "stopped"},
    }
    bad: dict[str, dict[object, object]] = {
        "vms": {"web.": {}, "web.example": None, 7: {}, None: {}, "a\nb": {}},
        "gone": {"-x": "stopped", "db.1": "away", "Mail": "stopped"},
        "templates": {"Debian": {"path": "/t"}},
        "profiles": {"Small.1": {}},
    }
    raw = {key: {**good.get(key, {}), **entries} for key, entries in bad.items()}
    config = read_config(raw).unwrap()
    assert set(config.vms) == {"web.example.com", "web", "web.example"}
    assert set(config.gone) == {"db_1", "Mail"}
    assert config.misnamed == {
        "web.": f"geats.vms.web.: must be {VM_RULE}, got 'web.'",
        "7": "geats.vms.7: must be text, got 7: write '7'",
        "null": f"geats.vms.null: must be {VM_RULE}, got null",
        "'a\\nb'": f"geats.vms.'a\\nb': must be {VM_RULE}, got 'a\\nb'",
    }
    assert set(config.unclear) == {"-x", "db.1"}
    assert {"templates.Debian", "profiles.Small.1"} <= config.wrong.keys()
    for key in ("drivers", "pools"):
        assert isinstance(read_config({key: {"Fast": {"type": "memory"}}}), Failure)


def stack(layers: int) -> dict[str, object]:
    """That many layers, each on the next."""
    below = {"on": stack(layers - 1)} if layers > 1 else {}
    return {"type": "crypt", **below}


def test_a_stack_is_at_most_eight_layers_deep() -> None:
    deepest = "pools.p" + ".on" * 8
    itself: dict[str, object] = {"type": "crypt"}
    itself["on"] = itself

    assert isinstance(parse_config({"pools": {"p": stack(8)}}), Success)
    for too_deep in (stack(9), itself):
        assert parse_config({"pools": {"p": too_deep}}) == Failure(
            (Problem(deepest, "is more than 8 layers deep"),)
        )


def test_a_vm_is_gone_by_its_name() -> None:
    raw = {
        "vms": {"web": {}},
        "gone": {"db": "stopped", "old": "undefined", "tmp": "deprovisioned"},
    }

    config = parse_config(raw).unwrap()

    assert config.gone == {"db": Gone.STOPPED, "old": Gone.UNDEFINED, "tmp": Gone.DEPROVISIONED}
    assert config.known == {"web", "db", "old", "tmp"}


def test_a_vm_is_described_or_gone_and_never_both() -> None:
    assert parse_config({"vms": {"web": {}}, "gone": {"web": "stopped"}}) == Failure(
        (Problem("gone.web", "is under vms as well: remove it from one of the two"),)
    )


def test_entries_that_are_wrong_are_left_out_and_named() -> None:
    pools = {"good": {"type": "x"}, "bad": {"path": "/x"}}
    raw: dict[str, object] = {"pools": pools, "profiles": {"odd": 5}}
    config = read_config(raw).unwrap()
    assert (list(config.pools), list(config.profiles)) == (["good"], [])
    assert config.wrong == {
        "pools.bad": "geats.pools.bad.type: is missing",
        "profiles.odd": "geats.profiles.odd: must be a mapping, got 5",
    }


def test_of_a_vm_that_is_described_and_gone_neither_holds_and_no_other_is_concerned() -> None:
    gone = {"web": "stopped", "odd": None, "old": "undefined"}
    config = read_config({"vms": {"web": {}, "db": {}}, "gone": gone}).unwrap()
    assert config.gone == {"old": Gone.UNDEFINED}
    assert config.known == {"db", "odd", "old", "web"}
    assert config.unclear == {
        "odd": "geats.gone.odd: unknown way to be gone null"
        " (there is: deprovisioned, stopped, undefined)",
        "web": "geats.gone.web: is under vms as well: remove it from one of the two",
    }


@pytest.mark.parametrize(
    "raw",
    [
        {},
        5,
        {"pools": {"bad": {}}, "pols": {}},
        {"pools": {"bad": {}}, "templates": 5},
        {"pools": {"Not a name": {"type": "x"}}},
    ],
)
def test_what_is_wrong_with_no_entry_is_wrong_with_all(raw: object) -> None:
    assert read_config(raw) == parse_config(raw)


def test_a_key_that_is_wrong_is_left_out_for_those_who_plan_nothing() -> None:
    raw = {"polciy": {}, "pools": {"bad": {}, "good": {"type": "x"}}, "templates": 5, 7: 1}
    config = read_in_part(raw).unwrap()
    assert (list(config.pools), config.templates) == (["good"], {})
    assert list(config.wrong) == ["pools.bad", "templates", "polciy", "7"]
    assert [why.partition(":")[0] for why in config.unsound] == [
        "geats.templates",
        "geats.polciy",
        "geats.7",
    ]
    assert read_in_part({"pools": {"bad": {}}}) == read_config({"pools": {"bad": {}}})
    assert read_config({"pools": {"bad": {}}}).unwrap().unsound == ()


@pytest.mark.parametrize("raw", [5, {"state_dir": "x"}, {"drivers": 1}, {"regstry": "x"}])
def test_where_the_vms_are_is_never_left_out(raw: object) -> None:
    assert read_in_part(raw) == parse_config(raw)
