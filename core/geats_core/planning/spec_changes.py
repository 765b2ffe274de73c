"""What differs between two specs, field by field, and what each change costs."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from functools import lru_cache
from math import inf
from re import compile as regex

from returns.result import Success

from geats_core.containers.own_ids import OwnIds
from geats_core.planning.costs import AS_EVER, COST, LIVE, RESTART, EntryCost
from geats_core.planning.costs import LIVE_LIMITS as LIVE_LIMITS
from geats_core.planning.costs import Cost as Cost
from geats_core.planning.costs import Costs as Costs
from geats_core.planning.costs import Impact as Impact
from geats_core.reading.sizes import format_size, parse_size
from geats_core.reading.values import dataclass
from geats_core.vm import hardware
from geats_core.vm.hardware import HARDWARE
from geats_core.vm.observation import Observation
from geats_core.vm.parse import to_plain
from geats_core.vm.secrets import shown_change, shown_raw
from geats_core.vm.spec import VMSpec

PUBLIC_KEY = regex(r"\bAAAA[A-Za-z0-9+/]{24,}([A-Za-z0-9+/=]{8})")  # of ssh: its end tells it


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
    before, now, differing = _compared(old, new)
    return tuple(
        Change(field, *_shown(field, before, now), _cost(field, before, now, costs))
        for field in differing
    )


@lru_cache(maxsize=1024)  # a plan asks several times for the changes of one VM
def _compared(
    old: VMSpec | None, new: VMSpec | None
) -> tuple[Mapping[str, object], Mapping[str, object], tuple[str, ...]]:
    """Both by the fields of ``COST``, and the fields in which they differ."""
    before, now = _comparable(old, new), _comparable(new, old)
    both = old is not None and new is not None
    differing = tuple(
        field
        for field in _fields(before, now)
        if before.get(field) != now.get(field)
        and (both or _says_something(before.get(field)) or _says_something(now.get(field)))
    )
    return before, now, differing


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
    return shown_raw(old, new) if field == "raw" else shown_change(field, old, new)


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
        case str():
            return PUBLIC_KEY.sub(r"…\1", value)
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
    declared = keeping_ids(declared, have)
    now = have.in_effect or have.defined or have.recorded
    written = have.defined or have.recorded
    found = [*changes(now, declared), *changes(written, declared)]
    return tuple(dict.fromkeys(each.field for each in found))


def keeping_ids(want: VMSpec, have: Observation) -> VMSpec:
    """*want* with the ids that are allocated for it already, if it leaves open which they are."""
    own = want.own_ids
    if own is None or own.first is not None:
        return want
    for spec in (have.recorded, have.defined, have.in_effect):
        if spec is not None and (kept := _kept(own, spec)):
            return replace(want, own_ids=kept)
    return want


def _kept(own: OwnIds, spec: VMSpec) -> OwnIds | None:
    """The same, where *spec* has it; also if a person wrote that range down."""
    if spec.own_ids and spec.own_ids.count == own.count:
        return replace(own, first=spec.own_ids.first)
    for each in spec.idmap:
        written = replace(own, first=each.host)
        if each.guest == 0 and {*written.ranges} == {*spec.idmap}:
            return written
    return None


def changes_to_plain(changes: tuple[Change, ...]) -> dict[str, dict[str, object]]:
    """``{field: {"old": …, "new": …}}``."""
    return {change.field: {"old": change.old, "new": change.new} for change in changes}
