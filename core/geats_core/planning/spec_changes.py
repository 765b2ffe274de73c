"""What differs between two specs, field by field, and what each change costs."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import IntEnum
from math import inf
from types import MappingProxyType
from typing import TypeAlias

from returns.result import Success

from geats_core.reading.sizes import format_size, parse_size
from geats_core.vm import hardware
from geats_core.vm.hardware import HARDWARE
from geats_core.vm.observation import Observation
from geats_core.vm.parse import to_plain
from geats_core.vm.secrets import SECRET, shown_change
from geats_core.vm.spec import VMSpec


class Impact(IntEnum):
    """What a step costs a user of the VM, in growing order."""

    NONE = 0
    LIVE = 1
    RESTART = 2
    DATA_LOSS = 3

    def __str__(self) -> str:
        return self.name.lower()


NONE, LIVE, RESTART, REBUILD = Impact.NONE, Impact.LIVE, Impact.RESTART, Impact.DATA_LOSS

# What a change of each field costs, unless the driver of the VM says otherwise (``DriverFacts``).
# Planner, explanations and docs read this table.
COST: Mapping[str, Impact] = {
    "driver": REBUILD,
    "template": REBUILD,
    "volume pools": REBUILD,
    "hostname": RESTART,
    "volumes": RESTART,
    "binds": RESTART,
    "shared_volumes": RESTART,
    "nics": RESTART,
    "dns": RESTART,
    "metadata": RESTART,
    "init": RESTART,
    "privileged": RESTART,
    "idmap": RESTART,
    "includes": RESTART,
    "memory": RESTART,
    "volume sizes": LIVE,  # whether a pool can is a fact of the host
    "cpus": RESTART,
    "processes": RESTART,
    "volume sharing": NONE,
    "transient": NONE,
    "shutdown_timeout": NONE,
    "after": NONE,
    "autostart": NONE,
    HARDWARE: RESTART,  # each key of the driver by itself, such as ``hardware.tpm``
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a change of a field costs with one driver, if its value ``rises`` or ``falls``.

    A field that is not set has no limit, so it is above any value. A value that is neither a number
    nor a size counts as rising. If ``most`` names a field, a value rises at that cost up to the
    value of that field in the old spec, and beyond it only with a restart. With ``if_set``, this
    holds only if the field is set before and after.
    """

    rises: Impact
    falls: Impact
    most: str = ""
    if_set: bool = False

    @classmethod
    def always(cls, impact: Impact) -> "Cost":
        """The same, whatever the value becomes."""
        return cls(rises=impact, falls=impact)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryCost:
    """What a change of named entries, such as NICs, costs with one driver that can do it live.

    A change is live if entries only come at the end, or go from there, and if of those that stay
    only ``live`` keys differ. One that has the key ``busy`` does not go: the guest uses it. If
    ``of`` is set, the field is a mapping that says more of the entries of that other field: of one
    that comes it may have the keys ``fresh``, and what it says of one that goes is of no matter.
    """

    live: frozenset[str] = frozenset()
    busy: str = ""
    of: str = ""
    fresh: frozenset[str] = frozenset()

    def is_live(self, field: str, before: Mapping[str, object], now: Mapping[str, object]) -> bool:
        """Whether the change of *field* can be made while the VM is on."""
        old, new = _entries(before.get(field)), _entries(now.get(field))
        if self.of:
            had, has = _entries(before.get(self.of)), _entries(now.get(self.of))
            came, stay = (
                has.keys() - had.keys(),
                (old.keys() | new.keys()) - (had.keys() - has.keys()),
            )
            return all(
                _differing(old.get(name, {}), new.get(name, {}))
                <= (self.fresh if name in came else self.live)
                for name in stay
            )
        kept = [name for name in old if name in new]
        at_the_end = kept == [*old][: len(kept)] == [*new][: len(kept)]
        goes = not any(entry.get(self.busy) for name, entry in old.items() if name not in new)
        return at_the_end and goes and all(_differing(old[n], new[n]) <= self.live for n in kept)


Costs: TypeAlias = Mapping[str, Cost | EntryCost]  # what a driver says, by the fields of ``COST``
AS_EVER: Costs = MappingProxyType({})  # of a driver that says nothing
# Of a driver whose ``set_limits`` can change all of them.
LIVE_LIMITS: Mapping[str, Cost] = MappingProxyType(
    dict.fromkeys(("memory", "cpus", "processes"), Cost.always(LIVE))
)


@dataclass(frozen=True, slots=True)
class Change:
    """One field that differs; ``old`` and ``new`` are plain data, None if it is not set.

    They can be shown: secret values are hidden in them.
    """

    field: str
    old: object
    new: object
    impact: Impact

    def __str__(self) -> str:
        return f"{self.field} changed {in_short(self.old)} → {in_short(self.new)}"


def changes(old: VMSpec | None, new: VMSpec | None, costs: Costs = AS_EVER) -> tuple[Change, ...]:
    """Every field that differs from *old* to *new*, in the order of ``COST``.

    *costs* are those of the new spec's driver (see ``DriverFacts``). If there was no spec, or will
    be none, fields that are empty in the other one are not a change.
    """
    if old is new or old == new:
        return ()
    before, now = _comparable(old, new), _comparable(new, old)
    both = old is not None and new is not None
    return tuple(
        Change(field, *_shown(field, before, now), _cost(field, before, now, costs))
        for field in _fields(before, now)
        if before.get(field) != now.get(field)
        and (both or _says_something(before.get(field)) or _says_something(now.get(field)))
    )


def _fields(before: Mapping[str, object], now: Mapping[str, object]) -> Iterable[str]:
    """Those of ``COST``, and each key of the driver in the place of all of them."""
    for field in COST:
        if field != HARDWARE:
            yield field
    yield from sorted(each for each in {*before, *now} if each.startswith(f"{HARDWARE}."))


def _cost(
    field: str, before: Mapping[str, object], now: Mapping[str, object], costs: Costs
) -> Impact:
    cost, otherwise = costs.get(field), COST[field.partition(".")[0]]
    if cost is None:
        return otherwise
    if isinstance(cost, EntryCost):
        on_time = not cost.of or _cost(cost.of, before, now, costs) <= LIVE
        return LIVE if on_time and cost.is_live(field, before, now) else otherwise
    if cost.if_set and (before.get(field) is None or now.get(field) is None):
        return otherwise
    old, new = _amount(before.get(field)), _amount(now.get(field))
    if new < old:
        return cost.falls
    most = _amount(before.get(cost.most, before.get(field))) if cost.most else inf
    return cost.rises if new <= most else max(cost.rises, RESTART)


def _entries(value: object) -> dict[str, Mapping[str, object]]:
    """The entries of a field by their names: of a list, in its order, or of a mapping."""
    match value:
        case dict():
            return {name: entry for name, entry in value.items() if isinstance(entry, Mapping)}
        case list():
            return {f"{each['name']}": each for each in value}
        case _:
            return {}


def _differing(old: Mapping[str, object], new: Mapping[str, object]) -> set[str]:
    return {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}


def _amount(value: object) -> float:
    """A value as a number; what is not set, or is none, is above any other."""
    if isinstance(value, int | float):
        return float(value)
    match parse_size("", value):
        case Success(size_bytes):
            return size_bytes
        case _:
            return inf


def _shown(
    field: str, before: Mapping[str, object], now: Mapping[str, object]
) -> tuple[object, object]:
    old, new = before.get(field), now.get(field)
    return shown_change(old, new) if field == SECRET else (old, new)


def _says_something(value: object) -> bool:
    return any(map(_says_something, value.values())) if isinstance(value, dict) else bool(value)


def at_least(impact: Impact, found: Iterable[Change]) -> tuple[Change, ...]:
    """The changes of *found* that cost *impact* or more."""
    return tuple(change for change in found if change.impact >= impact)


def _comparable(spec: VMSpec | None, other: VMSpec | None) -> dict[str, object]:
    """*spec* by the fields of ``COST``; a pool counts for the volumes that *other* has as well."""
    if spec is None:
        return {}
    kept = {volume.name for volume in (other or spec).volumes}
    of_driver = hardware.to_plain(spec.hardware)
    return to_plain(spec) | {
        **{f"{HARDWARE}.{key}": value for key, value in of_driver.items()},
        "volume pools": {v.name: v.pool for v in spec.volumes if v.name in kept},
        "volumes": [
            {"name": v.name, "mount": v.mount, "read_only": v.read_only}
            for v in spec.volumes
            if v is not spec.root
        ],
        "binds": [asdict(bind) for bind in spec.binds],
        "shared_volumes": [asdict(each) for each in spec.shared_volumes],
        "volume sharing": {v.name: True for v in spec.volumes if v.shared},
        "volume sizes": {
            v.name: format_size(v.size_bytes) for v in spec.volumes if v.size_bytes is not None
        },
    }


def in_short(value: object) -> str:
    """A field's value in a line of text."""
    match value:
        case None:
            return "(not set)"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case list() | tuple():
            return f"[{'; '.join(map(_entry, value))}]"
        case dict():
            return f"{{{', '.join(f'{key}: {in_short(item)}' for key, item in value.items())}}}"
        case _:
            return str(value)


def _entry(value: object) -> str:
    """An entry of a list: a mapping, such as a NIC, is written without its keys."""
    if not isinstance(value, dict):
        return in_short(value)
    words = [key if item is True else _entry_word(item) for key, item in value.items()]
    return " ".join(word for word in words if word)


def _entry_word(item: object) -> str:
    if isinstance(item, list | tuple):
        return ",".join(map(in_short, item))
    return "" if item is False else in_short(item)


def drift(declared: VMSpec, have: Observation) -> tuple[str, ...]:
    """The fields in which the VM, as it is now, is not as *declared*; see ``COST``.

    What runs counts before what is only written down: a change that is pending is a drift.
    """
    now = have.in_effect or have.defined or have.recorded
    written = have.defined or have.recorded
    found = [*changes(now, declared), *changes(written, declared)]
    return tuple(dict.fromkeys(each.field for each in found))


def changes_to_plain(changes: tuple[Change, ...]) -> dict[str, dict[str, object]]:
    """``{field: {"old": …, "new": …}}``."""
    return {change.field: {"old": change.old, "new": change.new} for change in changes}
