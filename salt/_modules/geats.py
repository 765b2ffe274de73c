"""
Manage LXC containers and virtual machines on this host: lifecycle verbs, and plans.

VMs, pools and templates come from the pillar, or from the minion's configuration, under ``geats``.
With ``geats: /etc/geats/geats.yaml`` in the minion's configuration they come from that file.
Without a master, that file is also the default. With a master it is not, because a pillar that lost
its ``geats`` must not lead to another description of this host.

If the pillar failed to render, every function is refused, because nobody knows what the pillar
lacks. Only ``list``, ``info``, ``status`` and ``journal`` still show what there is, log a warning,
and exit with 5, as Salt does for a broken pillar. If keys under ``geats`` are wrong, these,
``stop`` and ``shutdown`` still work in the same way.

Answers are in brief, for people: of a plan, a line for each VM that changes. Programs pass
``verbose=True``, and get all of it as data.

:depends: geats
"""

from typing import TYPE_CHECKING

from geats_core.planning.goal import Target
from geats_core.planning.steps import Plan
from geats_core.planning.verbs import VERBS
from geats_core.reading.checked import absent, unknown
from geats_host.calls import lifecycle, reports, several_vms
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import Refused, is_unknown
from geats_host.for_salt import in_brief
from geats_host.for_salt.calls import (
    applied,
    applied_to_host,
    for_schedule,
    is_test,
    opened,
    opened_in_part,
    unless,
    words,
)
from geats_host.lazy import later
from geats_host.planning import goals
from geats_host.planning.plans import plan_wishes

if TYPE_CHECKING:
    from geats_host.calls.guests import keeping_up
else:  # for one function
    keeping_up = later("geats_host.calls.guests.keeping_up")


def define(name, spec=None, test=None, verbose=False):
    """
    Record the definition of a VM and give it to its driver.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.define web01
        salt '*' geats.define web01 test=True
    """
    with opened() as host:
        return applied(host, lifecycle.plan_verb(host, "define", name, spec), test, verbose)


def provision(name, spec=None, test=None, verbose=False):
    """
    Define a VM, and create its volumes and its root filesystem, so that it is ready to start.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.provision web01
        salt '*' geats.provision web01 test=True
    """
    with opened() as host:
        return applied(host, lifecycle.plan_verb(host, "provision", name, spec), test, verbose)


def start(name, spec=None, test=None, verbose=False):
    """
    Power a VM on. If it is only declared, it is provisioned first.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.start web01
        salt '*' geats.start web01 test=True
    """
    with opened() as host:
        return applied(host, lifecycle.plan_verb(host, "start", name, spec), test, verbose)


def shutdown(name, test=None, to_run=False, verbose=False):
    """
    Ask the guest of a VM to shut down; power off after its ``shutdown_timeout``.

    With ``to_run``, it is recorded that the VM is to be started again: the next plan does so, if
    nobody else has. The runner ``geats.migrate`` shuts VMs down in this way.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.shutdown web01
        salt '*' geats.shutdown web01 test=True
    """
    with opened_in_part() as host:
        return applied(host, lifecycle.plan_shutdown(host, name, to_run), test, verbose)


def stop(name, test=None, verbose=False):
    """
    Power a VM off at once.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.stop web01
        salt '*' geats.stop web01 test=True
    """
    with opened_in_part() as host:
        return applied(host, lifecycle.plan_verb(host, "stop", name), test, verbose)


def reboot(name, test=None, verbose=False):
    """
    Shut a VM down and start it again. Pending changes take effect.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.reboot web01
        salt '*' geats.reboot web01 test=True
    """
    with opened() as host:
        return applied(host, lifecycle.plan_verb(host, "reboot", name), test, verbose)


def freeze(name, test=None, verbose=False):
    """
    Suspend every process of a running VM.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.freeze web01
        salt '*' geats.freeze web01 test=True
    """
    with opened() as host:
        return applied(host, lifecycle.plan_verb(host, "freeze", name), test, verbose)


def unfreeze(name, test=None, verbose=False):
    """
    Resume the processes of a frozen VM.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.unfreeze web01
        salt '*' geats.unfreeze web01 test=True
    """
    with opened() as host:
        return applied(host, lifecycle.plan_verb(host, "unfreeze", name), test, verbose)


def undefine(name, test=None, verbose=False):
    """
    Power a VM off and delete its definition. Its data stays, unless it is ``transient``.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.undefine web01
        salt '*' geats.undefine web01 test=True
    """
    with opened() as host:
        return applied(host, lifecycle.plan_verb(host, "undefine", name), test, verbose)


def deprovision(name, test=None, verbose=False):
    """
    Undefine a VM and destroy its volumes, with all data on them.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.deprovision web01
        salt '*' geats.deprovision web01 test=True
    """
    with opened() as host:
        return applied(host, lifecycle.plan_verb(host, "deprovision", name), test, verbose)


def reinit(name, test=None, verbose=False):
    """
    Recreate the root volume of a VM from its template. Other volumes keep their data.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.reinit web01
        salt '*' geats.reinit web01 test=True
    """
    with opened() as host:
        return applied(host, lifecycle.plan_verb(host, "reinit", name), test, verbose)


def lock(name, test=None, verbose=False):
    """
    Protect a VM from undefine, deprovision, reinit and any loss of data.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.lock web01
        salt '*' geats.lock web01 test=True
    """
    with opened() as host:
        return applied(host, lifecycle.plan_verb(host, "lock", name), test, verbose)


def unlock(name, test=None, verbose=False):
    """
    Remove the protection of a VM from deletion.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.unlock web01
        salt '*' geats.unlock web01 test=True
    """
    with opened() as host:
        return applied(host, lifecycle.plan_verb(host, "unlock", name), test, verbose)


def plan(
    name,
    target="declared",
    spec=None,
    restart="if_needed",
    power_off="shutdown",
    allow_data_loss=False,
    by_hand="kept",
    max_impact="data_loss",
    verbose=False,
):
    """
    Show what :py:func:`apply` with the same arguments would do, and do nothing.

    On a host that has no such VM, the answer says so, and is no error: another host may have it.
    With ``verbose``, ``origins`` says where each key of the spec comes from: the arguments, the
    pillar, or a profile.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.plan web01
        salt '*' geats.plan web01 target=deprovisioned
        salt '*' geats.plan web01 max_impact=live
    """
    policies = {
        "restart": restart,
        "power_off": power_off,
        "allow_data_loss": allow_data_loss,
        "by_hand": by_hand,
        "max_impact": max_impact,
    }
    with opened() as host:
        try:
            planned = lifecycle.plan_to(host, name, target, spec, **policies)
        except Refused as refused:
            if not is_unknown(refused, "name"):
                raise
            empty = {**reports.plan_report(Plan(name=name)), "origins": {}}
            why = absent(name, {*host.observe_all(), *host.config.vms})
            return {**empty, "absent": why} if verbose else [why]
        if not verbose:
            return in_brief.plan_in_brief(planned)
        origins = dict(planned.origins.get(name, {}))
        return {**reports.plan_report(planned.of_vm), "origins": origins}


def apply(
    name,
    target="declared",
    spec=None,
    restart="if_needed",
    power_off="shutdown",
    allow_data_loss=False,
    by_hand="kept",
    max_impact="data_loss",
    test=None,
    verbose=False,
):
    """
    Change a VM to ``target``, as described by ``spec`` or by the pillar.

    target
        ``declared``: the one that its key ``power`` says; or ``running``, ``frozen``, ``stopped``,
        ``off``, ``provisioned``, ``defined``, ``undefined``, ``deprovisioned``, ``locked`` or
        ``unlocked``; ``rebooted`` or ``reinitialised``
    restart
        ``if_needed``; ``always``, for any change; or ``never``: changes that need a restart are
        recorded, and reported as pending
    power_off
        ``shutdown``: ask the guest, and power off after its ``shutdown_timeout``; ``stop``: at once
    allow_data_loss
        allow steps that lose data, for example if a changed template replaces the root volume
    by_hand
        what to do with lines that somebody added to the VM's definition: ``kept`` or ``removed``
    max_impact
        refuse a plan with a step of a higher impact: ``none``, ``live``, ``restart`` or
        ``data_loss``
    test
        do nothing, and return what would be done (default: the minion's ``test`` option)

    CLI Example:

    .. code-block:: bash

        salt '*' geats.apply web01
        salt '*' geats.apply web01 restart=never
        salt '*' geats.apply web01 max_impact=live
    """
    with opened() as host:
        planned = lifecycle.plan_to(
            host,
            name,
            target,
            spec,
            restart=restart,
            power_off=power_off,
            allow_data_loss=allow_data_loss,
            by_hand=by_hand,
            max_impact=max_impact,
        )
        return applied(host, planned, test, verbose)


def plan_host(vms=None, verbose=False, **policies):
    """
    Show what :py:func:`apply_host` with the same arguments would do, and do nothing.

    The VMs of the host that nobody declared are shown too, as ``strays``.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.plan_host
        salt '*' geats.plan_host vms='[web01, db01]' restart=never
    """
    with opened() as host:
        made = _plan_host(host, vms, policies)
        return reports.host_plan_report(made) if verbose else in_brief.plan_in_brief(made)


def apply_host(vms=None, test=None, called="", verbose=False, **policies):
    """
    Change every VM of the pillar to its description, or only some of them.

    VMs that do not wait for each other are changed side by side. If one fails, the others are still
    done. Without ``vms``, VMs of the host that nobody declared are reported or stopped, as
    ``policy:strays`` of the configuration says.

    vms
        the names of the VMs (default: all that are declared)
    target, restart, power_off, allow_data_loss, by_hand, max_impact
        for each VM, as in :py:func:`apply`
    at_most
        without ``vms``: at most so many VMs may be powered off, frozen, undefined, emptied or
        unlocked (default: ``policy:at_most`` of the configuration, else 1)
    at_once
        of the running VMs of one profile, restart at most so many at a time, or such a part as
        ``50%``; the next wave waits until these are ready (default: ``policy:at_once`` of the
        configuration, else all)
    test
        do nothing, and return what would be done (default: the minion's ``test`` option)
    called
        the id in a state file: refused if that is the name of a VM, and ``vms`` is not given

    CLI Example:

    .. code-block:: bash

        salt '*' geats.apply_host
        salt '*' geats.apply_host test=True
        salt '*' geats.apply_host vms='[web01, db01]' max_impact=live
        salt '*' geats.apply_host at_once=2
    """

    def run():
        with opened() as host:
            return applied_to_host(host, _plan_host(host, vms, policies, called), test, verbose)

    return for_schedule(policies, run)


def keep_up(test=None):
    """
    Start guests again that ended by themselves, if it is time, as ``restart`` of their VMs says.

    Returns a list: of each ``vm``, ``why``, or the ``error`` that there was. The beacon calls it.

    test
        do nothing, and return what would be started (default: the minion's ``test`` option)

    CLI Example:

    .. code-block:: bash

        salt '*' geats.keep_up
        salt '*' geats.keep_up test=True
    """
    with opened() as host:
        return keeping_up.keep_up(host, only_look=is_test(test))


def group(verb, name, test=None, verbose=False):
    """
    Do one verb for all VMs of a group of ``autostart``, in one plan.

    verb
        a lifecycle verb, such as ``start`` or ``shutdown``
    name
        the name of the group; a host without any VM of it has nothing to do

    CLI Example:

    .. code-block:: bash

        salt '*' geats.group shutdown shop
        salt '*' geats.group start shop test=True
    """
    known = VERBS.get(verb)
    with opened_in_part() if known and known.target is Target.OFF else opened() as host:
        if known is None:
            raise Refused(unknown("verb", "verb", verb, VERBS))
        try:
            names = several_vms.of_group(host, verb, name)
        except Refused as refused:
            if is_unknown(refused, "group"):
                return f"no VM of this host is in the group {name!r}"
            raise
        made = several_vms.plan_verb_for_several(host, verb, names)
        return applied_to_host(host, made, test, verbose)


def apply_several(vms, test=None, verbose=False):
    """
    Change several VMs, each to its own target, with one look at the host and in one plan.

    Returns what :py:func:`apply` returns, for each of them by name. If one is refused or fails, the
    others are still done; ``error`` says why.

    vms
        by name, for each VM: ``target``, ``spec``, ``restart``, ``power_off``, ``allow_data_loss``,
        ``by_hand`` and ``max_impact``, as in :py:func:`apply`
    test
        do nothing, and return what would be done (default: the minion's ``test`` option)

    CLI Example:

    .. code-block:: bash

        salt '*' geats.apply_several '{"web01": {}, "db01": {"target": "stopped"}}' test=True
        salt '*' geats.apply_several '{"web01": {}, "db01": {"target": "stopped"}}'
    """
    with opened() as host:
        if not isinstance(vms, dict):
            raise Refused("vms: must be a mapping of names to what each VM should be")
        planned = several_vms.plan_several(host, vms)
        if not verbose:
            return applied_to_host(host, planned, test, verbose)
        return _of_several(host, planned, test)


def _plan_host(host, vms, policies, called=""):
    """The plan for the VMs that are named, else for the whole host."""
    return plan_wishes(host, goals.wishes(words(policies), goals.names_in(vms), called))


def _of_several(host, planned, test):
    if is_test(test):
        report, brief = reports.would_several_report(planned), in_brief.changes(planned)
    else:
        how_far = apply_plan(host, planned)
        report = reports.several_report(planned, how_far)
        brief = in_brief.changes(planned, how_far)
    answers = {
        name: {**each, "brief": {name: brief[name]} if name in brief else {}}
        for name, each in report.items()
    }
    return unless([str(each["error"]) for each in answers.values() if each["error"]], answers)
