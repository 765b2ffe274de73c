"""Snapshots of the VMs of a host: what there is, and the plans for what people ask for."""

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from returns.result import Failure, Success

from geats_core.declared.keep import parse_keep
from geats_core.declared.retention import Retention
from geats_core.hostwide.host_planner import Setting, arranged
from geats_core.jobs.snapshots import (
    Parts,
    name_at,
    numbered,
    plan_delete,
    plan_kept,
    plan_restore,
    plan_snapshot,
    snapshots_of,
)
from geats_core.planning.actions import DeleteSnapshot
from geats_core.planning.goal import DataLoss, Goal, Target
from geats_core.planning.host_facts import HostFacts
from geats_core.planning.steps import Plan
from geats_core.plans.plan_files import SavedPlan
from geats_core.reading import fields
from geats_core.reading.fields import boolean, text
from geats_core.reading.mappings import options
from geats_core.vm.observation import Observation
from geats_core.vm.spec import VMSpec
from geats_host.errors import Refused, accepted
from geats_host.host import Host
from geats_host.planning.facts import facts_of
from geats_host.planning.goals import Refusals
from geats_host.planning.plans import check_sharing, saved, saved_alone

Report = dict[str, object]


def listed(host: Host, name: str, rules: Mapping[str, object] | None = None) -> list[Report]:
    """Every snapshot of a VM, from the oldest to the newest, with times in UTC.

    ``together`` says whether it is of one moment. With *rules* (see ``kept``), ``kept_by`` are the
    rules that keep it.
    """
    found = snapshots_of(host.whole(name))
    reasons: Report = {}
    if rules:
        _, retention = kept(host, name, rules)
        reasons = {each.snapshot.name: list(each.reasons) for each in retention.kept}
    return [
        {
            "name": each.name,
            "taken": datetime.fromtimestamp(each.taken_s, UTC).isoformat(timespec="seconds"),
            "volumes": list(each.volumes),
            "together": each.together,
        }
        | ({"kept_by": reasons.get(each.name, [])} if rules else {})
        for each in found
    ]


def snapshot(
    host: Host, name: str, wanted: object = None, *, partial: object = False, present: bool = False
) -> SavedPlan:
    """The plan that takes a snapshot of a VM; by default its name is the time (UTC).

    *partial* leaves out volumes whose pools do not support snapshots. If the snapshot exists
    already, raises ``Refused``, or with *present* returns an empty plan.
    """
    taken_s, have = int(time.time()), host.whole(name)
    called, parts, _ = _words(_free_name(taken_s, have) if wanted is None else wanted, partial)
    made = accepted(plan_snapshot(name, called, taken_s, have, _facts(host), parts))
    if made.is_empty and not present:
        raise Refused(f"{name}.snapshot: there is a snapshot {called!r} already")
    return saved_alone(host, have, made)


def restore(
    host: Host,
    name: str,
    wanted: object,
    *,
    allow_data_loss: object = False,
    partial: object = False,
) -> SavedPlan:
    """The plan that rolls the volumes of a VM back; needs permission to lose what was written since
    then.

    Also raises ``Refused`` if another VM mounts one of them.
    """
    called, parts, loss = _words(wanted, partial, allow_data_loss)
    have = host.whole(name)
    described = _described(host, name)
    made = accepted(plan_restore(name, called, have, _facts(host), loss, parts, described))
    check_sharing(Goal(name=name, target=Target.OFF), host.observe_all(), [made])
    return saved_alone(host, have, made)


def _described(host: Host, name: str) -> VMSpec | None:
    """What the VM is described as, if that is right: it must not stand in the way of data."""
    try:
        return host.declared(name)
    except Refused:
        return None


def delete(host: Host, name: str, wanted: object) -> SavedPlan:
    """The plan that deletes a snapshot."""
    called, _, _ = _words(wanted, False)
    have = host.whole(name)
    return saved_alone(host, have, accepted(plan_delete(name, called, have, _facts(host))))


def kept(
    host: Host, name: str, rules: Mapping[str, object], prefix: object = ""
) -> tuple[SavedPlan, Retention]:
    """The plan that deletes all snapshots that no rule keeps, and why the others stay.

    *rules* say how many to keep: ``last``, ``hourly``, ``daily``, ``weekly``, ``monthly``. With a
    *prefix*, only snapshots whose names begin with it are considered.
    """
    keep = accepted(parse_keep("", rules), "keep")
    begins = accepted(text("prefix", prefix))
    have = host.whole(name)
    made = accepted(plan_kept(name, keep, have, int(time.time()), begins, facts=_facts(host)))
    return saved_alone(host, have, made.plan), made.retention


def pruned(host: Host, rules: Mapping[str, object]) -> SavedPlan:
    """The plan that deletes, of every VM, the snapshots named for their time that no rule keeps.

    *rules* are as for ``kept``, by default ``policy.snapshots``. What somebody named stays. Of a
    locked VM all stay, which a warning says; ``refused`` are VMs that cannot be relied on.
    """
    keep = accepted(parse_keep("", rules), "keep") if rules else host.config.policy.snapshots
    if keep is None:
        message = "say how many to keep, such as last: 3, here or in policy.snapshots"
        raise Refused(f"snapshots: {message}")
    seen, now_s = host.observe_all(), int(time.time())
    plans: list[Plan] = []
    warnings: list[str] = []
    refused: Refusals = {}
    facts = _facts(host)
    for name, have in seen.items():
        match plan_kept(name, keep, have, now_s, named_by_time=True, facts=facts):
            case Success(made) if made.plan.steps and (wrong := host.out_of_sight(name, have)):
                refused[name] = tuple(wrong)
            case Success(made):
                plans += [made.plan] if made.plan.steps else []
            case Failure(problems) if have.locked:
                warnings += map(str, problems)
            case Failure(problems):
                refused[name] = problems
    whole = accepted(arranged(plans, Setting({}, seen, facts, host.config.policy)))
    about = {each.name: seen[each.name] for each in plans}
    return replace(saved(host, whole, about, tuple(warnings)), refused=refused)


def kept_report(retention: Retention) -> Report:
    """Why each snapshot stays, by its name; and which ones go, the newest of them first."""
    return {
        "kept": {each.snapshot.name: list(each.reasons) for each in retention.kept},
        "gone": [each.name for each in retention.gone],
    }


def gone_report(made: SavedPlan) -> list[Report]:
    """The snapshots that a plan deletes, a row for each volume."""
    return [
        {
            "vm": step.vm,
            "snapshot": step.action.snapshot,
            "volume": step.action.volume,
            "pool": step.action.pool,
            "reason": step.reason,
        }
        for step in made.plan.steps
        if isinstance(step.action, DeleteSnapshot)
    ]


def _free_name(taken_s: int, have: Observation) -> str:
    there = {each.name for each in snapshots_of(have)}
    return next(each for each in numbered(name_at(taken_s)) if each not in there)


def _words(wanted: object, partial: object, loss: object = False) -> tuple[str, Parts, DataLoss]:
    """What the words of a call mean, or all that is wrong with them."""
    read = options({"snapshot": wanted, "partial": partial, "allow_data_loss": loss})
    called = read.need("snapshot", fields.name, "")
    parts = Parts.SOME if read.take("partial", boolean, False) else Parts.ALL
    leave = read.take("allow_data_loss", boolean, False)
    words = called, parts, DataLoss.ALLOWED if leave else DataLoss.REFUSED
    return accepted(read.done(words))


def _facts(host: Host) -> HostFacts:
    return facts_of(host, [])
