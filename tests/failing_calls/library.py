"""The library that stands before the C library: made, preloaded, and told which call fails."""

import mmap
import os
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntFlag
from functools import cached_property
from pathlib import Path

SOURCE = Path(__file__).with_name("calls.c")
WHERE = "GEATS_TEST_CALLS"
SIZE = 4096
HEAD = struct.Struct("=IIIIIIIIq2048s1024s")  # as ``struct orders`` in calls.c
ARMED_AT, JUMP_AT = 0, 32
HANGS = 0  # instead of an errno


class Kind(IntFlag):
    """What a call does: which of them can fail depends on the error."""

    GROWS = 1  # needs room
    NAMES = 2  # changes what a read-only filesystem does not
    WRITES = 4  # to what is open already
    MOUNTS = 8
    LOOKS = 16


CHANGES = Kind.GROWS | Kind.NAMES | Kind.WRITES | Kind.MOUNTS


@dataclass(frozen=True)
class Call:
    """One that was counted."""

    number: int
    failed: bool
    program: str
    name: str
    path: str

    def __str__(self) -> str:
        return f"{self.name} {self.path} by {self.program}"


@dataclass(frozen=True)
class Calls:
    """What is told to every process that was preloaded; made in *at*, by whoever starts them."""

    at: Path

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "LD_PRELOAD": f"{self.at}/calls.so", WHERE: f"{self.at}/orders"}

    def make(self) -> None:
        """Compile the library, with no orders."""
        library = str(self.at / "calls.so")
        subprocess.run(
            ["gcc", "-O1", "-fPIC", "-shared", "-o", library, SOURCE, "-ldl"], check=True
        )
        (self.at / "orders").write_bytes(bytes(SIZE))

    @cached_property
    def _orders(self) -> mmap.mmap:
        with (self.at / "orders").open("r+b") as file:
            return mmap.mmap(file.fileno(), SIZE)

    @property
    def _log(self) -> Path:
        return self.at / "log"

    @contextmanager
    def armed(
        self,
        below: Sequence[str],
        kinds: Kind,
        error: int = HANGS,
        at: int = 0,
        *,
        lasting: bool = False,
    ) -> Iterator[None]:
        """Count calls of some kinds below some paths; number *at* fails, and maybe all after it."""
        self._log.unlink(missing_ok=True)
        paths = "".join(f"{path}\n" for path in below).encode()
        head = (1, kinds, 0, at, lasting, error, 0, 0, 0, paths, os.fsencode(self._log))
        self._orders[: HEAD.size] = HEAD.pack(*head)
        try:
            yield
        finally:
            self.disarm()

    def disarm(self) -> None:
        """From now on no call fails, and what hangs goes on."""
        self._orders[ARMED_AT : ARMED_AT + 4] = struct.pack("=I", 0)

    @contextmanager
    def jumping(self, jump_s: int) -> Iterator[None]:
        """Each time that somebody asks, the clock of the day is wrong by up to so much."""
        self._jump(jump_s)
        try:
            yield
        finally:
            self._jump(0)

    def _jump(self, jump_s: int) -> None:
        self._orders[JUMP_AT : JUMP_AT + 8] = struct.pack("=q", jump_s)

    def counted(self) -> Sequence[Call]:
        """The calls since it was armed."""
        if not self._log.exists():
            return []
        lines = self._log.read_text(errors="replace").splitlines()
        return [
            Call(int(number), failed == "1", program, name, path)
            for number, failed, program, name, path in (line.split("\t", 4) for line in lines)
        ]


def preloaded(
    at: Path, module: str, *argv: str, timeout_s: float
) -> "subprocess.CompletedProcess[str]":
    """Run a module of the tests with the library in it, which it finds by ``here``."""
    calls = Calls(at)
    calls.make()
    return subprocess.run(
        [sys.executable, "-m", module, *argv],
        env=calls.environment,
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )


def here() -> Calls:
    """The library that is in this process."""
    return Calls(Path(os.environ[WHERE]).parent)
