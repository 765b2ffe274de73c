"""What is asked of the inside of a running VM: to run a command, to write or read a file."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from returns.result import Failure, Success

from geats_core.reading.checked import Checked, gather, problem, shown
from geats_core.reading.fields import whole_number
from geats_core.reading.mappings import Options, options
from geats_core.reading.sizes import parse_size

USER = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]{0,31}\$?")  # useradd(8), and what directories have
MODE = re.compile(r"0?[0-7]{3,4}")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
LARGEST_ID = 2**32 - 2  # the one above it means "leave as it is", see chown(2)
LONGEST_S = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A program with its arguments; no shell is between. What *env* contains may be secret.

    Without *argv* it is the user's login shell, in the user's home. *user* is a name or an id of
    the guest's. *env* is added to a clean environment.
    """

    argv: tuple[str, ...]
    user: str | int = 0
    cwd: str = "/"
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout_s: int = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class FileToWrite:
    """Where in the guest a file goes, and whose it is there: names or ids of the guest's."""

    path: str
    mode: int = 0o644
    owner: str | int = 0
    group: str | int = 0
    timeout_s: int = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class FileToRead:
    """A regular file of the guest; one of more than *max_bytes* is not read."""

    path: str
    max_bytes: int = 1 << 20
    timeout_s: int = 600


def parse_command(argv: object, raw: Options) -> Checked[Command]:
    """A command: a list of words, or a line that is split as a shell splits it.

    *raw* may have ``user``, ``cwd``, ``env`` and ``timeout`` (whole seconds, a day at most).
    """
    read, default = options(raw), Command(argv=())
    return read.done(
        Command(
            argv=read.keep(command_words("command", argv), ()),
            user=read.take("user", owner, default.user),
            cwd=read.take("cwd", guest_path, default.cwd),
            env=read.take("env", environment, default.env),
            timeout_s=read.take("timeout", timeout_s, default.timeout_s),
        )
    )


def parse_file_to_write(path: object, raw: Options) -> Checked[FileToWrite]:
    """A file to write; *raw* may have ``mode``, ``owner``, ``group`` and ``timeout``."""
    read, default = options(raw), FileToWrite(path="")
    return read.done(
        FileToWrite(
            path=read.keep(_file_path("path", path), ""),
            mode=read.take("mode", _mode, default.mode),
            owner=read.take("owner", owner, default.owner),
            group=read.take("group", owner, default.group),
            timeout_s=read.take("timeout", timeout_s, default.timeout_s),
        )
    )


def parse_file_to_read(path: object, raw: Options) -> Checked[FileToRead]:
    """A file to read; *raw* may have ``max_size`` and ``timeout``."""
    read, default = options(raw), FileToRead(path="")
    return read.done(
        FileToRead(
            path=read.keep(_file_path("path", path), ""),
            max_bytes=read.take("max_size", parse_size, default.max_bytes),
            timeout_s=read.take("timeout", timeout_s, default.timeout_s),
        )
    )


timeout_s = whole_number(1, LONGEST_S)


def guest_path(path: str, raw: object) -> Checked[str]:
    """An absolute path as the guest sees it."""
    match _plain(raw):
        case str(plain) if plain.startswith("/"):
            return Success(plain)
        case _:
            return problem(path, f"must be an absolute path in the guest, got {shown(raw)}")


def owner(path: str, raw: object) -> Checked[str | int]:
    """The name of a user or group of the guest, or its id; digits are an id."""
    if isinstance(raw, str) and raw.isascii() and raw.isdigit() and len(raw) <= 10:
        raw = int(raw)
    if isinstance(raw, int) and not isinstance(raw, bool) and 0 <= raw <= LARGEST_ID:
        return Success(raw)
    if isinstance(raw, str) and USER.fullmatch(raw) and not raw.isdigit():
        return Success(raw)
    return problem(path, f"must be a name or an id from 0 to {LARGEST_ID}, got {shown(raw)}")


def command_words(path: str, raw: object) -> Checked[tuple[str, ...]]:
    """A program and its arguments; one line is split into words."""
    if isinstance(raw, str):
        try:
            raw = shlex.split(raw)
        except ValueError as error:  # its texts contain nothing of the line
            return problem(path, f"cannot be split into words: {str(error).lower()}")
    if not isinstance(raw, list | tuple):
        return problem(path, f"must be a list of words, or one line, got {shown(raw)}")
    match gather(_word(f"{path}[{index}]", word) for index, word in enumerate(raw)):
        case Success(words) if not words or not words[0]:
            return problem(path, "must begin with a program")
        case checked:
            return checked


def environment(path: str, raw: object) -> Checked[Mapping[str, str]]:
    """Variables; no problem shows a value."""
    if not isinstance(raw, Mapping):
        return problem(path, f"must be a mapping, got a {type(raw).__name__}")
    found = gather(_variable(path, key, value) for key, value in raw.items())
    match found:
        case Success(pairs):
            return Success(dict(pairs))
        case Failure() as refused:
            return refused


def _file_path(path: str, raw: object) -> Checked[str]:
    match guest_path(path, raw):
        case Success(plain) if plain.rpartition("/")[2] in ("", ".", ".."):
            return problem(path, f"must be the path of a file, got {shown(raw)}")
        case checked:
            return checked


def _word(path: str, raw: object) -> Checked[str]:
    """Any text that can be an argument; YAML's numbers are written as text."""
    plain = _plain(raw)
    if plain is None:
        return problem(path, f"must be text without zero bytes, got a {type(raw).__name__}")
    return Success(plain)


def _variable(path: str, key: object, raw: object) -> Checked[tuple[str, str]]:
    if not isinstance(key, str) or not VARIABLE.fullmatch(key):
        wanted = "a name of letters, digits and underscores"
        return problem(path, f"the key must be {wanted}, got {shown(key)}")
    match _word(f"{path}.{key}", raw):
        case Success(value):
            return Success((key, value))
        case Failure() as refused:
            return refused


def _plain(raw: object) -> str | None:
    """*raw* as an argument of a program; None for what cannot be one."""
    if isinstance(raw, float) or (isinstance(raw, int) and not isinstance(raw, bool)):
        return str(raw) if abs(raw) < 2**256 else None  # of more digits, Python may refuse
    if not isinstance(raw, str) or "\0" in raw:
        return None
    try:
        raw.encode()
    except UnicodeEncodeError:
        return None
    return raw


def _mode(path: str, raw: object) -> Checked[int]:
    """Octal digits, as of chmod; YAML in Salt reads 0644 as the number 644."""
    text = str(raw) if isinstance(raw, int) and 0 <= raw <= 7777 else raw
    if isinstance(text, str) and MODE.fullmatch(text):
        return Success(int(text, 8))
    return problem(path, f"must be octal digits such as 0644, got {shown(raw)}")
