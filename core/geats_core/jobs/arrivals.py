"""VMs that come from another host: a copy that is whole, and does not count before it is accepted.

Theory of operation
-------------------
While a VM moves, two hosts have it, and neither can ask the other. So the copy on the target stays
an unfinished one (``Observation.copy_of``), which nobody starts, until somebody who knows that the
source has given the VM up *accepts* it. If it is to run then, the target knows that from the first
step of the import on.
"""

import re

from returns.result import Failure

from geats_core.deciding.refusals import foreign, undefined
from geats_core.planning.actions import ConfigureGuest
from geats_core.planning.draft import Draft
from geats_core.planning.goal import Goal, Target
from geats_core.planning.steps import Plan
from geats_core.planning.then import Then
from geats_core.reading.checked import Checked, Code, Problem
from geats_core.reading.values import dataclass
from geats_core.vm.observation import Observation
from geats_core.vm.spec import ROOT

HOST = re.compile(r"[^\s()]{1,255}")
COPY_OF = re.compile(rf"the VM (?P<vm>\S+) of the host (?P<host>{HOST.pattern}) \([0-9a-f]+\)")


@dataclass(frozen=True, slots=True)
class Arrival:
    """From which host a VM comes, and what is to become of it once it is accepted."""

    host: str
    then: Then = Then.OFF

    def copy_of(self, vm: str, digest: str) -> str:
        """What it is a copy of, until it is accepted; *digest* is that of its archive."""
        return f"the VM {vm} of the host {self.host} ({digest})"


def comes_from(vm: str, have: Observation) -> str | None:
    """The host that the VM comes from, if it is not accepted yet."""
    found = COPY_OF.fullmatch(have.copy_of)
    return found["host"] if found and found["vm"] == vm else None


def plan_accept(name: str, have: Observation) -> Checked[Plan]:
    """From now on, the copy on this host is the VM; one that is accepted already stays as it is.

    Refused if a part of it is still to be copied. It is for whoever knows that the host that the VM
    comes from has given it up: otherwise, two hosts have the VM.
    """
    found = [*foreign(Goal(name=name, target=Target.OFF), have), *undefined(name, have)]
    if have.is_unfinished_copy:
        message = "is not whole: repeat the command that copies it, or deprovision it"
        found.append(Problem(name, message, Code.REFUSED))
    if found or have.recorded is None:
        return Failure(tuple(found))
    draft = Draft(name, have)
    if have.copy_of:
        reason = f"it is no longer {have.copy_of}, but of this host"
        draft.add(ConfigureGuest(have.recorded.root.pool, ROOT, have.recorded), reason)
    return draft.finished()
