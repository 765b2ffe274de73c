"""
Snapshots, archives and clones of VMs.

Part of the module ``geats``: Salt puts the functions of all its files under that one name.

:depends: geats
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from geats_host.calls import copies, exports
from geats_host.calls import snapshots as taken
from geats_host.errors import Refused
from geats_host.for_salt.calls import applied, done, for_schedule, is_test, opened, words, would

if TYPE_CHECKING:  # Salt's loader injects it
    __salt__: dict[str, Callable[..., Any]]

__virtualname__ = "geats"


def __virtual__():
    return __virtualname__


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
    with opened() as host:
        return applied(
            host, taken.snapshot(host, name, snapshot, partial=partial, present=present), test
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
    with opened() as host:
        return taken.listed(host, name, words(rules))


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
    with opened() as host:
        return applied(
            host,
            taken.restore(host, name, snapshot, allow_data_loss=allow_data_loss, partial=partial),
            test,
        )


def delete_snapshot(name, snapshot, test=None):
    """
    Give up a snapshot of a VM, on all volumes; refused while the VM is locked.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.delete_snapshot web01 before-upgrade
    """
    with opened() as host:
        return applied(host, taken.delete(host, name, snapshot), test)


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

    def run():
        with opened() as host:
            kept = taken.kept(host, name, words(rules), prefix)
            return {**applied(host, kept.planned, test), **kept.report()}

    return for_schedule(rules, run)


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
    with opened() as host:
        copying = copies.export(host, name, path)
        if is_test(test):
            return would(copying.plan)
        return {**done(copying.plan, copies.apply_export(host, copying)), **copying.written()}


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
    with opened() as host:
        copying = copies.import_(host, _fetched(path), name, changes, sha256)
        return _copied(host, copying, test)


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
    with opened() as host:
        return _copied(host, copies.clone(host, source, target, changes), test)


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

    def run():
        with opened() as host:
            return exports.pruned(host, words(rules), dry_run=is_test(test))

    return for_schedule(rules, run)


def _copied(host, copying, test):
    if is_test(test):
        return would(copying.plan)
    return done(copying.plan, copies.apply_copy(host, copying))


def _fetched(path):
    """Where a file is on this host; one that is elsewhere is fetched by Salt."""
    if "://" not in str(path):
        return path
    cached = __salt__["cp.cache_file"](path)
    if not cached:
        raise Refused(f"path: there is no {path!r}")
    return cached
