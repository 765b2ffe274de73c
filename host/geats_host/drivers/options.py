"""Options that several drivers have."""

from returns.result import Success

from geats_core.reading import fields
from geats_core.reading.checked import Checked, problem

AUTO = "auto"


def python(path: str, raw: object) -> Checked[str]:
    """The path of a Python, or ``auto``: an option of drivers."""
    if raw == AUTO:
        return Success(AUTO)
    if isinstance(fields.absolute_path(path, raw), Success):
        return Success(str(raw))
    return problem(path, f"must be {AUTO}, or the path of a Python, got {raw!r}")


def seconds(path: str, raw: object) -> Checked[float]:
    """How long is "a moment"."""
    if isinstance(raw, int | float) and not isinstance(raw, bool) and 0 <= raw <= 60:
        return Success(float(raw))
    return problem(path, f"must be a number of seconds from 0 to 60, got {raw!r}")
