"""Paths, as text: which ones are below others."""

from collections.abc import Collection, Iterable


def is_within(path: str, tops: Iterable[str]) -> bool:
    """Whether *path* is one of *tops*, or below one; all are absolute and plain."""
    return any(path == top or path.startswith(f"{top}/") for top in tops)


def allowed_by(option: str, tops: Collection[str]) -> str:
    """What is wrong with a path that is not within the *tops* that an option allows."""
    return f"is not within what {option} allows ({', '.join(sorted(tops)) or 'there is none'})"
