"""Children that call libvirt: each answers requests, one at a time, as long as there are any.

Theory of operation
-------------------
To start a Python and import libvirt takes longer than most of what is asked. So a child that has
answered is kept for the next request, for a moment. One that does not answer in time is killed,
and with it nothing but that request: no child has two. If all of a few children are at work, a
request waits for one of them, and if that takes too long gets another: one that hangs keeps nobody.

A child ends when its input does, in the midst of whatever it does, and so with this process. What
a process that was forked has of the children of another, it lets go of.
"""

import os
import selectors
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Condition
from typing import IO

from geats_host.errors import HostError

AT_ONCE = os.cpu_count() or 1  # more only take time from each other, unless one waits or hangs
KEPT_S = 3.0  # a child ends by itself a while later: see ``scripts.libvirt_calls``
PATIENCE_S = 0.5
AT_MOST_BYTES = 65_536


@dataclass(slots=True)
class Child:
    """One process."""

    process: subprocess.Popen[bytes]
    errors: IO[bytes]
    since_s: float = 0.0

    @classmethod
    def of(cls, argv: Sequence[str]) -> "Child":
        """Start one."""
        errors = tempfile.TemporaryFile()  # noqa: SIM115 (it is closed with the child)
        pipe = subprocess.PIPE
        try:
            process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=errors, bufsize=0)
        except OSError as error:
            errors.close()
            raise HostError(f"{argv[0]} cannot be run: {error.strerror}") from None
        for stream in (process.stdin, process.stdout):
            os.set_blocking(_number(stream), False)
        return cls(process, errors)

    def ask(self, request: str, until_s: float) -> str | None:
        """The line that it answers; None if it did not until then."""
        to_write, said = memoryview(f"{request}\n".encode()), bytearray()
        tells, hears = _number(self.process.stdout), _number(self.process.stdin)
        with selectors.DefaultSelector() as waiting:
            waiting.register(tells, selectors.EVENT_READ)
            waiting.register(hears, selectors.EVENT_WRITE)
            while (left_s := until_s - time.monotonic()) > 0:
                for key, _ in waiting.select(left_s):
                    if key.fd == hears:
                        to_write = to_write[self._write(hears, to_write) :]
                        if not to_write:
                            waiting.unregister(hears)
                    elif piece := os.read(tells, AT_MOST_BYTES):
                        said += piece
                    else:
                        raise HostError(self._why_it_ended())
                if said.endswith(b"\n"):
                    return said.decode(errors="replace")
        return None

    def _write(self, hears: int, text: memoryview) -> int:
        try:
            return os.write(hears, text[:AT_MOST_BYTES])
        except BrokenPipeError:
            raise HostError(self._why_it_ended()) from None

    def _why_it_ended(self) -> str:
        code = self.process.wait()
        self.errors.seek(0)
        said = self.errors.read().decode(errors="replace").strip()[-2000:]
        return f"the child that calls libvirt failed with exit code {code}: {said}"

    def is_there(self) -> bool:
        """Whether it can be asked something more."""
        is_young = time.monotonic() - self.since_s < KEPT_S
        return is_young and self.process.poll() is None

    def end(self) -> None:
        """End it, whatever it does."""
        self.process.kill()
        self.process.wait()
        self.let_go()

    def let_go(self) -> None:
        """Close all that this process has of it."""
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            if stream is not None:
                stream.close()


@dataclass(slots=True)
class Children:
    """Those that are started in one way."""

    argv: tuple[str, ...]
    idle: list[Child] = field(default_factory=list)
    at_work: int = 0
    changed: Condition = field(default_factory=Condition)

    def ask(self, request: str, timeout_s: float, *, waits: bool = True) -> str:
        """The answer of a child; ``HostError`` if there is none in time.

        Unless it *waits*, it never does for a child that is at work: it takes long itself.
        """
        until_s = time.monotonic() + timeout_s
        child = self._taken(min(PATIENCE_S, timeout_s) if waits else 0.0)
        answer = None
        try:
            answer = child.ask(request, until_s)
        finally:
            self._put_back(child, is_sound=answer is not None)
        if answer is None:
            raise HostError(f"{self.argv[0]} did not end within {timeout_s:g} s")
        return answer

    def end_idle(self) -> None:
        """End all that nobody asks."""
        with self.changed:
            idle, self.idle = self.idle, []
        for child in idle:
            child.end()

    def _taken(self, patience_s: float) -> Child:
        with self.changed:
            self.changed.wait_for(lambda: self.idle or self.at_work < AT_ONCE, patience_s)
            self.at_work += 1
            old = [child for child in self.idle if not child.is_there()]
            self.idle = [child for child in self.idle if child not in old]
            found = self.idle.pop() if self.idle else None
        for child in old:
            child.end()
        if found is not None:
            return found
        try:
            return Child.of(self.argv)
        except HostError:
            self._is_done()
            raise

    def _put_back(self, child: Child, *, is_sound: bool) -> None:
        if is_sound:
            child.since_s = time.monotonic()
        else:
            child.end()
        self._is_done(child if is_sound else None)

    def _is_done(self, child: Child | None = None) -> None:
        with self.changed:
            self.at_work -= 1
            self.idle += [] if child is None else [child]
            self.changed.notify()


_OF_ALL: dict[tuple[str, ...], Children] = {}


def children_of(argv: Sequence[str]) -> Children:
    """Those of this process that are started like that."""
    return _OF_ALL.setdefault(tuple(argv), Children(tuple(argv)))


def end_all() -> None:
    """End all that nobody asks now."""
    for each in [*_OF_ALL.values()]:
        each.end_idle()


def _let_go_of_all() -> None:
    """In a process that was forked: they are of another."""
    for children in _OF_ALL.values():
        for child in children.idle:
            child.let_go()
    _OF_ALL.clear()


def _number(stream: IO[bytes] | None) -> int:
    if stream is None:
        raise AssertionError("each has pipes")
    return stream.fileno()


os.register_at_fork(after_in_child=_let_go_of_all)
