"""The disks of a virtual machine of Proxmox: volumes, the template of the root, and a cdrom."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from geats_core.domains.machine import Bus, Cache
from geats_core.domains.machine_keys import LONGEST_SERIAL
from geats_core.foreign.lxc_import import free_name
from geats_core.foreign.notes import Plain
from geats_core.foreign.settings import NO_EFFECT, NO_KEY, Options, Settings, root_template
from geats_core.proxmox.settings import size_of
from geats_core.proxmox.storages import Storages, find
from geats_core.vm.spec import ROOT

BUSES = ("ide", "scsi", "virtio", "sata")  # in the order in which Proxmox looks for a root
SERIAL = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
COPY = "the root volume is a copy of it: power the old guest off first"
CONVERT = "copy it in while both are off: qemu-img convert -n -f"
OF_PROXMOX = ("backup", "replicate", "aio", "shared", "detect_zeroes", "format", "file", "volume")
FORMATS = ("raw", "qcow2")
LETTERS: Mapping[str, str] = {"c": "disk", "d": "cdrom", "n": "network"}
CLOUD_INIT = "geats writes the seed of cloud-init at each start"
EMPTY = "is empty: there is a cdrom once hardware.cdrom names a file"


@dataclass(slots=True)
class Disks:
    """What the disks of one VM become."""

    volumes: list[Plain] = field(default_factory=list)
    template: Plain = field(default_factory=dict)
    hardware: Plain = field(default_factory=dict)
    attached: Plain = field(default_factory=dict)
    has_seed: bool = False
    cdrom: str = ""


def disks_of(settings: Settings, name: str, storages: Storages, boots: Sequence[str]) -> Disks:
    """Take the disks of the VM *name*; *boots* are the devices that it starts from, in order."""
    made = Disks()
    taken = {key: settings.options(key, "file") for key in settings.numbered(*BUSES)}
    disks = {key: each for key, each in taken.items() if each.get("media") != "cdrom"}
    for key, options in taken.items():
        if key not in disks:
            _cdrom(made, options, storages)
    root = next((key for key in (*boots, *disks) if key in disks), "")
    named = {ROOT}
    for key in sorted(disks, key=lambda key: key != root):
        volume = ROOT if key == root else free_name(_name(disks[key], key), named)
        named.add(volume)
        _disk(made, disks[key], name, volume, storages)
    if made.attached:
        made.hardware["disks"] = made.attached
    return made


def _name(options: Options, key: str) -> str:
    """The serial number, by which the guest finds it, or else the bus and its number there."""
    serial = options.get("serial")
    fits = SERIAL.fullmatch(serial) is not None and len(serial) <= LONGEST_SERIAL
    return serial if fits else key


def _cdrom(made: Disks, options: Options, storages: Storages) -> None:
    file = options.get("file")
    options.left(["media", "size"], NO_EFFECT)
    if "cloudinit" in file:
        made.has_seed = True
        options.left(["file"], CLOUD_INIT)
    elif file == "none":
        options.left(["file"], EMPTY)
    elif file == "cdrom" or "cdrom" in made.hardware:
        options.left(["file"], "geats has one cdrom for a VM, and that with a file")
    elif wrong := (found := find(file, storages)).wrong:
        options.refuse("file", wrong)
    else:
        made.hardware["cdrom"] = found.path
        made.cdrom = options.key
        options.went("file", "hardware.cdrom", "media of the driver must have it")
    options.rest()


def _disk(made: Disks, options: Options, vm: str, name: str, storages: Storages) -> None:
    found = find(options.get("file") or options.get("volume"), storages, options.get("format"))
    volume: Plain = {"name": name}
    made.volumes.append(volume)
    if size := size_of(options.get("size")):
        volume["size"] = size
        options.went("size", f"volumes[{name}].size")
    unfit = f"has the format {found.format!r}: convert it by qemu-img to raw or qcow2"
    wrong = found.wrong or ("" if found.format in FORMATS else unfit)
    file = "file" if options.get("file") else "volume"
    if wrong:
        options.refuse(file, wrong)
    elif name == ROOT:
        made.template = {"disk": {"path": found.path, "format": found.format}}
        options.became(file, f"templates.{root_template(vm)}.disk.path", COPY)
    else:
        why = f"{CONVERT} {found.format} -O FORMAT {found.path} NEW"
        options.went(file, f"volumes[{name}]", why)
    if options.has("ro") and name != ROOT:
        volume["read_only"] = True
        options.went("ro", f"volumes[{name}].read_only")
    if options.get("serial"):
        why = "" if options.get("serial") == name else "is another one: the guest finds it by that"
        options.went("serial", f"volumes[{name}].name", why)
    made.attached[name] = _attached(options, f"hardware.disks.{name}")
    options.left(OF_PROXMOX, NO_EFFECT)
    options.rest(f"{NO_KEY}: hardware.xml can say it, if the driver has raw_xml")


def _attached(options: Options, to: str) -> Plain:
    """How the guest sees it; ``cache`` and ``discard`` have the same names in geats."""
    made: Plain = {"discard": options.get("discard") == "on"}
    options.went("discard", f"{to}.discard")
    bus = options.key.rstrip("0123456789")
    made["bus"] = bus
    cache = options.get("cache")
    if cache in [*Cache]:
        made["cache"] = cache
        options.went("cache", f"{to}.cache")
    if options.has("iothread"):
        on_virtio = bus == Bus.VIRTIO
        made |= {"iothread": True} if on_virtio else {}
        if on_virtio:
            options.went("iothread", f"{to}.iothread")
        else:
            options.left(["iothread"], "is for disks on the bus virtio only")
    return made


def boot_order(boot: str, first: str) -> Sequence[str]:
    """The devices that the guest starts from: of ``order=a;b``, or else the *first*."""
    if "order=" in boot:
        return boot.partition("order=")[2].partition(",")[0].split(";")
    return [first] if first else []


def boots(boot: str, cdrom: str) -> list[str]:
    """The kinds of these devices, or of letters, once each; *cdrom* is the one with a file."""
    if "order=" in boot:
        kinds = [_kind(each, cdrom) for each in boot_order(boot, "")]
    else:
        kinds = [LETTERS.get(each, "") for each in boot.removeprefix("legacy=")]
    return [each for each in dict.fromkeys(kinds) if each and (each != "cdrom" or cdrom)]


def _kind(device: str, cdrom: str) -> str:
    """What it is; nothing if it is none of the VM's."""
    if device == cdrom:
        return "cdrom"
    if device.startswith("net"):
        return "network"
    return "disk" if device.rstrip("0123456789") in BUSES else ""
