"""What a host may promise its VMs, and what to do with VMs that nobody declared or named."""

import re
from collections.abc import Mapping
from enum import StrEnum
from fnmatch import fnmatchcase

from returns.result import Failure, Success

from geats_core.declared.keep import Keep, parse_keep
from geats_core.reading import fields
from geats_core.reading.checked import Checked, problem, problems_of, shown
from geats_core.reading.fields import Reader, each, of_mapping
from geats_core.reading.labels import NAME as LABEL_NAME
from geats_core.reading.labels import label_name
from geats_core.reading.schemas import any_of, by_name, taking, text_matching, words
from geats_core.reading.values import dataclass


class Strays(StrEnum):
    """What to do with a VM on the host that nobody declared."""

    REPORT = "report"
    STOP = "stop"
    IGNORE = "ignore"


class Claims(StrEnum):
    """Whether a VM starts only once the host holds its name and addresses for it."""

    REQUIRED = "required"
    IGNORED = "ignored"


PROFILE, LABEL = "profile", "label:"  # what VMs have in common that stand in for each other


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalBounds:
    """How much of the journal of a host is kept: older or surplus entries are deleted."""

    days: int = 365
    entries: int = 100_000


@dataclass(frozen=True, slots=True)
class AtOnce:
    """How many of some VMs: so many, or so many per cent of them."""

    amount: int
    is_percentage: bool = False

    def of(self, vms: int) -> int:
        """How many of that many VMs: at least one."""
        return max(1, vms * self.amount // 100) if self.is_percentage else self.amount


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPolicy:
    """How much a host may promise, as factors of what it has, and what to do with strays.

    ``strays`` pairs patterns of names (as in fnmatch(3)) with what to do: the first pattern that
    matches counts, and if none matches, the stray is reported. ``at_most`` is how many VMs that
    nobody named one plan may power off, undefine or empty. ``at_once`` is how many of those that
    stand in for each other, because they have the same profile, or value of a label (``by`` is
    ``profile``, or such as ``label:role``), may be down at a time while they restart; None is any
    number. ``exports`` says which archives of a VM
    to keep, and ``snapshots`` which of its snapshots that are named for their time. ``claims`` says
    whether a VM starts only with claims of the fleet (see ``fleet.claiming``). ``raw_lines`` are
    patterns of keys of LXC, of which VMs may have lines of their own. With ``host_network``, VMs
    may have the network of the host in place of one of their own.
    """

    memory_overcommit: float = 1.0
    cpu_overcommit: float = 16.0
    disk_overcommit: float = 1.0
    strays: tuple[tuple[str, Strays], ...] = ()
    at_most: int = 1
    at_once: AtOnce | None = None
    by: str = PROFILE
    journal: JournalBounds = JournalBounds()
    exports: Keep | None = None
    snapshots: Keep | None = None
    raw_lines: tuple[str, ...] = ()
    claims: Claims = Claims.IGNORED
    host_network: bool = False

    @property
    def by_label(self) -> str | None:
        """The label whose value VMs have in common that stand in for each other, if it is one."""
        return self.by.removeprefix(LABEL) if self.by.startswith(LABEL) else None

    def on_stray(self, name: str) -> Strays:
        """What is done about the stray *name*."""
        for pattern, done in self.strays:
            if fnmatchcase(name, pattern):
                return done
        return Strays.REPORT


@taking(fields.within("number", 0.01, 1000))
def _factor(path: str, raw: object) -> Checked[float]:
    value = fields.number(raw)
    if value is not None and 0.01 <= value <= 1000:
        return Success(float(value))
    return problem(path, f"must be a factor from 0.01 to 1000, got {shown(raw)}")


count = fields.whole_number(0, 10_000)  # of VMs
NO_PATTERNS: tuple[str, ...] = ()
PATTERN = re.compile(r"lxc\.[a-z0-9_.*?-]+")
_pattern = fields.matching(PATTERN, "a pattern of keys of LXC such as lxc.time.*")
PERCENTAGE = re.compile(r"([1-9][0-9]?|100)%")
_positive = fields.whole_number(1, 10_000)


@taking(
    any_of(
        fields.within("integer", 1, 10_000),
        text_matching(PERCENTAGE.pattern, "a part of the VMs such as 50%"),
    )
)
def at_once(path: str, raw: object) -> Checked[AtOnce]:
    """A number of VMs, or a part of them such as ``50%``, which is at least one."""
    if isinstance(raw, str) and (found := PERCENTAGE.fullmatch(raw)):
        return Success(AtOnce(int(found[1]), is_percentage=True))
    match _positive(path, raw):
        case Success(amount):
            return Success(AtOnce(amount))
        case Failure():
            return problem(
                path, f"must be a number of VMs from 1, or a part such as 50%, got {shown(raw)}"
            )


@of_mapping
def parse_policy(read: Reader) -> Checked[HostPolicy]:
    """Read what promises are made, what becomes of strays, and how much is kept."""
    default = HostPolicy()
    memory, cpus, disk = read.take("overcommit", _overcommit, DEFAULT_OVERCOMMIT)
    return read.done(
        HostPolicy(
            memory_overcommit=memory,
            cpu_overcommit=cpus,
            disk_overcommit=disk,
            strays=read.take("strays", _strays, default.strays),
            at_most=read.take("at_most", count, default.at_most),
            at_once=read.take("at_once", at_once, None),
            by=read.take("by", _by, default.by),
            journal=read.take("journal", _journal, default.journal),
            exports=read.take("exports", parse_keep, None),
            snapshots=read.take("snapshots", parse_keep, None),
            raw_lines=read.take("raw_lines", each(_pattern), NO_PATTERNS),
            claims=read.take("claims", fields.one_of("policy for claims", Claims), default.claims),
            host_network=read.take("host_network", fields.boolean, default.host_network),
        )
    )


@taking(
    any_of(
        words([PROFILE]),
        text_matching(f"{LABEL}{LABEL_NAME.pattern}", "a label of VMs, such as label:role"),
    )
)
def _by(path: str, raw: object) -> Checked[str]:
    if raw == PROFILE:
        return Success(PROFILE)
    if not isinstance(raw, str) or not raw.startswith(LABEL):
        return problem(path, f"must be {PROFILE}, or a label such as {LABEL}role, got {shown(raw)}")
    match label_name(path, raw.removeprefix(LABEL)):
        case Success(name):
            return Success(f"{LABEL}{name}")
        case Failure() as refused:
            return refused


DEFAULT_OVERCOMMIT = (
    HostPolicy().memory_overcommit,
    HostPolicy().cpu_overcommit,
    HostPolicy().disk_overcommit,
)


@of_mapping
def _overcommit(read: Reader) -> Checked[tuple[float, float, float]]:
    memory, cpus, disk = DEFAULT_OVERCOMMIT
    return read.done(
        (
            read.take("memory", _factor, memory),
            read.take("cpus", _factor, cpus),
            read.take("disk", _factor, disk),
        )
    )


_days = fields.whole_number(1, 36_500)
_entries = fields.whole_number(100, 100_000_000)


@of_mapping
def _journal(read: Reader) -> Checked[JournalBounds]:
    default = JournalBounds()
    return read.done(
        JournalBounds(
            days=read.take("days", _days, default.days),
            entries=read.take("entries", _entries, default.entries),
        )
    )


_word = fields.one_of("policy for strays", Strays)


@taking(any_of(_word.schema(), by_name({"type": "string"}, _word.schema())))
def _strays(path: str, raw: object) -> Checked[tuple[tuple[str, Strays], ...]]:
    if isinstance(raw, Mapping):
        return _by_pattern(path, raw)
    match _word(path, raw):
        case Success(word):
            return Success((("*", word),))
        case Failure() as refused:
            return refused


@of_mapping
def _by_pattern(read: Reader) -> Checked[tuple[tuple[str, Strays], ...]]:
    rules: list[tuple[str, Strays]] = []
    for key, value in read.raw.items():
        at = read.at(fields.printable(key))
        pattern, word = fields.text(at, key), _word(at, value)
        read.problems += problems_of(pattern, word)
        match pattern, word:
            case Success(pattern_), Success(word_):
                rules.append((pattern_, word_))
            case _:
                pass  # its problems are kept
    return Failure(tuple(read.problems)) if read.problems else Success(tuple(rules))
