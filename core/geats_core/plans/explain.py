"""A plan in words: as text, as tables, and as plain data for JSON and Salt."""

from collections.abc import Iterable
from typing import Any, TypeAlias

from returns.result import Success

from geats_core.hostwide.host_planner import HostPlan
from geats_core.hostwide.strays import Stray
from geats_core.planning.action_words import describe
from geats_core.planning.actions import Action
from geats_core.planning.spec_changes import changes_to_plain
from geats_core.planning.steps import Plan, Step
from geats_core.plans.codec import DO, encode, names_of
from geats_core.plans.opened import opened
from geats_core.reading.checked import Checked, Code, problem, shown
from geats_core.reading.shown_lines import shown_line, shown_lines
from geats_core.vm.spec import VMSpec

AnyPlan: TypeAlias = Plan | HostPlan
THIS_HOST = "this host"  # what concerns no VM is told under it; no VM can have this name
MOST_NAMED = 20  # steps that a refusal of a question names


def explain(plan: AnyPlan) -> str:
    """One line for each step, with its reason and impact; then what is pending or kept, and strays.

    If there are several VMs, each line also has the positions of the steps that it waits for.
    """
    lines = [words for _, words in explain_each(plan)]
    return "\n".join([*lines, *notes(plan)]) or nothing_to_do(plan)


def explain_each(plan: AnyPlan) -> Iterable[tuple[Step, str]]:
    """Each step with its line, see ``explain``."""
    several = len({step.vm for step in plan.steps}) > 1  # those of one come one after the other
    for position, step in numbered(plan):
        waits = f", {waits_for(step)}" if several and step.waits_for else ""
        yield step, f"{position}. {explain_step(step)}{waits}"


def nothing_to_do(plan: AnyPlan, so: str = "as described") -> str:
    """What an empty plan says; *so* is how its VMs are."""
    if isinstance(plan, HostPlan) and not plan.plans:
        return "no VM is affected: nothing to do"
    who = plan.name if isinstance(plan, Plan) else "every VM"
    return f"{who} is {so}: nothing to do"


def single(plan: HostPlan) -> AnyPlan:
    """The plan of the one VM that it is about, or *plan* itself."""
    return plan.plans[0] if len(plan.plans) == 1 else plan


def explain_step(step: Step) -> str:
    """For example ``shut down web01 (…) because nics changed … (impact: restart)``."""
    return f"{describe(step.action, step.vm)} because {step.reason} (impact: {step.impact})"


def numbered(plan: AnyPlan) -> Iterable[tuple[int, Step]]:
    """The steps, counted from 1, as people do."""
    return enumerate(plan.steps, start=1)


def notes(plan: AnyPlan) -> list[str]:
    """What a plan leaves as it is, and a person should know."""
    if isinstance(plan, Plan):
        kept = (_kept(line, plan) for line in plan.by_hand)
        return [*opened(plan), *_pending(plan), *kept]
    of_vms = [note for each in plan.plans for note in notes(each)]
    return [*of_vms, *map(_stray, plan.strays)]


def short_notes(plan: HostPlan) -> list[str]:
    """Those of ``notes`` that matter at a glance: of lines added by hand, those that win."""
    of_vms = [
        note
        for each in plan.plans
        for note in (
            *opened(each),
            *_pending(each),
            *(_kept(line, each) for line, _ in each.wins),
        )
    ]
    return [*of_vms, *map(_stray, plan.strays)]


def _pending(plan: Plan) -> list[str]:
    return [f"pending until {plan.name} restarts: {change}" for change in plan.pending]


def _kept(line: str, plan: Plan) -> str:
    won = [key for each, key in plan.wins if each == line]
    wins = f" (it wins over {won[0]} of the description)" if won else ""
    return f"kept in {plan.name}, added by hand: {shown_line(line)}{wins}"


def _stray(stray: Stray) -> str:
    known = "its description is gone" if stray.defined else "it was never described"
    left = ", left alone" if stray.left_alone else ""
    return f"stray: {stray.name} is {stray.power}, {known} (policy: {stray.policy}{left})"


def table(plan: AnyPlan) -> str:
    """The steps as a table in Markdown."""
    head = ["#", "step", "because", "impact", "waits for"]
    rows = [
        [str(position), *map(_cell, step_words(step)), waits_for(step) or "–"]
        for position, step in numbered(plan)
    ]
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def step_words(step: Step) -> tuple[str, str, str]:
    """What is done, why, and the impact."""
    return describe(step.action, step.vm), step.reason, str(step.impact)


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|")


def waits_for(step: Step) -> str:
    """For example ``needs 1, 2, after 3``: those that must be done, and those that must be over."""
    words = ((word, positions) for word, positions in _waits(step) if positions)
    return ", ".join(f"{word} {', '.join(str(at + 1) for at in found)}" for word, found in words)


def _waits(step: Step) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return ("needs", step.needs), ("after", step.after)


def why(plan: AnyPlan, question: str) -> Checked[str]:
    """Everything about the steps that *question* names, such as ``restart web01``.

    A step is named by words of what it does, of the VM, or of its impact: all of them must fit.
    """
    words = set(question.lower().split())
    found = [
        (position, step) for position, step in numbered(plan) if words and words <= _words_of(step)
    ]
    if found:
        later = _waited_for_by(plan)
        about = (_all_about(plan, position, step, later[position]) for position, step in found)
        return Success("\n\n".join(about))
    named = [_named(plan, position) for position in range(1, len(plan.steps) + 1)]
    more = [f"and {len(named) - MOST_NAMED} more"] if len(named) > MOST_NAMED else []
    steps = "; ".join([*named[:MOST_NAMED], *more]) or nothing_to_do(plan)
    return problem("question", f"no step is named by {shown(question)} ({steps})", Code.UNKNOWN)


def _waited_for_by(plan: AnyPlan) -> dict[int, list[str]]:
    """By position, counted from 1, what waits for that step, in words."""
    found: dict[int, list[str]] = {position: [] for position, _ in numbered(plan)}
    for position, step in numbered(plan):
        for earlier in step.needs:
            found[earlier + 1].append(f"is needed by {_named(plan, position)}")
        for earlier in step.after:
            found[earlier + 1].append(f"comes before {_named(plan, position)}")
    return found


def _words_of(step: Step) -> set[str]:
    said = f"{describe(step.action, step.vm)} {type(step.action).__name__} {step.impact}"
    words = said.lower().replace("(", " ").replace(")", " ").replace("/", " ").replace(":", " ")
    return {step.vm, *said.lower().split(), *words.split()}


def _all_about(plan: AnyPlan, position: int, step: Step, later: Iterable[str]) -> str:
    """A step with its reason, cost, and neighbours."""
    lines = [
        f"step {position} of {len(plan.steps)}: {describe(step.action, step.vm)}",
        f"  because {step.reason}",
        *(f"  {change} (impact of this change: {change.impact})" for change in step.changes),
        f"  impact: {step.impact}",
    ]
    lines += [f"  needs {_named(plan, earlier + 1)}" for earlier in step.needs]
    lines += [f"  comes after {_named(plan, earlier + 1)}" for earlier in step.after]
    lines += [f"  {each}" for each in later]
    return "\n".join(lines)


def _named(plan: AnyPlan, position: int) -> str:
    step = plan.steps[position - 1]
    return f"step {position}: {describe(step.action, step.vm)}"


def plan_to_plain(plan: Plan) -> dict[str, object]:
    """The plan as plain data."""
    return {
        "name": plan.name,
        "impact": str(plan.impact),
        "steps": list(map(step_to_plain, plan.steps)),
        "changes": changes_to_plain(plan.changes),
        "pending": changes_to_plain(plan.pending),
        "by_hand": list(shown_lines(plan.by_hand)),
        "wins": {shown_line(line): key for line, key in plan.wins},
    }


def host_plan_to_plain(plan: HostPlan) -> dict[str, object]:
    """The plan of a whole host as plain data; ``vms`` contains the plans of the single VMs.

    Steps that are about the whole host are only in ``steps``.
    """
    return {
        "impact": str(plan.impact),
        "steps": list(map(step_to_plain, plan.steps)),
        "vms": {each.name: plan_to_plain(each) for each in plan.plans if each.name},
        "strays": {
            stray.name: {
                "power": str(stray.power),
                "defined": stray.defined,
                "policy": str(stray.policy),
                "left_alone": stray.left_alone,
            }
            for stray in plan.strays
        },
    }


def step_to_plain(step: Step) -> dict[str, object]:
    """One step as plain data; ``needs`` and ``after`` contain positions of steps, from 0.

    ``do`` is the kind of the action; its details are separate keys, such as ``pool`` and
    ``volume``, except specs, which are long. ``text`` says the same in one line.
    """
    return {
        **_action_to_plain(step.action),
        "vm": step.vm,
        "text": describe(step.action, step.vm),
        "reason": step.reason,
        "impact": str(step.impact),
        "changes": {
            field: {**both, "impact": str(change.impact)}
            for change in step.changes
            for field, both in changes_to_plain((change,)).items()
        },
        "needs": list(step.needs),
        "after": list(step.after),
    }


def _action_to_plain(action: Action) -> dict[str, object]:
    kind: Any = type(action)
    parts = {name: getattr(action, name) for name in names_of(kind)}
    told = {name: encode(part) for name, part in parts.items() if not isinstance(part, VMSpec)}
    return {DO: kind.__name__, **told}
