"""What happened on a host, as it is asked for: since when, and of which VMs."""

import re
from datetime import UTC, datetime, timedelta

from returns.result import Success

from geats_core.reading.checked import Checked, problem, shown
from geats_core.requests.beacon import Event

AGO = re.compile(r"([0-9]{1,6}) ?(s|m|h|d|w)")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
WANTED = "must be a duration such as 90m, 2h or 3d, or a time such as 2026-11-30T08:00"


def since_s(path: str, raw: object, now_s: float) -> Checked[float]:
    """Read a time in seconds since the epoch: so long before now, or a time, in UTC by default."""
    given = raw.isoformat() if isinstance(raw, datetime) else raw
    if not isinstance(given, str):
        return problem(path, f"{WANTED}, got {shown(raw)}")
    ago = AGO.fullmatch(given.strip())
    if ago is not None:
        return Success(now_s - timedelta(**{UNITS[ago[2]]: int(ago[1])}).total_seconds())
    try:
        time = datetime.fromisoformat(given.strip())
        return Success((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp())
    except ValueError:
        return problem(path, f"{WANTED}, got {shown(raw)}")


def words_of(event: Event) -> str:
    """What a beacon reports, as people read it."""
    match event:
        case {"to": to, "from": before, "ended": ended}:
            return f"{before} → {to}: {ended}"
        case {"to": to, "from": before}:
            return f"{before or 'not defined'} → {to or 'not defined'}"
        case {"stray": is_stray}:
            return "is on this host, and nobody declared it" if is_stray else "is no stray any more"
        case {"fields": fields}:
            return f"is not as declared: {', '.join(fields)}" if fields else "is as declared"
        case {"pool": pool, "used_percent": used, "full": full}:
            return f"pool {pool} is {used:g} % full" + ("" if full else ", and has space again")
        case {"what": what, "why": why}:
            return f"{what} is not available: {why}" if why else f"{what} is available again"
        case _:
            return str(event.get("error") or "the host can be looked at again")
