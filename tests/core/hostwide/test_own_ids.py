"""Ids that geats allocates, on a host with several VMs: told as stories."""

from dataclasses import replace

import pytest

from geats_core import Goal, HostFacts, HostPolicy, Observation, Target
from geats_core.containers.own_ids import IdRange, OwnIds
from geats_core.deciding.own_ids import lowest_free
from geats_core.deciding.planner import plan
from geats_core.hostwide.own_ids import settled_alone
from geats_core.hostwide.recheck import no_longer
from geats_core.hostwide.reservations import Reservation
from geats_core.jobs.clones import plan_clone
from geats_core.jobs.copies import copied
from geats_core.planning.actions import Define
from geats_core.planning.plugin_facts import DriverFacts, SubordinateIds
from geats_core.planning.spec_changes import drift, keeping_ids
from geats_core.plans.explain import explain
from geats_core.plans.field_changes import unlike
from geats_core.vm.spec import VMSpec
from tests.core.hosts import at, goals, planned, refused, vm

MANY = 65_536
SHARED = (100_000, MANY)


def host(*ranges: tuple[int, int], shared: tuple[int, int] | None = SHARED) -> HostFacts:
    return HostFacts(drivers={"lxc": DriverFacts(ids=SubordinateIds(ranges=ranges, shared=shared))})


HOST = host(SHARED, (1_000_000, 3 * MANY))
HALF = 32_768


def own(name: str, **more: object) -> VMSpec:
    return vm(name, idmap={**more} or "auto")


def ids(name: str, first: int, **more: object) -> VMSpec:
    return own(name, first=first, **more)


def defined(*specs: VMSpec, have: dict[str, Observation] | None = None) -> dict[str, VMSpec]:
    """What a plan for these defines them as."""
    made = planned(goals(Target.DEFINED, *specs), have or {}, HOST)
    actions = [step.action for step in made.steps]
    return {each.spec.name: each.spec for each in actions if isinstance(each, Define)}


def test_each_vm_has_a_range_that_is_free_and_the_plan_says_which() -> None:
    made = planned(goals(Target.DEFINED, own("web"), own("db"), vm("app")), {}, HOST)
    reasons = {step.vm: step.reason for step in made.steps}

    assert reasons == {
        "db": "db is not defined (its ids on the host are 1000000 to 1065535)",
        "web": "web is not defined (its ids on the host are 1065536 to 1131071)",
        "app": "app is not defined",
    }
    assert defined(own("web"), own("db")) == defined(own("db"), own("web"))


def test_a_vm_keeps_its_ids_whatever_else_changes_of_it() -> None:
    web, db = ids("web", 1_065_536), ids("db", 1_131_072)
    there = at(Target.RUNNING, web, db)

    assert planned(goals(Target.RUNNING, own("web"), own("db")), there, HOST).steps == ()
    assert defined(replace(own("web"), hostname="other"), have=there) == {
        "web": replace(web, hostname="other")
    }
    assert keeping_ids(own("web"), there["web"]) == web
    assert keeping_ids(own("web"), replace(there["web"], recorded=None)) == web
    assert drift(own("web"), there["web"]) == ()
    assert unlike(own("web"), there["web"]) == ()
    (goal,) = goals(Target.DEFINED, own("web"))
    assert plan(goal, there["web"], HOST).unwrap().steps == ()


def test_a_hole_keeps_the_ids_and_another_count_does_not() -> None:
    there = at(Target.STOPPED, ids("web", 1_065_536))

    assert defined(own("web", through=[33]), have=there)["web"].own_ids == OwnIds(
        first=1_065_536, through=(IdRange(guest=33, host=33, count=1),)
    )
    assert defined(own("web", count=HALF), have=there)["web"].own_ids == OwnIds(
        first=1_000_000, count=HALF
    )


def test_a_range_that_somebody_wrote_down_is_kept_where_it_is_the_same() -> None:
    written = [{"guest": 0, "host": 1_100_000, "count": MANY}]
    there = at(Target.STOPPED, vm("web", idmap=written))

    assert keeping_ids(own("web"), there["web"]) == ids("web", 1_100_000)
    assert keeping_ids(own("web", count=HALF), there["web"]) == own("web", count=HALF)
    assert defined(own("db"), have=there)["db"] == ids("db", 1_000_000)


def test_what_any_other_vm_has_is_taken_also_if_it_only_runs_with_it() -> None:
    before, now = ids("db", 1_000_000), ids("db", 1_131_072)
    there = at(Target.RUNNING, before)
    there["db"] = replace(there["db"], recorded=now, defined=now)

    assert defined(own("web"), have=there)["web"] == ids("web", 1_065_536)
    assert defined(own("web"), ids("app", 1_000_000))["web"] == ids("web", 1_065_536)


def test_what_a_vm_gives_back_is_free_again() -> None:
    there = at(Target.STOPPED, ids("db", 1_000_000))
    gone = dict(there, db=replace(there["db"], recorded=None, defined=None, in_effect=None))

    assert defined(own("web"), have=there)["web"] == ids("web", 1_065_536)
    assert defined(own("web"), have=gone)["web"] == ids("web", 1_000_000)


def test_a_privileged_vm_takes_none() -> None:
    there = at(Target.STOPPED, vm("db", privileged=True))
    assert defined(own("web"), have=there)["web"] == ids("web", 1_000_000)


def test_without_enough_ids_the_plan_says_what_to_do() -> None:
    full = at(Target.STOPPED, *(ids(f"vm{n}", 1_000_000 + n * MANY) for n in range(3)))
    start = "web.idmap: no 65536 ids are free among those that root has for users and groups"
    wanted = goals(Target.DEFINED, own("web"))

    assert refused(wanted, full, HOST) == [
        f"{start} (100000:65536, 1000000:196608): add the line root:1245184:6553600 to "
        "/etc/subuid and to /etc/subgid"
    ]
    assert refused(wanted, {}, host(shared=None)) == [
        f"{start} (none): add the line root:1048576:6553600 to /etc/subuid and to /etc/subgid"
    ]
    all_shared = host((100_000, 10 * MANY), shared=(100_000, 10 * MANY))
    assert refused(wanted, {}, all_shared) == [
        f"{start} (100000:655360): VMs without idmap have 100000:655360; give the driver "
        "idmap_first and idmap_count, to leave them fewer"
    ]
    last = 2**32 - 2 - MANY
    assert refused(wanted, {}, host(SHARED, (last, 9))) == [
        f"{start} (100000:65536, {last}:9): deprovision VMs that have some, or give them a smaller "
        "count"
    ]
    assert [str(each) for each in plan(wanted[0], Observation(), host(SHARED)).failure()] == [
        f"{start} (100000:65536): add the line root:196608:6553600 to /etc/subuid and to "
        "/etc/subgid"
    ]


def test_one_without_ids_stops_no_other() -> None:
    wanted = goals(Target.DEFINED, own("web", count=4 * MANY), vm("db", memory="1GiB"))
    assert [each.split(":")[0] for each in refused(wanted, {}, HOST)] == ["web.idmap"]


def test_no_two_vms_have_ids_of_one_of_them_alone() -> None:
    web, db = ids("web", 1_000_000), ids("db", 1_000_010)
    both = "has ids of the host from 1000010 on that are those of"
    there = at(Target.STOPPED, web)

    assert refused(goals(Target.DEFINED, db), there, HOST) == [f"db.idmap: {both} web as well"]
    assert refused(goals(Target.DEFINED, web, db), {}, HOST) == [f"db.idmap: {both} web as well"]
    written = vm("db", idmap=[{"guest": 0, "host": 1_000_010, "count": 9}])
    assert refused(goals(Target.DEFINED, written), there, HOST) == [f"db.idmap: {both} web as well"]
    later = at(Target.STOPPED, ids("db", 1_000_010))
    assert refused(goals(Target.DEFINED, web), later, HOST) == [f"web.idmap: {both} db as well"]
    assert planned(goals(Target.DEFINED, vm("app")), {**there, **later}, HOST).steps
    apart = ids("db", 1_065_536)
    assert planned(goals(Target.DEFINED, apart), there, HOST).steps


def test_holes_may_be_those_of_several() -> None:
    """They are ids of the host, and there to be shared."""
    web = ids("web", 1_000_000, through=[{"guest": 33, "count": 2}])
    db = ids("db", 1_065_536, through=[33])

    assert planned(goals(Target.DEFINED, web, db), {}, HOST).steps
    into = ids("db", 1_065_536, through=[{"guest": 33, "host": 1_000_033}])
    assert refused(goals(Target.DEFINED, web, into), {}, HOST) == [
        "db.idmap: has ids of the host from 1000033 on that are those of web as well"
    ]


def test_ids_of_all_others_are_those_of_none_alone() -> None:
    assert refused(goals(Target.DEFINED, ids("web", 165_535)), {}, HOST) == [
        "web.idmap: has ids of 100000:65536, which all VMs without idmap have"
    ]


def test_two_plans_that_were_made_at_once_do_not_both_take_the_same_ids() -> None:
    web, db = (planned(goals(Target.DEFINED, own(name)), {}, HOST) for name in ("web", "db"))
    taken = {"db": Reservation(spec=ids("db", 1_000_000), runs=False)}

    assert [str(each) for each in no_longer(web.plans, {}, HOST, HostPolicy(), taken)] == [
        "web.idmap: has ids of the host from 1000000 on that are those of db as well (an operation "
        "in progress takes it)"
    ]
    assert no_longer(db.plans, {}, HOST, HostPolicy(), taken) == ()


def test_a_copy_gets_ids_of_its_own() -> None:
    web = ids("web", 1_000_000, through=[33])
    there = at(Target.STOPPED, web)
    copy = copied(web, "copy", {}).unwrap()

    hole = (IdRange(guest=33, host=33, count=1),)
    assert copy.own_ids == OwnIds(through=hole)
    settled = settled_alone(copy, there, HOST).unwrap()
    assert settled.own_ids == OwnIds(through=hole, first=1_065_536)
    assert [str(each) for each in plan_clone("web", copy, there, HOST).failure()] == [
        "copy.idmap: has no ids yet: let the host allocate them first"
    ]
    assert copied(web, "copy", {"idmap": {"first": 7}}).unwrap().own_ids == OwnIds(first=7)
    small = host((1_000_000, MANY))
    assert [each.path for each in settled_alone(copy, there, small).failure()] == ["copy.idmap"]


def test_what_a_hole_opens_is_said() -> None:
    web = own(
        "web", through=[33, {"guest": 50, "host": 1000, "count": 3, "ids": "groups"}, 1 + 2**17]
    )
    made = planned(goals(Target.DEFINED, web), {}, HOST)
    opened = [line for line in explain(made.plans[0]).splitlines() if line.startswith("!")]
    assert opened == [
        "! web.idmap: the guest has the users and groups 33 of the host: their files are its own",
        "! web.idmap: the guest has the groups 1000 to 1002 of the host: their files are its own",
        "! web.idmap: the guest has the users and groups 131073 of the host: their files are its "
        "own",
    ]


@pytest.mark.parametrize(
    ("taken", "first"),
    [
        ([], 100),
        ([(100, 10)], 110),
        ([(105, 1), (117, 1)], 106),
        ([(105, 1), (112, 1)], 200),
        ([(0, 300)], None),
        ([(95, 5), (120, 5)], 100),
    ],
)
def test_the_lowest_range_that_is_free(taken: list[tuple[int, int]], first: int | None) -> None:
    assert lowest_free(10, [(200, 10), (100, 20)], taken) == first


def test_a_goal_for_what_runs_needs_no_ids() -> None:
    there = at(Target.RUNNING, ids("web", 1_000_000))
    off = Goal(name="web", target=Target.OFF, spec=own("web"))
    assert planned([off], there, HOST).steps
