"""What can belong to one VM only: addresses, host-side interfaces, places of volumes."""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from geats_core.checked import Problem
from geats_core.graph import Graph
from geats_core.lxc_config import veth_name
from geats_core.model import ON
from geats_core.observation import Observation
from geats_core.plan import Goal, HostFacts, Target
from geats_core.spec import VMSpec

Claim: TypeAlias = tuple[str, str]  # what it is, and which one
Owner: TypeAlias = tuple[str, str]  # the VM, and the path in its spec
GONE = frozenset({Target.UNDEFINED, Target.DEPROVISIONED})


def conflicts(
    goals: Mapping[str, Goal], observations: Mapping[str, Observation], facts: HostFacts
) -> list[Problem]:
    """Every claim that two VMs make, once their goals are reached; both owners are named."""
    owners: dict[Claim, Owner] = {}
    problems: list[Problem] = []
    for name in {**goals, **observations}:
        for claim, path in _claims_of(goals.get(name), observations.get(name), facts):
            other, other_path = owners.setdefault(claim, (name, path))
            if (other, other_path) != (name, path):
                of_other = f"{other}.{other_path}"
                declared = "" if other in goals else ", which is on the host but not declared"
                message = f"{claim[0]} {claim[1]} is also that of {of_other}{declared}"
                problems.append(Problem(f"{name}.{path}", message))
    return problems


def hand_over(
    graph: Graph,
    goals: Mapping[str, Goal],
    observations: Mapping[str, Observation],
    facts: HostFacts,
) -> list[Problem]:
    """Let a VM start only when what it claims is given back by the VM that has it now."""
    holders = {
        claim: name
        for name, have in observations.items()
        if have.power in ON and have.in_effect is not None
        for claim, _ in claims(have.in_effect, facts)
    }
    problems: list[Problem] = []
    for name, start in graph.starts.items():
        for claim, path in _claims_of(goals.get(name), observations.get(name), facts):
            holder = holders.get(claim, name)
            if holder == name:
                continue
            if holder in graph.stops:
                graph.wait(start, graph.stops[holder])
            else:
                message = f"{claim[0]} {claim[1]} is in use by {holder} until that restarts"
                problems.append(Problem(f"{name}.{path}", message))
    return problems


def claims(spec: VMSpec, facts: HostFacts) -> Iterable[tuple[Claim, str]]:
    """What a VM of this spec has to itself, and where its spec says so."""
    for index, nic in enumerate(spec.nics):
        path = f"nics[{nic.name}]"
        yield ("the MAC address", nic.mac), f"{path}.mac"
        yield ("the interface on the host", veth_name(spec.name, index)), path
        for address in nic.addresses:
            yield ("the address", str(address.ip)), f"{path}.addresses"
    for volume in spec.volumes:
        location = facts.pool(volume.pool).location
        if location is not None:
            place = location.replace("{vm}", spec.name).replace("{volume}", volume.name)
            yield ("the place of the volume", place), f"volumes[{volume.name}]"


def _claims_of(
    goal: Goal | None, have: Observation | None, facts: HostFacts
) -> Iterable[tuple[Claim, str]]:
    """Those of a declared VM as it will be defined, of any other as it runs."""
    if goal is not None and goal.target in GONE:
        return ()
    if goal is not None and (goal.spec or (have and have.recorded)):
        known = goal.spec or (have and have.recorded)
        return claims(known, facts) if known else ()
    return claims(have.in_effect, facts) if have and have.in_effect else ()
