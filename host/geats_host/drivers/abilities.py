"""What a driver can do beyond ``Driver``, if it can: an interface for each ability."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from geats_core.reading.checked import Problems
from geats_core.reading.values import dataclass
from geats_core.vm.spec import Dns, VMSpec
from geats_host.drivers import ConfigText, Copied, Info, Place, Streams

if TYPE_CHECKING:
    import socket

    from geats_core.adopting.domain_adoption import DomainText
    from geats_core.deciding.keeping_up import Ended
    from geats_core.planning.actions import Adopt, SetDevices
    from geats_core.requests.guest_requests import Command, FileToWrite


@runtime_checkable
class StreamingDriver(Protocol):
    """What a driver offers if a program in a guest can be connected with the caller's streams."""

    def stream(
        self, name: str, command: "Command", streams: Streams, timeout_s: float | None
    ) -> int | None:
        """Run a program, without a limit of its output; for the code see ``Ran``.

        ``timeout_s`` of the command is not looked at; None is no limit. A signal that asks this
        process to end goes to the program.
        """
        ...


@runtime_checkable
class TerminalDriver(Protocol):
    """What a driver offers whose guests have terminals."""

    def on_terminal(
        self, name: str, command: "Command", streams: Streams, timeout_s: float | None
    ) -> int | None:
        """The same on a terminal of the guest's; ``stdin`` and ``stdout`` are the caller's."""
        ...


@runtime_checkable
class TreeDriver(Protocol):
    """What a driver offers if whole directories can be copied into a guest, and out of it.

    On the way they are a stream of ``drivers.lxc.scripts.tree_stream``.
    """

    def pack(self, name: str, path: str, target: int, timeout_s: int) -> Copied:
        """Write the directory *path* of a running guest to the descriptor *target*."""
        ...

    def unpack(self, name: str, file: "FileToWrite", source: int) -> Copied:
        """Write what *source* has to the directory ``file.path``, which is made if needed.

        What is new belongs to owner and group of *file*; modes are those of the stream.
        """
        ...


@runtime_checkable
class CountingDriver(Protocol):
    """What a driver offers if it knows what many VMs use sooner than by ``info`` of each."""

    def usage(self, names: Collection[str]) -> Mapping[str, Info]:
        """What each of these uses, as far as that is known within a moment."""
        ...


@runtime_checkable
class LoggingDriver(Protocol):
    """What a driver offers if there are files on the host that tell of a VM."""

    def logs(self, name: str) -> Mapping[str, Path]:
        """The files, by what they are of: ``console``, or the program that runs the VM.

        They need not exist. What they contain may come from the guest.
        """
        ...


@runtime_checkable
class EndingDriver(Protocol):
    """What a driver offers that knows how a guest ended."""

    def ended(self, name: str) -> "Ended":
        """How a VM that is off ended when it was last on."""
        ...


@runtime_checkable
class AdoptingDriver(Protocol):
    """What a driver offers if it can adopt VMs that other programs made."""

    def config_text(self, name: str) -> ConfigText | None:
        """The definition of a VM by its name in ``observe``, also a foreign one; None if none."""
        ...

    def cannot_read(self, lines: Sequence[str]) -> tuple[str, ...]:
        """Those of *lines* that could not stay in a definition, because no VM starts with them."""
        ...

    def adopt(self, adopt: "Adopt", places: Mapping[str, Place]) -> None:
        """Record what the VM runs with, then replace its definition in one atomic step.

        Raises ``HostError`` if the old definition is not the one that the plan was made from.
        """
        ...


@runtime_checkable
class DomainAdopting(Protocol):
    """What a driver of libvirt offers: it can adopt domains that other programs made."""

    def domain_text(self, name: str) -> "DomainText | None":
        """What libvirt says of a domain, whoever made it; None if this driver has none."""
        ...

    def adopt(self, adopt: "Adopt", places: Mapping[str, Place]) -> None:
        """Define the domain as geats does, and note what it runs with, without a restart.

        Raises ``HostError`` if the old definition is not the one that the plan was made from.
        """
        ...


@runtime_checkable
class GuestConfiguring(Protocol):
    """What a driver offers whose guests are not told their name and addresses by files in a tree.

    It is asked for roots that are no directories: nothing of these is mounted on the host.
    """

    def configure_guest(self, spec: VMSpec, place: Place, *, new: bool) -> None:
        """Let the guest, whose root volume is at *place*, be as described when it starts next.

        The VM is off, and need not be defined yet. A *new* guest was just installed there. If that
        fails, or is cut, the driver may have forgotten the VM, with its lines that are by hand.
        """
        ...


@runtime_checkable
class Remembering(Protocol):
    """What a driver offers whose machines remember more than their volumes contain.

    What that is, see ``geats_core.jobs.machine_memory``.
    """

    def remembered(self, name: str) -> Mapping[str, str]:
        """What there is of a VM; it is off, or stands still."""
        ...

    def remember(self, name: str, remembered: Mapping[str, str]) -> None:
        """Let a VM that was just defined remember that; what it has no part for is left out."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What was tried on this host, what came of it, and how that is mended; empty if it is well."""

    what: str
    found: str
    fix: str = ""


@runtime_checkable
class TryingDriver(Protocol):
    """What a driver offers if it can try whether VMs run on this host."""

    def trials(self) -> Iterator[Trial]:
        """Run a small VM, which is not seen by ``observe`` and is gone afterwards."""
        ...


@runtime_checkable
class DiskGrowing(Protocol):
    """What a driver offers whose guests can see a disk grow while they are on."""

    def volume_grown(self, name: str, place: Place, size_bytes: int) -> None:
        """Let the guest see its volume at *place* with that size, if it is on.

        A device has that size already. A file gets it by what runs the guest, before the pool is
        asked: nothing else may write to it meanwhile.
        """
        ...


@runtime_checkable
class Connecting(Protocol):
    """What a driver offers that can enter the network of a guest, whatever addresses that has."""

    def connect(self, name: str, port: int, timeout_s: float) -> "socket.socket":
        """A connection to a TCP port of a running VM; raises ``HostError`` if there is none."""
        ...


@runtime_checkable
class HotPlugging(Protocol):
    """What a driver offers that can change devices of a VM that is on, and says so in its costs."""

    def set_devices(self, name: str, devices: "SetDevices", places: Mapping[str, Place]) -> None:
        """Let the running VM have these devices; *places* are those of their volumes, by name."""
        ...


@runtime_checkable
class DnsNoting(Protocol):
    """What a driver offers whose guests can be told their ``dns`` in their trees as they run, and
    that says so in its costs."""

    def note_dns(self, name: str, dns: Dns) -> None:
        """From now on ``observe`` shows it as what is in effect: it is written already."""
        ...


class Arrived(StrEnum):
    """What of a VM that moves as it runs is on the host that it moves to."""

    NOTHING = "nothing"
    PART = "part"
    WHOLE = "whole"  # it stands still
    RUNNING = "running"


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """Where a host expects a VM that moves to it as it runs.

    ``domain`` is what the VM is to be there. ``sockets`` are paths on the sending host, each with
    the path on the receiving one that it leads to, for as long as the VM moves.
    """

    domain: str
    sockets: Mapping[str, str] = field(default_factory=dict)


@runtime_checkable
class LiveMoving(Protocol):
    """What a driver offers whose VMs can move to another host while they run.

    The VM stands still from the end of ``send`` until ``unfreeze`` on the receiving host: in
    between, the sending host forgets it.
    """

    def cannot_send(self, spec: VMSpec) -> Problems:
        """Why the VM, which runs with *spec*, cannot move as it runs."""
        ...

    def machine(self, name: str) -> str:
        """What a VM runs on, such as ``pc-q35-7.2``: ``cannot_receive`` knows whether it can."""
        ...

    def cannot_receive(self, spec: VMSpec, machine: str) -> Problems:
        """Why a VM that runs on that *machine* cannot go on here."""
        ...

    def meet(self, name: str) -> str:
        """Make room, on the sending host, for sockets; those of an earlier try are removed.

        The answer is the UUID by which the guest knows its machine; empty if it has none.
        """
        ...

    def part(self, name: str) -> None:
        """Remove what ``meet`` or ``expect`` made."""
        ...

    def expect(self, spec: VMSpec, places: Mapping[str, Place], uuid: str) -> Meeting:
        """Be ready to receive a VM that is defined here; what came of it before is dropped.

        *uuid* is what ``meet`` answered.
        """
        ...

    def cached(self, name: str) -> Collection[str]:
        """The volumes of a VM that runs of which this host may have more than is on the disk."""
        ...

    def send(self, name: str, domain: str, along: Collection[str] = ()) -> None:
        """Copy disks and memory to where the VM is expected as *domain*, until it is whole there.

        It is off then. If that fails, it runs on. The volumes *along* are on disks that both hosts
        have: they are not copied.
        """
        ...

    def was_sent(self, name: str) -> bool | None:
        """Whether the VM is off because ``send`` came to its end, and for nothing else.

        None if the driver does not know why it is off, as after a restart of the host.
        """
        ...

    def was_cut(self, name: str) -> bool:
        """Whether the VM stands still, or is off, and nobody is known to have wanted that.

        So it is if whoever was to watch ``send`` ended in the midst of it.
        """
        ...

    def arrived(self, name: str) -> Arrived:
        """What of it came here."""
        ...

    def settle(self, spec: VMSpec, places: Mapping[str, Place]) -> None:
        """Define what came here as *spec* once more, with which it runs; it still stands still."""
        ...


@runtime_checkable
class CheckingDriver(Protocol):
    """What a driver can do as well that knows of the host what a definition must not say."""

    def cannot_define(self, spec: VMSpec) -> Problems:
        """Why a VM that is defined so could not start on this host, with paths into its spec."""
        ...


@runtime_checkable
class ForeseeingHotPlugging(Protocol):
    """What a driver can do as well that knows beforehand what ``set_devices`` would fail for."""

    def cannot_set_devices(self, name: str, devices: "SetDevices") -> str:
        """Why it would; empty if it would not."""
        ...


@runtime_checkable
class RenamingDriver(Protocol):
    """What a driver offers whose VMs keep more under another name than their spec and lines."""

    def cannot_rename(self, name: str) -> str:
        """Why ``rename`` would refuse a VM that is off; empty if it would not."""
        ...

    def rename(self, name: str, new_name: str) -> None:
        """Let the VM be known by its new name, under which it is defined next.

        If it has that name already, there is nothing to do. ``undefine`` of the old name follows.
        """
        ...


@runtime_checkable
class ForeseeingDriver(Protocol):
    """What a driver can do as well that knows beforehand why it could not forget a VM."""

    def cannot_undefine(self, name: str) -> str:
        """Why ``undefine`` would refuse, once the VM is off; empty if it would not."""
        ...
