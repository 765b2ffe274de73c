"""
Do something with one volume of a VM.

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
