"""Keys that only a driver knows: read as plain data, and held against its schemas."""

import pytest
from returns.result import Success

from geats_core import DriverFacts, Goal, HostFacts, Impact, Observation, Target, changes, plan
from geats_core import parse_vm as parse
from geats_core import to_plain as spec_to_plain
from geats_core.planning.costs import Cost
from geats_core.reading.sizes import parse_size
from geats_core.vm.hardware import problems, read_hardware, to_plain

BUS: dict[str, object] = {"enum": ["virtio", "scsi"]}
KEYS: dict[str, object] = {
    "tpm": {"type": "boolean"},
    "max_memory": parse_size.schema(),
    "max_cpus": {"type": "integer", "minimum": 1, "maximum": 64},
    "disks": {
        "type": "object",
        "additionalProperties": {
            "type": "object",
            "properties": {"bus": BUS},
            "required": ["bus"],
            "additionalProperties": False,
        },
    },
    "boot": {"type": "array", "items": {"type": "string", "pattern": "^[a-z]+$"}},
    "cpu": {"type": "string", "description": "a model of libvirt"},
    "odd": {"const": 1},
    "any": True,
    "weight": {"minimum": 5},
}
RAW = {"driver": "kvm", "template": "debian"}


def wrong(hardware: object) -> list[str]:
    return [str(each) for each in problems("kvm", KEYS, read_hardware("", hardware).unwrap())]


def test_the_keys_of_a_driver_come_back_as_they_were() -> None:
    raw = {"tpm": True, "disks": {"data": {"bus": "scsi"}}, "boot": ["disk"]}
    spec = parse("web", {**RAW, "hardware": raw}).unwrap()

    assert to_plain(spec.hardware) == raw
    assert parse("web", spec_to_plain(spec)) == Success(spec)
    assert "hardware" not in spec_to_plain(parse("web", RAW).unwrap())


@pytest.mark.parametrize("raw", [[], "x", {"A b": 1}, {"x": {1, 2}}, {"x": float("nan")}])
def test_what_is_no_plain_data_is_refused(raw: object) -> None:
    assert [each.path.partition(".")[0] for each in read_hardware("hardware", raw).failure()] == [
        "hardware"
    ]


def test_what_a_driver_takes_is_right() -> None:
    right = {
        "tpm": False,
        "max_memory": "8GiB",
        "max_cpus": 8,
        "disks": {"data": {"bus": "scsi"}},
        "boot": ["disk", "cdrom"],
        "cpu": "host-model",
        "odd": [1],
        "any": {"x": 1},
    }
    assert wrong(right) == []
    assert wrong({"max_memory": 8 << 30}) == []


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"tmp": True}, "hardware.tmp: unknown key of the driver 'kvm' 'tmp', did you mean 'tpm'?"),
        ({"tpm": 1}, "hardware.tpm: must be true or false, got 1"),
        ({"max_cpus": True}, "hardware.max_cpus: must be a whole number from 1 to 64, got true"),
        ({"max_cpus": 0}, "hardware.max_cpus: must be a whole number from 1 to 64, got 0"),
        ({"max_cpus": 65}, "hardware.max_cpus: must be a whole number from 1 to 64, got 65"),
        ({"max_memory": "8 bananas"}, "hardware.max_memory: must be a size such as 10GiB or a"),
        ({"weight": 4}, "hardware.weight: must be something else, got 4"),
        ({"cpu": 1}, "hardware.cpu: must be a model of libvirt, got 1"),
        ({"boot": ["disk", "1"]}, "hardware.boot[1]: must be text, got '1'"),
        (
            {"disks": {"data": {"bus": "ide"}}},
            "hardware.disks.data.bus: must be one of virtio, scsi",
        ),
        ({"disks": {"data": {}}}, "hardware.disks.data.bus: is missing"),
        ({"disks": {"data": {"bus": "scsi", "x": 1}}}, "hardware.disks.data.x: unknown key 'x'"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(raw: object, said: str) -> None:
    (found,) = wrong(raw)
    assert found.startswith(said)


def test_a_plan_is_refused_for_keys_that_the_driver_has_not() -> None:
    able = DriverFacts(keys=KEYS, lacks=frozenset({"privileged", "processes", "init"}))
    raw = {**RAW, "hardware": {"tmp": True}, "privileged": True}
    goal = Goal(name="web", target=Target.DEFINED, spec=parse("web", raw).unwrap())
    found = plan(goal, Observation(), HostFacts(drivers={"kvm": able})).failure()

    assert [each.path for each in found] == ["web.hardware.tmp", "web.privileged"]
    assert plan(goal, Observation(), HostFacts(drivers={"kvm": DriverFacts()})).unwrap().steps


def test_each_key_changes_at_the_cost_that_the_driver_says() -> None:
    def spec(memory: str) -> dict[str, object]:
        return {
            **RAW,
            "memory": memory,
            "hardware": {"max_memory": "4GiB", "tpm": memory == "2GiB"},
        }

    old, new, most = (parse("web", spec(size)).unwrap() for size in ("1GiB", "2GiB", "8GiB"))
    live = Cost(rises=Impact.LIVE, falls=Impact.LIVE, most="hardware.max_memory")
    costs = {"memory": live, "hardware.tpm": Cost.always(Impact.NONE)}

    assert [(c.field, c.impact) for c in changes(old, new, costs)] == [
        ("memory", Impact.LIVE),
        ("hardware.tpm", Impact.NONE),
    ]
    assert [(c.field, c.impact) for c in changes(old, most, costs)] == [("memory", Impact.RESTART)]
