"""The pillar out of domains of libvirt that something else made."""

import pytest

from geats_core.domains.domain_import import disks_of, import_libvirt
from geats_core.domains.domain_parts import DEEPEST, LONGEST, MOST, OF_GEATS
from geats_core.domains.imported_devices import OWN_LOG
from geats_core.foreign.notes import Imported

# As virt-manager 4 makes it with libvirt 9, with more of what people add.
WINDOWS = """\
<!--
WARNING: THIS IS AN AUTO-GENERATED FILE. CHANGES TO IT ARE LIKELY TO BE
OVERWRITTEN AND LOST.
-->
<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>office</name>
  <uuid>027b22c9-a1bf-446a-b4af-9411a09008f8</uuid>
  <metadata><os id='http://microsoft.com/win/11'/></metadata>
  <memory unit='GiB'>8</memory>
  <currentMemory unit='KiB'>4194304</currentMemory>
  <vcpu placement='static' cpuset='0-3' current='2'>4</vcpu>
  <os firmware='efi'>
    <type arch='x86_64' machine='pc-q35-7.2'>hvm</type>
    <firmware><feature enabled='yes' name='secure-boot'/></firmware>
    <loader readonly='yes' secure='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE.fd</loader>
    <nvram>/var/lib/libvirt/qemu/nvram/office_VARS.fd</nvram>
    <bootmenu enable='yes'/>
  </os>
  <features>
    <acpi/><apic/><hyperv mode='custom'><relaxed state='on'/></hyperv><smm state='on'/>
  </features>
  <cpu mode='host-passthrough' check='none' migratable='on'>
    <topology sockets='1' dies='1' cores='2' threads='2'/>
    <feature policy='disable' name='svm'/>
  </cpu>
  <clock offset='localtime'/>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>preserve</on_crash>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='cdrom'>
      <driver name='qemu' type='raw'/>
      <source file='/srv/iso/windows.iso'/>
      <target dev='sdb' bus='sata'/>
      <readonly/>
      <boot order='2'/>
    </disk>
    <disk type='block' device='disk'>
      <driver name='qemu' type='raw' cache='none' io='native' iothread='1'/>
      <source dev='/dev/vg/data'/>
      <target dev='vdb' bus='virtio'/>
      <readonly/>
      <serial>WD 4711</serial>
    </disk>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' discard='unmap'/>
      <source file='/var/lib/libvirt/images/office.qcow2'/>
      <backingStore/>
      <target dev='vda' bus='sata'/>
      <boot order='1'/>
    </disk>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/>
      <source file='/srv/more.qcow2'/>
      <target dev='vdc' bus='virtio'/>
    </disk>
    <disk type='file' device='cdrom'><target dev='sdc' bus='sata'/></disk>
    <disk type='file' device='cdrom'>
      <source file='/srv/iso/virtio.iso'/><target dev='sdd' bus='sata'/>
    </disk>
    <interface type='bridge'>
      <mac address='52:54:00:aa:bb:cc'/>
      <source bridge='br0'/>
      <model type='virtio'/>
      <driver name='vhost' queues='4'/>
      <filterref filter='clean-traffic'/>
      <boot order='3'/>
    </interface>
    <controller type='usb' index='0' model='qemu-xhci'/>
    <channel type='spicevmc'><target type='virtio' name='com.redhat.spice.0'/></channel>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <input type='tablet' bus='usb'/>
    <tpm model='tpm-tis'><backend type='emulator' version='2.0'/></tpm>
    <graphics type='spice' autoport='yes' passwd='canary'><listen type='address'/></graphics>
    <graphics type='vnc' port='-1'/>
    <sound model='ich9'/>
    <video><model type='qxl' ram='65536'/></video>
    <hostdev mode='subsystem' type='pci'><source><address bus='6'/></source></hostdev>
    <filesystem type='mount'><source dir='/srv/canary'/><target dir='shared'/></filesystem>
    <watchdog model='itco' action='reset'/>
    <memballoon model='virtio'/>
    <rng model='virtio'><rate bytes='9'/><backend model='random'>/dev/urandom</backend></rng>
  </devices>
  <qemu:commandline><qemu:arg value='canary'/></qemu:commandline>
</domain>
"""
DISK = (
    "<disk type='file'><driver name='qemu' type='raw'/><source file='/r'/>"
    "<target dev='vda' bus='virtio'/></disk>"
)
ROOT_DISK = {"path": "/r", "format": "raw"}
NOT_SECURE = "<feature enabled='no' name='secure-boot'/>"


def small(within: str = "", devices: str = DISK, **more: str) -> str:
    """A domain that is complete, with more in it."""
    memory = more.get("memory", "<memory>1048576</memory>")
    name = more.get("name", "<name>web</name>")
    return f"<domain type='qemu'>{name}{memory}{within}<devices>{devices}</devices></domain>"


def imported(text: str) -> Imported:
    return import_libvirt({"f": text})


def vm(text: str) -> dict[str, object]:
    """The VM out of a domain in which nothing is wrong."""
    made = imported(text)
    assert made.problems == ()
    vms = made.geats["vms"]
    assert isinstance(vms, dict)
    (found,) = vms.values()
    assert isinstance(found, dict)
    return found


def hardware(text: str) -> dict[str, object]:
    found = vm(text)["hardware"]
    assert isinstance(found, dict)
    return found


def left(text: str) -> dict[str, str]:
    """What is nowhere, and why."""
    return {note.key: note.why for note in imported(text).notes if note.to is None}


def problems(text: str) -> list[str]:
    return [f"{each}" for each in imported(text).problems]


def test_a_domain_becomes_a_vm() -> None:
    made = import_libvirt({"office.xml": WINDOWS}, {"/dev/vg/data": 10 << 30})

    assert made.problems == ()
    assert made.geats == {
        "templates": {
            "office-root": {
                "disk": {"path": "/var/lib/libvirt/images/office.qcow2", "format": "qcow2"}
            }
        },
        "vms": {
            "office": {
                "driver": "kvm",
                "memory": "4GiB",
                "cpus": 2,
                "template": "office-root",
                "volumes": [
                    {"name": "vdb", "size": "10GiB", "read_only": True},
                    {"name": "root"},
                    {"name": "vdc"},
                ],
                "nics": [{"name": "eth0", "bridge": "br0", "mac": "52:54:00:aa:bb:cc"}],
                "hardware": {
                    "max_memory": "8GiB",
                    "topology": {"sockets": 1, "cores": 2, "threads": 2},
                    "machine": "pc-q35-7.2",
                    "firmware": "uefi-secure",
                    "boot": ["disk", "cdrom", "network"],
                    "cpu": "host-passthrough",
                    "guest": "none",
                    "disks": {
                        "vdb": {
                            "discard": False,
                            "bus": "virtio",
                            "cache": "none",
                            "iothread": True,
                        },
                        "root": {"discard": True, "bus": "sata"},
                        "vdc": {"discard": False, "bus": "virtio"},
                    },
                    "nics": {"eth0": {"model": "virtio", "queues": 4}},
                    "cdrom": "/srv/iso/windows.iso",
                    "rng": True,
                    "agent": True,
                    "tpm": True,
                    "display": "spice",
                    "watchdog": "reset",
                },
            }
        },
    }


def test_what_is_left_out_is_told_by_name_and_nothing_secret_is() -> None:
    found = left(WINDOWS)

    by_xml = "has no key: hardware.xml can say it, if the driver has raw_xml"
    assert {key for key, why in found.items() if why == by_xml} == {
        "os/bootmenu",
        "features/hyperv",
        "cpu/feature",
        "clock",
        "on_crash",
        "devices/channel[1]",
        "devices/sound",
        "commandline",
    }
    assert {key for key, why in found.items() if why == "has no key"} == {
        "vcpu@cpuset",
        "devices/disk[vdb]/driver@io",
        "devices/interface[52:54:00:aa:bb:cc]/filterref",
        "devices/graphics[1]@passwd",
        "devices/rng/rate",
    }
    assert "by their ids only" in found["devices/hostdev"]
    assert "by virtiofs only" in found["devices/filesystem"]
    assert "hotplug_ports" in found["controller, 1 of them"]
    assert "canary" not in f"{imported(WINDOWS)}"


def test_the_disks_that_a_host_may_have_are_known_before_it_is_asked() -> None:
    assert disks_of("f", WINDOWS) == (
        ("/srv/iso/windows.iso", "raw"),
        ("/dev/vg/data", "raw"),
        ("/var/lib/libvirt/images/office.qcow2", "qcow2"),
        ("/srv/more.qcow2", "qcow2"),
        ("/srv/iso/virtio.iso", ""),
    )
    assert disks_of("f", "<x/>") == ()


def test_memory_is_what_the_guest_has_and_may_have() -> None:
    assert vm(small())["memory"] == "1GiB"
    assert vm(small(memory="<memory unit='MB'>2000</memory>"))["memory"] == "1953125KiB"
    same = "<memory unit='GiB'>1</memory><currentMemory>1048576</currentMemory>"
    assert "max_memory" not in hardware(small(memory=same))


@pytest.mark.parametrize("memory", ["", "<memory>x</memory>", "<memory unit='Pond'>1</memory>"])
def test_memory_that_cannot_be_read_is_missing(memory: str) -> None:
    assert problems(small(memory=memory)) == [
        "vms.web.memory: is missing: a virtual machine has some, such as 2GiB"
    ]


@pytest.mark.parametrize(
    ("within", "cpus", "keys"),
    [
        ("", None, {}),
        ("<vcpu>x</vcpu>", None, {}),
        ("<vcpu>2</vcpu>", 2, {}),
        ("<vcpu current='1'>2</vcpu>", 1, {"max_cpus": 2}),
    ],
)
def test_cpus_are_those_that_are_plugged_in(
    within: str, cpus: int | None, keys: dict[str, object]
) -> None:
    found = vm(small(within))
    assert found.get("cpus") == cpus
    assert {key: value for key, value in hardware(small(within)).items() if "cpu" in key} == keys


def test_a_topology_that_geats_has_not_is_still_wrong() -> None:
    of = "<cpu><topology sockets='1' dies='2' cores='1' threads='1'/></cpu>"
    (wrong,) = problems(small(of))
    assert wrong.startswith("vms.web: cpu/topology: must be sockets, cores and threads")
    without = "<vcpu>2</vcpu><cpu><topology sockets='1' cores='x'/></cpu>"
    assert "cpu/topology" in problems(small(without))[0]


def test_a_topology_of_other_cpus_is_told_by_the_machine() -> None:
    of = "<vcpu>4</vcpu><cpu><topology sockets='1' cores='2' threads='1'/></cpu>"
    assert problems(small(of)) == [
        "vms.web.hardware.topology: has 2 cpus, and max_cpus is 4: they must be equal"
    ]


@pytest.mark.parametrize(
    ("within", "firmware"),
    [
        ("<os><type>hvm</type><loader type='rom'>/x</loader></os>", None),
        ("<os><loader type='pflash'>/x</loader><nvram>/y</nvram></os>", "uefi"),
        ("<os><loader type='pflash' secure='yes'>/x</loader></os>", "uefi-secure"),
        ("<os firmware='efi'/>", "uefi"),
        (f"<os firmware='efi'><firmware>{NOT_SECURE}</firmware></os>", "uefi"),
        ("<os firmware='bios'/>", None),
    ],
)
def test_firmware_is_known_by_its_kind_or_its_file(within: str, firmware: str | None) -> None:
    assert hardware(small(within)).get("firmware") == firmware


def test_a_guest_starts_from_what_it_did() -> None:
    listed = "<os><boot dev='network'/><boot dev='cdrom'/><boot dev='fd'/><boot dev='hd'/></os>"
    assert hardware(small(listed))["boot"] == ["network", "disk"]
    assert left(small(listed))["os/boot[2]@dev"] == "there is no file in the cdrom"
    odd = "<redirdev><boot order='1'/></redirdev>"
    assert "boot" not in hardware(small(devices=DISK + odd))
    nic = "<interface type='bridge'><source bridge='b'/><target dev='t'/>{0}</interface>"
    unordered = nic.format("<boot order='x'/>")
    assert hardware(small(devices=DISK + unordered))["boot"] == ["network"]


@pytest.mark.parametrize(
    ("cpu", "wanted"),
    [
        ("<cpu mode='custom' match='exact'><model fallback='allow'>EPYC</model></cpu>", "EPYC"),
        ("<cpu mode='host-model'/>", "host-model"),
        ("<cpu mode='odd'/>", None),
    ],
)
def test_the_model_of_the_cpus_is_kept(cpu: str, wanted: str | None) -> None:
    assert hardware(small(cpu)).get("cpu") == wanted


def test_the_disk_with_the_serial_of_a_root_is_the_root() -> None:
    of = "<driver type='raw'/><target dev='{0}' bus='virtio'/><source file='/{0}'/>"
    disks = [f"<disk>{of.format(dev)}<boot order='{n}'/></disk>" for n, dev in enumerate("abc", 1)]
    roots = [disks[0], disks[1].replace("</disk>", "<serial>root</serial></disk>"), disks[2]]
    assert vm(small(devices="".join(disks)))["volumes"] == [
        *({"name": name} for name in ("root", "b", "c"))
    ]
    assert vm(small(devices="".join(roots)))["volumes"] == [
        *({"name": name} for name in ("a", "root", "c"))
    ]


def test_a_volume_has_the_name_that_the_guest_finds_it_by() -> None:
    of = "<disk><driver type='raw'/><target bus='virtio'/><source file='/x'/>{0}</disk>"
    serials = ("data", "data", "Data", "x" * 21)
    disks = "".join(of.format(f"<serial>{serial}</serial>") for serial in serials)
    names = [{"name": name} for name in ("root", "data", "data-2", "disk", "disk-2")]
    assert vm(small(devices=DISK + disks))["volumes"] == names
    whys = {note.key: note.why for note in imported(small(devices=DISK + disks)).notes}
    assert whys["devices/disk[2]/serial"] == ""
    assert whys["devices/disk[4]/serial"] == "is another one now: the guest finds it by that"


@pytest.mark.parametrize(
    ("disk", "wrong"),
    [
        ("<disk type='network'><source protocol='rbd'/></disk>", "files and block devices"),
        ("<disk type='file'><source file='/x'/></disk>", "in the format raw or qcow2"),
        (DISK.replace("raw", "vmdk"), "in the format raw or qcow2"),
        (DISK.replace("virtio", "usb"), "must be one of virtio, scsi, sata, ide"),
        (DISK.replace("</d", "<backingStore><source/></backingStore></d"), "flatten it first"),
    ],
)
def test_a_disk_that_would_be_another_one_is_still_wrong(disk: str, wrong: str) -> None:
    assert any(wrong in each for each in problems(small(devices=disk)))


def test_a_seed_is_no_volume_and_says_who_configures_the_guest() -> None:
    seed = DISK.replace("vda", "vdb").replace("</disk>", "<serial>cidata</serial></disk>")
    assert vm(small(devices=DISK + seed))["volumes"] == [{"name": "root"}]
    assert hardware(small(devices=DISK + seed))["guest"] == "cloud-init"
    (key,) = (key for key, why in left(small(devices=seed + DISK)).items() if "is a seed" in why)
    assert key == "devices/disk[vdb]"


def test_a_root_is_never_read_only() -> None:
    read_only = DISK.replace("</disk>", "<readonly/></disk>")
    assert vm(small(devices=read_only))["volumes"] == [{"name": "root"}]
    assert left(small(devices=read_only))["devices/disk[vda]/readonly"] == "has no key"


@pytest.mark.parametrize(
    ("nic", "wrong"),
    [
        ("<interface type='direct'><source dev='eno1'/></interface>", "got 'direct vepa'"),
        ("<interface><source dev='eno1'/></interface>", "got ''"),
        (
            "<interface type='network'><source network='n'/><vlan><tag id='3'/><tag id='4'/></vlan>"
            "</interface>",
            "in another network",
        ),
        (
            "<interface type='bridge'><source bridge='b'/><vlan><tag id='3'/></vlan></interface>",
            "in another network",
        ),
        (
            "<interface type='bridge'><source bridge='b'/><virtualport type='ovs'/></interface>",
            "in another network",
        ),
        (
            "<interface type='bridge'><source bridge='b'/><virtualport type='openvswitch'>"
            "<parameters profileid='p'/></virtualport></interface>",
            "in another network",
        ),
        (
            "<interface type='network'><source network='n'/><virtualport type='openvswitch'/>"
            "</interface>",
            "in another network",
        ),
    ],
)
def test_a_nic_that_would_be_in_another_network_is_still_wrong(nic: str, wrong: str) -> None:
    assert any(wrong in each for each in problems(small(devices=DISK + nic)))


@pytest.mark.parametrize("parameters", ["", "<parameters interfaceid='1-2'/>"])
def test_a_port_of_open_vswitch_is_a_nic_on_its_bridge(parameters: str) -> None:
    port = f"<virtualport type='openvswitch'>{parameters}</virtualport>"
    nic = f"<interface type='bridge'><source bridge='ovs0'/>{port}</interface>"
    text = small(devices=DISK + nic)
    assert problems(text) == []
    assert vm(text)["nics"] == [{"name": "eth0", "bridge": "ovs0"}]


def test_a_nic_on_a_network_or_by_macvtap_is_carried() -> None:
    network = (
        "<interface type='network'><source network='n'/><link state='down'/><mtu size='9000'/>"
        "<vlan><tag id='3'/></vlan><bandwidth><inbound average='100'/></bandwidth></interface>"
    )
    macvtap = (
        "<interface type='direct'><source dev='eno1' mode='bridge'/><link state='up'/>"
        "<vlan><tag id='3'/></vlan></interface>"
    )
    assert hardware(small(devices=DISK + network))["nics"] == {
        "eth0": {"network": "n", "link": False, "mtu": 9000, "vlan": 3, "rate_in": "100KiB"}
    }
    (wrong,) = problems(small(devices=DISK + macvtap))
    assert "in another network" in wrong
    plain = macvtap.replace("<vlan><tag id='3'/></vlan>", "")
    assert hardware(small(devices=DISK + plain))["nics"] == {"eth0": {"macvtap": "eno1"}}


def test_devices_of_the_host_are_carried_that_geats_can_pass_through() -> None:
    of = "<hostdev mode='subsystem' type='{0}'><source>{1}</source></hostdev>"
    pci = of.format("pci' managed='yes", "<address domain='0x0000' bus='0x3b' slot='6' {0}/>")
    usb = of.format("usb", "<vendor id='0x046d'/><product id='0xc52b'/>")
    carried = pci.format("function='0x1'") + pci.format("") + usb
    found = hardware(small(devices=DISK + carried))
    assert (found["pci"], found["usb"]) == (["0000:3b:06.1", "0000:3b:06.0"], ["046d:c52b"])
    others = (
        of.format("pci", "<address bus='6'/>"),
        of.format("pci' managed='yes", "<address/>"),
        of.format("pci' managed='yes", "<address bus='999'/>"),
        of.format("usb", "<address bus='1' device='2'/>"),
        of.format("scsi", ""),
        "<hostdev mode='capabilities'/>",
    )
    assert not {"pci", "usb"} & hardware(small(devices=DISK + "".join(others))).keys()
    assert [key for key in left(small(devices=DISK + "".join(others))) if "hostdev" in key] == [
        f"devices/hostdev[{number}]" for number in range(1, 7)
    ]


def test_directories_by_virtiofs_become_binds_and_huge_pages_are_carried() -> None:
    of = "<filesystem type='mount' accessmode='passthrough'>{0}</filesystem>"
    shared = of.format("<driver type='virtiofs'/><source dir='/srv/{0}'/><target dir='{0}'/>")
    plain = shared.replace(" accessmode='passthrough'", "")
    backing = (
        "<memoryBacking><hugepages/><locked/><source type='memfd'/><access mode='shared'/>"
        "</memoryBacking>"
    )
    text = small(backing, DISK + shared.format("data") + plain.format("My_Data"))
    assert vm(text)["binds"] == {
        "data": {
            **{"source": "/srv/data", "mount": "/mnt/data"},
            **{"read_only": False, "recursive": True},
        },
        "shared": {
            **{"source": "/srv/My_Data", "mount": "/mnt/shared"},
            **{"read_only": False, "recursive": True},
        },
    }
    assert hardware(text)["hugepages"] is True
    assert {"memoryBacking/source", "memoryBacking/access"} < {*left(text)}
    sized = "<memoryBacking><hugepages><page size='1'/></hugepages></memoryBacking>"
    assert "hugepages" not in hardware(small(sized))


def test_a_card_that_geats_has_not_is_told_by_the_machine() -> None:
    nic = "<interface type='bridge'><source bridge='b'/><model type='ne2k'/></interface>"
    (wrong,) = problems(small(devices=DISK + nic))
    assert wrong.startswith("vms.web.hardware.nics.eth0.model: ")


def test_other_devices_are_there_or_not() -> None:
    assert {key: hardware(small())[key] for key in ("rng", "agent", "guest")} == {
        "rng": False,
        "agent": False,
        "guest": "none",
    }
    odd = (
        "<watchdog model='diag288' action='inject-nmi'/><graphics type='sdl'/>"
        "<memballoon model='none'/><tpm><backend type='passthrough'/></tpm>"
    )
    assert hardware(small(devices=DISK + odd)) == hardware(small())
    found = left(small(devices=DISK + odd))
    assert {"devices/watchdog", "devices/graphics", "devices/memballoon", "devices/tpm"} < {*found}


def test_several_domains_of_one_name_become_several_vms() -> None:
    made = import_libvirt({"a": small(), "b": small()})
    assert made.problems == ()
    templates = {f"{name}-root": {"disk": ROOT_DISK} for name in ("web", "web-2")}
    assert made.geats["templates"] == templates
    (note,) = (note for note in made.notes if note.key == "name" and note.why)
    assert (note.file, note.to, note.why) == ("b", "vms.web-2", "another has this name")


def test_a_domain_without_a_name_or_a_disk_is_told() -> None:
    assert any("must be 1 to 63" in each for each in problems(small(name="")))
    assert problems(small(devices="")) == [
        "vms.web.volumes: must contain a volume named 'root'",
        "vms.web.template: is missing",
    ]


LAUGHS = (
    '<!DOCTYPE d [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>'
    "<domain type='qemu'><name>&b;</name></domain>"
)
NO_XML = "f: is not XML, or has a document type, as no domain of libvirt has"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", NO_XML),
        ("lxc.uts.name = web", NO_XML),
        (LAUGHS, NO_XML),
        ("<domain type='qemu'><name>&b;</name></domain>", NO_XML),
        ("<domain>\0</domain>", NO_XML),
        ("<domain>\ud800</domain>", NO_XML),
        ("<network/>", "f: must be a <domain> of libvirt, got <network>"),
        ("<x:domain xmlns:x='urn:x'/>", "f: must be a <domain> of libvirt, got <domain>"),
        (
            "<domain type='xen'/>",
            "f: the type of the domain must be one of kvm, qemu, got 'xen'",
        ),
        ("<domain/>", "f: the type of the domain must be one of kvm, qemu, got None"),
        (
            "<domain>" + "<a>" * DEEPEST + "</a>" * DEEPEST + "</domain>",
            f"f: must not have more than {DEEPEST} elements within each other",
        ),
        (
            "<domain>" + "<a>" * 100_000 + "</a>" * 100_000 + "</domain>",
            f"f: must not have more than {DEEPEST} elements within each other",
        ),
        (
            small(devices="<disk/>" * MOST),
            f"f: must have at most {MOST} elements, got {MOST + 4}",
        ),
        (
            small(name=f"<name>{'x' * 64}</name>"),
            "f: the name must have at most 63 characters, got 64",
        ),
        (" " * (LONGEST + 1), f"f: must have at most {LONGEST} characters, got {LONGEST + 1}"),
    ],
    ids=range(15),
)
def test_what_is_no_domain_of_a_driver_is_told(text: str, wrong: str) -> None:
    made = imported(text)
    assert [f"{each}" for each in made.problems] == [wrong]
    assert (made.geats, made.notes) == ({}, ())


def test_a_note_stays_short_whatever_a_file_has_for_names() -> None:
    tag = "x" * 100_000
    disk = DISK.replace("vda", tag)
    found = imported(small(f"<{tag} {tag}='1'/>", devices=disk))
    assert max(len(f"{note}") for note in found.notes) < 400
    assert "x" * 63 + "…" in left(small(f"<{tag}/>"))


def test_a_console_that_was_kept_is_kept_again() -> None:
    log = "<log file='/var/log/web.log' append='off'/>"
    serial = f"<serial type='pty'>{log}<target port='0'/></serial>"
    devices = f"<devices>{serial}{serial.replace('serial', 'console')}</devices>"
    text = f"<domain type='kvm'><name>web</name><memory>65536</memory>{devices}</domain>"
    made = import_libvirt({"web.xml": text})
    vms = made.geats["vms"]
    assert isinstance(vms, dict)
    assert vms["web"]["console_log"] == "2MiB"
    noted = {each.key: (each.to, each.why) for each in made.notes if "/log" in each.key}
    assert noted == {
        "devices/serial/log@file": ("vms.web.console_log", OWN_LOG),
        "devices/serial/log@append": (None, OF_GEATS),
        "devices/console/log": (None, "geats keeps one console of a VM"),
    }
