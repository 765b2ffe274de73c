"""How VMs of one type are run: the interface of drivers. Each other module here is one driver.

A driver is found by name through the entry-point group ``geats.drivers``, as a function
``open_driver(options, state_dir) -> Driver`` that raises ``Refused`` on bad options.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from geats_core.planning.actions import Adopt
from geats_core.planning.goal import DriverFacts
from geats_core.vm.observation import Power
from geats_core.vm.spec import Limits, VMSpec

if TYPE_CHECKING:
    from geats_core.requests.guest_requests import Command, FileToRead, FileToWrite

OUTPUT_BYTES = 1 << 20  # of what a program in a guest says on each of its outputs
NOT_SHIFTED: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverSeen:
    """What a driver knows of one VM; for each field see ``Observation``.

    ``places`` are where its own definition has the volumes of ``defined``, by their names.
    """

    defined: VMSpec | None = None
    in_effect: VMSpec | None = None
    power: Power = Power.STOPPED
    by_hand: tuple[str, ...] = ()
    foreign: bool = False
    locked: bool = False
    unreliable: str = ""
    places: Mapping[str, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """Statistics of one VM; None where there is nothing to say, as of one that is off."""

    pid: int | None = None
    addresses: tuple[str, ...] = ()
    memory_used_bytes: int | None = None
    memory_limit_bytes: int | None = None
    cpu_time_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a program in a guest came to.

    ``code`` is its exit code, 128 and the signal's number where one killed it, 127 where it was not
    found and 126 where it cannot be run; None where it was killed because its time was up. Of each
    output at most ``OUTPUT_BYTES`` are kept; ``truncated`` where there was more.
    """

    code: int | None
    stdout: bytes = b""
    stderr: bytes = b""
    truncated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigText:
    """The definition of a VM, whoever made it: its text, and the file where that is.

    ``standard`` is what stands in every definition that geats makes.
    """

    file: str
    text: str
    standard: str = ""


class Driver(Protocol):
    """What geats asks of a driver. Every method raises ``HostError`` where the host fails."""

    @property
    def facts(self) -> DriverFacts:
        """What the planner has to know of the driver: what it can start VMs from."""
        ...

    def observe(self, only: str | None = None) -> Mapping[str, DriverSeen]:
        """Every VM that this driver knows, or *only* that one, in one pass that cannot hang."""
        ...

    def bridges(self) -> frozenset[str] | None:
        """The bridges that NICs can be put on; None where any name will do."""
        ...

    def define(
        self,
        spec: VMSpec,
        volume_paths: Mapping[str, Path],
        keep: tuple[str, ...] = (),
        shifted_by: Mapping[str, int] = NOT_SHIFTED,
    ) -> None:
        """Write the definition, whole and atomically.

        *volume_paths* are by the names of the volumes, the VM's own and those that others share.

        *keep* are the lines added by hand (those that ``observe`` shows) that stay in it.
        *shifted_by* says, by their names, which volumes show ids that are higher by so much.
        """
        ...

    def set_locked(self, name: str, *, locked: bool) -> None:
        """Mark the VM as protected from deletion beside its definition, or take the mark away.

        The mark outlives ``define``, ends with ``undefine``, and protects by being seen: it is
        there for a registry that is lost. A VM that is not known has none.
        """
        ...

    def undefine(self, name: str) -> None:
        """Forget the VM; one that is not known is forgotten already."""
        ...

    def start(self, name: str) -> None:
        """Power on, and make sure that it stays on for a moment."""
        ...

    def shutdown(self, name: str, timeout_s: int) -> None:
        """Ask the guest to power off; after *timeout_s* seconds power off."""
        ...

    def stop(self, name: str) -> None:
        """Power off at once."""
        ...

    def freeze(self, name: str) -> None:
        """Suspend every process."""
        ...

    def hold(self, name: str) -> None:
        """Suspend every process, until ``unfreeze`` or the end of this process, whatever ends it.

        Until then, or where that too fails, the VM is seen as HELD.
        """
        ...

    def unfreeze(self, name: str) -> None:
        """Let the processes go on."""
        ...

    def repair(self, name: str) -> None:
        """End a monitor that no longer answers."""
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
        """Write what is left to read of the descriptor *source* to a file of the guest, whole.

        What had the name before is replaced, a link too. Links on the way lead where they lead for
        the guest.
        """
        ...

    def read_file(self, name: str, file: "FileToRead", target: int) -> None:
        """Write what a regular file of the guest holds to the descriptor *target*."""
        ...


@runtime_checkable
class AdoptingDriver(Protocol):
    """What a driver can do as well that can adopt VMs which something else made."""

    def config_text(self, name: str) -> ConfigText | None:
        """The definition of a VM, whoever made it; None where there is none to be read."""
        ...

    def adopt(
        self,
        adopt: Adopt,
        volume_paths: Mapping[str, Path],
        shifted_by: Mapping[str, int] = NOT_SHIFTED,
    ) -> None:
        """Note what the VM runs with, then replace its definition, whole and atomically.

        Refused where the old one is not that which the adoption was planned from.
        """
        ...
