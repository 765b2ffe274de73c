"""Domains of one type, as each part of the driver asks libvirt about them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from geats_core.domains.domain_devices import DomainFacts
from geats_core.domains.embedding import read_domain
from geats_core.domains.machine import Guest, Machine
from geats_core.domains.seed import seed_files
from geats_core.reading import fields
from geats_core.vm.spec import VMSpec
from geats_host.drivers import DriverSeen, Place, held, vm_files
from geats_host.drivers.libvirt import definition, machines, observed, seed_image
from geats_host.drivers.libvirt.daemon import CHILD, Daemon
from geats_host.drivers.libvirt.guests import console_log
from geats_host.drivers.libvirt.needs import Needs
from geats_host.drivers.libvirt.options import Options
from geats_host.errors import HostError
from geats_host.linux.network import open_vswitches

HOLD = CHILD.with_name("hold_child.py")


@dataclass(frozen=True, slots=True)
class Domains:
    """What the parts of the driver have in common."""

    options: Options
    needs: Needs = field(default_factory=Needs)

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

    def in_effect(self, name: str) -> VMSpec:
        """With what a VM runs; ``HostError`` if it does not, or nobody knows."""
        seen = self.observe(name).get(name)
        if seen is None or seen.in_effect is None:
            raise HostError(f"{name} does not run, or geats does not know with what")
        return seen.in_effect

    def domain_facts(
        self, spec: VMSpec, machine: Machine, places: Mapping[str, Place], known: str
    ) -> DomainFacts:
        """What is *known* is the XML that libvirt has of it; empty if it has none."""
        folder = self.folder(spec.name)
        seen = read_domain(known)
        is_seeded = machine.guest is Guest.CLOUD_INIT
        return DomainFacts(
            kind=self.options.kind,
            sources={v.name: machines.source_of(spec, v.name, places) for v in spec.volumes},
            seed=f"{folder / definition.SEED}" if is_seeded else "",
            console=f"{folder / console_log.FILE}",
            uuid=seen.uuid,
            machine=seen.machine,
            switches=open_vswitches(),
            key=definition.key_of(folder),
        )

    def write_seed(self, spec: VMSpec, machine: Machine, uuid: str) -> None:
        if machine.guest is Guest.CLOUD_INIT:
            image = seed_image.seed_image(seed_files(spec, machine, self.options.kind, uuid))
            with vm_files.host_errors(f"cannot write the seed of {spec.name}"):
                vm_files.write_atomically(self.folder(spec.name), definition.SEED, image)

    def have(
        self, do: str, name: str, *, within_s: float | None = None, **more: object
    ) -> dict[str, object]:
        """Have something done to one VM."""
        self.folder(name)
        try:
            return self.daemon.ask(do, name, within_s=within_s, **more)
        except HostError as error:
            raise HostError(f"{do} of {name} failed: {error}") from None

    def folder(self, name: str) -> Path:
        """Where files of the VM are; every name that comes in is checked here."""
        if not fields.VM_NAME.fullmatch(name):
            raise HostError(f"{name!r} cannot be the name of a VM")
        return self.options.folder / name

    def let_go(self, name: str) -> None:
        with vm_files.host_errors(f"cannot let {name} go on"):
            held.let_go(self.folder(name), HOLD)
