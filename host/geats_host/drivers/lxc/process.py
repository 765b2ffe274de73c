"""Processes of liblxc: the short-lived children that call it, and the monitors it leaves."""

import os
import re
import shutil
import signal
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypedDict

from geats_core.deciding.keeping_up import Ended
from geats_host.drivers.binding import Binding
from geats_host.drivers.lxc.definition import CONSOLE, LOG
from geats_host.errors import HostError
from geats_host.linux.processes import ended, ends_within, handle
from geats_host.locks import operation_lock

LONGEST_CONSOLE = 128 << 10  # bytes of the file, beside which there is one that is full
END = re.compile(r" - Child <[0-9]+> ended on (error|signal .*?) ?\(([0-9]+)\)\s*$", re.MULTILINE)
STARTED = ' - Started "'  # what it says of each guest, if it is told to
SIGNALLED = 128  # plus the signal, as a shell has it
SCRIPT = Path(__file__).parent / "scripts" / "child.py"


class Apart(TypedDict):
    """Arguments of ``os.posix_spawn``, as it has them."""

    file_actions: Sequence[tuple[int, int, int] | tuple[int, int, str, int, int]]
    setsid: bool
    setsigmask: Iterable[int]
    setsigdef: Iterable[int]


def starting(
    lxcpath: Path, name: str, *, telling_its_end: bool = False, console_bytes: int | None = None
) -> list[str]:
    """The command that starts the container; of its console, the newest output is kept, so many
    bytes at least, once it said as much.

    If it is *telling_its_end*, the log says how the guest ended.
    """
    log, console = lxcpath / name / LOG, lxcpath / name / CONSOLE
    level = "INFO" if telling_its_end else "ERROR"
    logged = ["-o", str(log), "-l", level, "-L", str(console)]
    bounded = [
        "-s",
        f"lxc.console.size={console_bytes or LONGEST_CONSOLE}",
        "-s",
        "lxc.console.rotate=1",
    ]
    return ["lxc-start", "-P", str(lxcpath), "-n", name, *logged, *bounded]


def starting_apart(
    binding: Binding, lxcpath: Path, name: str, writable: Sequence[str], command: Sequence[str]
) -> list[str]:
    """The *command* that starts it, with the sources of its mounts mounted for it alone.

    They are the *writable* ones, and those that its definition has read-only. This takes several
    times as long as a plain start.
    """
    script = _script(binding, "start", lxcpath, name)
    return [*script, *writable, "--", *command]


def call(
    binding: Binding, action: str, lxcpath: Path, name: str, *args: str, timeout_s: float
) -> None:
    """Have liblxc do *action*, in a process that is killed after *timeout_s* seconds."""
    run(action, [*_script(binding, action, lxcpath, name), *args], lxcpath, name, timeout_s)


def _script(binding: Binding, action: str, lxcpath: Path, name: str) -> list[str]:
    return [*binding.script(SCRIPT), action, str(lxcpath), name, str(lxcpath / name / LOG)]


def run(action: str, argv: Sequence[str], lxcpath: Path, name: str, timeout_s: float) -> None:
    """Do *action* by a command, in a process that is killed after *timeout_s* seconds."""
    log = lxcpath / name / LOG
    before = log.stat().st_size if log.exists() else 0
    # A file and not a pipe: a monitor that hangs would keep the pipe open.
    with tempfile.TemporaryFile() as said:
        apart = _inheriting_nothing(said.fileno(), operation_lock.held(name))
        child = os.posix_spawn(_program(argv[0]), [*argv], os.environ, **apart)
        if not ends_within(child, timeout_s):
            os.kill(child, signal.SIGKILL)
            _exit_code(child)
            why = reasons(log, before) or "liblxc gave no answer; its monitor may be stuck"
            raise HostError(f"{action} of {name} did not end within {timeout_s:g} s: {why}")
        if _exit_code(child) != 0:
            said.seek(0)
            text = said.read().decode(errors="replace").strip()[-2000:]
            found = reasons(log, before)
            why = "\n".join(filter(None, (_without_the_log(text) if found else text, found)))
            raise HostError(f"{action} of {name} failed: {why or 'liblxc does not say why'}")


def _program(name: str) -> str:
    """Where the program is."""
    program = shutil.which(name)
    if program is None:
        raise HostError(f"{name} is not installed (package lxc)")
    return program


def _inheriting_nothing(output: int, lock: int | None) -> Apart:
    """How to spawn a process that inherits nothing of ours: no signal ignored, no file, no session.

    With SIGCHLD ignored, liblxc never sees the guest's end. The *lock* of the operation is the one
    thing that it has too: if we are killed, the next operation waits for it. A monitor, and what
    is in a guest, has not: liblxc closes all that it does not know.
    """
    files: list[tuple[int, int, int] | tuple[int, int, str, int, int]] = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, output, 1),
        (os.POSIX_SPAWN_DUP2, output, 2),
    ]
    if lock is not None:
        files.append((os.POSIX_SPAWN_DUP2, lock, lock))  # on itself: it is not closed then
    signals = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
    return {"file_actions": files, "setsid": True, "setsigmask": (), "setsigdef": signals}


def _exit_code(child: int) -> int:
    """Of a process that has ended; 0 if it cannot be known, because the caller ignores SIGCHLD."""
    try:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    except ChildProcessError:
        return 0


def reasons(log: Path, offset: int = 0) -> str:
    """The complaint in liblxc's log from *offset* on that matters: the first, without its date and
    source file; and where the others are.

    The others say that because of it something else failed, up to "the container failed to start".
    If the first does not name what it is about, the next two are told, too.
    A line is ``lxc NAME TIME LEVEL CATEGORY - FILE:FUNCTION:LINE - TEXT`` (``src/lxc/log.c``).
    """
    if not log.exists():
        return ""
    lines = log.read_bytes()[offset:].decode(errors="replace").splitlines()
    said = [line.split(" - ", 2)[-1] for line in lines if " ERROR " in line]
    told = said[: 1 if said and '"' in said[0] else 3]
    more = f" (what followed from it is in {log})" if len(said) > len(told) else ""
    return f"{': '.join(told)}{more}"


def how_ended(log: Path) -> Ended:
    """How the guest of that log ended, if it was started *telling its end*: see ``starting``.

    liblxc says nothing of one that exited with 0, nor when it is killed itself. That a guest
    powered itself off is a SIGINT for its parent (``src/lxc/error.c``, reboot(2)).
    """
    if not log.exists():
        return Ended()
    text, at_s = log.read_text(errors="replace"), int(log.stat().st_mtime)
    told = [*END.finditer(text)]
    if not told:
        return Ended(code=0 if STARTED in text else None, at_s=at_s)
    how, number = told[-1][1], int(told[-1][2])
    by_signal = 0 if number == signal.SIGINT else SIGNALLED + number
    return Ended(code=number if how == "error" else by_signal, at_s=at_s)


def _without_the_log(text: str) -> str:
    """What a child said, without what ``lxc-start`` repeats of its log."""
    lines = text.splitlines()
    return "\n".join(line for line in lines if not line.startswith("lxc-start: "))


def parent(pid: int) -> int | None:
    """The pid of the parent: of a container's init that is its monitor."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(stat.rpartition(")")[2].split()[1])


def kill_monitors(lxcpath: Path, name: str, timeout_s: float) -> None:
    """Kill the container's monitor; init ends with it: wait for both."""
    for pid in _pids():
        with handle(pid) as process:
            if process is None or _monitored_by(pid, lxcpath) != name:
                continue
            children = _children(pid)
            signal.pidfd_send_signal(process, signal.SIGKILL)
            if not ended(process, timeout_s):
                raise HostError(f"the monitor of {name}, process {pid}, cannot be killed")
            for child in children:
                if not ends_within(child, timeout_s):
                    raise HostError(f"process {child} of {name} outlives its monitor")


def monitors(lxcpath: Path) -> Iterator[tuple[str, int]]:
    """Each container that has a monitor, which may be stuck, with the monitor's pid."""
    for pid in _pids():
        name = _monitored_by(pid, lxcpath)
        if name is not None:
            yield name, pid


def monitors_elsewhere(lxcpath: Path) -> frozenset[str]:
    """The containers whose monitor is in another network namespace, where no socket is seen."""
    here = os.readlink("/proc/self/ns/net")
    return frozenset(name for name, pid in monitors(lxcpath) if _network(pid) not in (None, here))


def is_suspended(lxcpath: Path, name: str) -> bool:
    """Whether somebody stopped the container's monitor (SIGSTOP), so that it cannot answer."""
    return any(_state(pid) == "T" for running, pid in monitors(lxcpath) if running == name)


def _state(pid: int) -> str:
    """See proc(5), ``/proc/PID/stat``; empty if the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _pids() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def _monitored_by(pid: int, lxcpath: Path) -> str | None:
    """The container below *lxcpath* whose monitor the process is, by its title.

    A process may give itself any title; but root of an unprivileged guest is not root here.
    """
    try:
        title = os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0 "))
        prefix = f"[lxc monitor] {lxcpath} "
        if title.startswith(prefix) and os.stat(f"/proc/{pid}").st_uid == 0:
            return title.removeprefix(prefix)
    except (FileNotFoundError, ProcessLookupError):
        pass  # it has ended meanwhile
    return None


def _network(pid: int) -> str | None:
    """The process's network namespace; None if the process is gone."""
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except (FileNotFoundError, ProcessLookupError):
        return None


def _children(pid: int) -> list[int]:
    """See proc(5), ``/proc/PID/task/TID/children``: for a monitor, the container's init."""
    try:
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
    except (FileNotFoundError, ProcessLookupError):
        return []
