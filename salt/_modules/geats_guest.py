"""
Work in running VMs: commands, files, the console.

Part of the module ``geats``: Salt puts the functions of all its files under that one name.

:depends: geats
"""

from typing import TYPE_CHECKING, Any

from geats_host.calls import reports
from geats_host.calls.guests import files, minions, programs, ssh, trees, waiting
from geats_host.calls.guests import logs as guest_logs
from geats_host.for_salt.calls import opened, unless

if TYPE_CHECKING:  # Salt's loader injects it
    __context__: dict[str, Any]

TIMED_OUT = 124  # as timeout(1) says it

__func_alias__ = {"exec_": "exec"}
__virtualname__ = "geats"


def __virtual__():
    return __virtualname__


def exec_(name, command, user=None, cwd=None, env=None, timeout=None):
    """
    Run a program in a running VM, and wait for it. There is no shell, and the input is empty.

    Returns a mapping: ``code`` (the exit code; 128 plus the signal number if a signal killed it;
    127 if the program is not found, 126 if it cannot be run), ``stdout`` and ``stderr`` (text;
    bytes that are not UTF-8 are replaced), ``truncated`` (True if one of them was longer than 1
    MiB; the first MiB is kept), and ``timed_out`` (then ``code`` is None). Salt exits with the same
    exit code. Programs in the background continue, and are not waited for.

    name (str)
        the VM
    command (list or str)
        the program and its arguments; a string is split as a shell splits it
    user (str or int)
        a name or an id, looked up in the VM's ``/etc/passwd`` (default: root). Its groups come from
        the VM's ``/etc/group``.
    cwd (str)
        the working directory (default: ``/``)
    env (dict)
        variables, in addition to ``PATH``, ``HOME``, ``USER``, ``LOGNAME`` and ``container``;
        nothing else is in the environment. They are neither logged nor visible in any list of
        processes of the host.
    timeout (int)
        seconds, after which the program and its process group are killed (default: 60)

    CLI Example:

    .. code-block:: bash

        salt '*' geats.exec web01 'systemctl is-active nginx'
        salt '*' geats.exec web01 '[psql, -c, select 1]' user=postgres timeout=10
    """
    options = {"user": user, "cwd": cwd, "env": env, "timeout": timeout}
    with opened() as host:
        report = reports.ran_report(programs.run_in(host, name, command, options))
    __context__["retcode"] = TIMED_OUT if report["timed_out"] else report["code"]
    return report


def push(name, source, path, mode=None, owner=None, group=None, timeout=None):
    """
    Copy a file or a directory of this host into a VM. A file is copied completely, or not at all.

    A container may be off if its root is a directory on the host; a virtual machine must run. Of a
    directory, modes, times and links are kept; the answer has ``files`` (how many) and ``wrong``
    (what was not copied, and why), and the exit code is 1 if there is any.

    A file or link of that name in the VM is replaced; the directory must exist. Links in the path
    never lead out of the VM. Returns the size in bytes.

    name (str)
        the VM
    source (str)
        the absolute path of a regular file or of a directory of this host
    path (str)
        the absolute path in the VM; if it ends with ``/``, *source* goes into that directory
    mode (str)
        octal digits, of a file (default: ``0644``)
    owner, group (str or int)
        names or ids of the VM's (default: root)
    timeout (int)
        seconds, after which it is ended (default: 600)

    CLI Example:

    .. code-block:: bash

        salt '*' geats.push web01 /srv/files/app.conf /etc/app.conf mode=0640 group=www-data
    """
    options = {"mode": mode, "owner": owner, "group": group, "timeout": timeout}
    with opened() as host:
        at, copied = trees.push(host, name, source, path, options)
    return _copied({"path": at}, copied)


def write_file(name, path, content, mode=None, owner=None, group=None, timeout=None):
    """
    Write text to a file of a VM, as :py:func:`push` does. It is never logged.

    name, path, mode, owner, group, timeout
        as for :py:func:`push`
    content (str or bytes)
        the content of the file

    CLI Example:

    .. code-block:: bash

        salt '*' geats.write_file web01 /etc/motd 'Welcome'
    """
    options = {"mode": mode, "owner": owner, "group": group, "timeout": timeout}
    with opened() as host:
        return {"path": path, "size_bytes": files.write_file(host, name, path, content, options)}


def minion_key(name):
    """
    Return the ``id``, the ``fingerprint`` and the public ``key`` of the Salt minion in a VM.

    The guest says what its key is. The private one is not read. A container may be off.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.minion_key web01
    """
    with opened() as host:
        return dict(minions.minion_key(host, name))


def pull(name, path, target, max_size=None, timeout=None):
    """
    Copy a file or a directory of a VM to this host. A file is copied completely, or not at all.

    Only root can read the copy of a file. Of a directory, modes, times and links are kept; for the
    answer see :py:func:`push`.

    name (str)
        the VM
    path (str)
        the absolute path in the VM; links never lead out of the VM
    target (str)
        the absolute path of a file on this host, which is replaced, or of a directory that it goes
        into; what this is in must exist
    max_size (int or str)
        a size such as ``5GiB``; to copy more, in all, is an error (default: 1 GiB)
    timeout (int)
        seconds, after which it is ended (default: 600)

    CLI Example:

    .. code-block:: bash

        salt '*' geats.pull web01 /var/log/syslog /srv/logs/web01.log
    """
    options = {"max_size": max_size, "timeout": timeout}
    with opened() as host:
        at, copied = trees.pull(host, name, path, target, options)
    return _copied({"target": at}, copied)


def read_file(name, path, max_size=None, timeout=None):
    """
    Return the content of a regular file of a VM as text; bytes that are not UTF-8 are
    replaced.

    name (str)
        the VM
    path (str)
        the absolute path in the VM; links never lead out of the VM
    max_size (int or str)
        a size such as ``64KiB``; a larger file is an error (default: 1 MiB)
    timeout (int)
        seconds, after which it is ended (default: 600)

    CLI Example:

    .. code-block:: bash

        salt '*' geats.read_file web01 /etc/os-release
    """
    options = {"max_size": max_size, "timeout": timeout}
    with opened() as host:
        return files.read_file(host, name, path, options).decode(errors="replace")


def wait(name, until=None, command=None, timeout=None, user=None):
    """
    Wait until a VM is in a wanted state. If the time runs out, the error says what was seen last.

    Returns a mapping: ``took_s`` (seconds), ``seen`` (what was seen last), ``until``, ``reached``.

    name (str)
        the VM
    until (str)
        ``running``; ``stopped`` (also if it is not defined); ``ip``: it has an address;
        ``ready``: programs can be run in it (in a virtual machine: its agent answers);
        ``command``: a command in it succeeds (default: ``running``, or ``command`` if one is given)
    command (list or str)
        as for :py:func:`exec`; repeated, with at most a second between, until its exit code is 0
    timeout (int)
        seconds (default: 60)
    user (str or int)
        the user who runs the command (default: root)

    CLI Example:

    .. code-block:: bash

        salt '*' geats.wait web01 ip timeout=30
        salt '*' geats.wait web01 command='systemctl is-active nginx'
    """
    options = {"timeout": timeout, "user": user}
    with opened() as host:
        waited = waiting.wait(host, name, until, command, options)
    wrong = [] if waited.reached else [waiting.told(name, waited)]
    return unless(wrong, reports.waited_report(name, waited))


def logs(name, source=None, lines=None):
    """
    Return the newest lines of a VM's logs, oldest first: mappings with ``source`` and ``line``.

    What a terminal would obey is left out or escaped.

    name (str)
        the VM
    source (str)
        ``console``; ``init``: the guest's journal or syslog; ``lxc`` or ``qemu``: what liblxc or
        QEMU said (default: all but ``init``)
    lines (int)
        how many of each (default: 50)

    CLI Example:

    .. code-block:: bash

        salt '*' geats.logs web01
        salt '*' geats.logs web01 init lines=200
    """
    with opened() as host:
        wanted = guest_logs.logs(host, name, source, {"lines": lines})
        found = []
        guest_logs.show(host, name, wanted, lambda of, line: found.append((of, line)))
    return [{"source": of, "line": line} for of, line in found]


def console_command(name):
    """
    Return the command, as a list of words, that connects a terminal of this host to a VM's console.

    CLI Example:

    .. code-block:: bash

        salt '*' geats.console_command web01
    """
    with opened() as host:
        return host.console_command(name)


def ssh_command(name, user=None, identity=None, port=None):
    """
    Return the command, as a list of words, that opens an ssh session to a VM's first address.

    If the VM has no address now, that is an error.

    name (str)
        the VM
    user (str)
        the user to log in as
    identity (str)
        the absolute path of a key
    port (int)
        the port on which ssh listens

    CLI Example:

    .. code-block:: bash

        salt '*' geats.ssh_command web01 user=admin identity=/root/.ssh/id_ed25519
    """
    options = {"user": user, "identity": identity, "port": port}
    with opened() as host:
        return ssh.ssh_command(host, name, options)


def _copied(at, copied):
    if copied.wrong:
        __context__["retcode"] = 1
    return reports.copied_report(at, copied)
