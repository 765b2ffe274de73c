"""Domains that move from one host to another as they run."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from geats_core.domains.domain_xml import domain_xml
from geats_core.domains.embedding import read_domain
from geats_core.reading.checked import Code, Problem, Problems
from geats_core.vm.hardware import HARDWARE
from geats_core.vm.spec import VMSpec
from geats_host.drivers import Place, vm_files
from geats_host.drivers.abilities import Arrived, Meeting
from geats_host.drivers.libvirt import definition, live, machines
from geats_host.drivers.libvirt.defining import Defining
from geats_host.lazy import later

if TYPE_CHECKING:
    from geats_core.jobs import live_moves
else:
    live_moves = later("geats_core.jobs.live_moves")


LONGEST_MOVE_S = 7 * 86_400.0  # of disks and memory, however large


@dataclass(frozen=True, slots=True)
class Moving(Defining):
    """The Protocol ``LiveMoving``, for domains."""

    def cannot_send(self, spec: VMSpec) -> Problems:
        """What of its machine is only here, or may be."""
        machine = machines.machine_of(self.options, spec)
        running, volumes = self.daemon.live_xml(spec.name), [each.name for each in spec.volumes]
        stays = live_moves.cannot_move(machine, self.options.kind, running, volumes)
        return (*self._not_system(), *stays)

    def machine(self, name: str) -> str:
        """The type of its machine, with its version."""
        return read_domain(self.daemon.live_xml(name)).machine

    def cannot_receive(self, spec: VMSpec, machine: str) -> Problems:
        """Whether there is such a machine, and all that ``cannot_define`` looks at."""
        known = self.daemon.ask("knows-machine", None, machine=machine, kind=self.options.kind)
        why = f"runs on {machine}, which QEMU does not know here: a newer one does"
        old = () if known["known"] else (Problem(f"{HARDWARE}.machine", why, Code.UNAVAILABLE),)
        return (*self._not_system(), *old, *self.cannot_define(spec))

    def _not_system(self) -> Problems:
        if self.options.uri == live.SYSTEM:
            return ()
        why = f"is {self.options.uri}, and VMs move as they run from and to {live.SYSTEM} only"
        return (Problem(f"drivers.{self.options.kind}.uri", why, Code.REFUSED),)

    def meet(self, name: str) -> str:
        """Make the directory for sockets."""
        with vm_files.host_errors(f"cannot make room for sockets of {name}"):
            live.make_room(self.daemon, name)
        return read_domain(self.daemon.live_xml(name)).uuid

    def part(self, name: str) -> None:
        """Remove it."""
        live.remove_room(name)

    def expect(self, spec: VMSpec, places: Mapping[str, Place], uuid: str) -> Meeting:
        """Have its seed here, and nothing else: its definition comes with it."""
        name, machine = spec.name, machines.machine_of(self.options, spec)
        self.have("drop", name)
        self.write_seed(spec, machine, uuid)
        facts = self.domain_facts(spec, machine, places, "")
        keep = definition.kept(self.folder(name))
        with vm_files.host_errors(f"cannot make room for sockets of {name}"):
            sockets = live.sockets(live.make_room(self.daemon, name))
        return Meeting(domain=domain_xml(spec, machine, facts, keep), sockets=sockets)

    def cached(self, name: str) -> Collection[str]:
        """As libvirt says of its disks."""
        return live_moves.cached(self.daemon.live_xml(name))

    def send(self, name: str, domain: str, along: Collection[str] = ()) -> None:
        """Have libvirt send it; it takes as long as it takes."""
        texts = self.have("moving-texts", name)
        there = {key: live_moves.as_there(f"{text}", domain) for key, text in texts.items()}
        room = live.room_of(name)
        sockets = {each: f"{room / each}" for each in (live.DAEMON, live.MEMORY, live.DISKS)}
        stays = " ".join(along)
        how = {"along": stays, "bandwidth": self.options.bandwidth_mib}
        self.have("send", name, within_s=LONGEST_MOVE_S, **how, **there, **sockets)

    def was_sent(self, name: str) -> bool | None:
        """Whether libvirt says so; it forgets why a domain is off if it is restarted."""
        sent = self.have("was-sent", name)["sent"]
        return None if sent is None else sent is True

    def was_cut(self, name: str) -> bool:
        """Whether it is so for no reason that libvirt knows, or because of a move."""
        return self.have("was-cut", name)["cut"] is True

    def arrived(self, name: str) -> Arrived:
        """What libvirt has of it."""
        return Arrived(f"{self.have('arrived', name)['arrived']}")

    def settle(self, spec: VMSpec, places: Mapping[str, Place]) -> None:
        """Note it; its UUID and its machine are those that it came with."""
        with vm_files.host_errors(f"cannot settle {spec.name}"):
            note = definition.noted_of(self.folder(spec.name), spec)
        self.have("settle", spec.name, note=note)
        self.define(spec, places, definition.kept(self.folder(spec.name)))
