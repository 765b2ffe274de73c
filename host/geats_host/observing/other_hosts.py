"""Which VMs other hosts had when somebody looked at all of them: this host creates none of these.

Theory of operation
-------------------
Whoever knows several hosts tells each of them what the others have (``salt-run geats.tell``). A VM
that is declared here and lives there was declared here before it was moved: created now, it would
be an empty twin, with the same name, addresses and MAC addresses. So its plan is refused. What was
told is true until the next time; a VM that this host has counts as this host's, whatever was told.
"""

import json
from collections.abc import Iterable, Iterator, Mapping

from geats_core.planning.actions import Define
from geats_core.planning.steps import Step
from geats_core.reading import fields
from geats_core.reading.checked import Code, Problem
from geats_core.reading.values import dataclass
from geats_core.vm.observation import Observation
from geats_host.registry import Registry

parse_vms = fields.named(fields.text, fields.vm_name)  # which host has each VM
KIND, KEY = "on other hosts", "vms"  # of the registry's notes: there is one


@dataclass(frozen=True, slots=True)
class Told:
    """What this host, which the others call ``here``, was told: their names, by VM."""

    here: str
    vms: Mapping[str, str]


def told(registry: Registry) -> Told:
    """What was told last; nothing, if nobody did."""
    note = registry.notes(KIND).get(KEY)
    return Told("", {}) if note is None else Told(**json.loads(note))


def remember(registry: Registry, news: Told) -> None:
    """From now on, this is what other hosts have."""
    if news.vms:
        text = json.dumps({"here": news.here, "vms": dict(news.vms)}, sort_keys=True)
        registry.note(KIND, KEY, text)
    else:
        registry.forget_note(KIND, KEY)


def twins(known: Told, steps: Iterable[Step], seen: Mapping[str, Observation]) -> Iterator[Problem]:
    """The VMs that *steps* would create although another host has them; a copy of one is none."""
    new = [step.vm for step in steps if _creates(step, seen.get(step.vm, Observation()))]
    for vm in new:
        host = known.vms.get(vm)
        if host is not None:
            why = (
                f"is on the host {host}, and would be an empty twin of it here: move it with "
                f"`salt-run geats.migrate {vm} {known.here} source={host}`; if it is no longer "
                "there, `salt-run geats.tell` says so to this host"
            )
            yield Problem(vm, why, Code.REFUSED)


def _creates(step: Step, have: Observation) -> bool:
    action = step.action
    is_new = isinstance(action, Define) and not action.copy_of and not have.copy_of
    return is_new and not have.exists
