"""Plans for what people ask for: a lifecycle verb, or a target, for a VM by its name."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from geats_core.declared.config import HostConfig, parse_config
from geats_core.hostwide.host_planner import HostPlan
from geats_core.planning.costs import Impact
from geats_core.planning.draft import for_now
from geats_core.planning.goal import ByHand, Goal, PowerOff, Restart, Target
from geats_core.planning.verbs import VERBS, SpecFrom, goal_of, undone_next
from geats_core.plans.plan_files import SavedPlan, of_verb
from geats_core.reading import fields
from geats_core.reading.checked import Code, Problem, Problems, unknown
from geats_core.reading.mappings import Raw
from geats_core.vm.observation import Observation
from geats_host.calls.registry.registry_health import troubles
from geats_host.errors import HostError, Refused, accepted, problem_of
from geats_host.host import Host
from geats_host.inputs.declared import declared, declared_by
from geats_host.lazy import later
from geats_host.planning.facts import facts_of
from geats_host.planning.goals import Scope, Wishes, goal_for, spec_for, wanted
from geats_host.planning.plans import plan_alone, plan_vm, plan_vms

if TYPE_CHECKING:
    from geats_host import templates
else:
    templates = later("geats_host.templates")

Found: TypeAlias = dict[str, Problems]  # by the name of the VM, and under these two
REGISTRY, CONFIGURATION, TOGETHER = "(registry)", "(configuration)", "(together)"


def plan_verb(
    host: Host,
    verb: str,
    name: str,
    raw: Raw | None = None,
    allow_data_loss: object = False,
    max_impact: object = str(Impact.DATA_LOSS),
) -> SavedPlan:
    """The plan for a lifecycle verb (a key of ``VERBS``); *raw* is a spec to use instead of the
    pillar's.

    Raises ``Refused`` on wrong input, and if there is no such plan.
    """
    terms = wanted({"allow_data_loss": allow_data_loss, "max_impact": max_impact})
    have = host.known(name) if raw is None and not _ends_with_none(verb) else host.observe(name)
    goal = verb_goal(host, verb, name, have, terms, raw)
    made = with_what_is_undone(host.config, plan_vm(host, goal, have), [goal], raw)
    made = made if VERBS[verb].spec_from is SpecFrom.DECLARED else of_verb(made)
    absent = not have.exists and _ends_with_none(verb)
    return replace(made, warnings=(*made.warnings, not_there(host, name))) if absent else made


def not_there(host: Host, name: str) -> str:
    """What is said of a VM that is to be gone, and is; ``Refused`` if it may be out of sight."""
    away = {**host.drivers.away, **host.pools.away}
    if away:
        why = "is not seen, but may be where nobody can look now"
        raise Refused(Problem(name, f"{why}: {'; '.join(away.values())}", Code.REFUSED))
    return f"{name} is not there: nothing to do"


def _ends_with_none(verb: str) -> bool:
    return verb in VERBS and VERBS[verb].target.is_gone


def with_what_is_undone(
    config: HostConfig, made: SavedPlan, goals: Iterable[Goal], raw: Raw | None = None
) -> SavedPlan:
    """The plan *made*, and a warning of each VM that the next apply powers off or freezes again."""
    found: list[str] = []
    for goal in goals:
        with suppress(Refused):  # a description that is wrong says nothing of power
            found += undone_next(goal, declared(config, goal.name, raw))
    return replace(made, warnings=(*made.warnings, *found))


def verb_goal(
    host: Host, verb: str, name: str, have: Observation, terms: Goal, raw: Raw | None = None
) -> Goal:
    """The goal of a verb for a VM that is what *have* says; the policies are those of *terms*."""
    if verb not in VERBS:
        raise Refused(unknown("verb", "verb", verb, VERBS))
    as_defined = VERBS[verb].spec_from is SpecFrom.DEFINED and have.recorded is not None
    needless = raw is None and (as_defined or not VERBS[verb].target.takes_spec)
    wanted = None if needless else spec_for(VERBS[verb].target, name, host.config, have, raw)
    goal = accepted(goal_of(VERBS[verb], name, wanted, have, terms.data_loss))
    return replace(goal, max_impact=terms.max_impact)


def plan_shutdown(host: Host, name: str, to_run: object = False) -> SavedPlan:
    """The plan that shuts a VM down; with *to_run*, only for a while.

    Then it is recorded, as for a restart, that it is to be started again: whoever asks does that,
    and if that is interrupted, the next plan does.
    """
    planned = plan_verb(host, "shutdown", name)
    if not accepted(fields.boolean("to_run", to_run)):
        return planned
    have, plan = planned.observations.get(name, Observation()), planned.plan
    plans = tuple(replace(each, steps=for_now(each.steps, have)) for each in plan.plans)
    return replace(planned, plan=HostPlan(plans=plans, steps=for_now(plan.steps, have)))


def plan_to(
    host: Host,
    name: str,
    target: object = Target.DECLARED,
    raw: Raw | None = None,
    *,
    restart: object = Restart.IF_NEEDED,
    power_off: object = PowerOff.SHUTDOWN,
    by_hand: object = ByHand.KEPT,
    max_impact: object = str(Impact.DATA_LOSS),
    allow_data_loss: object = False,
) -> SavedPlan:
    """The plan that brings a VM to *target* as it is declared (by *raw*, else in the pillar).

    If the VM is not declared, its definition counts. The words are those of ``Target``,
    ``Restart``, ``PowerOff``, ``ByHand`` and ``Impact``. Raises ``Refused`` on wrong input, and if
    there is no such plan.
    """
    goal = wanted(
        {
            "target": target,
            "restart": restart,
            "power_off": power_off,
            "by_hand": by_hand,
            "max_impact": max_impact,
            "allow_data_loss": allow_data_loss,
        }
    )
    have = _have(host, name, goal.target, raw)
    goal = goal_for(goal, name, host.config, have, raw)
    planned = with_what_is_undone(host.config, plan_vm(host, goal, have), [goal], raw)
    says_spec = raw is not None or goal.target.takes_spec
    said = {name: declared_by(host.config, name, raw)} if says_spec else {}
    return replace(planned, origins=said)


def plan_spec(host: Host, wishes: Wishes, raw: Raw) -> SavedPlan:
    """The plan for the one VM of *wishes*, as *raw* says instead of the configuration."""
    (name,) = wishes.names
    have = host.observe(name)
    goal = replace(wishes.goal, asked=wishes.asked)
    planned = plan_vm(host, goal_for(goal, name, host.config, have, raw), have)
    return replace(planned, origins={name: declared_by(host.config, name, raw)})


def validate(raw: object, name: str | None = None, spec: Raw | None = None) -> Found:
    """Everything that is wrong with one VM, or with all VMs declared in *raw*, by name.

    *raw* is the configuration of a host. Problems of the registry come first, under REGISTRY;
    problems of the configuration itself are under CONFIGURATION, and problems that VMs have only
    together are under TOGETHER.
    """
    recorded = tuple(
        Problem("registry", f"{each.found}: {each.fix}", Code.HOST)
        for each in troubles(raw)
        if each.stops
    )
    return {**({REGISTRY: recorded} if recorded else {}), **_declared_problems(raw, name, spec)}


def _declared_problems(raw: object, name: str | None, spec: Raw | None) -> Found:
    try:
        host = Host.from_config(raw)
        locked = _lock_problems(host)
        if locked:
            return {CONFIGURATION: locked, **_vms_alone(raw, name)}
        host.observe_all()  # a driver or pool may open, and then fail to answer
    except Refused as refused:
        return {CONFIGURATION: refused.found, **_vms_alone(raw, name)}
    except HostError:  # the registry cannot be read
        return _vms_alone(raw, name)
    if name is not None:
        _ = host.known(name) if spec is None else host.observe(name)  # refuses a name that is none
        return {name: _problems(host, name, spec)}
    found = {each: _problems(host, each, None) for each in sorted(host.config.vms)}
    together = _together(host, [each for each, problems in found.items() if not problems])
    away = (
        *map(problem_of, facts_of(host, host.drivers).unavailable.values()),
        *templates.problems_of_disks(host.config.templates.values(), host.store),
    )
    around = {CONFIGURATION: away} if away else {}
    return {**around, **found, **({TOGETHER: together} if together else {})}


def _lock_problems(host: Host) -> Problems:
    try:
        _ = host.locks
    except HostError as error:
        return (Problem("", str(error), Code.HOST),)
    return ()


def _problems(host: Host, name: str, raw: Raw | None) -> Problems:
    try:
        spec = host.declared(name, raw)
        if spec is not None:
            plan_alone(host, Goal(name=name, target=Target.DEFINED, spec=spec), Observation())
    except Refused as refused:
        return refused.found
    return ()


def _together(host: Host, names: list[str]) -> Problems:
    specs = [host.declared(name) for name in names]
    wanted = [Goal(name=s.name, target=Target.DEFINED, spec=s) for s in specs if s is not None]
    try:
        plan_vms(host, wanted, {}, Scope.SOME)
    except Refused as refused:
        return refused.found
    return ()


def _vms_alone(raw: object, name: str | None) -> Found:
    """What can be said of VMs if the rest of the configuration is wrong."""
    vms, profiles = _part(raw, "vms"), _part(raw, "profiles")
    if vms is None or profiles is None:
        return {}
    config = replace(vms, profiles=profiles.profiles)
    return {
        each: _spec_problems(config, each) for each in sorted(config.vms) if name in (None, each)
    }


def _part(raw: object, key: str) -> HostConfig | None:
    """One key of a configuration, if that is right."""
    given = {key: raw[key]} if isinstance(raw, Mapping) and key in raw else {}
    return parse_config(given).value_or(None)


def _spec_problems(config: HostConfig, name: str) -> Problems:
    try:
        declared(config, name)
    except Refused as refused:
        return refused.found
    return ()


def _have(host: Host, name: str, target: Target, raw: Raw | None) -> Observation:
    """What the VM is now; one that nobody knows is refused, unless it should be gone anyway."""
    if raw is not None or target.is_met_by_none:
        return host.observe(name)
    return host.known(name)
