"""Directories of geats that guests pass through, and that nobody lists."""

from pathlib import Path

TRAVERSE = 0o711  # a guest's mapped root passes through, and nobody lists


def make_passage(place: Path) -> None:
    """Make it and what is above it, with the mode TRAVERSE whatever the umask; what is there stays.

    Raises ``OSError``.
    """
    for each in (*reversed(place.parents), place):
        if not each.is_dir():
            each.mkdir(mode=TRAVERSE, exist_ok=True)
            each.chmod(TRAVERSE)
