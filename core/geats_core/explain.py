"""A plan in words: as text, and as plain data for JSON and Salt."""

from geats_core.actions import describe
from geats_core.changes import Change
from geats_core.plan import Plan, Step


def explain(plan: Plan) -> str:
    """One line a step, with its reason and impact; pending changes below."""
    lines = [
        f"{position}. {explain_step(step, plan.name)}"
        for position, step in enumerate(plan.steps, start=1)
    ]
    lines += [f"pending until {plan.name} restarts: {change}" for change in plan.pending]
    return "\n".join(lines) if lines else f"{plan.name} is as described: nothing to do"


def explain_step(step: Step, vm_name: str) -> str:
    """For example ``shut down web01 (…) because nics changed … (impact: restart)``."""
    return f"{describe(step.action, vm_name)} because {step.reason} (impact: {step.impact})"


def plan_to_plain(plan: Plan) -> dict[str, object]:
    """The plan as plain data."""
    return {
        "name": plan.name,
        "impact": str(plan.impact),
        "steps": [step_to_plain(step, plan.name) for step in plan.steps],
        "changes": changes_to_plain(plan.changes),
        "pending": changes_to_plain(plan.pending),
    }


def step_to_plain(step: Step, vm_name: str) -> dict[str, object]:
    """One step as plain data; ``needs`` holds positions in the plan's list of steps."""
    return {
        "action": describe(step.action, vm_name),
        "reason": step.reason,
        "impact": str(step.impact),
        "needs": list(step.needs),
    }


def changes_to_plain(changes: tuple[Change, ...]) -> dict[str, object]:
    """``{field: {"old": …, "new": …}}``."""
    return {change.field: {"old": change.old, "new": change.new} for change in changes}
