"""Programs and files in a guest, by its agent: see ``agent`` for whom that trusts.

The agent runs programs as root and hands out what they said once they have ended. So a shell of the
guest does the rest: it becomes the user, keeps the beginning of each output, since no answer can be
long, and ends the program when its time is up, also if geats has ended by then. What a program
leaves in the background has the same outputs, and is waited for.
"""

import binascii
import math
import os
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from geats_core.requests.guest_requests import Command, FileToRead, FileToWrite
from geats_host.drivers import OUTPUT_BYTES, Ran
from geats_host.drivers.libvirt.guests.agent import MALFORMED, Asks
from geats_host.errors import HostError
from geats_host.streams.safe_text import last_words

SHELL = "/bin/sh"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ANSWERS_S = 10.0  # that an agent has for anything but a program
ENDED_S = 2.0  # after its time, that the guest has to end a program
SHORTEST_S, LONGEST_S = 0.01, 0.5  # between two looks at a program
WRITTEN, READ = 48 << 10, 512 << 10  # bytes of a file at once
CANNOT = "geats: "  # before the words of a script of ours
MOST_INPUT = 100 << 10  # bytes: the agent takes them in one message
# Runs what follows in a process group of its own, so that all of it can be ended.
APART = 'command -v setsid >/dev/null && exec setsid "$0" "$@"; exec "$0" "$@"'
# Arguments: the user, the directory, seconds (0: no limit), bytes of each output; the program.
RUN = """
fail() { echo "geats: $1" >&2; exit 126; }
user=$1 cwd=$2 limit=$3 most=$4 found=
shift 4
while IFS=: read -r name _ uid gid _ home _; do
    if [ "$name" = "$user" ] || [ "$uid" = "$user" ]; then found=$name; break; fi
done </etc/passwd
if [ -z "$found" ]; then
    case $user in *[!0-9]*) fail "$user: there is no such user in /etc/passwd";; esac
    uid=$user gid=$user home=/
fi
export HOME="${HOME-${home:-/}}"
[ -z "$found" ] || export USER="${USER-$found}" LOGNAME="${LOGNAME-$found}"
cd -- "$cwd" 2>/dev/null || fail "$cwd: there is no such directory"
if [ "$uid" != 0 ]; then
    command -v setpriv >/dev/null || fail "$user: there is no setpriv to become this user"
    groups=$gid
    while [ -n "$found" ] && IFS=: read -r _ _ other members; do
        case ,$members, in *,"$found",*) groups=$groups,$other;; esac
    done </etc/group
    set -- setpriv --reuid="$uid" --regid="$gid" --groups="$groups" -- "$@"
fi
[ "$limit" = 0 ] || ! command -v timeout >/dev/null || set -- timeout -s KILL "$limit" "$@"
beginning() { head -c "$most"; cat >/dev/null; }
exec 4>&1 5>&2
code=$({ { { "$@" 3>&- 4>&- 5>&- 6>&-; echo $? >&3; } 2>&6 | beginning >&4 3>&- 6>&-
} 6>&1 | beginning >&5 3>&-; } 3>&1)
exit "$code"
"""
# Arguments: the path. It says the name of the new file.
BEGIN = """
folder=${1%/*}
[ -d "${folder:-/}" ] || { echo "geats: ${folder:-/}: there is no such directory" >&2; exit 1; }
umask 077
mktemp "$folder/.geats-XXXXXX"
"""
# Arguments: the new file, the path, the mode, owner and group.
FINISH = """
[ ! -L "$2" ] || [ ! -d "$2" ] || rm -f -- "$2"  # not every mv replaces a link to a directory
chown -- "$4:$5" "$1" && chmod -- "$3" "$1" && sync && mv -fT -- "$1" "$2" && exit
code=$?
rm -f -- "$1"
exit $code
"""
REMOVE = 'rm -f -- "$1"'
# Arguments: the path. It says the size.
SIZE = """
[ -f "$1" ] || { echo "geats: $1: is not a regular file" >&2; exit 1; }
wc -c <"$1"
"""


def run(asks: Asks, command: Command) -> Ran:
    """What a program came to; a shell of the guest starts it."""
    limits = (f"{command.timeout_s}", f"{OUTPUT_BYTES + 1}")
    words = (f"{command.user}", command.cwd, *limits, *command.argv)
    ran = script(asks, RUN, words, command.timeout_s, command.env)
    if ran.code == 126 and ran.stderr.startswith(CANNOT.encode()):
        raise HostError(_said(ran))
    return ran


def stream(
    asks: Asks,
    command: Command,
    given: bytes,
    timeout_s: float | None,
    asked_to_end: Callable[[], int],
) -> Ran:
    """The same with *given* as its input; without *timeout_s*, until it ends.

    It is killed, with its process group, if *asked_to_end* is not 0 any more.
    """
    limits = (f"{math.ceil(timeout_s or 0)}", f"{OUTPUT_BYTES + 1}")
    words = (f"{command.user}", command.cwd, *limits, *command.argv)
    asked = {
        **_asked(("-c", APART, SHELL, "-c", RUN, "sh", *words), command.env),
        "input-data": b64encode(given).decode(),
    }
    began = time.monotonic()
    pid = _number(asks("guest-exec", asked, ANSWERS_S), "pid")
    deadline = math.inf if timeout_s is None else began + timeout_s + ENDED_S
    try:
        said = _ended(asks, pid, lambda: -math.inf if asked_to_end() else deadline)
    except BaseException:
        _kill(asks, pid)
        raise
    if said is None:
        return Ran(code=None)
    ran = _ran(said, is_late=timeout_s is not None and time.monotonic() >= began + timeout_s)
    if ran.code == 126 and ran.stderr.startswith(CANNOT.encode()):
        raise HostError(_said(ran))
    return ran


def write(asks: Asks, file: FileToWrite, source: int) -> None:
    """Put a file in its place, whole; whatever has its name is replaced."""
    deadline = time.monotonic() + file.timeout_s
    temporary = _done(asks, BEGIN, (file.path,)).decode(errors="replace").rstrip("\n")
    try:
        copy_in(asks, temporary, file.path, source, deadline - time.monotonic())
        owners = (f"{file.owner}", f"{file.group}")
        _done(asks, FINISH, (temporary, file.path, f"{file.mode:o}", *owners))
    except HostError:
        with suppress(HostError):  # the first trouble is the one to tell of
            _done(asks, REMOVE, (temporary,))
        raise


def copy_in(asks: Asks, there: str, path: str, source: int, timeout_s: float) -> None:
    """Copy what *source* has to the file *there*, which is to become *path*."""
    deadline = time.monotonic() + timeout_s
    with _opened(asks, there, "w") as handle:
        while chunk := os.read(source, WRITTEN):
            _check(deadline, path)
            asked = {"handle": handle, "buf-b64": b64encode(chunk).decode()}
            if _number(asks("guest-file-write", asked, ANSWERS_S), "count") != len(chunk):
                raise HostError(f"{path}: is not written: the disk of the guest is full")


def copy_out(asks: Asks, path: str, target: int, timeout_s: float, most: float = math.inf) -> None:
    """Copy a file out; ``HostError`` if it has more than *most* bytes."""
    deadline, copied, at_end = time.monotonic() + timeout_s, 0, False
    with _opened(asks, path, "r") as handle:
        while not at_end:
            _check(deadline, path)
            said = asks("guest-file-read", {"handle": handle, "count": READ}, ANSWERS_S)
            chunk, at_end = _bytes(said, "buf-b64"), _flag(said, "eof")
            copied += len(chunk)
            if copied > most:
                raise HostError(f"{path}: is larger than {most} bytes")
            _write_all(target, chunk)


def read(asks: Asks, file: FileToRead, target: int) -> None:
    """Copy a regular file out, unless it is larger than wanted."""
    deadline = time.monotonic() + file.timeout_s
    size = _done(asks, SIZE, (file.path,)).strip()
    if not size.isdigit() or int(size[:20]) > file.max_bytes:
        raise HostError(f"{file.path}: is larger than {file.max_bytes} bytes")
    copy_out(asks, file.path, target, deadline - time.monotonic(), file.max_bytes)


def _done(asks: Asks, text: str, words: Sequence[str]) -> bytes:
    """What a script of ours says, which is done at once."""
    ran = script(asks, text, words, int(ANSWERS_S), {})
    _check_done(ran)
    return ran.stdout


def said_by(ran: Ran) -> str:
    """What a script of ours said; ``HostError`` if it was not done."""
    _check_done(ran)
    return ran.stdout.decode(errors="replace")


def _check_done(ran: Ran) -> None:
    if ran.code != 0:
        raise HostError(_said(ran) or f"the guest does not do it (exit code {ran.code})")


def _said(ran: Ran) -> str:
    return last_words(ran.stderr[:1000]).removeprefix(CANNOT)


def script(
    asks: Asks, text: str, words: Sequence[str], timeout_s: int, env: Mapping[str, str]
) -> Ran:
    """What a script came to; its code is None if it had no time to end."""
    began = time.monotonic()
    asked = _asked(("-c", text, "sh", *words), env)
    pid = _number(asks("guest-exec", asked, ANSWERS_S), "pid")
    said = _ended(asks, pid, lambda: began + timeout_s + ENDED_S)
    if said is None:
        return Ran(code=None)
    return _ran(said, is_late=time.monotonic() >= began + timeout_s)


def _asked(words: Sequence[str], env: Mapping[str, str]) -> dict[str, object]:
    return {
        "path": SHELL,
        "arg": [*words],
        "env": [f"{key}={value}" for key, value in ({"PATH": PATH} | {**env}).items()],
        "capture-output": True,
    }


def _ended(asks: Asks, pid: int, deadline: Callable[[], float]) -> object:
    """What is said of a program that has ended; None if it was killed after the deadline."""
    pause_s = SHORTEST_S
    while not _flag(said := asks("guest-exec-status", {"pid": pid}, ANSWERS_S), "exited"):
        if time.monotonic() > deadline():
            _kill(asks, pid)
            return None
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, LONGEST_S)
    return said


def _ran(said: object, *, is_late: bool) -> Ran:
    out, err = (_bytes(said, key) for key in ("out-data", "err-data"))
    code = _number(said, "exitcode", 255) if _has(said, "exitcode") else None
    if code is None:
        code = 128 + _number(said, "signal", 127)
    return Ran(
        code=None if is_late and code == 137 else code,
        stdout=out[:OUTPUT_BYTES],
        stderr=err[:OUTPUT_BYTES],
        truncated=max(len(out), len(err)) > OUTPUT_BYTES,
    )


def _kill(asks: Asks, pid: int) -> None:
    """End the shell, and its group; a guest that does not do so may have done it: no error."""
    line = f"kill -s KILL -- -{pid} 2>/dev/null || kill -s KILL {pid}"
    with suppress(HostError):
        asks("guest-exec", {"path": SHELL, "arg": ["-c", line]}, ANSWERS_S)


@contextmanager
def _opened(asks: Asks, path: str, mode: str) -> Iterator[int]:
    handle = asks("guest-file-open", {"path": path, "mode": mode}, ANSWERS_S)
    if not isinstance(handle, int):
        raise HostError(f"{MALFORMED}: a handle is no number")
    try:
        yield handle
    except BaseException:
        with suppress(HostError):
            asks("guest-file-close", {"handle": handle}, ANSWERS_S)
        raise
    asks("guest-file-close", {"handle": handle}, ANSWERS_S)  # only this writes all to the disk


def _check(deadline: float, path: str) -> None:
    if time.monotonic() > deadline:
        raise HostError(f"{path}: is not copied in time")


def _write_all(target: int, chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:
        rest = rest[os.write(target, rest) :]


def _has(said: object, key: str) -> bool:
    return isinstance(said, dict) and key in said


def _number(said: object, key: str, most: int = 2**63) -> int:
    match said:
        case {**fields} if isinstance(n := fields.get(key), int) and 0 <= n <= most:
            return n
    raise HostError(f"{MALFORMED}: {key} must be a number up to {most}")


def _flag(said: object, key: str) -> bool:
    match said:
        case {**fields} if isinstance(flag := fields.get(key), bool):
            return flag
    raise HostError(f"{MALFORMED}: {key} must be true or false")


def _bytes(said: object, key: str) -> bytes:
    """What is in base64; nothing if it is not there."""
    match said:
        case {**fields} if isinstance(text := fields.get(key, ""), str):
            with suppress(binascii.Error, ValueError):
                return b64decode(text, validate=True)
    raise HostError(f"{MALFORMED}: {key} must be base64")
