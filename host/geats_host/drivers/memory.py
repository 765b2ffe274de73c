"""A driver whose VMs exist in memory only: for tests, demos without root and dry exploration.

With the option ``roots: disk`` it plays one of virtual machines, whose roots are disks, and which
have no more keys than those: no ``privileged``, no ``binds``.
"""

import os
import socket
import weakref
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from returns.result import Failure, Success

from geats_core.containers import cgroups, isolation, programs
from geats_core.deciding import keeping_up
from geats_core.planning.costs import LIVE_CGROUPS, LIVE_DNS, LIVE_LIMITS, Cost, EntryCost, Impact
from geats_core.planning.model import ON, SUSPENDED
from geats_core.planning.offers import Offer
from geats_core.planning.plugin_facts import DriverFacts
from geats_core.reading.checked import Problems
from geats_core.reading.fields import Reader, one_of
from geats_core.vm.observation import Power
from geats_core.vm.spec import Dns, Limits, RootKind, VMSpec
from geats_host.drivers import DriverSeen, Info, Place, Ran
from geats_host.drivers.abilities import Arrived, Meeting
from geats_host.errors import HostError, Refused

if TYPE_CHECKING:
    from geats_core.planning.actions import SetDevices
    from geats_core.requests.guest_requests import Command, FileToRead, FileToWrite

DISKS = frozenset({Offer.FILE, Offer.BLOCK_DEVICE, Offer.QCOW2, Offer.NOTHING})
OF_CONTAINERS = frozenset(
    {"privileged", "idmap", "includes", "init", "processes", "binds", "shared_volumes"}
    | {*isolation.KEYS, *cgroups.KEYS, *programs.OF_CONTAINERS}
    | {"hooks", "raw", "devices", "tmpfs"}
)
ENTRIES = {
    "nics": EntryCost(live=frozenset({"bridge"})),
    "volumes": EntryCost(busy="mount"),
}
OF_MACHINES = {**LIVE_LIMITS, **LIVE_CGROUPS, "init": Cost.always(Impact.NONE)}
COSTS = {**OF_MACHINES, **LIVE_DNS}


@dataclass(slots=True)
class MemoryDriver:
    """Keeps each VM as the driver's own observation of it.

    Its guests have files, and the programs ``echo``, ``env``, ``false`` and ``true``; no other.
    """

    vms: dict[str, DriverSeen] = field(default_factory=dict)
    files: dict[tuple[str, str], bytes] = field(default_factory=dict)  # by VM and path
    deaf: set[str] = field(default_factory=set)  # guests that do not listen when they are asked to
    log_files: dict[str, Path] = field(default_factory=dict)  # of each of its VMs
    root_kind: RootKind | None = None
    listening: dict[tuple[str, int], bytes] = field(default_factory=dict)  # what a port says
    configured: dict[str, VMSpec] = field(default_factory=dict)  # what guests of disks were told
    uuids: dict[str, str] = field(default_factory=dict)  # by name
    sent: dict[str, bool] = field(default_factory=dict)  # whether VMs moved away as they ran
    endings: dict[str, keeping_up.Ended] = field(default_factory=dict)  # how guests ended
    cut: set[str] = field(default_factory=set)  # those whose move was cut by a kill, for tests
    memories: dict[str, Mapping[str, str]] = field(default_factory=dict)  # of machines, by name

    @property
    def facts(self) -> DriverFacts:
        if self.root_kind is not RootKind.DISK:
            return DriverFacts(costs=COSTS, root_kind=self.root_kind)  # any volume will do
        return DriverFacts(
            costs=OF_MACHINES,
            entries=ENTRIES,
            roots=DISKS,
            volumes=DISKS,
            lacks=OF_CONTAINERS,
            root_kind=RootKind.DISK,
            guests_mount=True,
            whole_cpus=True,
            renames=True,
        )

    def observe(self, only: str | None = None) -> Mapping[str, DriverSeen]:
        return {name: vm for name, vm in self.vms.items() if only in (None, name)}

    def bridges(self) -> frozenset[str] | None:
        return None

    def define(self, spec: VMSpec, places: Mapping[str, Place], keep: tuple[str, ...] = ()) -> None:
        known = self.vms.get(spec.name, DriverSeen())
        self.uuids.setdefault(spec.name, f"{uuid4()}")
        self.vms[spec.name] = replace(known, defined=spec, by_hand=keep)

    def set_locked(self, name: str, *, locked: bool) -> None:
        if name in self.vms:
            self.vms[name] = replace(self.vms[name], locked=locked)

    def cannot_rename(self, name: str) -> str:
        return ""

    def rename(self, name: str, new_name: str) -> None:
        if name in self.vms and new_name not in self.vms:
            self.vms[new_name] = replace(self._in(name, Power.STOPPED), defined=None)
            self.uuids[new_name] = self.uuids[name]
            self.memories[new_name] = self.memories.pop(name, {})
            del self.vms[name], self.uuids[name]

    def undefine(self, name: str) -> None:
        if name in self.vms:
            self._in(name, Power.STOPPED)
            del self.vms[name], self.uuids[name]
            self.files = {key: held for key, held in self.files.items() if key[0] != name}
            for each in (self.configured, self.sent, self.memories):
                each.pop(name, None)

    def configure_guest(self, spec: VMSpec, place: Place, *, new: bool) -> None:
        self.configured[spec.name] = spec

    def remembered(self, name: str) -> Mapping[str, str]:
        return self.memories.get(name, {})

    def remember(self, name: str, remembered: Mapping[str, str]) -> None:
        self._in(name, Power.STOPPED)
        self.memories[name] = remembered

    def start(self, name: str) -> None:
        vm = self._in(name, Power.STOPPED)
        self.vms[name] = replace(vm, power=Power.RUNNING, in_effect=vm.defined)
        self.sent[name] = False
        self.endings.pop(name, None)

    def end_by_itself(self, name: str, code: int, at_s: int) -> None:
        """What a guest does whose process 1 ends so."""
        self._off(name, *ON)
        self.endings[name] = keeping_up.Ended(code=code, at_s=at_s)

    def ended(self, name: str) -> keeping_up.Ended:
        return self.endings.get(name) or keeping_up.Ended()

    def shutdown(self, name: str, timeout_s: int) -> str:
        self._off(name, Power.RUNNING)
        forced = f"it did not shut down within {timeout_s} s, and was powered off"
        return forced if name in self.deaf else ""

    def stop(self, name: str) -> None:
        self._off(name, *ON)

    def freeze(self, name: str) -> None:
        vm = self._in(name, Power.RUNNING, Power.HELD)
        self.vms[name] = replace(vm, power=Power.FROZEN)

    def hold(self, name: str) -> None:
        self.vms[name] = replace(self._in(name, Power.RUNNING), power=Power.HELD)

    def unfreeze(self, name: str) -> None:
        self.vms[name] = replace(self._in(name, *SUSPENDED), power=Power.RUNNING)

    def repair(self, name: str) -> None:
        self._off(name, Power.STUCK)

    def set_limits(self, name: str, limits: Limits) -> None:
        vm = self._in(name, *ON)
        if vm.in_effect is not None:
            self.vms[name] = replace(vm, in_effect=replace(vm.in_effect, limits=limits))

    def set_devices(self, name: str, devices: "SetDevices", places: Mapping[str, Place]) -> None:
        vm = self._in(name, *ON)
        if vm.in_effect is not None:
            self.vms[name] = replace(vm, in_effect=devices.in_effect(vm.in_effect))

    def note_dns(self, name: str, dns: Dns) -> None:
        vm = self._in(name, *ON)
        if vm.in_effect is not None:
            self.vms[name] = replace(vm, in_effect=replace(vm.in_effect, dns=dns))

    def cannot_send(self, spec: VMSpec) -> Problems:
        return ()

    def machine(self, name: str) -> str:
        return "memory"

    def cannot_receive(self, spec: VMSpec, machine: str) -> Problems:
        return ()

    def meet(self, name: str) -> str:
        return ""

    def part(self, name: str) -> None:
        pass

    def expect(self, spec: VMSpec, places: Mapping[str, Place], uuid: str) -> Meeting:
        if self.arrived(spec.name) is not Arrived.NOTHING:
            self._off(spec.name, *ON)
        return Meeting(domain=next(f"{at}" for at, each in _drivers.items() if each is self))

    def cached(self, name: str) -> Collection[str]:
        return ()

    def send(self, name: str, domain: str, along: Collection[str] = ()) -> None:
        vm, there = self._in(name, Power.RUNNING), _drivers[Path(domain)]
        there.vms[name] = replace(there.vms[name], power=Power.FROZEN, in_effect=vm.in_effect)
        there.memories[name] = self.remembered(name)
        self._off(name, Power.RUNNING)
        self.sent[name] = True

    def was_sent(self, name: str) -> bool | None:
        return self.sent.get(name) if self.vms[name].power is Power.STOPPED else False

    def was_cut(self, name: str) -> bool:
        return name in self.cut

    def arrived(self, name: str) -> Arrived:
        match self.vms.get(name, DriverSeen()).power:
            case Power.RUNNING:
                return Arrived.RUNNING
            case Power.FROZEN:
                return Arrived.WHOLE
            case _:
                return Arrived.NOTHING

    def settle(self, spec: VMSpec, places: Mapping[str, Place]) -> None:
        vm = self._in(spec.name, *ON)
        self.vms[spec.name] = replace(vm, defined=spec, in_effect=spec)

    def info(self, name: str) -> Info:
        vm = self.vms.get(name, DriverSeen())
        if vm.in_effect is None:
            return Info()
        addresses = (str(a.ip) for nic in vm.in_effect.nics for a in nic.addresses)
        limit = vm.in_effect.limits.memory_bytes
        return Info(addresses=tuple(addresses), memory_limit_bytes=limit)

    def console_command(self, name: str) -> Sequence[str]:
        raise HostError(f"{name} exists in memory only, and has no console")

    def logs(self, name: str) -> Mapping[str, Path]:
        return self.log_files

    def exec(self, name: str, command: "Command") -> Ran:
        self._in(name, Power.RUNNING)
        match command.argv:
            case ("true", *_):
                return Ran(code=0)
            case ("false", *_):
                return Ran(code=1)
            case ("echo", *words):
                return Ran(code=0, stdout=f"{' '.join(words)}\n".encode())
            case ("env",):
                lines = (f"{key}={value}\n" for key, value in sorted(command.env.items()))
                return Ran(code=0, stdout="".join(lines).encode())
            case (program, *_):
                return Ran(code=127, stderr=f"{program}: No such file or directory\n".encode())
            case _:
                raise HostError("there is no program to run")

    def connect(self, name: str, port: int, timeout_s: float) -> socket.socket:
        self._in(name, Power.RUNNING)
        if (name, port) not in self.listening:
            raise HostError(f"port {port}: Connection refused")
        ours, of_guest = socket.socketpair()
        of_guest.sendall(self.listening[name, port])
        of_guest.shutdown(socket.SHUT_WR)
        weakref.finalize(ours, of_guest.close)
        return ours

    def write_file(self, name: str, file: "FileToWrite", source: int) -> None:
        self._in(name, Power.RUNNING)
        with open(source, "rb", closefd=False) as given:
            self.files[name, file.path] = given.read()

    def read_file(self, name: str, file: "FileToRead", target: int) -> None:
        self._in(name, Power.RUNNING)
        if (name, file.path) not in self.files:
            raise HostError(f"cannot read {file.path} of {name}: No such file or directory")
        held = self.files[name, file.path]
        if len(held) > file.max_bytes:
            raise HostError(
                f"cannot read {file.path} of {name}: is larger than {file.max_bytes} bytes"
            )
        os.write(target, held)

    def _off(self, name: str, *powers: Power) -> None:
        self.vms[name] = replace(self._in(name, *powers), power=Power.STOPPED, in_effect=None)

    def _in(self, name: str, *powers: Power) -> DriverSeen:
        if name not in self.vms:
            raise HostError(f"{name} is not defined")
        if self.vms[name].power not in powers:
            raise HostError(f"{name} is {self.vms[name].power}")
        return self.vms[name]


_drivers: dict[Path, MemoryDriver] = {}


def open_driver(options: Mapping[object, object], state_dir: Path) -> MemoryDriver:
    """The driver of *state_dir*: the same one for as long as the process lives.

    ``roots`` (tree or disk) is what its VMs are made from; without it, any template will do.
    """
    read = Reader("", options)
    match read.done(read.take("roots", _root_kind, None)):
        case Success(root_kind):
            driver = _drivers.setdefault(state_dir, MemoryDriver())
            driver.root_kind = root_kind
            return driver
        case Failure(problems):
            raise Refused(*problems)


_root_kind = one_of("kind of roots", RootKind)
