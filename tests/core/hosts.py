"""Small hosts for the stories about host plans: VMs in a line each, and where plans leave them."""

from collections.abc import Iterable, Mapping
from functools import reduce

from geats_core import (
    LIVE_LIMITS,
    DriverFacts,
    Goal,
    HostFacts,
    HostPlan,
    HostPolicy,
    Observation,
    Target,
    VMSpec,
    after,
    describe,
    parse_vm,
    plan,
    plan_host,
)

Hosts = Mapping[str, Observation]
LXC = {"lxc": DriverFacts(costs=LIVE_LIMITS)}  # a driver that changes limits live


def vm(name: str, **raw: object) -> VMSpec:
    """A spec, with a template and whatever else is said of it; its memory may be in bytes."""
    if isinstance(raw.get("memory"), int):
        raw["memory"] = f"{raw['memory']}B"
    return parse_vm(name, {"template": "debian", **raw}).unwrap()


def nic(address: str, **raw: object) -> list[object]:
    return [{"name": "eth0", "bridge": "br0", "addresses": [f"{address}/24"], **raw}]


def at(target: Target, *specs: VMSpec) -> dict[str, Observation]:
    """The VMs as plans for *target* leave them."""
    return {each.name: _one_at(target, each) for each in specs}


def _one_at(target: Target, spec: VMSpec) -> Observation:
    steps = plan(Goal(name=spec.name, target=target, spec=spec), Observation()).unwrap().steps
    return reduce(lambda have, step: after(step.action, have).unwrap(), steps, Observation())


VM_RULE = (
    "1 to 63 letters, digits, '-' and '_', in parts between dots that begin and end with a letter"
    " or digit"
)


def goals(target: Target, *specs: VMSpec) -> list[Goal]:
    return [Goal(name=each.name, target=target, spec=each) for each in specs]


def planned(
    wanted: Iterable[Goal],
    there: Hosts,
    facts: HostFacts | None = None,
    policy: HostPolicy | None = None,
) -> HostPlan:
    return plan_host(wanted, there, facts, policy).unwrap()


def refused(
    wanted: Iterable[Goal],
    there: Hosts,
    facts: HostFacts | None = None,
    policy: HostPolicy | None = None,
) -> list[str]:
    return [str(each) for each in plan_host(wanted, there, facts, policy).failure()]


def waits(made: HostPlan) -> dict[str, list[str]]:
    """What each step needs, and what it only comes after, in words."""
    words = [describe(step.action, step.vm) for step in made.steps]
    return {
        words[n]: [*(words[i] for i in step.needs), *(f"after: {words[i]}" for i in step.after)]
        for n, step in enumerate(made.steps)
    }


def order(made: HostPlan) -> list[str]:
    return [describe(step.action, step.vm) for step in made.steps]
