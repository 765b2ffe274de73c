"""What this host holds for its VMs, of what only one VM of a fleet may have: see ``claiming``."""

import json
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from geats_core.reading import fields
from geats_core.reading.checked import Code, Problem
from geats_core.vm.claims import running_spec
from geats_core.vm.observation import Observation, Power
from geats_host.errors import Refused
from geats_host.lazy import later
from geats_host.registry import Registry

if TYPE_CHECKING:
    from geats_core.fleet import claiming
else:
    claiming = later("geats_core.fleet.claiming")

parse_claims = fields.named(fields.each(fields.text), fields.vm_name)
KIND = "claims"  # of the registry's notes: one for each VM


def held(registry: Registry) -> dict[str, tuple[str, ...]]:
    """The keys that are held, by VM."""
    return {vm: tuple(json.loads(text)) for vm, text in registry.notes(KIND).items()}


def remember(registry: Registry, claims: Mapping[str, Collection[str]]) -> None:
    """Hold these keys for these VMs; for one that has none, nothing is held any more."""
    for vm, keys in claims.items():
        if keys:
            registry.note(KIND, vm, json.dumps(sorted(keys)))
        else:
            registry.forget_note(KIND, vm)


def check(
    claims: Mapping[str, Collection[str]],
    before: Mapping[str, Collection[str]],
    seen: Mapping[str, Observation],
) -> None:
    """Raise ``Refused`` if what a VM that is on has would no longer be held for it.

    Who asks has the locks of the VMs: one that is about to start is not off.
    """
    why = "is on, so what it has stays its own: shut it down first"
    on = [vm for vm in claims if seen[vm].power is not Power.STOPPED]
    wrong = [
        vm for vm in on if not claims[vm] or _given_up(claims[vm], before.get(vm, ()), seen[vm])
    ]
    if wrong:
        raise Refused(*(Problem(vm, why, Code.REFUSED) for vm in wrong))


def _given_up(keys: Collection[str], before: Collection[str], have: Observation) -> frozenset[str]:
    """What is held for a VM that has it now, and would not be with *keys*."""
    spec = running_spec(have)
    in_use = claiming.keys_of(spec) if spec is not None else ()
    return frozenset(before).intersection(in_use).difference(keys)
