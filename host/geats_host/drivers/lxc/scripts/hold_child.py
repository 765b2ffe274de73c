"""Freezes a container for an operation, and lets it go on when the operation's process has ended.

Run as a script by ``hold``, as ``python -I -S SCRIPT PACKAGES LXCPATH NAME LOG HELD CALLER
WAY...``, where PACKAGES is where the binding is (see ``binding``). It imports nothing of geats. It
returns once the container is frozen, and leaves a process behind that nothing of the caller's takes
with it: it is in a session of its own and, by the files WAY, in the cgroups where liblxc makes its
own. That ends when the file HELD is gone or names another, when the container ends, and when the
caller does, however: then the container goes on.
"""

import os
import select
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

sys.path += sys.argv[1:2]
import lxc

LOOKS_MS = 200  # between two looks at the file
TRIES_S = 30  # liblxc has for an answer of the monitor, which may be stuck: then others repair it


def main(argv: Sequence[str]) -> int:
    """Freeze the container; 0 if that was done."""
    _, lxcpath, name, log, held, caller, *ways_out = argv
    caller_ends = os.pidfd_open(int(caller))
    if os.getppid() != int(caller):
        return 1
    container = lxc.Container(name, config_path=lxcpath)
    container.set_config_item("lxc.log.level", "ERROR")
    container.set_config_item("lxc.log.file", log)
    frozen, says = os.pipe()
    if os.fork():
        os.close(says)
        return 0 if os.read(frozen, 1) else 1
    os.close(frozen)
    signal.alarm(TRIES_S)
    guest_ends = os.pidfd_open(container.init_pid)
    _leave(ways_out)
    mine = f"{os.getpid()} {caller}\n"
    with open(held, "w", encoding="ascii") as file:
        file.write(mine)
    if container.freeze():
        _tell(says)
        signal.alarm(0)
        _wait(held, mine, caller_ends, guest_ends)
        _let_go(container, held, mine)
    else:
        os.unlink(held)
    os._exit(0)


def _leave(ways_out: Sequence[str]) -> None:
    """Leave whatever ends all of a service's processes together."""
    os.setsid()
    os.chdir("/")
    for way in ways_out:
        # In a container that is not allowed: then it stays where it is.
        with suppress(OSError), open(way, "w", encoding="ascii") as file:
            file.write("0")


def _tell(says: int) -> None:
    """Say that it is frozen, and close all that the caller may wait for the end of."""
    with suppress(BrokenPipeError):  # the caller does not wait any more, and will end
        os.write(says, b"1")
    os.close(says)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nothing, stream)


def _wait(held: str, mine: str, *ends: int) -> None:
    """Wait until the file is not *mine* any more, or something *ends*."""
    poll = select.poll()
    for each in ends:
        poll.register(each, select.POLLIN)
    while _is(held, mine) and not poll.poll(LOOKS_MS):
        pass


def _is(held: str, mine: str) -> bool:
    try:
        with open(held, encoding="ascii") as file:
            return file.read() == mine
    except FileNotFoundError:
        return False


def _let_go(container: lxc.Container, held: str, mine: str) -> None:
    if not _is(held, mine):
        return
    signal.alarm(TRIES_S)
    if container.unfreeze() or not container.running:
        os.unlink(held)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
