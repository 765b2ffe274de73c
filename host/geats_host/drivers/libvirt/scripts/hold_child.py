"""Lets a VM go on when the process that froze it for an operation has ended.

Run as a script, as ``python -I -S SCRIPT PACKAGES HELD CALLER REQUEST COMMAND...``. It imports
nothing of geats. It returns at once, and leaves a process in a session of its own, whose pid and
that of the CALLER are in the file HELD. That process ends when the file is gone or names another.
When the caller ends, however, it runs COMMAND, with the text REQUEST as its input, and removes the
file.
"""

import os
import select
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress

LOOKS_MS = 200  # between two looks at the file
TRIES_S = 60


def main(argv: Sequence[str]) -> int:
    """Leave a process that waits; 0 once it does."""
    _, held, caller, request, *command = argv
    caller_ends = os.pidfd_open(int(caller))
    if os.getppid() != int(caller):
        return 1
    waits, says = os.pipe()
    if os.fork():
        os.close(says)
        return 0 if os.read(waits, 1) else 1
    os.setsid()
    os.chdir("/")
    mine = f"{os.getpid()} {caller}\n"
    with open(held, "w", encoding="ascii") as file:
        file.write(mine)
    os.write(says, b"1")
    os.close(says)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nothing, stream)
    poll = select.poll()
    poll.register(caller_ends, select.POLLIN)
    while _is(held, mine) and not poll.poll(LOOKS_MS):
        pass
    if _is(held, mine):
        with suppress(subprocess.TimeoutExpired):  # the VM does not answer: others repair it
            subprocess.run(command, input=request, text=True, timeout=TRIES_S, check=False)
        with suppress(FileNotFoundError):
            os.unlink(held)
    return 0


def _is(held: str, mine: str) -> bool:
    try:
        with open(held, encoding="ascii") as file:
            return file.read() == mine
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
