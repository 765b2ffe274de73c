"""Into a running container: each time a short-lived child attaches to it, and answers.

Theory of operation
-------------------
``attach_child`` enters the container's namespaces and cgroups through liblxc, as ``lxc-attach``
does, but with a directory to work in, the user's groups, and an environment that no list of
processes shows. Here the output is read, up to a limit, until the child ends; what the program left
in the background is not waited for. When the time is up, or this process ends in whatever way, the
pipe to the child tells it, and it kills the program with its process group. The exit code comes
through a pipe too: the system gives none to a caller that ignores SIGCHLD.
"""

import json
import os
import selectors
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from geats_core.requests.guest_requests import Command, FileToRead, FileToWrite
from geats_core.vm.observation import Power
from geats_host.drivers import OUTPUT_BYTES, Ran, vm_files
from geats_host.drivers.binding import Binding
from geats_host.drivers.lxc import definition, folders, monitor
from geats_host.drivers.lxc.definition import LOG
from geats_host.drivers.lxc.library import binding_of
from geats_host.drivers.lxc.options import Options
from geats_host.drivers.lxc.process import reasons
from geats_host.errors import HostError

SCRIPT = Path(__file__).parent / "scripts" / "attach_child.py"
CHUNK = 1 << 16
LOOK_S = 1.0  # how often it is seen whether the child is there, should its pipes not tell
KILLED_WITHIN_S = 5.0


@dataclass(slots=True)
class Captured:
    """The beginning of what a pipe says, and whether it says more."""

    pipe: int
    data: bytearray = field(default_factory=bytearray)
    more: bool = False

    def read(self) -> bool:
        """Take some of what there is; False at the end, ``BlockingIOError`` if there is none."""
        data = os.read(self.pipe, CHUNK)
        room = OUTPUT_BYTES - len(self.data)
        self.data += data[:room]
        self.more |= len(data) > room
        return bool(data)

    def drain(self) -> None:
        """Take what the pipe contains, but do not wait for more, nor read for ever."""
        with suppress(BlockingIOError):
            for _ in range(OUTPUT_BYTES // CHUNK):
                if not self.read():
                    return


@dataclass(frozen=True, slots=True)
class Child:
    """The child: the pipe on which it is told, and those on which it answers."""

    process: subprocess.Popen[bytes]
    told: int
    stdout: Captured
    stderr: Captured
    answer: Captured


def run(options: Options, name: str, command: Command) -> Ran:
    """Run a program in a running container, in a session of its own."""
    request = {
        "do": "run",
        "argv": command.argv,
        "user": command.user,
        "cwd": command.cwd,
        "env": dict(command.env),
    }
    with vm_files.host_errors(f"cannot run a program in {name}"):
        return _attached_to(options, name, request, command.timeout_s)


def write_file(options: Options, name: str, file: FileToWrite, source: int) -> None:
    """Write a file as root of the guest does, from within its namespaces."""
    request = {
        "do": "write",
        "path": file.path,
        "mode": file.mode,
        "owner": file.owner,
        "group": file.group,
    }
    _do(options, name, request, file.timeout_s, source)


def read_file(options: Options, name: str, file: FileToRead, target: int) -> None:
    """Read a file as root of the guest does, from within its namespaces."""
    request = {"do": "read", "path": file.path, "max_bytes": file.max_bytes}
    _do(options, name, request, file.timeout_s, target)


def _do(
    options: Options, name: str, request: Mapping[str, object], timeout_s: int, file: int
) -> None:
    with vm_files.host_errors(f"cannot {request['do']} a file of {name}"):
        ran = _attached_to(options, name, request, timeout_s, file)
    if ran.code != 0:
        said = ran.stderr.decode(errors="replace").strip()[-2000:]
        why = f"it took more than {timeout_s} s" if ran.code is None else said
        raise HostError(f"cannot {request['do']} {request['path']} of {name}: {why}")


def _attached_to(
    options: Options,
    name: str,
    request: Mapping[str, object],
    timeout_s: int,
    file: int | None = None,
) -> Ran:
    folders.folder_of(options, name)
    power = monitor.power(str(options.path), name)
    if power is not Power.RUNNING:  # attaching to one that is frozen does not end
        raise HostError(f"{name} is {power}")
    definition.bound_log(folders.folder_of(options, name))
    path = options.path
    return attached(binding_of(options), path, name, request, timeout_s, file)


def attached(
    binding: Binding,
    lxcpath: Path,
    name: str,
    request: Mapping[str, object],
    timeout_s: float,
    file: int | None = None,
) -> Ran:
    """What *request* came to (see ``attach_child``); *file* is a descriptor of the host's.

    ``HostError`` says why nothing was done.
    """
    log = lxcpath / name / LOG
    before = log.stat().st_size if log.exists() else 0
    with _child([*binding.script(SCRIPT), str(lxcpath), name, str(log)], file) as child:
        _tell(child, json.dumps(request))
        in_time = _read_until(child, time.monotonic() + timeout_s)
    answer: dict[str, object] = {}
    for line in child.answer.data.splitlines():
        answer |= json.loads(line)
    failed, code = answer.get("failed"), answer.get("code")
    if failed is not None:
        raise HostError(str(failed))
    if in_time and not isinstance(code, int):
        said = child.stderr.data.decode(errors="replace").strip()[-2000:]
        raise HostError(reasons(log, before) or said or "liblxc does not say why")
    return Ran(
        code=code if in_time and isinstance(code, int) else None,
        stdout=bytes(child.stdout.data),
        stderr=bytes(child.stderr.data),
        truncated=child.stdout.more or child.stderr.more,
    )


@contextmanager
def _child(argv: Sequence[str], file: int | None) -> Iterator[Child]:
    """The child; what it does is over when the block is."""
    with ExitStack() as ours:
        with ExitStack() as theirs:
            from_us, told = _pipe(theirs, ours)
            out, err, answer = (_pipe(ours, theirs) for _ in range(3))
            given = theirs.enter_context(open(os.devnull)).fileno() if file is None else file
            process = subprocess.Popen(
                [*argv, str(answer[1]), str(given)],
                stdin=from_us,
                stdout=out[1],
                stderr=err[1],
                pass_fds=(answer[1], given),
                cwd="/",
                env={"PATH": os.environ.get("PATH", os.defpath)},
                start_new_session=True,
            )
        for read, _ in (out, err, answer):
            os.set_blocking(read, False)
        child = Child(process, told, Captured(out[0]), Captured(err[0]), Captured(answer[0]))
        try:
            yield child
        finally:
            _end(child)


def _end(child: Child) -> None:
    """Have it kill what it started; one that cannot is killed itself."""
    _tell(child, "stop")
    if not _read_until(child, time.monotonic() + KILLED_WITHIN_S):
        child.process.kill()
    child.process.wait()
    for kept in (child.stdout, child.stderr, child.answer):
        kept.drain()


def _tell(child: Child, line: str) -> None:
    with suppress(BrokenPipeError):  # it has ended
        os.write(child.told, f"{line}\n".encode())


def _read_until(child: Child, deadline: float) -> bool:
    """Whether the child ends before the deadline; what it says is read meanwhile."""
    with selectors.DefaultSelector() as pipes:
        for kept in (child.stdout, child.stderr, child.answer):
            pipes.register(kept.pipe, selectors.EVENT_READ, kept)
        while child.process.poll() is None:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return False
            for key, _ in pipes.select(min(left_s, LOOK_S)):
                kept = key.data
                if kept.read():
                    continue
                pipes.unregister(kept.pipe)
                if kept is child.answer:  # nobody holds it any more: the child has ended
                    return True
        return True


def _pipe(reader: ExitStack, writer: ExitStack) -> tuple[int, int]:
    """The ends of a pipe, each to be closed with the stack of those who have it."""
    read, write = os.pipe()
    reader.callback(os.close, read)
    writer.callback(os.close, write)
    return read, write
