"""Readers of single values out of YAML or JSON: each gives the value, or says what is wrong."""

import re
from collections.abc import Iterable, Mapping
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv6Address,
    IPv6Interface,
    ip_address,
    ip_interface,
)
from typing import TypeAlias, TypeVar

from returns.result import Failure, Success

from geats_core.reading.checked import Checked, problem, problems_of, shown, unknown
from geats_core.reading.mappings import Reader as Reader
from geats_core.reading.mappings import each as each
from geats_core.reading.mappings import of_mapping as of_mapping
from geats_core.reading.mappings import printable as printable
from geats_core.reading.schemas import (
    NONE,
    Described,
    any_of,
    by_name,
    schema_of,
    taking,
    text_matching,
    words,
)
from geats_core.reading.schemas import Parser as Parser
from geats_core.reading.schemas import Schema as Schema

T = TypeVar("T")
Address: TypeAlias = IPv4Interface | IPv6Interface
Gateway: TypeAlias = IPv4Address | IPv6Address

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
VM_NAME = re.compile(
    r"(?=.{1,63}$)"
    r"[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?)*"
)
INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")
OF_ALL_INTERFACES = "the kernel has settings by this name, of no interface"
NO_INTERFACES: Mapping[str, str] = {
    "lo": "each network has an interface of this name, which is its own",
    "all": OF_ALL_INTERFACES,
    "default": OF_ALL_INTERFACES,
}
NO_MOUNTS: Mapping[str, str] = {
    "/": "the root of a guest is the volume root",
    "/dev": "the devices of the guest are there, which would be hidden",
    "/proc": "the processes of the guest are there, which would be hidden",
    "/sys": "what the kernel tells the guest is there, which would be hidden",
}
MAC = re.compile(r"[0-9a-fA-F][02468aceACE](:[0-9a-fA-F]{2}){5}")
KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
MOUNT = re.compile(r"(/[A-Za-z0-9_][A-Za-z0-9_.@+-]*)+")
HOSTNAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?")
DOMAIN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
ZONE = "%"  # of an IPv6 address: ipaddress takes any text after it, line breaks too
LONGEST_SOURCE = 512  # bytes: liblxc takes no line of mounts of more than 4095, escapes and all
LONGEST_HOSTNAME = 64  # HOST_NAME_MAX, see gethostname(2)
LONGEST_INT_BITS = 256
WHOLE = re.compile(r"-?[0-9]{1,20}")
NUMBER = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?")
LONGEST_TEXT = 4096
ABSOLUTE = r"/(?!(.*/)?\.\.(/|$)).*"  # for schemas
SHA256 = re.compile(r"[0-9a-f]{64}")


@taking({"type": "object"})
def mapping(path: str, raw: object) -> Checked[Mapping[object, object]]:
    """A mapping with keys and values of any kind."""
    if isinstance(raw, Mapping):
        return Success(raw)
    return problem(path, f"must be a mapping, got {shown(raw)}")


def named(item: Parser[T], kind: Described[str] | None = None) -> Described[Mapping[str, T]]:
    """A mapping of valid names, of that *kind*, to what *item* reads."""
    key_of = kind or name

    @of_mapping
    def parse(read: Reader) -> Checked[Mapping[str, T]]:
        values: dict[str, T] = {}
        for key, value in read.raw.items():
            at = read.at(printable(key))
            named_, parsed = key_of(at, key), item(at, value)
            read.problems += problems_of(named_, parsed)
            match named_, parsed:
                case Success(name_), Success(parsed_):
                    values[name_] = parsed_
                case _:
                    pass  # its problems are kept
        return Failure(tuple(read.problems)) if read.problems else Success(values)

    return Described(parse, lambda: by_name(key_of.schema(), schema_of(item)))


def unseen(parse: Parser[T]) -> Described[T]:
    """The same for a mapping; in its place may be a secret by mistake, which is not shown."""

    def careful(path: str, raw: object) -> Checked[T]:
        if isinstance(raw, str | int | float):
            return problem(path, "must be a mapping; what it is instead is not shown")
        return parse(path, raw)

    return Described(careful, lambda: schema_of(parse))


def matching(pattern: re.Pattern[str], wanted: str) -> Described[str]:
    """Text that *pattern* matches in full; *wanted* describes it."""

    def parse(path: str, raw: object) -> Checked[str]:
        if isinstance(raw, str) and pattern.fullmatch(raw):
            return Success(raw)
        return problem(path, f"must be {wanted}, got {shown(raw)}")

    return Described(parse, lambda: text_matching(pattern.pattern, wanted))


name = matching(NAME, "1 to 63 lower-case letters, digits and inner hyphens")
_vm_name = matching(
    VM_NAME,
    "1 to 63 letters, digits, '-' and '_', in parts between dots that begin and end with a letter"
    " or digit",
)


@taking(_vm_name.schema())
def vm_name(path: str, raw: object) -> Checked[str]:
    """The name of a VM: the one rule for it."""
    if isinstance(raw, int) and not isinstance(raw, bool) and VM_NAME.fullmatch(shown(raw)):
        return problem(path, f"must be text, got {raw}: write '{raw}'")
    return _vm_name(path, raw)


_interface = matching(INTERFACE, "an interface name of 1 to 15 letters, digits, '.', '_' and '-'")
key_name = matching(KEY, "a name of up to 64 letters, digits and underscores")
_mount = matching(MOUNT, "an absolute path of plain letters, digits and ._@+- without '.' or '..'")
domain = matching(DOMAIN, "a domain name")
sha256 = matching(SHA256, "64 lower-case hexadecimal digits")


@taking({**_interface.schema(), "not": {"enum": [*NO_INTERFACES]}})
def interface(path: str, raw: object) -> Checked[str]:
    """The name of an interface; ``reserved`` says whether it means another thing."""
    return _interface(path, raw)


@taking({**_mount.schema(), "not": {"enum": [*NO_MOUNTS]}})
def mount(path: str, raw: object) -> Checked[str]:
    """Where something is mounted in a guest; ``reserved`` says whether the guest needs that."""
    return problem(path, reserved(raw, NO_MOUNTS)) if raw == "/" else _mount(path, raw)


def reserved(value: object, kept: Mapping[str, str]) -> str:
    """Why *value* cannot be, if it is one of those *kept*; else empty.

    A description that says it is refused, and one that was recorded before is read all the same.
    """
    why = kept.get(value, "") if isinstance(value, str) else ""
    return f"cannot be {value!r}: {why}" if why else ""


_hostname = matching(HOSTNAME, "a domain name")


@taking({**_hostname.schema(), "maxLength": LONGEST_HOSTNAME})
def hostname(path: str, raw: object) -> Checked[str]:
    """A name that the kernel takes as a hostname."""
    if isinstance(raw, str) and len(raw) > LONGEST_HOSTNAME:
        return problem(path, f"must be of at most {LONGEST_HOSTNAME} characters, got {shown(raw)}")
    return _hostname(path, raw)


def hostname_of(vm: str) -> str:
    """The hostname of a VM of this name that says none: DNS has no underscores (RFC 952)."""
    return vm.replace("_", "-")


def dns_name(vm: str) -> str:
    """The same as DNS has it, for which upper and lower case are one."""
    return hostname_of(vm).lower()


_mac = matching(MAC, "a unicast MAC address such as 02:00:00:12:34:56")


@taking(_mac.schema())
def mac(path: str, raw: object) -> Checked[str]:
    """A unicast MAC address; upper case is folded."""
    return _mac(path, raw.lower() if isinstance(raw, str) else raw)


@taking({"type": ["string", "number", "boolean"], "maxLength": LONGEST_TEXT})
def text(path: str, raw: object) -> Checked[str]:
    """One line of printable text; YAML's numbers and booleans are written as text."""
    if isinstance(raw, float) or (isinstance(raw, int) and raw.bit_length() <= LONGEST_INT_BITS):
        return Success(str(raw))
    if isinstance(raw, str) and raw.isprintable() and len(raw) <= LONGEST_TEXT:
        return Success(raw)
    return problem(path, f"must be one line of printable text, got {shown(raw)}")


@taking(text.schema())
def secret_text(path: str, raw: object) -> Checked[str]:
    """The same of what may be secret: it is not in the problem."""
    match text(path, raw):
        case Success(read):
            return Success(read)
        case Failure():
            got = f"a text of {len(raw)} characters" if isinstance(raw, str) else shown(raw)
            return problem(path, f"must be one line of printable text, got {got}")


@taking(text_matching(ABSOLUTE, "an absolute path without '..'"))
def absolute_path(path: str, raw: object) -> Checked[str]:
    """An absolute path on the host, printable and without ``..``."""
    plain = isinstance(raw, str) and raw.startswith("/") and raw.isprintable()
    if isinstance(raw, str) and plain and ".." not in raw.split("/"):
        return Success(raw)
    return problem(path, f"must be an absolute path without '..', got {shown(raw)}")


def normal_path(path: str) -> str:
    """A path from ``/`` on, without the slashes and dots that mean nothing."""
    return "/" + "/".join(part for part in path.split("/") if part not in ("", "."))


@taking(absolute_path.schema())
def bind_source(path: str, raw: object) -> Checked[str]:
    """An absolute path on the host, below ``/``; needless slashes and ``.`` are taken out."""
    plain = normal_path(raw) if isinstance(raw, str) else "/"
    match absolute_path(path, raw):
        case Success() if plain != "/" and len(plain.encode()) <= LONGEST_SOURCE:
            return Success(plain)
        case Success():
            wanted = f"must be a path below / of at most {LONGEST_SOURCE} bytes"
            return problem(path, f"{wanted}, got {shown(raw)}")
        case Failure() as refused:
            return refused


@taking(absolute_path.schema())
def include(path: str, raw: object) -> Checked[str]:
    """An absolute path on the host, as an include of LXC has it: without blanks at its ends."""
    match absolute_path(path, raw):
        case Success(read) if read == read.strip() and read[-1] not in "'\"":
            return Success(read)
        case Success():
            return problem(path, f"must not end with a blank or a quote, got {shown(raw)}")
        case Failure() as refused:
            return refused


@taking({"type": "boolean"})
def boolean(path: str, raw: object) -> Checked[bool]:
    """A YAML boolean."""
    return (
        Success(raw)
        if isinstance(raw, bool)
        else problem(path, f"must be true or false, got {shown(raw)}")
    )


def number(raw: object) -> int | float | None:
    """A number, also one that is written as text, as templates and command lines do; else None."""
    if isinstance(raw, str) and NUMBER.fullmatch(raw):
        return float(raw) if "." in raw else int(raw)
    return raw if isinstance(raw, int | float) and not isinstance(raw, bool) else None


def within(kind: str, lowest: float, highest: float) -> Schema:
    """A number of the *kind* ``integer`` or ``number`` between two others; or a text of one."""
    text_of = WHOLE if kind == "integer" else NUMBER
    return {
        "type": [kind, "string"],
        "minimum": lowest,
        "maximum": highest,
        "pattern": f"^({text_of.pattern})$",
    }


@taking(within("integer", 1, 2**31))
def positive_int(path: str, raw: object) -> Checked[int]:
    """A whole number from 1 to 2**31."""
    value = number(raw)
    if isinstance(value, int) and 0 < value <= 2**31:
        return Success(value)
    return problem(path, f"must be a positive whole number, got {shown(raw)}")


def whole_number(lowest: int, highest: int) -> Described[int]:
    """A whole number between *lowest* and *highest*, both included."""

    def parse(path: str, raw: object) -> Checked[int]:
        value = number(raw)
        if isinstance(value, int) and lowest <= value <= highest:
            return Success(value)
        between = f"must be a whole number from {lowest} to {highest}"
        return problem(path, f"{between}, got {shown(raw)}")

    return taking(within("integer", lowest, highest))(parse)


priority = whole_number(-1000, 1000)
delay_s = whole_number(0, 3600)


@taking(within("number", 0.01, 4096))
def cpus(path: str, raw: object) -> Checked[float]:
    """A number of CPUs, from 0.01 to 4096; 1.5 is one and a half."""
    value = number(raw)
    if value is not None and 0.01 <= value <= 4096:
        return Success(float(value))
    return problem(path, f"must be a number of CPUs from 0.01 to 4096, got {shown(raw)}")


def or_none(parse: Parser[T]) -> Described[T | None]:
    """What *parse* reads; or the word ``none``, which is how people write that there is none."""

    def read(path: str, raw: object) -> Checked[T | None]:
        return Success(None) if raw == NONE else parse(path, raw)

    return Described(read, lambda: any_of(schema_of(parse), words([NONE])))


def one_of(kind: str, choices: Iterable[T]) -> Described[T]:
    """One of a closed set of words."""
    by_word = {str(choice): choice for choice in choices}

    def parse(path: str, raw: object) -> Checked[T]:
        if isinstance(raw, str) and raw in by_word:
            return Success(by_word[raw])
        return Failure((unknown(path, kind, raw, by_word),))

    return Described(parse, lambda: words(list(by_word)))


@taking(text_matching(r"[0-9A-Fa-f:.]+/[0-9.]+", "an address with prefix such as 10.0.0.2/24"))
def ip_address_with_prefix(path: str, raw: object) -> Checked[Address]:
    """An address with its prefix length, such as ``10.0.0.2/24`` or ``fd00::2/64``, and no zone."""
    if isinstance(raw, str) and "/" in raw and ZONE not in raw:
        try:
            return Success(ip_interface(raw))
        except ValueError:
            pass  # refused below, in the words of every other problem
    return problem(path, f"must be an address with prefix such as 10.0.0.2/24, got {shown(raw)}")


@taking(text_matching(r"[0-9A-Fa-f:.]+", "an address such as 10.0.0.1"))
def ip(path: str, raw: object) -> Checked[Gateway]:
    """An address without a prefix, such as ``10.0.0.1`` or ``fd00::1``, and no zone."""
    if isinstance(raw, str) and ZONE not in raw:
        try:
            return Success(ip_address(raw))
        except ValueError:
            pass  # refused below, in the words of every other problem
    return problem(path, f"must be an address such as 10.0.0.1, got {shown(raw)}")
