"""Domains that are defined, and those of others that are adopted."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from geats_core.domains.domain_devices import DomainFacts
from geats_core.domains.domain_xml import domain_uuid, domain_xml
from geats_core.domains.elements import unmergeable
from geats_core.domains.embedding import noted, read_domain
from geats_core.domains.machine import Firmware, Machine
from geats_core.reading.checked import Problems
from geats_core.vm.spec import VMSpec
from geats_host.drivers import Place, lock_marks, vm_files
from geats_host.drivers.libvirt import definition, machines
from geats_host.drivers.libvirt.domains import Domains
from geats_host.errors import HostError
from geats_host.lazy import later

if TYPE_CHECKING:
    from geats_core.adopting import domain_adoption, found_domains
    from geats_core.domains import domain_import
    from geats_core.planning.actions import Adopt
else:
    domain_import = later("geats_core.domains.domain_import")
    domain_adoption = later("geats_core.adopting.domain_adoption")
    found_domains = later("geats_core.adopting.found_domains")


@dataclass(frozen=True, slots=True)
class Defining(Domains):
    """How domains become those of geats; see the Protocol ``Driver``."""

    def cannot_define(self, spec: VMSpec) -> Problems:
        """What is wrong between the keys of the VM, or not allowed on this host."""
        wrong = machines.cannot_define(self.options, spec, self.needs)
        return wrong or tuple(machines.unconnected(spec, self.daemon))

    def define(self, spec: VMSpec, places: Mapping[str, Place], keep: tuple[str, ...] = ()) -> None:
        """Render the domain, and have libvirt take it; then note what libvirt made of it."""
        folder, machine = self.folder(spec.name), machines.machine_of(self.options, spec)
        for text in unmergeable(keep):
            raise HostError(f"an element added by hand to {spec.name} cannot be kept: {text!r}")
        with vm_files.host_errors(f"cannot define {spec.name}"):
            known = self.daemon.xml(spec.name) if definition.is_recorded(folder) else ""
            definition.write_spec(folder, spec)
            was = known or definition.last_written(folder)  # it may have been cut as it was renewed
            facts = self.domain_facts(spec, machine, places, was)
            made = self._defined_as(spec, machine, facts, keep, new=not known)
            taken = 0
            while "taken" in made:  # by a VM that had this name once
                taken += 1
                uuid = domain_uuid(spec.name, self.options.kind, taken)
                facts = replace(facts, uuid=uuid)
                made = self._defined_as(spec, machine, facts, keep, new=True)
            if "known" in made:  # though there is no record of it
                facts = self.domain_facts(spec, machine, places, f"{made['known']}")
                made = self._defined_as(spec, machine, facts, keep, new=False)
            back = f"{made['xml']}"
            facts = replace(facts, machine=read_domain(back).machine)
            wanted = definition.on_trial(spec, machine, facts, keep).wanted
            definition.write_record(folder, definition.sealed(back, wanted, keep))
            definition.forget_specs(
                folder, {definition.digest_of(folder, spec), noted(f"{made['live']}")}
            )
            if made["new"]:  # what is left of another, that was not forgotten to its end
                lock_marks.set_locked(folder, locked=False)

    def configure_guest(self, spec: VMSpec, place: Place, *, new: bool) -> None:
        """Let a new guest have variables of its firmware and a TPM of its own; see ``start``.

        libvirt does not know the VM for a moment: if that is cut, ``define`` restores it.
        """
        machine = machines.machine_of(self.options, spec)
        if new and (machine.firmware is not Firmware.BIOS or machine.tpm):
            self.have("renew", spec.name)

    def domain_text(self, name: str) -> "domain_adoption.DomainText | None":
        """What libvirt says of a domain, if it is one of this type."""
        found = self.daemon.ask("text", name)
        if not found or read_domain(f"{found['xml']}").kind != self.options.kind:
            return None
        return domain_adoption.DomainText(
            xml=f"{found['xml']}",
            live=f"{found['live']}",
            formats=found_domains.formats_of(f"{found['xml']}"),
            disks=tuple(path for path, _ in domain_import.disks_of(name, f"{found['xml']}")),
            snapshots=int(f"{found['snapshots']}"),
            checkpoints=int(f"{found['checkpoints']}"),
            is_persistent=found["is_persistent"] is True,
            is_saved=found["is_saved"] is True,
            autostart=found["autostart"] is True,
            has_secret=found["has_secret"] is True,
        )

    def adopt(self, adopt: "Adopt", places: Mapping[str, Place]) -> None:
        """Have libvirt take the domain as one of geats, with what is kept of it."""
        spec, folder = adopt.spec, self.folder(adopt.spec.name)
        machine = machines.machine_of(self.options, spec)
        old = self.daemon.xml(adopt.called or spec.name)
        with vm_files.host_errors(f"cannot adopt {spec.name}"):
            for each in (spec, adopt.running):
                definition.write_spec(folder, each)
            facts = self.domain_facts(spec, machine, places, old)
            record = definition.on_trial(spec, machine, facts, adopt.keep)
            definition.write_record(folder, record)
            made = self.have(
                "adopt",
                spec.name,
                called=adopt.called,
                sha256=adopt.sha256,
                xml=domain_xml(spec, machine, facts, adopt.keep),
                note=definition.noted_of(folder, adopt.running),
            )
            back = f"{made['xml']}"
            definition.write_record(folder, definition.sealed(back, record.wanted, adopt.keep))
            definition.forget_specs(
                folder, {definition.digest_of(folder, spec), noted(f"{made['live']}")}
            )
            lock_marks.set_locked(folder, locked=False)

    def _defined_as(
        self,
        spec: VMSpec,
        machine: Machine,
        facts: DomainFacts,
        keep: tuple[str, ...],
        *,
        new: bool,
    ) -> Mapping[str, object]:
        """Have libvirt take the domain, which is on trial until its record is sealed."""
        record = definition.on_trial(spec, machine, facts, keep)
        definition.write_record(self.folder(spec.name), record)
        xml = domain_xml(spec, machine, facts, keep)
        return self.have("define", spec.name, xml=xml, new=new)
