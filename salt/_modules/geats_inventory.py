"""
Look at the VMs, the pools and drivers of this host, and change nothing.

Part of the module ``geats``: Salt puts the functions of all its files under that one name.

:depends: geats
"""

from geats_core.plans import codec
from geats_host.calls import inventory
from geats_host.for_salt import in_brief
from geats_host.for_salt.calls import looked_at, opened, words
from geats_host.planning import facts, goals, plans
from geats_host.watching import declarations, differences, history

__func_alias__ = {"list_": "list"}
__virtualname__ = "geats"


def __virtual__():
    return __virtualname__


def list_(
    vms=None,
    power=None,
    driver=None,
    label=None,
    group=None,
    declared=None,
    defined=None,
    locked=None,
    verbose=False,
    **others,
):
    """
    List VMs: their power, and whether they are declared, defined and locked.

    vms
        patterns of names such as ``web*``, or one of them (default: all)
    power
        only VMs that are ``running``, ``stopped``, ``frozen``, ``held``, ``stuck``, ``unknown``
        (its driver is not available) or ``none`` (it is not defined); or a list of such words
    driver
        only VMs of this driver, or of a list of drivers
    label
        only VMs with this label, such as ``owner=ada``, or ``owner`` with any value; or with all of
        a list of labels
    group
        only VMs of this group of ``autostart``, or of a list of groups
    declared, defined, locked
        only VMs that are (``True``), or that are not (``False``)
    verbose
        each VM as data, instead of in a line

    CLI Example:

    .. code-block:: bash

        salt '*' geats.list
        salt '*' geats.list 'web*' power=running
        salt '*' geats.list declared=False
        salt '*' geats.list label=owner=ada
        salt '*' geats.list group=shop
    """
    only = {
        "vms": vms,
        "power": power,
        "driver": driver,
        "label": label,
        "group": group,
        "declared": declared,
        "defined": defined,
        "locked": locked,
        **words(others),
    }
    with looked_at() as host:
        rows = inventory.list_report(host, only)
        return rows if verbose else in_brief.list_in_brief(rows)


def info(name, verbose=False):
    """
    Show one VM: definition, state, volumes, pid, addresses, memory used and limit, cpu time.

    verbose
        also the keys that are empty

    CLI Example:

    .. code-block:: bash

        salt '*' geats.info web01
    """
    with looked_at() as host:
        report = inventory.info_report(host, name)
        return report if verbose else in_brief.without_empty(report)


def show(vms=None, secrets=False):
    """
    Show what declares VMs as they are defined now, for the pillar.

    vms
        names of VMs, as a list or with commas (default: all that are defined)
    secrets
        also the values of ``metadata``

    Returns ``vms`` as it stands below ``geats`` in the pillar, without keys that have defaults.
    After you adopt, clone or import VMs, put this there.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.show web01
        salt '*' geats.show --out=yaml
    """
    with opened() as host:
        names = goals.names_in(vms)
        return declarations.declarations_report(host, names, shows_secrets=secrets)


def status(verbose=False):
    """
    Show every VM's definition and state, and the host's memory, swap, load and CPU.

    verbose
        all of it as data, instead of a line for each VM and one for the host

    CLI Example:

    .. code-block:: bash

        salt '*' geats.status
    """
    with looked_at() as host:
        report = inventory.status_report(host)
        return report if verbose else in_brief.status_in_brief(report)


def journal(name=None, limit=50, since=None):
    """
    Show the newest steps that were applied to a VM, oldest first.

    Without a name, those of all VMs, and of the host itself, such as an upgrade of the registry:
    then ``vm`` is empty.

    since
        only from then on: so long ago, such as ``30m``, ``2h`` or ``3d``, or a time such as
        ``2026-11-30T08:00`` (UTC)

    CLI Example:

    .. code-block:: bash

        salt '*' geats.journal
        salt '*' geats.journal since=2h
        salt '*' geats.journal web01 limit=10
    """
    with looked_at() as host:
        return history.journal_report(host, name, limit, since)


def pools():
    """
    Show every pool: its plugins, what it can do, its space, and how many volumes it has.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.pools
    """
    with opened() as host:
        return inventory.pools_report(host)


def volumes():
    """
    List the volumes of all VMs: pool, stage, size, path, snapshots, and the space that each takes.

    If no VM is defined with a volume, it is not ``wanted``: it is left over.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.volumes
    """
    with opened() as host:
        return inventory.volumes_report(host)


def drivers():
    """
    Show every driver: the VMs that it knows, and the bridges that NICs can use.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.drivers
    """
    with opened() as host:
        return inventory.drivers_report(host)


def pending():
    """
    Show the running VMs with pending changes: old and new value for each field.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.pending
    """
    with opened() as host:
        return inventory.pending_report(host)


def diff(vms=None):
    """
    Show what is declared of VMs and is not so on the host: ``old`` (there) and ``new`` (declared)
    of each field that differs, under ``vms``. Those that cannot be compared are under ``refused``.

    Whether VMs are on makes no difference: ``geats.plan_host`` shows what would be done.

    vms
        names of VMs, as a list or with commas (default: all)

    CLI Example:

    .. code-block:: bash

        salt '*' geats.diff
        salt '*' geats.diff web01,web02
    """
    with opened() as host:
        return differences.differences_report(host, goals.names_in(vms))


def strays():
    """
    Show the VMs of this host that nobody declared, and what the policy says of each.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.strays
    """
    with opened() as host:
        return inventory.strays_report(host)


def overview(vms="*", **others):
    """
    Show what the beacon looks at: the power of each VM, strays, drift, and the space in the pools.

    ``drift`` has the VMs that are not as described, with the fields that differ.

    vms
        patterns of names such as ``web*``, or one of them

    CLI Example:

    .. code-block:: bash

        salt '*' geats.overview
        salt '*' geats.overview 'web*'
    """
    wanted = {"vms": [vms] if isinstance(vms, str) else vms, **words(others)}
    with opened() as host:
        return inventory.overview_report(host, wanted)


def observe():
    """
    Return everything that a plan is made from: what every VM is now, and what the host offers.

    If you save it in a file as JSON, ``geats plan --from FILE`` makes plans from it on any machine.

    CLI Example:

    .. code-block:: bash

        salt --out json --static '*' geats.observe
    """
    with opened() as host:
        return codec.encode(facts.record(host))


def candidate():
    """
    Return what a master needs to know about this host to place or move VMs, for example for
    ``salt-run geats.place``: what is wanted here, what there is, what it offers.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.candidate
    """
    with opened() as host:
        return codec.encode(plans.candidate(host))
