"""Whole directories of a guest, by its agent: see ``agent`` for whom that trusts.

The agent moves files. So a directory is one on the way: Python of the guest packs it to a file
there, or unpacks it from one, by the same module that containers have for that
(``drivers.lxc.scripts.tree_stream``). What comes out is a stream that the host reads as it reads
that of any guest. The file is in ``/var/tmp`` of the guest, which needs the room.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from geats_core.reading.fields import printable
from geats_core.requests.guest_requests import FileToWrite
from geats_host.drivers import Copied
from geats_host.drivers.file_requests import Answer, copied
from geats_host.drivers.libvirt.guests import programs
from geats_host.drivers.libvirt.guests.agent import MALFORMED, Asks
from geats_host.drivers.lxc.scripts import tree_stream
from geats_host.errors import HostError

LARGEST_TREE = 1 << 62  # bytes: what there is room for
NO_TREE = 3  # the exit code that says so
NEW = 'umask 077; [ -d /var/tmp ] && cd /var/tmp || cd /tmp && mktemp "$PWD/.geats-XXXXXX"'
# Arguments: the directory. It says the name of a new file, for what is on the way.
BEGIN = f"""
[ -e "$1" ] || {{ echo "geats: $1: there is no such file or directory" >&2; exit 1; }}
[ -d "$1" ] || exit {NO_TREE}
{NEW}
"""
# The same, for a directory that may be made.
BEGIN_NEW = f"""
[ -d "$(dirname -- "$1")" ] || {{ echo "geats: $1: its directory is not there" >&2; exit 1; }}
{NEW}
"""
PYTHON = """
command -v python3 >/dev/null ||
    { echo "geats: there is no python3 to copy a directory: install it" >&2; exit 1; }
python3 -I -S -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    { echo "geats: python3 is older than 3.10, and copies no directory" >&2; exit 1; }
exec python3 -I -S -c "$@"
"""
# Of Python: what the guest does with the names above it. Its arguments are the file, the directory,
# and of what is new, who owns it.
MAIN = """
def _id(wanted, table):
    if wanted.isdecimal():
        return int(wanted)
    with open(table, "rb") as lines:
        for line in lines:
            name, _, number, *_ = os.fsdecode(line).split(":")
            if name == wanted:
                return int(number)
    raise OSError(2, f"there is no {wanted} in {table}")

def _main(file, path, *owners):
    told = iter(range(100))
    def wrong(text):
        if next(told, None) is not None:
            print(json.dumps({"wrong": text}))
    if not owners:
        with open(file, "wb") as out:
            pack(os.open(path, os.O_RDONLY | os.O_DIRECTORY), out.write, wrong)
        return
    ids = (_id(owners[0], "/etc/passwd"), _id(owners[1], "/etc/group"))
    with suppress(FileExistsError):
        os.mkdir(path, 0o755)
        os.chown(path, *ids)
    top = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    with open(file, "rb") as stream:
        files, size = unpack(stream, top, ids, LARGEST, wrong)
    print(json.dumps({"files": files, "size": size}))

import sys
try:
    _main(*sys.argv[1:])
except (OSError, Malformed) as error:
    sys.exit(f"geats: {error}")
"""


def pack(asks: Asks, path: str, target: int, timeout_s: int) -> Copied:
    """Write a directory as a stream; what is none is said to be a file."""
    begun = programs.script(asks, BEGIN, (path,), int(programs.ANSWERS_S), {})
    if begun.code == NO_TREE:
        return Copied(is_tree=False)
    with _removed(asks, programs.said_by(begun)) as temporary:
        said = _python(asks, (temporary, path), timeout_s)
        try:
            programs.copy_out(asks, temporary, target, timeout_s)
        except BrokenPipeError:
            raise HostError(f"{path}: was not wanted to its end") from None
    return copied(said)


def unpack(asks: Asks, file: FileToWrite, source: int) -> Copied:
    """Write what a stream has to a directory."""
    begun = programs.script(asks, BEGIN_NEW, (file.path,), int(programs.ANSWERS_S), {})
    with _removed(asks, programs.said_by(begun)) as temporary:
        programs.copy_in(asks, temporary, file.path, source, file.timeout_s)
        words = (temporary, file.path, f"{file.owner}", f"{file.group}")
        return copied(_python(asks, words, file.timeout_s))


@cache
def _code() -> str:
    text = Path(tree_stream.__file__).read_text()
    return f"{text}\n{MAIN.replace('LARGEST', f'{LARGEST_TREE}')}"


def _python(asks: Asks, words: tuple[str, ...], timeout_s: int) -> Answer:
    """What Python of the guest says; a guest may say anything."""
    ran = programs.script(asks, PYTHON, (_code(), *words), timeout_s, {})
    if ran.code is None:
        raise HostError(f"it took more than {timeout_s} s")
    values: dict[str, object] = {}
    wrong: list[str] = []
    for line in programs.said_by(ran).splitlines():
        match _parsed(line):
            case {"wrong": str(text)}:
                wrong.append(printable(text))
            case {"files": int(files), "size": int(size)}:
                values |= {"files": files, "size": size}
            case _:
                raise HostError(f"{MALFORMED}: {printable(line[:100])}")
    return Answer(values, tuple(wrong))


def _parsed(line: str) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


@contextmanager
def _removed(asks: Asks, said: str) -> Iterator[str]:
    """The file of the guest that it *said* the name of, and that is gone at the end."""
    temporary = said.rstrip("\n")
    if not temporary.isprintable():
        raise HostError(f"{MALFORMED}: {printable(said[:100])}")
    try:
        yield temporary
    finally:
        with suppress(HostError):  # what went wrong before is the one to tell of
            programs.script(asks, programs.REMOVE, (temporary,), int(programs.ANSWERS_S), {})
