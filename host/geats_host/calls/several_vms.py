"""Several VMs in one plan, by a verb or each with its own wish: as many as have one together."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace

from geats_core.planning.costs import Impact
from geats_core.planning.goal import Goal
from geats_core.planning.verbs import VERBS, SpecFrom
from geats_core.plans.plan_files import SavedPlan, of_verb
from geats_core.reading.checked import unknown
from geats_core.vm.observation import Observation
from geats_host.calls.lifecycle import not_there, verb_goal, with_what_is_undone
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
    origins: dict[str, Mapping[str, str]] = {}

    def goal_of(name: str) -> Goal:
        goal, spec = _read(name, vms[name])
        goal = goal_by_name(goal, name, host.config, seen, spec)
        origins[name] = declared_by(host.config, name, spec)
        return goal

    return replace(_planned(host, seen, vms, goal_of), origins=origins)


def plan_verb_for_several(
    host: Host, verb: str, names: Iterable[str] = (), max_impact: object = str(Impact.DATA_LOSS)
) -> SavedPlan:
    """One plan for a lifecycle verb and these VMs, or all; ``refused`` says why some have none.

    All are those that are defined, and if the verb can define them, those that are declared.
    """
    seen = host.observe_all()
    terms = wanted({"max_impact": max_impact})
    absent: list[str] = []

    def goal_of(name: str) -> Goal:
        have = seen.get(name)
        if have is None:
            gone = VERBS[verb].target.is_gone
            have = host.observe(name) if gone else host.known(name)
            absent.extend([not_there(host, name)] if gone and not have.exists else [])
        return verb_goal(host, verb, name, have, terms)

    defined = {name for name, have in seen.items() if have.recorded is not None}
    declared = host.config.vms if VERBS[verb].target.takes_spec else ()
    which = dict.fromkeys(names or sorted(defined.union(declared)))
    made = _planned(host, seen, which, goal_of)
    made = made if VERBS[verb].spec_from is SpecFrom.DECLARED else of_verb(made)
    return replace(made, warnings=(*made.warnings, *absent))


def of_group(host: Host, verb: str, group: str) -> tuple[str, ...]:
    """The VMs of a group of autostart: defined, and if the verb can define them, declared as well.

    Refused if there is none. One whose description is wrong is in no group.
    """
    seen = host.observe_all()
    specs = {name: have.recorded for name, have in seen.items() if have.recorded is not None}
    for name in host.config.vms if VERBS[verb].target.takes_spec else ():
        with suppress(Refused):
            specs[name] = host.declared(name) or specs[name]
    found = tuple(sorted(n for n, spec in specs.items() if group in spec.autostart.groups))
    if not found:
        known = {each for spec in specs.values() for each in spec.autostart.groups}
        raise Refused(unknown("group", "group", group, known))
    return found


def _planned(
    host: Host,
    seen: Mapping[str, Observation],
    names: Iterable[str],
    goal_of: Callable[[str], Goal],
) -> SavedPlan:
    goals: list[Goal] = []
    refused: Refusals = {}
    for name in names:
        try:
            goals.append(goal_of(name))
        except Refused as why:
            refused[name] = why.found
    made = with_what_is_undone(host.config, plan_each(host, goals, seen), goals)
    return replace(made, refused={**refused, **made.refused})


def _read(name: str, words: object) -> tuple[Goal, Words | None]:
    if not isinstance(words, Mapping):
        raise Refused(f"{name}: must be a mapping of target, spec and policies")
    policies = {key: value for key, value in words.items() if key != "spec"}
    return wanted(policies, name), words.get("spec")
