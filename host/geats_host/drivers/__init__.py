"""How VMs of one type are run: the interface of drivers, and what their modules share.

A driver is found by name through the entry-point group ``geats.drivers``, as a function
``open_driver(options, state_dir) -> Driver`` that raises ``Refused`` on bad options.
"""

from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from geats_core.planning.offers import Offer
from geats_core.reading.values import dataclass
from geats_core.vm.observation import ForeignNic, Power
from geats_core.vm.spec import Limits, VMSpec
from geats_host.lazy import later

if TYPE_CHECKING:
    from geats_core.foreign import lxc_lines
    from geats_core.planning.plugin_facts import DriverFacts
    from geats_core.requests.guest_requests import Command, FileToRead, FileToWrite
else:
    lxc_lines = later("geats_core.foreign.lxc_lines")

OUTPUT_BYTES = 1 << 20  # of what a program in a guest says on each of its outputs


@dataclass(frozen=True, slots=True)
class Place:
    """Where a volume is on the host once it is active, and what is found there.

    If ``shifted_by`` is not 0, it shows its files with ids that are higher by this number.
    """

    path: Path
    offers: Offer = Offer.DIRECTORY
    shifted_by: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverSeen:
    """What a driver knows of one VM; for each field see ``Observation``.

    ``places`` are the directories that its own definition has for the volumes of ``defined``, by
    name.
    """

    defined: VMSpec | None = None
    in_effect: VMSpec | None = None
    power: Power = Power.STOPPED
    by_hand: tuple[str, ...] = ()
    foreign: bool = False
    foreign_nics: tuple[ForeignNic, ...] = ()
    locked: bool = False
    unreliable: str = ""
    places: Mapping[str, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """Statistics of one VM; None if a value is not known, for example because the VM is off.

    ``os`` is what the guest calls its operating system, and ``uptime_s`` for how long it is on.
    What went through its disks and its network is counted from its start.
    """

    pid: int | None = None
    os: str | None = None
    addresses: tuple[str, ...] = ()
    memory_used_bytes: int | None = None
    memory_limit_bytes: int | None = None
    cpu_time_s: float | None = None
    uptime_s: int | None = None
    disk_read_bytes: int | None = None
    disk_written_bytes: int | None = None
    network_received_bytes: int | None = None
    network_sent_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a program in a guest came to.

    ``code`` is its exit code; 128 plus the signal's number if a signal killed it, 127 if it was not
    found, 126 if it cannot be run, and None if it was killed because its time was up. Of each
    output at most ``OUTPUT_BYTES`` are kept; ``truncated`` is true if there was more.
    """

    code: int | None
    stdout: bytes = b""
    stderr: bytes = b""
    truncated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """A tree that was copied: regular files, their bytes, and what was not copied, and why.

    ``is_tree`` is false if there was a single file in place of the tree, and nothing was copied.
    """

    files: int = 0
    size_bytes: int = 0
    wrong: tuple[str, ...] = ()
    is_tree: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """Descriptors of the caller's, which a program in a guest is connected with.

    If ``stdin`` is None, the program's input is empty.
    """

    stdin: int | None = 0
    stdout: int = 1
    stderr: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigText:
    """The definition of a VM, also one that geats did not make: its text and its file.

    ``on_host`` is what the definition names of the host.
    """

    file: str
    text: str
    on_host: "lxc_lines.OnHost" = field(default_factory=lambda: lxc_lines.OnHost())


class Driver(Protocol):
    """What geats asks of a driver. Every method raises ``HostError`` if the host fails.

    Methods that change a VM are idempotent: if one is interrupted, calling it again finishes the
    work.
    """

    @property
    def facts(self) -> "DriverFacts":
        """What the planner has to know of the driver: what it can start VMs from."""
        ...

    def observe(self, only: str | None = None) -> Mapping[str, DriverSeen]:
        """Every VM that this driver knows, or *only* that one, by name.

        This must not hang, not even if a VM's monitor does not answer: that VM is STUCK.
        """
        ...

    def bridges(self) -> frozenset[str] | None:
        """The bridges that NICs can be connected to; None if any name is fine."""
        ...

    def define(self, spec: VMSpec, places: Mapping[str, Place], keep: tuple[str, ...] = ()) -> None:
        """Replace the VM's definition in one atomic step.

        *places* are those of the volumes by name: the VM's own, and those of others that it mounts.
        *keep* are the lines that a person added (``by_hand`` of ``observe``) and that stay.
        """
        ...

    def set_locked(self, name: str, *, locked: bool) -> None:
        """Add or remove a mark beside the definition which says that the VM must not be deleted.

        ``observe`` shows it as ``locked``, so that the protection survives if the registry is lost.
        ``define`` keeps the mark, ``undefine`` removes it. A VM that is not known has none.
        """
        ...

    def undefine(self, name: str) -> None:
        """Delete the definition. If the VM is not known, there is nothing to do."""
        ...

    def start(self, name: str) -> None:
        """Power on. Raises ``HostError``, with the cause, if the VM does not stay on."""
        ...

    def shutdown(self, name: str, timeout_s: int) -> str | None:
        """Ask the guest to power off. If it still runs after *timeout_s* seconds, power off.

        Returns why geats had to power off; empty or None if the guest powered off by itself.
        """
        ...

    def stop(self, name: str) -> None:
        """Power off at once."""
        ...

    def freeze(self, name: str) -> None:
        """Suspend every process."""
        ...

    def hold(self, name: str) -> str | None:
        """Suspend every process until ``unfreeze``, or until this process ends.

        The guest must go on even if this process is killed. ``observe`` shows the VM as HELD until
        it does. Returns why its filesystems are not at rest, if that is for the guest to see to.
        """
        ...

    def unfreeze(self, name: str) -> None:
        """Let the processes of a frozen VM continue."""
        ...

    def repair(self, name: str) -> None:
        """End a VM whose monitor no longer answers, with all of its processes."""
        ...

    def set_limits(self, name: str, limits: Limits) -> None:
        """Change the limits of a running VM."""
        ...

    def info(self, name: str) -> Info:
        """Statistics."""
        ...

    def console_command(self, name: str) -> Sequence[str]:
        """The argv that attaches a terminal to the VM's console."""
        ...

    def exec(self, name: str, command: "Command") -> Ran:
        """Run a program in the guest of a running VM; its input is empty."""
        ...

    def write_file(self, name: str, file: "FileToWrite", source: int) -> None:
        """Copy the rest of the file descriptor *source* to a file in the guest.

        The file appears whole or not at all. An existing file or link of that name is replaced.
        Links in the path are followed as the guest sees them.
        """
        ...

    def read_file(self, name: str, file: "FileToRead", target: int) -> None:
        """Copy a regular file of the guest to the file descriptor *target*."""
        ...
