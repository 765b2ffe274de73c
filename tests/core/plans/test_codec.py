"""Dataclasses as plain data, and back."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from returns.result import Failure, Success

from geats_core import (
    HostFacts,
    Impact,
    Observation,
    PoolFacts,
    Power,
    Problem,
    Stage,
    Step,
    VolumeSeen,
    parse_vm,
    to_plain,
)
from geats_core.containers.cgroups import CgroupLimits
from geats_core.planning.actions import (
    Action,
    AllocateVolume,
    AwaitReady,
    Define,
    SetLimits,
    Shutdown,
    Start,
)
from geats_core.planning.spec_changes import Change
from geats_core.plans.codec import DEEPEST, decode, encode, parser_of
from geats_core.vm.readiness import HttpProbe, Ready
from geats_core.vm.spec import Limits
from tests.core.hosts import VM_RULE

WEB = parse_vm("web", {"template": "debian", "memory": "512MiB"}).unwrap()
ROOT = VolumeSeen(name="root", pool="fast", stage=Stage.FORMATTED, active=True)
PLAIN_ROOT = {
    "name": "root",
    "pool": "fast",
    "stage": "formatted",
    "active": True,
    "size_bytes": None,
    "template": None,
    "guest": None,
    "snapshots": [],
    "unreadable": "",
    "locked": False,
}


@dataclass(frozen=True)
class Example:
    """One field of each kind that no type of geats has yet."""

    pair: tuple[str, int]
    labels: Mapping[str, str] = field(default_factory=dict)
    share: float = 1.0


def problems(kind: object, raw: object) -> list[str]:
    return [str(problem) for problem in parser_of(kind)("x", raw).failure()]


def nested(levels: int) -> object:
    """A list in a list in a list, so many in all."""
    found: object = "end"
    for _ in range(levels):
        found = [found]
    return found


def test_an_observation_is_written_field_by_field() -> None:
    have = Observation(recorded=WEB, power=Power.RUNNING, volumes=(ROOT,), by_hand=("a = b",))

    assert encode(have) == {
        "recorded": {"name": "web", **to_plain(WEB)},
        "defined": None,
        "in_effect": None,
        "power": "running",
        "volumes": [PLAIN_ROOT],
        "locked": False,
        "half_locked": False,
        "to_run": False,
        "to_freeze": False,
        "ended": False,
        "copy_of": "",
        "renaming": None,
        "by_hand": ["a = b"],
        "foreign": False,
        "foreign_nics": [],
        "unreliable": "",
        "missing": [],
        "drivers": [],
    }
    assert decode(Observation, "x", encode(have)) == Success(have)


def test_the_facts_of_a_host_are_written_in_one_order_only() -> None:
    names = [f"t{number}" for number in range(10, 40)]
    facts = HostFacts(
        templates=frozenset(names), pools={"fast": PoolFacts(snapshots=True)}, cpus=1.5
    )
    plain = encode(facts)

    assert isinstance(plain, dict)
    assert plain["templates"] == names
    assert plain["pools"]["fast"]["snapshots"] is True
    assert decode(HostFacts, "x", plain) == Success(facts)


def test_an_action_says_which_it_is() -> None:
    allocate = AllocateVolume("fast", "root", None)
    plain = {"do": "AllocateVolume", "pool": "fast", "volume": "root", "size_bytes": None}

    assert encode(allocate) == plain
    assert encode(Start()) == {"do": "Start"}
    assert parser_of(Action)("x", plain) == Success(allocate)
    assert parser_of(Action)("x", {"do": "Start"}) == Success(Start())


def test_when_a_vm_is_ready_is_written_as_people_write_it() -> None:
    action = AwaitReady(Ready(probe=HttpProbe(80, "/health")))
    plain = {
        "do": "AwaitReady",
        "ready": {"http": ":80/health", "status": 200, "timeout": 60},
    }

    assert encode(action) == plain
    assert parser_of(Action)("x", plain) == Success(action)
    assert problems(Action, {"do": "AwaitReady", "ready": {"tcp": 0}}) == [
        "x.ready.tcp: must be a whole number from 1 to 65535, got 0"
    ]


def test_what_is_inside_an_action_is_read_by_its_own_type() -> None:
    limits = SetLimits(Limits(memory_bytes=512))

    assert encode(limits) == {
        "do": "SetLimits",
        "limits": {
            **{"memory_bytes": 512, "cpus": None, "processes": None},
            "cgroup": encode(CgroupLimits()),
        },
    }
    assert parser_of(Action)("x", encode(limits)) == Success(limits)
    assert parser_of(Action)("x", encode(Define(WEB, ("a",)))) == Success(Define(WEB, ("a",)))


def test_a_step_is_read_with_its_changes() -> None:
    step = Step(
        vm="web",
        action=Shutdown(60),
        reason="memory changed",
        changes=(Change("volumes", None, [{"name": "data"}], Impact.DATA_LOSS),),
        needs=(0, 1),
    )

    assert decode(Step, "x", json.loads(json.dumps(encode(step)))) == Success(step)


def test_a_field_with_a_default_may_be_absent() -> None:
    assert decode(Observation, "x", {}) == Success(Observation())
    assert decode(Example, "x", {"pair": ["a", 1]}) == Success(Example(("a", 1)))


def test_a_field_that_may_be_none_and_has_no_default_must_be_there() -> None:
    assert problems(Action, {"do": "AllocateVolume", "pool": "fast", "volume": "root"}) == [
        "x.size_bytes: is missing"
    ]


def test_every_mistake_is_reported_where_it_stands() -> None:
    raw = {
        "power": "on",
        "volumes": [PLAIN_ROOT, {"name": 1, "stage": "Formatted", "active": 1, "sise_bytes": 1}],
        "recorded": {"name": "-web", "template": "debian", "cpus": 0},
        "locked": None,
    }
    fields = "active, guest, locked, name, pool, size_bytes, snapshots, stage, template, unreadable"

    assert sorted(problems(Observation, raw)) == [
        "x.locked: must be true or false, got null",
        "x.power: unknown power 'on' (there is: frozen, held, running, stopped, stuck)",
        "x.recorded.cpus: must be a number of CPUs from 0.01 to 4096, got 0",
        f"x.recorded.name: must be {VM_RULE}, got '-web'",
        "x.volumes[1].active: must be true or false, got 1",
        "x.volumes[1].name: must be text, got 1",
        "x.volumes[1].pool: is missing",
        "x.volumes[1].sise_bytes: unknown key 'sise_bytes', did you mean 'size_bytes'? "
        f"(there is: {fields})",
        "x.volumes[1].stage: unknown word 'Formatted', did you mean 'formatted'? "
        "(there is: allocated, filling, formatted, installed)",
    ]


@pytest.mark.parametrize(
    ("kind", "raw", "message"),
    [
        (int, True, "must be a whole number, got true"),
        (int, 1.0, "must be a whole number, got 1.0"),
        (float, True, "must be a number, got true"),
        (float, float("nan"), "must be a number, got nan"),
        (float, float("inf"), "must be a number, got inf"),
        (float, 2**1000, "must be a number, got a number of 1001 bits"),
        (bool, 0, "must be true or false, got 0"),
        (str, 1, "must be text, got 1"),
        (str, "\ud800", "must be text, got '\\ud800'"),
        (str | None, 1, "must be text, got 1"),
        (tuple[int, ...], "12", "must be a list, got '12'"),
        (tuple[str, int], ["a"], "must be a list of 2, got a list"),
        (frozenset[str], {"a": 1}, "must be a list, got a mapping"),
        (Mapping[str, int], [], "must be a mapping, got a list"),
        (Limits, None, "must be a mapping, got null"),
        (WEB.__class__, "web", "must be a mapping, got 'web'"),
        (Action, [], "must be a mapping, got a list"),
    ],
)
def test_nothing_is_taken_for_what_it_is_not(kind: object, raw: object, message: str) -> None:
    assert problems(kind, raw) == [f"x: {message}"]


def test_a_mistake_in_a_mapping_is_reported_at_its_key() -> None:
    assert problems(Mapping[str, int], {1: 2, "a": "b", "c": 3}) == [
        "x.1: must be text, got 1",
        "x.a: must be a whole number, got 'b'",
    ]


def test_an_unknown_action_is_refused_where_its_name_stands() -> None:
    found = parser_of(Action)("x", {"do": "Strat"}).failure()

    assert [problem.path for problem in found] == ["x.do"]
    assert found[0].message.startswith("unknown kind 'Strat', did you mean 'Start'?")
    assert parser_of(Action)("x", {}).failure()[0].message.startswith("unknown kind null")


def test_only_what_is_chosen_among_says_which_it_is() -> None:
    assert problems(Limits, {"do": "Limits"}) == [
        "x.do: unknown key 'do' (there is: cgroup, cpus, memory_bytes, processes)"
    ]


def test_a_whole_number_is_read_where_a_fraction_may_stand() -> None:
    assert decode(Example, "x", {"pair": ["a", 1], "share": 2}) == Success(
        Example(("a", 1), share=2.0)
    )


def test_plain_data_is_taken_as_it_is_to_a_certain_depth() -> None:
    for raw in (None, True, 1, 1.5, "a", {"a": [{"b": None}]}, nested(DEEPEST)):
        assert parser_of(object)("x", raw) == Success(raw)

    too_deep = f"is more than {DEEPEST} levels deep"
    assert parser_of(object)("x", nested(DEEPEST + 1)) == Failure((Problem("x", too_deep),))
    assert parser_of(object)("x", nested(100_000)) == Failure((Problem("x", too_deep),))
    itself: dict[str, object] = {}
    itself["itself"] = itself
    assert parser_of(object)("x", itself) == Failure((Problem("x", too_deep),))


@pytest.mark.parametrize("raw", [{1: 2}, ["\ud800"], {"\ud800": 1}, [b"a"], [float("nan")], {1}])
def test_what_json_cannot_say_is_not_plain_data(raw: object) -> None:
    assert problems(object, raw) == ["x: must be plain data, as JSON has it"]


def test_what_is_no_type_of_a_field_is_a_bug() -> None:
    with pytest.raises(TypeError):
        parser_of(bytes)
