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

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from geats_core.domains.domain_xml import kib
from geats_core.domains.embedding import noted
from geats_core.domains.live_devices import device_steps, lost_sight_of, missing_ports
from geats_core.domains.machine import cpus
from geats_core.domains.machine_keys import driver_facts
from geats_core.planning.plugin_facts import DriverFacts
from geats_core.vm.spec import Limits, VMSpec
from geats_host.drivers import Place, held, lock_marks, vm_files
from geats_host.drivers.abilities import Trial
from geats_host.drivers.libvirt import definition, live, machines, observed, trial
from geats_host.drivers.libvirt.domains import HOLD
from geats_host.drivers.libvirt.guests import console_log, quiescing
from geats_host.drivers.libvirt.inside import Inside
from geats_host.drivers.libvirt.moving import Moving
from geats_host.drivers.libvirt.options import read_options
from geats_host.errors import HostError
from geats_host.linux.network import bridges

if TYPE_CHECKING:
    from geats_core.deciding.keeping_up import Ended
    from geats_core.planning.actions import SetDevices

OF_LIBVIRT = ("snapshots", "checkpoints")  # made by libvirt, and not by a pool
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
class LibvirtDriver(Moving, Inside):
    """Domains of one type; see the Protocol ``Driver`` for what each method does."""

    @property
    def facts(self) -> DriverFacts:
        """Disks, whichever pool they are from; what a change costs is in ``machine_keys``."""
        location = f"{self.options.uri} ({self.options.kind})"
        facts = driver_facts(location, self.options.kind)
        return replace(facts, no_start=self.needs.no_start(self.options))

    def trials(self) -> Iterator[Trial]:
        """What the daemon can do, and what else there must be: see ``trial``."""
        return trial.trials(self.options)

    def bridges(self) -> frozenset[str] | None:
        """The bridges of the host."""
        return bridges()

    def set_locked(self, name: str, *, locked: bool) -> None:
        """Put a file among those of the VM, or remove it."""
        with vm_files.host_errors(f"cannot mark {name} as {'' if locked else 'not '}locked"):
            lock_marks.set_locked(self.folder(name), locked=locked)

    def cannot_rename(self, name: str) -> str:
        """What libvirt keeps of it beside its definition has the paths of its disks as they are."""
        found = self.daemon.ask("text", name)
        kept = [f"{each} ({found[each]})" for each in OF_LIBVIRT if found.get(each)]
        kept += ["a saved state"] if found.get("is_saved") else []
        why = "with the paths that its disks have now: delete that by virsh first"
        return f"libvirt keeps {', '.join(kept)} of it, {why}" if kept else ""

    def rename(self, name: str, new_name: str) -> None:
        """Give the domain another name: so it keeps its UUID, machine type and NVRAM."""
        old, new = self.folder(name), self.folder(new_name)
        self.have("rename", name, new_name=new_name)
        with vm_files.host_errors(f"cannot give {new_name} the log of the console of {name}"):
            console_log.move(old, new)

    def remembered(self, name: str) -> Mapping[str, str]:
        """The variables of its firmware and its TPM, as libvirt has them in files."""
        found = self.have("remembered", name)["remembered"]
        return (
            {f"{key}": f"{text}" for key, text in found.items()} if isinstance(found, dict) else {}
        )

    def remember(self, name: str, remembered: Mapping[str, str]) -> None:
        """Put them where libvirt finds them when it starts the domain."""
        self.have("remember", name, pieces={**remembered})

    def undefine(self, name: str) -> None:
        """Forget the domain, with its NVRAM, saved state and snapshots; refused while it runs."""
        folder = self.folder(name)
        self.have("undefine", name)
        live.remove_room(name)
        with vm_files.host_errors(f"cannot forget {name}"):
            definition.remove(folder)

    def start(self, name: str) -> None:
        """Write the seed, and start; if that fails, libvirt's own words are in the error."""
        folder = self.folder(name)
        with vm_files.host_errors(f"cannot start {name}"):
            held.let_go(folder, HOLD)
            quiescing.forget(folder)
            digest = definition.only_digest(folder)
        if digest and self._started(name, digest):
            return
        if not self._started(name, noted(self.daemon.xml(name))):
            raise HostError(f"{name} was not started: it was defined once more meanwhile")

    def ended(self, name: str) -> "Ended":
        """How it ended; libvirt knows that until it is itself started anew."""
        said = self.have("ended", name)
        return observed.ended(said["state"], said["reason"])

    def shutdown(self, name: str, timeout_s: int) -> str:
        """Ask its agent, or press the power button, again after a while; at last power off."""
        answer = self.have("shutdown", name, within_s=timeout_s + MORE_S, timeout=timeout_s)
        self.let_go(name)
        forced = f"it did not shut down within {timeout_s} s, and was powered off"
        return forced if answer["forced"] else ""

    def stop(self, name: str) -> None:
        """End QEMU."""
        self.have("stop", name)
        self.let_go(name)

    def freeze(self, name: str) -> None:
        """Suspend the machine."""
        self.let_go(name)  # from now on it is by wish
        self.have("freeze", name)

    def repair(self, name: str) -> None:
        """End a QEMU that does not answer."""
        self.stop(name)

    def set_limits(self, name: str, limits: Limits) -> None:
        """Give and take memory by the guest's balloon, and give CPUs."""
        spec = replace(self.in_effect(name), limits=limits)
        machines.machine_of(self.options, spec)
        with vm_files.host_errors(f"cannot change the limits of {name}"):
            note = definition.noted_of(self.folder(name), spec)
        self.have(
            "set-limits",
            name,
            memory_kib=int(kib(limits.memory_bytes or 0)),
            cpus=cpus(spec),
            note=note,
            timeout=self.options.timeout_s / 2,
        )

    def set_devices(self, name: str, devices: "SetDevices", places: Mapping[str, Place]) -> None:
        """Attach, change and detach: whatever of that is done already is not done again."""
        runs = self.in_effect(name)
        spec = devices.in_effect(runs)
        machine = machines.machine_of(self.options, spec)
        with vm_files.host_errors(f"cannot change the devices of {name}"):
            note = definition.noted_of(self.folder(name), spec)
            keep = definition.kept(self.folder(name))
        facts = self.domain_facts(spec, machine, places, self.daemon.xml(name))
        wanted = definition.on_trial(spec, machine, facts, keep).wanted
        live, gone = self.daemon.live_xml(name), _devices_of(runs) - _devices_of(spec)
        if lost := lost_sight_of(wanted, live, gone):
            why = f"{', '.join(lost)} of {name} can be told from its other disks once it restarted"
            raise HostError(f"{why}: it runs as it was adopted")
        self.have(
            "set-devices",
            name,
            steps=[asdict(step) for step in device_steps(wanted, live, sorted(gone))],
            note=note,
            timeout=self.options.timeout_s / 2,
        )

    def cannot_set_devices(self, name: str, devices: "SetDevices") -> str:
        """Whether the running machine has ports enough: see ``ForeseeingHotPlugging``."""
        runs = self.in_effect(name)
        old, new = machines.on_ports(runs), machines.on_ports(devices.in_effect(runs))
        live = self.daemon.live_xml(name) if new - old else ""
        missing = missing_ports(live, new - old, old - new)
        lacks = f"the machine that runs lacks free ports for what is plugged in: {missing} more"
        return f"{lacks}; restart it (restart: always)" if missing else ""

    def volume_grown(self, name: str, place: Place, size_bytes: int) -> None:
        """Let QEMU see how large the disk is now; a VM that is off sees it when it starts."""
        self.have("resize", name, path=f"{place.path}", size_bytes=size_bytes)

    def _started(self, name: str, digest: str) -> bool:
        """Start it, if it was made from the spec with that digest; the seed is one of the spec.

        So a seed that was lost is back with the next start.
        """
        folder = self.folder(name)
        spec = definition.spec_of(folder, digest)
        if spec is None:
            raise HostError(f"{name} is not defined")
        machine = machines.machine_of(self.options, spec)
        self.write_seed(spec, machine, definition.uuid_of(folder, digest))
        with vm_files.host_errors(f"cannot forget what is old of the console of {name}"):
            console_log.forget_old(folder, spec.program.console_log or 0)
        answer = self.have("start", name, settle=self.options.settle_s, digest=digest)
        return answer["other"] is not True


def _devices_of(spec: VMSpec) -> set[str]:
    """The devices that can come and go: NICs by their MAC addresses, volumes by their serials."""
    return {nic.mac for nic in spec.nics} | {volume.name for volume in spec.volumes}
