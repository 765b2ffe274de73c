"""
Manage a VM that is a Salt target: the functions of ``geats``, without the name of the VM.

To remove a VM (``undefine`` and so on), or for anything about several VMs, call ``geats`` on the
host. If Salt sends a job to a VM although neither the VM nor its host is a target, there is no
answer.

Salt adds ``job`` to each call.

:depends: geats
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # Salt's loader injects these
    __resource_funcs__: dict[str, Callable[..., Any]]

__func_alias__ = {"exec_": "exec"}


def info(**job):
    """
    Show the VM: definition, state, volumes, pid, addresses, memory used and limit, cpu time.

    CLI Example:

    .. code-block:: bash

        salt -C 'T@geats:minion1.web01' geats_vm.info
    """
    return __resource_funcs__["geats.call"]("info", job)


def status(**job):
    """
    Show a summary of the VM: its power, addresses, and what is unusual, in a line.

    Returns ``None`` if the VM no longer exists.

    verbose
        true: as data; all functions here that ``geats`` has with ``verbose`` take it

    CLI Example:

    .. code-block:: bash

        salt -C 'T@geats:minion1.web01' geats_vm.status
    """
    return __resource_funcs__["geats.call"]("list", job, _row)


def journal(limit=50, **job):
    """
    Show the newest steps that were applied to the VM, oldest first.

    limit (int)
        how many

    CLI Example:

    .. code-block:: bash

        salt -C 'T@geats:minion1.web01' geats_vm.journal limit=10
    """
    return __resource_funcs__["geats.call"]("journal", job, limit=limit)


def start(test=None, **job):
    """
    Power the VM on. If it is only declared, it is provisioned first.

    test (bool)
        do nothing, and return what would be done (default: the minion's ``test`` option)

    CLI Example:

    .. code-block:: bash

        salt -C 'T@geats:minion1.web01' geats_vm.start
        salt -C 'T@geats:minion1.web01' geats_vm.start test=True
    """
    return __resource_funcs__["geats.call"]("start", job, test=test)


def shutdown(test=None, **job):
    """
    Ask the guest of the VM to shut down; power off after its ``shutdown_timeout``.

    test (bool)
        do nothing, and return what would be done (default: the minion's ``test`` option)

    CLI Example:

    .. code-block:: bash

        salt -C 'T@geats:minion1.web01' geats_vm.shutdown
        salt -C 'T@geats:minion1.web01' geats_vm.shutdown test=True
    """
    return __resource_funcs__["geats.call"]("shutdown", job, test=test)


def stop(test=None, **job):
    """
    Power the VM off at once.

    test (bool)
        do nothing, and return what would be done (default: the minion's ``test`` option)

    CLI Example:

    .. code-block:: bash

        salt -C 'T@geats:minion1.web01' geats_vm.stop
        salt -C 'T@geats:minion1.web01' geats_vm.stop test=True
    """
    return __resource_funcs__["geats.call"]("stop", job, test=test)


def reboot(test=None, **job):
    """
    Shut the VM down and start it again. Pending changes take effect.

    test (bool)
        do nothing, and return what would be done (default: the minion's ``test`` option)

    CLI Example:

    .. code-block:: bash

        salt -C 'T@geats:minion1.web01' geats_vm.reboot
        salt -C 'T@geats:minion1.web01' geats_vm.reboot test=True
    """
    return __resource_funcs__["geats.call"]("reboot", job, test=test)


def freeze(test=None, **job):
    """
    Suspend every process of the running VM.

    test (bool)
        do nothing, and return what would be done (default: the minion's ``test`` option)

    CLI Example:

    .. code-block:: bash

        salt -C 'T@geats:minion1.web01' geats_vm.freeze
        salt -C 'T@geats:minion1.web01' geats_vm.freeze test=True
    """
    return __resource_funcs__["geats.call"]("freeze", job, test=test)


def unfreeze(test=None, **job):
    """
    Resume the processes of the frozen VM.

    test (bool)
        do nothing, and return what would be done (default: the minion's ``test`` option)

    CLI Example:

    .. code-block:: bash

        salt -C 'T@geats:minion1.web01' geats_vm.unfreeze
        salt -C 'T@geats:minion1.web01' geats_vm.unfreeze test=True
    """
    return __resource_funcs__["geats.call"]("unfreeze", job, test=test)


def exec_(command, user=None, cwd=None, env=None, timeout=None, **job):
    """
    Run a program in the VM, which must run, and wait for it. There is no shell.

    command, user, cwd, env, timeout
        as for ``geats.exec``, which says what is returned, too

    CLI Example:

    .. code-block:: bash

        salt -C 'T@geats:minion1.web01' geats_vm.exec 'systemctl is-active nginx'
        salt -C 'T@geats:minion1.web01' geats_vm.exec '[id, -u]' user=postgres timeout=10
    """
    return __resource_funcs__["geats.call"](
        "exec", job, command=command, user=user, cwd=cwd, env=env, timeout=timeout
    )


def wait(until=None, command=None, timeout=None, user=None, **job):
    """
    Wait until the VM is in a wanted state. If the time runs out, that is an error.

    until, command, timeout, user
        as for ``geats.wait``, which says what is returned, too

    CLI Example:

    .. code-block:: bash

        salt -C 'T@geats:minion1.web01' geats_vm.wait ip timeout=30
    """
    return __resource_funcs__["geats.call"](
        "wait", job, until=until, command=command, timeout=timeout, user=user
    )


def write_file(path, content, mode=None, owner=None, group=None, timeout=None, **job):
    """
    Write text to a file of the VM, which must run. It is never logged.

    path, content, mode, owner, group, timeout
        as for ``geats.write_file``

    CLI Example:

    .. code-block:: bash

        salt -C 'T@geats:minion1.web01' geats_vm.write_file /etc/motd 'Welcome'
    """
    return __resource_funcs__["geats.call"](
        "write_file",
        job,
        path=path,
        content=content,
        mode=mode,
        owner=owner,
        group=group,
        timeout=timeout,
    )


def read_file(path, max_size=None, timeout=None, **job):
    """
    Return the content of a regular file of the VM as text; the VM must run.

    path, max_size, timeout
        as for ``geats.read_file``

    CLI Example:

    .. code-block:: bash

        salt -C 'T@geats:minion1.web01' geats_vm.read_file /etc/os-release
    """
    return __resource_funcs__["geats.call"](
        "read_file", job, path=path, max_size=max_size, timeout=timeout
    )


def snapshot(snapshot=None, partial=False, present=False, test=None, **job):
    """
    Take a snapshot of all volumes of the VM together; if it runs, it is frozen meanwhile.

    snapshot, partial, present, test
        as for ``geats.snapshot``

    CLI Example:

    .. code-block:: bash

        salt -C 'T@geats:minion1.web01' geats_vm.snapshot
        salt -C 'T@geats:minion1.web01' geats_vm.snapshot before-upgrade test=True
    """
    return __resource_funcs__["geats.call"](
        "snapshot", job, snapshot=snapshot, partial=partial, present=present, test=test
    )


def snapshots(**job):
    """
    List the snapshots of the VM, from the oldest to the newest.

    last, hourly, daily, weekly, monthly
        rules, as for ``geats.snapshots``, which says what is returned, too

    CLI Example:

    .. code-block:: bash

        salt -C 'T@geats:minion1.web01' geats_vm.snapshots
        salt -C 'T@geats:minion1.web01' geats_vm.snapshots last=3 daily=7
    """
    return __resource_funcs__["geats.call"]("snapshots", job)


def restore(snapshot, allow_data_loss=False, partial=False, test=None, **job):
    """
    Roll the volumes of the VM back to a snapshot. If it is running, it is shut down and started
    again.

    snapshot, allow_data_loss, partial, test
        as for ``geats.restore``

    CLI Example:

    .. code-block:: bash

        salt -C 'T@geats:minion1.web01' geats_vm.restore before-upgrade allow_data_loss=True
    """
    return __resource_funcs__["geats.call"](
        "restore",
        job,
        snapshot=snapshot,
        allow_data_loss=allow_data_loss,
        partial=partial,
        test=test,
    )


def delete_snapshot(snapshot, test=None, **job):
    """
    Delete a snapshot of the VM, on all volumes. Refused if the VM is locked.

    snapshot (str)
        its name
    test (bool)
        do nothing, and return what would be done (default: the minion's ``test`` option)

    CLI Example:

    .. code-block:: bash

        salt -C 'T@geats:minion1.web01' geats_vm.delete_snapshot before-upgrade
    """
    return __resource_funcs__["geats.call"]("delete_snapshot", job, snapshot=snapshot, test=test)


def _row(listed):
    return next(iter(listed.values()), None)
