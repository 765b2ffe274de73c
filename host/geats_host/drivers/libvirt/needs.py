"""What virtual machines need of this host, looked at without a change: nothing is opened."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from geats_core.domains.machine import Firmware, Machine
from geats_core.planning.plugin_facts import NoStart
from geats_core.reading.checked import Code, Problem
from geats_core.vm.hardware import HARDWARE
from geats_host.drivers.libvirt.options import Options

LOCAL = "qemu:///"  # how the address of a daemon of this host begins
LOAD_KVM = (
    "load the modules kvm and kvm_intel or kvm_amd, and allow virtualisation in the firmware;"
    " the driver qemu does without"
)
INSTALL = "apt-get install"


@dataclass(frozen=True, slots=True)
class Needs:
    """Where to look; libvirt finds firmware by the files that packages put into ``firmware``."""

    kvm: Path = Path("/dev/kvm")
    firmware: tuple[Path, ...] = (Path("/usr/share/qemu/firmware"), Path("/etc/qemu/firmware"))
    tpm: str = "swtpm"

    def no_start(self, options: Options) -> NoStart | None:
        """Why no VM can be started, as far as that can be seen without asking the daemon."""
        if options.kind != "kvm" or not options.uri.startswith(LOCAL) or self.kvm.exists():
            return None
        return NoStart(why=f"there is no {self.kvm}: {LOAD_KVM}")

    def lacking(self, options: Options, machine: Machine) -> Iterator[Problem]:
        """What the machine has that this host cannot give it."""
        if not options.uri.startswith(LOCAL):
            return
        if machine.firmware is not Firmware.BIOS and not self._has_firmware():
            why = f"is not installed: {INSTALL} ovmf"
            yield Problem(f"{HARDWARE}.firmware", why, Code.UNAVAILABLE)
        if machine.tpm and shutil.which(self.tpm) is None:
            why = f"needs {self.tpm}, which is not installed: {INSTALL} swtpm swtpm-tools"
            yield Problem(f"{HARDWARE}.tpm", why, Code.UNAVAILABLE)

    def _has_firmware(self) -> bool:
        return any(True for folder in self.firmware for _ in folder.glob("*.json"))
