"""Whether a host has what its VMs are promised, told as stories."""

from dataclasses import replace
from math import inf

import pytest

from geats_core import (
    DataLoss,
    Goal,
    HostFacts,
    HostPolicy,
    PoolFacts,
    Power,
    Target,
    VMSpec,
    halt_goals,
)
from geats_core.capacity import limit_of
from tests.core.hosts import at, goals, order, planned, refused, vm, waits

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
        "wait for the steps before": [f"shut down db {STOP}"],
        "start web": ["wait for the steps before"],
    }
    assert made.steps[1].reason == "memory must be given back before more of it is taken"
    assert waits(planned(wanted, there, HostFacts(memory_bytes=4 * GIB)))["start web"] == []


def test_no_start_waits_for_a_vm_that_only_restarts() -> None:
    web, db, app = (vm(name, memory="2GiB") for name in ("web", "db", "app"))
    there = at(Target.RUNNING, db, app) | at(Target.STOPPED, web)
    again = Goal(name="app", target=Target.REBOOTED, spec=app)
    wanted = [*goals(Target.RUNNING, web), Goal(name="db", target=Target.OFF), again]

    made = waits(planned(wanted, there, HostFacts(memory_bytes=4 * GIB)))

    assert made["wait for the steps before"] == [f"shut down db {STOP}"]
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
    old, new = vm("db", memory="2GiB"), vm("db", memory="2GiB", init="busybox")
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
    assert "space in default must be given back before more of it is taken" in [
        step.reason for step in made.steps
    ]
    words = order(made)
    destroyed = words.index("destroy volume old/root in pool default")
    assert destroyed < words.index("allocate volume new/root of 8GiB in pool default")


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

    assert len(planned(wanted, there, HostFacts(pools=sizes)).steps) == 16


def test_limits_that_go_both_ways_are_set_in_two_steps_where_they_must() -> None:
    there = at(Target.RUNNING, vm("a", memory=2000, cpus=1), vm("b", memory=1000, cpus=2))
    wanted = goals(Target.RUNNING, vm("a", memory=1000, cpus=2), vm("b", memory=2000, cpus=1))
    facts = HostFacts(memory_bytes=3000, cpus=3)

    made = planned(wanted, there, facts, HostPolicy(cpu_overcommit=1))

    assert [words for words in order(made) if "limits" in words] == [
        "set the limits of a: memory 1000B, cpus 1, processes no limit",
        "set the limits of b: memory 1000B, cpus 1, processes no limit",
        "set the limits of a: memory 1000B, cpus 2, processes no limit",
        "set the limits of b: memory 2000B, cpus 1, processes no limit",
    ]
    assert [len(each.steps) for each in made.plans] == [3, 3]
    assert len(planned(wanted, there, facts).steps) == 5  # with cpus to spare: one gate


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
