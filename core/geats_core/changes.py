"""What differs between two specs, field by field, and what each change costs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from geats_core.actions import Impact
from geats_core.parse import to_plain
from geats_core.sizes import format_size
from geats_core.spec import VMSpec

# What a change of each field costs. Planner, explanations and documentation read this table.
COST: Mapping[str, Impact] = {
    "driver": Impact.DATA_LOSS,
    "template": Impact.DATA_LOSS,
    "root pool": Impact.DATA_LOSS,
    "hostname": Impact.RESTART,
    "volumes": Impact.RESTART,
    "nics": Impact.RESTART,
    "dns": Impact.RESTART,
    "metadata": Impact.RESTART,
    "init": Impact.RESTART,
    "privileged": Impact.RESTART,
    "memory": Impact.LIVE,
    "volume sizes": Impact.LIVE,
    "cpus": Impact.LIVE,
    "processes": Impact.LIVE,
    "transient": Impact.NONE,
    "shutdown_timeout": Impact.NONE,
}


@dataclass(frozen=True, slots=True)
class Change:
    """One field that differs; ``old`` and ``new`` are plain data, None where it is not set."""

    field: str
    old: object
    new: object
    impact: Impact

    def __str__(self) -> str:
        return f"{self.field} changed {_short(self.old)} → {_short(self.new)}"


def changes(old: VMSpec | None, new: VMSpec | None) -> tuple[Change, ...]:
    """Every field that differs from *old* to *new*, in the order of ``COST``.

    Where there was no spec, or will be none, what the other leaves empty is no change.
    """
    before, now = _comparable(old), _comparable(new)
    return tuple(
        Change(field, before.get(field), now.get(field), impact)
        for field, impact in COST.items()
        if before.get(field) != now.get(field)
        and (_says_something(before.get(field)) or _says_something(now.get(field)))
    )


def _says_something(value: object) -> bool:
    return any(map(_says_something, value.values())) if isinstance(value, dict) else bool(value)


def impact_of_changes(found: Iterable[Change]) -> Impact:
    """The highest cost among *found*."""
    return max((change.impact for change in found), default=Impact.NONE)


def _comparable(spec: VMSpec | None) -> dict[str, object]:
    if spec is None:
        return {}
    return to_plain(spec) | {
        "root pool": spec.root.pool,
        "volumes": [
            {"name": v.name, "mount": v.mount, "pool": v.pool, "read_only": v.read_only}
            for v in spec.volumes
            if v is not spec.root
        ],
        "volume sizes": {
            v.name: format_size(v.size_bytes) for v in spec.volumes if v.size_bytes is not None
        },
    }


def _short(value: object) -> str:
    """A field's value in a line of text."""
    match value:
        case None:
            return "(not set)"
        case list():
            return f"[{'; '.join(map(_entry, value))}]"
        case dict():
            return f"{{{', '.join(f'{key}: {_short(item)}' for key, item in value.items())}}}"
        case _:
            return str(value)


def _entry(value: object) -> str:
    """An entry of a list: a NIC or a volume is written without its keys, all else as it is."""
    if not isinstance(value, dict):
        return str(value)
    words = [key if item is True else _entry_word(item) for key, item in value.items()]
    return " ".join(word for word in words if word)


def _entry_word(item: object) -> str:
    if isinstance(item, list):
        return ",".join(map(str, item))
    return "" if item is False else str(item)
