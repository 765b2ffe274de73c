"""
Snapshots, archives, clones and other names of VMs.

Part of the module ``geats``: Salt puts the functions of all its files under that one name.

:depends: geats
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from geats_host.calls import copies, exports, publishing
from geats_host.calls import snapshots as taken
from geats_host.errors import Refused
from geats_host.for_salt.calls import (
    applied,
    applied_to_host,
    beside,
    done,
    for_schedule,
    is_test,
    opened,
    with_all,
    words,
    would,
)

if TYPE_CHECKING:  # Salt's loader injects it
    __salt__: dict[str, Callable[..., Any]]

__virtualname__ = "geats"


def __virtual__():
    return __virtualname__


def snapshot(name, snapshot=None, partial=False, present=False, test=None, verbose=False):
    """
    Take a snapshot of all volumes of a VM together. A running VM is frozen meanwhile.

    snapshot
        its name (default: the time in UTC, such as ``2026-11-23-070000``)
    partial
        leave out volumes whose pools do not support snapshots, instead of refusing
    present
        if there is a snapshot of that name, leave it, instead of refusing
    test
        do nothing, and return what would be done (default: the minion's ``test`` option)

    CLI Example:

    .. code-block:: bash

        salt '*' geats.snapshot web01
        salt '*' geats.snapshot web01 before-upgrade test=True
    """
    with opened() as host:
        planned = taken.snapshot(host, name, snapshot, partial=partial, present=present)
        return applied(host, planned, test, verbose)


def snapshots(name, **rules):
    """
    List the snapshots of a VM, from the oldest to the newest: name, time (UTC), and volumes.

    ``together`` is True if it was taken of all volumes at one moment. With rules (``last``,
    ``hourly``, ``daily``, ``weekly``, ``monthly``: whole numbers), ``kept_by`` lists the rules that
    keep it.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.snapshots web01
        salt '*' geats.snapshots web01 last=3 daily=7
    """
    with opened() as host:
        return taken.listed(host, name, words(rules))


def restore(name, snapshot, allow_data_loss=False, partial=False, test=None, verbose=False):
    """
    Roll the volumes of a VM back to a snapshot. A running VM is shut down, and started again.

    The definition of the VM stays as it is now, and so do other snapshots.

    snapshot
        the name of the snapshot
    allow_data_loss
        permission to lose what was written since then; without it, this is refused
    partial
        accept a snapshot that is not of one moment, or that lacks a volume (which stays as it is)
    test
        do nothing, and return what would be done (default: the minion's ``test`` option)

    CLI Example:

    .. code-block:: bash

        salt '*' geats.restore web01 before-upgrade allow_data_loss=True test=True
        salt '*' geats.restore web01 before-upgrade allow_data_loss=True
    """
    with opened() as host:
        planned = taken.restore(
            host, name, snapshot, allow_data_loss=allow_data_loss, partial=partial
        )
        return applied(host, planned, test, verbose)


def delete_snapshot(name, snapshot, test=None, verbose=False):
    """
    Delete a snapshot of a VM, on all volumes. Refused if the VM is locked.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.delete_snapshot web01 before-upgrade
    """
    with opened() as host:
        return applied(host, taken.delete(host, name, snapshot), test, verbose)


def keep_snapshots(name, prefix="", test=None, verbose=False, **rules):
    """
    Delete the snapshots of a VM that no rule keeps. Returns also why each of the others stays.

    prefix
        look only at snapshots whose names begin with this
    last, hourly, daily, weekly, monthly
        how many of the newest to keep, and for how many hours, days, weeks and months to keep the
        newest one
    test
        do nothing, and return what would be done (default: the minion's ``test`` option)

    CLI Example:

    .. code-block:: bash

        salt '*' geats.keep_snapshots web01 last=3 daily=7 weekly=4 test=True
    """

    def run():
        with opened() as host:
            planned, retention = taken.kept(host, name, words(rules), prefix)
            answer = applied(host, planned, test, verbose)
            return with_all(answer, **taken.kept_report(retention))

    return for_schedule(rules, run)


def prune_snapshots(test=None, verbose=False, **rules):
    """
    Delete snapshots that are named for their time and that no rule keeps, of every VM.

    Snapshots with other names stay, and so do all of a locked VM.

    last, hourly, daily, weekly, monthly
        how many to keep, as for :py:func:`keep_snapshots` (default: ``policy:snapshots`` in the
        pillar)
    test
        do nothing, and return what would be done (default: the minion's ``test`` option)

    CLI Example:

    .. code-block:: bash

        salt '*' geats.prune_snapshots last=3 daily=7 test=True
    """

    def run():
        with opened() as host:
            return applied_to_host(host, taken.pruned(host, words(rules)), test, verbose)

    return for_schedule(rules, run)


def export(name, path=None, test=None, verbose=False):
    """
    Write a VM and the content of its volumes to an archive. A running VM may be frozen meanwhile.

    Returns the ``path`` of the archive, its ``sha256`` and its size in ``bytes``, besides what was
    done. The VM itself stays as it is.

    path
        the absolute path of the archive, which must not exist yet (default: a new name in the
        folder ``exports`` of the ``state_dir``)
    test
        do nothing, and return what would be done (default: the minion's ``test`` option)

    CLI Example:

    .. code-block:: bash

        salt '*' geats.export web01
        salt '*' geats.export web01 /srv/backup/web01.geats.tar
    """
    with opened() as host:
        planned = copies.export(host, name, path)
        if is_test(test):
            return would(planned, verbose)
        answer = done(planned, copies.apply_export(host, planned), verbose)
        return beside(answer, **copies.written(planned))


def publish(name, path=None, keep=None, test=None, verbose=False):
    """
    Make a template of a VM: write its root volume to a file. A running VM may be frozen meanwhile.

    A container becomes a tarball, a virtual machine a disk image. Returns the ``path`` of the file,
    its ``sha256`` and its size in ``bytes``, and ``templates``, which declares it in the pillar,
    besides what was done. The VM itself stays as it is.

    path
        the absolute path of the file, which must not exist yet (default: a new name in the folder
        ``published`` of the ``state_dir``)
    keep
        what stays in a tarball, out of ``machine-id``, ``ssh-host-keys``, ``hostname``,
        ``minion-keys``, ``metadata``, ``cloud-init`` and ``dhcp-leases`` (default: none of them).
        A disk image has all of it: clean it in the guest.
    test
        do nothing, and return what would be done (default: the minion's ``test`` option)

    CLI Example:

    .. code-block:: bash

        salt '*' geats.publish web01
        salt '*' geats.publish web01 /srv/templates/web.tar.zst keep='[hostname]'
    """
    with opened() as host:
        planned = publishing.publish(host, name, path, keep)
        if is_test(test):
            return would(planned, verbose)
        applied = copies.apply_to_file(host, planned, publishing.file_of(planned))
        return beside(done(planned, applied, verbose), **publishing.written(host, planned))


def import_(
    path,
    name=None,
    changes=None,
    sha256=None,
    arriving=None,
    to_run=False,
    test=None,
    verbose=False,
):
    """
    Create a VM from an archive that :py:func:`export` wrote on any host. The VM is off.

    The archive is checked before anything is changed. If the import is interrupted, the VM cannot
    start; repeat the call to finish it. If the import fails, what it made is removed.

    path
        the archive: an absolute path, or a URL that Salt can fetch, such as ``salt://web01.tar``
    name
        another name: the VM is then a new one, with its own MAC addresses and machine id, and must
        not have an address of another VM
    changes
        keys of its spec to change; and ``pools``: the pool of all volumes, or a mapping from volume
        names to pools
    sha256
        the sha256 that the archive must have
    arriving
        the minion that the VM is moved from: until :py:func:`accept`, it does not count here
    to_run
        if it is arriving: the first plan after it was accepted starts it
    test
        do nothing, and return what would be done (default: the minion's ``test`` option)

    CLI Example:

    .. code-block:: bash

        salt '*' geats.import_ /srv/backup/web01.geats.tar
        salt '*' geats.import_ /srv/backup/web01.geats.tar name=web02 changes='{"nics": []}'
        salt '*' geats.import_ salt://web01.geats.tar changes='{"pools": "fast"}'
    """
    with opened() as host:
        planned = copies.import_(
            host, _fetched(path), name, changes, sha256, arriving, to_run=to_run
        )
        return _copied(host, planned, test, verbose)


def accept(name, test=None, verbose=False):
    """
    Let a VM count that was moved to this host. It is not started.

    ``salt-run geats.migrate`` does this once the source has given the VM up. Call it yourself only
    if the move was interrupted, and its source is lost: otherwise, two hosts have the VM.

    test
        do nothing, and return what would be done (default: the minion's ``test`` option)

    CLI Example:

    .. code-block:: bash

        salt minion2 geats.accept web01
    """
    with opened() as host:
        return applied(host, copies.accept(host, name), test, verbose)


def clone(source, target, changes=None, test=None, verbose=False):
    """
    Create a VM as a copy of another one, in the same pools. The new VM is off.

    It has its own hostname, MAC addresses and machine id. A running source is frozen meanwhile.
    Snapshots are not copied. If the call is interrupted, the new VM cannot start; repeat the call
    to finish it. If the call fails, what it made is removed.

    source
        the VM to copy
    target
        the name of the new one
    changes
        keys of its spec to change; addresses must be changed, if there are any
    test
        do nothing, and return what would be done (default: the minion's ``test`` option)

    CLI Example:

    .. code-block:: bash

        salt '*' geats.clone web01 web02 changes='{"nics": []}' test=True
        salt '*' geats.clone web01 web02 changes='{"nics": []}'
    """
    with opened() as host:
        return _copied(host, copies.clone(host, source, target, changes), test, verbose)


def rename(name, new_name, test=None, verbose=False):
    """
    Give a VM that is off another name. It keeps its volumes, snapshots and MAC addresses.

    The hostname changes with it, if it was made of the old name. Change the name in the pillar
    first: a VM that the pillar has under its old name is refused. If the call is interrupted,
    repeat it; until then, nothing else is done to either name.

    new_name
        the name that it gets; no VM may have it
    test
        do nothing, and return what would be done (default: the minion's ``test`` option)

    CLI Example:

    .. code-block:: bash

        salt '*' geats.rename web01 web02 test=True
        salt '*' geats.rename web01 web02
    """
    with opened() as host:
        return applied(host, copies.rename(host, name, new_name), test, verbose)


def prune_exports(test=None, **rules):
    """
    Delete archives in the folder ``exports`` that no rule keeps, for each VM separately.

    Returns what happens to each, and why. Files that geats did not write are left alone.

    last, hourly, daily, weekly, monthly
        how many to keep, as for :py:func:`keep_snapshots` (default: ``policy:exports`` in the
        pillar)
    test
        do nothing, and return what would be done (default: the minion's ``test`` option)

    CLI Example:

    .. code-block:: bash

        salt '*' geats.prune_exports last=3 monthly=12 test=True
    """

    def run():
        with opened() as host:
            return exports.pruned(host, words(rules), dry_run=is_test(test))

    return for_schedule(rules, run)


def _copied(host, planned, test, verbose):
    if is_test(test):
        return would(planned, verbose)
    return done(planned, copies.apply_copy(host, planned), verbose)


def _fetched(path):
    """Where a file is on this host; one that is elsewhere is fetched by Salt."""
    if "://" not in str(path):
        return path
    cached = __salt__["cp.cache_file"](path)
    if not cached:
        raise Refused(f"path: there is no {path!r}")
    return cached
