"""A driver whose VMs exist in memory only: for tests, demos without root and dry exploration."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from geats_core.checked import unknown
from geats_core.observation import Power
from geats_core.spec import Limits, VMSpec
from geats_host.drivers import NOT_SHIFTED, DriverSeen, Info
from geats_host.errors import HostError, Refused


@dataclass(slots=True)
class MemoryDriver:
    """Keeps each VM as the driver's own observation of it."""

    vms: dict[str, DriverSeen] = field(default_factory=dict)

    def observe(self) -> Mapping[str, DriverSeen]:
        return dict(self.vms)

    def bridges(self) -> frozenset[str] | None:
        return None

    def define(
        self,
        spec: VMSpec,
        volume_paths: Mapping[str, Path],
        keep: tuple[str, ...] = (),
        shifted_by: Mapping[str, int] = NOT_SHIFTED,
    ) -> None:
        known = self.vms.get(spec.name, DriverSeen())
        self.vms[spec.name] = replace(known, defined=spec, by_hand=keep)

    def undefine(self, name: str) -> None:
        if name in self.vms:
            self._in(name, Power.STOPPED)
            del self.vms[name]

    def start(self, name: str) -> None:
        vm = self._in(name, Power.STOPPED)
        self.vms[name] = replace(vm, power=Power.RUNNING, in_effect=vm.defined)

    def shutdown(self, name: str, timeout_s: int) -> None:
        self._off(name, Power.RUNNING)

    def stop(self, name: str) -> None:
        self._off(name, Power.RUNNING, Power.FROZEN)

    def freeze(self, name: str) -> None:
        self.vms[name] = replace(self._in(name, Power.RUNNING), power=Power.FROZEN)

    def unfreeze(self, name: str) -> None:
        self.vms[name] = replace(self._in(name, Power.FROZEN), power=Power.RUNNING)

    def repair(self, name: str) -> None:
        self._off(name, Power.STUCK)

    def set_limits(self, name: str, limits: Limits) -> None:
        vm = self._in(name, Power.RUNNING, Power.FROZEN)
        if vm.in_effect is not None:
            self.vms[name] = replace(vm, in_effect=replace(vm.in_effect, limits=limits))

    def info(self, name: str) -> Info:
        vm = self.vms.get(name, DriverSeen())
        if vm.in_effect is None:
            return Info()
        addresses = (str(a.ip) for nic in vm.in_effect.nics for a in nic.addresses)
        limit = vm.in_effect.limits.memory_bytes
        return Info(addresses=tuple(addresses), memory_limit_bytes=limit)

    def console_command(self, name: str) -> Sequence[str]:
        raise HostError(f"{name} exists in memory only, and has no console")

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
    """The driver of *state_dir*: the same one for as long as the process lives."""
    if options:
        raise Refused(*(unknown("drivers.memory", "option", key, ()) for key in options))
    return _drivers.setdefault(state_dir, MemoryDriver())
