"""The drivers of libvirt (``kvm``, ``qemu``, ``xen``, ``vz``): virtual machines, as its domains.

Theory of operation
-------------------
A VM is a persistent domain, whose XML is rendered by ``geats_core.domains``. Each driver knows the
domains of its own type only, so both can use one daemon. A domain in which geats noted no spec is
foreign: it is told of, and nothing is done to it. What is defined is the spec whose digest is noted
in the domain, if all that was written is still there; what is in effect is that of the running
domain, which libvirt copies when it starts. Beside that, ``definition`` keeps files of each VM.

Whatever is asked of libvirt is asked by a child process (``scripts.libvirt_calls``), which is ended
when its time is up: no call hangs. Nothing of libvirt is imported here.
"""

import os
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from geats_core.domains.domain_devices import DomainFacts
from geats_core.domains.domain_xml import domain_uuid, domain_xml, kib, note_xml, spec_digest
from geats_core.domains.elements import unmergeable
from geats_core.domains.embedding import noted, read_domain
from geats_core.domains.live_devices import device_steps, lost_sight_of, missing_ports
from geats_core.domains.machine import Firmware, Guest, Machine, cpus
from geats_core.domains.machine_keys import driver_facts
from geats_core.domains.seed import seed_files
from geats_core.planning.plugin_facts import DriverFacts
from geats_core.reading import fields
from geats_core.reading.checked import Code, Problem, Problems
from geats_core.vm.hardware import HARDWARE
from geats_core.vm.observation import Power
from geats_core.vm.spec import Limits, VMSpec
from geats_host.drivers import (
    Arrived,
    DriverSeen,
    Info,
    Meeting,
    Place,
    Ran,
    Streams,
    Trial,
    held,
    lock_marks,
    vm_files,
)
from geats_host.drivers.libvirt import (
    agent,
    definition,
    guest_info,
    guest_programs,
    live,
    machines,
    observed,
    quiescing,
    seed_image,
    trial,
)
from geats_host.drivers.libvirt.daemon import CHILD, Daemon
from geats_host.drivers.libvirt.needs import Needs
from geats_host.drivers.libvirt.options import Options, read_options
from geats_host.errors import HostError, Refused
from geats_host.lazy import later
from geats_host.linux.network import bridges, open_vswitches
from geats_host.linux.run import run
from geats_host.streams import interruptions
from geats_host.streams.pipes import write_all

if TYPE_CHECKING:
    from geats_core.domains import domain_import
    from geats_core.jobs import domain_adoption, found_domains, live_moves
    from geats_core.planning.actions import Adopt, SetDevices
    from geats_core.requests.guest_requests import Command, FileToRead, FileToWrite
else:
    domain_import = later("geats_core.domains.domain_import")
    domain_adoption, found_domains, live_moves = (
        later(f"geats_core.jobs.{each}")
        for each in ("domain_adoption", "found_domains", "live_moves")
    )

AGENT, HOLD = (CHILD.with_name(name) for name in ("agent_child.py", "hold_child.py"))
OF_LIBVIRT = ("snapshots", "checkpoints")  # made by libvirt, and not by a pool
LONGEST_MOVE_S = 7 * 86_400.0  # of disks and memory, however large
MORE_S = 10.0  # that a child has for a shutdown, beyond the time that the guest has


def open_kvm(options: Mapping[object, object], state_dir: Path) -> "LibvirtDriver":
    """The driver of machines that the processor runs; for its options see ``Options``."""
    return LibvirtDriver(read_options("kvm", options, state_dir))


def open_qemu(options: Mapping[object, object], state_dir: Path) -> "LibvirtDriver":
    """The driver of machines that QEMU emulates; for its options see ``Options``."""
    return LibvirtDriver(read_options("qemu", options, state_dir))


def open_xen(options: Mapping[object, object], state_dir: Path) -> "LibvirtDriver":
    """The driver of machines of Xen; for its options see ``Options``."""
    return LibvirtDriver(read_options("xen", options, state_dir))


def open_vz(options: Mapping[object, object], state_dir: Path) -> "LibvirtDriver":
    """The driver of machines of Virtuozzo; for its options see ``Options``."""
    return LibvirtDriver(read_options("vz", options, state_dir))


@dataclass(frozen=True, slots=True)
class LibvirtDriver:
    """Domains of one type; see the Protocol ``Driver`` for what each method does."""

    options: Options
    needs: Needs = field(default_factory=Needs)

    @property
    def facts(self) -> DriverFacts:
        """Disks, whichever pool they are from; what a change costs is in ``machine_keys``."""
        location = f"{self.options.uri} ({self.options.kind})"
        facts = driver_facts(location, self.options.kind)
        return replace(facts, no_start=self.needs.no_start(self.options))

    @property
    def daemon(self) -> Daemon:
        """The libvirt daemon."""
        return Daemon(self.options)

    def observe(self, only: str | None = None) -> Mapping[str, DriverSeen]:
        """Every domain of this type, by one child."""
        found = self.daemon.ask("observe", only)
        domains = found["domains"]
        with vm_files.host_errors("cannot observe virtual machines"):
            return {
                fields.printable(each["name"]): seen
                for each in (domains if isinstance(domains, list) else ())
                if (seen := observed.seen_of(self.options, each)) is not None
            }

    def trials(self) -> Iterator[Trial]:
        """What the daemon can do, and what else there must be: see ``trial``."""
        return trial.trials(self.options)

    def bridges(self) -> frozenset[str] | None:
        """The bridges of the host."""
        return bridges()

    def cannot_define(self, spec: VMSpec) -> Problems:
        """What is wrong between the keys of the VM, or not allowed on this host."""
        wrong = machines.cannot_define(self.options, spec, self.needs)
        return wrong or tuple(machines.unconnected(spec, self.daemon))

    def define(self, spec: VMSpec, places: Mapping[str, Place], keep: tuple[str, ...] = ()) -> None:
        """Render the domain, and have libvirt take it; then note what libvirt made of it."""
        folder, machine = self._folder(spec.name), machines.machine_of(self.options, spec)
        for text in unmergeable(keep):
            raise HostError(f"an element added by hand to {spec.name} cannot be kept: {text!r}")
        with vm_files.host_errors(f"cannot define {spec.name}"):
            known = self.daemon.xml(spec.name) if definition.is_recorded(folder) else ""
            definition.write_spec(folder, spec)
            was = known or definition.last_written(folder)  # it may have been cut as it was renewed
            facts = self._domain_facts(spec, machine, places, was)
            made = self._defined_as(spec, machine, facts, keep, new=not known)
            taken = 0
            while "taken" in made:  # by a VM that had this name once
                taken += 1
                uuid = domain_uuid(spec.name, self.options.kind, taken)
                facts = replace(facts, uuid=uuid)
                made = self._defined_as(spec, machine, facts, keep, new=True)
            if "known" in made:  # though there is no record of it
                facts = self._domain_facts(spec, machine, places, f"{made['known']}")
                made = self._defined_as(spec, machine, facts, keep, new=False)
            back = f"{made['xml']}"
            facts = replace(facts, machine=read_domain(back).machine)
            wanted = definition.on_trial(spec, machine, facts, keep).wanted
            definition.write_record(folder, definition.sealed(back, wanted, keep))
            definition.forget_specs(folder, {spec_digest(spec), noted(f"{made['live']}")})
            if made["new"]:  # what is left of another, that was not forgotten to its end
                lock_marks.set_locked(folder, locked=False)

    def configure_guest(self, spec: VMSpec, place: Place, *, new: bool) -> None:
        """Let a new guest have variables of its firmware and a TPM of its own; see ``start``.

        libvirt does not know the VM for a moment: if that is cut, ``define`` restores it.
        """
        machine = machines.machine_of(self.options, spec)
        if new and (machine.firmware is not Firmware.BIOS or machine.tpm):
            self._have("renew", spec.name)

    def domain_text(self, name: str) -> "domain_adoption.DomainText | None":
        """What libvirt says of a domain, if it is one of this type."""
        found = self.daemon.ask("text", name)
        if not found or read_domain(f"{found['xml']}").kind != self.options.kind:
            return None
        return domain_adoption.DomainText(
            xml=f"{found['xml']}",
            live=f"{found['live']}",
            formats=found_domains.formats_of(f"{found['xml']}"),
            disks=tuple(path for path, _ in domain_import.disks_of(name, f"{found['xml']}")),
            snapshots=int(f"{found['snapshots']}"),
            checkpoints=int(f"{found['checkpoints']}"),
            is_persistent=found["is_persistent"] is True,
            is_saved=found["is_saved"] is True,
            autostart=found["autostart"] is True,
            has_secret=found["has_secret"] is True,
        )

    def adopt(self, adopt: "Adopt", places: Mapping[str, Place]) -> None:
        """Have libvirt take the domain as one of geats, with what is kept of it."""
        spec, folder = adopt.spec, self._folder(adopt.spec.name)
        machine = machines.machine_of(self.options, spec)
        old = self.daemon.xml(adopt.called or spec.name)
        with vm_files.host_errors(f"cannot adopt {spec.name}"):
            for each in (spec, adopt.running):
                definition.write_spec(folder, each)
            facts = self._domain_facts(spec, machine, places, old)
            record = definition.on_trial(spec, machine, facts, adopt.keep)
            definition.write_record(folder, record)
            made = self._have(
                "adopt",
                spec.name,
                called=adopt.called,
                sha256=adopt.sha256,
                xml=domain_xml(spec, machine, facts, adopt.keep),
                note=note_xml(adopt.running),
            )
            back = f"{made['xml']}"
            definition.write_record(folder, definition.sealed(back, record.wanted, adopt.keep))
            definition.forget_specs(folder, {spec_digest(spec), noted(f"{made['live']}")})
            lock_marks.set_locked(folder, locked=False)

    def set_locked(self, name: str, *, locked: bool) -> None:
        """Put a file among those of the VM, or remove it."""
        with vm_files.host_errors(f"cannot mark {name} as {'' if locked else 'not '}locked"):
            lock_marks.set_locked(self._folder(name), locked=locked)

    def cannot_rename(self, name: str) -> str:
        """What libvirt keeps of it beside its definition has the paths of its disks as they are."""
        found = self.daemon.ask("text", name)
        kept = [f"{each} ({found[each]})" for each in OF_LIBVIRT if found.get(each)]
        kept += ["a saved state"] if found.get("is_saved") else []
        why = "with the paths that its disks have now: delete that by virsh first"
        return f"libvirt keeps {', '.join(kept)} of it, {why}" if kept else ""

    def rename(self, name: str, new_name: str) -> None:
        """Give the domain another name: so it keeps its UUID, machine type and NVRAM."""
        self._folder(new_name)
        self._have("rename", name, new_name=new_name)

    def remembered(self, name: str) -> Mapping[str, str]:
        """The variables of its firmware and its TPM, as libvirt has them in files."""
        found = self._have("remembered", name)["remembered"]
        return (
            {f"{key}": f"{text}" for key, text in found.items()} if isinstance(found, dict) else {}
        )

    def remember(self, name: str, remembered: Mapping[str, str]) -> None:
        """Put them where libvirt finds them when it starts the domain."""
        self._have("remember", name, pieces={**remembered})

    def undefine(self, name: str) -> None:
        """Forget the domain, with its NVRAM, saved state and snapshots; refused while it runs."""
        folder = self._folder(name)
        self._have("undefine", name)
        live.remove_room(name)
        with vm_files.host_errors(f"cannot forget {name}"):
            definition.remove(folder)

    def start(self, name: str) -> None:
        """Write the seed, and start; if that fails, libvirt's own words are in the error."""
        folder = self._folder(name)
        with vm_files.host_errors(f"cannot start {name}"):
            held.let_go(folder, HOLD)
            quiescing.forget(folder)
            digest = definition.only_digest(folder)
        if digest and self._started(name, digest):
            return
        if not self._started(name, noted(self.daemon.xml(name))):
            raise HostError(f"{name} was not started: it was defined once more meanwhile")

    def shutdown(self, name: str, timeout_s: int) -> str:
        """Ask its agent, or press the power button, again after a while; at last power off."""
        answer = self._have("shutdown", name, within_s=timeout_s + MORE_S, timeout=timeout_s)
        self._let_go(name)
        forced = f"it did not shut down within {timeout_s} s, and was powered off"
        return forced if answer["forced"] else ""

    def stop(self, name: str) -> None:
        """End QEMU."""
        self._have("stop", name)
        self._let_go(name)

    def freeze(self, name: str) -> None:
        """Suspend the machine."""
        self._let_go(name)  # from now on it is by wish
        self._have("freeze", name)

    def hold(self, name: str) -> str:
        """Suspend the machine, with its filesystems at rest if its agent answers.

        A process that outlives this one lets it go on.
        """
        folder = self._folder(name)
        seen = self.observe(name).get(name)
        if seen is None or seen.power is not Power.RUNNING:
            raise HostError(f"{name} does not run: it cannot be held")
        who = [f"{folder / held.HELD}", f"{os.getpid()}", agent.thawing(self.options.uri, name)]
        run(
            [*self.daemon.binding.script(HOLD), *who, *self.daemon.binding.script(AGENT)],
            timeout_s=self.options.timeout_s,
        )
        try:
            unquiesced = self._quiesce(name)
            self._have("freeze", name)
        except HostError:
            with suppress(HostError):  # it may be frozen now, or not
                self.unfreeze(name)
            self._let_go(name)
            raise
        return unquiesced

    def unfreeze(self, name: str) -> None:
        """Let the machine go on, and its filesystems."""
        self._have("unfreeze", name)
        if quiescing.is_quiesced(self._folder(name)):
            with self._reached(name, quiescing.STILL) as asks:
                quiescing.thaw(self._folder(name), asks)
        self._let_go(name)

    def _quiesce(self, name: str) -> str:
        """Put the filesystems of the guest to rest; why it does not, or nothing."""
        try:
            with self._reached(name, quiescing.UNASKED) as asks:
                quiescing.quiesce(self._folder(name), asks)
        except HostError as error:
            return f"{error}"
        return ""

    def repair(self, name: str) -> None:
        """End a QEMU that does not answer."""
        self.stop(name)

    def set_limits(self, name: str, limits: Limits) -> None:
        """Give and take memory by the guest's balloon, and give CPUs."""
        spec = replace(self._in_effect(name), limits=limits)
        machines.machine_of(self.options, spec)
        with vm_files.host_errors(f"cannot change the limits of {name}"):
            definition.write_spec(self._folder(name), spec)
        self._have(
            "set-limits",
            name,
            memory_kib=int(kib(limits.memory_bytes or 0)),
            cpus=cpus(spec),
            note=note_xml(spec),
            timeout=self.options.timeout_s / 2,
        )

    def set_devices(self, name: str, devices: "SetDevices", places: Mapping[str, Place]) -> None:
        """Attach, change and detach: whatever of that is done already is not done again."""
        runs = self._in_effect(name)
        spec = devices.in_effect(runs)
        machine = machines.machine_of(self.options, spec)
        with vm_files.host_errors(f"cannot change the devices of {name}"):
            definition.write_spec(self._folder(name), spec)
            keep = definition.kept(self._folder(name))
        facts = self._domain_facts(spec, machine, places, self.daemon.xml(name))
        wanted = definition.on_trial(spec, machine, facts, keep).wanted
        live, gone = self.daemon.live_xml(name), _devices_of(runs) - _devices_of(spec)
        if lost := lost_sight_of(wanted, live, gone):
            why = f"{', '.join(lost)} of {name} can be told from its other disks once it restarted"
            raise HostError(f"{why}: it runs as it was adopted")
        self._have(
            "set-devices",
            name,
            steps=[asdict(step) for step in device_steps(wanted, live, sorted(gone))],
            note=note_xml(spec),
            timeout=self.options.timeout_s / 2,
        )

    def cannot_set_devices(self, name: str, devices: "SetDevices") -> str:
        """Whether the running machine has ports enough: see ``ForeseeingHotPlugging``."""
        runs = self._in_effect(name)
        old, new = machines.on_ports(runs), machines.on_ports(devices.in_effect(runs))
        live = self.daemon.live_xml(name) if new - old else ""
        missing = missing_ports(live, new - old, old - new)
        lacks = f"the machine that runs lacks free ports for what is plugged in: {missing} more"
        return f"{lacks}; restart it (restart: always)" if missing else ""

    def volume_grown(self, name: str, place: Place, size_bytes: int) -> None:
        """Let QEMU see how large the disk is now; a VM that is off sees it when it starts."""
        self._have("resize", name, path=f"{place.path}", size_bytes=size_bytes)

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
        self._have("drop", name)
        self._write_seed(spec, machine, uuid)
        facts = self._domain_facts(spec, machine, places, "")
        keep = definition.kept(self._folder(name))
        with vm_files.host_errors(f"cannot make room for sockets of {name}"):
            sockets = live.sockets(live.make_room(self.daemon, name))
        return Meeting(domain=domain_xml(spec, machine, facts, keep), sockets=sockets)

    def send(self, name: str, domain: str) -> None:
        """Have libvirt send it; it takes as long as it takes."""
        texts = self._have("moving-texts", name)
        there = {key: live_moves.as_there(f"{text}", domain) for key, text in texts.items()}
        room = live.room_of(name)
        sockets = {each: f"{room / each}" for each in (live.DAEMON, live.MEMORY, live.DISKS)}
        self._have("send", name, within_s=LONGEST_MOVE_S, **there, **sockets)

    def was_sent(self, name: str) -> bool | None:
        """Whether libvirt says so; it forgets why a domain is off if it is restarted."""
        sent = self._have("was-sent", name)["sent"]
        return None if sent is None else sent is True

    def arrived(self, name: str) -> Arrived:
        """What libvirt has of it."""
        return Arrived(f"{self._have('arrived', name)['arrived']}")

    def settle(self, spec: VMSpec, places: Mapping[str, Place]) -> None:
        """Note it; its UUID and its machine are those that it came with."""
        self._have("settle", spec.name, note=note_xml(spec))
        self.define(spec, places, definition.kept(self._folder(spec.name)))

    def info(self, name: str) -> Info:
        """What libvirt counts; addresses are as the guest's agent, DHCP or ARP tell them."""
        self._folder(name)
        return guest_info.info(self.daemon.ask("info", name), self._pid(name))

    def usage(self, names: Collection[str]) -> Mapping[str, Info]:
        """The same of several by one child; only agents that are connected are asked."""
        found = self.daemon.ask("usage", None, names=sorted(names))
        return {
            name: guest_info.info(each, self._pid(name))
            for name, each in found.items()
            if isinstance(each, dict)
        }

    def _pid(self, name: str) -> int | None:
        """That of its QEMU, if libvirt is of this host and says so."""
        folder = self.options.run_folder
        if folder is None or not fields.VM_NAME.fullmatch(name):
            return None
        with vm_files.host_errors(f"cannot read the pid of {name}"):
            text = (vm_files.read(folder, f"{name}.pid") or "").strip()
        return int(text) if text.isdecimal() else None

    def console_command(self, name: str) -> Sequence[str]:
        """The program of libvirt that attaches to a serial console."""
        self._folder(name)
        return ["virsh", "--connect", self.options.uri, "console", name]

    def logs(self, name: str) -> Mapping[str, Path]:
        """What QEMU said, if libvirt is of this host; of consoles nothing is kept."""
        self._folder(name)
        folder = self.options.log_folder
        return {} if folder is None else {"qemu": folder / f"{name}.log"}

    def exec(self, name: str, command: "Command") -> Ran:
        """Run a program by the guest's agent."""
        with self._reached(name, f"cannot run a program in {name}") as asks:
            return guest_programs.run(asks, command)

    def stream(
        self, name: str, command: "Command", streams: Streams, timeout_s: float | None
    ) -> int | None:
        """The same with an input, which is read to its end first; the output comes at the end."""
        given = b"" if streams.stdin is None else self._input(name, streams.stdin)
        with (
            interruptions.passed_on(lambda _: None) as came,
            self._reached(name, f"cannot run a program in {name}") as asks,
        ):
            ran = guest_programs.stream(asks, command, given, timeout_s, lambda: came.number)
        more = b"there was more output than is kept\n" if ran.truncated else b""
        write_all(streams.stdout, ran.stdout)
        write_all(streams.stderr, ran.stderr + more)
        if ran.code is None and came.number:
            sys.exit(128 + came.number)
        return ran.code

    def _input(self, name: str, source: int) -> bytes:
        """What the caller gives a program; nothing from a terminal."""
        if os.isatty(source):
            return b""
        most = guest_programs.MOST_INPUT
        with open(source, "rb", closefd=False) as opened:
            given = opened.read(most + 1)
        if len(given) > most:
            instead = f"copy it with 'geats push {name} FILE PATH', or use 'geats ssh {name}'"
            raise Refused(f"{name}: its agent takes at most {most >> 10} KiB of input: {instead}")
        return given

    def write_file(self, name: str, file: "FileToWrite", source: int) -> None:
        """Write a file by the guest's agent."""
        with self._reached(name, f"cannot write {file.path} of {name}") as asks:
            guest_programs.write(asks, file, source)

    def read_file(self, name: str, file: "FileToRead", target: int) -> None:
        """Read a file by the guest's agent."""
        with self._reached(name, f"cannot read {file.path} of {name}") as asks:
            guest_programs.read(asks, file, target)

    @contextmanager
    def _reached(self, name: str, doing: str) -> Iterator[agent.Asks]:
        """What asks the guest's agent."""
        self._folder(name)
        argv = self.daemon.binding.script(AGENT)
        try:
            with agent.connected(argv, self.options.uri, name, self.options.timeout_s) as reached:
                yield reached.ask
        except HostError as error:
            raise HostError(f"{doing}: {error}") from None

    def _defined_as(
        self,
        spec: VMSpec,
        machine: Machine,
        facts: DomainFacts,
        keep: tuple[str, ...],
        *,
        new: bool,
    ) -> Mapping[str, object]:
        """Have libvirt take the domain, which is on trial until its record is sealed."""
        record = definition.on_trial(spec, machine, facts, keep)
        definition.write_record(self._folder(spec.name), record)
        xml = domain_xml(spec, machine, facts, keep)
        return self._have("define", spec.name, xml=xml, new=new)

    def _domain_facts(
        self, spec: VMSpec, machine: Machine, places: Mapping[str, Place], known: str
    ) -> DomainFacts:
        """What is *known* is the XML that libvirt has of it; empty if it has none."""
        folder = self._folder(spec.name)
        seen = read_domain(known)
        is_seeded = machine.guest is Guest.CLOUD_INIT
        return DomainFacts(
            kind=self.options.kind,
            sources={v.name: machines.source_of(spec, v.name, places) for v in spec.volumes},
            seed=f"{folder / definition.SEED}" if is_seeded else "",
            uuid=seen.uuid,
            machine=seen.machine,
            switches=open_vswitches(),
        )

    def _in_effect(self, name: str) -> VMSpec:
        """With what a VM runs; ``HostError`` if it does not, or nobody knows."""
        seen = self.observe(name).get(name)
        if seen is None or seen.in_effect is None:
            raise HostError(f"{name} does not run, or geats does not know with what")
        return seen.in_effect

    def _started(self, name: str, digest: str) -> bool:
        """Start it, if it was made from the spec with that digest; the seed is one of the spec.

        So a seed that was lost is back with the next start.
        """
        folder = self._folder(name)
        spec = definition.spec_of(folder, digest)
        if spec is None:
            raise HostError(f"{name} is not defined")
        machine = machines.machine_of(self.options, spec)
        self._write_seed(spec, machine, definition.uuid_of(folder, digest))
        answer = self._have("start", name, settle=self.options.settle_s, digest=digest)
        return answer["other"] is not True

    def _write_seed(self, spec: VMSpec, machine: Machine, uuid: str) -> None:
        if machine.guest is Guest.CLOUD_INIT:
            image = seed_image.seed_image(seed_files(spec, machine, self.options.kind, uuid))
            with vm_files.host_errors(f"cannot write the seed of {spec.name}"):
                vm_files.write_atomically(self._folder(spec.name), definition.SEED, image)

    def _have(
        self, do: str, name: str, *, within_s: float | None = None, **more: object
    ) -> dict[str, object]:
        """Have something done to one VM."""
        self._folder(name)
        try:
            return self.daemon.ask(do, name, within_s=within_s, **more)
        except HostError as error:
            raise HostError(f"{do} of {name} failed: {error}") from None

    def _folder(self, name: str) -> Path:
        """Where files of the VM are; every name that comes in is checked here."""
        if not fields.VM_NAME.fullmatch(name):
            raise HostError(f"{name!r} cannot be the name of a VM")
        return self.options.folder / name

    def _let_go(self, name: str) -> None:
        with vm_files.host_errors(f"cannot let {name} go on"):
            held.let_go(self._folder(name), HOLD)


def _devices_of(spec: VMSpec) -> set[str]:
    """The devices that can come and go: NICs by their MAC addresses, volumes by their serials."""
    return {nic.mac for nic in spec.nics} | {volume.name for volume in spec.volumes}
