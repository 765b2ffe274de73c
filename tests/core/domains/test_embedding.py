"""What libvirt gives back, held against what was written; as libvirt 9.0 with QEMU 7.2 gives it."""

import pytest

from geats_core.domains.domain_xml import domain_xml, spec_digest
from geats_core.domains.embedding import DomainSeen, noted, read_domain, seal_of
from geats_core.domains.machine_keys import read_machine
from geats_core.vm.observation import ForeignNic
from tests.core.domains.machines import FACTS, spec

NIC = {"name": "eth0", "bridge": "br0", "mac": "02:00:00:00:00:01"}
WANT = spec(nics=[NIC], hardware={"hotplug_ports": 0, "rng": False})
WRITTEN = domain_xml(WANT, read_machine(WANT).unwrap(), FACTS)
# Shortened only by ports that are all alike.
READ_BACK = f"""<domain type='qemu'>
  <name>db01</name>
  <uuid>74009e2e-2ccb-8752-af09-bdb1ef0da884</uuid>
  <metadata>
    <geats:vm xmlns:geats="urn:geats:1" spec="{spec_digest(WANT)}"/>
  </metadata>
  <memory unit='KiB'>524288</memory>
  <currentMemory unit='KiB'>524288</currentMemory>
  <vcpu placement='static'>1</vcpu>
  <os>
    <type arch='x86_64' machine='pc-q35-7.2'>hvm</type>
    <boot dev='hd'/>
  </os>
  <features>
    <acpi/>
    <apic/>
  </features>
  <clock offset='utc'/>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw' discard='unmap'/>
      <source file='/srv/db01.raw'/>
      <target dev='vda' bus='virtio'/>
      <serial>root</serial>
      <address type='pci' domain='0x0000' bus='0x03' slot='0x00' function='0x0'/>
    </disk>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/>
      <source file='/var/lib/geats/seed.img'/>
      <target dev='vdzz' bus='virtio'/>
      <readonly/>
      <serial>cidata</serial>
      <address type='pci' domain='0x0000' bus='0x04' slot='0x00' function='0x0'/>
    </disk>
    <controller type='usb' index='0' model='none'/>
    <controller type='sata' index='0'>
      <address type='pci' domain='0x0000' bus='0x00' slot='0x1f' function='0x2'/>
    </controller>
    <controller type='pci' index='0' model='pcie-root'/>
    <controller type='pci' index='1' model='pcie-root-port'>
      <model name='pcie-root-port'/>
      <target chassis='1' port='0x8'/>
      <address type='pci' domain='0x0000' bus='0x00' slot='0x01' function='0x0'/>
    </controller>
    <controller type='virtio-serial' index='0'>
      <address type='pci' domain='0x0000' bus='0x02' slot='0x00' function='0x0'/>
    </controller>
    <interface type='bridge'>
      <mac address='02:00:00:00:00:01'/>
      <source bridge='br0'/>
      <target dev='gt21c096fb3n0'/>
      <model type='virtio'/>
      <address type='pci' domain='0x0000' bus='0x01' slot='0x00' function='0x0'/>
    </interface>
    <serial type='pty'>
      <target type='isa-serial' port='0'>
        <model name='isa-serial'/>
      </target>
    </serial>
    <console type='pty'>
      <target type='serial' port='0'/>
    </console>
    <channel type='unix'>
      <target type='virtio' name='org.qemu.guest_agent.0'/>
      <address type='virtio-serial' controller='0' bus='0' port='1'/>
    </channel>
    <input type='mouse' bus='ps2'/>
    <input type='keyboard' bus='ps2'/>
    <audio id='1' type='none'/>
    <memballoon model='virtio'>
      <address type='pci' domain='0x0000' bus='0x05' slot='0x00' function='0x0'/>
    </memballoon>
  </devices>
</domain>
"""
SEAL = seal_of(READ_BACK, WRITTEN)
AS_WRITTEN = DomainSeen(
    digest=spec_digest(WANT),
    as_written=True,
    nics=(ForeignNic(mac="02:00:00:00:00:01", pair="gt21c096fb3n0"),),
    kind="qemu",
    uuid="74009e2e-2ccb-8752-af09-bdb1ef0da884",
    machine="pc-q35-7.2",
    places={"root": "/srv/db01.raw", "cidata": "/var/lib/geats/seed.img"},
)


def seen(*edits: tuple[str, str]) -> DomainSeen:
    """What is seen after a person made these *edits*, each a text and what it becomes."""
    text = READ_BACK
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    return read_domain(text, WRITTEN, SEAL)


def by_hand(*edits: tuple[str, str]) -> tuple[str, ...]:
    """The elements by hand, of a domain that is as it was written otherwise."""
    found = seen(*edits)
    assert found.as_written
    return found.by_hand


def test_what_libvirt_adds_is_no_difference() -> None:
    assert seen() == AS_WRITTEN


def test_what_it_adds_in_a_later_version_is_none_either() -> None:
    newer = ("<memballoon model='virtio'>", "<memballoon model='virtio' autodeflate='off'>")

    assert seen(newer) == AS_WRITTEN


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<on_crash>destroy", "<on_crash>restart"),
        ("524288</memory>", "1048576</memory>"),
        ("<boot dev='hd'/>", "<boot dev='cdrom'/>"),
        ("<boot dev='hd'/>", ""),
        ("<acpi/>", ""),
        ("/srv/db01.raw", "/srv/other.raw"),
        ("<readonly/>", ""),
        ("bridge='br0'", "bridge='br1'"),
        ("<controller type='usb' index='0' model='none'/>", "<controller type='usb'/>"),
        ("org.qemu.guest_agent.0", "org.qemu.guest_agent.1"),
    ],
)
def test_a_changed_value_of_ours_is_seen_and_is_not_by_hand(old: str, new: str) -> None:
    found = seen((old, new))

    assert not found.as_written
    assert [each for each in found.by_hand if "guest_agent.1" not in each] == []


def test_an_element_of_a_person_is_by_hand_wherever_it_is() -> None:
    assert by_hand(("</devices>", "<watchdog model='i6300esb' action='reset'/>\n</devices>")) == (
        '<devices><watchdog action="reset" model="i6300esb" /></devices>',
    )
    assert by_hand(("<acpi/>", "<acpi/><pae/>")) == ("<features><pae /></features>",)
    assert by_hand(("<clock", "<title>a  &amp; b</title><clock")) == ("<title>a  &amp; b</title>",)
    assert by_hand(("</metadata>", "<a:b xmlns:a='urn:a'/></metadata>")) == (
        '<metadata xmlns:ns0="urn:a"><ns0:b /></metadata>',
    )


def test_a_part_of_a_machine_that_we_say_nothing_of_is_by_hand_as_a_whole() -> None:
    assert by_hand(("<clock", "<cpu mode='maximum'><topology cores='1'/></cpu><clock")) == (
        '<cpu mode="maximum"><topology cores="1" /></cpu>',
    )


def test_a_second_device_of_a_kind_is_by_hand() -> None:
    disk = (
        "<disk type='file' device='disk'><source file='/x'/><target dev='vdb' bus='virtio'/></disk>"
    )

    assert by_hand(("</devices>", f"{disk}</devices>")) == (
        '<devices><disk device="disk" type="file"><source file="/x" />'
        '<target bus="virtio" dev="vdb" /></disk></devices>',
    )


def test_what_libvirt_makes_on_its_own_is_never_by_hand() -> None:
    made = (
        "<controller type='pci' index='2' model='pcie-root-port'/>"
        "<controller type='ide' index='0'/><input type='tablet' bus='ps2'/><audio id='2'/>"
    )

    assert by_hand(("</devices>", f"{made}</devices>")) == ()
    assert by_hand(("</devices>", "<input type='tablet' bus='usb'/></devices>")) != ()


def test_what_was_kept_stays_by_hand() -> None:
    kept = "<devices><watchdog model='i6300esb'/></devices>"
    text = READ_BACK.replace(
        "</devices>",
        "<watchdog model='i6300esb' action='reset'><address slot='0x01'/></watchdog></devices>",
    )
    seal = seal_of(text, WRITTEN, [kept, "<title>gone</title>"])

    assert read_domain(text, WRITTEN, seal).by_hand == (
        '<devices><watchdog action="reset" model="i6300esb"><address slot="0x01" />'
        "</watchdog></devices>",
    )
    assert read_domain(text, WRITTEN, seal_of(text, WRITTEN)).by_hand == ()


def test_an_address_that_changes_is_no_change() -> None:
    made = "<rng model='virtio'><backend model='random'/><address bus='{}'/><alias name='x'/></rng>"
    first, second = (
        READ_BACK.replace("</devices>", f"{made.format(bus)}</devices>") for bus in ("1", "2")
    )

    assert read_domain(second, WRITTEN, seal_of(first, WRITTEN)).by_hand == ()


def test_a_domain_of_another_program_tells_its_nics_and_places() -> None:
    foreign = """<domain><metadata/><devices><interface type='user'/>
        <interface type='bridge'><mac address='02:00:00:00:00:0A'/></interface>
        <disk type='block'><source dev='/dev/sda'/><serial>a</serial></disk>
        <disk type='network'><source name='x'/><serial>b</serial></disk>
        <disk><serial>c</serial></disk><disk><source file='/x'/></disk>
        </devices></domain>"""

    assert read_domain(foreign) == DomainSeen(
        nics=(ForeignNic(), ForeignNic(mac="02:00:00:00:00:0a")),
        places={"a": "/dev/sda", "b": ""},
    )


@pytest.mark.parametrize("text", ["", "<domain>", "<!DOCTYPE a><domain/>", "\ud800"])
def test_what_is_no_xml_says_nothing(text: str) -> None:
    assert read_domain(text, WRITTEN, SEAL) == DomainSeen()
    assert noted(text) == ""
    assert seal_of(text, WRITTEN) == frozenset()


def test_the_note_is_read_alone_too() -> None:
    assert noted(f'<vm xmlns="urn:geats:1" spec="{spec_digest(WANT)}"/>') == spec_digest(WANT)
    assert noted(READ_BACK) == spec_digest(WANT)
    assert noted("<vm spec='x'/>") == ""


def test_elements_that_could_go_to_several_places_find_the_one_that_suits_all() -> None:
    wanted = "<domain><devices><hub/><hub type='usb'/></devices></domain>"
    have = "<domain><devices><hub type='usb'/><hub/></devices></domain>"

    assert read_domain(have, wanted).as_written
    assert not read_domain(
        "<domain><devices><hub type='usb'/></devices></domain>", wanted
    ).as_written
