"""Which VMs a list is to show: of these names, powers and drivers, declared or not, and so on."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TypeVar

from geats_core.reading import fields
from geats_core.reading.checked import Checked
from geats_core.reading.fields import Parser, each, one_of
from geats_core.reading.labels import Labelled, labelled
from geats_core.reading.mappings import FORMER, Options, options

T = TypeVar("T")


class ListedPower(StrEnum):
    """The powers that a list shows; NONE is of a VM that is not defined.

    UNKNOWN is of one whose driver is not available.
    """

    STOPPED = "stopped"
    RUNNING = "running"
    FROZEN = "frozen"
    HELD = "held"
    STUCK = "stuck"
    UNKNOWN = "unknown"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListFilter:
    """Which VMs to show; an empty tuple and None select all.

    ``vms`` are case-sensitive patterns such as ``web*``. Of several labels, a VM must have all; of
    several groups of autostart, one.
    """

    vms: tuple[str, ...] = ()
    power: tuple[ListedPower, ...] = ()
    driver: tuple[str, ...] = ()
    label: tuple[Labelled, ...] = ()
    group: tuple[str, ...] = ()
    declared: bool | None = None
    defined: bool | None = None
    locked: bool | None = None

    def picks(self, name: str, row: Mapping[str, object]) -> bool:
        """Whether to show the VM; *row* is of a list, with ``labels``, ``groups``, and a key for
        each other field but ``vms``.
        """
        power = row["power"] or ListedPower.NONE
        labels = row["labels"]
        return (
            (not self.vms or any(fnmatchcase(name, pattern) for pattern in self.vms))
            and (not self.power or power in self.power)
            and (not self.driver or row["driver"] in self.driver)
            and all(isinstance(labels, Mapping) and each.picks(labels) for each in self.label)
            and (not self.group or _has_one(row["groups"], self.group))
            and self.declared in (None, row["declared"])
            and self.defined in (None, row["defined"])
            and self.locked in (None, row["locked"])
        )


def parse_filter(raw: Options, drivers: Iterable[str]) -> Checked[ListFilter]:
    """Read the fields of a filter, on a host with these drivers; a list may be one word alone."""
    read = options(raw)
    return read.done(
        ListFilter(
            vms=read.take("vms", _some(fields.text), ()),
            power=read.take("power", _some(one_of("power", ListedPower)), ()),
            driver=read.take("driver", _some(one_of("driver", drivers)), ()),
            label=read.take("label", _some(labelled), ()),
            group=read.take("group", _some(fields.text), ()),
            declared=read.take("declared", fields.boolean, None),
            defined=read.take("defined", fields.boolean, None),
            locked=read.take("locked", fields.boolean, None),
        ),
        former=FORMER,
    )


def _has_one(groups: object, wanted: tuple[str, ...]) -> bool:
    return isinstance(groups, list) and not {*wanted}.isdisjoint(groups)


def _some(item: Parser[T]) -> Parser[tuple[T, ...]]:
    """A list of what *item* reads, or one of it."""

    def parse(path: str, raw: object) -> Checked[tuple[T, ...]]:
        return each(item)(path, [raw] if isinstance(raw, str) else raw)

    return parse
