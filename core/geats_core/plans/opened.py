"""What a plan opens to guests, or takes from the host: for those who read it, as lines that begin
with ``!``."""

import re
from collections.abc import Iterable

from geats_core.containers.devices import device_warnings
from geats_core.containers.hooks import hook_warnings
from geats_core.containers.isolation import isolation_warnings
from geats_core.containers.nics import nic_warnings
from geats_core.containers.own_ids import ids_warnings
from geats_core.containers.raw import raw_warnings
from geats_core.planning.actions import Adopt, Define
from geats_core.planning.steps import Plan
from geats_core.vm.spec import VMSpec

ALL_NEW = ("driver", "privileged")  # if one of these changes, so does what all the others come to


def opened(plan: Plan) -> list[str]:
    """What the guest can do from then on that keeps it less apart from its host, and what the host
    cannot.

    For example ``! web01.seccomp: the guest can use every system call``.
    """
    return [
        f"! {plan.name}.{key}: {what}"
        for step in plan.steps
        if isinstance(step.action, Define | Adopt)
        for key, what in (*weakened(step.action.spec), *nic_warnings(step.action.spec.nics))
        for field in [re.split(r"[.[]", key)[0]]
        if not step.changes or {field, *ALL_NEW} & {each.field for each in step.changes}
    ]


def weakened(spec: VMSpec) -> Iterable[tuple[str, str]]:
    """What keeps the guest of *spec* less apart from its host, each with the key that says so."""
    yield from isolation_warnings(spec.isolation, privileged=spec.privileged)
    yield from device_warnings(spec.devices)
    yield from hook_warnings(spec.hooks)
    yield from raw_warnings(spec.raw)
    yield from ids_warnings(spec.own_ids)
