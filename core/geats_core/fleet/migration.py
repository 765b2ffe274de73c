"""The move of a VM from one host to another while it is off: its phases, and which copy counts.

Theory of operation
-------------------
The copy on the source counts for as long as the source defines the VM; the other counts from the
moment that it does not. So there is one moment at which the VM changes hosts, ``HAND_OVER``, and a
move that fails before it is undone, one that fails after it is only finished: the copy on the
target is never started before, that on the source never after. Only a move knows both hosts: so
the target takes its copy for an unfinished one until the move lets it accept the VM. If a move is
killed, the next plan of the source starts the VM before that moment, that of the target after it
has accepted the VM; and the same move goes on from wherever the other ended (``Begun``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from returns.result import Failure, Success

from geats_core.fleet.movable import movable
from geats_core.fleet.placement import Candidate, place, without
from geats_core.jobs.arrivals import comes_from
from geats_core.reading.checked import (
    Checked,
    Code,
    Problem,
    Problems,
    problem,
    problems_of,
    unknown,
)
from geats_core.vm.observation import Observation, Power


class Phase(StrEnum):
    """What is done, in this order."""

    CLEAR = "clear"
    SHUTDOWN = "shutdown"
    EXPORT = "export"
    COPY = "copy"
    IMPORT = "import"
    HAND_OVER = "hand over"
    ACCEPT = "accept"
    START = "start"
    REMOVE = "remove"


class Undo(StrEnum):
    """What gives the source back what it had, in this order."""

    REMOVE_IMPORT = "remove what was imported"
    REMOVE_ARCHIVE = "remove the archive"
    START_AGAIN = "start it again"


class Begun(StrEnum):
    """How far an earlier try of the same move came, that was interrupted."""

    NOT = "not"
    IMPORTED = "imported"  # at least in part; the source may have been started since
    HANDED_OVER = "handed over"
    ACCEPTED = "accepted"


PHASES = {
    Begun.NOT: frozenset(Phase) - {Phase.CLEAR},
    Begun.IMPORTED: frozenset(Phase),
    Begun.HANDED_OVER: frozenset({Phase.ACCEPT, Phase.START, Phase.REMOVE}),
    Begun.ACCEPTED: frozenset({Phase.START}),
}
_DECLARED = "is declared on {}, which would recreate it: move its declaration to the target first"
ONLY_RUNNING = frozenset({Phase.SHUTDOWN, Phase.START})


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """A VM that is to leave *source* for *target*; ``running`` is whether it shall run.

    That it shall is recorded on the source before it is off: a move that is interrupted leaves a VM
    that the next plan there starts, or that the same move takes along.
    """

    vm: str
    source: str
    target: str
    running: bool
    begun: Begun = Begun.NOT

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Every step of the migration that is left, in order."""
        left = PHASES[self.begun] - (frozenset() if self.running else ONLY_RUNNING)
        return tuple(phase for phase in Phase if phase in left)

    def undone_by(self, failed: Phase) -> tuple[Undo, ...]:
        """What to do if *failed* failed, perhaps half-way, and the source still has the VM.

        A failed import cleans up after itself, so what is on the target then does not belong to
        this move.
        """
        done = self.phases[: self.phases.index(failed)]
        needed = {
            Undo.REMOVE_IMPORT: Phase.IMPORT in done,
            Undo.REMOVE_ARCHIVE: Phase.EXPORT in (*done, failed),
            Undo.START_AGAIN: self.running,
        }
        return tuple(undo for undo, is_needed in needed.items() if is_needed)

    def counts(self, *, source_defines: bool) -> str:
        """The host with the valid copy of the VM; the other copy should be removed."""
        return self.source if source_defines else self.target


def migration(
    vm: str, target: str, hosts: Mapping[str, Candidate], source: str | None = None
) -> Checked[Migration]:
    """The move of *vm* to the host *target*, from *source* or from where it is; or why not.

    If an earlier try was interrupted, what is left of it.
    """
    come = _seen(vm, target, hosts)
    origin = comes_from(vm, come)
    if origin and source in (None, origin):
        if origin not in hosts:
            why = f"{vm} comes from {origin}, which did not answer: it may still have the VM"
            return problem("source", why, Code.UNAVAILABLE)
        if not _seen(vm, origin, hosts).is_recorded:
            return _handed_over(vm, origin, target, come)
    if come.is_recorded and come.to_run and not origin and _owners(vm, hosts) == [target]:
        move = Migration(vm=vm, source=source or target, target=target, running=True)
        return Success(replace(move, begun=Begun.ACCEPTED))
    match _source(vm, hosts, source):
        case Success(there):
            problems = (*_kept(vm, there, hosts[there]), *_not_taken(vm, there, target, hosts))
            have = hosts[there].observations[vm]
            running = have.power is not Power.STOPPED or have.to_run
            begun = Begun.IMPORTED if origin == there else Begun.NOT
            found = Migration(vm=vm, source=there, target=target, running=running, begun=begun)
            return Failure(problems) if problems else Success(found)
        case Failure() as refused:
            return refused


def _handed_over(vm: str, source: str, target: str, come: Observation) -> Checked[Migration]:
    """The rest of a move whose source has given the VM up."""
    if come.is_unfinished_copy:
        why = f"{source} has given {vm} up, and {target} has a part of it only: define it there"
        return problem(vm, why, Code.REFUSED)
    running, begun = come.to_run, Begun.HANDED_OVER
    return Success(Migration(vm=vm, source=source, target=target, running=running, begun=begun))


def _source(vm: str, hosts: Mapping[str, Candidate], given: str | None) -> Checked[str]:
    """The one host that the VM is on, or the one of several that was given."""
    if given is not None and given not in hosts:
        return Failure((unknown("source", "host", given, hosts),))
    owners = _owners(vm, hosts)
    if not owners:
        return Failure(
            (unknown("name", "VM", vm, {each for h in hosts for each in _vms(hosts[h])}),)
        )
    if given is None and len(owners) > 1:
        return problem("source", f"must say which: {vm} is on {', '.join(owners)}", Code.MISSING)
    if given is not None and given not in owners:
        why = f"{vm} is not on {given}, but on {', '.join(owners)}"
        return problem("source", why, Code.REFUSED)
    return Success(given or owners[0])


def _owners(vm: str, hosts: Mapping[str, Candidate]) -> list[str]:
    """Where the VM is: rather not where it arrives, or where only volumes are left of it."""
    there = {host: _seen(vm, host, hosts) for host in sorted(hosts) if vm in _vms(hosts[host])}
    owners = [host for host, have in there.items() if not comes_from(vm, have)]
    return [host for host in owners if there[host].has_power] or owners or list(there)


def _kept(vm: str, source: str, host: Candidate) -> Problems:
    """Why the VM cannot leave."""
    why = _DECLARED.format(source)
    declared = [Problem(vm, why, Code.REFUSED) for goal in host.goals if goal.name == vm]
    return (*declared, *problems_of(movable(vm, host)))


def _not_taken(vm: str, source: str, target: str, hosts: Mapping[str, Candidate]) -> Problems:
    """Why the VM cannot come; that it is declared there already is as it should be."""
    if target not in hosts:
        return (unknown("target", "host", target, hosts),)
    come = _seen(vm, target, hosts)
    if come.exists and comes_from(vm, come) != source:
        return (Problem("target", _there_already(vm, target, hosts), Code.REFUSED),)
    match movable(vm, replace(hosts[source], goals=())):
        case Success(goal):
            return problems_of(place(goal, {target: without(hosts[target], vm)}))
        case Failure():
            return ()  # said already


def _there_already(vm: str, target: str, hosts: Mapping[str, Candidate]) -> str:
    """That it is there; and what an interrupted move may have left elsewhere."""
    bare = [host for host in sorted(hosts) if vm in _vms(hosts[host]) and host != target]
    bare = [host for host in bare if not _seen(vm, host, hosts).has_power]
    left = f"; {', '.join(bare)} has volumes of it that nobody defines" if bare else ""
    return f"{vm} is on {target} already{left}"


def _seen(vm: str, host: str, hosts: Mapping[str, Candidate]) -> Observation:
    """What there is of the VM on the host, if that is one of these."""
    return hosts[host].observations.get(vm, Observation()) if host in hosts else Observation()


def _vms(host: Candidate) -> frozenset[str]:
    """The VMs that are there, declared or not."""
    return frozenset(name for name, have in host.observations.items() if have.exists)
