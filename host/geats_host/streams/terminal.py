"""The caller's terminal, connected with a terminal in a guest.

The guest's terminal is one of the guest's own, so that programs there find it in ``/dev/pts``. Who
opened it there hands over its other side, the master, by a socket.
"""

import os
import select
import signal
import socket
import stat
import termios
import time
import tty
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from geats_host.errors import HostError
from geats_host.streams.pipes import CHUNK, ROOM_S, Source, Until, written

MASTER = os.makedev(5, 2)  # devpts: what every master of a terminal is
LAST_WORDS_S = 1.0  # that what was said at last has to come through


@dataclass(slots=True)
class Shown:
    """What the guest's terminal says, on the caller's, which may have stalled."""

    pipe: int
    target: int
    rest: bytes = b""  # was read, and waits for room

    def read(self) -> bool:
        """Only for a moment does it wait for a terminal that has no room: see ``rest`` then."""
        if not self.rest:
            try:
                self.rest = os.read(self.pipe, CHUNK)
            except BlockingIOError:
                raise
            except OSError:  # nobody in the guest has the terminal open any more
                return False
            if not self.rest:
                return False
        self.rest = self.rest[written(self.target, self.rest) :]
        return True

    def drain(self, until: Until) -> None:
        deadline = time.monotonic() + LAST_WORDS_S
        with suppress(BlockingIOError):
            while time.monotonic() < deadline and self.read():
                if not self.rest:
                    select.select([self.pipe], [], [], LAST_WORDS_S)


@dataclass(slots=True)
class Typed:
    """What is typed on the caller's terminal, for the guest's."""

    pipe: int
    shown: Shown
    rest: bytes = b""  # was typed, and waits for a program that reads

    def read(self) -> bool:
        """Only for a moment does it wait for a program that does not read."""
        try:
            self.rest = self.rest or os.read(self.pipe, CHUNK)
            self.rest = self.rest[os.write(self.shown.pipe, self.rest) :]
        except BlockingIOError:  # the program may wait for us to read what it says
            select.select([self.shown.pipe], [self.shown.pipe], [], ROOM_S)
            with suppress(BlockingIOError):
                return self.shown.read()
        except OSError:  # one of the terminals is gone
            return False
        return True

    def drain(self, until: Until) -> None:
        self.rest = b""  # what is typed too late is for nobody


@dataclass(slots=True)
class Handover:
    """The socket by which the master comes; from then on, both terminals are connected.

    That ends with *stack*. What is read then is added to ``sources``.
    """

    pipe: int
    stdin: int
    stdout: int
    stack: ExitStack
    sources: list[Source]

    def read(self) -> bool:
        with socket.socket(fileno=os.dup(self.pipe)) as by:
            _, came, *_ = socket.recv_fds(by, 1, 1)
        for master in came:
            self.stack.callback(os.close, master)
            self._connect(master)
        return False  # it says nothing more

    def drain(self, until: Until) -> None:
        pass  # each of the sources is drained by itself

    def _connect(self, master: int) -> None:
        kind = os.fstat(master)  # sent from within the guest's namespaces: trust nothing
        if not stat.S_ISCHR(kind.st_mode) or kind.st_rdev != MASTER:
            raise HostError("the guest gives no terminal")
        os.set_blocking(master, False)
        before = termios.tcgetattr(self.stdin)
        self.stack.callback(termios.tcsetattr, self.stdin, termios.TCSADRAIN, before)
        tty.setraw(self.stdin, termios.TCSADRAIN)
        resized = signal.signal(signal.SIGWINCH, lambda *_: _fit(self.stdin, master))
        self.stack.callback(signal.signal, signal.SIGWINCH, resized)
        _fit(self.stdin, master)
        shown = Shown(master, self._apart())
        self.sources += [shown, Typed(self.stdin, shown)]

    def _apart(self) -> int:
        """The caller's terminal, opened anew: so writing does not wait, and nobody else notices."""
        if not os.isatty(self.stdout):
            return self.stdout
        how = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        try:
            opened = os.open(f"/proc/self/fd/{self.stdout}", how)
        except OSError:  # it is another user's, such as after su
            return self.stdout
        self.stack.callback(os.close, opened)
        return opened


def size(terminal: int) -> tuple[int, int]:
    """Rows and columns; a terminal that does not say so has 24 and 80."""
    try:
        rows, columns = termios.tcgetwinsize(terminal)
    except termios.error:
        rows, columns = 0, 0
    return rows or 24, columns or 80


def _fit(terminal: int, master: int) -> None:
    with suppress(termios.error):  # the guest's is gone
        termios.tcsetwinsize(master, size(terminal))
