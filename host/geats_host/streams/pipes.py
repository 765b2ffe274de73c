"""What a program says on its pipes: kept up to a limit, or passed on as it comes."""

import math
import os
import select
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Protocol

CHUNK = 1 << 16
ROOM_S = 0.1  # how long a target may have no room before something else is looked at
Until = Callable[[], float]  # when to give up, as ``time.monotonic`` tells it


def at_once() -> float:
    """As a time to give up: nobody waits."""
    return -math.inf


class Source(Protocol):
    """What is read when there is something to read from its descriptor."""

    @property
    def pipe(self) -> int:
        """The descriptor."""
        ...

    def read(self) -> bool:
        """Take some of what there is; False at the end, ``BlockingIOError`` if there is none."""
        ...

    def drain(self, until: Until) -> None:
        """Take what there is, but do not wait for more, nor read for ever.

        Whoever takes it from here may be slow, but not later than *until*.
        """
        ...


@dataclass(slots=True)
class Captured:
    """The beginning of what a pipe says, and whether it says more."""

    pipe: int
    most: int
    data: bytearray = field(default_factory=bytearray)
    more: bool = False

    def read(self) -> bool:
        data = os.read(self.pipe, CHUNK)
        room = self.most - len(self.data)
        self.data += data[:room]
        self.more |= len(data) > room
        return bool(data)

    def drain(self, until: Until) -> None:
        with suppress(BlockingIOError):
            for _ in range(self.most // CHUNK):
                if not self.read():
                    return


@dataclass(slots=True)
class Passed:
    """What a pipe says, written to a descriptor at once.

    A program gets a pipe and never the caller's own descriptor: through that it could open the
    caller's file or terminal anew.
    """

    pipe: int
    target: int
    rest: bytes = b""  # was read, and waits for room

    def read(self) -> bool:
        """Only for a moment does it wait for a target that has no room: see ``rest`` then."""
        if not self.rest:
            self.rest = os.read(self.pipe, CHUNK)
            if not self.rest:
                return False
        try:
            self.rest = self.rest[written(self.target, self.rest) :]
        except BrokenPipeError:  # nobody reads any more: the program is to see the same
            self.rest = b""
            with open(os.devnull, "rb") as nothing:
                os.dup2(nothing.fileno(), self.pipe)
            return False
        return True

    def drain(self, until: Until) -> None:
        reads = 0
        with suppress(BlockingIOError):
            while self.rest or reads < 16:  # as much as a pipe has room for
                reads += not self.rest
                if not self.read() or (self.rest and time.monotonic() >= until()):
                    return


def written(target: int, data: bytes) -> int:
    """How many bytes of it could be written without waiting for long."""
    poll, done = select.poll(), 0
    poll.register(target, select.POLLOUT)
    wait_ms = ROOM_S * 1000
    while done < len(data) and poll.poll(wait_ms):
        try:
            # With so much at once, no pipe that has room makes us wait.
            done += os.write(target, data[done : done + select.PIPE_BUF])
        except BlockingIOError:  # a terminal may have less room than it needs
            time.sleep(ROOM_S / 10)
            break
    return done


def fed_from(source: int, stack: ExitStack) -> int:
    """The reading end of a pipe that has what *source* has, until its end; closed with *stack*.

    A thread feeds it, and may wait for *source* until this process ends.
    """
    read, write = pipe(stack)
    threading.Thread(target=_feed, args=(source, write), daemon=True).start()
    return read


def _feed(source: int, target: int) -> None:
    try:
        with suppress(OSError):  # the program wants no more, or there is no more to be had
            while data := os.read(source, CHUNK):
                write_all(target, data)
    finally:
        os.close(target)


def write_all(target: int, data: bytes) -> None:
    """Write all of it, and wait if the target has no room."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(target, rest) :]
        except BlockingIOError:  # whoever made it wants no waiting, but we have nothing else to do
            select.select([], [target], [])


def pipe(reader: ExitStack, writer: ExitStack | None = None) -> tuple[int, int]:
    """The ends of a pipe, each to be closed with the stack of those who have it."""
    read, write = os.pipe()
    reader.callback(os.close, read)
    if writer is not None:
        writer.callback(os.close, write)
    return read, write
