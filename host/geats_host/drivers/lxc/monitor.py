"""The command socket of a container's monitor: who runs, in which state, without ever hanging.

Theory of operation
-------------------
The monitor of a running container listens on an abstract Unix socket. A request is a C structure
``{int cmd; int datalen; void *data}`` sent together with the sender's credentials, an answer is
``{int ret; int datalen; void *data}``, where small results stand in the pointer itself (liblxc
5.0, ``src/lxc/commands.h`` and ``commands.c``; the latter says that the commands are fixed).
Nobody listens when the container is off. A monitor that is stuck accepts, but never answers; when
as many wait for it as it lets, it does not even accept.

Any user may bind the address of a container that is off. So only root's sockets count. The kernel
tells who listens: uid and pid of the process that called listen(2). For a monitor that pid is its
starter's, long gone, so that the uid alone says something.
"""

import os
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from geats_core.vm.observation import Power
from geats_host.drivers.lxc.kernel.sockets import address
from geats_host.lazy import later

if TYPE_CHECKING:
    from geats_host.drivers.lxc import process
else:
    process = later("geats_host.drivers.lxc.process")

GET_STATE = 3
GET_INIT_PID = 4
REQUEST = struct.Struct("@iiP")
ANSWER = struct.Struct("@iii4x")  # the low half of the pointer is the number
CREDENTIALS = struct.Struct("@iII")
SCM_CREDENTIALS = 2  # linux/socket.h
ROOT = 0

# enum lxc_state_t in src/lxc/state.h. One that is starting or stopping is still on.
STATES = (
    Power.STOPPED,
    Power.RUNNING,  # STARTING
    Power.RUNNING,
    Power.RUNNING,  # STOPPING
    Power.RUNNING,  # ABORTING
    Power.RUNNING,  # FREEZING
    Power.FROZEN,
    Power.RUNNING,  # THAWED
)
BATCH = 100  # sockets open at once: far below any limit of open files


class Listener(Enum):
    """Who listens at the address of a container."""

    NOBODY = auto()
    MONITOR = auto()
    FULL_MONITOR = auto()  # one that takes no more connections, so it is stuck
    STRANGER = auto()  # a process that is not root's


ON = frozenset({Listener.MONITOR, Listener.FULL_MONITOR})


def powers(lxcpath: str, names: Sequence[str], timeout_s: float = 1.0) -> Mapping[str, Power]:
    """The power of each container; all of a batch are asked at once, and share one timeout."""
    found: dict[str, Power] = {}
    for first in range(0, len(names), BATCH):
        found |= _powers(lxcpath, names[first : first + BATCH], timeout_s)
    return found


def power(lxcpath: str, name: str, timeout_s: float = 1.0) -> Power:
    """The power of one container."""
    return _powers(lxcpath, [name], timeout_s)[name]


def init_pid(lxcpath: str, name: str, timeout_s: float = 1.0) -> int | None:
    """The pid of the container's init as the host sees it; None when it is off or stuck."""
    with ExitStack() as opened:
        asked, who = _ask(opened, lxcpath, name, GET_INIT_PID, timeout_s)
        if who is not Listener.MONITOR:
            return None
        return _answer(asked, time.monotonic() + timeout_s) or None


def is_on(lxcpath: str, name: str) -> bool:
    """Whether there is a monitor: the cheapest question, which one that is stuck answers too."""
    return listener(lxcpath, name) in ON


def listener(lxcpath: str, name: str) -> Listener:
    """Who listens at the container's address."""
    with ExitStack() as opened:
        return _connect(opened, lxcpath, name, 1.0)[1]


def _powers(lxcpath: str, names: Sequence[str], timeout_s: float) -> dict[str, Power]:
    with ExitStack() as opened:
        asked = {name: _ask(opened, lxcpath, name, GET_STATE, timeout_s) for name in names}
        deadline = time.monotonic() + timeout_s
        return {name: _power(monitor, who, deadline) for name, (monitor, who) in asked.items()}


def _power(monitor: socket.socket, who: Listener, deadline: float) -> Power:
    match who:
        case Listener.NOBODY | Listener.STRANGER:
            return Power.STOPPED
        case Listener.FULL_MONITOR:
            return Power.STUCK
        case Listener.MONITOR:
            answer = _answer(monitor, deadline)
            if answer is None or not 0 <= answer < len(STATES):
                return Power.STUCK
            return STATES[answer]
        case _:
            assert_never(who)


def _connect(
    opened: ExitStack, lxcpath: str, name: str, timeout_s: float
) -> tuple[socket.socket, Listener]:
    monitor = opened.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    monitor.settimeout(timeout_s)
    try:
        monitor.connect(address(lxcpath, name))
    except ConnectionRefusedError:
        return monitor, Listener.NOBODY
    except (TimeoutError, BlockingIOError):
        # Nobody knows whose queue is full; but a monitor shows in the list of processes.
        has_monitor = any(name == running for running, _ in process.monitors(Path(lxcpath)))
        return monitor, Listener.FULL_MONITOR if has_monitor else Listener.STRANGER
    data = monitor.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    _, uid, _ = CREDENTIALS.unpack(data)
    return monitor, Listener.MONITOR if uid == ROOT else Listener.STRANGER


def _ask(
    opened: ExitStack, lxcpath: str, name: str, command: int, timeout_s: float
) -> tuple[socket.socket, Listener]:
    monitor, who = _connect(opened, lxcpath, name, timeout_s)
    if who is Listener.MONITOR:
        credentials = CREDENTIALS.pack(os.getpid(), os.geteuid(), os.getegid())
        with suppress(OSError):  # it is ending, or stuck: reading the answer tells which
            monitor.sendmsg(
                [REQUEST.pack(command, 0, 0)], [(socket.SOL_SOCKET, SCM_CREDENTIALS, credentials)]
            )
    return monitor, who


def _answer(monitor: socket.socket, deadline: float) -> int | None:
    """The number in the answer: 0 (which is STOPPED, and no pid) if the monitor hung up."""
    monitor.settimeout(max(0.001, deadline - time.monotonic()))
    try:
        data = monitor.recv(ANSWER.size, socket.MSG_WAITALL)
    except TimeoutError:
        return None
    except OSError:
        return 0
    if len(data) < ANSWER.size:
        return 0
    number: int = ANSWER.unpack(data)[2]
    return number
