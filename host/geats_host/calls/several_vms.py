"""Several VMs, each with a wish of its own, in one plan: as many of them as have one together."""

from collections.abc import Mapping
from dataclasses import replace

from geats_core.planning.goal import Goal
from geats_core.plans.plan_files import SavedPlan
from geats_host.errors import Refused
from geats_host.host import Host
from geats_host.inputs.declared import declared_by
from geats_host.planning.goals import Refusals, goal_by_name, wanted
from geats_host.planning.plans import plan_each

Words = Mapping[object, object]


def plan_several(host: Host, vms: Mapping[str, object]) -> SavedPlan:
    """One plan from one observation, for *vms*: by name ``target``, ``spec`` and policies.

    These are the words of ``lifecycle.plan_to``. A VM whose wish is refused keeps no other from
    its own: ``refused`` says why it has none.
    """
    seen = host.observe_all()
    goals: list[Goal] = []
    refused: Refusals = {}
    origins: dict[str, Mapping[str, str]] = {}
    for name, words in vms.items():
        try:
            goal, spec = _read(name, words)
            goals.append(goal_by_name(goal, name, host.config, seen, spec))
            origins[name] = declared_by(host.config, name, spec)
        except Refused as why:
            refused[name] = why.problems
    made = plan_each(host, goals, seen)
    return replace(made, refused={**refused, **made.refused}, origins=origins)


def _read(name: str, words: object) -> tuple[Goal, Words | None]:
    if not isinstance(words, Mapping):
        raise Refused(f"{name}: must be a mapping of target, spec and policies")
    policies = {key: value for key, value in words.items() if key != "spec"}
    return wanted(policies, name), words.get("spec")
