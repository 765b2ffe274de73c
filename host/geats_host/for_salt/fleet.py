"""Many hosts as a Salt master sees them: which VMs run on which host, which host can take one, what
to move.

The caller passes an ``Ask``: the master's way to run a function on minions. Each report has
``problems``, by host: why a host is missing from it or incomplete. Minions without geats are left
out.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

from returns.result import Failure, Success

from geats_core.declared.placement_rules import Rules, parse_rules
from geats_core.fleet.balancing import Move, drain, rebalance
from geats_core.fleet.duplicates import duplicates
from geats_core.fleet.migration import Migration, migration
from geats_core.fleet.placement import Candidate, place
from geats_core.fleet.twins import owners
from geats_core.hostwide.host_planner import plan_host
from geats_core.planning.goal import Goal, Target
from geats_core.plans.codec import decode, encode
from geats_core.plans.plan_files import saved
from geats_core.reading.checked import problems_to_plain
from geats_core.reading.mappings import Raw
from geats_core.vm.observation import Observation
from geats_core.vm.parse import parse_vm
from geats_core.vm.spec import VMSpec
from geats_host.errors import HostError, Refused, accepted
from geats_host.for_salt.in_brief import plan_in_brief

Ask: TypeAlias = Callable[..., Mapping[str, Any]]  # of a target, a function, and its arguments
Report: TypeAlias = dict[str, Any]
Words: TypeAlias = Mapping[str, object]  # of rules, as people write them
SILENT = "did not answer"
AT_A_TIME = 50  # hosts that are told a lot
NOT_LOADED = "is not available."  # how Salt says that a minion has no such function
PILLAR_FAILED = 5  # as salt.defaults.exitcodes has it
NOT_WHOLE = "its pillar failed to render: what it declares may be missing here"
WITH_ANSWER = (None, 0, PILLAR_FAILED)  # the last with all that can be seen without a pillar
NO_HOST = "is not supported for resource type"  # and that a VM answers, not a minion


@dataclass(frozen=True, slots=True)
class Answers:
    """What each host said, and why the others did not."""

    hosts: Mapping[str, Any]
    problems: Mapping[str, str]


def answers(raw: Mapping[str, Any]) -> Answers:
    """Sort what minions returned, in full (``ret`` and ``retcode``), or False for no return."""
    hosts: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for host, given in sorted(raw.items()):
        if not given or given.get("out") == "no_return":
            problems[host] = SILENT
        elif given.get("retcode") in WITH_ANSWER:
            hosts[host] = given.get("ret")
            if given.get("retcode") == PILLAR_FAILED:
                problems[host] = NOT_WHOLE
        elif not _is_of_another(str(given.get("ret"))):
            problems[host] = str(given.get("ret")).removeprefix("ERROR: ")
    return Answers(hosts, problems)


def said_by(ask: Ask, host: str, function: str, *args: object, **named: object) -> Any:
    """What the host returns; raises ``HostError`` where it fails, or does not answer."""
    found = answers(ask(host, function, *args, **named))
    if host not in found.hosts:
        why = found.problems.get(host, "is not there, or has no such function")
        raise HostError(f"{host}: {function}: {why}")
    return found.hosts[host]


def _is_of_another(said: str) -> bool:
    """Whether this is said for a minion without geats, or for a VM that Salt has as a target."""
    return said.endswith(NOT_LOADED) or NO_HOST in said


@dataclass(frozen=True, slots=True)
class Fleet:
    """The hosts that answered, and why others did not.

    Methods raise ``Refused`` on wrong input, and if there is no answer to the question.
    """

    hosts: Mapping[str, Candidate]
    problems: Mapping[str, str]

    @classmethod
    def asked(cls, ask: Ask, target: str) -> "Fleet":
        """Ask every host that *target* matches."""
        found = answers(ask(target, "geats.candidate"))
        hosts: dict[str, Candidate] = {}
        problems = dict(found.problems)
        for host, raw in found.hosts.items():
            match decode(Candidate, "", raw):
                case Success(candidate):
                    hosts[host] = candidate
                case Failure(wrong):
                    problems[host] = f"is of another version of geats: {wrong[0]}"
        return cls(hosts, problems)

    def find(self, what: str) -> Report:
        """VMs by a pattern of their names, an address, a MAC address or a label: where they are."""
        found = {
            host: {vm: _seen(candidate, vm) for vm in sorted(candidate.vms)}
            for host, candidate in self.hosts.items()
        }
        matching = {
            host: {name: vm for name, vm in vms.items() if _matches(what, name, vm)}
            for host, vms in found.items()
        }
        return self._report(hosts={host: vms for host, vms in matching.items() if vms})

    def tell(self, ask: Ask) -> Report:
        """Tell each host which VMs the others have: how many of them, by host.

        All are told the same, some hosts at a time: what a host answers is as long as that.
        """
        told: dict[str, int] = {}
        problems = dict(self.problems)
        known, names = owners(self.hosts), sorted(self.hosts)
        of_each = Counter(known.values())
        for first in range(0, len(names), AT_A_TIME):
            some = names[first : first + AT_A_TIME]
            found = answers(ask(some, "geats.elsewhere", known))
            told |= {host: len(known) - of_each[host] for host in some if host in found.hosts}
            problems |= {each: f"{each}: {why}" for each, why in found.problems.items()}
        return {"told": told, "problems": problems}

    def duplicates(self) -> Report:
        """What VMs on two hosts both have, and must not."""
        return self._report(duplicates=[encode(each) for each in duplicates(self.hosts)])

    def place(self, name: str, spec: Raw, rules: Words) -> Report:
        """The host for a new VM, its load (0 to 1) with it, and why it could not be another."""
        wanted = accepted(parse_vm(name, spec), name)
        goal = Goal(name=name, target=Target.DECLARED, spec=wanted)
        found = accepted(place(goal, self.hosts, _rules(rules)))
        refused = problems_to_plain(found.refused)
        return self._report(host=found.host, load=round(found.load, 3), refused=refused)

    def would_start(self, host: str, spec: VMSpec) -> list[str]:
        """What a host would do to start a new VM, as far as its answer tells."""
        there = self.hosts[host]
        goal = Goal(name=spec.name, target=Target.RUNNING, spec=spec)
        made = accepted(plan_host([goal], there.observations, there.facts, there.policy))
        return plan_in_brief(saved(made, there.observations))

    def drain(self, host: str, rules: Words) -> Report:
        """The moves that empty a host."""
        return self._moves(accepted(drain(host, self.hosts, _rules(rules))))

    def rebalance(self, rules: Words) -> Report:
        """The moves that level the loads."""
        return self._moves(rebalance(self.hosts, _rules(rules)))

    def migration(
        self, name: str, target: str, source: str | None, *, test: bool = False
    ) -> Migration:
        """The move of one VM; also refused if a host that could have the VM did not answer.

        In *test* mode, it may still be declared where it is: see ``declared_on``.
        """
        hosts = self.hosts
        if test:
            hosts = {host: _undeclared(name, each) for host, each in hosts.items()}
        found = migration(name, target, hosts, source)
        silent = [f"{host}: {why}" for host, why in self.problems.items()]
        match found:
            case Failure(problems):
                raise Refused(*problems, *silent)
            case Success(move):
                if source is None and silent:
                    raise Refused(*silent, "source: must say which, while not all hosts answer")
                return move

    def declared_on(self, name: str, host: str) -> bool:
        """Whether the pillar of *host* declares this VM."""
        return host in self.hosts and any(goal.name == name for goal in self.hosts[host].goals)

    def _moves(self, moves: tuple[Move, ...]) -> Report:
        return self._report(
            moves=[
                {
                    "vm": move.vm,
                    "source": move.source,
                    "target": move.target,
                    "reason": move.reason,
                    "command": f"salt-run geats.migrate {move.vm} {move.target} "
                    f"source={move.source}",
                }
                for move in moves
            ]
        )

    def _report(self, **found: object) -> Report:
        return {**found, "problems": dict(self.problems)}


def _undeclared(name: str, host: Candidate) -> Candidate:
    return replace(host, goals=tuple(goal for goal in host.goals if goal.name != name))


def _rules(words: Words) -> Rules:
    return accepted(parse_rules(words))


def _seen(candidate: Candidate, vm: str) -> Report:
    """What one would know a VM by."""
    have = candidate.observations.get(vm, Observation())
    wanted = [goal.spec for goal in candidate.goals if goal.name == vm]
    spec = have.recorded or next(iter(wanted), None)
    nics = spec.nics if spec else ()
    labels = spec.labels if spec else ()
    return {
        "power": str(have.power) if have.exists else "absent",
        "addresses": [str(each.ip) for nic in nics for each in nic.addresses],
        "macs": [nic.mac for nic in nics],
        "labels": dict(labels),
    }


def _matches(what: str, name: str, vm: Report) -> bool:
    known = what.lower()
    if "=" in what:
        return what in (f"{label}={value}" for label, value in vm["labels"].items())
    return fnmatchcase(name, what) or known in vm["addresses"] or known in vm["macs"]
