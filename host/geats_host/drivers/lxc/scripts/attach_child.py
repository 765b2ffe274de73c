"""One program run, or one file written or read, inside a container: a process of its own.

It is run as a script by ``attach``, and imports nothing of geats: ``python -I -S
attach_child.py PACKAGES LXCPATH NAME LOG ANSWER FILE``. PACKAGES is where the binding is (see
``binding``). ANSWER and FILE are descriptors:

- its input is the request, one line of JSON; then lines ``signal NUMBER``, for the process group of
  what was started. When anything else comes, or the end, the caller wants no more or is gone:
  whatever was started is killed, with its process group;
- ANSWER takes lines of JSON: ``{"failed": TEXT}`` if it is not done, then ``{"code": NUMBER}``;
- FILE is the file on the host that is read, or written; the input of a program; or, if it is to
  have a terminal, the socket that takes the other side of that.

What runs in the container's namespaces is Python still, until it becomes the program. So nothing
may be imported there: it would be the guest's. There, names are looked up by reading the guest's
own ``/etc/passwd`` and ``/etc/group``; no library of the host's is asked, which would load others.
"""

import fcntl
import json
import os
import select
import signal
import socket
import stat
import sys
import termios
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.append(f"{Path(__file__).parent}")
tree_stream: Any = import_module("tree_stream")

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LARGEST_TABLE = 16 << 20  # bytes of /etc/passwd, which a guest may make as long as it likes
LARGEST_ID = 2**32 - 2
LARGEST_TREE = 2**62  # bytes: the host says what it gives
MOST_COMPLAINTS = 100
CHUNK = 1 << 20
NOT_RUN, NOT_FOUND = 126, 127  # as shells say it
SHELL = "/bin/sh"  # of a user who has none
MASTER = os.makedev(5, 2)  # devpts: what every master of a terminal is
TIOCSPTLCK, TIOCGPTPEER = 0x40045431, 0x5441  # asm-generic/ioctls.h; the latter needs no path
Request = Mapping[str, Any]


class Trouble(Exception):
    """What keeps the request from being done, in words."""


def main(argv: Sequence[str]) -> int:
    """Attach, and wait until what was asked for is done, or no more wanted."""
    packages, lxcpath, name, log, answer, file = argv
    sys.path.append(packages)
    import lxc

    with open(0, "rb", buffering=0, closefd=False) as caller:
        request = json.loads(caller.readline()) | {"answer": int(answer), "file": int(file)}
    for descriptor in (int(answer), int(file)):
        os.set_inheritable(descriptor, False)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    container = lxc.Container(name, config_path=lxcpath)
    container.set_config_item("lxc.log.level", "ERROR")
    container.set_config_item("lxc.log.file", log)
    is_input = request["do"] == "run" and not request.get("terminal")
    stdin = int(file) if is_input else os.open(os.devnull, os.O_RDWR)
    os.umask(0o022)
    pid = container.attach(inside, request, stdin=stdin, env_policy=lxc.LXC_ATTACH_KEEP_ENV)
    if pid < 0:
        return 1
    _wait(pid)
    _answer(request, code=_code(os.waitpid(pid, 0)[1]))
    return 0


def inside(request: Request) -> int:
    """In the container: do what is asked. The number is the exit code; a program has its own."""
    sys.path.clear()
    os.setsid()
    does: dict[str, Callable[[Request], int]] = {
        "run": run,
        "write": write,
        "read": read,
        "pack": pack,
        "unpack": unpack,
    }
    try:
        return does[request["do"]](request)
    except (Trouble, tree_stream.Malformed) as trouble:
        _answer(request, failed=str(trouble))
    except OSError as error:
        _answer(request, failed=f"{request.get('path', error.filename)}: {error.strerror}")
    return NOT_RUN


def run(request: Request) -> int:
    """Become the program; without one, the user's login shell."""
    uid, gid, groups, given, shell = user(request["user"])
    if request.get("terminal"):
        _take_terminal(request, uid)
    try:
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    except OSError as error:  # the guest's namespace may not have such an id
        raise Trouble(f"{request['user']}: cannot run as this user: {error.strerror}") from None
    argv, program = request["argv"], shell
    if argv:
        os.chdir(request["cwd"])
        program = argv[0]
    else:
        argv = [f"-{os.path.basename(shell)}"]  # so it knows: see bash(1), INVOCATION
        given = {**given, "SHELL": shell}
        _go_home(given["HOME"])
    env = {"container": "lxc", "PATH": PATH, **given, **request["env"]}
    for each in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(each, signal.SIG_DFL)  # Python ignores some, and so would the program
    try:
        os.execvpe(program, argv, env)
    except OSError as error:
        os.write(2, os.fsencode(f"{program}: {error.strerror}\n"))
        return NOT_FOUND if isinstance(error, FileNotFoundError | NotADirectoryError) else NOT_RUN


def _go_home(home: str) -> None:
    try:
        os.chdir(home)
    except OSError:
        os.chdir("/")


def _take_terminal(request: Request, uid: int) -> None:
    """Have a new terminal of the guest's, and hand over its other side.

    What is at ``/dev/ptmx`` is as the guest likes: only the kernel's own devices have that number.
    """
    master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    kind = os.fstat(master)
    if not stat.S_ISCHR(kind.st_mode) or kind.st_rdev != MASTER:
        raise Trouble("/dev/ptmx: is not what makes terminals")
    fcntl.ioctl(master, TIOCSPTLCK, bytes(4))
    terminal = fcntl.ioctl(master, TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    termios.tcsetwinsize(terminal, request["terminal"])
    os.fchown(terminal, uid, -1)
    with socket.socket(fileno=request["file"]) as taker:
        socket.send_fds(taker, [b"."], [master])
    os.close(master)
    os.login_tty(terminal)


def write(request: Request) -> int:
    """Put a file in its place, whole: whatever has its name is replaced, links too."""
    folder, _, name = request["path"].rpartition("/")
    owner, group = _owners(request)
    parent = os.open(folder or "/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    temporary = f".geats-{os.urandom(8).hex()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    target = os.open(temporary, flags, 0o600, dir_fd=parent)
    try:
        _copy(request["file"], target)
        os.fchown(target, owner, group)
        os.fchmod(target, request["mode"])
        os.fsync(target)
        os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=parent)
        raise
    os.fsync(parent)
    return 0


def read(request: Request) -> int:
    """Copy a regular file out, unless it is larger than wanted."""
    path, max_bytes = request["path"], request["max_bytes"]
    source = _open_regular(path)
    if os.fstat(source).st_size > max_bytes or not _copy(source, request["file"], max_bytes):
        raise Trouble(f"{path}: is larger than {max_bytes} bytes")
    return 0


def pack(request: Request) -> int:
    """Write what is below a directory as a stream; what is none is said to be a file."""
    try:
        top = os.open(request["path"], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except NotADirectoryError:
        _answer(request, kind="file")
        return 0

    def write_all(data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(request["file"], rest) :]

    tree_stream.pack(top, write_all, _complaints(request))
    return 0


def unpack(request: Request) -> int:
    """Write the tree of a stream to a directory, which is made if it is not there."""
    owners = _owners(request)
    path = request["path"]
    try:
        os.mkdir(path, 0o755)
    except FileExistsError:
        pass
    else:
        os.chown(path, *owners)
    top = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    with open(request["file"], "rb", closefd=False) as stream:
        done = tree_stream.unpack(stream, top, owners, LARGEST_TREE, _complaints(request))
    files, size = done
    _answer(request, files=files, size=size)
    return 0


def _owners(request: Request) -> tuple[int, int]:
    """Of what is new: user and group; ids of a root that is not mapped are higher."""
    shift = int(request.get("shift", 0))
    owner = identity(request["owner"], "/etc/passwd", "user")
    return owner + shift, identity(request["group"], "/etc/group", "group") + shift


def _complaints(request: Request) -> Callable[[str], None]:
    """What answers with each complaint, up to a limit."""
    told = iter(range(MOST_COMPLAINTS))
    return lambda text: _answer(request, wrong=text) if next(told, None) is not None else None


def user(wanted: str | int) -> tuple[int, int, list[int], dict[str, str], str]:
    """Ids of user, group and all groups, what tells the user about itself, and its shell.

    An id that is no user's has the group of the same number, and no other.
    """
    for fields in _table("/etc/passwd", 7):
        name, _, uid, gid, _, home, shell = fields[:7]
        if wanted == name or (isinstance(wanted, int) and str(wanted) == uid):
            member = [
                int(each[2]) for each in _table("/etc/group", 4) if name in each[3].split(",")
            ]
            groups = sorted({int(gid), *member})
            told = {"HOME": home or "/", "USER": name, "LOGNAME": name}
            return int(uid), int(gid), groups, told, shell or SHELL
    if isinstance(wanted, int):
        return wanted, wanted, [wanted], {"HOME": "/root" if wanted == 0 else "/"}, SHELL
    raise Trouble(f"{wanted}: there is no such user in /etc/passwd")


def identity(wanted: str | int, table: str, kind: str) -> int:
    """The id of a user or group."""
    if isinstance(wanted, int):
        return wanted
    found = next((int(fields[2]) for fields in _table(table, 3) if fields[0] == wanted), None)
    if found is None:
        raise Trouble(f"{wanted}: there is no such {kind} in {table}")
    return found


def _table(path: str, columns: int) -> Iterator[list[str]]:
    """The rows of such a file that are whole; see passwd(5) and group(5)."""
    try:
        source = _open_regular(path)
    except FileNotFoundError:
        return
    with open(source, "rb") as file:
        text = file.read(LARGEST_TABLE).decode(errors="replace")
    for line in text.split("\n"):
        fields = line.split(":")
        ids = fields[2:4] if path.endswith("passwd") else fields[2:3]
        if len(fields) >= columns and all(map(_is_id, ids)):
            yield fields


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= LARGEST_ID


def _open_regular(path: str) -> int:
    """A device is not even opened: in the root of a guest that is off, the host's would be."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise Trouble(f"{path}: is not a regular file")
    source = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(source).st_mode):
        raise Trouble(f"{path}: is not a regular file")
    return source


def _copy(source: int, target: int, max_bytes: int | None = None) -> bool:
    """Whether all of *source* was copied: not if it has more than *max_bytes*."""
    copied = 0
    while chunk := os.read(source, CHUNK):
        copied += len(chunk)
        if max_bytes is not None and copied > max_bytes:
            return False
        rest = memoryview(chunk)
        while rest:
            rest = rest[os.write(target, rest) :]
    return True


def _wait(pid: int) -> None:
    """Until the process ends; or until the caller does, and then it is killed."""
    process = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(process, select.POLLIN)
    poll.register(0, select.POLLIN)
    while all(descriptor != process for descriptor, _ in poll.poll()):
        lines = [line.split() for line in os.read(0, CHUNK).splitlines()]
        numbers = [int(words[1]) for words in lines if words[0] == b"signal"]
        for number in numbers:
            _signal(pid, number, os.killpg, os.kill)
        if not lines or len(numbers) < len(lines):
            _signal(pid, signal.SIGKILL, os.kill)
            _signal(pid, signal.SIGKILL, os.killpg)
            return


def _signal(pid: int, number: int, *ways: Callable[[int, int], None]) -> None:
    """By the first way that there is: the process may not have a group of its own yet."""
    for kill in ways:
        with suppress(ProcessLookupError):
            return kill(pid, number)


def _code(status: int) -> int:
    """A signal's number is shown as shells do: above 128."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _answer(request: Request, **line: object) -> None:
    os.write(request["answer"], json.dumps(line).encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
