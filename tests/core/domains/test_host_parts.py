"""What a machine has of its host, rendered and refused."""

import subprocess
from dataclasses import replace
from pathlib import Path

from returns.result import Failure

from geats_core.domains.domain_xml import domain_xml
from geats_core.domains.elements import parsed
from geats_core.domains.machine_keys import read_machine
from geats_core.domains.seed import seed_files
from geats_core.vm.spec import VMSpec
from tests.core.domains.machines import DATA, FACTS, ROOT, spec

SHARED = {"source": "/srv/films", "mount": "/films", "read_only": False, "recursive": True}
CELLS = [{"cpus": "0,2-3", "memory": "256MiB", "node": 1}, {"cpus": "1", "memory": "256MiB"}]


def rendered(want: VMSpec) -> str:
    return domain_xml(want, read_machine(want).unwrap(), FACTS)


def part(text: str, path: str) -> list[dict[str, str]]:
    domain = parsed(text)
    assert domain is not None
    return [dict(each.attrib) for each in domain.findall(path)]


def wrong(**keys: object) -> list[str]:
    found = read_machine(spec(**keys))  # type: ignore[arg-type]
    assert isinstance(found, Failure)
    return [str(each) for each in found.failure()]


def test_devices_of_the_host_are_passed_through() -> None:
    text = rendered(spec(hardware={"pci": ["0000:01:00.1"], "usb": ["046d:c52b"]}))
    assert part(text, "devices/hostdev/source/address") == [
        {"domain": "0x0000", "bus": "0x01", "slot": "0x00", "function": "0x1"}
    ]
    assert part(text, "devices/hostdev/source/vendor") == [{"id": "0x046d"}]
    assert part(text, "devices/hostdev/source/product") == [{"id": "0xc52b"}]
    usb = "devices/controller[@type='usb']"
    assert part(text, usb) == [{"type": "usb", "model": "qemu-xhci"}]
    assert part(rendered(spec()), usb) == [{"type": "usb", "model": "none"}]
    assert wrong(hardware={"pci": ["1:0"], "usb": ["046D:c52b"]}) == [
        "hardware.pci[0]: must be the address of a PCI device, such as 0000:01:00.0, got '1:0'",
        "hardware.usb[0]: must be vendor and product of a USB device, such as 046d:c52b, got "
        "'046D:c52b'",
    ]


def test_a_directory_of_the_host_is_shared_and_mounted_by_the_seed() -> None:
    want = spec(binds={"films": SHARED})
    text = rendered(want)
    assert part(text, "devices/filesystem/source") == [{"dir": "/srv/films"}]
    assert part(text, "memoryBacking/*") == [{"type": "memfd"}, {"mode": "shared"}]
    user = seed_files(want, read_machine(want).unwrap(), "qemu")["user-data"]
    assert '"films",\n   "/films",\n   "virtiofs"' in user
    assert wrong(binds={"films": {"source": "/srv/films", "mount": "/films"}}) == [
        "binds.films.read_only: must be false: libvirt shares directories writable",
        "binds.films.recursive: must be true: what is mounted below is shared too",
    ]
    for odd in ({**SHARED, "optional": True}, {**SHARED, "file": True, "recursive": False}):
        assert any("share a directory" in each for each in wrong(binds={"films": odd}))


def test_memory_is_kept_as_is_wanted() -> None:
    text = rendered(spec(cpus=4, hardware={"hugepages": True, "numa": CELLS}))
    assert part(text, "memoryBacking/*") == [{}]
    assert part(text, "cpu/numa/cell") == [
        {"id": "0", "cpus": "0,2-3", "memory": "262144", "unit": "KiB"},
        {"id": "1", "cpus": "1", "memory": "262144", "unit": "KiB"},
    ]
    assert part(text, "numatune/memnode") == [{"cellid": "0", "mode": "strict", "nodeset": "1"}]
    unbound: dict[str, object] = {"numa": [{"cpus": "0-1", "memory": "512MiB"}]}
    assert part(rendered(spec(cpus=2, hardware=unbound)), "numatune") == []


def test_nodes_have_each_cpu_once_and_all_memory() -> None:
    twice = [*CELLS, *CELLS[1:]]
    assert wrong(cpus=4, hardware={"numa": twice}) == [
        "hardware.numa: must have each CPU from 0 to 3 once, as there can be 4",
        "hardware.numa: its memory must be max_memory in all",
    ]


def test_a_port_of_open_vswitch_is_one_for_libvirt() -> None:
    nics = [{"name": "eth0", "bridge": "br0"}, {"name": "eth1", "bridge": "ovs0"}]
    want = spec(nics=nics)
    facts = replace(FACTS, switches=frozenset({"ovs0"}))
    text = domain_xml(want, read_machine(want).unwrap(), facts)
    assert part(text, "devices/interface/virtualport") == [{"type": "openvswitch"}]
    assert '<source bridge="ovs0" /><virtualport' in text


def test_a_nic_is_connected_to_one_thing() -> None:
    cards = {"eth0": {"network": "default", "vlan": 7}, "eth1": {"macvtap": "enp1s0"}}
    nics = [{"name": "eth0"}, {"name": "eth1"}]
    text = rendered(spec(nics=nics, hardware={"nics": cards}))
    assert part(text, "devices/interface/source") == [
        {"network": "default"},
        {"dev": "enp1s0", "mode": "bridge"},
    ]
    assert [each["type"] for each in part(text, "devices/interface")] == ["network", "direct"]
    assert part(text, "devices/interface/vlan/tag") == [{"id": "7"}]

    bridged = [{"name": "eth0", "bridge": "br0"}, *nics[1:]]
    assert wrong(nics=bridged, hardware={"nics": {"eth0": {"network": "x", "vlan": 7}}}) == [
        "hardware.nics.eth0: is connected to more than one thing: br0, x",
        "nics[eth1].bridge: is missing: a NIC has a bridge, or a network or a macvtap below "
        "hardware.nics",
    ]
    assert wrong(nics=bridged[:1], hardware={"nics": {"eth0": {"vlan": 7}}}) == [
        "hardware.nics.eth0.vlan: is only for a network: connect the NIC to a bridge of that VLAN, "
        "such as br0.7"
    ]


EVERYTHING: list[dict[str, object]] = [
    {},
    {"max_memory": "8GiB", "max_cpus": 4, "cpu": "host-model", "watchdog": "reset"},
    {"topology": {"cores": 2, "threads": 2}, "cpu": "EPYC", "machine": "pc"},
    {"firmware": "uefi"},
    {"firmware": "uefi-secure", "tpm": True, "display": "spice"},
    {"display": "vnc", "boot": ["network", "cdrom", "disk"], "cdrom": "empty"},
    {"disks": {"root": {"cache": "none", "iothread": True}, "data": {"bus": "scsi"}}},
    {"disks": {"data": {"bus": "sata", "discard": False}}, "cdrom": "/srv/a.iso"},
    {"nics": {"eth0": {"queues": 2, "link": False, "mtu": 9000, "rate_in": "1MiB"}}},
    {"nics": {"eth0": {"model": "e1000e", "rate_in": "1MiB", "rate_out": "2MiB"}}},
    {"hugepages": True, "max_cpus": 4, "numa": CELLS, "rng": False, "agent": False},
    {"nics": {"eth1": {"network": "default", "vlan": 7}, "eth2": {"macvtap": "eth0"}}},
    {"pci": ["0000:01:00.0"], "usb": ["046d:c52b"], "hotplug_ports": 0},
]


def test_libvirts_own_schema_has_whatever_is_rendered(tmp_path: Path) -> None:
    files = []
    for number, hardware in enumerate(EVERYTHING):
        cards = hardware.get("nics")
        names = cards if isinstance(cards, dict) and "eth0" not in cards else {}
        nics = [{"name": "eth0", "bridge": "br0"}, *({"name": name} for name in names)]
        want = spec(nics=nics, volumes=[ROOT, DATA], binds={"films": SHARED}, hardware=hardware)
        files.append(tmp_path / f"{number}.xml")
        files[-1].write_text(rendered(want))
    for file in files:
        done = subprocess.run(
            ["virt-xml-validate", f"{file}", "domain"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{file.read_text()}\n{done.stdout}{done.stderr}"
