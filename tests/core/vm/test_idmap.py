"""The ids of guests: ranges that may be, and those that may not."""

import pytest
from returns.result import Failure

from geats_core.deciding.planner import plan
from geats_core.planning.goal import Goal, Target
from geats_core.planning.host_facts import HostFacts
from geats_core.planning.plugin_facts import DriverFacts, PoolFacts
from geats_core.vm.idmap import sharing
from geats_core.vm.lxc_config import LxcFacts, render_lxc_config
from geats_core.vm.observation import Observation
from geats_core.vm.parse import parse_vm, to_plain
from geats_core.vm.spec import IdRange, Ids, OwnIds, VMSpec

ROOTS = {"guest": 0, "host": 100_000, "count": 1000}
HOLE = {"guest": 1000, "host": 1000, "count": 1, "ids": "users"}


def web(*ranges: object, **more: object) -> VMSpec:
    return parse_vm("web", {"template": "debian", "idmap": ranges, **more}).unwrap()


def problems(*ranges: object, **more: object) -> list[str]:
    parsed = parse_vm("web", {"template": "debian", "idmap": ranges, **more})
    return [f"{each.path}: {each.message}" for each in parsed.failure()]


def test_ranges_are_read_and_written() -> None:
    spec = web(ROOTS, HOLE)
    assert spec.idmap == (
        IdRange(guest=0, host=100_000, count=1000),
        IdRange(guest=1000, host=1000, count=1, ids=Ids.USERS),
    )
    assert to_plain(spec)["idmap"] == [ROOTS, HOLE]
    assert "idmap" not in to_plain(web())
    assert parse_vm("web", to_plain(spec)).unwrap() == spec


def test_the_config_has_them_in_place_of_the_hosts_range() -> None:
    text = render_lxc_config(web(ROOTS, HOLE), LxcFacts(volume_paths={"root": "/p"}))
    assert [line for line in text.splitlines() if line.startswith("lxc.idmap")] == [
        "lxc.idmap = u 0 100000 1000",
        "lxc.idmap = g 0 100000 1000",
        "lxc.idmap = u 1000 1000 1",
    ]


@pytest.mark.parametrize(
    ("ranges", "said"),
    [
        ([{**ROOTS, "host": 0}], "idmap[0].host: must not be root of the host"),
        ([{**ROOTS, "host": 2**32 - 10}], "idmap[0]: must end at 4294967294 or below"),
        ([{**ROOTS, "guest": 5}], "idmap: must have a range for root of the guest"),
        ([{**ROOTS, "ids": "users"}], "idmap: must have a range for root of the guest"),
        ([ROOTS, {**HOLE, "guest": 999}], "idmap: has two ranges with the same users of the guest"),
        ([ROOTS, {**HOLE, "host": 100_999}], "idmap: has two ranges with the same users of the ho"),
        ([ROOTS] * 341, "idmap: must be of 340 ranges at most, got 341"),
        ([{**ROOTS, "count": 0}], "idmap[0].count: must be"),
    ],
)
def test_ranges_that_may_not_be_are_refused(ranges: list[object], said: str) -> None:
    assert any(each.startswith(said) for each in problems(*ranges)), problems(*ranges)


@pytest.mark.parametrize(
    ("raw", "own"),
    [
        ("auto", OwnIds()),
        ({"count": 1000}, OwnIds(count=1000)),
        ({"first": 200_000}, OwnIds(first=200_000)),
        (
            {"through": [1000, {"guest": 5, "host": 6, "count": 2, "ids": "groups"}]},
            OwnIds(
                through=(
                    IdRange(guest=1000, host=1000, count=1),
                    IdRange(guest=5, host=6, count=2, ids=Ids.GROUPS),
                )
            ),
        ),
    ],
)
def test_geats_allocates_them_if_that_is_said(raw: object, own: OwnIds) -> None:
    spec = parse_vm("web", {"template": "debian", "idmap": raw}).unwrap()
    assert (spec.own_ids, spec.idmap) == (own, ())
    assert parse_vm("web", to_plain(spec)).unwrap() == spec
    assert (
        to_plain(parse_vm("web", {"template": "debian", "idmap": {}}).unwrap())["idmap"] == "auto"
    )


def test_holes_are_cut_out_of_what_is_allocated() -> None:
    through = (
        IdRange(guest=1000, host=1000, count=2),
        IdRange(guest=5, host=6, count=1, ids=Ids.GROUPS),
        IdRange(guest=70_000, host=70_000, count=1),
    )
    own = OwnIds(first=200_000, through=through)
    assert OwnIds(through=through).ranges == ()
    assert OwnIds(first=200_000).ranges == (IdRange(guest=0, host=200_000, count=65_536),)
    assert set(own.ranges) == {
        IdRange(guest=0, host=200_000, count=1000, ids=Ids.USERS),
        IdRange(guest=0, host=200_000, count=5, ids=Ids.GROUPS),
        IdRange(guest=5, host=6, count=1, ids=Ids.GROUPS),
        IdRange(guest=6, host=200_006, count=994, ids=Ids.GROUPS),
        IdRange(guest=1000, host=1000, count=2),
        IdRange(guest=1002, host=201_002, count=64_534),
        IdRange(guest=70_000, host=70_000, count=1),
    }
    to_the_end = OwnIds(first=200_000, count=10, through=(IdRange(guest=8, host=8, count=2),))
    assert to_the_end.ranges == (
        IdRange(guest=0, host=200_000, count=8),
        IdRange(guest=8, host=8, count=2),
    )
    at_once = OwnIds(first=200_000, count=10, through=(IdRange(guest=0, host=8, count=2),))
    assert at_once.ranges[0] == IdRange(guest=0, host=8, count=2)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ("own", "idmap: must be auto, a mapping or a list of ranges, got 'own'"),
        ({"count": 0}, "idmap.count: must be"),
        ({"count": 2**32 - 2, "first": 9}, "idmap: must end at"),
        ({"through": [0]}, "idmap.through[0].host: must not be root of the host"),
        (
            {"through": [5, {"guest": 5, "host": 9}]},
            "idmap: has two ranges with the same users of the guest, from 5 on",
        ),
        ({"first": 100, "through": [101]}, "idmap: has two ranges with the same users of the host"),
        ({"through": [{"host": 5}]}, "idmap.through[0].guest: is missing"),
    ],
)
def test_what_cannot_be_allocated_is_refused(raw: object, said: str) -> None:
    wrong = parse_vm("web", {"template": "debian", "idmap": raw}).failure()
    found = [f"{each.path}: {each.message}" for each in wrong]
    assert any(each.startswith(said) for each in found), found


def test_where_ids_are_allocated_they_are_beside_the_holes() -> None:
    holes = [{"guest": 0, "host": 5, "count": 2}, {"guest": 5, "host": 20, "count": 100_000}]
    spec = parse_vm("web", {"template": "d", "idmap": {"through": holes}}).unwrap()
    assert spec.ids == ()


def test_ids_that_are_to_be_allocated_are_for_unprivileged_vms_only() -> None:
    raw = {"template": "debian", "idmap": "auto", "privileged": True}
    assert [each.path for each in parse_vm("web", raw).failure()] == ["idmap"]


def test_a_privileged_vm_has_none() -> None:
    assert problems(ROOTS, privileged=True) == [
        "idmap: is for unprivileged VMs only, and the VM is privileged"
    ]


def test_a_pool_that_shows_shifted_ids_takes_no_others() -> None:
    """The files on it would be of users that the guest has not."""
    facts = HostFacts(
        drivers={"lxc": DriverFacts()}, pools={"default": PoolFacts(shifted_by=100_000)}
    )

    def refused(spec: VMSpec) -> bool:
        goal = Goal(name="web", target=Target.RUNNING, spec=spec)
        made = plan(goal, Observation(), facts)
        return isinstance(made, Failure) and "idmap" in str(made.failure())

    assert not refused(web(ROOTS))
    assert refused(web(ROOTS, HOLE))
    assert refused(web({**ROOTS, "host": 200_000}))


def test_vms_that_have_the_same_ids_on_the_host_are_found() -> None:
    """Also by way of another: a and c have none in common, and both some with b."""

    def of_users(host: int) -> tuple[IdRange, ...]:
        return (IdRange(guest=0, host=host, count=100, ids=Ids.USERS),)

    groups = (IdRange(guest=0, host=1000, count=100, ids=Ids.GROUPS),)
    maps = {"a": of_users(1000), "c": of_users(1190), "b": of_users(1080), "d": of_users(5000)}
    assert sharing({**maps, "e": groups}) == (("a", "b"),)
    assert sharing({**maps, "b": of_users(1080) + of_users(1100)}) == (("a", "b", "c"),)
    assert sharing({}) == ()
