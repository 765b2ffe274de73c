"""Whether a host has what its VMs are promised, told as stories."""

from dataclasses import replace
from math import inf

import pytest

from geats_core import (
    DataLoss,
    Goal,
    HostFacts,
    HostPolicy,
    Observation,
    PoolFacts,
    Power,
    Target,
    VMSpec,
    describe,
    halt_goals,
    plan,
)
from geats_core.hostwide.capacity import limit_of, lower_first, promised
from tests.core.hosts import LXC, at, goals, order, planned, refused, vm, waits

GIB = 2**30
STOP = "(power off after 60 s)"


def sized(name: str, size: str, pool: str = "default") -> VMSpec:
    return vm(name, volumes=[{"name": "root", "pool": pool, "size": size}])


def test_what_does_not_fit_is_refused_with_who_has_the_rest() -> None:
    there = at(Target.RUNNING, vm("db", memory="6GiB", cpus=1.5))
    wanted = goals(Target.RUNNING, vm("web", memory="1.5GiB", cpus=2), vm("app", memory="1GiB"))
    facts = HostFacts(memory_bytes=8 * GIB, cpus=3.25)

    assert refused(wanted, there, facts, HostPolicy(cpu_overcommit=1)) == [
        "cpus: web (2 cpus) would take 2 cpus, but of the 3.25 cpus that may be promised "
        "1.75 cpus can be free: the rest is kept by db (1.5 cpus)",
        "memory: web (1.5GiB), app (1GiB) would take 2.5GiB, but of the 8GiB that may be "
        "promised 2GiB can be free: the rest is kept by db (6GiB)",
    ]
    assert planned(wanted, there, facts, HostPolicy(memory_overcommit=1.1)).steps
    assert planned(wanted, there).steps


def test_a_large_refusal_names_the_largest_few() -> None:
    specs = [vm(f"vm{number}", memory=number * 1000) for number in range(1, 8)]

    assert refused(goals(Target.RUNNING, *specs), {}, HostFacts(memory_bytes=999)) == [
        "memory: vm7 (6.83KiB), vm6 (5.85KiB), vm5 (4.88KiB), vm4 (3.9KiB), vm3 (2.92KiB), "
        "2 more would take 27.34KiB, but of the 999B that may be promised 999B can be free"
    ]


def test_starts_wait_for_stops_that_give_them_room() -> None:
    web, db = vm("web", memory="2GiB"), vm("db", memory="2GiB")
    there = at(Target.RUNNING, db) | at(Target.STOPPED, web)
    wanted = [*goals(Target.RUNNING, web), Goal(name="db", target=Target.OFF)]

    made = planned(wanted, there, HostFacts(memory_bytes=3 * GIB))

    assert waits(made) == {
        f"shut down db {STOP}": [],
        "start web": [f"shut down db {STOP}"],
    }
    assert waits(planned(wanted, there, HostFacts(memory_bytes=4 * GIB)))["start web"] == []


def test_no_start_waits_for_a_vm_that_only_restarts() -> None:
    web, db, app = (vm(name, memory="2GiB") for name in ("web", "db", "app"))
    there = at(Target.RUNNING, db, app) | at(Target.STOPPED, web)
    again = Goal(name="app", target=Target.REBOOTED, spec=app)
    wanted = [*goals(Target.RUNNING, web), Goal(name="db", target=Target.OFF), again]

    made = waits(planned(wanted, there, HostFacts(memory_bytes=4 * GIB)))

    assert made["start web"] == [f"shut down db {STOP}"]
    assert made["start app"] == [f"shut down app {STOP}"]


def test_a_stuck_vm_holds_its_memory_until_it_is_repaired() -> None:
    web, db = vm("web", memory="2GiB"), vm("db", memory="2GiB")
    there = at(Target.RUNNING, db) | at(Target.STOPPED, web)
    there["db"] = replace(there["db"], power=Power.STUCK)
    facts = HostFacts(memory_bytes=3 * GIB)

    assert refused(goals(Target.RUNNING, web), there, facts)
    made = planned([*goals(Target.RUNNING, web), Goal(name="db", target=Target.OFF)], there, facts)
    assert order(made)[0] == "repair db: end its stuck monitor"


def test_a_host_that_promised_too_much_may_still_do_what_takes_no_more() -> None:
    old, new = (
        vm("db", memory="2GiB"),
        vm("db", memory="2GiB", binds={"m": {"source": "/m", "mount": "/m"}}),
    )
    facts = HostFacts(memory_bytes=GIB)

    made = planned(goals(Target.RUNNING, new), at(Target.RUNNING, old), facts)
    assert order(made)[-1] == "start db"
    assert refused(goals(Target.RUNNING, vm("web", memory=1)), at(Target.RUNNING, old), facts) == [
        "memory: web (1B) would take 1B, but of the 1GiB that may be promised 0B can be free: "
        "the rest is kept by db (2GiB)"
    ]


def test_space_is_given_back_before_it_is_taken() -> None:
    facts = HostFacts(pools={"default": PoolFacts(size_bytes=10 * GIB)})
    there = at(Target.STOPPED, sized("old", "8GiB"))
    wanted = goals(Target.STOPPED, sized("new", "8GiB"))

    assert refused(wanted, there, facts) == [
        "pools.default: new (8GiB) would take 8GiB, but of the 10GiB that may be promised "
        "2GiB can be free: the rest is kept by old (8GiB)"
    ]
    made = planned([*wanted, Goal(name="old", target=Target.DEPROVISIONED)], there, facts)
    assert waits(made)["allocate volume new/root of 8GiB in pool default"] == [
        "define new",
        "destroy volume old/root in pool default",
    ]


def test_a_volume_that_grows_takes_what_it_grows_by() -> None:
    facts = HostFacts(pools={"default": PoolFacts(size_bytes=10 * GIB)})
    there = at(Target.RUNNING, sized("web", "8GiB"))

    assert planned(goals(Target.RUNNING, sized("web", "10GiB")), there, facts).steps
    assert refused(goals(Target.RUNNING, sized("web", "11GiB")), there, facts) == [
        "pools.default: web (3GiB) would take 3GiB, but of the 10GiB that may be promised "
        "2GiB can be free: the rest is kept by web (8GiB)"
    ]


def test_two_volumes_change_places_between_full_pools() -> None:
    sizes = {pool: PoolFacts(size_bytes=GIB) for pool in ("fast", "slow")}
    there = at(Target.STOPPED, sized("a", "1GiB", "fast"), sized("b", "1GiB", "slow"))
    wanted = [
        replace(goal, data_loss=DataLoss.ALLOWED)
        for goal in goals(Target.STOPPED, sized("a", "1GiB", "slow"), sized("b", "1GiB", "fast"))
    ]

    assert len(planned(wanted, there, HostFacts(pools=sizes)).steps) == 14


def test_limits_that_go_both_ways_are_set_in_two_steps_where_they_must() -> None:
    there = at(Target.RUNNING, vm("a", memory=2000, cpus=1), vm("b", memory=1000, cpus=2))
    wanted = goals(Target.RUNNING, vm("a", memory=1000, cpus=2), vm("b", memory=2000, cpus=1))
    facts = HostFacts(drivers=LXC, memory_bytes=3000, cpus=3)

    made = planned(wanted, there, facts, HostPolicy(cpu_overcommit=1))

    assert [words for words in order(made) if "limits" in words] == [
        "set the limits of a: memory 1000B, cpus 1",
        "set the limits of b: memory 1000B, cpus 1",
        "set the limits of a: memory 1000B, cpus 2",
        "set the limits of b: memory 2000B, cpus 1",
    ]
    assert [len(each.steps) for each in made.plans] == [3, 3]
    assert len(planned(wanted, there, facts).steps) == 4  # with cpus to spare


def test_no_rounding_refuses_what_fits() -> None:
    specs = [vm(f"vm{number}", cpus=0.1) for number in range(3)]

    assert planned(
        goals(Target.RUNNING, *specs), {}, HostFacts(cpus=0.3), HostPolicy(cpu_overcommit=1)
    ).steps


@pytest.mark.parametrize(
    ("facts", "policy", "limit"),
    [
        (HostFacts(), HostPolicy(), None),
        (HostFacts(memory_bytes=1000), HostPolicy(memory_overcommit=1.5), 1500),
        (HostFacts(memory_bytes=1), HostPolicy(memory_overcommit=0.5), 0),
        (HostFacts(memory_bytes=10**400), HostPolicy(), 10**400),
        (HostFacts(memory_bytes=1), HostPolicy(memory_overcommit=inf), None),
    ],
)
def test_the_limit_is_what_there_is_times_the_factor(
    facts: HostFacts, policy: HostPolicy, limit: int | None
) -> None:
    assert limit_of("memory", facts, policy) == limit
    assert limit_of("cpus", HostFacts(cpus=inf), policy) is None


def test_what_stops_needs_no_room() -> None:
    there = at(Target.RUNNING, vm("db", memory="2GiB"))

    assert len(planned(halt_goals(there), there, HostFacts(memory_bytes=1)).steps) == 1


def test_what_has_no_limit_is_promised_nothing() -> None:
    have = at(Target.RUNNING, vm("web"))["web"]

    assert promised(have, "web") == {
        ("memory", "web", ""): 0,
        ("cpus", "web", ""): 0,
        ("pools.default", "web", "root"): 0,
    }
    assert promised(Observation(), "web") == {}


def test_a_vm_that_is_to_be_started_again_keeps_its_room() -> None:
    """An interrupted plan powered it off; it can be started, and nobody else takes its place."""
    web, db = vm("web", memory="1GiB"), vm("db", memory="1GiB")
    there = {**at(Target.STOPPED, web, db)}
    there["db"] = replace(there["db"], to_run=True)
    facts = HostFacts(memory_bytes=GIB)

    assert refused(goals(Target.RUNNING, web), there, facts) == [
        "memory: web (1GiB) would take 1GiB, but of the 1GiB that may be promised 0B can be free: "
        "the rest is kept by db (1GiB)"
    ]
    assert len(planned(goals(Target.RUNNING, db), there, facts).steps) == 1
    wanted = [*goals(Target.RUNNING, web), Goal(name="db", target=Target.OFF)]
    made = planned(wanted, there, facts)
    assert order(made) == ["keep db off", "start web"]
    assert waits(made)["start web"] == ["keep db off"]


def test_the_last_byte_counts() -> None:
    web, db = vm("web", memory=1), vm("db", memory=1)
    there = at(Target.RUNNING, db) | at(Target.STOPPED, web)
    facts = HostFacts(memory_bytes=1)
    start = goals(Target.RUNNING, web)

    assert refused(start, there, facts) == [
        "memory: web (1B) would take 1B, but of the 1B that may be promised 0B can be free: "
        "the rest is kept by db (1B)"
    ]
    made = planned([*start, Goal(name="db", target=Target.OFF)], there, facts)
    assert waits(made)["start web"] == [f"shut down db {STOP}"]


def test_all_volumes_of_a_vm_count() -> None:
    """Those that it has, those that it wants, and those that it gives back."""
    volumes = [
        {"name": "root", "size": "3GiB"},
        {"name": "data", "mount": "/data", "size": "4GiB"},
    ]
    new, old = vm("new", volumes=volumes), vm("old", volumes=volumes)
    there = at(Target.STOPPED, old, vm("other", volumes=volumes))
    facts = HostFacts(pools={"default": PoolFacts(size_bytes=13 * GIB)})
    wanted = goals(Target.STOPPED, new)

    assert refused(wanted, there, facts) == [
        "pools.default: new (7GiB) would take 7GiB, but of the 13GiB that may be promised "
        "0B can be free: the rest is kept by old (7GiB), other (7GiB)"
    ]
    gone = [*wanted, Goal(name="old", target=Target.DEPROVISIONED)]
    assert refused(gone, there, facts) == [
        "pools.default: new (7GiB) would take 7GiB, but of the 13GiB that may be promised "
        "6GiB can be free: the rest is kept by other (7GiB)"
    ]


def test_five_vms_are_named_one_by_one() -> None:
    specs = [vm(f"vm{number}", memory=number) for number in range(1, 6)]

    assert refused(goals(Target.RUNNING, *specs), {}, HostFacts(memory_bytes=1)) == [
        "memory: vm5 (5B), vm4 (4B), vm3 (3B), vm2 (2B), vm1 (1B) would take 15B, but of the 1B "
        "that may be promised 1B can be free"
    ]


def lowered(old: VMSpec, new: VMSpec) -> list[tuple[str, tuple[int, ...]]]:
    """The steps, and what each waits for, of a change of limits that is done lowering first."""
    have = at(Target.RUNNING, old)["web"]
    goal = Goal(name="web", target=Target.RUNNING, spec=new)
    made = plan(goal, have, HostFacts(drivers=LXC)).unwrap()
    steps = lower_first(made, have).steps
    return [(describe(step.action, "web"), step.needs) for step in steps]


def test_only_limits_that_go_both_ways_are_set_twice() -> None:
    old = vm("web", memory=2000, cpus=0.5)

    assert lowered(old, vm("web", memory=1000, cpus=0.25)) == [
        ("define web", ()),
        ("set the limits of web: memory 1000B, cpus 0.25", (0,)),
    ]
    assert lowered(old, vm("web", memory=2001, cpus=0.25)) == [
        ("define web", ()),
        ("set the limits of web: memory 2000B, cpus 0.25", (0,)),
        ("set the limits of web: memory 2001B, cpus 0.25", (1,)),
    ]


def test_no_limit_is_lower_than_any() -> None:
    """For a VM without a limit nothing is promised."""
    assert lowered(vm("web", memory=2000), vm("web", memory=1000, cpus=0.5))[1][0] == (
        "set the limits of web: memory 1000B, cpus no limit"
    )
