"""What the adoption of a container and of a domain have in common: see ``calls.adopt``."""

from collections.abc import Callable, Collection, Mapping
from typing import TypeAlias

from geats_core.planning.host_facts import HostFacts
from geats_core.planning.steps import Plan
from geats_core.plans.plan_files import SavedPlan
from geats_core.reading.mappings import Raw
from geats_core.vm.observation import Observation
from geats_core.vm.parse import parse_vm
from geats_core.vm.spec import VMSpec
from geats_host.errors import Refused, accepted
from geats_host.host import Host
from geats_host.planning.plans import saved_with_others
from geats_host.planning.sources import check_sources

Description: TypeAlias = Mapping[str, object] | None  # as it should be in the configuration


def wanted(
    host: Host,
    name: str,
    driver: str,
    raw: Raw | None,
    template: object,
    as_found: Callable[[], Mapping[str, object]],
) -> tuple[VMSpec, Description]:
    """What the VM *name*, which *driver* runs, is to be; and how to describe it so, if nobody has.

    Then it is described *as_found*. Raises ``Refused``.
    """
    spec, description = host.declared(name, raw), None
    if spec is not None and template is not None:
        raise Refused(f"template: {name} is described: its template is {spec.template!r}")
    if spec is None and template is None:
        raise Refused(
            f"template: is missing: nothing describes {name}, so it is not known what to "
            "recreate it from"
        )
    if spec is None:
        description = as_found()
        spec = accepted(parse_vm(name, description), name)
    if spec.driver != driver:
        raise Refused(f"{name}.driver: it is run by {driver!r}, got {spec.driver!r}")
    return spec, description


def saved(
    host: Host,
    made: Plan,
    spec: VMSpec,
    seen: Mapping[str, Observation],
    facts: HostFacts,
    names: Collection[str],
) -> SavedPlan:
    """The plan *made* for the adopted VM *spec*, which is about what has one of these *names*."""
    check_sources(host, made.steps, seen)
    about = {each: seen[each] for each in names if each in seen}
    return saved_with_others(host, made, spec, seen, facts, about)
