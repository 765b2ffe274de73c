"""The VMs of a host that is lost, started on other hosts from their newest exports."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from returns.result import Success

from geats_core.declared.placement_rules import parse_rules
from geats_core.fleet.claiming import Holder, keys_of
from geats_core.fleet.placement import Candidate, place, with_goal
from geats_core.planning.goal import Goal, Target
from geats_core.plans.codec import decode
from geats_core.vm.spec import VMSpec
from geats_host.errors import HostError, Refused, accepted
from geats_host.for_salt.claims import Claims, hold
from geats_host.for_salt.fleet import Ask, Fleet, Report, answers, said_by

FENCED = (
    "fenced: must be true: say so only if {} is off, and does not come back by itself, or its VMs "
    "run twice"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An archive of a VM on a host that can read it."""

    host: str
    path: str
    taken_s: int
    spec: VMSpec


@dataclass(slots=True, kw_only=True)
class Recovery:
    """What is known of the lost host, and what others have."""

    lost: str
    ask: Ask
    hosts: dict[str, Candidate]
    claims: Claims
    vms: frozenset[str]
    found: dict[str, list[Found]] = field(default_factory=dict)  # the newest first, by VM

    @classmethod
    def of(cls, lost: str, asked: Ask, ask: Ask, target: str, claims: Claims) -> "Recovery":
        """Ask the hosts of *target*; each of them alone is asked by *ask*."""
        hosts = dict(Fleet.asked(asked, target).hosts)
        told = answers(asked(target, "geats.elsewhere")).hosts
        vms = {vm for known in told.values() for vm, host in (known or {}).items() if host == lost}
        vms |= {holder.vm for holder in claims.of(host=lost).values()}
        found: dict[str, list[Found]] = {}
        for host, archives in answers(asked(target, "geats.exports")).hosts.items():
            for each in archives or ():
                match decode(VMSpec, "", each["spec"]):
                    case Success(spec):
                        where = {"host": host, "path": each["path"], "taken_s": each["taken_s"]}
                        found.setdefault(each["vm"], []).append(Found(**where, spec=spec))
                    case _:
                        pass  # of another version of geats: that host cannot import it either
        for archives in found.values():
            archives.sort(key=lambda each: (-each.taken_s, each.host))
        vms_ = frozenset(vms)
        return cls(lost=lost, ask=ask, hosts=hosts, claims=claims, vms=vms_, found=found)

    def check(self, *, fenced: bool) -> None:
        """Raise ``Refused`` unless the host is lost, and somebody gives their word for it."""
        if self.lost in self.hosts:
            raise Refused(f"{self.lost}: answers, so it is not lost: `geats.evacuate` empties it")
        if fenced is not True:
            raise Refused(FENCED.format(self.lost))

    def carry_out(self, rules: Mapping[str, object], *, test: bool) -> Report:
        """Recover each VM; what cannot be done for one stops no other."""
        recovered: dict[str, Any] = {}
        left: dict[str, str] = {}
        for vm in sorted(self.vms):
            try:
                recovered[vm] = self._recovered(vm, rules, test=test)
            except (HostError, Refused) as error:
                left[vm] = f"{error}"
        return {"recovered": recovered, "left": left}

    def _recovered(self, vm: str, rules: Mapping[str, object], *, test: bool) -> Report:
        there = [host for host, each in self.hosts.items() if vm in each.vms]
        if there:
            raise Refused(f"is on {there[0]} already")
        if vm not in self.found:
            raise Refused("no host has an export of it")
        newest = self.found[vm][0].taken_s
        archives = {each.host: each for each in self.found[vm] if each.taken_s == newest}
        goal = Goal(name=vm, target=Target.RUNNING, spec=self.found[vm][0].spec)
        hosts = {host: each for host, each in self.hosts.items() if host in archives}
        host = accepted(place(goal, hosts, accepted(parse_rules(rules)))).host
        archive = archives[host]
        told = {"host": host, "archive": archive.path, "taken_s": archive.taken_s}
        if not test:
            self._start(vm, archive)
        self.hosts[host] = with_goal(self.hosts[host], goal)
        return told

    def _start(self, vm: str, archive: Found) -> None:
        """Import it, let what the lost host held for it go there, and start it."""
        host, keys = archive.host, keys_of(archive.spec)
        said_by(self.ask, host, "geats.import_", archive.path)
        self.claims.move(vm, self.lost, host)
        hold(self.claims, self.ask, Holder(vm=vm, host=host), keys)
        said_by(self.ask, host, "geats.start", vm)
