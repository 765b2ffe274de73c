"""What virtual machines need of this host, looked at without a change: nothing is opened."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from geats_core.domains.machine import Firmware, Machine
from geats_core.planning.plugin_facts import NoStart
from geats_core.reading.checked import Code, Problem
from geats_core.vm.hardware import HARDWARE
from geats_core.vm.spec import VMSpec
from geats_host.drivers.libvirt.guests import console_log
from geats_host.drivers.libvirt.options import Options

LOCAL = "qemu:///"  # how the address of a daemon of this host begins
LOAD_KVM = (
    "load the modules kvm and kvm_intel or kvm_amd, and allow virtualisation in the firmware;"
    " the driver qemu does without"
)
INSTALL = "apt-get install"
MISSING = f"which is not installed: {INSTALL}"


@dataclass(frozen=True, slots=True)
class Needs:
    """Where to look; libvirt finds firmware, and what shares directories, by files of packages."""

    kvm: Path = Path("/dev/kvm")
    firmware: tuple[Path, ...] = (Path("/usr/share/qemu/firmware"), Path("/etc/qemu/firmware"))
    sharing: tuple[Path, ...] = (Path("/usr/share/qemu/vhost-user"), Path("/etc/qemu/vhost-user"))
    tpm: str = "swtpm"
    settings: Path = Path("/etc/libvirt")
    virtlogd: Path = Path("/run/libvirt/virtlogd-sock")

    def no_start(self, options: Options) -> NoStart | None:
        """Why no VM can be started, as far as that can be seen without asking the daemon."""
        if options.kind != "kvm" or not options.uri.startswith(LOCAL) or self.kvm.exists():
            return None
        return NoStart(why=f"there is no {self.kvm}: {LOAD_KVM}")

    def lacking(
        self, options: Options, machine: Machine, *, shares: bool = False
    ) -> Iterator[Problem]:
        """What the machine has, or *shares* with its host, that this host cannot give it."""
        wanted = {
            f"{HARDWARE}.firmware": machine.firmware is not Firmware.BIOS,
            f"{HARDWARE}.tpm": machine.tpm,
            "binds": shares,
        }
        for key, why in self.missing(options).items():
            if wanted[key]:
                yield Problem(key, why, Code.UNAVAILABLE)

    def no_console_log(self, options: Options, spec: VMSpec) -> Iterator[Problem]:
        """Why of a console not as much is kept as the VM wants, or without an end."""
        wanted = spec.program.console_log
        if wanted is None:
            return
        why = console_log.cannot_keep(options.uri, wanted, self.settings, self.virtlogd)
        if why:
            yield Problem("console_log", why, Code.UNAVAILABLE)

    def missing(self, options: Options) -> dict[str, str]:
        """What only some machines have and this host lacks, by its key, and how it is mended."""
        if not options.uri.startswith(LOCAL):
            return {}
        found = {
            "firmware": any(True for folder in self.firmware for _ in folder.glob("*.json")),
            "tpm": shutil.which(self.tpm) is not None,
            "binds": any(True for folder in self.sharing for _ in folder.glob("*virtiofsd*.json")),
        }
        words = {
            "firmware": (f"{HARDWARE}.firmware", f"is not installed: {INSTALL} ovmf"),
            "tpm": (f"{HARDWARE}.tpm", f"needs {self.tpm}, {MISSING} swtpm swtpm-tools"),
            "binds": ("binds", f"needs virtiofsd, {MISSING} virtiofsd"),
        }
        return dict(words[part] for part, is_there in found.items() if not is_there)
