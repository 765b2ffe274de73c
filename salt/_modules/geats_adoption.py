"""
Take over what something else made: containers, and files of other programs that manage them.

Part of the module ``geats``: Salt puts the functions of all its files under that one name.

:depends: geats
"""

from geats_host.calls import adopt as adoption
from geats_host.engine.apply_plan import apply_plan
from geats_host.for_salt.calls import beside, done, is_test, opened, would
from geats_host.for_salt.errors import salts_errors
from geats_host.inputs import first_geats, legacy_files

__virtualname__ = "geats"


def __virtual__():
    return __virtualname__


def adopt(name, spec=None, template=None, new_name=None, test=None, verbose=False):
    """
    Take over a container or a domain of libvirt that something else made, as it is and while it
    runs.

    A container must be in the ``path`` of the driver ``lxc``, with a directory as its root
    filesystem; its ``config`` is replaced, and kept as ``config.before-geats``. Roots and disks
    stay where they are, and become volumes. Nothing restarts: what differs from the
    description is ``pending`` until the VM restarts. What geats has no key for is kept. If the
    adoption is interrupted, the VM is not yet managed by geats, and the same call finishes it.

    spec
        a description to use instead of that in the pillar
    template
        if nothing describes the VM: the template from which ``reinit`` would recreate it; the VM is
        then adopted as its own definition describes it
    new_name
        another name for it, if it is powered off; one whose name no VM can have needs one
    test
        do nothing, and return what would be done (default: the minion's ``test`` option)

    Returns what :py:func:`apply` returns. If the pillar does not describe the VM, ``description``
    is what to write there.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.adopt web01 test=True
        salt '*' geats.adopt web01
        salt '*' geats.adopt web01 template=debian
        salt '*' geats.adopt 'my old box' new_name=box template=debian
    """
    with opened() as host:
        planned, description = adoption.adopt(host, name, spec, template, new_name)
        if is_test(test):
            answer = would(planned, verbose)
        else:
            answer = done(planned, apply_plan(host, planned), verbose)
        told = {"description": description} if description or verbose else {}
        return beside(answer, **told)


def import_legacy(files):
    """
    Convert a host of the first geats to a pillar, and change nothing.

    files
        paths on the minion, one or a list: a file named ``.yaml`` or ``.json`` defines VMs, a
        pickle is the store, any other file is a configuration; a directory stands for all files
        below it

    Returns the ``pillar``; the keys that were ``carried`` over, each with its new place; those that
    were ``left`` out, with the reason; and the ``problems`` of the pillar.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.import_legacy '[/etc/sippe/geats.conf, /root/vms/web01.yaml]'
    """
    given = [files] if isinstance(files, str) else files
    with salts_errors():
        return legacy_files.report(first_geats.imported(given))


def import_lxc(files):
    """
    Convert the ``config`` of LXC containers to a pillar, and change nothing.

    files
        the ``config`` files on the minion, one or a list

    Returns the same as :py:func:`import_legacy`. The root filesystem of each container is the
    template of the new VM, which gets a copy.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.import_lxc /var/lib/lxc/web01/config
    """
    given = [files] if isinstance(files, str) else files
    with salts_errors():
        return legacy_files.report(legacy_files.imported_lxc(given))


def import_libvirt(files):
    """
    Convert domain XML of libvirt to a pillar, and change nothing.

    files
        the files on the minion, one or a list: what ``virsh dumpxml --inactive`` prints, or those
        in ``/etc/libvirt/qemu``

    Returns the same as :py:func:`import_legacy`. The root disk of each domain is the template of
    the new VM, which gets a copy. To take over the domain itself, see :py:func:`adopt`.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.import_libvirt /etc/libvirt/qemu/web01.xml
    """
    given = [files] if isinstance(files, str) else files
    with salts_errors():
        return legacy_files.report(legacy_files.imported_libvirt(given))


def import_proxmox(files, storage=None):
    """
    Convert guests of Proxmox VE, containers and virtual machines, to a pillar, and change nothing.

    files
        the ``.conf`` files on the minion, one or a list: those in ``/etc/pve/lxc`` and
        ``/etc/pve/qemu-server``
    storage
        the storages of Proxmox (default: ``/etc/pve/storage.cfg``, if it is there)

    Returns the same as :py:func:`import_legacy`. The root of each guest is the template of the new
    VM, which gets a copy.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.import_proxmox '[/etc/pve/lxc/101.conf, /etc/pve/qemu-server/102.conf]'
    """
    given = [files] if isinstance(files, str) else files
    with salts_errors():
        return legacy_files.report(legacy_files.imported_proxmox(given, storage))


def import_incus(files, folder=None):
    """
    Convert instances of Incus or LXD, which are containers, to a pillar, and change nothing.

    files
        files on the minion, one or a list, or directories of them: what
        ``incus list --format json`` and ``incus profile list --format json`` print
    folder
        where the files of the pools of Incus are (default: ``/var/lib/incus``)

    Returns the same as :py:func:`import_legacy`. The root filesystem of each container is the
    template of the new VM, which gets a copy.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.import_incus '[/root/fleet.json, /root/profiles.json]'
    """
    given = [files] if isinstance(files, str) else files
    with salts_errors():
        return legacy_files.report(legacy_files.imported_incus(given, folder))


def import_salt_lxc(files):
    """
    Convert what the ``lxc`` of Salt 3006 was given to a pillar of geats, and change nothing.

    files
        files on the minion, one or a list, or directories of them: pillars or configurations with
        ``lxc.container_profile`` and ``lxc.network_profile``, states as ``state.show_sls`` shows
        them, and profiles and maps of salt-cloud

    Returns the same as :py:func:`import_legacy`.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.import_salt_lxc '[/root/pillar.yaml, /root/states.yaml]'
    """
    given = [files] if isinstance(files, str) else files
    with salts_errors():
        return legacy_files.report(legacy_files.imported_salt_lxc(given))


def import_ansible(files):
    """
    Convert tasks of Ansible's ``lxc_container`` to a pillar, and change nothing.

    files
        plays or tasks on the minion, one or a list, or directories of them

    Returns the same as :py:func:`import_legacy`.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.import_ansible /root/containers.yml
    """
    given = [files] if isinstance(files, str) else files
    with salts_errors():
        return legacy_files.report(legacy_files.imported_ansible(given))
