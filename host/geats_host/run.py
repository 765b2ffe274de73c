"""The one way in which geats runs other programs."""

import subprocess
from collections.abc import Sequence

from geats_host.errors import HostError


def run(argv: Sequence[str], *, timeout_s: float = 600, stdin: str = "") -> str:
    """Run *argv* (no shell) and return its output; ``HostError`` says what it complained of."""
    try:
        done = subprocess.run(
            argv, input=stdin, capture_output=True, text=True, errors="replace", timeout=timeout_s
        )
    except subprocess.TimeoutExpired:
        raise HostError(f"{argv[0]} did not end within {timeout_s:g} s") from None
    except OSError as error:
        raise HostError(f"{argv[0]} cannot be run: {error.strerror}") from None
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise HostError(f"{argv[0]} failed with exit code {done.returncode}: {said}")
    return done.stdout
