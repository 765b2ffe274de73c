"""Domains of Xen and Virtuozzo, which nobody has run: see ``tests/real/test_domain_schema.py``."""

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from geats_core.domains.domain_devices import DomainFacts, Source
from geats_core.domains.domain_xml import domain_xml
from geats_core.domains.embedding import read_domain, seal_of
from geats_core.domains.flavours import FLAVOURS
from geats_core.domains.machine_keys import KEYS, driver_facts, read_machine
from geats_core.domains.seed import seed_files
from geats_core.planning.offers import Offer
from geats_core.vm.hardware import problems, read_hardware
from tests.core.domains.machines import DATA, FACTS, ROOT, spec

NIC = {"name": "eth0", "bridge": "br0", "mac": "02:00:00:00:00:01"}
WHOLE = {
    "volumes": [DATA, ROOT, {"name": "logs", "mount": "/logs", "read_only": True}],
    "nics": [NIC],
    "cpus": 2,
    "hardware": {"max_cpus": 4, "max_memory": "1GiB", "cdrom": "/x.iso", "boot": ["cdrom", "disk"]},
}
FIRMWARE = [{"firmware": "uefi-secure", "tpm": True}, {"display": "spice", "watchdog": "reset"}]


def rendered(kind: str, keys: Mapping[str, object]) -> str:
    want = spec(**{**keys, "driver": kind})  # type: ignore[arg-type]
    return domain_xml(want, read_machine(want).unwrap(), replace(FACTS, kind=kind))


def test_a_machine_of_xen_is_a_whole_domain() -> None:
    want = spec(driver="xen", nics=[NIC])
    facts = DomainFacts(kind="xen", sources={"root": Source(path="/r", format="qcow2")}, seed="/s")
    xml = domain_xml(want, read_machine(want).unwrap(), facts)
    assert xml.partition("<os>")[2] == (
        '<type arch="x86_64">hvm</type><boot dev="hd" /></os><features><acpi /><apic /></features>'
        "<on_poweroff>destroy</on_poweroff><on_crash>destroy</on_crash><on_reboot>restart</on_reboot>"
        '<devices><disk type="file" device="disk"><driver name="qemu" type="qcow2" />'
        '<source file="/r" /><target dev="xvda" bus="xen" /></disk>'
        '<disk type="file" device="disk"><driver name="qemu" type="raw" /><source file="/s" />'
        '<target dev="xvdz" bus="xen" /><readonly /></disk>'
        '<interface type="bridge"><mac address="02:00:00:00:00:01" /><source bridge="br0" />'
        '<target dev="gt21c096fb3n0" /></interface>'
        '<console type="pty"><target type="xen" port="0" /></console></devices></domain>'
    )


def test_a_machine_of_virtuozzo_has_block_devices_and_its_seed_in_a_cdrom() -> None:
    xml = rendered("vz", WHOLE)
    assert '<driver type="raw" /><source dev="/dev/vg/db01-data" /><target dev="sdc"' in xml
    assert '<disk type="file" device="cdrom"><driver type="raw" /><source file="/var/lib' in xml
    assert '<model type="virtio" />' in xml
    assert "serial>" not in xml
    assert driver_facts("vz:///system", "vz").roots == frozenset({Offer.BLOCK_DEVICE})


@pytest.mark.parametrize("kind", ["xen", "vz"])
def test_what_is_written_is_known_again(kind: str) -> None:
    xml = rendered(kind, WHOLE)
    seen = read_domain(xml, xml, seal_of(xml, xml, ()))
    assert (seen.kind, seen.as_written, seen.by_hand) == (kind, True, ())


@pytest.mark.parametrize("kind", ["xen", "vz"])
@pytest.mark.parametrize("hardware", FIRMWARE)
def test_hardware_that_only_qemu_has_is_refused(kind: str, hardware: dict[str, object]) -> None:
    keys = driver_facts(FLAVOURS[kind].uri, kind).keys
    assert keys is not None
    found = problems(kind, keys, read_hardware("hardware", hardware).unwrap())
    assert sorted(str(each).partition(":")[0] for each in found) == sorted(
        f"hardware.{key}" for key in hardware
    )


def test_a_guest_that_nobody_configures_has_no_seed() -> None:
    assert "xvdz" not in rendered("xen", {"hardware": {"guest": "none"}})


def test_a_drive_can_be_empty() -> None:
    assert 'device="cdrom"' in (xml := rendered("xen", {"hardware": {"cdrom": "empty"}}))
    assert "empty" not in xml


@pytest.mark.parametrize("kind", ["kvm", "qemu"])
def test_machines_of_qemu_have_every_key(kind: str) -> None:
    assert driver_facts("qemu:///system", kind).keys == KEYS


@pytest.mark.parametrize(("kind", "path"), [("xen", "/dev/xvdb"), ("vz", "/dev/sdb")])
def test_the_guest_finds_volumes_by_their_order(kind: str, path: str) -> None:
    want = spec(driver=kind, volumes=[DATA, ROOT])
    files = seed_files(want, read_machine(want).unwrap(), kind)
    user = json.loads(files["user-data"].partition("\n")[2])
    assert user["mounts"] == [[path, "/srv", "auto", "defaults,nofail", "0", "2"]]
