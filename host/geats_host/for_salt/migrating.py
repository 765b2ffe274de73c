"""Carry out the move of a VM between hosts, through the master that both are minions of.

Salt's own file transfer moves the archive: ``cp.push`` sends it to the master, and the target
fetches it from the master's file server (``minionfs``). Which copy of the VM counts is never
assumed: if a phase fails, the source is asked whether it still defines the VM.
"""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from geats_core.fleet.migration import Migration, Phase, Undo
from geats_core.vm.observation import Observation
from geats_host.errors import HostError
from geats_host.for_salt.fleet import Ask, Fleet, Report, said_by

Forget: TypeAlias = Callable[[str, str], None]  # what a minion pushed: its name, the path there
LARGEST_MIB = 100  # Salt's own default of file_recv_max_size


def nobody_listens(_: str) -> None:
    """What is under way is told to nobody."""


def to_a_person(words: str) -> None:
    """Say what is under way, if somebody is at a terminal; a program reads the report."""
    if sys.stderr.isatty():
        print(words, file=sys.stderr, flush=True)


def wrong_with_master(opts: Mapping[str, Any]) -> list[str]:
    """Why this master cannot pass files on, by the names of its options."""
    problems = []
    if not opts.get("file_recv"):
        problems.append("file_recv: must be true in the master's configuration")
    if "minionfs" not in opts.get("fileserver_backend", ()):
        problems.append("fileserver_backend: must list minionfs in the master's configuration")
    return problems


@dataclass(slots=True)
class Mover:
    """One move under way; ``done`` grows with it, and so do ``notes`` of the hosts."""

    move: Migration
    ask: Ask
    forget: Forget
    largest_mib: int = LARGEST_MIB
    archive: dict[str, Any] = field(default_factory=dict)
    tell: Callable[[str], None] = nobody_listens
    done: list[Phase] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def carry_out(self) -> Report:
        """Carry out all phases; if one fails, clean up so that one copy counts.

        The report says which host has that copy (``counts``), what was done, what failed, and what
        could not be cleaned up (``left``). ``notes`` tell of what was done, but not as it should
        be, such as a guest that had to be powered off.
        """
        for number, phase in enumerate(self.move.phases, 1):
            self.tell(f"{self.move.vm}: {phase} ({number} of {len(self.move.phases)})")
            try:
                self._perform(phase)
            except HostError as error:
                return self._failed(phase, str(error))
            self.done.append(phase)
        return self._report(counts=self.move.target)

    def _perform(self, phase: Phase) -> None:
        move = self.move
        match phase:
            case Phase.CLEAR:
                self._call(move.target, "geats.apply", move.vm, "deprovisioned")
            case Phase.SHUTDOWN:
                self._call(move.source, "geats.shutdown", move.vm, to_run=True)
            case Phase.EXPORT:
                self.archive = self._call(move.source, "geats.export", move.vm)
                self._check_size()
            case Phase.COPY:
                if not self._call(move.source, "cp.push", self.archive["path"]):
                    raise HostError("the master did not take the file")
            case Phase.IMPORT:
                url = f"salt://{move.source}{self.archive['path']}"
                arriving = {"arriving": move.source, "to_run": move.running}
                sha256 = self.archive["sha256"]
                self._call(move.target, "geats.import_", url, sha256=sha256, **arriving)
            case Phase.HAND_OVER:
                self._call(move.source, "geats.undefine", move.vm)
            case Phase.ACCEPT:
                self._call(move.target, "geats.accept", move.vm)
            case Phase.START:
                self._call(move.target, "geats.start", move.vm)
            case Phase.REMOVE:
                self._call(move.source, "geats.apply", move.vm, "deprovisioned")
                self._remove_archive()

    def _check_size(self) -> None:
        """A master refuses larger files, and says so only in its log."""
        if self.archive["bytes"] > self.largest_mib * 2**20:
            size_mib = -(-self.archive["bytes"] // 2**20)
            raise HostError(
                f"the archive has {size_mib} MiB, and file_recv_max_size of the master "
                f"is {self.largest_mib}"
            )

    def _failed(self, phase: Phase, error: str) -> Report:
        """Undo if the source still has the VM; otherwise the target has it."""
        move, failed = self.move, {"phase": str(phase), "error": error}
        have = self._seen(move.source)
        if have is None:
            doubt = f"that of {move.source} if it defines {move.vm}, else that of {move.target}"
            return self._report(
                counts=doubt,
                failed=failed,
                left=[f"{move.source} does not answer: nothing was undone"],
            )
        source_defines = have.is_recorded
        undo = move.undone_by(phase) if source_defines else ()
        left = [problem for each in undo for problem in self._undone(each)]
        return self._report(
            counts=move.counts(source_defines=source_defines),
            failed=failed,
            left=[*left, *(self._unconfirmed() if phase is Phase.IMPORT else ())],
        )

    def _seen(self, host: str) -> Observation | None:
        """What the host has of the VM; None if it does not answer."""
        found = Fleet.asked(self.ask, host).hosts.get(host)
        return None if found is None else found.observations.get(self.move.vm, Observation())

    def _unconfirmed(self) -> Iterable[str]:
        """What a failed import may have left on the target: it is not known who made it."""
        have = self._seen(self.move.target)
        if have is None or have.exists:
            yield f"{self.move.vm} may be on {self.move.target}: repeat the move, or deprovision it"

    def _undone(self, undo: Undo) -> Iterable[str]:
        """Do it, and yield why something was not done."""
        move = self.move
        try:
            match undo:
                case Undo.REMOVE_IMPORT:
                    self._call(move.target, "geats.apply", move.vm, "deprovisioned")
                case Undo.REMOVE_ARCHIVE:
                    self._remove_archive()
                case Undo.START_AGAIN:
                    self._call(move.source, "geats.start", move.vm)
        except HostError as error:
            yield f"{undo}: {error}"

    def _remove_archive(self) -> None:
        if "path" in self.archive:
            self._call(self.move.source, "file.remove", self.archive["path"])
            self.forget(self.move.source, self.archive["path"])

    def _call(self, host: str, function: str, *args: object, **named: object) -> Any:
        """What the host returns; raises ``HostError`` if it fails or does not answer."""
        whole = {"verbose": True} if function.startswith("geats.") else {}
        said = said_by(self.ask, host, function, *args, **named, **whole)
        if isinstance(said, Mapping):
            self.notes += [f"{host}: {note}" for note in said.get("notes", ())]
        return said

    def _report(self, *, counts: str, failed: object = None, left: Sequence[str] = ()) -> Report:
        move = self.move
        return {
            "name": move.vm,
            "source": move.source,
            "target": move.target,
            "counts": counts,
            "done": [str(phase) for phase in self.done],
            "failed": failed,
            "left": list(left),
            "notes": list(self.notes),
        }
