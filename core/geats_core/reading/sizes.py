"""Sizes in bytes, as people write them: ``512MiB``, ``1.5GiB``, ``1073741824``."""

import re
from decimal import Decimal

from returns.result import Success

from geats_core.reading.checked import Checked, problem, shown
from geats_core.reading.schemas import any_of, taking, text_matching

UNITS = {"": 1, "B": 1} | {
    name: 1024**power
    for power, letter in enumerate("KMGTP", start=1)
    for name in (f"{letter}iB", letter)
}
LEAST_BARE = 4 * 2**20  # bytes: fewer without a unit were meant to be mebibytes
LARGEST = 2**60  # an exbibyte: more is a slip of the finger
SIZE = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,20})?) ?([A-Za-z]{0,3})")


@taking(
    any_of(
        text_matching(
            rf"[0-9]{{1,20}}(\.[0-9]{{1,20}})? ?({'|'.join(UNITS)})", "a size such as 10GiB"
        ),
        {"type": "integer", "minimum": LEAST_BARE, "maximum": LARGEST},
    )
)
def parse_size(path: str, raw: object) -> Checked[int]:
    """Read a positive size in bytes; a fraction is rounded down to whole bytes.

    A small number without a unit is refused, because 64 hardly means 64 bytes.
    """
    size = _bytes(raw)
    if size is None or not 0 < size <= LARGEST:
        return problem(path, f"must be a positive size such as 10GiB, got {shown(raw)}")
    if size < LEAST_BARE and str(raw)[-1].isdigit():
        return problem(path, f"must have a unit, got {shown(raw)}: did you mean {raw}MiB?")
    return Success(size)


def _bytes(raw: object) -> int | None:
    if isinstance(raw, int) and not isinstance(raw, bool):
        return raw
    found = SIZE.fullmatch(raw) if isinstance(raw, str) else None
    if found is None or found[2] not in UNITS:
        return None
    return int(Decimal(found[1]) * UNITS[found[2]])


def format_size(size_bytes: int) -> str:
    """Write a size so that ``parse_size`` reads the same number back."""
    for letter in "PTGMK":
        unit = UNITS[f"{letter}iB"]
        if size_bytes >= unit and size_bytes % unit == 0:
            return f"{size_bytes // unit}{letter}iB"
    return f"{size_bytes}B"


def for_people(size_bytes: int) -> str:
    """About how much it is, with one figure after the point: ``3.1GiB``, ``512MiB``."""
    for letter in "PTGMK":
        unit = UNITS[f"{letter}iB"]
        if size_bytes >= unit:
            amount = size_bytes / unit
            return f"{amount:.1f}".removesuffix(".0") + f"{letter}iB"
    return f"{size_bytes}B"
