"""
Look after the host itself: examine it, check what the pillar says, keep its registry.

Part of the module ``geats``: Salt puts the functions of all its files under that one name.

:depends: geats
"""

from geats_core.declared import pillar_schema as schemas
from geats_host.calls import doctor as doctors
from geats_host.calls import lifecycle, registry_copies
from geats_host.calls import repair as repairing
from geats_host.for_salt.calls import (
    applied_to_host,
    as_rendered,
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
    Examine this host: can it run what it is configured to run?

    Returns a list of findings: ``what`` was looked at, its ``health`` (``well``, ``warning`` or
    ``problem``), what was ``found``, and a ``fix`` where it is not well. Nothing is changed.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.doctor
    """
    broken = doctors.of_pillar(pillar_problems())
    with salts_errors():
        return doctors.to_plain(broken or doctors.examine(as_rendered()))


def validate(name=None, spec=None):
    """
    List everything that is wrong with the spec of a VM, or of all that are declared.

    Returns an empty list for each VM whose spec is valid.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.validate
        salt '*' geats.validate web01 spec='{"template": "debian", "memory": "10 bananas"}'
    """
    with salts_errors():
        return lifecycle.validate(configured(), name, spec)


def schema():
    """
    Return the JSON Schema of the pillar, by which editors complete and check it.

    It is made from what reads the pillar, and allows whatever that accepts.

    CLI Example:

    .. code-block:: bash

        salt-call --local --out json geats.schema
    """
    return schemas.pillar_schema()


def backup_registry(path):
    """
    Write all that geats has recorded (definitions, locks, notes, journal) to a new file.

    Only root can read it: it holds secrets. It holds nothing of what is on the VMs' volumes.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.backup_registry /var/backups/geats.sqlite
    """
    with opened() as host:
        return {"path": str(registry_copies.back_up(host, path))}


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
    with salts_errors():
        return registry_copies.restored(configured(), path, overwrite, is_test(test))


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
    with opened() as host:
        return applied_to_host(host, plan_rebuild(host), test)


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
    with opened() as host:
        return applied_to_host(host, repairing.plan(host), test)
