"""A host whose adapters fail, or whose process dies, at one chosen call: before it, or after it.

Actions are made of such calls, so that a fault between two calls cuts an action half-way.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from threading import Lock
from typing import TypeVar

from geats_host.errors import HostError
from geats_host.host import Host
from geats_host.plugins.opened import Opened

T = TypeVar("T")
LOOKING = frozenset(
    {
        *(
            "observe",
            "definitions",
            "locked",
            "unreadable",
            "outdated",
            "notes",
            "journal",
            "kept_open",
            "read_at_once",
        ),
        *("path", "bridges", "info", "config_text", "cannot_read"),
    }
)


class Moment(Enum):
    """When it strikes: before the call has done anything, or once it has done everything."""

    BEFORE = auto()
    AFTER = auto()


class Manner(Enum):
    """A call that fails is reported; a process that dies does nothing at all any more."""

    FAILS = auto()
    DIES = auto()


class Killed(BaseException):
    """The process is dead: no code of geats may catch this."""


@dataclass(slots=True)
class Fault:
    """Strikes at the call number ``at``, from 1; 0 is never, and then ``calls`` are counted."""

    at: int = 0
    moment: Moment = Moment.BEFORE
    manner: Manner = Manner.FAILS
    calls: int = 0
    dead: bool = False
    lock: Lock = field(default_factory=Lock, repr=False)

    def host(self, host: Host) -> Host:
        """*host*, with this fault in it."""
        return replace(
            host,
            registry=faulty(host.registry, self),
            drivers=Opened.of(
                "driver", {name: faulty(driver, self) for name, driver in host.drivers.items()}
            ),
            pools=Opened.of(
                "pool", {name: faulty(pool, self) for name, pool in host.pools.items()}
            ),
        )

    def call(self, work: Callable[[], object]) -> object:
        """Do *work*, unless it is struck."""
        with self.lock:
            if self.dead:
                raise Killed
            self.calls += 1
            struck = self.calls == self.at
        if struck and self.moment is Moment.BEFORE:
            self._strike()
        done = work()
        if struck:
            self._strike()
        return done

    def _strike(self) -> None:
        if self.manner is Manner.FAILS:
            raise HostError("a fault was put here")
        self.dead = True
        raise Killed


class _Faulty:
    """Stands for an adapter; what only looks at the host is never struck."""

    def __init__(self, real: object, fault: Fault) -> None:
        self._real = real
        self._fault = fault

    def __getattr__(self, name: str) -> object:
        value = getattr(self._real, name)
        if name in LOOKING or not callable(value):
            return value
        return lambda *args, **keys: self._fault.call(lambda: value(*args, **keys))


def faulty(real: T, fault: Fault) -> T:
    """What answers to every name of *real*, and says so to whoever asks for a Protocol.

    From Python 3.12 on, ``isinstance`` looks at the class, and asks no ``__getattr__``.
    """
    names = [name for name in dir(real) if not name.startswith("_")]
    stands_for = {name: _answer(name) for name in names}
    return type("Faulty", (_Faulty,), stands_for)(real, fault)  # type: ignore[no-any-return]


def _answer(name: str) -> property:
    return property(lambda faulty: _Faulty.__getattr__(faulty, name))
