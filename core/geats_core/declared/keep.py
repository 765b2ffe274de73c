"""How many snapshots or archives of a VM stay, as it is declared."""

from geats_core.reading.checked import Checked, Problem
from geats_core.reading.fields import Reader, of_mapping, whole_number
from geats_core.reading.values import dataclass

MOST = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """How many snapshots stay: the ``last`` ones, and one for each of so many periods."""

    last: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0


@of_mapping
def parse_keep(read: Reader) -> Checked[Keep]:
    """Read rules such as ``{last: 3, daily: 7}``; those that would keep nothing are refused."""
    keep = Keep(
        last=read.take("last", _count, 0),
        hourly=read.take("hourly", _count, 0),
        daily=read.take("daily", _count, 0),
        weekly=read.take("weekly", _count, 0),
        monthly=read.take("monthly", _count, 0),
    )
    if keep == Keep() and not read.problems:
        read.problems.append(Problem(read.path, "would keep no snapshot"))
    return read.done(keep)


_count = whole_number(0, MOST)
