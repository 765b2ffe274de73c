"""Carry out the move of a VM by which the target fetches it directly from the source, by ssh.

The master only says so to both. What is copied, and when the VM changes hosts, is up to the two:
see ``geats_core.jobs.moves``.
"""

from dataclasses import dataclass
from typing import Any

from geats_core.reading.checked import unknown
from geats_core.vm.observation import Observation
from geats_host.errors import HostError, Refused
from geats_host.for_salt.fleet import Ask, Fleet, Report, said_by
from geats_host.peers.peer import url_of


@dataclass(frozen=True, slots=True)
class DirectMove:
    """A VM that *target* fetches from *source*, which it reaches at *via*; *live*: as it runs."""

    vm: str
    source: str
    target: str
    via: str
    live: bool
    ask: Ask

    def planned(self) -> Report:
        """What would be done; raises ``Refused`` if the target has no plan, or does not answer."""
        try:
            said = self._fetch(test=True)
        except HostError as error:
            raise Refused(str(error)) from None
        return self._report(would=said["text"], bytes=said["bytes"])

    def carry_out(self) -> Report:
        """Do it; if it fails, and the source still has the VM, it runs there again.

        The report says which host has the VM (``counts``), what failed, and what is ``left``.
        """
        try:
            said = self._fetch()
        except HostError as error:
            return self._failed(str(error))
        left = [said["left"]] if said["left"] else []
        return self._report(counts=self.target, failed=None, left=left, bytes=said["bytes"])

    def _fetch(self, **named: object) -> Any:
        """What the target says of the fetch; the source can only answer it with a command."""
        command = said_by(self.ask, self.source, "geats.send_command")["command"]
        url = url_of(self.via, self.vm, command)
        how = {"live": True} if self.live else {"shutdown": True}
        words = {**how, "verbose": True, **named}
        return said_by(self.ask, self.target, "geats.fetch", url, **words)

    def _failed(self, error: str) -> Report:
        have = Fleet.asked(self.ask, self.source).hosts.get(self.source)
        if have is None:
            counts = f"that of {self.source} if it defines {self.vm}, else that of {self.target}"
            left = [f"{self.source} does not answer: repeat the move"]
            return self._report(counts=counts, failed=error, left=left)
        seen = have.observations.get(self.vm, Observation())
        if not seen.is_recorded:
            return self._report(counts=self.target, failed=error, left=["repeat the move"])
        left = []
        if seen.to_run:
            try:
                said_by(self.ask, self.source, "geats.start", self.vm)
            except HostError as why:
                left = [f"start it again: {why}"]
        return self._report(counts=self.source, failed=error, left=left)

    def _report(self, **found: object) -> Report:
        return {"name": self.vm, "source": self.source, "target": self.target, **found}


def direct_source(fleet: Fleet, vm: str, target: str, source: str | None) -> str:
    """The host that has the VM, or had it until an earlier try took it over; else ``Refused``."""
    for said in (source, target):
        if said is not None and said not in fleet.hosts:
            raise Refused(
                unknown("source" if said == source else "target", "host", said, fleet.hosts)
            )
    if source is not None:
        return source
    has = sorted(name for name, each in fleet.hosts.items() if vm in each.vms and name != target)
    if len(has) != 1 or fleet.problems:
        silent = [f"{host}: {why}" for host, why in fleet.problems.items()]
        found = ", ".join(has) or "none of the others"
        raise Refused(*silent, f"source: must say which: {vm} is on {found}")
    return has[0]
