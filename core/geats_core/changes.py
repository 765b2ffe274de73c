"""What differs between two specs, field by field, and what each change costs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from geats_core.actions import Impact
from geats_core.parse import to_plain
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
    """Every field that differs from *old* to *new*, in the order of ``COST``."""
    before, now = _comparable(old), _comparable(new)
    return tuple(
        Change(field, before.get(field), now.get(field), impact)
        for field, impact in COST.items()
        if before.get(field) != now.get(field)
    )


def impact_of_changes(found: Iterable[Change]) -> Impact:
    """The highest cost among *found*."""
    return max((change.impact for change in found), default=Impact.NONE)


def _comparable(spec: VMSpec | None) -> dict[str, object]:
    if spec is None:
        return {}
    return to_plain(spec) | {
        "root pool": spec.root.pool,
        "volumes": [
            {"name": v.name, "mount": v.mount, "read_only": v.read_only}
            | ({} if v is spec.root else {"pool": v.pool})
            for v in spec.volumes
        ],
    }


def _short(value: object) -> str:
    match value:
        case None:
            return "(not set)"
        case dict() if set(value) >= {"name", "bridge"}:
            addresses = value.get("addresses")
            where = " ".join(map(str, addresses)) if isinstance(addresses, list) else ""
            return f"{value['name']}@{value['bridge']} {where or 'no address'} {value['mac']}"
        case dict() if "mount" in value:
            return f"{value['name']} on {value['mount']}"
        case list():
            return "[" + "; ".join(map(_short, value)) + "]"
        case dict():
            return "{" + ", ".join(f"{key}: {_short(item)}" for key, item in value.items()) + "}"
        case _:
            return str(value)
