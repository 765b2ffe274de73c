"""The domain XML of a VM: what each key of its spec becomes."""

from dataclasses import replace
from xml.etree.ElementTree import Element

import pytest

from geats_core.domains.domain_devices import DomainFacts, letters, pinned
from geats_core.domains.domain_xml import domain_uuid, domain_xml, note_xml, spec_digest
from geats_core.domains.elements import is_marked, parsed, text_of, unmergeable
from geats_core.domains.machine_keys import read_machine
from geats_core.vm.spec import VMSpec
from tests.core.domains.machines import DATA, FACTS, ROOT, spec

NIC = {"name": "eth0", "bridge": "br0", "mac": "02:00:00:00:00:01"}
LOGS = {"name": "logs", "mount": "/var/log", "read_only": True, "size": "1GiB"}


def rendered(want: VMSpec, facts: DomainFacts = FACTS, *keep: str) -> Element:
    """The domain of *want*."""
    found = parsed(domain_xml(want, read_machine(want).unwrap(), facts, keep))
    assert found is not None
    return found


def found(domain: Element, path: str) -> list[str]:
    """The elements at *path*, as text."""
    return [text_of(each) for each in domain.findall(path)]


def test_a_small_vm_is_a_whole_domain() -> None:
    want = spec(hardware={"hotplug_ports": 0, "rng": False, "agent": False})

    assert domain_xml(want, read_machine(want).unwrap(), FACTS) == (
        '<domain xmlns:geats="urn:geats:1" type="qemu"><name>db01</name>'
        f"<uuid>{domain_uuid('db01', 'qemu')}</uuid>"
        f'<metadata><geats:vm spec="{spec_digest(want)}" /></metadata>'
        '<memory unit="KiB">524288</memory><currentMemory unit="KiB">524288</currentMemory>'
        "<vcpu>1</vcpu>"
        '<os><type arch="x86_64" machine="pc-q35-7.2">hvm</type><boot dev="hd" /></os>'
        "<features><acpi /><apic /></features>"
        "<on_poweroff>destroy</on_poweroff><on_crash>destroy</on_crash>"
        "<on_reboot>restart</on_reboot>"
        "<devices>"
        '<disk type="file" device="disk"><driver name="qemu" type="raw" discard="unmap" />'
        '<source file="/srv/db01.raw" /><target dev="vda" bus="virtio" />'
        "<serial>root</serial></disk>"
        '<disk type="file" device="disk"><driver name="qemu" type="raw" />'
        '<source file="/var/lib/geats/seed.img" /><target dev="vdzz" bus="virtio" /><readonly />'
        "<serial>cidata</serial></disk>"
        '<controller type="usb" model="none" /><memballoon model="virtio" />'
        '<serial type="pty"><target port="0" /></serial>'
        '<console type="pty"><target type="serial" port="0" /></console>'
        "</devices></domain>"
    )


def test_what_the_guest_says_is_kept_if_that_is_wanted() -> None:
    kept, own = spec(console_log="1MiB"), replace(FACTS, console="/c/console.log")
    log = '<log file="/c/console.log" append="on" />'
    for tag in ("serial", "console"):
        assert found(rendered(kept, own), f"devices/{tag}/log") == [log]
        assert found(rendered(spec(), own), f"devices/{tag}/log") == []
        assert found(rendered(kept), f"devices/{tag}/log") == []


def test_memory_and_cpus_leave_room_to_grow() -> None:
    domain = rendered(spec(cpus=2, hardware={"max_memory": "2GiB", "max_cpus": 8}))

    assert found(domain, "memory") == ['<memory unit="KiB">2097152</memory>']
    assert found(domain, "currentMemory") == ['<currentMemory unit="KiB">524288</currentMemory>']
    assert found(domain, "vcpu") == ['<vcpu current="2">8</vcpu>']


@pytest.mark.parametrize(
    ("kind", "hardware", "cpu"),
    [
        ("qemu", {}, []),
        ("kvm", {}, ['<cpu mode="host-model" />']),
        ("qemu", {"cpu": "maximum"}, ['<cpu mode="maximum" />']),
        (
            "kvm",
            {"cpu": "EPYC-v2"},
            ['<cpu mode="custom" match="exact"><model fallback="forbid">EPYC-v2</model></cpu>'],
        ),
        (
            "qemu",
            {"topology": {"cores": 2, "threads": 2}},
            ['<cpu><topology sockets="1" cores="2" threads="2" /></cpu>'],
        ),
    ],
)
def test_the_cpu_is_the_hosts_unless_it_is_named(
    kind: str, hardware: dict[str, object], cpu: list[str]
) -> None:
    assert found(rendered(spec(hardware=hardware), replace(FACTS, kind=kind)), "cpu") == cpu


def test_a_topology_says_how_many_cpus_there_can_be() -> None:
    domain = rendered(spec(hardware={"topology": {"cores": 2, "threads": 2}}))

    assert found(domain, "vcpu") == ['<vcpu current="1">4</vcpu>']


@pytest.mark.parametrize(
    ("firmware", "secure", "smm"), [("uefi", "no", 0), ("uefi-secure", "yes", 1)]
)
def test_uefi_is_with_or_without_secure_boot(firmware: str, secure: str, smm: int) -> None:
    domain = rendered(spec(hardware={"firmware": firmware}))

    assert domain.find("os[@firmware='efi']") is not None
    assert found(domain, "os/firmware/feature") == [
        f'<feature enabled="{secure}" name="enrolled-keys" />',
        f'<feature enabled="{secure}" name="secure-boot" />',
    ]
    assert len(domain.findall("features/smm")) == smm


def test_disks_are_files_and_block_devices_known_by_their_serials() -> None:
    logs = {**LOGS, "read_only": False}
    disks = {
        "data": {"bus": "scsi", "cache": "none", "discard": False},
        "logs": {"bus": "sata"},
        "root": {"iothread": True},
    }
    want = spec(hardware={"disks": disks, "cdrom": "/srv/x.iso"}, volumes=[DATA, ROOT, logs])
    domain = rendered(want)

    assert found(domain, "iothreads") == ["<iothreads>1</iothreads>"]
    assert found(domain, "devices/disk[1]/driver") == [
        '<driver name="qemu" type="raw" iothread="1" discard="unmap" />'
    ]
    assert found(domain, "devices/controller[@type='scsi']") == [
        '<controller type="scsi" model="virtio-scsi" />'
    ]
    assert [each.get("dev") for each in domain.findall("devices/disk/target")] == [
        *("vda", "sda", "sdb", "vdzz", "sdc")
    ]
    assert found(domain, "devices/disk")[1:3] + found(domain, "devices/disk")[4:] == [
        '<disk type="block" device="disk">'
        '<driver name="qemu" type="raw" cache="none" />'
        '<source dev="/dev/vg/db01-data" /><target dev="sda" bus="scsi" />'
        "<serial>data</serial></disk>",
        '<disk type="file" device="disk"><driver name="qemu" type="raw" discard="unmap" />'
        '<source file="/srv/logs.raw" /><target dev="sdb" bus="sata" />'
        "<serial>logs</serial></disk>",
        '<disk type="file" device="cdrom"><driver name="qemu" type="raw" />'
        '<source file="/srv/x.iso" /><target dev="sdc" bus="sata" /><readonly /></disk>',
    ]


def test_disks_on_ide_are_counted_by_themselves() -> None:
    busses = {"root": "ide", "logs": "ide", "data": "scsi"}
    logs = {**LOGS, "read_only": False}
    disks = {name: {"bus": bus} for name, bus in busses.items()}
    hardware: dict[str, object] = {"machine": "pc", "disks": disks, "guest": "none"}
    targets = rendered(spec(hardware=hardware, volumes=[ROOT, logs, DATA])).findall(
        "devices/disk/target"
    )
    assert [(each.get("dev"), each.get("bus")) for each in targets] == [
        *(("hda", "ide"), ("sda", "scsi"), ("hdb", "ide"))
    ]


def test_a_guest_that_nobody_configures_has_no_seed() -> None:
    assert len(rendered(spec(hardware={"guest": "none"})).findall("devices/disk")) == 1
    assert len(rendered(spec(), replace(FACTS, seed="")).findall("devices/disk")) == 1


def test_nics_are_on_bridges_with_the_interface_names_of_containers() -> None:
    cards = {"eth1": {"model": "e1000e", "queues": 2}, "eth2": {"queues": 4}}
    others = [{**NIC, "name": f"eth{n}", "mac": f"02:00:00:00:00:0{n + 1}"} for n in (1, 2)]
    domain = rendered(spec(nics=[NIC, *others], hardware={"nics": cards}))

    assert found(domain, "devices/interface[1]") == [
        '<interface type="bridge"><mac address="02:00:00:00:00:01" /><source bridge="br0" />'
        '<target dev="gt21c096fb3n0" /><model type="virtio" /></interface>'
    ]
    assert [each.get("type") for each in domain.findall("devices/interface/model")] == [
        *("virtio", "e1000e", "virtio")
    ]
    assert found(domain, "devices/interface/driver") == ['<driver name="vhost" queues="4" />']


def test_each_device_has_a_port_and_some_are_left_over() -> None:
    ports = "devices/controller[@model='pcie-root-port']"
    few = len(rendered(spec(hardware={"hotplug_ports": 1})).findall(ports))
    # root, seed, virtio-serial, memballoon and rng have one each.
    assert few == 6
    assert len(rendered(spec(nics=[NIC], hardware={"hotplug_ports": 8})).findall(ports)) == few + 8
    assert rendered(spec(hardware={"machine": "pc"})).findall(ports) == []


@pytest.mark.parametrize("display", ["vnc", "spice"])
def test_a_screen_is_on_a_socket(display: str) -> None:
    domain = rendered(spec(hardware={"display": display}))

    assert found(domain, "devices/graphics") == [
        f'<graphics type="{display}"><listen type="socket" /></graphics>'
    ]
    assert found(domain, "devices/video") == ['<video><model type="virtio" /></video>']


def test_a_tpm_a_watchdog_an_agent_and_an_emulator_are_devices_too() -> None:
    want = spec(hardware={"tpm": True, "watchdog": "reset"})
    domain = rendered(want, replace(FACTS, emulator="/usr/bin/qemu-system-x86_64"))

    assert found(domain, "devices/tpm") == [
        '<tpm model="tpm-crb"><backend type="emulator" version="2.0" /></tpm>'
    ]
    assert found(domain, "devices/watchdog") == ['<watchdog model="i6300esb" action="reset" />']
    assert found(domain, "devices/rng") == [
        '<rng model="virtio"><backend model="random">/dev/urandom</backend></rng>'
    ]
    assert found(domain, "devices/channel/target") == [
        '<target type="virtio" name="org.qemu.guest_agent.0" />'
    ]
    assert found(domain, "devices/emulator") == ["<emulator>/usr/bin/qemu-system-x86_64</emulator>"]


def test_what_to_boot_from_is_in_order() -> None:
    hardware: dict[str, object] = {"boot": ["cdrom", "network", "disk"], "cdrom": "/srv/x.iso"}

    assert [each.get("dev") for each in rendered(spec(hardware=hardware)).findall("os/boot")] == [
        *("cdrom", "network", "hd")
    ]


def test_raw_elements_and_those_by_hand_are_put_where_they_belong() -> None:
    sound, panic = "<devices><sound model='ich9'/></devices>", "<title>a &amp; b</title>"
    domain = rendered(spec(hardware={"xml": [sound]}), FACTS, panic, "no element")

    assert found(domain, "devices/sound") == ['<sound model="ich9" />']
    assert found(domain, "title") == ["<title>a &amp; b</title>"]
    assert unmergeable([sound, "<a", panic, "\x00"]) == ("<a", "\x00")


def test_a_value_is_never_markup() -> None:
    place = replace(FACTS.sources["root"], path="/srv/a\"'<&>.raw")
    domain = rendered(spec(), replace(FACTS, sources={"root": place}))
    source = domain.find("devices/disk/source")

    assert source is not None
    assert source.attrib == {"file": "/srv/a\"'<&>.raw"}


@pytest.mark.parametrize(
    ("wanted", "known", "written"),
    [
        ("q35", "", "q35"),
        ("q35", "pc-q35-7.2", "pc-q35-7.2"),
        ("q35", "pc-i440fx-7.2", "q35"),
        ("pc", "pc-i440fx-7.2", "pc-i440fx-7.2"),
        ("pc-q35-8.0", "pc-q35-7.2", "pc-q35-8.0"),
        ("microvm", "pc-q35-7.2", "microvm"),
    ],
)
def test_a_machine_keeps_its_version_until_another_is_named(
    wanted: str, known: str, written: str
) -> None:
    assert pinned(wanted, known) == written


def test_a_uuid_is_of_the_name_and_the_kind() -> None:
    assert domain_uuid("db01", "kvm") == "10aaafcf-e0cd-865f-a4cd-2e7ed8f15209"
    assert len({domain_uuid(name, kind) for name in ("a", "b") for kind in ("kvm", "qemu")}) == 4
    assert len({domain_uuid("a", "kvm", taken) for taken in range(5)}) == 5


def test_what_is_noted_tells_nothing_of_the_spec() -> None:
    want = spec(metadata={"PASSWORD": "hunter2"})

    assert "hunter2" not in domain_xml(want, read_machine(want).unwrap(), FACTS)
    assert spec_digest(want) in note_xml(want)
    assert len({spec_digest(want, key) for key in ("", "a", "b")}) == 3
    assert spec_digest(want, "a") in note_xml(want, "a")
    assert spec_digest(want) != spec_digest(spec())


def test_disks_are_lettered_as_libvirt_does() -> None:
    assert [letters(index) for index in (0, 25, 26, 27, 701, 702)] == [
        *("a", "z", "aa", "ab", "zz", "aaa")
    ]


def test_an_element_may_say_how_it_stands_to_one_of_geats() -> None:
    keep = (
        '<devices><disk part="root"><driver io="native" /><serial>other</serial></disk></devices>',
        '<devices><disk part="gone"><driver io="native" /></disk></devices>',
        '<devices><memballoon instead="" model="none" /></devices>',
        '<cpu instead="" mode="maximum" />',
    )
    assert [*map(is_marked, (*keep, "<title>a</title>", "<", ""))] == [True] * 4 + [False] * 3
    want = spec()
    machine = read_machine(want).unwrap()
    top = parsed(domain_xml(want, machine, FACTS, keep))
    assert top is not None
    (disk,) = (each for each in top.findall("devices/disk") if each.findtext("serial") == "other")
    assert [text_of(each) for each in disk.findall("driver")] == [
        '<driver name="qemu" type="raw" discard="unmap" io="native" />'
    ]
    assert [text_of(each) for each in top.findall("devices/memballoon")] == [
        '<memballoon model="none" />'
    ]
    assert len(top.findall("cpu")) == 1
    assert domain_xml(want, machine, replace(FACTS, uuid="u")).count("<uuid>u</uuid>") == 1
