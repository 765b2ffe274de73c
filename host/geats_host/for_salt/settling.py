"""Claims as the master and the hosts know them, made one again after an interruption."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from returns.result import Failure, Success

from geats_core.fleet.claiming import Holder
from geats_core.fleet.settling import HostClaims, rightful, unclaimed_on, unsettled
from geats_core.plans.codec import decode
from geats_host.errors import HostError, Refused, accepted
from geats_host.for_salt.claims import REMEMBER, Claims, hold, would_hold
from geats_host.for_salt.fleet import Ask, answers, said_by

STATE = "geats.claims"  # by which a host says what it holds, and what its VMs use


@dataclass(slots=True)
class Settling:
    """All claims, and what the hosts say of them, at one moment.

    ``ask`` asks hosts by their names, and *settled* maps each VM whose records differed to the
    host that holds it now; ``problems`` are those of the others, and of hosts.
    """

    claims: Claims
    ask: Ask
    hosts: Mapping[str, HostClaims]
    granted: dict[str, Holder]
    settled: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @classmethod
    def of(
        cls, claims: Claims, asked: Ask, ask: Ask, target: str, vm: str | None = None
    ) -> "Settling":
        """Ask the hosts of *target*; with *vm*, only what is held for that one counts."""
        hosts, wrong = _heard(asked, target)
        if vm is not None:
            hosts = {host: _only(vm, said) for host, said in hosts.items()}
        return cls(claims, ask, hosts, claims.of(vm), problems=wrong)

    def settle(self, *, test: bool) -> None:
        """Settle each VM of which records differ, unless another call works on its claims."""
        for vm in unsettled(self.granted, self.hosts):
            with self._telling(), self.claims.working_on(vm):
                self._settle(vm, test=test)
        if not test:
            self.claims.find_again(self.granted)
            for vm in self.settled:
                self.granted |= self.claims.of(vm)

    def _settle(self, vm: str, *, test: bool) -> None:
        """Ask again: what was under way may have ended since."""
        granted = self.claims.of(vm)
        concerned = {holder.host for holder in granted.values()}
        concerned |= {host for host, said in self.hosts.items() if vm in said.held}
        hosts, _ = _heard(self.ask, sorted(concerned))
        if vm not in unsettled(granted, {name: _only(vm, said) for name, said in hosts.items()}):
            return
        host = accepted(rightful(vm, {each.host for each in granted.values()}, hosts))
        keys = {*granted, *self._own(vm, hosts[host])}
        if not test:
            for other in sorted(concerned & hosts.keys() - {host}):
                said_by(self.ask, other, REMEMBER, {vm: []})
            hold(self.claims, self.ask, Holder(vm=vm, host=host), sorted(keys))
        self.settled[vm] = host

    def _own(self, vm: str, said: HostClaims) -> Iterable[str]:
        """What the host holds for it, without what another VM got in between, unless it is on."""
        for key in said.held.get(vm, ()):
            holder = self.claims.holder(key)
            if vm in said.on or holder is None or holder.vm == vm:
                yield key

    def unclaimed(self) -> dict[str, dict[str, list[str]]]:
        """What VMs that are on have without claims, by host and VM."""
        return unclaimed_on(self.granted, self.hosts)

    def claim_all(self, *, test: bool) -> dict[str, dict[str, list[str]]]:
        """Claim all of it; what others hold is a problem, and stops no other VM.

        The answer is what is held then, by host and VM.
        """
        claimed: dict[str, dict[str, list[str]]] = {}
        for host, vms in self.unclaimed().items():
            for vm in vms:
                with self._telling(), self.claims.working_on(vm):
                    wanted = Holder(vm=vm, host=host)
                    keys = sorted({*self.claims.of(vm, host), *self.hosts[host].on[vm]})
                    (would_hold if test else hold)(self.claims, self.ask, wanted, keys)
                    claimed.setdefault(host, {})[vm] = keys
        return claimed

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """What goes wrong is told, and stops no other VM."""
        try:
            yield
        except (Refused, HostError) as error:
            self.problems.append(f"{error}")


def _only(vm: str, said: HostClaims) -> HostClaims:
    held = {name: keys for name, keys in said.held.items() if name == vm}
    on = {name: keys for name, keys in said.on.items() if name == vm}
    return replace(said, held=held, on=on)


def _heard(ask: Ask, target: object) -> tuple[dict[str, HostClaims], list[str]]:
    """What each host says, and why others do not."""
    found = answers(ask(target, STATE))
    wrong = [f"{host}: {why}" for host, why in found.problems.items()]
    hosts: dict[str, HostClaims] = {}
    for host, raw in found.hosts.items():
        match decode(HostClaims, "", raw):
            case Success(said):
                hosts[host] = said
            case Failure(problems):
                wrong.append(f"{host}: is of another version of geats: {problems[0]}")
    return hosts, wrong
