"""Which VMs other hosts were offered, and as what: remembered until anything is done to them.

Theory of operation
-------------------
An offer is true as long as its note is there. Whoever changes what a VM contains, or how it is
defined, removes the note first; that the VM is forgotten, for the host that took it over, does not.
Beside it is noted that the VM was *sent* as it ran, to its end, under the mark of that offer: the
driver may not know it any more after a restart of the host.
"""

import json

from returns.result import Failure, Success

from geats_core.jobs.moves import Offer, offer_from_plain, offer_to_plain
from geats_host.registry import Registry

KIND, SENT = "offered", "sent"  # of the registry's notes: the key of each is the name of a VM


def noted(registry: Registry, vm: str) -> Offer | None:
    """What was offered of a VM, and is still so; one of another version of geats is none."""
    text = registry.notes(KIND).get(vm)
    match offer_from_plain(json.loads(text)) if text is not None else None:
        case Success(offer):
            return offer
        case Failure() | None:
            return None


def note(registry: Registry, offer: Offer) -> None:
    """Remember it, durably."""
    registry.note(KIND, offer.manifest.spec.name, json.dumps(offer_to_plain(offer)))


def note_sent(registry: Registry, offer: Offer) -> None:
    """Remember, durably, that it is whole on the other host, as it was offered."""
    registry.note(SENT, offer.manifest.spec.name, offer.mark)


def was_sent(registry: Registry, offer: Offer) -> bool:
    """Whether that is noted of this offer."""
    return registry.notes(SENT).get(offer.manifest.spec.name) == offer.mark


def forget(registry: Registry, vm: str) -> None:
    """It is not true any more; that it was sent under its mark says nothing of another one."""
    registry.forget_note(KIND, vm)


def forget_given(registry: Registry, vm: str) -> None:
    """Nothing is left of it here."""
    forget(registry, vm)
    registry.forget_note(SENT, vm)
