"""Claims: what only one VM of a fleet may have is held for it by one host, before it starts there.

Theory of operation
-------------------
A claim is a name, a MAC address or an address. Whoever keeps the claims of a fleet grants each to
one host only, and the host remembers what it holds. Where the policy of a host requires it, a plan
that would start a VM, or give one that runs another address, is refused unless the host holds all
that the VM has then. So nothing has to be asked when a VM starts, and two hosts that declare the
same address cannot both use it.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from geats_core.planning.actions import Adopt, Define, Start
from geats_core.planning.steps import Step
from geats_core.reading.checked import Code, Problem
from geats_core.reading.fields import dns_name
from geats_core.vm.claims import THE_ADDRESS, THE_MAC, claims, running_spec
from geats_core.vm.observation import Observation
from geats_core.vm.spec import VMSpec

KINDS = {THE_ADDRESS: "address", THE_MAC: "mac"}  # the others are of one host only


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """The VM that has something to itself, and the host that holds it for that VM."""

    vm: str
    host: str

    def __str__(self) -> str:
        return f"{self.host} for {self.vm}"


def keys_of(spec: VMSpec) -> tuple[str, ...]:
    """What a VM has to have to itself in a fleet, each as a word: ``address-10.0.0.5``."""
    found = (claim for claim, _ in claims(spec.name, spec) if claim[0] in KINDS)
    return (f"name-{dns_name(spec.name)}", *(f"{KINDS[kind]}-{value}" for kind, value in found))


def held_by_others(
    wanted: Holder, keys: Iterable[str], holders: Mapping[str, Holder]
) -> Iterator[Problem]:
    """Why *wanted* cannot have *keys*, of which each has the holder that *holders* say."""
    for key in keys:
        holder = holders.get(key)
        if holder is not None and holder != wanted:
            why = f"{key} is held by {holder}: `salt-run geats.release {holder.vm}` gives it back"
            yield Problem(wanted.vm, why, Code.REFUSED)


def unclaimed(
    steps: Iterable[Step],
    seen: Mapping[str, Observation],
    held: Mapping[str, Collection[str]],
) -> Iterator[Problem]:
    """The VMs that have something after *steps* that this host does not hold for them.

    *held* are the keys that the host holds, by VM.
    """
    steps = list(steps)
    defined = {step.vm: step.action for step in steps if isinstance(step.action, Define)}
    adopted = {step.vm: step.action.spec for step in steps if isinstance(step.action, Adopt)}
    specs = {vm: action.spec for vm, action in defined.items()} | adopted
    starting = {step.vm for step in steps if isinstance(step.action, Start)}
    for vm in sorted(starting | specs.keys()):
        have = seen.get(vm, Observation())
        now = running_spec(have)
        spec = specs.get(vm) or have.recorded
        arrives = have.copy_of or (vm in defined and defined[vm].copy_of)
        if spec is None or arrives or (vm not in starting and now is None):
            continue  # where it comes from, that is held for it; or it is off, and stays so
        in_use = keys_of(now) if now is not None else ()
        missing = [key for key in keys_of(spec) if key not in {*held.get(vm, ()), *in_use}]
        if missing:
            why = (
                f"this host does not hold {', '.join(missing)} for it: "
                f"`salt-run geats.claim {vm} HOST`, with the name of this host, gets that"
            )
            yield Problem(vm, why, Code.REFUSED)
