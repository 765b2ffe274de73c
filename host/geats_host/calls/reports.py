"""Reports on plans, on what was done of them, and on programs in VMs, as plain data."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from returns.result import Failure, Success

from geats_core.hostwide.host_planner import HostPlan
from geats_core.planning.action_words import describe
from geats_core.planning.actions import AwaitReady, NotePlaces, Pause
from geats_core.planning.spec_changes import changes_to_plain
from geats_core.planning.steps import Plan, Step
from geats_core.plans.explain import (
    THIS_HOST,
    explain_step,
    host_plan_to_plain,
    notes,
    plan_to_plain,
    step_to_plain,
)
from geats_core.plans.plan_files import SavedPlan
from geats_core.reading.checked import problems_to_plain
from geats_host.drivers import Copied, Ran
from geats_host.engine.outcomes import Applied, Interrupted, Noted, NotTried

if TYPE_CHECKING:
    from geats_host.calls.guests.waiting import Waited

Report = dict[str, object]


def plan_report(plan: Plan) -> Report:
    """The plan as plain data, with each step also as one line of text."""
    return {**plan_to_plain(plan), "text": [explain_step(step) for step in plan.steps]}


def host_plan_report(made: SavedPlan) -> Report:
    """The plan of several VMs as plain data, with its steps and notes also as lines of text."""
    plain = host_plan_to_plain(made.plan)
    text = [explain_step(step) for step in made.plan.steps]
    return {**plain, "text": text, **_beside(made)}


def apply_report(plan: Plan, applied: Applied) -> Report:
    """What was done of the plan of one VM, possibly among others.

    ``failed`` (the first step that failed) and ``error`` are None if no step failed; ``not_tried``
    are the steps that needed a failed step, possibly of another VM. ``notes`` tell of steps that
    were done, but not as they should be.
    """
    own = how_far(applied).of_plan(plan)
    failed = own.failed
    return {
        "name": plan.name,
        "done": [step_to_plain(step) for step in own.done],
        "failed": step_to_plain(failed[0].step) if failed else None,
        "error": "\n".join(each.error for each in failed) if failed else None,
        "not_tried": [step_to_plain(each.step) for each in own.not_tried],
        "changes": salt_changes(plan, own.done),
        "pending": changes_to_plain(plan.pending),
        "notes": done_notes(applied, plan),
    }


def done_notes(applied: Applied, of: Plan | None = None) -> list[str]:
    """What is to be known of steps that were done, such as a guest that had to be powered off."""
    found = how_far(applied) if of is None else how_far(applied).of_plan(of)
    return [f"{each.vm}: {each.note}" for each in found.done if isinstance(each, Noted)]


def apply_host_report(made: SavedPlan, applied: Applied) -> Report:
    """What was done for each VM (see ``apply_report``), and what the plan does not change.

    ``host`` is what was done besides VMs.
    """
    plans = [*made.plan.plans, *_of_host(made.plan)]
    done = {each.name: apply_report(each, applied) for each in plans}
    host = {"host": done.pop("")} if "" in done else {}
    return {"vms": done, **host, **_beside(made)}


def _beside(made: SavedPlan) -> Report:
    """What is to be known beside the steps; ``refused`` says of VMs why they are left out."""
    refused = problems_to_plain(made.refused)
    return {"notes": notes(made.plan), "warnings": list(made.warnings), "refused": refused}


def several_report(several: SavedPlan, applied: Applied) -> dict[str, Report]:
    """What was done for each VM, see ``apply_report``; ``error`` says everything that went
    wrong."""
    whole = how_far(applied)
    vms: dict[str, Report] = {}
    for plan in several.plan.plans:
        own = whole.of_plan(plan)
        interrupted = own.failed or own.not_tried
        error = failure_text(own) if interrupted else None
        report = apply_report(plan, applied)
        vms[plan.name] = {**report, "error": error, "origins": dict(several.origins[plan.name])}
    return {**vms, **_refused(several)}


def would_several_report(several: SavedPlan) -> dict[str, Report]:
    """What would be done for each VM, and why nothing can be."""
    made = several.plan
    changes = would_change_host(made)
    vms: dict[str, Report] = {
        plan.name: {
            **plan_report(plan),
            "changes": changes[plan.name],
            "error": None,
            "origins": dict(several.origins[plan.name]),
        }
        for plan in made.plans
    }
    return {**vms, **_refused(several)}


def _refused(several: SavedPlan) -> dict[str, Report]:
    return {
        name: {
            "name": name,
            "changes": {},
            "pending": {},
            "origins": {},
            "error": "\n".join(map(str, why)),
        }
        for name, why in several.refused.items()
    }


def how_far(applied: Applied) -> Interrupted:
    """What was done of a plan, what failed, and what was not tried."""
    match applied:
        case Success(done):
            return Interrupted(done, (), ())
        case Failure(interrupted):
            return interrupted


def salt_changes(plan: Plan, steps: Iterable[Step]) -> dict[str, object]:
    """Old and new by field, and the steps: empty exactly when there are no steps."""
    lines = [explain_step(step) for step in steps]
    fields: Mapping[str, object] = changes_to_plain(plan.changes) if lines else {}
    return {**fields, "steps": lines} if lines else {}


def would_change(plan: Plan) -> dict[str, object]:
    """The changes that applying the whole plan makes: the same in test mode as in the run."""
    return salt_changes(plan, plan.steps)


def would_change_host(plan: HostPlan) -> dict[str, dict[str, object]]:
    """The same for each VM of a plan for several, whose steps may come in another order there."""
    steps = {each.name: [step for step in each.steps if not step.vm] for each in plan.plans}
    for step in plan.steps:
        if step.vm:
            steps[step.vm].append(step)
    of_host = {each.name: would_change(each) for each in _of_host(plan)}
    named = [each for each in plan.plans if each.name]
    return {each.name: salt_changes(each, steps[each.name]) for each in named} | of_host


def _of_host(plan: HostPlan) -> Iterable[Plan]:
    """What concerns the whole host, and is in no plan of a VM: as if it were one's."""
    of_vms = {step.action for each in plan.plans for step in each.steps if not step.vm}
    steps = [s for s in plan.steps if isinstance(s.action, NotePlaces) and s.action not in of_vms]
    if steps:
        yield Plan(name=THIS_HOST, steps=tuple(steps))


def error_of(applied: Applied) -> str | None:
    """Why a plan was not carried out completely; None if it was."""
    return failure_text(applied.failure()) if isinstance(applied, Failure) else None


def failure_text(interrupted: Interrupted) -> str:
    """What failed and why, what was done, which VMs are left as they are, and what else was not
    tried."""
    failed = [f"{_could_not(each.step)}: {each.error}" for each in interrupted.failed]
    done = [f"done before: {_with_note(step)}" for step in interrupted.done]
    touched = {"", *(step.vm for step in interrupted.done)}
    touched |= {each.step.vm for each in interrupted.failed}
    untried = [each for each in interrupted.not_tried if not isinstance(each.step.action, Pause)]
    others = [
        f"not tried: {describe(each.step.action, each.step.vm)}, {_why(each)}"
        for each in untried
        if each.step.vm in touched
    ]
    left: dict[str, dict[str, None]] = {}  # VMs, by why nothing of them was tried
    for each in untried:
        if each.step.vm not in touched:
            left.setdefault(_why(each), {})[each.step.vm] = None
    kept = [f"left as before: {', '.join(vms)}, {why}" for why, vms in left.items()]
    return "\n".join([*failed, *done, *others, *kept])


def _with_note(step: Step) -> str:
    return f"{explain_step(step)}: {step.note}" if isinstance(step, Noted) else explain_step(step)


def _why(each: NotTried) -> str:
    cause = each.because_of
    if cause is each.step:
        return "because it was cancelled"
    if isinstance(cause.action, AwaitReady):
        return f"because {cause.vm} is not ready"
    return f"because geats could not {describe(cause.action, cause.vm)}"


def _could_not(step: Step) -> str:
    if isinstance(step.action, AwaitReady):
        return f"{step.vm} is not ready"
    return f"could not {describe(step.action, step.vm)}"


def ran_report(ran: Ran) -> Report:
    """The result of a program in a VM; bytes that are not UTF-8 are replaced by U+FFFD.

    ``code`` is None if ``timed_out``.
    """
    return {
        "code": ran.code,
        "stdout": ran.stdout.decode(errors="replace"),
        "stderr": ran.stderr.decode(errors="replace"),
        "truncated": ran.truncated,
        "timed_out": ran.code is None,
    }


def copied_report(at: Mapping[str, object], copied: Copied) -> Report:
    """What was copied, and *at* which path it is; of a directory also what was not copied."""
    of_tree = {"files": copied.files, "wrong": [*copied.wrong]} if copied.is_tree else {}
    return {**at, "size_bytes": copied.size_bytes, **of_tree}


def waited_report(name: str, waited: "Waited") -> Report:
    """Whether what was waited for came, the seconds it took, and what was seen last."""
    return {
        "name": name,
        "until": str(waited.until),
        "reached": waited.reached,
        "took_s": waited.took_s,
        "seen": waited.seen,
    }
