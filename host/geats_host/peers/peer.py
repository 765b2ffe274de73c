"""Other hosts: what a VM is fetched from is a URL, and what is asked of them one line of JSON.

``ssh://root@host-a/web01`` is the VM web01 of a host that ssh(1) reaches: with its own keys and
configuration, and without a question to anybody. What answers there is ``geats send``, or the
words of ``?command=``. ``memory://`` names a host of this process.
"""

import json
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, BinaryIO, Protocol, TypeAlias
from urllib.parse import parse_qs, urlencode, urlsplit

from geats_host.archives.volume_archives import running
from geats_host.errors import HostError, Refused
from geats_host.peers.frames import CUT

VERSION = 2  # of what is asked; a host of another version says so
Request: TypeAlias = Mapping[str, object]
Answer: TypeAlias = Mapping[str, object]
Serve: TypeAlias = Callable[[BinaryIO, BinaryIO], None]
Stream: TypeAlias = IO[bytes]
Forwards: TypeAlias = Mapping[str, str]
NO_FORWARDS: Forwards = {}
IN_MEMORY: dict[str, Serve] = {}  # hosts of this process, by their names
DESTINATION = re.compile(r"([\w.-]+@)?(?!-)[\w.:%\[\]-]+")
SSH = ("ssh", "-o", "BatchMode=yes", "-o", "ServerAliveInterval=15")
FORWARDING = ("-o", "ExitOnForwardFailure=yes")
COMMAND = "geats send"
LONGEST_LINE = 2**24
LIKE = "must be like ssh://root@host-a/web01"


class Peer(Protocol):
    """Another host."""

    def asked(
        self, request: Request, more: bytes = b"", forwards: Forwards = NO_FORWARDS
    ) -> AbstractContextManager[tuple[Answer, Stream]]:
        """What it answers, and what it sends after that; ``Refused`` and ``HostError`` are its own.

        *more* comes after the request. *forwards* are paths of sockets there, each with that of
        the socket here that it leads to until the answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class Ssh:
    """A host that ssh reaches; ``command`` is what answers there."""

    url: str
    destination: str
    command: str = COMMAND

    @contextmanager
    def asked(
        self, request: Request, more: bytes = b"", forwards: Forwards = NO_FORWARDS
    ) -> Iterator[tuple[Answer, Stream]]:
        """Run the command there."""
        leading = [word for at, to in forwards.items() for word in ("-R", f"{at}:{to}")]
        options = [*SSH, *(FORWARDING if leading else ()), *leading, "--"]
        command = [*options, self.destination, shlex.join(shlex.split(self.command))]
        both = subprocess.PIPE
        with (
            _named(self.url),
            running(command, Path("/"), stdin=both, stdout=both) as process,
        ):
            assert process.stdin is not None
            assert process.stdout is not None
            with suppress(BrokenPipeError):  # it says why as it ends
                process.stdin.write(_line(request) + more)
                process.stdin.close()
            line = process.stdout.readline(LONGEST_LINE)
            if line:
                yield _answer(line), process.stdout
                return
        raise HostError(f"{self.url}: {CUT}")


@dataclass(frozen=True, slots=True)
class Within:
    """A host of this process."""

    url: str
    serve: Serve

    @contextmanager
    def asked(
        self, request: Request, more: bytes = b"", forwards: Forwards = NO_FORWARDS
    ) -> Iterator[tuple[Answer, Stream]]:
        """Let it serve, then read what it wrote."""
        said = BytesIO()
        self.serve(BytesIO(_line(request) + more), said)
        said.seek(0)
        with _named(self.url):
            yield _answer(said.readline()), said


def peer_of(url: str) -> tuple[Peer, str]:
    """The host that *url* names, and the VM there; ``Refused`` if it names none."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise Refused(f"source: {LIKE}, got {url!r}: {error}") from None
    vm, command = parts.path.removeprefix("/"), parse_qs(parts.query).get("command", [COMMAND])[0]
    if parts.scheme == "memory" and parts.netloc in IN_MEMORY:
        return Within(url, IN_MEMORY[parts.netloc]), vm
    if parts.scheme != "ssh" or not DESTINATION.fullmatch(parts.netloc):
        raise Refused(f"source: {LIKE}, got {url!r}")
    return Ssh(url, f"ssh://{parts.netloc}", command), vm


def url_of(via: str, vm: str, command: str = COMMAND) -> str:
    """The URL of a VM on the host *via*, which is like ``ssh://root@host-a``."""
    said = "" if command == COMMAND else f"?{urlencode({'command': command})}"
    return f"{via.rstrip('/')}/{vm}{said}"


def _line(request: Request) -> bytes:
    return json.dumps({"version": VERSION, **request}).encode() + b"\n"


def _answer(line: bytes) -> Answer:
    if not line.endswith(b"\n"):
        raise HostError(CUT)
    try:
        answer = json.loads(line)
    except (ValueError, RecursionError):
        answer = None
    match answer:
        case {"refused": [*problems]}:
            raise Refused(*map(str, problems))
        case {"failed": str(why)}:
            raise HostError(why)
        case dict():
            return answer
        case _:
            raise HostError("what answers there is no geats")


@contextmanager
def _named(url: str) -> Iterator[None]:
    """Say of what goes wrong there which host it is of."""
    try:
        yield
    except Refused as refused:
        raise Refused(*(f"{url}: {each}" for each in refused.problems)) from None
    except HostError as error:
        raise HostError(f"{url}: {error}") from None
