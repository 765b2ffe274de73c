"""Stories about several hosts: who takes a VM, and who gives one up."""

from collections.abc import Mapping
from dataclasses import replace

from geats_core import Goal, HostFacts, HostPolicy, Observation, PoolFacts, Power, Target, VMSpec
from geats_core.declared.placement_rules import Rules, Strategy
from geats_core.fleet.balancing import Move, drain, rebalance
from geats_core.fleet.placement import Candidate, load_of, place, with_labels
from tests.core.hosts import at, nic, vm

GIB = 2**30


def host(*running: VMSpec, gib: int = 8, **facts: object) -> Candidate:
    """A host with that much memory, on which the VMs run."""
    known = HostFacts(memory_bytes=gib * GIB, **facts)  # type: ignore[arg-type]
    return Candidate(observations=at(Target.RUNNING, *running), facts=known)


def sized(name: str, gib: int, **raw: object) -> VMSpec:
    return vm(name, memory=f"{gib}GiB", **raw)


def to_run(spec: VMSpec) -> Goal:
    return Goal(name=spec.name, target=Target.RUNNING, spec=spec)


def placed(spec: VMSpec, hosts: Mapping[str, Candidate], rules: Rules | None = None) -> str:
    return place(to_run(spec), hosts, rules).unwrap().host


def refused(spec: VMSpec, hosts: Mapping[str, Candidate], rules: Rules | None = None) -> list[str]:
    return list(map(str, place(to_run(spec), hosts, rules).failure()))


EMPTY, HALF, FULL = host(), host(sized("db", 4)), host(sized("big", 8))
THREE = {"full": FULL, "half": HALF, "none": EMPTY}


def test_a_vm_goes_where_most_is_left_or_where_least_is() -> None:
    web = sized("web", 2)
    assert placed(web, THREE) == "none"
    assert placed(web, THREE, Rules(strategy=Strategy.PACK)) == "half"
    found = place(to_run(web), THREE).unwrap()
    assert (found.load, [*found.refused]) == (0.25, ["full"])
    assert "memory: web (2GiB) would take 2GiB" in str(found.refused["full"][0])


def test_of_equal_hosts_the_first_by_name() -> None:
    assert placed(sized("web", 2), {"b": EMPTY, "a": EMPTY}) == "a"
    assert placed(vm("web"), {"b": Candidate(), "a": Candidate()}) == "a"


def test_no_host_can_take_it() -> None:
    assert refused(sized("web", 5), {"full": FULL, "half": HALF}) == [
        "full.memory: web (5GiB) would take 5GiB, but of the 8GiB that may be promised 0B can be "
        "free: the rest is kept by big (8GiB)",
        "half.memory: web (5GiB) would take 5GiB, but of the 8GiB that may be promised 4GiB can be "
        "free: the rest is kept by db (4GiB)",
    ]
    assert refused(vm("web"), {}) == ["web: there is no host for it"]
    assert refused(vm("db"), THREE) == ["db: is on half already"]


def test_a_host_that_lacks_what_the_vm_needs_is_none_for_it() -> None:
    lacks = host(gib=64, templates=frozenset({"alpine"}))
    assert placed(vm("web"), {"large": lacks, "small": EMPTY}) == "small"
    taken = host(vm("old", nics=nic("10.0.0.5")))
    web = vm("web", nics=nic("10.0.0.5"))
    assert placed(web, {"a": taken, "b": EMPTY}) == "b"
    assert "the address 10.0.0.5 is also that of old" in refused(web, {"a": taken})[0]


def test_what_is_wanted_on_a_host_counts_before_it_is_there() -> None:
    soon = replace(EMPTY, goals=(to_run(sized("soon", 6)),))
    assert placed(sized("web", 3), {"a": soon, "b": HALF}) == "b"
    assert refused(sized("soon", 1), {"a": soon}) == ["soon: is on a already"]


def test_groups_that_are_together_or_apart() -> None:
    web = sized("web", 1)
    with_db = Rules(together=(frozenset({"web", "db"}),))
    assert placed(web, THREE, with_db) == "half"
    assert refused(web, {"half": HALF, "none": EMPTY, "full": replace(HALF, goals=())}, with_db)
    without = {name: THREE[name] for name in ("full", "none")}
    assert placed(web, without, with_db) == "none"
    apart = Rules(apart=(frozenset({"web", "db"}),), strategy=Strategy.PACK)
    assert placed(web, THREE, apart) == "none"
    assert refused(web, {"half": HALF}, apart) == ["half.web: must be apart from db"]
    others = Rules(apart=(frozenset({"x", "db"}),), together=(frozenset({"x", "db"}),))
    assert placed(web, {"half": HALF}, others) == "half"


def test_vms_of_one_label_are_together_or_apart() -> None:
    web = sized("web", 1, labels={"role": "web", "tenant": "x"})
    other = host(sized("db", 4, labels={"role": "web", "tenant": "x"}), sized("old", 1))
    hosts = {"none": EMPTY, "other": other}
    assert placed(web, hosts, Rules(apart_by=("role",), strategy=Strategy.PACK)) == "none"
    assert placed(web, hosts, Rules(together_by=("tenant",))) == "other"
    assert refused(web, {"other": other}, Rules(apart_by=("zone", "role"))) == [
        "other.web: must be apart from db"
    ]
    soon = replace(EMPTY, goals=(to_run(sized("soon", 1, labels={"role": "web"})),))
    assert placed(web, {"soon": soon, "other": HALF}, Rules(apart_by=("role",))) == "other"
    nobody = Goal(name="web", target=Target.RUNNING)
    assert with_labels(Rules(apart_by=("role",)), nobody, {"full": FULL}).apart == ()


def test_together_with_a_vm_on_a_host_that_has_no_room() -> None:
    rules = Rules(together=(frozenset({"web", "big"}),))
    found = refused(sized("web", 1), {"full": FULL, "none": EMPTY}, rules)
    assert found[1:] == ["none.web: must be together with big, which is on full"]
    assert found[0].startswith("full.memory: ")


def test_a_part_of_a_host_is_kept_free() -> None:
    rules = Rules(reserve=0.3)
    assert placed(sized("web", 1), {"half": HALF}, rules) == "half"
    assert refused(sized("web", 2), {"half": HALF}, rules) == [
        "half.memory: 75% would be promised, and 70% may be"
    ]
    assert placed(vm("web"), {"full": FULL}, rules) == "full"  # it takes nothing of what is short


def test_room_in_pools_counts_with_overcommit() -> None:
    pools = {"default": PoolFacts(size_bytes=10 * GIB)}
    web = vm("web", volumes=[{"name": "root", "size": "8GiB"}])
    one = host(pools=pools)
    there = replace(one, observations=at(Target.PROVISIONED, replace(web, name="old")))
    assert placed(web, {"a": there, "b": one}) == "b"
    twice = replace(there, policy=HostPolicy(disk_overcommit=2))
    assert place(to_run(web), {"a": twice}).unwrap().load == 0.8


def test_a_host_is_emptied_largest_first() -> None:
    hosts = {"old": host(sized("a", 1), sized("b", 4), vm("c")), "x": host(gib=4), "y": host(gib=4)}
    assert drain("old", hosts).unwrap() == (
        Move(vm="b", source="old", target="x", reason="old should be emptied"),
        Move(vm="a", source="old", target="y", reason="old should be emptied"),
        Move(vm="c", source="old", target="y", reason="old should be emptied"),
    )
    assert drain("x", hosts).unwrap() == ()


def test_a_host_is_emptied_though_the_strategy_alone_would_not_do() -> None:
    old = host(sized("a", 4), sized("b", 3), sized("c", 3), gib=10)
    hosts = {"old": old, "x": host(gib=6), "y": host(gib=4)}
    moves = {move.vm: move.target for move in drain("old", hosts).unwrap()}
    assert moves == {"a": "y", "b": "x", "c": "x"}
    too_much = {**hosts, "y": host(gib=3)}
    assert [each.path for each in drain("old", too_much).failure()] == ["x.memory", "y.memory"]


def test_what_cannot_be_moved_is_told_at_once() -> None:
    (off,) = at(Target.STOPPED, sized("off", 7)).values()
    there = {
        "held": replace(off, locked=True),
        "foreign": Observation(power=Power.RUNNING, by_hand=("lxc.x = 1",)),
        "off": off,
    }
    hosts = {"old": replace(EMPTY, observations=there), "half": HALF}
    assert [*map(str, drain("old", hosts).failure())] == [
        "foreign: is not managed by geats, so it cannot be moved",
        "held: is locked, and so stays where it is",
    ]
    unknown = str(drain("odl", hosts).failure()[0])
    assert unknown == "host: unknown host 'odl', did you mean 'old'? (there is: half, old)"
    movable = {"old": replace(EMPTY, observations={"off": off}), "half": HALF}
    assert [move.target for move in drain("old", movable).unwrap()] == ["half"]  # it stays off


def test_a_vm_that_is_only_wanted_moves_too() -> None:
    wanted = replace(EMPTY, goals=(to_run(sized("soon", 5)),))
    assert [move.vm for move in drain("a", {"a": wanted, "b": EMPTY}).unwrap()] == ["soon"]
    assert drain("a", {"a": wanted, "b": HALF}).failure()[0].path == "b.memory"


def test_the_fullest_host_gives_to_the_others() -> None:
    full = host(sized("a", 3), sized("b", 3), sized("c", 2))
    assert rebalance({"x": full, "y": EMPTY}) == (
        Move(vm="a", source="x", target="y", reason="100% of what x has is promised"),
    )
    assert rebalance({"x": full, "y": EMPTY}, tolerance=0.5) == ()
    assert rebalance({}) == ()
    assert rebalance({"x": HALF, "y": HALF}) == ()
    bare = frozenset[str]()  # without the template that they need, they can be made nowhere
    lacking = host(sized("a", 3), sized("b", 3), templates=bare)
    assert rebalance({"x": lacking, "y": host(templates=bare)}) == ()


def test_where_the_fullest_cannot_be_relieved_the_next_one_is() -> None:
    hosts = {"a": FULL, "b": host(sized("web", 3), sized("app", 3)), "c": EMPTY}
    assert rebalance(hosts) == (
        Move(vm="app", source="b", target="c", reason="75% of what b has is promised"),
    )
    same = {"a": FULL, "b": host(sized("web", 4), sized("app", 4)), "c": EMPTY}
    assert [(move.vm, move.source) for move in rebalance(same)] == [("app", "b")]


def test_a_host_from_which_nothing_can_go_is_looked_at_again_once_another_has_less_load() -> None:
    """Nothing of ``a`` may leave it, until ``b`` has less load than before."""
    small = [sized(f"vm{at}", 2) for at in range(3)]
    hosts = {"a": FULL, "b": host(*small), "c": EMPTY}
    assert [(move.vm, move.source, move.target) for move in rebalance(hosts)] == [
        ("vm0", "b", "c"),
    ]
    many = [sized(f"vm{at}", 1) for at in range(6)]
    moves = rebalance({"a": FULL, "b": host(*many), "c": EMPTY}, tolerance=0.01)
    assert [(move.source, move.target) for move in moves] == [("b", "c")] * 3


def test_a_vm_that_others_come_after_takes_the_plan_of_its_host_along() -> None:
    app = to_run(sized("app", 1, after=["web"]))
    hosts = {"x": host(sized("web", 4), sized("db", 4)), "y": replace(EMPTY, goals=(app,))}
    assert load_of(hosts["y"]) == 0.0  # it has no plan: nobody knows web there
    (move,) = rebalance(hosts, tolerance=0.3)
    assert (move.vm, move.target) == ("web", "y")
    both = replace(host(sized("web", 4), sized("db", 3)), goals=(app,))
    [move] = rebalance({"x": both, "y": EMPTY}, tolerance=0.3)
    assert move.vm == "web"


def test_a_host_that_lacks_what_a_vm_needs_is_not_filled() -> None:
    lacking = host(templates=frozenset[str]())
    moves = drain("x", {"x": host(sized("a", 3)), "y": EMPTY, "z": lacking}).unwrap()
    assert [move.target for move in moves] == ["y"]


def test_groups_hold_while_loads_are_levelled() -> None:
    full = host(sized("a", 4), sized("b", 4))
    apart = Rules(apart=(frozenset({"a", "db"}),), strategy=Strategy.PACK)
    moved = rebalance({"x": full, "y": host(vm("db"))}, apart)
    assert [move.vm for move in moved] == ["b"]
    both = Rules(together=(frozenset({"a", "b"}),))
    assert rebalance({"x": full, "y": EMPTY}, both) == ()


def test_a_vm_that_the_least_loaded_host_cannot_take_goes_to_the_next() -> None:
    web = sized("web", 4, nics=nic("10.0.0.5"))
    hosts = {
        "a": host(web, sized("big", 3, nics=nic("10.0.0.6"))),
        "b": host(sized("db", 1)),
        # The most is left here, but both addresses are taken.
        "c": host(vm("old", nics=nic("10.0.0.5")), vm("older", nics=nic("10.0.0.6"))),
    }
    (move,) = rebalance(hosts, tolerance=0.2)
    assert (move.vm, move.target) == ("big", "b")


def test_a_vm_that_is_on_two_hosts_is_not_moved() -> None:
    twin = sized("twin", 4)
    full = host(twin, sized("web", 4))
    (move,) = rebalance({"a": full, "b": host(sized("twin", 1)), "c": EMPTY}, tolerance=0.1)
    assert move.vm == "web"


def test_a_host_whose_own_plan_is_refused_still_gives_and_is_asked() -> None:
    broken = (to_run(sized("huge", 50)),)
    full = replace(host(sized("a", 4), sized("b", 4)), goals=broken)
    assert [(move.vm, move.target) for move in rebalance({"x": full, "y": EMPTY})] == [("a", "y")]
    assert rebalance({"x": host(sized("a", 8)), "y": replace(EMPTY, goals=broken)}) == ()
    apart = Rules(apart=(frozenset({"a", "db"}), frozenset({"b", "db"})))
    assert rebalance({"x": full, "y": host(vm("db"))}, apart) == ()


def test_a_host_whose_own_plan_is_refused_has_the_load_that_it_has_now() -> None:
    broken = replace(HALF, goals=(to_run(sized("huge", 50)),))
    assert load_of(broken) == 0.5
    assert placed(sized("web", 1), {"a": broken, "b": FULL, "c": HALF}) == "c"


def test_what_a_host_cannot_have_is_not_moved_there() -> None:
    lacks = host(gib=64, templates=frozenset({"alpine"}))
    full = host(sized("a", 4), sized("b", 4))
    (move,) = rebalance({"full": full, "lacks": lacks, "small": EMPTY}, tolerance=0.1)
    assert (move.vm, move.target) == ("a", "small")
    assert rebalance({"full": full, "lacks": lacks}) == ()
