"""What a program says on its pipes: kept up to a limit, or passed on as it comes."""

import os
import select
import threading
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Protocol

CHUNK = 1 << 16


class Source(Protocol):
    """What is read when there is something to read from its descriptor."""

    @property
    def pipe(self) -> int:
        """The descriptor."""
        ...

    def read(self) -> bool:
        """Take some of what there is; False at the end, ``BlockingIOError`` if there is none."""
        ...

    def drain(self) -> None:
        """Take what there is, but do not wait for more, nor read for ever."""
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

    def drain(self) -> None:
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

    def read(self) -> bool:
        data = os.read(self.pipe, CHUNK)
        try:
            write_all(self.target, data)
        except BrokenPipeError:  # nobody reads any more: the program is to see the same
            with open(os.devnull, "rb") as nothing:
                os.dup2(nothing.fileno(), self.pipe)
            return False
        return bool(data)

    def drain(self) -> None:
        with suppress(BlockingIOError):
            for _ in range(16):  # as much as a pipe has room for
                if not self.read():
                    return


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
