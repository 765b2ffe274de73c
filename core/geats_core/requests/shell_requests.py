"""Commands as Salt's ``cmd`` functions take them, for the inside of a running VM."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from geats_core.reading.checked import Checked, Problem
from geats_core.reading.fields import boolean
from geats_core.reading.mappings import Options, options
from geats_core.requests.guest_requests import (
    LONGEST_S,
    command_words,
    environment,
    guest_path,
    owner,
    timeout_s,
)

SHELL = "/bin/sh"
ONE_STREAM = (SHELL, "-c", 'exec "$@" 2>&1', SHELL)  # before the words of a command


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellCommand:
    """A program with its arguments, maybe a shell. What *env* contains may be secret.

    With *ignore_retcode*, its exit code is not the job's.
    """

    argv: tuple[str, ...]
    user: str | int = 0
    cwd: str = "/"
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout_s: int = LONGEST_S
    ignore_retcode: bool = False

    def in_one_stream(self) -> tuple[str, ...]:
        """Its words, so that errors come among the output, where they were written."""
        return (*ONE_STREAM, *self.argv)


def parse_shell_command(cmd: object, raw: Options) -> Checked[ShellCommand]:
    """A line for a shell, or a list of words for none.

    *raw* may have ``cwd``, ``runas``, ``shell``, ``python_shell`` (false: a line is split into
    words, and no shell is used), ``env``, ``timeout`` (whole seconds, a day at most and by default)
    and ``ignore_retcode``.
    """
    read, default = options(raw), ShellCommand(argv=())
    shell = read.take("shell", guest_path, SHELL)
    in_shell = read.take("python_shell", boolean, isinstance(cmd, str))
    if in_shell and not isinstance(cmd, str):
        read.problems.append(Problem("cmd", "must be one line for a shell, or python_shell false"))
    words = [shell, "-c", cmd] if in_shell and isinstance(cmd, str) else cmd
    return read.done(
        ShellCommand(
            argv=read.keep(command_words("cmd", words), ()),
            user=read.take("runas", owner, default.user),
            cwd=read.take("cwd", guest_path, default.cwd),
            env=read.take("env", environment, default.env),
            timeout_s=read.take("timeout", timeout_s, default.timeout_s),
            ignore_retcode=read.take("ignore_retcode", boolean, default.ignore_retcode),
        )
    )
