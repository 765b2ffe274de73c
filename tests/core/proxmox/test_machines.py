"""The pillar out of virtual machines of Proxmox."""

import pytest

from geats_core.foreign.lxc_import import free_name
from geats_core.proxmox.conf import LONGEST
from geats_core.proxmox.proxmox_import import import_proxmox
from geats_core.proxmox.storages import find, read_storages
from tests.core.proxmox.guests import MACHINE, STORAGES, imported, told, wrong

DISKS = {"root": {"discard": False, "bus": "scsi"}}
VIRTIO = {"discard": False, "bus": "virtio"}
SMALL = "memory: 512\nname: web\nscsi0: thin:vm-1-disk-0,size=4G\n"


def hardware(text: str) -> dict[str, object]:
    vms = imported(text).geats["vms"]
    assert isinstance(vms, dict)
    (vm,) = vms.values()
    found = vm["hardware"]
    assert isinstance(found, dict)
    return found


def test_a_machine_with_all_that_people_have_becomes_a_vm() -> None:
    made = imported(MACHINE)
    assert made.problems == ()
    root = {"disk": {"path": "/dev/pve/vm-100-disk-1", "format": "raw"}}
    assert made.geats["templates"] == {"db01-root": root}
    assert made.geats["vms"] == {
        "db01": {
            "driver": "kvm",
            "memory": "4096MiB",
            "cpus": 2,
            "shutdown_timeout": 90,
            "autostart": {"enabled": True, "priority": -3, "delay": 30},
            "dns": {"nameservers": ["10.0.0.1", "10.0.0.2"]},
            "template": "db01-root",
            "volumes": [
                {"name": "root", "size": "32GiB"},
                {"name": "data", "size": "100GiB"},
                {"name": "virtio0", "size": "512KiB", "read_only": True},
            ],
            "nics": [
                {
                    "name": "eth0",
                    "mac": "BC:24:11:00:00:01",
                    "bridge": "vmbr0",
                    "addresses": ["10.0.0.5/24"],
                    "gateways": ["10.0.0.1"],
                },
                {"name": "eth1", "mac": "BC:24:11:00:00:02", "bridge": "vmbr1"},
            ],
            "hardware": {
                "guest": "cloud-init",
                "max_cpus": 4,
                "cpu": "host-passthrough",
                "machine": "pc-q35-7.2",
                "firmware": "uefi-secure",
                "tpm": True,
                "pci": ["0000:01:00.0"],
                "agent": True,
                "rng": True,
                "watchdog": "poweroff",
                "display": "spice",
                "boot": ["disk", "cdrom", "network"],
                "nics": {
                    "eth0": {
                        **{"model": "virtio", "queues": 2},
                        **{"rate_in": "2000000B", "rate_out": "2000000B"},
                    },
                    "eth1": {"model": "e1000", "mtu": 9000, "link": False},
                },
                "ssh_keys": ["ssh-ed25519 AAAA ada"],
                "cdrom": "/var/lib/vz/template/iso/debian.iso",
                "disks": {
                    "root": {"discard": True, "bus": "scsi"},
                    "virtio0": {"discard": False, "bus": "virtio", "iothread": True},
                    "data": {"discard": False, "bus": "scsi", "cache": "writeback"},
                },
            },
        }
    }


def test_each_line_of_a_machine_is_told_of_once_and_no_value_is() -> None:
    made = imported(MACHINE)
    keys = [note.key for note in made.notes]
    assert len(set(keys)) == len(keys)
    of_lines = {key.partition(".")[0] for key in keys}
    written = {
        line.partition(":")[0] for line in MACHINE.partition("\n\n[")[0].split("\n") if ":" in line
    }
    assert of_lines == (written - {"# Ask%3A ops"}) | {
        *("description", "line 38", "[PENDING]", "[before]")
    }
    assert "canary" not in str(made.notes)
    assert told(made)["net0.firewall"].startswith("geats has no firewall")
    assert told(made)["[before]"].startswith("is a snapshot")
    assert told(made)["[PENDING]"].startswith("are changes that are not in effect")


def test_what_proxmox_assumes_without_a_line_is_written() -> None:
    made = imported(SMALL)
    assert made.problems == ()
    assert made.geats["vms"] == {
        "web": {
            "driver": "kvm",
            "memory": "512MiB",
            "cpus": 1,
            "template": "web-root",
            "volumes": [{"name": "root", "size": "4GiB"}],
            "nics": [],
            "hardware": {
                "guest": "none",
                "machine": "pc",
                "agent": False,
                "rng": False,
                "display": "vnc",
                "disks": {"root": {"discard": False, "bus": "scsi"}},
            },
        }
    }


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (
            "net0: virtio=02:00:00:00:00:01,bridge=vmbr0,tag=7",
            "net0.tag: machines have no VLANs on bridges",
        ),
        ("net0: virtio=02:00:00:00:00:01", "net0.bridge: is missing"),
        ("net0: vmxnet3=02:00:00:00:00:01,bridge=vmbr0", "net0.model: must be one of virtio"),
        ("net0: odd,bridge=vmbr0", "net0.model: must be one of virtio"),
        ("virtio1: ceph:vm-1-disk-0", "virtio1.file: is on a storage of the type rbd"),
        ("virtio1: gone:vm-1-disk-0", "virtio1.file: names a storage that storage.cfg"),
        ("virtio1: local:1/../../../etc/shadow", "virtio1.file: is no volume of a storage"),
        ("virtio1: local:1/d.vmdk", "virtio1.file: has the format 'vmdk'"),
        ("virtio1: local:9/base-9-disk-0.qcow2/1/d.qcow2", "virtio1.file: is a linked clone"),
        ("ide0: thin:vm-1-disk-3\nmachine: q35", "hardware.disks.root.bus: ide needs a machine"),
        ("ide2: gone:iso/x.iso,media=cdrom", "ide2.file: names a storage"),
    ],
)
def test_without_it_the_guest_would_be_another_one(line: str, problem: str) -> None:
    (first, *_) = wrong(f"{SMALL}{line}\n")
    assert first.startswith((f"vms.web: {problem}", f"vms.web.{problem}"))


@pytest.mark.parametrize(
    ("lines", "known"),
    [
        ("kvm: 0", {}),
        ("sockets: 2\ncores: 3", {"topology": {"sockets": 2, "cores": 3}}),
        ("cpu: EPYC", {"cpu": "EPYC"}),
        ("bios: ovmf", {"firmware": "uefi"}),
        ("watchdog: i6300esb", {"watchdog": "reset"}),
        ("boot: cdn", {"boot": ["disk", "network"]}),
        ("boot: order=net0;usb0", {"boot": ["network"]}),
        ("machine: type=q35,viommu=intel", {"machine": "q35"}),
        ("ide2: none,media=cdrom", {}),
        ("ide2: cdrom,media=cdrom", {}),
        ("sata0: local:iso/a.iso,media=cdrom", {"cdrom": "/var/lib/vz/template/iso/a.iso"}),
        ("ide2: /x.iso,media=cdrom\nide3: /y.iso,media=cdrom", {"cdrom": "/x.iso"}),
        ("ciuser: ada\nsshkeys: ssh-rsa%20A", {}),
        ("cpu: x86-64-v2-AES", {}),
        ("virtio1: thin:vm-1-disk-2", {"disks": {**DISKS, "virtio1": VIRTIO}}),
        ("boot: c\nbootdisk: scsi0", {"boot": ["disk"]}),
        ("hostpci0: 3B:06.1,pcie=1", {"pci": ["0000:3b:06.1"]}),
        ("usb0: host=046d:C52B,usb3=1", {"usb": ["046d:c52b"]}),
        ("hostpci0: 01:00\nusb0: spice", {}),
    ],
)
def test_what_hardware_has_of_other_lines(lines: str, known: dict[str, object]) -> None:
    found = hardware(f"{SMALL}{lines}\n")
    assert {key: found[key] for key in known} == known
    assert wrong(f"{SMALL}{lines}\n") == []
    if not known:
        assert found.keys() == hardware(SMALL).keys()


def test_a_machine_without_a_screen_has_none() -> None:
    for screen in ("none", "serial0"):
        assert "display" not in hardware(f"{SMALL}vga: {screen}\n")


def test_the_root_is_what_is_started_first() -> None:
    made = imported(f"{SMALL}virtio0: thin:vm-1-disk-5\nboot: c\nbootdisk: virtio0\n")
    assert made.geats["templates"] == {
        "web-root": {"disk": {"path": "/dev/pve/vm-1-disk-5", "format": "raw"}}
    }
    assert wrong("memory: 1\nname: web\n") == [
        "vms.web.volumes: must contain a volume named 'root'",
        "vms.web.template: is missing",
    ]


def test_what_is_only_in_containers_is_left_out_of_a_machine() -> None:
    assert (
        "in a virtual machine"
        in told(imported(f"{SMALL}lxc.apparmor.profile: x\n"))["lxc.apparmor.profile"]
    )


def test_a_file_that_is_no_guest_of_proxmox_is_refused() -> None:
    for text in ("", "lxc.uts.name = web\n", "x" * (LONGEST + 1), "\n" * 20_000):
        assert imported(text).geats == {}
        assert len(imported(text).problems) == 1


def test_names_are_kept_apart_and_one_that_no_vm_can_have_is_replaced() -> None:
    guests = {"a": ("1", SMALL), "b": ("2", SMALL), "c": ("3", SMALL.replace("web", "-x"))}
    vms = import_proxmox(guests).geats["vms"]
    assert isinstance(vms, dict)
    assert [*vms] == ["web", "web-2", "vm-3"]


def test_a_free_name_is_the_next_one_and_is_found_at_once_among_many() -> None:
    there: dict[str, None] = {}
    for _ in range(3000):
        there[free_name("web", there)] = None
    assert [*there][:3] == ["web", "web-2", "web-3"]
    assert [*there][-1] == "web-3000"


@pytest.mark.parametrize(
    ("volume", "path", "form"),
    [
        ("local:100/vm-100-disk-0.qcow2", "/var/lib/vz/images/100/vm-100-disk-0.qcow2", "qcow2"),
        ("local:iso/a.iso", "/var/lib/vz/template/iso/a.iso", "raw"),
        ("nas:100/vm-100-disk-0.raw", "/mnt/pve/nas/images/100/vm-100-disk-0.raw", "raw"),
        ("bt:100/vm-100-disk-0.raw", "/srv/bt/images/100/vm-100-disk-0/disk.raw", "raw"),
        ("tank:vm-100-disk-0", "/dev/zvol/rpool/data/vm-100-disk-0", "raw"),
        ("thin:vm-100-disk-0", "/dev/pve/vm-100-disk-0", "raw"),
        ("/srv/a.qcow2", "/srv/a.qcow2", "qcow2"),
        ("/dev/sdb", "/dev/sdb", "raw"),
    ],
)
def test_where_a_volume_is(volume: str, path: str, form: str) -> None:
    found = find(volume, read_storages(STORAGES))
    assert (found.path, found.format, found.wrong) == (path, form, "")


def test_a_storage_that_says_nothing_of_where_it_is_has_no_volumes() -> None:
    storages = read_storages("odd line\n\tpath /x\nlvm: a\nzfspool: b\ndir: c\n\tpath x\n")
    for name in ("a", "b", "c"):
        assert "copy it to a file first" in find(f"{name}:vm-1-disk-0", storages).wrong
    assert find("local:1/a.raw", storages).path == "/var/lib/vz/images/1/a.raw"


@pytest.mark.parametrize("kind", ["rootfs: local:101/vm.raw", "scsi0: local:101/vm.raw"])
def test_memory_that_is_no_number_is_not_taken_for_the_default(kind: str) -> None:
    made = imported(f"{kind}\nmemory: 2G\n")
    assert "memory: must be a number of mebibytes" in f"{[*map(str, made.problems)]}"
    assert not [note for note in made.notes if note.key == "memory" and note.to]
