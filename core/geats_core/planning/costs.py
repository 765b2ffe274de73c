"""What a change of each field of a VM costs, and what drivers can say of that."""

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import TypeAlias

from geats_core.containers import cgroups, isolation, programs
from geats_core.reading.values import dataclass
from geats_core.vm.hardware import HARDWARE


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
    "guest_network": RESTART,
    "dns": RESTART,
    "metadata": RESTART,
    **dict.fromkeys(("timezone", "users", "ssh_keys", "minion"), RESTART),
    "init": RESTART,
    "privileged": RESTART,
    "idmap": RESTART,
    "includes": RESTART,
    **dict.fromkeys(isolation.KEYS, RESTART),
    **dict.fromkeys((*programs.KEYS, "from_image"), RESTART),
    "devices": RESTART,
    "tmpfs": RESTART,
    "hooks": RESTART,
    "raw": RESTART,
    "memory": RESTART,
    "volume sizes": LIVE,  # whether a pool can is a fact of the host
    "cpus": RESTART,
    "processes": RESTART,
    **dict.fromkeys(cgroups.KEYS, RESTART),
    "volume sharing": NONE,
    "transient": NONE,
    "shutdown_timeout": NONE,
    "after": NONE,
    "autostart": NONE,
    "power": NONE,  # a goal to be as described has steps of its own for it
    "enabled": NONE,
    "restart": NONE,
    "ready": NONE,
    "labels": NONE,
    "description": NONE,
    HARDWARE: RESTART,  # each key of the driver by itself, such as ``hardware.tpm``
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a change of a field costs with one driver, if its value ``rises`` or ``falls``.

    A field that is not set has no limit, so it is above any value. A value that is neither a number
    nor a size counts as rising. If ``most`` names a field, a value rises at that cost up to the
    value of that field in the old spec, and beyond it only with a restart. With ``if_set``, this
    is so only if the field is set before and after.
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
    If not ``ordered``, entries may come and go anywhere. If ``types`` is set, only those come, go
    or change that have one of them as ``type``; None among them is an entry without one.
    """

    live: frozenset[str] = frozenset()
    busy: str = ""
    of: str = ""
    fresh: frozenset[str] = frozenset()
    ordered: bool = True
    types: frozenset[object] | None = None

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
        at_the_end = not self.ordered or kept == [*old][: len(kept)] == [*new][: len(kept)]
        goes = not any(entry.get(self.busy) for name, entry in old.items() if name not in new)
        differ = [name for name in {*old, *new} if old.get(name) != new.get(name)]
        touched = [each[name] for each in (old, new) for name in differ if name in each]
        can = self.types is None or all(entry.get("type") in self.types for entry in touched)
        alike = all(_differing(old[n], new[n]) <= self.live for n in kept)
        return at_the_end and goes and can and alike


Costs: TypeAlias = Mapping[str, Cost | EntryCost]  # what a driver says, by the fields of ``COST``
AS_EVER: Costs = MappingProxyType({})  # of a driver that says nothing
# Of a driver whose ``set_limits`` can change all of them.
LIVE_LIMITS: Mapping[str, Cost] = MappingProxyType(
    dict.fromkeys(("memory", "cpus", "processes"), Cost.always(LIVE))
)
# Of a driver of containers whose ``set_limits`` can change these. What a cgroup had before it was
# given CPUs, or a limit of swap, is not known.
LIVE_CGROUPS: Mapping[str, Cost] = MappingProxyType(
    {
        **dict.fromkeys(("cpu_weight", "memory_soft"), Cost.always(LIVE)),
        **dict.fromkeys(("cpuset", "swap"), Cost(rises=LIVE, falls=LIVE, if_set=True)),
    }
)
# Of a driver that can write what a guest asks for names while it runs.
LIVE_DNS: Mapping[str, Cost] = MappingProxyType({"dns": Cost.always(LIVE)})


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
