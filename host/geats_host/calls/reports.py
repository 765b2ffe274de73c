"""The reports of geats as plain data, for Salt and for the command line."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

from returns.result import Failure, Success

from geats_core.hostwide.host_planner import HostPlan
from geats_core.planning.actions import NotePlaces, describe
from geats_core.planning.spec_changes import AS_EVER, Change, changes
from geats_core.planning.steps import Plan, Step
from geats_core.plans.explain import (
    changes_to_plain,
    explain_step,
    host_plan_to_plain,
    notes,
    plan_to_plain,
    step_to_plain,
)
from geats_core.plans.plan_files import SavedPlan
from geats_core.reading.checked import said_once
from geats_core.vm.observation import Observation
from geats_core.vm.secrets import shown_spec
from geats_host.drivers import Ran
from geats_host.engine.apply import Applied, Interrupted, Noted, NotTried
from geats_host.errors import accepted
from geats_host.host import Host
from geats_host.lazy import later

if TYPE_CHECKING:
    from geats_core.requests import vm_filter as listing
    from geats_host.calls.waiting import Waited
else:
    listing = later("geats_core.requests.vm_filter")

Report = dict[str, object]
HOST = "this host"  # what concerns no VM is told under it; no VM can have this name


def list_report(host: Host, only: Mapping[str, object] = MappingProxyType({})) -> dict[str, Report]:
    """Every VM by name: its power, whether it is declared, defined and locked, and so on.

    ``power`` is None if nothing is defined. ``pending`` is the number of fields that are recorded,
    but not in effect until the VM restarts. ``to_run``: an interrupted plan powered the VM off to
    start it again. ``problems`` say why part of the VM cannot be seen or read now. *only* selects
    VMs, see ``parse_filter``.
    """
    meant = accepted(listing.parse_filter(only, host.drivers))
    seen = host.observe_all()
    rows = {
        name: _row(host, name, seen.get(name, Observation()))
        for name in sorted({*host.config.vms, *seen})
    }
    return {name: row for name, row in rows.items() if meant.picks(name, row)}


def _row(host: Host, name: str, have: Observation) -> Report:
    spec = have.in_effect or have.defined or have.recorded
    return {
        "power": power_of(host, have),
        "to_run": have.to_run,
        "declared": name in host.config.vms,
        "defined": have.is_recorded,
        "locked": have.locked,
        "pending": len(pending_of(host, have)),
        "driver": spec.driver if spec else None,
        "addresses": [str(a) for nic in spec.nics for a in nic.addresses] if spec else [],
        "problems": [str(each) for each in host.out_of_sight(name, have)],
    }


def power_of(host: Host, have: Observation) -> str | None:
    """The power state as text; None if nothing is defined."""
    if have.recorded and have.recorded.driver in host.drivers.away:
        return str(listing.ListedPower.UNKNOWN)
    return str(have.power) if have.has_power else None


def status_report(host: Host) -> Report:
    """Every VM's definition and state, and the host's memory, swap, load and cpu.

    ``unavailable`` are the drivers and pools that cannot be used now, and why.
    """
    seen = host.observe_all()
    names = sorted({*host.config.vms, *seen})
    vms = {name: vm_report(host, name, seen.get(name, Observation())) for name in names}
    return {"vms": vms, "host": host_report(), "unavailable": host.unavailable}


def vm_report(host: Host, name: str, have: Observation) -> Report:
    """One VM: its definition, state, volumes, and what is pending until it restarts."""
    return {
        **_row(host, name, have),
        "definition": shown_spec(have.recorded) if have.recorded else None,
        "pending": changes_to_plain(pending_of(host, have)),
        "volumes": [
            {
                "name": volume.name,
                "pool": volume.pool,
                "stage": volume.stage.name.lower(),
                "active": volume.active,
                "template": volume.template,
            }
            for volume in have.volumes
        ],
    }


def pending_of(host: Host, have: Observation) -> tuple[Change, ...]:
    """What is written, but not in effect until the VM restarts."""
    now, then = have.in_effect, have.recorded
    if now is None or then is None or now == then:
        return ()
    able = host.drivers.ask(then.driver, lambda driver: driver.facts)
    return changes(now, then, able.costs if able else AS_EVER)


def host_report() -> Report:
    """Memory and swap in bytes, load as three averages, cpu as count and percent in use."""
    import psutil  # few calls need it, and it takes long to load

    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    return {
        "memory": {
            "total_bytes": memory.total,
            "available_bytes": memory.available,
            "used_bytes": memory.used,
        },
        "swap": {"total_bytes": swap.total, "used_bytes": swap.used},
        "load": [round(load, 2) for load in psutil.getloadavg()],
        "cpu": {"count": psutil.cpu_count() or 1, "percent": psutil.cpu_percent(interval=0.1)},
    }


def info_report(host: Host, name: str) -> Report:
    """One VM: what ``vm_report`` says, and its pid, addresses, memory and cpu time."""
    report = vm_report(host, name, host.known(name))
    info = asdict(host.info(name))
    live = {**info, "addresses": list(info["addresses"]) or report["addresses"]}
    return {"name": name, **report, **live}


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
    how_far = _how_far(applied).of_plan(plan)
    failed = how_far.failed
    return {
        "name": plan.name,
        "done": [step_to_plain(step) for step in how_far.done],
        "failed": step_to_plain(failed[0].step) if failed else None,
        "error": "\n".join(each.error for each in failed) if failed else None,
        "not_tried": [step_to_plain(each.step) for each in how_far.not_tried],
        "changes": salt_changes(plan, how_far.done),
        "pending": changes_to_plain(plan.pending),
        "notes": done_notes(applied, plan),
    }


def done_notes(applied: Applied, of: Plan | None = None) -> list[str]:
    """What is to be known of steps that were done, such as a guest that had to be powered off."""
    how_far = _how_far(applied) if of is None else _how_far(applied).of_plan(of)
    return [f"{each.vm}: {each.note}" for each in how_far.done if isinstance(each, Noted)]


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
    refused = {name: list(why) for name, why in made.refused.items()}
    return {"notes": notes(made.plan), "warnings": list(made.warnings), "refused": refused}


def refused_lines(made: SavedPlan) -> list[str]:
    """Whom a plan leaves out, and why: for people, with each reason said once."""
    return said_once(
        problem if name in problem else f"{name}: {problem}"
        for name, why in made.refused.items()
        for problem in why
    )


def several_report(several: SavedPlan, applied: Applied) -> dict[str, Report]:
    """What was done for each VM, see ``apply_report``; ``error`` says everything that went
    wrong."""
    how_far = _how_far(applied)
    vms: dict[str, Report] = {}
    for plan in several.plan.plans:
        own = how_far.of_plan(plan)
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
        name: {"name": name, "changes": {}, "pending": {}, "origins": {}, "error": "\n".join(why)}
        for name, why in several.refused.items()
    }


def _how_far(applied: Applied) -> Interrupted:
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
        yield Plan(name=HOST, steps=tuple(steps))


def error_of(applied: Applied) -> str | None:
    """Why a plan was not carried out completely; None if it was."""
    return failure_text(applied.failure()) if isinstance(applied, Failure) else None


def failure_text(interrupted: Interrupted) -> str:
    """What failed and why, what was done, and what was not tried."""
    failed = [
        f"could not {describe(each.step.action, each.step.vm)}: {each.error}"
        for each in interrupted.failed
    ]
    done = [f"done before: {_with_note(step)}" for step in interrupted.done]
    return "\n".join([*failed, *done, *map(_not_tried, interrupted.not_tried)])


def _with_note(step: Step) -> str:
    return f"{explain_step(step)}: {step.note}" if isinstance(step, Noted) else explain_step(step)


def _not_tried(each: NotTried) -> str:
    step, cause = each.step, each.because_of
    why = f"because geats could not {describe(cause.action, cause.vm)}"
    return f"not tried: {describe(step.action, step.vm)}, {why}"


def journal_report(host: Host, name: str | None, limit: int = 50) -> list[Report]:
    """The newest steps that were applied to a VM, oldest first; times are UTC.

    None means those that concerned the whole host.
    """
    return [
        {
            "time": datetime.fromtimestamp(entry.time_s, UTC).isoformat(timespec="seconds"),
            "action": entry.action,
            "outcome": str(entry.outcome),
            "detail": entry.detail,
            "origin": entry.origin,
        }
        for entry in host.journal(name, limit)
    ]


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


def waited_report(name: str, waited: "Waited") -> Report:
    """Whether what was waited for came, the seconds it took, and what was seen last."""
    return {
        "name": name,
        "until": str(waited.until),
        "reached": waited.reached,
        "took_s": waited.took_s,
        "seen": waited.seen,
    }
