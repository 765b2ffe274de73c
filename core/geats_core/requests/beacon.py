"""What a beacon reports: how a host's overview differs from the one before."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from returns.result import Success

from geats_core.reading.checked import Checked, problem, shown
from geats_core.reading.fields import boolean, each, text
from geats_core.reading.mappings import FORMER, options

# ``states``: the power of each VM, None if it is not defined; ``strays``: names; ``drift``: the
# fields by name, see ``drift.drift``; ``pools``: size_bytes and free_bytes by name, or None;
# ``unavailable``: why, by names such as ``pools.fast``.
Overview: TypeAlias = Mapping[str, Any]
Event: TypeAlias = dict[str, Any]

NOTHING: Overview = {"states": {}, "strays": [], "drift": {}, "pools": {}, "unavailable": {}}
FULL_PERCENT = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What to report, and from how many percent on a pool is full (None: not reported).

    With ``restart``, guests that ended by themselves are started again, as they say.
    ``vms`` are patterns of VMs.
    """

    states: bool = True
    strays: bool = True
    drift: bool = True
    pool_space: float | None = FULL_PERCENT
    unavailable: bool = True
    restart: bool = True
    vms: tuple[str, ...] = ("*",)


def parse_watch(raw: Mapping[str, object]) -> Checked[Watch]:
    """Read the fields of a watch; everything that is wrong with them at once."""
    read, default = options(raw), Watch()
    return read.done(
        Watch(
            states=read.take("states", boolean, default.states),
            strays=read.take("strays", boolean, default.strays),
            drift=read.take("drift", boolean, default.drift),
            pool_space=read.take("pool_space", _percent_or_never, default.pool_space),
            unavailable=read.take("unavailable", boolean, default.unavailable),
            restart=read.take("restart", boolean, default.restart),
            vms=read.take("vms", each(text), default.vms),
        ),
        former=FORMER,
    )


def _percent_or_never(path: str, raw: object) -> Checked[float | None]:
    if raw is False:
        return Success(None)
    number = raw.removesuffix("%").strip() if isinstance(raw, str) else raw
    try:
        percent = float(number) if isinstance(number, str | int | float) else 0.0
    except (ValueError, OverflowError):
        percent = 0.0
    if raw is not True and 0 < percent <= 100:
        return Success(percent)
    return problem(path, f"must be a percentage such as 90, or false, got {shown(raw)}")


def told(before: Overview | None, now: Overview, watch: Watch) -> list[Event]:
    """The events that lead from one overview to the next; each has a ``tag``.

    Without an earlier overview, no changes of state are reported, but everything that is not as it
    should be.
    """
    then = before or NOTHING
    events: list[Event] = []
    if watch.states and before is not None:
        events += _states(then["states"], now["states"])
    if watch.strays:
        events += _strays(then["strays"], now["strays"])
    if watch.drift:
        events += _drift(then["drift"], now["drift"])
    if watch.pool_space is not None:
        events += _pools(then["pools"], now["pools"], watch.pool_space)
    if watch.unavailable:
        events += _unavailable(then["unavailable"], now["unavailable"])
    return events


def _states(then: Overview, now: Overview) -> Iterator[Event]:
    for name in _either(then, now):
        if then.get(name) != now.get(name):
            yield {"tag": f"state/{name}", "vm": name, "from": then.get(name), "to": now.get(name)}


def _strays(then: Iterable[str], now: Iterable[str]) -> Iterator[Event]:
    for name in sorted({*then} ^ {*now}):
        yield {"tag": f"stray/{name}", "vm": name, "stray": name in now}


def _drift(then: Overview, now: Overview) -> Iterator[Event]:
    for name in _either(then, now):
        if then.get(name, []) != now.get(name, []):
            yield {"tag": f"drift/{name}", "vm": name, "fields": now.get(name, [])}


def _pools(then: Overview, now: Overview, percent: float) -> Iterator[Event]:
    for name in _either(then, now):
        was, used = _used_percent(then.get(name)), _used_percent(now.get(name))
        if (was >= percent) != (used >= percent):
            yield {
                "tag": f"pool/{name}",
                "pool": name,
                "used_percent": used,
                "full": used >= percent,
            }


def _unavailable(then: Overview, now: Overview) -> Iterator[Event]:
    for name in _either(then, now):
        if then.get(name) != now.get(name):
            yield {"tag": f"unavailable/{name}", "what": name, "why": now.get(name)}


def _used_percent(pool: Overview | None) -> float:
    """How full a pool is; if nothing is known of it, it counts as empty."""
    if not pool or not pool["size_bytes"] or pool["free_bytes"] is None:
        return 0.0
    return round(100 * (1 - float(pool["free_bytes"] / pool["size_bytes"])), 1)


def _either(then: Overview, now: Overview) -> list[str]:
    return sorted({*then, *now})
