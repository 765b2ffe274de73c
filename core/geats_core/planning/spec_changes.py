"""What differs between two specs, field by field, and what each change costs."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from geats_core.planning.actions import Impact
from geats_core.reading.sizes import format_size
from geats_core.vm.parse import to_plain
from geats_core.vm.secrets import SECRET, shown_change
from geats_core.vm.spec import VMSpec

NONE, LIVE, RESTART, REBUILD = Impact.NONE, Impact.LIVE, Impact.RESTART, Impact.DATA_LOSS
DRIVERS = ("lxc", "memory", "other")
OTHER = "other"  # any driver that has no column of its own: nothing is taken to change live

# What a change of each field costs, by driver. Planner, explanations and docs read this table.
COST: Mapping[str, Mapping[str, Impact]] = {
    field: dict(zip(DRIVERS, costs, strict=True))
    for field, *costs in (
        ("driver", REBUILD, REBUILD, REBUILD),
        ("template", REBUILD, REBUILD, REBUILD),
        ("volume pools", REBUILD, REBUILD, REBUILD),
        ("hostname", RESTART, RESTART, RESTART),
        ("volumes", RESTART, RESTART, RESTART),
        ("binds", RESTART, RESTART, RESTART),
        ("shared_volumes", RESTART, RESTART, RESTART),
        ("nics", RESTART, RESTART, RESTART),
        ("dns", RESTART, RESTART, RESTART),
        ("metadata", RESTART, RESTART, RESTART),
        ("init", RESTART, RESTART, RESTART),
        ("privileged", RESTART, RESTART, RESTART),
        ("memory", LIVE, LIVE, RESTART),
        ("volume sizes", LIVE, LIVE, LIVE),  # whether a pool can is a fact of the host
        ("cpus", LIVE, LIVE, RESTART),
        ("processes", LIVE, LIVE, RESTART),
        ("volume sharing", NONE, NONE, NONE),
        ("transient", NONE, NONE, NONE),
        ("shutdown_timeout", NONE, NONE, NONE),
        ("after", NONE, NONE, NONE),
        ("autostart", NONE, NONE, NONE),
    )
}


def cost_of(field: str, driver: str) -> Impact:
    """What a change of *field* (a key of ``COST``) costs a VM that *driver* runs."""
    costs = COST[field]
    return costs.get(driver, costs[OTHER])


@dataclass(frozen=True, slots=True)
class Change:
    """One field that differs; ``old`` and ``new`` are plain data, None where it is not set.

    They are to be shown: what may be secret is hidden in them.
    """

    field: str
    old: object
    new: object
    impact: Impact

    def __str__(self) -> str:
        return f"{self.field} changed {_short(self.old)} → {_short(self.new)}"


def changes(old: VMSpec | None, new: VMSpec | None) -> tuple[Change, ...]:
    """Every field that differs from *old* to *new*, in the order of ``COST``.

    Costs are those of the new spec's driver. Where there was no spec, or will be none, what the
    other leaves empty is no change.
    """
    known = new or old
    if known is None or old == new:
        return ()
    before, now = _comparable(old, new), _comparable(new, old)
    both = old is not None and new is not None
    return tuple(
        Change(field, *_shown(field, before, now), cost_of(field, known.driver))
        for field in COST
        if before.get(field) != now.get(field)
        and (both or _says_something(before.get(field)) or _says_something(now.get(field)))
    )


def _shown(
    field: str, before: Mapping[str, object], now: Mapping[str, object]
) -> tuple[object, object]:
    old, new = before.get(field), now.get(field)
    return shown_change(old, new) if field == SECRET else (old, new)


def _says_something(value: object) -> bool:
    return any(map(_says_something, value.values())) if isinstance(value, dict) else bool(value)


def at_least(impact: Impact, found: Iterable[Change]) -> tuple[Change, ...]:
    """Those of *found* that cost *impact* or more."""
    return tuple(change for change in found if change.impact >= impact)


def _comparable(spec: VMSpec | None, other: VMSpec | None) -> dict[str, object]:
    """*spec* by the fields of ``COST``; a pool counts for the volumes that *other* has as well."""
    if spec is None:
        return {}
    kept = {volume.name for volume in (other or spec).volumes}
    return to_plain(spec) | {
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


def _short(value: object) -> str:
    """A field's value in a line of text."""
    match value:
        case None:
            return "(not set)"
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return f"[{'; '.join(map(_entry, value))}]"
        case dict():
            return f"{{{', '.join(f'{key}: {_short(item)}' for key, item in value.items())}}}"
        case _:
            return str(value)


def _entry(value: object) -> str:
    """An entry of a list: a mapping, such as a NIC, is written without its keys."""
    if not isinstance(value, dict):
        return _short(value)
    words = [key if item is True else _entry_word(item) for key, item in value.items()]
    return " ".join(word for word in words if word)


def _entry_word(item: object) -> str:
    if isinstance(item, list | tuple):
        return ",".join(map(_short, item))
    return "" if item is False else _short(item)
