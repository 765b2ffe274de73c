"""What a lost host has left in shared pools: VMs that another host can take over as they are."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from returns.result import Success

from geats_core.declared.config import read_in_part
from geats_core.declared.placement_rules import Rules, Strategy
from geats_core.fleet.placement import Candidate, load_with
from geats_core.planning.goal import Goal
from geats_core.planning.plugin_facts import PoolFacts
from geats_core.vm.observation import Observation, Stage, VolumeSeen
from geats_core.vm.spec import VMSpec
from geats_host.errors import Refused, accepted
from geats_host.for_salt.fleet import Ask, answers
from geats_host.inputs.declared import declared

SHARED = "geats.shared"  # by which a host says which host has which VM in the pools that it sees


@dataclass(frozen=True, slots=True)
class Left:
    """What the lost host, by one of its *names*, has in shared pools.

    ``seen`` says in which pools of which host, by VM, and what the lost host is called there;
    ``specs`` are its VMs as its pillar declares them, and ``wrong`` says why some are not known.
    """

    seen: Mapping[str, Mapping[str, Mapping[str, str]]] = field(default_factory=dict)
    specs: Mapping[str, VMSpec] = field(default_factory=dict)
    wrong: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, names: Iterable[str], asked: Ask, target: str, pillar: Mapping[str, Any]) -> "Left":
        """Ask the hosts of *target*; *pillar* is that of the lost host."""
        said = answers(asked(target, SHARED)).hosts
        all_ = (pool["us"] for pools in said.values() for pool in pools.values())
        heard = {us["identity"] for us in all_ if us}
        lost = {*names}
        seen: dict[str, dict[str, dict[str, str]]] = {}
        for host, pools in said.items():
            for name, pool in pools.items():
                for vm, owner in pool["vms"].items():
                    if owner["host"] in lost and owner["identity"] not in heard:
                        seen.setdefault(vm, {}).setdefault(host, {})[name] = owner["host"]
        specs, wrong = _declared(pillar, seen)
        return cls(seen, specs, wrong)

    def spec(self, vm: str) -> VMSpec:
        """The VM as it was declared; ``Refused`` if nobody knows that."""
        if vm not in self.specs:
            why = self.wrong.get(vm, "the pillar of the lost host does not declare it")
            raise Refused(f"is in a shared pool, and nobody knows its description: {why}")
        return self.specs[vm]

    def host_for(self, goal: Goal, hosts: Mapping[str, Candidate], rules: Rules) -> tuple[str, str]:
        """The host that takes it over best, and what the lost host is called in its pools."""
        spec = goal.spec
        assert spec is not None
        loads: dict[str, float] = {}
        problems: list[str] = []
        for name, pools in sorted(self.seen[goal.name].items()):
            missing = sorted({volume.pool for volume in spec.volumes} - pools.keys())
            why = "is not shared there, or has nothing of it"
            problems += [f"{name}: {pool} {why}" for pool in missing]
            if missing or name not in hosts:
                continue
            there = {**hosts, name: _having(hosts[name], spec)}
            match load_with(goal, name, there, rules):
                case Success(load):
                    loads[name] = load
                case found:
                    problems += [f"{name}: {each}" for each in found.failure()]
        if not loads:
            raise Refused(*(problems or ["no host that was heard sees its volumes"]))
        sign = 1 if rules.strategy is Strategy.SPREAD else -1
        best = min(loads, key=lambda name: (sign * loads[name], name))
        return best, next(iter(self.seen[goal.name][best].values()))


def _having(host: Candidate, spec: VMSpec) -> Candidate:
    """The host, once the volumes of the VM are its own."""
    pools = {name: _without(spec.name, pool) for name, pool in (host.facts.pools or {}).items()}
    volumes = tuple(
        VolumeSeen(
            name=each.name,
            pool=each.pool,
            size_bytes=each.size_bytes,
            stage=Stage.INSTALLED if each is spec.root else Stage.FORMATTED,
            template=spec.template if each is spec.root else None,
        )
        for each in spec.volumes
    )
    seen = {**host.observations, spec.name: Observation(volumes=volumes)}
    return replace(host, facts=replace(host.facts, pools=pools), observations=seen)


def _without(vm: str, pool: PoolFacts) -> PoolFacts:
    return replace(pool, elsewhere={name: at for name, at in pool.elsewhere.items() if name != vm})


def _declared(
    pillar: Mapping[str, Any], vms: Iterable[str]
) -> tuple[dict[str, VMSpec], dict[str, str]]:
    """The VMs as a pillar declares them, and why some cannot be read."""
    specs: dict[str, VMSpec] = {}
    wrong: dict[str, str] = {}
    for vm in vms:
        try:
            spec = declared(accepted(read_in_part(pillar.get("geats", {})), "geats"), vm)
            specs |= {vm: spec} if spec is not None else {}
        except Refused as refused:
            wrong[vm] = f"{refused}"
    return specs, wrong
