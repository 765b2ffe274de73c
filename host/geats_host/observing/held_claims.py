"""What this host holds for its VMs, of what only one VM of a fleet may have: see ``claiming``."""

import json
from collections.abc import Collection, Mapping

from geats_core.reading import fields
from geats_core.reading.checked import Code, Problem
from geats_core.vm.observation import Observation, Power
from geats_host.errors import Refused
from geats_host.registry import Registry

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


def check(claims: Mapping[str, Collection[str]], seen: Mapping[str, Observation]) -> None:
    """Raise ``Refused`` if something would no longer be held for a VM that is on."""
    on = [vm for vm, keys in claims.items() if not keys and seen[vm].power is not Power.STOPPED]
    if on:
        why = "is on, so what it has stays its own: shut it down first"
        raise Refused(*(Problem(vm, why, Code.REFUSED) for vm in on))
