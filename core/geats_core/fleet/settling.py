"""Claims after an interruption: which host holds what is held for a VM, if records differ.

Theory of operation
-------------------
What is held for a VM is recorded twice: by whoever keeps the claims of the fleet, and by the host
that holds it. While a VM moves, both hosts know its claims. If that is interrupted, the records
differ; then the host counts that has the VM on, or else the only one that defines it, or else the
one that the claims were granted to. A host that does not answer may have it on: so nothing is
decided without it.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from returns.result import Success

from geats_core.declared.policy import Claims, HostPolicy
from geats_core.fleet.claiming import Holder, keys_of
from geats_core.reading.checked import Checked, Code, problem
from geats_core.vm.claims import running_spec
from geats_core.vm.observation import Observation

ByVM: TypeAlias = Mapping[str, Collection[str]]
_ByHost: TypeAlias = dict[str, dict[str, set[str]]]  # keys, by VM and host


@dataclass(frozen=True, slots=True, kw_only=True)
class HostClaims:
    """What a host says of claims.

    ``held`` is what it holds, and ``on`` what each VM that is on has to itself, by VM; ``defined``
    are the VMs whose copy here counts; ``required`` says whether a start needs claims.
    """

    held: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    on: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    defined: frozenset[str] = frozenset()
    required: bool = False

    @classmethod
    def seen(
        cls, held: Mapping[str, tuple[str, ...]], vms: Mapping[str, Observation], policy: HostPolicy
    ) -> "HostClaims":
        """What there is to say of a host with these *vms*."""
        running = {name: running_spec(have) for name, have in vms.items()}
        return cls(
            held=held,
            on={name: keys_of(spec) for name, spec in running.items() if spec is not None},
            defined=frozenset(
                name for name, have in vms.items() if have.is_recorded and not have.copy_of
            ),
            required=policy.claims is Claims.REQUIRED,
        )

    def without(self) -> dict[str, tuple[str, ...]]:
        """What VMs that are on have without that the host holds it, where that is required."""
        missing = {
            vm: tuple(key for key in keys if key not in self.held.get(vm, ()))
            for vm, keys in self.on.items()
        }
        return {vm: keys for vm, keys in missing.items() if keys and self.required}


def unsettled(granted: Mapping[str, Holder], hosts: Mapping[str, HostClaims]) -> Iterator[str]:
    """The VMs for which *hosts* hold something else than what was *granted*, by key."""
    by_grant: _ByHost = defaultdict(lambda: defaultdict(set))
    by_host: _ByHost = defaultdict(dict)
    for key, holder in granted.items():
        by_grant[holder.vm][holder.host].add(key)
    for host, said in hosts.items():
        for vm, keys in said.held.items():
            by_host[vm][host] = {*keys}
    for vm in sorted(by_grant.keys() | by_host.keys()):
        heard = {host: keys for host, keys in by_grant[vm].items() if host in hosts}
        if len(by_grant[vm]) > 1 or heard != by_host[vm]:
            yield vm


def rightful(vm: str, granted_to: Collection[str], hosts: Mapping[str, HostClaims]) -> Checked[str]:
    """The host that holds what is held for *vm*; refused if nobody can say that."""
    silent = sorted(set(granted_to) - hosts.keys())
    if silent:
        why = f"{', '.join(silent)} may have it, and was not heard: nothing that is held changes"
        return problem(vm, why, Code.REFUSED)
    there = [name for name, said in hosts.items() if name in granted_to or vm in said.held]
    on = [name for name in there if vm in hosts[name].on]
    defined = [name for name in there if vm in hosts[name].defined]
    for names in (on, defined, granted_to, there):
        if len(names) == 1:
            return Success(next(iter(names)))
        if names is on and on:
            break
    words = " and ".join(sorted(on or there))
    why = f"is on on {words}: stop it on one"
    if not on:
        why = f"is held on {words}: `salt-run geats.claim {vm} HOST` says for which"
    return problem(vm, why, Code.REFUSED)


def unclaimed_on(
    granted: Mapping[str, Holder], hosts: Mapping[str, HostClaims]
) -> dict[str, dict[str, list[str]]]:
    """What VMs that are on have, and their host does not hold for them, by host and VM.

    Only hosts count where a start needs claims.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for host, said in sorted(hosts.items()):
        for vm, keys in sorted(said.on.items()) if said.required else ():
            missing = [key for key in keys if granted.get(key) != Holder(vm=vm, host=host)]
            if missing:
                found.setdefault(host, {})[vm] = missing
    return found
