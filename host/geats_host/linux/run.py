"""The one way in which geats runs other programs."""

import subprocess
from collections.abc import Container, Sequence
from typing import IO

from geats_host.errors import HostError

ENDS_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")


def run(
    argv: Sequence[str],
    *,
    timeout_s: float = 600,
    stdin: str | IO[bytes] = "",
    accepted: Container[int] = (0,),
    ends_with_us: bool = False,
    umask: int = -1,
) -> str:
    """Run *argv* (no shell) and return its output; ``HostError`` says what it complained of.

    Exit codes other than those *accepted* are failures. With *ends_with_us*, the program is killed
    with this process: a program that writes for a while must not continue beside one that repeats
    the work. *umask* is the program's, instead of this process's. *stdin* is text, or an open file
    that the program reads: how far it is, both see.
    """
    command = [*ENDS_WITH_US, *argv] if ends_with_us else argv
    try:
        done = subprocess.run(
            command,
            input=stdin if isinstance(stdin, str) else None,
            stdin=None if isinstance(stdin, str) else stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            umask=umask,
        )
    except subprocess.TimeoutExpired:
        raise HostError(f"{argv[0]} did not end within {timeout_s:g} s") from None
    except OSError as error:
        raise HostError(f"{argv[0]} cannot be run: {error.strerror}") from None
    if done.returncode not in accepted:
        said = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise HostError(f"{argv[0]} failed with exit code {done.returncode}: {said}")
    return done.stdout
