"""The VMs of a host that is lost, started on other hosts: with what they have in shared pools, or
from their newest exports."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from returns.result import Success

from geats_core.declared.placement_rules import Rules, parse_rules
from geats_core.fleet.claiming import Holder, keys_of
from geats_core.fleet.placement import Candidate, place, with_goal
from geats_core.planning.goal import Goal, Target
from geats_core.plans.codec import decode
from geats_core.vm.parse import to_plain
from geats_core.vm.spec import VMSpec
from geats_host.errors import HostError, Refused, accepted
from geats_host.for_salt.claims import Claims, hold
from geats_host.for_salt.fleet import SILENT, Ask, Fleet, Report, answers, said_by
from geats_host.for_salt.recovering.left_in_pools import Left

TAKE = "geats.take"
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
    silent: Mapping[str, str] = field(default_factory=dict)  # why other hosts do not answer
    elsewhere: Mapping[str, frozenset[str]] = field(default_factory=dict)  # who may have each VM
    found: dict[str, list[Found]] = field(default_factory=dict)  # the newest first, by VM
    left: Left = field(default_factory=Left)  # what it has in shared pools

    @classmethod
    def of(
        cls,
        lost: str,
        asked: Ask,
        ask: Ask,
        target: str,
        claims: Claims,
        *,
        called: str | None = None,
        pillar: Mapping[str, Any] | None = None,
    ) -> "Recovery":
        """Ask the hosts of *target*; each of them alone is asked by *ask*.

        *called* is what the lost host is called in shared pools; without it, that is its id, or
        what comes before the first dot. *pillar* is that of the lost host.
        """
        names = {lost, lost.partition(".")[0]} if called is None else {called}
        left = Left.of(names, asked, target, pillar or {})
        fleet = Fleet.asked(asked, target)
        elsewhere: dict[str, set[str]] = {}
        for known in answers(asked(target, "geats.elsewhere")).hosts.values():
            for vm, host in (known or {}).items():
                elsewhere.setdefault(vm, set()).add(host)
        vms = {vm for vm, owners in elsewhere.items() if lost in owners}
        vms |= {holder.vm for holder in claims.of(host=lost).values()}
        vms |= left.seen.keys()
        return cls(
            lost=lost,
            left=left,
            ask=ask,
            hosts=dict(fleet.hosts),
            claims=claims,
            vms=frozenset(vms),
            silent={host: why for host, why in fleet.problems.items() if host != lost},
            elsewhere={vm: frozenset(owners) for vm, owners in elsewhere.items()},
            found=_found(answers(asked(target, "geats.exports")).hosts),
        )

    def check(self, *, fenced: bool) -> None:
        """Raise ``Refused`` unless the host is lost, and somebody gives their word for it."""
        said = answers(self.ask(self.lost, "geats.candidate"))
        if self.lost in said.hosts or said.problems.get(self.lost, SILENT) != SILENT:
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
        self._check_is_nowhere(vm)
        if vm in self.left.seen:
            return self._taken_over(vm, accepted(parse_rules(rules)), test=test)
        if vm not in self.found:
            raise Refused("no host has an export of it")
        newest = self.found[vm][0].taken_s
        archives = {each.host: each for each in self.found[vm] if each.taken_s == newest}
        goal = Goal(name=vm, target=Target.RUNNING, spec=self.found[vm][0].spec)
        hosts = {host: each for host, each in self.hosts.items() if host in archives}
        host = accepted(place(goal, hosts, accepted(parse_rules(rules)))).host
        archive = archives[host]
        self.claims.check(Holder(vm=vm, host=self.lost), keys_of(archive.spec))
        told = {"host": host, "archive": archive.path, "taken_s": archive.taken_s}
        if not test:
            self._start(vm, archive)
        self.hosts[host] = with_goal(self.hosts[host], goal)
        return told

    def _taken_over(self, vm: str, rules: Rules, *, test: bool) -> Report:
        """Have another host take over what is in shared pools, and start it."""
        goal = Goal(name=vm, target=Target.RUNNING, spec=self.left.spec(vm))
        spec, keys = self.left.spec(vm), keys_of(self.left.spec(vm))
        host, called = self.left.host_for(goal, self.hosts, rules)
        own = self.claims.of(vm)
        self.claims.check(Holder(vm=vm, host=self.lost), [key for key in keys if key not in own])
        plain = to_plain(spec)
        if test:
            said_by(self.ask, host, TAKE, vm, called, fenced=True, spec=plain, test=True)
        else:
            with self.claims.working_on(vm):
                self.claims.move(vm, self.lost, host)
                hold(self.claims, self.ask, Holder(vm=vm, host=host), keys)
                said_by(self.ask, host, TAKE, vm, called, fenced=True, spec=plain)
                said_by(self.ask, host, "geats.start", vm)
        self.hosts[host] = with_goal(self.hosts[host], goal)
        return {"host": host, "pools": sorted(self.left.seen[vm][host])}

    def _check_is_nowhere(self, vm: str) -> None:
        """Raise ``Refused`` if a host that was not heard may have it: it would run twice."""
        holders = {each.host for each in self.claims.of(vm).values()}
        others = holders - {self.lost}
        if vm in self.left.seen:  # all see whose it is: nobody else can have its volumes
            others -= self.hosts.keys()
        elif not holders:  # what the hosts were told may be old
            others = {*self.silent, *self.elsewhere.get(vm, ())} - {self.lost} - self.hosts.keys()
        if others:
            raise Refused(f"{', '.join(sorted(others))} may have it, and was not heard")

    def _start(self, vm: str, archive: Found) -> None:
        """Import it, let what the lost host held for it go there, and start it."""
        host, keys = archive.host, keys_of(archive.spec)
        with self.claims.working_on(vm):
            said_by(self.ask, host, "geats.import_", archive.path)
            self.claims.move(vm, self.lost, host)
            hold(self.claims, self.ask, Holder(vm=vm, host=host), keys)
            said_by(self.ask, host, "geats.start", vm)


def _found(exports: Mapping[str, Any]) -> dict[str, list[Found]]:
    """The archives that hosts can read, by VM, the newest first."""
    found: dict[str, list[Found]] = {}
    for host, archives in exports.items():
        for each in archives or ():
            match decode(VMSpec, "", each["spec"]):
                case Success(spec):
                    where = {"host": host, "path": each["path"], "taken_s": each["taken_s"]}
                    found.setdefault(each["vm"], []).append(Found(**where, spec=spec))
                case _:
                    pass  # of another version of geats: that host cannot import it either
    for of_one in found.values():
        of_one.sort(key=lambda each: (-each.taken_s, each.host))
    return found
