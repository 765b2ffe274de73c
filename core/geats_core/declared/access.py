"""Who may ask the agent of a host for what, beside root."""

import re
from collections.abc import Collection, Mapping
from dataclasses import field
from enum import StrEnum

from geats_core.reading.checked import Checked
from geats_core.reading.fields import Reader, each, matching, named, of_mapping, one_of
from geats_core.reading.values import dataclass


class Right(StrEnum):
    """What somebody may ask for; each is only what it says."""

    READ = "read"  # to look at VMs, and to plan
    APPLY = "apply"  # to change them, and to run programs in them
    DATA_LOSS = "data_loss"  # to lose data by that


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The rights of the members of unix groups, by the name of the group. Root has all rights."""

    allow: Mapping[str, tuple[Right, ...]] = field(default_factory=dict)

    def of_groups(self, groups: Collection[str]) -> frozenset[Right]:
        """The rights of a user who is in all these groups."""
        return frozenset(right for name in groups for right in self.allow.get(name, ()))


_group = matching(
    re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}\$?"), "the name of a unix group, such as operators"
)
_rights = named(each(one_of("right", Right)), _group)
NOBODY: Mapping[str, tuple[Right, ...]] = {}


@of_mapping
def parse_access(read: Reader) -> Checked[Access]:
    """Read ``allow``: lists of rights by the names of groups."""
    return read.done(Access(allow=read.take("allow", _rights, NOBODY)))
