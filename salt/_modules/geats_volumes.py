"""
Remove one volume of a VM, or move it to another pool.

Part of the module ``geats``: Salt puts the functions of all its files under that one name.

:depends: geats
"""

from geats_host.calls import volumes as single
from geats_host.for_salt.calls import applied, opened

__virtualname__ = "geats"


def __virtual__():
    return __virtualname__


def remove_volume(name, volume, pool=None, test=None, verbose=False):
    """
    Destroy a volume that is no longer wanted, with its snapshots and all data on it.

    It is refused if the VM is defined, declared or running with it, if another VM mounts it, or if
    the VM is locked or on. ``geats.volumes`` shows which volumes are not ``wanted``.

    volume
        its name, such as ``data``
    pool
        in which pool, if there is one of this name in several
    test
        do nothing, and return what would be done (default: the minion's ``test`` option)

    CLI Example:

    .. code-block:: bash

        salt '*' geats.remove_volume web01 data test=True
        salt '*' geats.remove_volume web01 data
    """
    with opened() as host:
        return applied(host, single.remove(host, name, volume, pool), test, verbose)


def move_volume(name, volume, pool, test=None, verbose=False):
    """
    Move a volume of a VM that is off to another pool of its host.

    It is copied, and the copy is compared with it. Then the VM uses the copy, and the old one is
    destroyed. If the call is interrupted, repeat it; a move back to the old pool undoes it. Until
    then, other plans do not change the pool of the volume. Write the new pool into the pillar too:
    until then, the next plan is refused. Snapshots do not move: delete them first.

    volume
        its name, such as ``data``
    pool
        the pool that it moves to
    test
        do nothing, and return what would be done (default: the minion's ``test`` option)

    CLI Example:

    .. code-block:: bash

        salt '*' geats.move_volume web01 data fast test=True
        salt '*' geats.move_volume web01 data fast
    """
    with opened() as host:
        return applied(host, single.move(host, name, volume, pool), test, verbose)
