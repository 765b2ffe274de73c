"""
Manage LXC containers and virtual machines on this host.

VMs, pools and templates come from the pillar, or the minion's configuration, under ``geats``. With
``geats: /etc/geats/geats.yaml`` in the minion's configuration they come from that file. Without a
master, that is what is read where neither has ``geats``; with one it is not, because a pillar that
lost its ``geats`` must not make another host of this one.

If the pillar failed to render, nobody knows what it lacks: every function refuses then, but for
``list``, ``info``, ``status`` and ``journal``, which show what there is, log a warning, and exit
with 5, as Salt does for a broken pillar. These, ``stop`` and ``shutdown`` go on in the same way
where keys under ``geats`` are wrong.

:depends: geats
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import salt.utils.msgpack
from salt.defaults.exitcodes import EX_PILLAR_FAILURE
from salt.exceptions import CommandExecutionError

from geats_host.lazy import later

if TYPE_CHECKING:
    from geats_core.declared import pillar_schema as schema_
    from geats_core.plans import codec
    from geats_host import errors
    from geats_host import host as host_
    from geats_host.calls import adopt as adopt_
    from geats_host.calls import (
        copies,
        exports,
        guest,
        inventory,
        lifecycle,
        registry_copies,
        reports,
        waiting,
    )
    from geats_host.calls import doctor as doctor_
    from geats_host.calls import repair as repairing
    from geats_host.calls import several_vms as several
    from geats_host.calls import snapshots as snapshots_
    from geats_host.engine import goals as host_goals
    from geats_host.for_salt import events as salt_events
    from geats_host.inputs import configuration
    from geats_host.inputs import legacy_files as legacy
else:
    codec = later("geats_core.plans.codec")
    schema_ = later("geats_core.declared.pillar_schema")
    adopt_ = later("geats_host.calls.adopt")
    configuration = later("geats_host.inputs.configuration")
    copies = later("geats_host.calls.copies")
    doctor_ = later("geats_host.calls.doctor")
    registry_copies = later("geats_host.calls.registry_copies")
    repairing = later("geats_host.calls.repair")
    errors = later("geats_host.errors")
    exports = later("geats_host.calls.exports")
    guest = later("geats_host.calls.guest")
    host_ = later("geats_host.host")
    host_goals = later("geats_host.engine.goals")
    inventory = later("geats_host.calls.inventory")
    legacy = later("geats_host.inputs.legacy_files")
    lifecycle = later("geats_host.calls.lifecycle")
    reports = later("geats_host.calls.reports")
    salt_events = later("geats_host.for_salt.events")
    several = later("geats_host.calls.several_vms")
    snapshots_ = later("geats_host.calls.snapshots")
    waiting = later("geats_host.calls.waiting")

if TYPE_CHECKING:  # Salt's loader injects these
    __context__: dict[str, Any]
    __opts__: dict[str, Any]
    __pillar__: dict[str, Any]
    __salt__: dict[str, Callable[..., Any]]

TIMED_OUT = 124  # as timeout(1) says it

log = logging.getLogger(__name__)

__func_alias__ = {"exec_": "exec", "list_": "list"}


def list_(vms=None, power=None, driver=None, declared=None, defined=None, locked=None, **others):
    """
    List VMs: their power, and whether they are declared, defined and locked.

    vms
        patterns of names such as ``web*``, or one of them (default: all)
    power
        only VMs that are ``running``, ``stopped``, ``frozen``, ``held``, ``stuck``, ``unknown``,
        which is of one whose driver is not available, or ``none``, which is of one that is not
        defined; or a list of such words
    driver
        only VMs of this driver, or of a list of drivers
    declared, defined, locked
        only VMs that are so (``True``), or are not (``False``)

    CLI Example:

    .. code-block:: bash

        salt '*' geats.list
        salt '*' geats.list 'web*' power=running
        salt '*' geats.list declared=False
    """
    only = {
        "vms": vms,
        "power": power,
        "driver": driver,
        "declared": declared,
        "defined": defined,
        "locked": locked,
        **_words(others),
    }
    return _seen(lambda host: reports.list_report(host, only))


def info(name):
    """
    Show one VM: definition, state, volumes, pid, addresses, memory used and limit, cpu time.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.info web01
    """
    return _seen(lambda host: reports.info_report(host, name))


def status():
    """
    Show every VM's definition and state, and the host's memory, swap, load and cpu.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.status
    """
    return _seen(reports.status_report)


def journal(name, limit=50):
    """
    Show the newest steps that were applied to a VM, oldest first.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.journal web01 limit=10
    """
    return _seen(lambda host: reports.journal_report(host, name, limit))


def snapshot(name, snapshot=None, partial=False, present=False, test=None):
    """
    Take a snapshot of all volumes of a VM together; one that runs is frozen meanwhile.

    snapshot
        what it is called (default: the time in UTC, such as ``2026-11-23-070000``)
    partial
        leave volumes out whose pools have no snapshots, instead of refusing
    present
        let a snapshot of that name be, instead of refusing
    test
        do nothing, and return what would be done (default: the minion's ``test`` option)

    CLI Example:

    .. code-block:: bash

        salt '*' geats.snapshot web01
        salt '*' geats.snapshot web01 before-upgrade test=True
    """
    return _applied(
        lambda host: snapshots_.snapshot(host, name, snapshot, partial=partial, present=present),
        test,
    )


def snapshots(name, **rules):
    """
    List the snapshots of a VM, from the oldest to the newest: name, time (UTC), and volumes.

    ``together`` is whether all of it is of one moment. With rules (``last``, ``hourly``, ``daily``,
    ``weekly``, ``monthly``: whole numbers), ``kept_by`` are those that keep it.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.snapshots web01
        salt '*' geats.snapshots web01 last=3 daily=7
    """
    return _told(lambda host: snapshots_.listed(host, name, _words(rules)))


def restore(name, snapshot, allow_data_loss=False, partial=False, test=None):
    """
    Make the volumes of a VM what they were; it is off meanwhile, and on again if it was.

    Its definition stays as it is now, and so do other snapshots.

    snapshot
        the name of the snapshot
    allow_data_loss
        leave to lose what was written since; without it, this is refused
    partial
        accept a snapshot that lacks a volume, which stays as it is, or is not of one moment
    test
        do nothing, and return what would be done (default: the minion's ``test`` option)

    CLI Example:

    .. code-block:: bash

        salt '*' geats.restore web01 before-upgrade allow_data_loss=True test=True
        salt '*' geats.restore web01 before-upgrade allow_data_loss=True
    """
    return _applied(
        lambda host: snapshots_.restore(
            host, name, snapshot, allow_data_loss=allow_data_loss, partial=partial
        ),
        test,
    )


def delete_snapshot(name, snapshot, test=None):
    """
    Give up a snapshot of a VM, on all volumes; refused while the VM is locked.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.delete_snapshot web01 before-upgrade
    """
    return _applied(lambda host: snapshots_.delete(host, name, snapshot), test)


def keep_snapshots(name, prefix="", test=None, **rules):
    """
    Give up the snapshots of a VM that no rule keeps. Returns why each of the others stays, too.

    prefix
        look only at snapshots whose names begin so
    last, hourly, daily, weekly, monthly
        how many of the newest stay, and of how many hours, days, weeks and months the newest one
    test
        do nothing, and return what would be done (default: the minion's ``test`` option)

    CLI Example:

    .. code-block:: bash

        salt '*' geats.keep_snapshots web01 last=3 daily=7 weekly=4 test=True
    """
    return _told(lambda host: _keep_snapshots(host, name, prefix, _words(rules), test))


def export(name, path=None, test=None):
    """
    Write a VM to an archive, with all that its volumes hold; one that runs may be frozen meanwhile.

    Returns the ``path`` of the archive, its ``sha256``, and its size in ``bytes``, beside what was
    done. The VM itself stays as it is.

    path
        where the archive is to be: absolute, and not there yet (default: a new name in the folder
        ``exports`` of the ``state_dir``)
    test
        do nothing, and return what would be done (default: the minion's ``test`` option)

    CLI Example:

    .. code-block:: bash

        salt '*' geats.export web01
        salt '*' geats.export web01 /srv/backup/web01.geats.tar
    """
    return _told(lambda host: _export(host, name, path, test))


def import_(path, name=None, changes=None, sha256=None, test=None):
    """
    Make a VM of an archive that :py:func:`export` wrote, on this host or another. It is off then.

    The archive is read whole before anything is changed. What a cut leaves neither starts nor is
    in the way of another try; what fails is taken away again.

    path
        where the archive is: absolute, or a URL that Salt can fetch, such as ``salt://web01.tar``
    name
        another name for the VM: it is then a new one, with MAC addresses and a machine id of its
        own, and may have no address of another VM
    changes
        keys of its spec that are to be different; and ``pools``: the pool of all volumes, or of
        each by its name
    sha256
        what the archive's sha256 must be
    test
        do nothing, and return what would be done (default: the minion's ``test`` option)

    CLI Example:

    .. code-block:: bash

        salt '*' geats.import_ /srv/backup/web01.geats.tar
        salt '*' geats.import_ /srv/backup/web01.geats.tar name=web02 changes='{"nics": []}'
        salt '*' geats.import_ salt://web01.geats.tar changes='{"pools": "fast"}'
    """
    return _told(lambda host: _import(host, path, name, changes, sha256, test))


def clone(source, target, changes=None, test=None):
    """
    Make a new VM of what another one holds now, in the same pools. It is off then.

    It has a hostname, MAC addresses and a machine id of its own. A source that runs is frozen
    meanwhile; snapshots are not copied. What a cut leaves does not start, and is finished by the
    same call; what fails is taken away again.

    source
        the VM that is copied
    target
        the name of the new one
    changes
        keys of its spec that are to be different; addresses have to be, where there are any
    test
        do nothing, and return what would be done (default: the minion's ``test`` option)

    CLI Example:

    .. code-block:: bash

        salt '*' geats.clone web01 web02 changes='{"nics": []}' test=True
        salt '*' geats.clone web01 web02 changes='{"nics": []}'
    """
    return _told(lambda host: _copy(host, copies.clone(host, source, target, changes), test))


def validate(name=None, spec=None):
    """
    List everything that is wrong with the spec of a VM, or of all that are declared.

    Returns an empty list for each VM whose spec is valid.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.validate
        salt '*' geats.validate web01 spec='{"template": "debian", "memory": "10 bananas"}'
    """
    return _answered(lambda: lifecycle.validate(_raw(), name, spec))


def schema():
    """
    Return the JSON Schema of the pillar, by which editors complete and check it.

    It is made from what reads the pillar, and allows whatever that accepts.

    CLI Example:

    .. code-block:: bash

        salt-call --local --out json geats.schema
    """
    return schema_.pillar_schema()


def import_legacy(files):
    """
    Return the pillar that the files of the first geats make, and change nothing.

    files
        paths on the minion, as a list, or one: those named ``.yaml`` define a VM each, any other
        is a configuration

    Returns the ``pillar``; the keys that were ``carried`` over, each with the place where it is
    now; those that were ``left``, with the reason; and the ``problems`` that the pillar has.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.import_legacy '[/etc/sippe/geats.conf, /root/vms/web01.yaml]'
    """
    given = [files] if isinstance(files, str) else files
    return _answered(lambda: legacy.report(legacy.imported(given)))


def import_lxc(files):
    """
    Return the pillar for LXC containers that something else made, and change nothing.

    files
        their ``config`` files on the minion, as a list, or one

    Returns the same as :py:func:`import_legacy`. The root filesystem of each is the template of the
    new VM, which gets a copy.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.import_lxc /var/lib/lxc/web01/config
    """
    given = [files] if isinstance(files, str) else files
    return _answered(lambda: legacy.report(legacy.imported_lxc(given)))


def adopt(name, spec=None, template=None, test=None):
    """
    Make an LXC container that something else made a VM of geats, as it is and as it runs.

    It must be in the ``path`` of the driver ``lxc``, with a directory as its root filesystem. That
    stays where it is, and becomes a volume; its ``config`` is replaced, and kept beside the new one
    as ``config.before-geats``. Nothing restarts: what the description has otherwise than the
    container is ``pending`` until it does. Lines that geats has no key for are kept. What a cut
    leaves is not of geats, and is finished by the same call.

    spec
        a description in place of that in the pillar
    template
        where nothing describes the VM: it is taken as its ``config`` has it, and counts as
        installed from this template, from which a ``reinit`` would make it anew
    test
        do nothing, and return what would be done (default: the minion's ``test`` option)

    Returns what :py:func:`apply` returns; and as ``description`` what the pillar should have for
    the VM, where it has nothing.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.adopt web01 test=True
        salt '*' geats.adopt web01
        salt '*' geats.adopt web01 template=debian
    """
    return _told(lambda host: _adopt(host, name, spec, template, test))


def pools():
    """
    Show every pool: what it is made of, what it can do, its space, and how many volumes are in it.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.pools
    """
    return _told(inventory.pools_report)


def volumes():
    """
    List every volume of a VM: its pool, stage, size, path, snapshots, and the space that it takes.

    One that no VM is defined with is not ``wanted``: it is left over.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.volumes
    """
    return _told(inventory.volumes_report)


def drivers():
    """
    Show every driver: the VMs that it knows, and the bridges that NICs can be put on.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.drivers
    """
    return _told(inventory.drivers_report)


def pending():
    """
    Show the VMs that run with something else than they are defined with: old and new by field.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.pending
    """
    return _told(inventory.pending_report)


def strays():
    """
    Show the VMs of this host that nobody declared, and what the policy says of each.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.strays
    """
    return _told(inventory.strays_report)


def overview(vms="*", **others):
    """
    Show what the beacon looks at: the power of each VM, strays, drift, and the room in the pools.

    ``drift`` has the VMs that are not as described, with the fields in which they are not.

    vms
        patterns of names such as ``web*``, or one of them

    CLI Example:

    .. code-block:: bash

        salt '*' geats.overview
        salt '*' geats.overview 'web*'
    """
    wanted = {"vms": [vms] if isinstance(vms, str) else vms, **_words(others)}
    return _told(lambda host: inventory.overview_report(host, wanted))


def doctor():
    """
    Examine this host: can it run what it is configured to run?

    Returns a list of findings: ``what`` was looked at, its ``health`` (``well``, ``warning`` or
    ``problem``), what was ``found``, and a ``fix`` where it is not well. Nothing is changed.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.doctor
    """
    broken = doctor_.of_pillar(configuration.failed(__pillar__))
    return _answered(lambda: doctor_.to_plain(broken or doctor_.examine(_as_rendered())))


def prune_exports(test=None, **rules):
    """
    Delete the archives in the folder ``exports`` that no rule keeps, of each VM by itself.

    Returns what becomes of each, and why. What geats did not write there is left alone.

    last, hourly, daily, weekly, monthly
        how many stay, as for :py:func:`keep_snapshots` (default: ``policy:exports`` in the pillar)
    test
        do nothing, and return what would be done (default: the minion's ``test`` option)

    CLI Example:

    .. code-block:: bash

        salt '*' geats.prune_exports last=3 monthly=12 test=True
    """
    return _told(lambda host: exports.pruned(host, _words(rules), dry_run=bool(_is_test(test))))


def backup_registry(path):
    """
    Write all that geats has recorded (definitions, locks, notes, journal) to a new file.

    Only root can read it: it holds secrets. It holds nothing of what is on the VMs' volumes.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.backup_registry /var/backups/geats.sqlite
    """
    return _told(lambda host: {"path": str(registry_copies.back_up(host, path))})


def restore_registry(path, overwrite=False, test=None):
    """
    Bring back what :py:func:`backup_registry` wrote; no VM and no volume is touched.

    ``would`` is what is different, VM by VM. What was recorded before stays in a file beside it.

    overwrite
        leave to replace what is recorded now, if anything is

    CLI Example:

    .. code-block:: bash

        salt '*' geats.restore_registry /var/backups/geats.sqlite test=True
        salt '*' geats.restore_registry /var/backups/geats.sqlite overwrite=True
    """
    return _answered(lambda: registry_copies.restored(_raw(), path, overwrite, _is_test(test)))


def rebuild_registry(test=None):
    """
    Record again what the registry lost and the drivers still have: definitions, and locks.

    No VM is powered off, started or changed. :py:func:`restore_registry` brings back more, where
    there is a backup.

    test
        do nothing, and return what would be done (default: the minion's ``test`` option)

    CLI Example:

    .. code-block:: bash

        salt '*' geats.rebuild_registry test=True
        salt '*' geats.rebuild_registry
    """
    return _told(lambda host: _apply_host(host, host.plan_rebuild(), test))


def repair(test=None):
    """
    End what interrupted operations left on this host.

    That is VMs that are stuck or were left frozen, volumes that hold nothing, copies that were
    never finished, half-unpacked templates, parts of archives, and network interfaces, mounts and
    loop devices that nobody uses. What cannot be removed keeps nothing else from it; what somebody
    else has is named in ``warnings``, and stays. ``host`` is what was done beside VMs.

    test
        do nothing, and return what would be done (default: the minion's ``test`` option)

    CLI Example:

    .. code-block:: bash

        salt '*' geats.repair test=True
        salt '*' geats.repair
    """
    return _told(lambda host: _apply_host(host, repairing.plan(host), test))


def plan(
    name,
    target="running",
    spec=None,
    restart="if_needed",
    power_off="shutdown",
    allow_data_loss=False,
    by_hand="kept",
    max_impact="data_loss",
):
    """
    Show what :py:func:`apply` with the same arguments would do, and do nothing.

    ``origins`` is who says each key of the spec: the arguments, the pillar, or a profile of it.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.plan web01
        salt '*' geats.plan web01 target=deprovisioned
        salt '*' geats.plan web01 max_impact=live
    """
    return _told(
        lambda host: _shown(
            lifecycle.plan_to(
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
        )
    )


def apply(
    name,
    target="running",
    spec=None,
    restart="if_needed",
    power_off="shutdown",
    allow_data_loss=False,
    by_hand="kept",
    max_impact="data_loss",
    test=None,
):
    """
    Bring a VM to ``target`` as it is described by ``spec``, or by the pillar.

    target
        ``running``, ``frozen``, ``stopped``, ``off``, ``provisioned``, ``defined``, ``undefined``,
        ``deprovisioned``, ``locked`` or ``unlocked``; ``rebooted`` or ``reinitialised``
    restart
        ``if_needed``; ``always``, for any change; or ``never``: what needs a restart is then
        written, and reported as pending
    power_off
        ``shutdown``: ask the guest, and power off after its ``shutdown_timeout``; or ``stop``
    allow_data_loss
        let a changed template or root pool replace the root volume
    by_hand
        what becomes of lines that somebody added to the VM's definition: ``kept`` or ``removed``
    max_impact
        refuse a plan with a step that costs more: ``none``, ``live``, ``restart`` or ``data_loss``
    test
        do nothing, and return what would be done (default: the minion's ``test`` option)

    CLI Example:

    .. code-block:: bash

        salt '*' geats.apply web01
        salt '*' geats.apply web01 restart=never
        salt '*' geats.apply web01 max_impact=live
    """
    return _applied(
        lambda host: lifecycle.plan_to(
            host,
            name,
            target,
            spec,
            restart=restart,
            power_off=power_off,
            allow_data_loss=allow_data_loss,
            by_hand=by_hand,
            max_impact=max_impact,
        ),
        test,
    )


def plan_host(vms=None, **policies):
    """
    Show what :py:func:`apply_host` with the same arguments would do, and do nothing.

    The VMs of the host that nobody declared are shown too, as ``strays``.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.plan_host
        salt '*' geats.plan_host vms='[web01, db01]' restart=never
    """
    return _told(lambda host: reports.host_plan_report(_plan_host(host, vms, policies)))


def apply_host(vms=None, test=None, called="", **policies):
    """
    Bring every VM of the pillar to what it is described as; or only some of them.

    VMs that do not wait for each other are brought there side by side, and one that fails keeps no
    other from it. Without ``vms``, VMs of the host that nobody declared are reported or stopped,
    as ``policy:strays`` of the configuration says.

    vms
        the names of the VMs (default: all that are declared)
    target, restart, power_off, allow_data_loss, by_hand, max_impact
        for each VM, as in :py:func:`apply`
    at_most
        without ``vms``: how many VMs that nobody named may be powered off, frozen, undefined,
        emptied or unlocked (default: ``policy:at_most`` of the configuration, else 1)
    test
        do nothing, and return what would be done (default: the minion's ``test`` option)
    called
        what this is called in a state file: refused where that is a VM's name, and no ``vms`` are
        given

    CLI Example:

    .. code-block:: bash

        salt '*' geats.apply_host
        salt '*' geats.apply_host test=True
        salt '*' geats.apply_host vms='[web01, db01]' max_impact=live
    """
    return _told(lambda host: _apply_host(host, _plan_host(host, vms, policies, called), test))


def apply_several(vms, test=None):
    """
    Bring several VMs, each to a target of its own, with one look at the host and in one plan.

    Returns what :py:func:`apply` does for each of them, by name. One that is refused, or fails,
    keeps no other from it; ``error`` says why.

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
    return _told(lambda host: _apply_several(host, vms, test))


def observe():
    """
    Return all that a plan is made from: what every VM is now, and what the host offers.

    Kept in a file as JSON, ``geats plan --from FILE`` makes plans from it on any machine.

    CLI Example:

    .. code-block:: bash

        salt --out json --static '*' geats.observe
    """
    return _told(lambda host: codec.encode(host.recorded()))


def candidate():
    """
    Return what a master has to know of this host to place VMs, or to move them, as
    ``salt-run geats.place`` and its kin do: what is wanted here, what there is, what it offers.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.candidate
    """
    return _told(lambda host: codec.encode(host.candidate()))


def define(name, spec=None, test=None):
    """
    Write a VM's definition down and make it known to its driver.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.define web01
        salt '*' geats.define web01 test=True
    """
    return _applied(lambda host: lifecycle.plan_verb(host, "define", name, spec), test)


def provision(name, spec=None, test=None):
    """
    Define a VM, and make its volumes and its root filesystem: ready to start.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.provision web01
        salt '*' geats.provision web01 test=True
    """
    return _applied(lambda host: lifecycle.plan_verb(host, "provision", name, spec), test)


def start(name, spec=None, test=None):
    """
    Power a VM on. One that is only declared is provisioned first.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.start web01
        salt '*' geats.start web01 test=True
    """
    return _applied(lambda host: lifecycle.plan_verb(host, "start", name, spec), test)


def shutdown(name, test=None):
    """
    Ask a VM's guest to power off; after its ``shutdown_timeout`` power off.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.shutdown web01
        salt '*' geats.shutdown web01 test=True
    """
    return _off("shutdown", name, test)


def stop(name, test=None):
    """
    Power a VM off at once.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.stop web01
        salt '*' geats.stop web01 test=True
    """
    return _off("stop", name, test)


def reboot(name, test=None):
    """
    Shut a VM down and start it again; what was pending is then in effect.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.reboot web01
        salt '*' geats.reboot web01 test=True
    """
    return _applied(lambda host: lifecycle.plan_verb(host, "reboot", name), test)


def freeze(name, test=None):
    """
    Suspend every process of a running VM.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.freeze web01
        salt '*' geats.freeze web01 test=True
    """
    return _applied(lambda host: lifecycle.plan_verb(host, "freeze", name), test)


def unfreeze(name, test=None):
    """
    Let the processes of a frozen VM go on.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.unfreeze web01
        salt '*' geats.unfreeze web01 test=True
    """
    return _applied(lambda host: lifecycle.plan_verb(host, "unfreeze", name), test)


def undefine(name, test=None):
    """
    Power a VM off and forget it; its data stays, unless it is ``transient``.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.undefine web01
        salt '*' geats.undefine web01 test=True
    """
    return _applied(lambda host: lifecycle.plan_verb(host, "undefine", name), test)


def deprovision(name, test=None):
    """
    Undefine a VM and destroy its volumes, with all data on them.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.deprovision web01
        salt '*' geats.deprovision web01 test=True
    """
    return _applied(lambda host: lifecycle.plan_verb(host, "deprovision", name), test)


def reinit(name, test=None):
    """
    Make a VM's root volume anew from its template; other volumes keep their data.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.reinit web01
        salt '*' geats.reinit web01 test=True
    """
    return _applied(lambda host: lifecycle.plan_verb(host, "reinit", name), test)


def lock(name, test=None):
    """
    Protect a VM from undefine, deprovision, reinit and any loss of data.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.lock web01
        salt '*' geats.lock web01 test=True
    """
    return _applied(lambda host: lifecycle.plan_verb(host, "lock", name), test)


def unlock(name, test=None):
    """
    Lift a VM's protection from deletion.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.unlock web01
        salt '*' geats.unlock web01 test=True
    """
    return _applied(lambda host: lifecycle.plan_verb(host, "unlock", name), test)


def exec_(name, command, user=None, cwd=None, env=None, timeout=None):
    """
    Run a program in a VM that runs, and wait for it. There is no shell, and the input is empty.

    Returns a mapping: ``code`` (the exit code; 128 and the signal's number where one killed it; 127
    where the program is not found, 126 where it cannot be run), ``stdout`` and ``stderr`` (text;
    bytes that are no UTF-8 are replaced), ``truncated`` (True where one of them was longer than
    1 MiB, of which the beginning is kept), and ``timed_out``, with ``code`` None. The exit code is
    Salt's too. What the program leaves in the background goes on, and is not waited for.

    name (str)
        the VM
    command (list or str)
        the program and its arguments; a line is split into them as a shell splits it
    user (str or int)
        a name or an id, looked up in the VM's ``/etc/passwd`` (default: root). Its groups are those
        of the VM's ``/etc/group``.
    cwd (str)
        the directory to run it in (default: ``/``)
    env (dict)
        variables, beside ``PATH``, ``HOME``, ``USER``, ``LOGNAME`` and ``container``; nothing else
        is in the environment. They are neither logged nor in any list of processes of the host.
    timeout (int)
        seconds, after which the program and its process group are killed (default: 60)

    CLI Example:

    .. code-block:: bash

        salt '*' geats.exec web01 'systemctl is-active nginx'
        salt '*' geats.exec web01 '[psql, -c, select 1]' user=postgres timeout=10
    """
    options = {"user": user, "cwd": cwd, "env": env, "timeout": timeout}
    report = _told(lambda host: reports.ran_report(guest.run_in(host, name, command, options)))
    __context__["retcode"] = TIMED_OUT if report["timed_out"] else report["code"]
    return report


def push(name, source, path, mode=None, owner=None, group=None, timeout=None):
    """
    Copy a file of this host into a VM that runs. It is there whole, or not at all.

    What has the name in the VM is replaced, a link too; the directory must be there. Links on the
    way never lead out of the VM. Returns the size in bytes.

    name (str)
        the VM
    source (str)
        the absolute path of a regular file of this host
    path (str)
        the absolute path in the VM
    mode (str)
        octal digits (default: ``0644``)
    owner, group (str or int)
        names or ids of the VM's (default: root)
    timeout (int)
        seconds, after which it is given up (default: 600)

    CLI Example:

    .. code-block:: bash

        salt '*' geats.push web01 /srv/files/app.conf /etc/app.conf mode=0640 group=www-data
    """
    options = {"mode": mode, "owner": owner, "group": group, "timeout": timeout}
    return _told(
        lambda host: {"path": path, "size_bytes": guest.push(host, name, source, path, options)}
    )


def write_file(name, path, content, mode=None, owner=None, group=None, timeout=None):
    """
    Write text to a file of a VM that runs, as :py:func:`push` does. It is never logged.

    name, path, mode, owner, group, timeout
        as for :py:func:`push`
    content (str or bytes)
        what the file is to hold

    CLI Example:

    .. code-block:: bash

        salt '*' geats.write_file web01 /etc/motd 'Welcome'
    """
    options = {"mode": mode, "owner": owner, "group": group, "timeout": timeout}
    return _told(
        lambda host: {
            "path": path,
            "size_bytes": guest.write_file(host, name, path, content, options),
        }
    )


def pull(name, path, target, max_size=None, timeout=None):
    """
    Copy a regular file out of a VM that runs to this host. It is there whole, or not at all.

    Only root can read it there. Returns the size in bytes.

    name (str)
        the VM
    path (str)
        the absolute path in the VM; links never lead out of the VM
    target (str)
        the absolute path of a file on this host, which is replaced; its directory must be there
    max_size (int or str)
        a size such as ``5GiB``; a file that is larger is an error (default: 1 GiB)
    timeout (int)
        seconds, after which it is given up (default: 600)

    CLI Example:

    .. code-block:: bash

        salt '*' geats.pull web01 /var/log/syslog /srv/logs/web01.log
    """
    options = {"max_size": max_size, "timeout": timeout}
    return _told(
        lambda host: {"target": target, "size_bytes": guest.pull(host, name, path, target, options)}
    )


def read_file(name, path, max_size=None, timeout=None):
    """
    Return what a regular file of a VM that runs holds, as text; bytes that are no UTF-8 are
    replaced.

    name (str)
        the VM
    path (str)
        the absolute path in the VM; links never lead out of the VM
    max_size (int or str)
        a size such as ``64KiB``; a file that is larger is an error (default: 1 MiB)
    timeout (int)
        seconds, after which it is given up (default: 600)

    CLI Example:

    .. code-block:: bash

        salt '*' geats.read_file web01 /etc/os-release
    """
    options = {"max_size": max_size, "timeout": timeout}
    return _told(lambda host: guest.read_file(host, name, path, options).decode(errors="replace"))


def wait(name, until=None, command=None, timeout=None, user=None):
    """
    Wait until a VM is what is wanted of it. An error, with what was seen last, where it is not so
    in time.

    Returns a mapping: ``took_s`` (seconds), ``seen`` (what was seen last), ``until``, ``reached``.

    name (str)
        the VM
    until (str)
        ``running``; ``stopped``, as it is too where it is not defined; ``ip``: it has an address;
        ``command``: a command in it succeeds (default: ``running``, or with a command ``command``)
    command (list or str)
        as for :py:func:`exec`; run again and again, a second apart at most, until its exit code is
        0
    timeout (int)
        seconds (default: 60)
    user (str or int)
        who runs the command (default: root)

    CLI Example:

    .. code-block:: bash

        salt '*' geats.wait web01 ip timeout=30
        salt '*' geats.wait web01 command='systemctl is-active nginx'
    """
    options = {"timeout": timeout, "user": user}
    waited = _told(lambda host: waiting.wait(host, name, until, command, options))
    report = reports.waited_report(name, waited)
    if not waited.reached:
        raise CommandExecutionError(waiting.told(name, waited), info=report)
    return report


def console_command(name):
    """
    Return the command, as a list of words, that attaches a terminal of this host to a VM's console.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.console_command web01
    """
    return _told(lambda host: host.console_command(name))


def ssh_command(name, user=None, identity=None, port=None):
    """
    Return the command, as a list of words, that opens an ssh session to a VM's first address.

    An error where the VM has no address now.

    name (str)
        the VM
    user (str)
        whom to log in as
    identity (str)
        the absolute path of a key
    port (int)
        where ssh listens

    CLI Example:

    .. code-block:: bash

        salt '*' geats.ssh_command web01 user=admin identity=/root/.ssh/id_ed25519
    """
    options = {"user": user, "identity": identity, "port": port}
    return _told(lambda host: guest.ssh_command(host, name, options))


def templates():
    """
    List every declared template: its source, key, and the pools in which it is unpacked.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.templates
    """
    return _told(lambda host: host.templates.listed())


def import_template(name, refresh=False, test=None):
    """
    Make a template ready ahead of VMs: download or build it, and unpack it in pools that clone.

    refresh
        look for a newer image on the server, or build anew
    test
        do nothing, and return what would be done (default: the minion's ``test`` option)

    CLI Example:

    .. code-block:: bash

        salt '*' geats.import_template debian
        salt '*' geats.import_template debian refresh=True
    """
    return _told(lambda host: _import_template(host, name, refresh, test))


def verify_templates():
    """
    List everything that is wrong with each template: its files, and its unpacked copies.

    Returns an empty list for each template that is sound.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.verify_templates
    """
    return _told(lambda host: host.templates.verified())


def prune_templates(test=None):
    """
    Destroy unpacked templates and downloaded files that no declared template needs.

    Returns what is destroyed and what is kept, each with the reason.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.prune_templates test=True
        salt '*' geats.prune_templates
    """
    return _told(lambda host: host.templates.pruned(dry_run=bool(_is_test(test))))


def _raw():
    return configuration.from_salt(__opts__, __pillar__)


def _origin():
    """The job that this is, for the journal: while it runs, Salt has a file with it."""
    for file in Path(__opts__["cachedir"], "proc").glob("[0-9]*"):
        try:
            job = salt.utils.msgpack.unpackb(file.read_bytes(), raw=False)
        except (OSError, ValueError):
            continue  # it has ended, or is just being written
        if isinstance(job, dict) and job.get("pid") == os.getpid():
            user = job.get("user") or "somebody"
            return f"salt, job {job.get('jid')} ({job.get('fun')}) of {user}"
    return "salt"


def _as_rendered():
    return configuration.as_rendered(__opts__, __pillar__)


def _told(tell):
    """What *tell* says of the host."""
    return _answered(lambda: tell(host_.Host.from_config(_raw(), _origin(), _listening)))


def _in_part(tell):
    """The same, for what goes on where keys of the configuration are wrong: that is told."""
    return _answered(lambda: tell(_warned(host_.Host.in_part(_raw(), _origin(), _listening))))


def _warned(host):
    """The host; what is wrong with its configuration is logged, and told by the exit code."""
    if host.config.unsound:
        log.warning("nothing is planned before this is mended:\n%s", "\n".join(host.config.unsound))
        __context__["retcode"] = EX_PILLAR_FAILURE
    return host


def _seen(tell):
    """What *tell*, which changes nothing, says of the host, though the pillar may not be whole.

    That is logged, and told by the exit code.
    """
    wrong = configuration.failed(__pillar__)
    if wrong:
        log.warning("what is declared may be missing here:\n%s", "\n".join(map(str, wrong)))
        __context__["retcode"] = EX_PILLAR_FAILURE
    return _answered(lambda: tell(_warned(host_.Host.in_part(_as_rendered(), _origin()))))


def _listening(events, origin):
    """Whoever is on the minion's bus."""
    return salt_events.told_of_steps(__opts__, events, origin)


def _answered(answer):
    """What *answer* returns; refusals and trouble as Salt's own error, in one text."""
    try:
        return answer()
    except (errors.Refused, errors.HostError) as error:
        raise CommandExecutionError(str(error)) from None
    except OSError as error:
        raise CommandExecutionError(str(errors.trouble(error))) from None


def _applied(make_plan, test):
    """Make the plan and, but in test mode, apply it; an interrupted one is an error."""
    return _told(lambda host: _apply(host, make_plan(host), test))


def _off(verb, name, test):
    """Power off; what is wrong with the configuration does not stand in the way."""
    return _in_part(lambda host: _apply(host, lifecycle.plan_verb(host, verb, name), test))


def _shown(planned):
    return {**reports.plan_report(planned.plan), "origins": dict(planned.origins)}


def _apply(host, planned, test):
    if _is_test(test):
        return {**_would(planned.plan), "origins": dict(planned.origins)}
    applied = host.apply(planned)
    report = reports.apply_report(planned.plan, applied)
    _raise_if_interrupted(applied, {"changes": report["changes"]})
    return {**report, "origins": dict(planned.origins)}


def _would(plan):
    return {**reports.plan_report(plan), "changes": reports.would_change(plan)}


def _import_template(host, name, refresh, test):
    if _is_test(test):
        return {"name": name, "would": host.templates.missing(name, refresh=refresh)}
    return host.templates.make_ready(name, refresh=refresh)


def _export(host, name, path, test):
    copying = copies.export(host, name, path)
    if _is_test(test):
        return _would(copying.plan)
    applied = copies.apply_export(host, copying)
    report = reports.apply_report(copying.plan, applied)
    _raise_if_interrupted(applied, {"changes": report["changes"]})
    return {**report, **copying.written()}


def _import(host, path, name, changes, sha256, test):
    return _copy(host, copies.import_(host, _fetched(path), name, changes, sha256), test)


def _copy(host, copying, test):
    if _is_test(test):
        return _would(copying.plan)
    applied = copies.apply_copy(host, copying)
    report = reports.apply_report(copying.plan, applied)
    _raise_if_interrupted(applied, {"changes": report["changes"]})
    return report


def _adopt(host, name, spec, template, test):
    adopting = adopt_.adopt(host, name, spec, template)
    described = {"description": adopting.described}
    if _is_test(test):
        return {**_would(adopting.plan), **described}
    applied = host.apply_host(adopting.planned)
    report = reports.apply_report(adopting.plan, applied)
    _raise_if_interrupted(applied, {"changes": report["changes"]})
    return {**report, **described}


def _fetched(path):
    """Where a file is on this host; one that is elsewhere is fetched by Salt."""
    if "://" not in str(path):
        return path
    cached = __salt__["cp.cache_file"](path)
    if not cached:
        raise errors.Refused(f"path: there is no {path!r}")
    return cached


def _keep_snapshots(host, name, prefix, rules, test):
    kept = snapshots_.kept(host, name, rules, prefix)
    return {**_apply(host, kept.planned, test), **kept.report()}


def _plan_host(host, vms, policies, called=""):
    """The plan for the VMs that are named, else for the whole host."""
    return host.plan_wishes(host_goals.wishes(_words(policies), host_goals.names_in(vms), called))


def _words(given):
    """What a caller gave, without what Salt adds."""
    return {key: value for key, value in given.items() if not key.startswith("__")}


def _apply_host(host, made, test):
    errors_ = reports.refused_lines(made)
    if _is_test(test):
        changes = reports.would_change_host(made.plan)
        report = {**reports.host_plan_report(made), "changes": changes}
    else:
        applied = host.apply_host(made)
        report = reports.apply_host_report(made, applied)
        errors_ += filter(None, [reports.error_of(applied)])
    if errors_:
        raise CommandExecutionError("\n".join(errors_), info=report)
    return report


def _apply_several(host, vms, test):
    if not isinstance(vms, dict):
        raise errors.Refused("vms: must be a mapping of names to what each VM is to be")
    planned = several.plan_several(host, vms)
    if _is_test(test):
        report = reports.would_several_report(planned)
    else:
        report = reports.several_report(planned, host.apply_host(planned.planned))
    wrong = [str(each["error"]) for each in report.values() if each["error"]]
    if wrong:
        raise CommandExecutionError("\n".join(wrong), info=report)
    return report


def _is_test(test):
    return __opts__.get("test") if test is None else test


def _raise_if_interrupted(applied, info):
    error = reports.error_of(applied)
    if error is not None:
        raise CommandExecutionError(error, info=info)
