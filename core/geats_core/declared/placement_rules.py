"""The rules by which VMs are placed on hosts, and how people write them."""

from enum import StrEnum
from typing import TypeAlias

from returns.result import Failure, Success

from geats_core.reading import fields
from geats_core.reading.checked import Checked, problem, shown
from geats_core.reading.fields import Reader, each, of_mapping
from geats_core.reading.labels import label_name
from geats_core.reading.values import dataclass

Group: TypeAlias = frozenset[str]


class Strategy(StrEnum):
    """Which of the hosts that can take a VM does."""

    SPREAD = "spread"
    PACK = "pack"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How VMs are placed.

    VMs of one group in ``together`` must be on one host, VMs of one group in ``apart`` on different
    hosts; so must those with the same value of a label in ``together_by``, or in ``apart_by``.
    ``reserve`` is the share (0 to 1) of each resource to keep free.
    """

    strategy: Strategy = Strategy.SPREAD
    together: tuple[Group, ...] = ()
    apart: tuple[Group, ...] = ()
    together_by: tuple[str, ...] = ()
    apart_by: tuple[str, ...] = ()
    reserve: float = 0.0


@of_mapping
def _rules(read: Reader) -> Checked[Rules]:
    default = Rules()
    strategy = fields.one_of("strategy", Strategy)
    return read.done(
        Rules(
            strategy=read.take("strategy", strategy, default.strategy),
            together=read.take("together", each(_group), default.together),
            apart=read.take("apart", each(_group), default.apart),
            together_by=read.take("together_by", each(label_name), default.together_by),
            apart_by=read.take("apart_by", each(label_name), default.apart_by),
            reserve=read.take("reserve", _share, default.reserve),
        )
    )


def parse_rules(raw: object) -> Checked[Rules]:
    """Read ``strategy``, ``together`` and ``apart`` (lists of lists of names), ``together_by`` and
    ``apart_by`` (lists of names of labels), ``reserve``."""
    return _rules("", raw)


def _group(path: str, raw: object) -> Checked[Group]:
    match each(fields.vm_name)(path, raw):
        case Success(names) if len(set(names)) > 1:
            return Success(frozenset(names))
        case Success():
            return problem(path, "must name two VMs at least")
        case Failure() as refused:
            return refused


def _share(path: str, raw: object) -> Checked[float]:
    if isinstance(raw, int | float) and not isinstance(raw, bool) and 0 <= raw < 1:
        return Success(float(raw))
    return problem(path, f"must be a share from 0 to below 1, got {shown(raw)}")
