"""
Keep LXC containers and virtual machines as described.

Each state takes the VM's spec from its arguments, or, if it has none, from the pillar
(``geats:vms:NAME``). In test mode it shows the plan; the run applies the same plan.

``changes`` are in brief: ``old`` and ``new`` of each part of a field that differs, and the steps in
a word each; of a VM that is created or destroyed, one line. With ``verbose: true``, they have every
field, and each step with its reason.

:depends: geats
"""

import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from salt.exceptions import CommandExecutionError

from geats_core.vm.origins import in_words
from geats_host.for_salt.aggregation import FOLDED, TOGETHER, arguments, foldable, is_expanded

if TYPE_CHECKING:  # Salt's loader injects these
    __context__: dict[str, Any]
    __low__: dict[str, Any]
    __lowstate__: Sequence[dict[str, Any]]
    __opts__: dict[str, Any]
    __salt__: dict[str, Callable[..., Any]]

EXPANDED = (
    "a geats.host takes neither `name` nor `names`: it is about all VMs of the host, and Salt "
    "would apply it once for each name; write `vms: [...]` to select only some VMs"
)
IMPACTS = ("data_loss", "restart", "live")  # what steps cost a user of the VM, the worst first
PLANNED = ("steps", "done")  # where reports have steps
POLICIES = ("restart", "power_off", "allow_data_loss", "by_hand", "max_impact")


def running(name, **spec):
    """
    Ensure that a VM is as described, and is running.

    restart
        ``if_needed`` (default); ``always`` restarts for any change; ``never`` records changes that
        need a restart, and leaves them pending
    max_impact
        fail, and change nothing, if a step has a higher impact: ``none``, ``live``, ``restart`` or
        ``data_loss`` (default)
    by_hand
        lines that somebody added to the VM's definition are ``kept`` (default) or ``removed``
    power_off
        ``shutdown`` (default) asks the guest first; ``stop`` powers off at once
    allow_data_loss
        true allows steps that lose data, for example if a changed template replaces the root volume

    All states here accept these options; everything else is the VM's spec.

    .. code-block:: yaml

        web01:
          geats.running:
            - template: debian
            - memory: 512MiB
            - restart: never

        db01:
          geats.running: []   # described in the pillar
    """
    return _ensure(name, "running", spec)


def stopped(name, **spec):
    """
    Ensure that a VM is provisioned as described, and is off.

    .. code-block:: yaml

        web01:
          geats.stopped:
            - template: debian
    """
    return _ensure(name, "stopped", spec)


def frozen(name, **spec):
    """
    Ensure that a VM is as described, and frozen: all of its processes suspended.

    .. code-block:: yaml

        web01:
          geats.frozen:
            - template: debian
    """
    return _ensure(name, "frozen", spec)


def defined(name, **spec):
    """
    Ensure that a VM is defined as described; it is not provisioned, started or stopped.

    .. code-block:: yaml

        web01:
          geats.defined:
            - template: debian
    """
    return _ensure(name, "defined", spec)


def undefined(name, **options):
    """
    Ensure that a VM is off and not defined. Its volumes stay, unless it is ``transient``.

    .. code-block:: yaml

        web01:
          geats.undefined: []
    """
    return _ensure(name, "undefined", options)


def deprovisioned(name, **options):
    """
    Ensure that a VM is off and not defined, and that none of its volumes is left.

    .. code-block:: yaml

        web01:
          geats.deprovisioned: []
    """
    return _ensure(name, "deprovisioned", options)


def locked(name, **options):
    """
    Ensure that a VM is protected from deletion and from any loss of data.

    .. code-block:: yaml

        web01:
          geats.locked: []
    """
    return _ensure(name, "locked", options)


def unlocked(name, **options):
    """
    Ensure that a VM is not protected from deletion.

    .. code-block:: yaml

        web01:
          geats.unlocked: []
    """
    return _ensure(name, "unlocked", options)


def snapshot_present(name, snapshot, partial=False, **options):
    """
    Ensure that a VM has a snapshot of all of its volumes. An existing snapshot is left as it is.

    snapshot
        the name of the snapshot
    partial
        true leaves out volumes whose pools do not support snapshots

    .. code-block:: yaml

        web01:
          geats.snapshot_present:
            - snapshot: before-upgrade
    """
    test = __opts__["test"]
    wanted = {"partial": partial, "present": True, "test": test}
    return _ensure_by(name, "geats.snapshot", (snapshot,), {**wanted, **arguments(options)})


def snapshots_kept(name, prefix="", **rules):
    """
    Ensure that a VM has only those snapshots that a rule keeps.

    Test mode shows which would be deleted, and why each of the others stays. If the VM is locked,
    none is deleted.

    prefix
        look only at snapshots whose names begin with this
    last
        how many of the newest to keep
    hourly, daily, weekly, monthly
        for how many hours, days, weeks and months to keep the newest one

    .. code-block:: yaml

        web01:
          geats.snapshots_kept:
            - last: 3
            - daily: 7
            - weekly: 4
    """
    words = {"prefix": prefix, "test": __opts__["test"], **arguments(rules)}
    return _ensure_by(name, "geats.keep_snapshots", (), words)


def units(name, remove=False, **options):
    """
    Ensure that systemd starts the VMs after a boot, and shuts them down before a poweroff.

    The copy of the configuration that the units use is kept as the pillar is.

    remove
        true ensures that there are no such units; no VM is powered off by that

    .. code-block:: yaml

        units of geats:
          geats.units: []
    """
    test = __opts__["test"]
    steps, error = _asked("geats.units", remove, test=test, **arguments(options))
    if error is not None:
        return _ret(name, False, {}, error)
    lines = [step["do"] for step in steps]
    comment = "; ".join(lines) or "the units are as they should be"
    return _ret(name, None if test and lines else True, {"units": lines} if lines else {}, comment)


def host(name, vms=None, verbose=False, **policies):
    """
    Ensure that all VMs of the pillar are as described: running, unless their key ``power`` says
    otherwise. It is one plan for the whole host.

    Steps that do not wait for each other run side by side. If a VM fails or is refused, the others
    are still changed; the state fails, and names the VM. Strays are reported or stopped, as the
    pillar's ``policy`` says.

    The state is about all VMs, so its id must not be the name of a VM, unless ``vms`` selects some.
    ``name`` and ``names`` are refused: Salt makes a separate state for each name, and each of them
    would be about all VMs.

    vms
        only the VMs of these names
    target
        the state that the VMs should be in: ``declared`` (default), the one that each says as
        ``power``; or ``running``, ``frozen``, ``stopped``, ``off``, ``provisioned``, ``defined``,
        ``undefined``, ``deprovisioned``, ``locked`` or ``unlocked``
    at_most
        at most so many VMs that are named neither in ``vms`` nor under ``gone`` of the pillar may
        be powered off, frozen, undefined, emptied or unlocked (default: ``policy:at_most`` of the
        pillar, else 1). This is never done because a description is missing.
    at_once
        of the running VMs of one profile, restart at most so many at a time, or such a part as
        ``50%``. The next wave waits until these are ready; if one is not, the rest is left as it
        is, and the state fails (default: ``policy:at_once`` of the pillar, else all).
    restart, max_impact, by_hand, power_off, allow_data_loss
        as for :py:func:`running`
    verbose
        true: ``changes`` have every field, and each step with its reason

    .. code-block:: yaml

        all of this host:
          geats.host:
            - restart: never

        web01 and db01:
          geats.host:
            - vms: [web01, db01]

        all, two at a time:
          geats.host:
            - at_once: 2
    """
    if is_expanded(__low__):
        return _ret(name, False, {}, f"{name}: {EXPANDED}")
    test = __opts__["test"]
    words = {"test": test, "called": name, "verbose": True, **arguments(policies)}
    report, error = _asked("geats.apply_host", vms, **words)
    whole = _host_changes(report, test)
    changes = whole if verbose else report.get("brief", {})
    if error is not None:
        return _ret(name, False, changes, error)
    result = None if test and changes else True
    return _ret(name, result, changes, _host_comment(report, whole, test))


def template_present(name, refresh=False, **options):
    """
    Ensure that a template of the pillar is ready, and unpacked in each pool that clones.

    refresh
        look for a newer image on the server, or build again, each time

    .. code-block:: yaml

        debian:
          geats.template_present: []
    """
    unknown = arguments(options)
    if unknown:
        return _ret(name, False, {}, f"unknown: {', '.join(unknown)} (there is: refresh)")
    test = __opts__["test"]
    report, error = _asked("geats.import_template", name, refresh=refresh, test=test)
    if error is not None:
        return _ret(name, False, {}, error)
    steps = list(report["would" if test else "done"])
    comment = f"the template {name} is ready"
    if steps:
        comment = (
            f"the template {name} {'would be' if test else 'is now'} ready: {', '.join(steps)}"
        )
    return _ret(name, None if test and steps else True, {"steps": steps} if steps else {}, comment)


def mod_watch(name, sfun=None, verbose=False, **_):
    """
    Restart a VM that is ``running``, because something changed that its state watches.

    Salt calls this only if the state itself changed nothing, so a VM that was just started or
    restarted is not restarted again. Other states have nothing to restart.

    .. code-block:: yaml

        web01:
          geats.running:
            - watch:
              - file: /srv/media/settings
    """
    test = __opts__["test"]
    if sfun != "running":
        return _ret(
            name,
            True,
            {},
            (f"geats.{sfun} has nothing to restart when something that it watches changes"),
        )
    report, error = _asked("geats.reboot", name, test=test, verbose=True)
    if error is not None:
        return _ret(name, False, _changes(name, report, verbose), error)
    comment = (
        f"{name} {'would be' if test else 'was'} restarted, because something that it "
        "watches changed"
    )
    comment = "\n".join([comment, *report.get("notes", [])])
    return _ret(name, None if test else True, _changes(name, report, verbose), comment)


def mod_aggregate(low, chunks, running):
    """
    Combine many states of one run into one plan, so that their VMs are changed side by side.

    If ``state_aggregate`` says so, Salt calls this before each ``running``, ``stopped``, ``frozen``
    or ``defined``. The first of them that runs also does what the others ask for, if their
    requisites are met and nothing else prevents it, such as ``onlyif``. Each state still reports
    its own result. Salt treats a requisite on one of them as one on all of them.

    .. code-block:: yaml

        web01:
          geats.running:
            - aggregate: true   # or state_aggregate: [geats], in the minion's configuration

        web02:
          geats.running:
            - aggregate: true
    """
    ends_early = any(map(__opts__.get, ("failhard", "global_state_conditions")))
    if low["fun"] in FOLDED and TOGETHER not in low and not ends_early:
        low[TOGETHER] = _kept((low, chunks, running))
    return low


def _host_changes(report, test):
    """What changes of each VM that changes, in the run as in test mode."""
    if test:
        changes = report.get("changes", {})
    else:
        changes = {vm: each["changes"] for vm, each in report.get("vms", {}).items()}
    return {vm: each for vm, each in changes.items() if each}


def _host_comment(report, changes, test):
    """How many VMs change, what is pending, and what the plan leaves as it is."""
    first = "all VMs are as described"
    if changes:
        steps = [step for each in changes.values() for step in each["steps"]]
        vms = f"{len(changes)} VM{'s' if len(changes) > 1 else ''}"
        verb = "would become" if test else "became"
        first = f"{vms} {verb} as described, in {_count(steps)}{_cost(report)}"
    of_vms = [note for each in report.get("vms", {}).values() for note in each.get("notes", [])]
    return "\n".join([first, *report["notes"], *of_vms, *report["warnings"]])


def _ensure_by(name, function, given, words):
    """Ask an execution function, which does nothing in test mode, and translate the answer."""
    verbose = words.pop("verbose", False)
    report, error = _asked(function, name, *given, **words, verbose=True)
    changes = _changes(name, report, verbose)
    if error is not None:
        return _ret(name, False, changes, error)
    result = None if words["test"] and changes else True
    return _ret(name, result, changes, _snapshots_comment(name, report, words["test"]))


def _snapshots_comment(name, report, test):
    steps = report["changes"].get("steps", [])
    first = f"the snapshots of {name} are as described"
    if steps:
        verb = "would be" if test else "are now"
        first = f"the snapshots of {name} {verb} as described, in {_count(steps)}"
    stay = [f"{each} stays: {', '.join(why)}" for each, why in report.get("kept", {}).items()]
    go = [f"{each} {'would go' if test else 'is gone'}" for each in report.get("gone", [])]
    return "\n".join([first, *stay, *go])


def _ensure(name, target, given):
    """Ask for one plan, applied unless in test mode, and translate the answer."""
    report = _done_together(name, given.get(TOGETHER))
    if report is None:
        report = _done_alone(name, target, arguments(given))
    changes = _changes(name, report, given.get("verbose", False))
    if report["error"]:
        return _ret(name, False, changes, report["error"])
    test = __opts__["test"]
    result = None if test and changes else True
    return _ret(name, result, changes, _comment(name, target, report, test))


def _changes(name, report, verbose):
    """What changes of one VM: in brief, or every field and step. Empty if nothing does."""
    if verbose:
        return report.get("changes", {})
    brief = report.get("brief", {})
    return brief[name] if isinstance(brief.get(name), dict) else brief


def _done_alone(name, target, given):
    """What one plan for this VM came to."""
    wish = _wish(target, given)
    report, error = _asked("geats.apply", name, test=__opts__["test"], verbose=True, **wish)
    return {"changes": {}, **report, "error": error}


def _done_together(name, group):
    """What one plan for this VM and others came to; None if the VM has no part in such a plan.

    The first state of a group that runs applies the plan, and keeps the reports of the others.
    """
    found = __context__.pop(group, None)
    if not isinstance(found, tuple):
        return found
    low, chunks, running = found
    members = foldable(low, chunks, __lowstate__, running)
    if len(members) < 2:
        return None
    wishes = {each["name"]: _wish(each["fun"], arguments(each)) for each in members}
    reports, _ = _asked("geats.apply_several", wishes, test=__opts__["test"], verbose=True)
    if not reports:  # nothing was done: each of them tells its own trouble
        return None
    for each in members[1:]:
        each[TOGETHER] = _kept(reports[each["name"]])
    return reports[name]


def _asked(function, *given, **words):
    """What an execution function returns, and None; or what it did before it failed, and why."""
    try:
        return __salt__[function](*given, **words), None
    except CommandExecutionError as error:
        return error.info if isinstance(error.info, dict) else {}, error.error


def _kept(value):
    """A key of Salt's context, for what a later call of this run is to find."""
    key = f"geats.{uuid.uuid4()}"
    __context__[key] = value
    return key


def _wish(target, given):
    """A state's arguments, as those of :py:func:`geats.apply`."""
    policies = {key: given[key] for key in POLICIES if key in given}
    spec = {key: value for key, value in given.items() if key not in (*policies, "verbose")}
    return {"target": target, **policies, **({"spec": spec} if spec else {})}


def _comment(name, target, report, test):
    steps = report["changes"].get("steps", [])
    first = f"{name} is {target}, as described"
    if steps:
        verb = "would be" if test else "is now"
        first = f"{name} {verb} {target}, in {_count(steps)}{_cost(report)}"
    pending = [
        f"pending until {name} restarts: {field} {change['old']} → {change['new']}"
        for field, change in report["pending"].items()
    ]
    said = in_words(report["origins"]) if steps else ""
    notes = [
        *pending,
        *report.get("notes", []),
        *([f"{said}; everything else has its default"] if said else []),
    ]
    return "\n".join([first, *notes])


def _cost(report):
    """The highest impact of the steps, if they have any: of the plan, or of what was done."""
    vms = report.get("vms", {}).values()
    steps = [step for each in (report, *vms) for key in PLANNED for step in each.get(key, ())]
    impacts = {step["impact"] for step in steps}
    worst = next((each for each in IMPACTS if each in impacts), None)
    return f" (impact: {worst})" if worst else ""


def _count(steps):
    return f"{len(steps)} step{'s' if len(steps) > 1 else ''}"


def _ret(name, result, changes, comment):
    return {"name": name, "result": result, "changes": changes, "comment": comment}
