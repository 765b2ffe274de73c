"""Specs of virtual machines for the tests of their domains."""

from geats_core.domains.domain_devices import DomainFacts, Source
from geats_core.domains.machine import Machine
from geats_core.domains.machine_keys import read_machine
from geats_core.vm.parse import parse_vm
from geats_core.vm.spec import VMSpec

FACTS = DomainFacts(
    kind="qemu",
    sources={
        "root": Source(path="/srv/db01.raw"),
        "data": Source(path="/dev/vg/db01-data", is_block=True),
        "logs": Source(path="/srv/logs.raw"),
    },
    seed="/var/lib/geats/seed.img",
    machine="pc-q35-7.2",
)
ROOT = {"name": "root", "size": "1GiB"}
DATA = {"name": "data", "pool": "thin", "size": "1GiB", "mount": "/srv"}


def spec(*, hardware: dict[str, object] | None = None, **keys: object) -> VMSpec:
    """The VM db01, with these keys, and those below ``hardware``."""
    known: dict[str, object] = {"driver": "qemu", "template": "debian", "memory": "512MiB"}
    return parse_vm("db01", {**known, **keys, "hardware": hardware or {}}).unwrap()


def machine(**hardware: object) -> Machine:
    """The machine of a VM that has these keys below ``hardware``."""
    return read_machine(spec(hardware=hardware)).unwrap()
