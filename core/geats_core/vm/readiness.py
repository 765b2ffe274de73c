"""When a VM that has started is ready: what is tried in it, and for how long."""

import re
import shlex
from typing import TypeAlias, assert_never

from returns.result import Success

from geats_core.reading import fields
from geats_core.reading.checked import Checked, Problem, problem, shown
from geats_core.reading.fields import Reader, each, of_mapping
from geats_core.reading.schemas import any_of, list_of, taking, text_matching
from geats_core.reading.values import dataclass

DEFAULT_TIMEOUT_S, LONGEST_TIMEOUT_S = 60, 3600
SECONDS = {"s": 1, "m": 60, "h": 3600}
DURATION = re.compile(r"([0-9]{1,6})([smh]?)")
HTTP_PORT, LAST_PORT, OK = 80, 65_535, 200
ADDRESS = re.compile(r"(?=.)(?::([1-9][0-9]{0,4}))?(/[!-~]*)?")
KINDS = ("command", "tcp", "http")
NO_WORDS: tuple[str, ...] = ()
NO_PORT: int | None = None
NO_ADDRESS = (HTTP_PORT, "/")


@dataclass(frozen=True, slots=True)
class CommandProbe:
    """A program in the guest, which ends with 0 once the VM is ready."""

    argv: tuple[str, ...]

    def __str__(self) -> str:
        return shlex.join(self.argv)


@dataclass(frozen=True, slots=True)
class TcpProbe:
    """A port on which the guest takes connections once it is ready."""

    port: int

    def __str__(self) -> str:
        return f"tcp {self.port}"


@dataclass(frozen=True, slots=True)
class HttpProbe:
    """What a server in the guest is asked for, and the status of its answer once it is ready."""

    port: int
    path: str
    status: int = OK

    def __str__(self) -> str:
        return f"http :{self.port}{self.path}, status {self.status}"


Probe: TypeAlias = CommandProbe | TcpProbe | HttpProbe


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The VM is ready once the ``probe`` succeeds; ``timeout_s`` seconds are the longest wait."""

    probe: Probe
    timeout_s: int = DEFAULT_TIMEOUT_S

    def __str__(self) -> str:
        return f"{self.probe}, within {self.timeout_s} s"


@taking(any_of(fields.text.schema(), list_of(fields.text.schema())))
def _command(path: str, raw: object) -> Checked[tuple[str, ...]]:
    """A list of words, or a line that is split as a shell splits it."""
    words = each(fields.text)(path, _split(raw) if isinstance(raw, str) else raw)
    if words == Success(()):
        return problem(path, f"must be a program with its arguments, got {shown(raw)}")
    return words


def _split(line: str) -> object:
    try:
        return shlex.split(line)
    except ValueError:  # a quote that is not closed
        return []


_port = fields.whole_number(1, LAST_PORT)
_status = fields.whole_number(100, 599)


@taking(text_matching(ADDRESS.pattern, "a port and a path such as :80/health"))
def _http(path: str, raw: object) -> Checked[tuple[int, str]]:
    found = ADDRESS.fullmatch(raw) if isinstance(raw, str) else None
    if found is None or int(found[1] or HTTP_PORT) > LAST_PORT:
        return problem(path, f"must be a port and a path such as :80/health, got {shown(raw)}")
    return Success((int(found[1] or HTTP_PORT), found[2] or "/"))


@taking(
    any_of(
        fields.within("integer", 1, LONGEST_TIMEOUT_S),
        text_matching(DURATION.pattern, "a time such as 30s, 5m or 1h"),
    )
)
def _timeout(path: str, raw: object) -> Checked[int]:
    """A time such as ``30s`` or ``5m``; a number is of seconds."""
    found = DURATION.fullmatch(raw if isinstance(raw, str) else shown(raw))
    seconds = int(found[1]) * SECONDS[found[2] or "s"] if found else 0
    if 0 < seconds <= LONGEST_TIMEOUT_S:
        return Success(seconds)
    return problem(path, f"must be a time from 1s to 1h such as 30s or 5m, got {shown(raw)}")


@of_mapping
def parse_ready(read: Reader) -> Checked[Ready]:
    """Read one probe, ``command``, ``tcp`` or ``http`` (with ``status``), and its ``timeout``."""
    given = [kind for kind in KINDS if read.raw.get(kind) is not None]
    argv = read.take("command", _command, NO_WORDS)
    tcp = read.take("tcp", _port, NO_PORT)
    port, path = read.take("http", _http, NO_ADDRESS)
    status = read.take("status", _status, OK)
    timeout_s = read.take("timeout", _timeout, DEFAULT_TIMEOUT_S)
    if len(given) != 1:
        got = ", ".join(given) or "none of them"
        read.problems.append(Problem(read.path, f"must have one of {', '.join(KINDS)}, got {got}"))
    if "status" in read.raw and "http" not in given:
        read.problems.append(Problem(read.at("status"), "is of no use without http"))
    of_guest = CommandProbe(argv) if argv else TcpProbe(tcp) if tcp else None
    probe = of_guest or HttpProbe(port, path, status)
    return read.done(Ready(probe=probe, timeout_s=timeout_s))


def to_plain(ready: Ready) -> dict[str, object]:
    """As people write it: ``parse_ready`` gives it back."""
    return {**_plain_probe(ready.probe), "timeout": ready.timeout_s}


def _plain_probe(probe: Probe) -> dict[str, object]:
    match probe:
        case CommandProbe(argv):
            return {"command": list(argv)}
        case TcpProbe(port):
            return {"tcp": port}
        case HttpProbe(port, path, status):
            return {"http": f":{port}{path}", "status": status}
        case _:
            assert_never(probe)
