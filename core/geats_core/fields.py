"""Readers of single values out of YAML or JSON: each gives the value, or says what is wrong."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_interface
from typing import TypeAlias, TypeVar

from returns.result import Failure, Success

from geats_core.checked import Checked, Problem, gather, problem, problems_of, shown, unknown
from geats_core.spec import Address, Gateway

T = TypeVar("T")
Parser: TypeAlias = Callable[[str, object], Checked[T]]

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")
MAC = re.compile(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}")
KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
MOUNT = re.compile(r"(/[A-Za-z0-9_][A-Za-z0-9_.@+-]*)+")
DOMAIN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
ZONE = "%"  # of an IPv6 address: ipaddress takes any text after it, line breaks too
LONGEST_SOURCE = 512  # bytes: liblxc takes no line of mounts of more than 4095, escapes and all
LONGEST_HOSTNAME = 64  # HOST_NAME_MAX, see gethostname(2)
LONGEST_INT_BITS = 256
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(slots=True)
class Reader:
    """Reads the keys of one mapping, and collects every problem on the way."""

    path: str
    raw: Mapping[object, object]
    problems: list[Problem] = field(default_factory=list)
    known: set[str] = field(default_factory=set)

    def at(self, key: str) -> str:
        """The path of *key*, as problems name it."""
        return f"{self.path}.{key}" if self.path else key

    def take(self, key: str, parse: Parser[T], default: T) -> T:
        """Read *key*; where it is absent or wrong, *default* stands in (a problem is kept)."""
        self.known.add(key)
        if self.raw.get(key) is None:
            return default
        return self.keep(parse(self.at(key), self.raw[key]), default)

    def need(self, key: str, parse: Parser[T], default: T) -> T:
        """Read *key*, which must be there."""
        if self.raw.get(key) is None:
            self.problems.append(Problem(self.at(key), "is missing"))
        return self.take(key, parse, default)

    def keep(self, result: Checked[T], default: T) -> T:
        """The value of *result*; or *default*, with the problems kept."""
        match result:
            case Success(value):
                return value
            case Failure(found):
                self.problems.extend(found)
                return default

    def done(self, value: T) -> Checked[T]:
        """*value*, unless there was a problem or a key that nobody read."""
        for key in self.raw:
            if key not in self.known:
                self.problems.append(unknown(self.at(printable(key)), "key", key, self.known))
        return self.checked(value)

    def checked(self, value: T) -> Checked[T]:
        """*value*, unless there was a problem; keys that nobody read are no concern of ours."""
        return Failure(tuple(self.problems)) if self.problems else Success(value)


def printable(key: object) -> str:
    """A key of the user's as a part of a path."""
    return key if isinstance(key, str) and key.isprintable() and key else shown(key)


def mapping(path: str, raw: object) -> Checked[Mapping[object, object]]:
    """A mapping with keys and values of any kind."""
    if isinstance(raw, Mapping):
        return Success(raw)
    return problem(path, f"must be a mapping, got {shown(raw)}")


def of_mapping(parse: Callable[[Reader], Checked[T]]) -> Parser[T]:
    """Make a parser out of one that reads the keys of a mapping."""

    def parser(path: str, raw: object) -> Checked[T]:
        if not isinstance(raw, Mapping):
            return problem(path, f"must be a mapping, got {shown(raw)}")
        return parse(Reader(path, raw))

    return parser


def each(item: Parser[T]) -> Parser[tuple[T, ...]]:
    """A list of what *item* reads."""

    def parse(path: str, raw: object) -> Checked[tuple[T, ...]]:
        if not isinstance(raw, list | tuple):
            return problem(path, f"must be a list, got {shown(raw)}")
        return gather(item(f"{path}[{index}]", entry) for index, entry in enumerate(raw))

    return parse


def named(item: Parser[T]) -> Parser[Mapping[str, T]]:
    """A mapping of valid names to what *item* reads."""

    @of_mapping
    def parse(read: Reader) -> Checked[Mapping[str, T]]:
        values: dict[str, T] = {}
        for key, value in read.raw.items():
            at = read.at(printable(key))
            named_, parsed = name(at, key), item(at, value)
            read.problems += problems_of(named_, parsed)
            match named_, parsed:
                case Success(name_), Success(parsed_):
                    values[name_] = parsed_
                case _:
                    pass  # its problems are kept
        return Failure(tuple(read.problems)) if read.problems else Success(values)

    return parse


def matching(pattern: re.Pattern[str], wanted: str) -> Parser[str]:
    """Text that *pattern* matches in full; *wanted* describes it."""

    def parse(path: str, raw: object) -> Checked[str]:
        if isinstance(raw, str) and pattern.fullmatch(raw):
            return Success(raw)
        return problem(path, f"must be {wanted}, got {shown(raw)}")

    return parse


name = matching(NAME, "1 to 63 lower-case letters, digits and inner hyphens")
interface = matching(INTERFACE, "an interface name of 1 to 15 letters, digits, '.', '_' and '-'")
key_name = matching(KEY, "a name of up to 64 letters, digits and underscores")
mount = matching(MOUNT, "an absolute path of plain letters, digits and ._@+- without '.' or '..'")
domain = matching(DOMAIN, "a domain name")
sha256 = matching(SHA256, "64 lower-case hexadecimal digits")


def hostname(path: str, raw: object) -> Checked[str]:
    """A domain name that the kernel takes as a hostname."""
    if isinstance(raw, str) and len(raw) > LONGEST_HOSTNAME:
        return problem(path, f"must be of at most {LONGEST_HOSTNAME} characters, got {shown(raw)}")
    return domain(path, raw)


def mac(path: str, raw: object) -> Checked[str]:
    """A unicast MAC address; upper case is folded."""
    text = raw.lower() if isinstance(raw, str) else raw
    return matching(MAC, "a unicast MAC address such as 02:00:00:12:34:56")(path, text)


def text(path: str, raw: object) -> Checked[str]:
    """One line of printable text; YAML's numbers and booleans are written as text."""
    if isinstance(raw, float) or (isinstance(raw, int) and raw.bit_length() <= LONGEST_INT_BITS):
        return Success(str(raw))
    if isinstance(raw, str) and raw.isprintable() and len(raw) <= 4096:
        return Success(raw)
    return problem(path, f"must be one line of printable text, got {shown(raw)}")


def absolute_path(path: str, raw: object) -> Checked[str]:
    """An absolute path on the host, printable and without ``..``."""
    plain = isinstance(raw, str) and raw.startswith("/") and raw.isprintable()
    if isinstance(raw, str) and plain and ".." not in raw.split("/"):
        return Success(raw)
    return problem(path, f"must be an absolute path without '..', got {shown(raw)}")


def bind_source(path: str, raw: object) -> Checked[str]:
    """An absolute path on the host, below ``/``; needless slashes and ``.`` are taken out."""
    parts = raw.split("/") if isinstance(raw, str) else []
    plain = "/" + "/".join(part for part in parts if part not in ("", "."))
    match absolute_path(path, raw):
        case Success() if plain != "/" and len(plain.encode()) <= LONGEST_SOURCE:
            return Success(plain)
        case Success():
            wanted = f"must be a path below / of at most {LONGEST_SOURCE} bytes"
            return problem(path, f"{wanted}, got {shown(raw)}")
        case Failure() as refused:
            return refused


def boolean(path: str, raw: object) -> Checked[bool]:
    """A YAML boolean."""
    return (
        Success(raw)
        if isinstance(raw, bool)
        else problem(path, f"must be true or false, got {shown(raw)}")
    )


def positive_int(path: str, raw: object) -> Checked[int]:
    """A whole number from 1 to 2**31."""
    if isinstance(raw, int) and not isinstance(raw, bool) and 0 < raw <= 2**31:
        return Success(raw)
    return problem(path, f"must be a positive whole number, got {shown(raw)}")


def whole_number(lowest: int, highest: int) -> Parser[int]:
    """A whole number between *lowest* and *highest*, both included."""

    def parse(path: str, raw: object) -> Checked[int]:
        if isinstance(raw, int) and not isinstance(raw, bool) and lowest <= raw <= highest:
            return Success(raw)
        between = f"must be a whole number from {lowest} to {highest}"
        return problem(path, f"{between}, got {shown(raw)}")

    return parse


priority = whole_number(-1000, 1000)
delay_s = whole_number(0, 3600)


def cpus(path: str, raw: object) -> Checked[float]:
    """A number of CPUs, from 0.01 to 4096; 1.5 is one and a half."""
    if isinstance(raw, int | float) and not isinstance(raw, bool) and 0.01 <= raw <= 4096:
        return Success(float(raw))
    return problem(path, f"must be a number of CPUs from 0.01 to 4096, got {shown(raw)}")


def one_of(kind: str, choices: Iterable[T]) -> Parser[T]:
    """One of a closed set of words."""
    by_word = {str(choice): choice for choice in choices}

    def parse(path: str, raw: object) -> Checked[T]:
        if isinstance(raw, str) and raw in by_word:
            return Success(by_word[raw])
        return Failure((unknown(path, kind, raw, by_word),))

    return parse


def ip_address_with_prefix(path: str, raw: object) -> Checked[Address]:
    """An address with its prefix length, such as ``10.0.0.2/24`` or ``fd00::2/64``, and no zone."""
    if isinstance(raw, str) and "/" in raw and ZONE not in raw:
        try:
            return Success(ip_interface(raw))
        except ValueError:
            pass  # refused below, in the words of every other problem
    return problem(path, f"must be an address with prefix such as 10.0.0.2/24, got {shown(raw)}")


def ip(path: str, raw: object) -> Checked[Gateway]:
    """An address without a prefix, such as ``10.0.0.1`` or ``fd00::1``, and no zone."""
    if isinstance(raw, str) and ZONE not in raw:
        try:
            return Success(ip_address(raw))
        except ValueError:
            pass  # refused below, in the words of every other problem
    return problem(path, f"must be an address such as 10.0.0.1, got {shown(raw)}")
