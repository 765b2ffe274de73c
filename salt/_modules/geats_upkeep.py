"""
Maintain the host itself: examine it, check its pillar, back up and restore its registry.

Part of the module ``geats``: Salt puts the functions of all its files under that one name.

:depends: geats
"""

from geats_core.declared import pillar_schema as schemas
from geats_core.reading.checked import problems_to_plain
from geats_host.calls import doctor as doctors
from geats_host.calls import lifecycle
from geats_host.calls import repair as repairing
from geats_host.calls import units as unit_steps
from geats_host.calls.registry import registry_copies
from geats_host.for_salt.calls import (
    applied_to_host,
    as_rendered,
    checked,
    configured,
    is_test,
    opened,
    pillar_problems,
)
from geats_host.for_salt.errors import salts_errors
from geats_host.planning.plans import plan_rebuild

__virtualname__ = "geats"


def __virtual__():
    return __virtualname__


def doctor():
    """
    Check whether this host can run what is configured. Nothing is changed.

    Returns a list of findings: ``what`` was checked, its ``health`` (``well``, ``warning`` or
    ``problem``), what was ``found``, and a ``fix`` if it is not well. If there is a problem, the
    exit code is 1.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.doctor
    """
    broken = doctors.of_pillar(pillar_problems())
    with salts_errors():
        found = broken or doctors.examine(as_rendered())
    return checked(doctors.to_plain(found), wrong=doctors.has_problem(found))


def validate(name=None, spec=None):
    """
    List everything that is wrong with the spec of a VM, or of all declared VMs.

    Returns an empty list for each VM whose spec is valid. If anything is wrong, the exit code is 1.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.validate
        salt '*' geats.validate web01 spec='{"template": "debian", "memory": "10 bananas"}'
    """
    with salts_errors():
        found = lifecycle.validate(configured(), name, spec)
    return checked(problems_to_plain(found), wrong=any(found.values()))


def schema():
    """
    Return the JSON Schema of the pillar, for completion and checks in editors.

    It is generated from the parsers of the pillar, and allows everything that they accept.

    CLI Example:

    .. code-block:: bash

        salt-call --local --out json geats.schema
    """
    return schemas.pillar_schema()


def units(remove=False, test=None):
    """
    Have systemd start VMs after a boot, and shut them down before a poweroff.

    ``geats.service`` runs ``geats boot`` and ``geats halt``; if the pillar has ``policy:exports``,
    ``geats-exports.timer`` deletes old archives every day. They use a copy of the configuration,
    for root only, so that they also work when no master answers. Returns the steps.

    remove
        true removes the units; no VM is powered off by that
    test
        do nothing, and return what would be done (default: the minion's ``test`` option)

    CLI Example:

    .. code-block:: bash

        salt '*' geats.units test=True
        salt '*' geats.units
    """
    with salts_errors():
        steps = unit_steps.of_salt(configured(), remove=remove)
        if not is_test(test):
            unit_steps.carry_out(steps)
        return unit_steps.report(steps)


def backup_registry(path):
    """
    Back up the registry (definitions, locks, notes, journal) to a new file.

    Only root can read the file, because it contains secrets. The content of volumes is not in it.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.backup_registry /var/backups/geats.sqlite
    """
    with opened() as host:
        return {"path": str(registry_copies.back_up(host, path))}


def restore_registry(path, overwrite=False, test=None):
    """
    Restore a backup of :py:func:`backup_registry`. No VM and no volume is touched.

    ``would`` says what is different, VM by VM. The old registry is kept in a file beside the new
    one.

    overwrite
        replace the current registry, if there is one; without it, this is refused

    CLI Example:

    .. code-block:: bash

        salt '*' geats.restore_registry /var/backups/geats.sqlite test=True
        salt '*' geats.restore_registry /var/backups/geats.sqlite overwrite=True
    """
    with salts_errors():
        return registry_copies.restored(configured(), path, overwrite, is_test(test))


def rebuild_registry(test=None, verbose=False):
    """
    Record definitions and locks again that the registry lost and the drivers still have.

    No VM is powered off, started or changed. If you have a backup, use :py:func:`restore_registry`
    instead: it brings back more.

    test
        do nothing, and return what would be done (default: the minion's ``test`` option)

    CLI Example:

    .. code-block:: bash

        salt '*' geats.rebuild_registry test=True
        salt '*' geats.rebuild_registry
    """
    with opened() as host:
        return applied_to_host(host, plan_rebuild(host), test, verbose)


def repair(*vms, test=None, verbose=False):
    """
    Clean up what interrupted operations left on this host; with names, only of these VMs.

    That is VMs that are stuck or were left frozen, empty volumes, unfinished copies, partly
    unpacked templates, partly written archives, and network interfaces, mounts and loop devices
    that nobody uses. If one thing cannot be removed, the others still are. What somebody else uses
    is named in ``warnings``, and stays. ``host`` says what was done besides VMs.

    test
        do nothing, and return what would be done (default: the minion's ``test`` option)

    CLI Example:

    .. code-block:: bash

        salt '*' geats.repair test=True
        salt '*' geats.repair
        salt '*' geats.repair web01 db01
    """
    with opened() as host:
        return applied_to_host(host, repairing.plan(host, vms), test, verbose)
