"""The ids that root may give to unprivileged guests: see subuid(5) and subgid(5)."""

import re
from pathlib import Path

ROOTS_RANGE = re.compile(r"root:(\d+):(\d+)")
NEEDED = 65_536  # one guest's worth


def subordinate_ids(etc: Path = Path("/etc")) -> tuple[int, int] | None:
    """The first id and the number of ids of a range that root has for users and groups alike."""
    uids, gids = (_ranges_of_root(etc / file) for file in ("subuid", "subgid"))
    for first, count in uids:
        if (first, count) in gids and count >= NEEDED:
            return first, count
    return None


def _ranges_of_root(file: Path) -> list[tuple[int, int]]:
    lines = file.read_text().splitlines() if file.exists() else []
    matches = filter(None, map(ROOTS_RANGE.fullmatch, map(str.strip, lines)))
    return [(int(match[1]), int(match[2])) for match in matches]
