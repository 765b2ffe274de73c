"""Durations for people: ``42s``, ``5m 10s``, ``3h 20m``, ``12d 4h``."""

UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def for_people(seconds: float) -> str:
    """About how long it is, in at most two units; what is shorter than a second is ``0s``."""
    left = max(0, int(seconds))
    at = next((at for at, (_, size) in enumerate(UNITS) if left >= size), len(UNITS) - 1)
    words: list[str] = []
    for letter, size in UNITS[at : at + 2]:
        count, left = divmod(left, size)
        words += [f"{count}{letter}"] if count or not words else []
    return " ".join(words)
