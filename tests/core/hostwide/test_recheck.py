"""A plan is looked at again before it is applied: alone on its host, and with what is under way."""

from dataclasses import replace

from geats_core import HostFacts, Observation, Target, VMSpec, parse_vm, plan
from geats_core.declared.policy import HostPolicy
from geats_core.hostwide.recheck import UNDER_WAY, no_longer, reservations, takes
from geats_core.hostwide.reservations import Reservation
from geats_core.planning.goal import Goal
from geats_core.planning.plugin_facts import PoolFacts
from geats_core.planning.steps import Plan
from geats_core.vm.observation import Power
from tests.core.hosts import at

NIC = {"name": "eth0", "bridge": "br0", "addresses": ["10.0.0.9/24"]}
TAKEN = "b.nics[eth0].addresses: the address 10.0.0.9 is also that of"


def vm(name: str, **raw: object) -> VMSpec:
    return parse_vm(name, {"template": "debian", **raw}).unwrap()


A, B = vm("a", nics=[NIC]), vm("b", nics=[NIC])


def planned(target: Target, spec: VMSpec, have: Observation | None = None) -> Plan:
    goal = Goal(name=spec.name, target=target, spec=spec)
    return plan(goal, have or Observation()).unwrap()


def wrong(
    made: Plan,
    seen: dict[str, Observation],
    others: dict[str, Reservation] | None = None,
    facts: HostFacts | None = None,
) -> list[str]:
    found = no_longer([made], seen, facts or HostFacts(), HostPolicy(), others or {})
    return [str(each) for each in found]


def test_a_start_that_another_vm_was_quicker_with_is_refused() -> None:
    start = planned(Target.RUNNING, B)
    assert wrong(start, {}) == []
    assert wrong(start, at(Target.RUNNING, A)) == [
        f"{TAKEN} a.nics[eth0].addresses, which is on the host and stays as it is"
    ]


def test_a_start_that_another_operation_is_about_to_take_the_address_of_is_refused() -> None:
    start, other = planned(Target.RUNNING, B), {"a": Reservation(spec=A, runs=True)}
    reason = f"{TAKEN} a.nics[eth0].addresses, which is on the host and stays as it is"
    assert wrong(start, {}, other) == [f"{reason} ({UNDER_WAY})"]
    assert wrong(start, {}, {"a": replace(other["a"], runs=False)}) == []


def test_memory_and_space_that_others_are_about_to_take_are_taken() -> None:
    facts = HostFacts(memory_bytes=3 * 2**30, pools={"default": PoolFacts(size_bytes=3 * 2**30)})
    big = {"memory": "2GiB", "volumes": [{"name": "root", "size": "2GiB"}]}
    start = planned(Target.RUNNING, vm("b", **big))
    other = {"a": Reservation(spec=vm("a", **big), runs=True)}
    assert wrong(start, {}, {}, facts) == []
    assert [each.partition(":")[0] for each in wrong(start, {}, other, facts)] == [
        "memory",
        "pools.default",
    ]


def test_what_a_plan_gives_back_is_its_own() -> None:
    seen = at(Target.RUNNING, B)
    for target in (Target.REBOOTED, Target.OFF, Target.UNDEFINED, Target.DEPROVISIONED):
        assert wrong(planned(target, B, seen["b"]), seen) == []


def test_only_what_a_plan_takes_is_reserved() -> None:
    on, off = at(Target.RUNNING, B), at(Target.STOPPED, B)
    assert reservations([planned(Target.RUNNING, B)], {}) == {"b": Reservation(spec=B, runs=True)}
    assert reservations([planned(Target.PROVISIONED, B)], {}) == {
        "b": Reservation(spec=B, runs=False)
    }
    assert reservations([planned(Target.RUNNING, B, off["b"])], off) == {
        "b": Reservation(spec=B, runs=True)
    }
    for target in (Target.OFF, Target.DEPROVISIONED, Target.FROZEN, Target.LOCKED):
        made = planned(target, B, on["b"])
        assert not takes(made)
        assert reservations([made], on) == {}


def test_a_vm_without_a_definition_leaves_nothing_to_reserve() -> None:
    running = Observation(defined=B, in_effect=B, power=Power.RUNNING)
    made = planned(Target.UNDEFINED, B, running)
    assert reservations([made], {"b": running}) == {}
