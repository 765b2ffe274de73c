"""Plans and observations in files: made in one place, read or applied in another.

``geats observe`` writes a ``Recorded`` host, from which plans can be made without the host. A
``SavedPlan`` contains what it was made from, so that apply can check that nothing has changed.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import field
from hashlib import sha256
from typing import Any

from returns.result import Failure, Success

from geats_core.hostwide.host_planner import HostPlan
from geats_core.planning.actions import (
    POWER_OFFS,
    Action,
    Adopt,
    ConfigureGuest,
    Define,
    MoveVolume,
    NotePlaces,
    Pause,
    Rename,
    RenameVolume,
    Stop,
    UpgradeRegistry,
)
from geats_core.planning.host_facts import HostFacts
from geats_core.planning.model import after
from geats_core.planning.steps import Plan, Step
from geats_core.planning.then import Then
from geats_core.plans.codec import decode, encode, names_of
from geats_core.plans.observation_changes import host_differences
from geats_core.reading import fields, file_formats
from geats_core.reading.checked import Checked, Code, Problem, Problems, problem, problems_of
from geats_core.reading.fields import Parser
from geats_core.reading.values import dataclass
from geats_core.vm.observation import Observation
from geats_core.vm.spec import VMSpec

FINGERPRINT = "fingerprint"
OF_HOST = (Pause, UpgradeRegistry, NotePlaces)  # may stand in a plan in which no VM has them
NAMES: Mapping[str, Parser[str]] = {
    "pool": fields.name,
    "volume": fields.name,
    "template": fields.name,
    "snapshot": fields.name,
    "from_pool": fields.name,
    "old_name": fields.vm_name,
    "new_name": fields.vm_name,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A host at one moment: every VM on it by name, and what the host offers."""

    observations: Mapping[str, Observation]
    facts: HostFacts
    version: int = file_formats.RECORDED


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedPlan:
    """A plan, with the observations that it was made from; the file has a fingerprint of all of it.

    ``warnings`` are what a user should know before the plan is applied. ``refused`` are the VMs
    that were asked for but have no part in the plan, and why. ``origins`` say of VMs, by name, who
    says each key of their specs, such as ``profiles.web``.
    """

    plan: HostPlan
    observations: Mapping[str, Observation]
    warnings: tuple[str, ...] = ()
    refused: Mapping[str, Problems] = field(default_factory=dict)
    origins: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    version: int = file_formats.PLAN

    @property
    def of_vm(self) -> Plan:
        """The plan of the VM that it is about: of the first, if it has steps of several."""
        return self.plan.plans[0]


class OfVerb(SavedPlan):
    """The plan of a lifecycle verb: it says nothing of what is declared, if there are no steps."""

    __slots__ = ()


def of_verb(made: SavedPlan) -> OfVerb:
    """*made*, as the plan of a lifecycle verb."""
    return OfVerb(**{name: getattr(made, name) for name in names_of(SavedPlan)})


def saved(
    plan: HostPlan, observations: Mapping[str, Observation], warnings: tuple[str, ...] = ()
) -> SavedPlan:
    """*plan* with what it was made from."""
    return SavedPlan(plan=plan, observations=observations, warnings=warnings)


def alone(plan: Plan) -> HostPlan:
    """The plan of one VM as the plan of a host with nothing else to do."""
    return HostPlan(plans=(plan,), steps=plan.steps)


def fingerprint(value: object) -> str:
    """A fingerprint of a plan, or of the state of a host: equal only if everything is equal."""
    text = json.dumps(encode(value), sort_keys=True, ensure_ascii=True)
    return sha256(text.encode()).hexdigest()


def moved(plan: SavedPlan, now: Mapping[str, Observation]) -> Problems:
    """Why *plan* must not be applied any more: everything that has changed since it was made.

    A VM that the plan powers off may be off already, for example because the guest was shutting
    down when the plan was made.
    """
    off = {name: have for name, have in now.items() if _is_off_already(plan, name, have)}
    found = (line.partition(": ") for line in host_differences({**plan.observations, **off}, now))
    return tuple(Problem(path, f"{what}: plan again", Code.CHANGED) for path, _, what in found)


def _is_off_already(plan: SavedPlan, name: str, have: Observation) -> bool:
    """Whether all that has changed is that the VM is off, and the rest of the steps fit that."""
    before = plan.observations.get(name, Observation())
    steps = [step.action for step in plan.plan.steps if step.vm == name]
    rest = [action for action in steps if not isinstance(action, POWER_OFFS)]
    is_off = Success(have) in [after(Stop(then), before) for then in Then]
    return is_off and rest != steps and _can_follow(rest, have)


def _can_follow(actions: Iterable[Action], state: Observation) -> bool:
    for action in actions:
        match after(action, state):
            case Success(then):
                state = then
            case Failure():
                return False
    return True


def to_json(value: Recorded | SavedPlan) -> str:
    """As text: ``recorded_from_json`` or ``plan_from_json`` give it back."""
    plain: Any = encode(value)
    if isinstance(value, SavedPlan):
        plain[FINGERPRINT] = fingerprint(value)
    return json.dumps(plain, indent=1, sort_keys=True, ensure_ascii=True) + "\n"


def recorded_from_json(text: str) -> Checked[Recorded]:
    """Read what ``geats observe`` wrote; report everything that is wrong with it."""
    match _read(text, file_formats.RECORDED, 1):
        case Success(raw):
            return decode(Recorded, "", _with_facts_of_drivers(raw))
        case Failure() as refused:
            return refused


def _with_facts_of_drivers(raw: dict[str, object]) -> dict[str, object]:
    """Before format 3, drivers were only named."""
    match raw:
        case {"facts": {"drivers": list(names), **others}}:
            return {**raw, "facts": {**others, "drivers": {f"{name}": {} for name in names}}}
        case _:
            return raw


def plan_from_json(text: str) -> Checked[SavedPlan]:
    """Read a saved plan; refused if anything in it was changed, or if the model refuses its
    steps."""
    match _read(text, file_formats.PLAN, file_formats.OLDEST_PLAN):
        case Success(raw):
            return _plan(raw, raw.pop(FINGERPRINT, None))
        case Failure() as refused:
            return refused


def _plan(raw: dict[str, object], named: object) -> Checked[SavedPlan]:
    if named != fingerprint(raw):
        why = "is not that of this plan: the file was changed: plan again"
        return problem(FINGERPRINT, why, Code.CHANGED)
    match decode(SavedPlan, "", raw):
        case Success(read):
            problems = _wrong_with(read)
            return Failure(problems) if problems else Success(read)
        case Failure() as refused:
            return refused


def _read(text: str, known: int, oldest: int) -> Checked[dict[str, object]]:
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        return problem("", f"is not JSON: {error}")
    if not isinstance(raw, dict) or raw.get("version") is None:
        return problem("version", "is missing: geats did not write this file", Code.MISSING)
    found = raw["version"]
    why = file_formats.newer(found, known)
    if not why and found < oldest:
        why = f"is {found}, of an older geats, and from {oldest} on it is read: make it again"
    return problem("version", why) if why else Success(raw)


def _wrong_with(read: SavedPlan) -> Problems:
    names = [
        problem_
        for position, step in enumerate(read.plan.steps)
        for problem_ in _wrong_names(f"plan.steps[{position}]", step)
    ]
    return tuple(names) or _out_of_place(read.plan) or _inapplicable(read) or _two_plans(read.plan)


def _wrong_names(path: str, step: Step) -> Problems:
    kind: Any = type(step.action)
    checked = [
        NAMES[name](f"{path}.action.{name}", getattr(step.action, name))
        for name in names_of(kind)
        if name in NAMES
    ]
    of_vm = [fields.vm_name(f"{path}.vm", step.vm)] if step.vm else []
    return problems_of(*checked, *of_vm)


def _out_of_place(plan: HostPlan) -> Problems:
    """Steps of no VM of *plan*, or that are not fit for their VM."""
    vms = {each.name for each in plan.plans}
    new_names = {s.vm: s.action.spec.name for s in plan.steps if isinstance(s.action, Rename)}
    problems: list[Problem] = []
    for position, step in enumerate(plan.steps):
        path = f"plan.steps[{position}]"
        match step.action:
            case Pause(seconds):
                problems += problems_of(fields.delay_s(f"{path}.action.seconds", seconds))
            case Define(spec) | Adopt(spec) | MoveVolume(spec=spec) if spec.name != step.vm:
                problems.append(_of_another(path, spec, step))
            case ConfigureGuest(_, _, spec) if spec.name not in (step.vm, new_names.get(step.vm)):
                problems.append(_of_another(path, spec, step))
            case RenameVolume(old_name=old_name) if old_name != step.vm:
                message = f"is {old_name!r}, and the step of {step.vm!r}"
                problems.append(Problem(f"{path}.action.old_name", message))
            case _:
                pass
        if step.vm not in vms and not (isinstance(step.action, OF_HOST) and not step.vm):
            problems.append(Problem(f"{path}.vm", f"{step.vm!r} is not a VM of the plan"))
    return tuple(problems)


def _of_another(path: str, spec: VMSpec, step: Step) -> Problem:
    message = f"is that of {spec.name!r}, and the step of {step.vm!r}"
    return Problem(f"{path}.action.spec", message)


def _two_plans(plan: HostPlan) -> Problems:
    """VMs whose own plan has other steps than the plan of the host has for them."""
    of_host: dict[str, list[str]] = {each.name: [] for each in plan.plans}
    for step in plan.steps:
        if not isinstance(step.action, OF_HOST):
            of_host[step.vm].append(_apart_from_needs(step))
    return tuple(
        Problem(f"plan.plans[{position}]", f"has other steps of {each.name!r} than plan.steps")
        for position, each in enumerate(plan.plans)
        if sorted(of_host[each.name])
        != sorted(_apart_from_needs(s) for s in each.steps if not isinstance(s.action, OF_HOST))
    )


def _apart_from_needs(step: Step) -> str:
    return fingerprint(step.waiting((), ()))


def _inapplicable(read: SavedPlan) -> Problems:
    """The first step of each VM that the model does not allow."""
    states = dict(read.observations)
    problems: dict[str, Problem] = {}
    for position, step in enumerate(read.plan.steps):
        if any(not 0 <= earlier < position for earlier in step.waits_for):
            message = "waits for a step that is not before it"
            problems[step.vm] = Problem(f"plan.steps[{position}]", message)
        match after(step.action, states.get(step.vm, Observation())):
            case Success(state):
                states[step.vm] = state
            case Failure(why):
                where = f"plan.steps[{position}]"
                problems.setdefault(step.vm, Problem(where, f"cannot be done: {why}"))
    return tuple(problems.values())
