"""
Move in: from the first geats, or from containers that something else made.

Part of the module ``geats``: Salt puts the functions of all its files under that one name.

:depends: geats
"""

from geats_host.calls import adopt as adoption
from geats_host.engine.apply_plan import apply_plan
from geats_host.for_salt.calls import done, is_test, opened, would
from geats_host.for_salt.errors import salts_errors
from geats_host.inputs import legacy_files

__virtualname__ = "geats"


def __virtual__():
    return __virtualname__


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
        installed from this template, from which a ``reinit`` would recreate it
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
    with opened() as host:
        adopting = adoption.adopt(host, name, spec, template)
        if is_test(test):
            report = would(adopting.plan)
        else:
            report = done(adopting.plan, apply_plan(host, adopting.planned))
        return {**report, "description": adopting.described}


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
    with salts_errors():
        return legacy_files.report(legacy_files.imported(given))


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
    with salts_errors():
        return legacy_files.report(legacy_files.imported_lxc(given))
