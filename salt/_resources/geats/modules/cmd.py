"""
Run commands in a VM that is a Salt target, as Salt's ``cmd`` does on a minion.

These options of that module are supported; any other is refused:

cwd (str)
    the working directory in the VM (default: ``/``)
runas (str or int)
    the name or id of a user of the VM (default: root)
shell (str)
    the path in the VM of the shell that runs a line (default: ``/bin/sh``)
python_shell (bool)
    with ``False``, a line is split into words as a shell splits it, but no shell runs it; a list is
    always run in this way
env (dict)
    variables; the minion's environment is not passed on
timeout (int)
    seconds, after which the command is killed and the call is an error (default: a day)
ignore_retcode (bool)
    with ``True``, the job does not fail with the exit code of the command

There is no input. More than 1 MiB of output is an error, except for ``retcode``.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from salt.exceptions import CommandExecutionError

from geats_core.requests import salt_resources as rules
from geats_core.requests import shell_requests
from geats_host.errors import accepted
from geats_host.for_salt.errors import salts_errors

if TYPE_CHECKING:  # Salt's loader injects these
    __context__: dict[str, Any]
    __resource_funcs__: dict[str, Callable[..., Any]]


def run(cmd, **options):
    """
    Run a command in the VM; return its output and errors together.

    cmd (str or list)
        a line for a shell, or a list of a program and its arguments, without a shell; ``/bin/sh``
        must exist
    options
        as above

    CLI Example:

    .. code-block:: bash

        salt -C 'T@geats:minion1.web01' cmd.run 'uname -n'
        salt -C 'T@geats:minion1.web01' cmd.run 'ls *.conf' cwd=/etc runas=www-data
    """
    return _ran(cmd, options, lambda ran: _whole(ran)["stdout"].rstrip(), one_stream=True)


def run_stdout(cmd, **options):
    """
    Run a command in the VM; return its standard output.

    cmd, options
        as for :py:func:`run`

    CLI Example:

    .. code-block:: bash

        salt -C 'T@geats:minion1.web01' cmd.run_stdout 'uname -n'
    """
    return _ran(cmd, options, lambda ran: _whole(ran)["stdout"].rstrip())


def run_all(cmd, **options):
    """
    Run a command in the VM; return its ``retcode``, ``stdout`` and ``stderr``.

    cmd, options
        as for :py:func:`run`

    CLI Example:

    .. code-block:: bash

        salt -C 'T@geats:minion1.web01' cmd.run_all 'systemctl is-active nginx'
    """
    return _ran(cmd, options, _apart)


def retcode(cmd, **options):
    """
    Run a command in the VM; return its exit code.

    cmd, options
        as for :py:func:`run`

    CLI Example:

    .. code-block:: bash

        salt -C 'T@geats:minion1.web01' cmd.retcode 'test -f /etc/nginx/nginx.conf'
    """
    return _ran(cmd, options, lambda ran: ran["code"])


def _ran(cmd, options, tell, one_stream=False):
    """What *tell* makes of what ``geats.exec`` reports; an error if the time was up."""
    arguments = rules.arguments(options)
    wanted = _accepted(shell_requests.parse_shell_command(cmd, arguments))

    def ended(ran):
        if ran["timed_out"]:
            raise CommandExecutionError(f"timeout: killed after {wanted.timeout_s} s", info=ran)
        if wanted.ignore_retcode:
            __context__["retcode"] = 0
        return tell(ran)

    return __resource_funcs__["geats.call"](
        "exec",
        {key: value for key, value in options.items() if key not in arguments},
        ended,
        command=list(wanted.in_one_stream() if one_stream else wanted.argv),
        user=wanted.user,
        cwd=wanted.cwd,
        env=dict(wanted.env),
        timeout=wanted.timeout_s,
    )


def _whole(ran):
    """The same; an error if some of the output is lost."""
    if ran["truncated"]:
        text = f"the output is of more than 1 MiB; the command exited with {ran['code']}"
        raise CommandExecutionError(text)
    return ran


def _apart(ran):
    whole = _whole(ran)
    return {
        "retcode": whole["code"],
        "stdout": whole["stdout"].rstrip(),
        "stderr": whole["stderr"].rstrip(),
    }


def _accepted(checked):
    with salts_errors():
        return accepted(checked)
