"""The driver ``lxc``: containers by liblxc, each a directory below one lxcpath.

Theory of operation
-------------------
``LXCPATH/NAME/config`` is the definition. It contains the spec that it was rendered from, and tells
the lines that geats wrote from those that a person added (``geats_core.vm.lxc_config``). A
container whose ``config`` is by another hand, or that runs without any file of geats, is foreign.
``started`` contains the spec that the container was last started with, ``log`` what liblxc says,
and ``geats.locked`` is there while the container is protected from deletion.
Whatever liblxc does, it does in a child process (``process``). What can be asked without liblxc
is read from its command socket (``monitor``), from /proc, and from the cgroups. What few calls
need is in modules of its own, which are loaded then.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from geats_core.reading import fields
from geats_core.reading.checked import Problems
from geats_core.reading.values import dataclass
from geats_core.vm.observation import Power
from geats_core.vm.spec import Dns, Limits, VMSpec
from geats_host.drivers import (
    ConfigText,
    Copied,
    DriverSeen,
    Info,
    Place,
    Ran,
    Streams,
    lock_marks,
    vm_files,
)
from geats_host.drivers.abilities import Trial
from geats_host.drivers.lxc import folders
from geats_host.drivers.lxc.kernel import sockets
from geats_host.drivers.lxc.options import Options, read_options
from geats_host.lazy import later

if TYPE_CHECKING:
    import socket

    from geats_core.deciding.keeping_up import Ended
    from geats_core.planning.actions import Adopt, SetDevices
    from geats_core.planning.plugin_facts import DriverFacts
    from geats_core.requests.guest_requests import Command, FileToRead, FileToWrite
    from geats_host.drivers.binding import Binding
    from geats_host.drivers.lxc import attach, defining, definition, library, monitor, process
    from geats_host.drivers.lxc import facts as lxc_facts
    from geats_host.drivers.lxc import leftovers as lxc_left
    from geats_host.drivers.lxc import power as lxc_power
    from geats_host.drivers.lxc import seen as lxc_seen
    from geats_host.drivers.lxc import trial as lxc_trial
    from geats_host.drivers.lxc.kernel import links, ports
    from geats_host.drivers.lxc.kernel import payload as lxc_payload
    from geats_host.leftovers import Left
    from geats_host.linux import network
else:
    definition = later("geats_host.drivers.lxc.definition")
    (
        attach,
        defining,
        library,
        lxc_facts,
        lxc_left,
        lxc_power,
        lxc_seen,
        lxc_trial,
        monitor,
        process,
    ) = (
        later(f"geats_host.drivers.lxc.{each}")
        for each in (
            *("attach", "defining", "library", "facts", "leftovers", "power", "seen", "trial"),
            *("monitor", "process"),
        )
    )
    links = later("geats_host.drivers.lxc.kernel.links")
    ports = later("geats_host.drivers.lxc.kernel.ports")
    lxc_payload = later("geats_host.drivers.lxc.kernel.payload")
    network = later("geats_host.linux.network")


def open_driver(options: Mapping[object, object], state_dir: Path) -> "LxcDriver":
    """The driver of containers; for its options see ``Options``."""
    return LxcDriver(read_options(options, state_dir))


@dataclass(frozen=True, slots=True)
class LxcDriver:
    """Containers on this host; see the Protocol ``Driver`` for what each method does."""

    options: Options

    def trials(self) -> Iterator[Trial]:
        """Try a container of this driver, below another lxcpath."""
        return lxc_trial.trials(self.options, LxcDriver)

    def make_lxcpath(self) -> None:
        """Make the directory of all containers, or make it root's if it exists."""
        folders.make_lxcpath(self.options)

    @property
    def binding(self) -> "Binding":
        """What calls liblxc; ``HostError`` if nothing on this host can."""
        return library.binding_of(self.options)

    @property
    def facts(self) -> "DriverFacts":
        """Directories, and nothing else."""
        return lxc_facts.facts(self.options)

    def observe(self, only: str | None = None) -> Mapping[str, DriverSeen]:
        """Every container below the lxcpath. One question to all monitors at once: 1 s at most."""
        with vm_files.host_errors("cannot observe containers"):
            known, lxcpath = frozenset(folders.names(self.options)), str(self.options.path)
            there = known.union(filter(fields.VM_NAME.fullmatch, sockets.addressed(lxcpath)))
            names = sorted(there if only is None else there & {only})
            powers = self._powers(names, known) if names else {}
            ends = cache(ports.ends)
            return {
                name: lxc_seen.seen(self.options, name, power, ends)
                for name, power in powers.items()
                if name in known or power is not Power.STOPPED
            } | (self._strangers() if only is None else {})

    def _powers(self, names: Sequence[str], known: frozenset[str]) -> dict[str, Power]:
        """The power of each; one that is off, and of which processes are left, is stuck."""
        lxcpath = str(self.options.path)
        powers = dict(monitor.powers(lxcpath, names))
        off = [name for name, power in powers.items() if power is Power.STOPPED]
        if off:
            lxc_seen.check_none_is_elsewhere(self.options)
        left = [
            name
            for name in lxc_payload.names().intersection(off)
            if lxc_seen.left_of(self.options, name, known)
        ]
        # Its start may have begun between the two looks: then there is a monitor now.
        again = monitor.powers(lxcpath, left)
        return powers | {
            name: Power.STUCK if power is Power.STOPPED else power for name, power in again.items()
        }

    def _strangers(self) -> dict[str, DriverSeen]:
        """The containers that no VM can be called, as far as their names can be shown."""
        lxcpath, called = str(self.options.path), folders.strange_names(self.options)
        return {
            label: lxc_seen.foreign(self.options.path / name, monitor.power(lxcpath, name))
            for label, name in called.items()
        }

    def leftovers(self, vms: Collection[str]) -> "Iterator[Left]":
        """Folders and interfaces of containers that are off; see ``Clearing``."""
        seen = self.observe()
        on = {name for name, vm in seen.items() if vm.power is not Power.STOPPED}
        with vm_files.host_errors("cannot look for what is left of containers"):
            yield from lxc_left.folders(self.options.path, seen.keys() - on)
            yield from links.leftovers({*vms, *seen}, on)

    def bridges(self) -> frozenset[str] | None:
        """The bridges of the host."""
        return network.bridges()

    def define(self, spec: VMSpec, places: Mapping[str, Place], keep: tuple[str, ...] = ()) -> None:
        """Write the container's ``config``; refused if volumes have ids of another range."""
        defining.define(self.options, spec, places, keep)

    def config_text(self, name: str) -> ConfigText | None:
        """The ``config`` of a container, if it is a plain file."""
        return lxc_seen.config_text(self.options, name)

    def cannot_read(self, lines: Sequence[str]) -> tuple[str, ...]:
        """What liblxc could not read: then it reads nothing of a config, and starts nothing."""
        return defining.cannot_read(lines)

    def adopt(self, adopt: "Adopt", places: Mapping[str, Place]) -> None:
        """Replace the ``config``, and keep the old one beside it."""
        defining.adopt(self.options, adopt, places)

    def set_locked(self, name: str, *, locked: bool) -> None:
        """Put a file beside the container's ``config``, or remove it."""
        with vm_files.host_errors(f"cannot mark {name} as {'' if locked else 'not '}locked"):
            lock_marks.set_locked(folders.folder_of(self.options, name), locked=locked)

    def undefine(self, name: str) -> None:
        """Remove the container's directory; refused while it runs, or contains what is not ours."""
        defining.undefine(self.options, name)

    def cannot_define(self, spec: VMSpec) -> Problems:
        """Whether root may give the guest the ids that it is to have: see ``CheckingDriver``."""
        return defining.cannot_define(self.options, spec)

    def cannot_undefine(self, name: str) -> str:
        """Whether the container's directory contains what is not ours: see ``ForeseeingDriver``."""
        return defining.cannot_undefine(self.options, name)

    def start(self, name: str) -> None:
        """Start; if it fails, or ends within a moment, the error has liblxc's own reasons."""
        lxc_power.start(self.options, name)

    def shutdown(self, name: str, timeout_s: int) -> str:
        """Send the guest its halt signal, again every few seconds; at last stop it."""
        return lxc_power.shutdown(self.options, name, timeout_s)

    def stop(self, name: str) -> None:
        """Kill every process of the container."""
        lxc_power.stop(self.options, name)

    def freeze(self, name: str) -> None:
        """Suspend every process."""
        lxc_power.freeze(self.options, name)

    def hold(self, name: str) -> None:
        """Suspend every process; a process that outlives this one lets them go on."""
        lxc_power.hold(self.options, name)

    def unfreeze(self, name: str) -> None:
        """Let the processes go on."""
        lxc_power.unfreeze(self.options, name)

    def repair(self, name: str) -> None:
        """Kill the monitor and the container with it, or what is left of that without a monitor."""
        lxc_power.repair(self.options, name)

    def end(self, name: str) -> None:
        """Make sure that nothing of the container runs, whatever state it is in."""
        lxc_power.end(self.options, name)

    def set_limits(self, name: str, limits: Limits) -> None:
        """Write the limits into the running container's cgroups."""
        lxc_power.set_limits(self.options, name, limits)

    def set_devices(self, name: str, devices: "SetDevices", places: Mapping[str, Place]) -> None:
        """Put devices of the host into the running container, and take others out of it."""
        lxc_power.set_devices(self.options, name, devices)

    def note_dns(self, name: str, dns: Dns) -> None:
        """Note that it runs with this."""
        lxc_power.note_dns(self.options, name, dns)

    def info(self, name: str) -> Info:
        """Read from /proc and the cgroups; liblxc is not asked, so this cannot hang."""
        return lxc_seen.statistics(self.options, name)

    def usage(self, names: Collection[str]) -> Mapping[str, Info]:
        """The same of several: less than a millisecond each."""
        return lxc_seen.usage(self.options, names)

    def console_command(self, name: str) -> Sequence[str]:
        """The program of LXC that attaches to the console, and not to another terminal."""
        folders.folder_of(self.options, name)
        return ["lxc-console", "-P", str(self.options.path), "-n", name, "-t", "0"]

    def logs(self, name: str) -> Mapping[str, Path]:
        """What the guest said on its console, and what liblxc complained of."""
        folder = folders.folder_of(self.options, name)
        return {"console": folder / definition.CONSOLE, "lxc": folder / definition.LOG}

    def ended(self, name: str) -> "Ended":
        """As liblxc's log tells it."""
        log = folders.folder_of(self.options, name) / definition.LOG
        with vm_files.host_errors(f"cannot see how {name} ended"):
            return process.how_ended(log)

    def exec(self, name: str, command: "Command") -> Ran:
        """Run a program in a running container, in a session of its own."""
        return attach.run(self.options, name, command)

    def stream(
        self, name: str, command: "Command", streams: Streams, timeout_s: float | None
    ) -> int | None:
        """Run a program, and pass on what goes in and comes out."""
        return attach.stream(self.options, name, command, streams, timeout_s)

    def on_terminal(
        self, name: str, command: "Command", streams: Streams, timeout_s: float | None
    ) -> int | None:
        """Run a program on a terminal of the container's."""
        return attach.on_terminal(self.options, name, command, streams, timeout_s)

    def connect(self, name: str, port: int, timeout_s: float) -> "socket.socket":
        """Connect from within the container's network, to its addresses or to loopback."""
        return attach.connect(self.options, name, port, timeout_s)

    def write_file(self, name: str, file: "FileToWrite", source: int) -> None:
        """Write a file as root of the guest does, from within its namespaces."""
        attach.write_file(self.options, name, file, source)

    def pack(self, name: str, path: str, target: int, timeout_s: int) -> Copied:
        """Write a directory as a stream, from within the container's namespaces."""
        return attach.pack(self.options, name, path, target, timeout_s)

    def unpack(self, name: str, file: "FileToWrite", source: int) -> Copied:
        """Write what a stream has, as root of the guest does."""
        return attach.unpack(self.options, name, file, source)

    def read_file(self, name: str, file: "FileToRead", target: int) -> None:
        """Read a file as root of the guest does, from within its namespaces."""
        attach.read_file(self.options, name, file, target)
