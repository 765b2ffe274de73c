"""Into a running container: each time a short-lived child attaches to it, and answers.

Theory of operation
-------------------
``attach_child`` enters the container's namespaces and cgroups through liblxc, as ``lxc-attach``
does, but with a directory to work in, the user's groups, and an environment that no list of
processes shows. Here the output is read, up to a limit, until the child ends; what the program left
in the background is not waited for. When the time is up, or this process ends in whatever way, the
pipe to the child tells it, and it kills the program with its process group. The exit code comes
through a pipe too: the system gives none to a caller that ignores SIGCHLD.

A program whose streams are the caller's has pipes as well, between which and the caller bytes are
passed on. One on a terminal has a new terminal of the guest's, whose other side comes here by a
socket; the child's own pipes then have nothing but what liblxc complains of.
"""

import json
import math
import os
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from signal import SIGHUP
from typing import Generic, Self, TypeVar

from geats_core.requests.guest_requests import Command, FileToRead, FileToWrite
from geats_core.vm.observation import Power
from geats_host.drivers import OUTPUT_BYTES, Copied, Ran, Streams, vm_files
from geats_host.drivers import file_requests as files
from geats_host.drivers.binding import Binding
from geats_host.drivers.file_requests import Answer
from geats_host.drivers.lxc import definition, folders, monitor, seen
from geats_host.drivers.lxc.definition import LOG
from geats_host.drivers.lxc.library import binding_of
from geats_host.drivers.lxc.options import Options
from geats_host.drivers.lxc.process import reasons
from geats_host.errors import HostError
from geats_host.linux import namespaces, network
from geats_host.streams import interruptions, terminal
from geats_host.streams.pipes import Captured, Passed, Source, Until, at_once, fed_from, pipe
from geats_host.streams.safe_text import last_words

SCRIPT = Path(__file__).parent / "scripts" / "attach_child.py"
LOOK_S = 1.0  # how often it is seen whether the child is there, should its pipes not tell
KILLED_WITHIN_S = 5.0
Read = TypeVar("Read", bound=Source)
LOOPBACK = ("127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Child(Generic[Read]):
    """The child: the pipe on which it is told, those on which it answers, and what else is read."""

    process: subprocess.Popen[bytes]
    told: int
    stdout: Read
    stderr: Read
    answer: Captured
    beside: list[Source] = field(default_factory=list)

    @property
    def sources(self) -> tuple[Source, ...]:
        """All that is read while it runs."""
        return self.stdout, self.stderr, self.answer, *self.beside


@dataclass(frozen=True, slots=True)
class Attaching:
    """What is asked of one container, and where its log is."""

    binding: Binding
    lxcpath: Path
    name: str
    request: Mapping[str, object]
    logged: int = 0  # bytes of the log that were there before

    @classmethod
    def to(cls, binding: Binding, lxcpath: Path, name: str, request: Mapping[str, object]) -> Self:
        """With what its log has now."""
        asked = cls(binding, lxcpath, name, request)
        return replace(asked, logged=asked.log.stat().st_size if asked.log.exists() else 0)

    @property
    def log(self) -> Path:
        """What liblxc writes to."""
        return self.lxcpath / self.name / LOG

    @property
    def argv(self) -> list[str]:
        """The child's, but for the descriptors."""
        return [*self.binding.script(SCRIPT), str(self.lxcpath), self.name, str(self.log)]


def run(options: Options, name: str, command: Command) -> Ran:
    """Run a program in a running container, in a session of its own."""
    with vm_files.host_errors(f"cannot run a program in {name}"):
        return _ran(_attaching(options, name, _to_run(command)), command.timeout_s)[0]


def stream(
    options: Options, name: str, command: Command, streams: Streams, timeout_s: float | None
) -> int | None:
    """Run a program, and pass its streams on; its exit code, None if its time was up."""
    with vm_files.host_errors(f"cannot run a program in {name}"), ExitStack() as given:
        attaching = _attaching(options, name, _to_run(command))
        stdin = None if streams.stdin is None else fed_from(streams.stdin, given)
        outlets = (partial(Passed, target=streams.stdout), partial(Passed, target=streams.stderr))
        with _child(attaching, stdin, outlets) as child:
            given.close()  # only the program reads it: who feeds it sees when that ends
            in_time = _watched(child, attaching, timeout_s)
        return _code(child.answer, attaching, in_time=in_time)


def on_terminal(
    options: Options, name: str, command: Command, streams: Streams, timeout_s: float | None
) -> int | None:
    """The same on a new terminal of the guest's, which the caller's is connected with."""
    stdin = streams.stdin or 0
    request = {**_to_run(command), "terminal": terminal.size(stdin)}
    with vm_files.host_errors(f"cannot run a program in {name}"), ExitStack() as stack:
        attaching = _attaching(options, name, request)
        ours, theirs = map(stack.enter_context, socket.socketpair())
        with _child(attaching, theirs.fileno(), (_kept, _kept)) as child:
            theirs.close()
            to = terminal.Handover(ours.fileno(), stdin, streams.stdout, stack, child.beside)
            child.beside.append(to)
            in_time = _watched(child, attaching, timeout_s, told=SIGHUP)
        return _code(child.answer, attaching, bytes(child.stderr.data), in_time=in_time)


def _to_run(command: Command) -> dict[str, object]:
    return {
        "do": "run",
        "argv": command.argv,
        "user": command.user,
        "cwd": command.cwd,
        "env": dict(command.env),
    }


def write_file(options: Options, name: str, file: FileToWrite, source: int) -> None:
    """Write a file as root of the guest does, from within its namespaces."""
    _do(options, name, files.writing(file), file.timeout_s, source)


def read_file(options: Options, name: str, file: FileToRead, target: int) -> None:
    """Read a file as root of the guest does, from within its namespaces."""
    _do(options, name, files.reading(file), file.timeout_s, target)


def pack(options: Options, name: str, path: str, target: int, timeout_s: int) -> Copied:
    """Write a directory as a stream."""
    return files.copied(_do(options, name, files.packing(path), timeout_s, target))


def unpack(options: Options, name: str, file: FileToWrite, source: int) -> Copied:
    """Write what a stream has to a directory."""
    return files.copied(_do(options, name, files.unpacking(file), file.timeout_s, source))


def connect(options: Options, name: str, port: int, timeout_s: float) -> socket.socket:
    """Connect to a port of a running container from within its network: no address is needed."""
    found = seen.statistics(options, name)
    if found.pid is None:
        raise HostError(f"{name} is not running")
    addresses = (*found.addresses, *LOOPBACK)
    with vm_files.host_errors(f"cannot enter the network of {name}"):
        return namespaces.in_network_of(
            found.pid, lambda: network.connection(addresses, port, timeout_s)
        )


def _do(
    options: Options, name: str, request: Mapping[str, object], timeout_s: int, file: int
) -> Answer:
    what = f"cannot {files.WORDS[str(request['do'])]} {request['path']} of {name}"
    with vm_files.host_errors(what):
        attaching = _attaching(options, name, request)
        ran, answer = _ran(attaching, timeout_s, file)
    if ran.code != 0:
        why = f"it took more than {timeout_s} s" if ran.code is None else last_words(ran.stderr)
        raise HostError(f"{what}: {why}")
    return answer


def _attaching(options: Options, name: str, request: Mapping[str, object]) -> Attaching:
    """Refused unless the container runs: attaching to one that is frozen does not end."""
    folder = folders.folder_of(options, name)
    power = monitor.power(str(options.path), name)
    if power is not Power.RUNNING:
        raise HostError(f"{name} is {power}")
    definition.bound_log(folder)
    return Attaching.to(binding_of(options), options.path, name, request)


def attached(
    binding: Binding, lxcpath: Path, name: str, request: Mapping[str, object], timeout_s: float
) -> Ran:
    """What *request* came to; see ``attach_child``. ``HostError`` says why nothing was done."""
    return _ran(Attaching.to(binding, lxcpath, name, request), timeout_s)[0]


def _ran(attaching: Attaching, timeout_s: float, file: int | None = None) -> tuple[Ran, Answer]:
    """The same, with all that was answered; *file* is a descriptor of the host's."""
    deadline = time.monotonic() + timeout_s
    with _child(attaching, file, (_kept, _kept)) as child:
        in_time = _read_until(child, lambda: deadline)
    said = bytes(child.stderr.data)
    ran = Ran(
        code=_code(child.answer, attaching, said, in_time=in_time),
        stdout=bytes(child.stdout.data),
        stderr=said,
        truncated=child.stdout.more or child.stderr.more,
    )
    return ran, files.answer(bytes(child.answer.data))


def _kept(pipe: int) -> Captured:
    return Captured(pipe, OUTPUT_BYTES)


def _watched(
    child: Child[Read], attaching: Attaching, timeout_s: float | None, *, told: int = 0
) -> bool:
    """Whether the program ends before its time is up.

    If this process is asked to end, so is the program, by the same signal, or by *told*.
    """
    deadline = math.inf if timeout_s is None else time.monotonic() + timeout_s
    with interruptions.passed_on(lambda number: _tell(child, f"signal {told or number}")) as came:
        ended = _read_until(child, lambda: min(deadline, came.until))
        _end(child, lambda: min(deadline, came.until))
    in_time = ended and not any(map(_is_behind, child.sources))
    if came.number and not in_time:
        sys.exit(128 + came.number)
    return in_time


def _code(
    answers: Captured, attaching: Attaching, said: bytes = b"", *, in_time: bool
) -> int | None:
    """The exit code; None if the time was up."""
    answer = files.answer(bytes(answers.data)).values
    failed, code = answer.get("failed"), answer.get("code")
    if failed is not None:
        raise HostError(last_words(str(failed)))
    if in_time and not isinstance(code, int):
        why = reasons(attaching.log, attaching.logged) or said or "liblxc does not say why"
        raise HostError(last_words(why))
    return code if in_time and isinstance(code, int) else None


@contextmanager
def _child(
    attaching: Attaching,
    file: int | None,
    outlets: tuple[Callable[[int], Read], Callable[[int], Read]],
) -> Iterator[Child[Read]]:
    """The child, told what to do; that is over when the block is."""
    with ExitStack() as ours:
        with ExitStack() as theirs:
            from_us, told = pipe(theirs, ours)
            out, err, answer = (pipe(ours, theirs) for _ in range(3))
            given = theirs.enter_context(open(os.devnull)).fileno() if file is None else file
            process = subprocess.Popen(
                [*attaching.argv, str(answer[1]), str(given)],
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
        of_stdout, of_stderr = outlets
        child = Child(process, told, of_stdout(out[0]), of_stderr(err[0]), _kept(answer[0]))
        try:
            _tell(child, json.dumps(attaching.request))
            yield child
        finally:
            _end(child)


def _end(child: Child[Read], until: Until = at_once) -> None:
    """Have it kill what it started; one that cannot is killed itself.

    What it said at last is passed on until then: by default, only what there is room for.
    """
    _tell(child, "stop")
    deadline = time.monotonic() + KILLED_WITHIN_S
    if not _read_until(child, lambda: deadline):
        child.process.kill()
    child.process.wait()
    for source in child.sources:
        source.drain(until)


def _tell(child: Child[Read], line: str) -> None:
    with suppress(BrokenPipeError):  # it has ended
        os.write(child.told, f"{line}\n".encode())


def _read_until(child: Child[Read], deadline: Callable[[], float]) -> bool:
    """Whether the child ends before the deadline; what it says is read meanwhile."""
    over: set[int] = set()
    with selectors.PollSelector() as pipes:
        while child.process.poll() is None:
            for source in child.sources:
                if source.pipe not in {*over, *pipes.get_map()}:
                    pipes.register(source.pipe, selectors.EVENT_READ, source)
            left_s = deadline() - time.monotonic()
            if left_s <= 0:
                return False
            behind = [source for source in child.sources if _is_behind(source)]
            for source in behind:
                source.read()
            for key, _ in pipes.select(0 if behind else min(left_s, LOOK_S)):
                if key.data in behind or key.data.read():
                    continue
                pipes.unregister(key.fd)
                over.add(key.fd)
                if key.data is child.answer:  # nobody holds it any more: the child has ended
                    return True
        return True


def _is_behind(source: Source) -> bool:
    """Whether what is read of it comes faster than it is taken."""
    return isinstance(source, Passed | terminal.Shown | terminal.Typed) and bool(source.rest)
