"""A virtual machine of Proxmox, as keys of a VM."""

import re
from collections.abc import Mapping

from geats_core.domains.domain_xml import CPU_MODES
from geats_core.domains.machine import Display, Guest, Model, Watchdog
from geats_core.foreign.notes import Plain
from geats_core.foreign.settings import NO_KEY, Options, Settings, root_template, whole
from geats_core.proxmox import disks as of_disks
from geats_core.proxmox.disks import Disks
from geats_core.proxmox.guests import REASONS, addressed, bridged, memory_of, names_servers, starts
from geats_core.proxmox.storages import Storages
from geats_core.reading.sizes import format_size

BY_XML = f"{NO_KEY}: hardware.xml can say it, if the driver has raw_xml"
OF_GEATS = "geats writes what is needed"
UNTAGGED = "machines have no VLANs on bridges: connect it to a bridge of that VLAN, such as br0.7"
OF_HOST = f"geats passes PCI devices by whole addresses and USB devices by ids: this way {BY_XML}"
ALLOWED = "the driver's option devices must list it"
CPUS: Mapping[str, str] = {"host": "host-passthrough", "max": "maximum"}
MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
OF_PROXMOX = re.compile(r"x86-64-v[1-4].*|custom-.*|kvm64|kvm32|qemu64|qemu32")  # or the default
NO_MODEL = "is the default of geats, host-model, which has more: say cpu if this guest must not see"
PCI_ADDRESS = re.compile(r"([0-9a-f]{4}:)?[0-9a-f]{2}:[01][0-9a-f]\.[0-7]")
USB_DEVICE = re.compile(r"([0-9a-f]{4}:)[0-9a-f]{4}")
OTHER_REASONS: Mapping[str, str] = {
    **REASONS,
    **dict.fromkeys(("acpi", "tablet", "numa", "localtime", "audio", "args"), BY_XML),
    **dict.fromkeys(("ivshmem", "parallel", "smbios", "keyboard", "spice_enhancements"), BY_XML),
    **dict.fromkeys(("serial", "scsihw", "hotplug", "bootdisk", "boot"), OF_GEATS),
    **dict.fromkeys(("meta", "migrate_speed", "migrate_downtime", "autostart"), "is of Proxmox"),
    "balloon": "memory changes when you change it, within hardware.max_memory",
    "cicustom": "write it as hardware.user_data",
    "cipassword": "geats has no passwords: use ssh_keys",
    "ciuser": "write it as hardware.user_data: the default is the user of the image",
    "cloudinit": OF_GEATS,
    "cpulimit": "cpus are whole in a virtual machine",
    "efidisk": "the variables of UEFI are new: boot entries and keys in them are lost",
    "ostype": "geats has the same machine for each: install the drivers of virtio before the move",
    "smbios1": "geats gives a UUID of its own: licences that are bound to the old one notice",
    "tpmstate": "the TPM is a new one: it has nothing of the old one, such as keys of disks",
    "vmgenid": "libvirt decides it",
}


def machine(settings: Settings, name: str, storages: Storages) -> tuple[Plain, Plain]:
    """The VM, and its template, which may be empty."""
    emulated = settings.get("kvm") == "0"
    vm: Plain = {"driver": "qemu" if emulated else "kvm"}
    settings.went("kvm", "driver")
    boot, first = settings.get("boot"), settings.get("bootdisk")
    made = of_disks.disks_of(settings, name, storages, of_disks.boot_order(boot, first))
    hardware: Plain = {"guest": f"{Guest.CLOUD_INIT if made.has_seed else Guest.NONE}"}
    memory_of(settings, vm)
    _cpus(settings, vm, hardware)
    _cpu(settings, hardware)
    _board(settings, hardware)
    _devices(settings, hardware)
    _of_host(settings, hardware)
    if found := of_disks.boots(boot, made.cdrom):
        hardware["boot"] = found
        settings.went("boot", "hardware.boot")
    starts(settings, vm)
    names_servers(settings, vm)
    nics = _nics(settings, hardware)
    _keys(settings, hardware, made)
    if made.template:
        vm["template"] = root_template(name)
    vm |= {"volumes": made.volumes, "nics": nics, "hardware": {**hardware, **made.hardware}}
    settings.rest(OTHER_REASONS)
    return vm, made.template


def _cpus(settings: Settings, vm: Plain, hardware: Plain) -> None:
    sockets, cores = (whole(settings.get(key), 4096) or 1 for key in ("sockets", "cores"))
    some = whole(settings.get("vcpus"), 4096)
    vm["cpus"] = min(some or sockets * cores, sockets * cores)
    if sockets > 1:
        hardware["topology"] = {"sockets": sockets, "cores": cores}
    elif vm["cpus"] != cores:
        hardware["max_cpus"] = cores
    settings.went("sockets", "hardware.topology" if sockets > 1 else "cpus")
    settings.went("cores", "hardware.topology" if sockets > 1 else "cpus")
    settings.went("vcpus", "cpus")


def _cpu(settings: Settings, hardware: Plain) -> None:
    """Models of Proxmox's own, and the old ones that it has by default, are none of libvirt."""
    options = settings.options("cpu", "cputype")
    model = options.get("cputype")
    named = CPUS.get(model, model)
    if named in CPU_MODES or (MODEL.fullmatch(model) and not OF_PROXMOX.fullmatch(model)):
        hardware["cpu"] = named
        options.went("cputype", "hardware.cpu")
    else:
        options.left(["cputype"], NO_MODEL)
    options.rest(BY_XML)


def _board(settings: Settings, hardware: Plain) -> None:
    """The board and its firmware: Proxmox has ``pc`` if nothing is said, and geats ``q35``."""
    board = settings.options("machine", "type")
    kind = board.get("type").partition("+")[0]
    hardware["machine"] = kind if MODEL.fullmatch(kind) else "pc"
    board.went("type", "hardware.machine")
    board.rest(BY_XML)
    if settings.get("bios") == "ovmf":
        secure = "pre-enrolled-keys=1" in settings.get("efidisk0").split(",")
        hardware["firmware"] = "uefi-secure" if secure else "uefi"
    settings.went("bios", "hardware.firmware")
    if settings.get("tpmstate0"):
        hardware["tpm"] = True
        settings.went("tpmstate0", "hardware.tpm", OTHER_REASONS["tpmstate"])


def _devices(settings: Settings, hardware: Plain) -> None:
    agent = settings.options("agent", "enabled")
    hardware["agent"] = agent.has("enabled")
    agent.went("enabled", "hardware.agent")
    agent.rest()
    rng = settings.options("rng0", "source")
    hardware["rng"] = bool(rng.get("source"))
    rng.went("source", "hardware.rng", "its source is /dev/urandom")
    rng.rest()
    watchdog = settings.options("watchdog", "model")
    if watchdog.get("action") in [*Watchdog]:
        hardware["watchdog"] = watchdog.get("action")
        watchdog.went("action", "hardware.watchdog", "its model is i6300esb")
    elif watchdog.left_:
        hardware["watchdog"] = f"{Watchdog.RESET}"
        watchdog.went("model", "hardware.watchdog", "what it does without an action")
    watchdog.rest()
    screen = settings.options("vga", "type")
    kind = screen.get("type")
    if kind != "none" and not kind.startswith("serial"):
        hardware["display"] = f"{Display.SPICE if kind.startswith('qxl') else Display.VNC}"
        screen.went("type", "hardware.display", "it is on a UNIX socket")
    screen.rest(OF_GEATS)


def _of_host(settings: Settings, hardware: Plain) -> None:
    """What is passed through by its address, or by what it is."""
    for setting, kind, known in (("hostpci", "pci", PCI_ADDRESS), ("usb", "usb", USB_DEVICE)):
        names: list[str] = []
        for key in settings.numbered(setting):
            options = settings.options(key)
            which = "host" if options.get("host") else ""
            if found := known.fullmatch(options.get(which).lower()):
                names.append(f"{'0000:' * (found[1] is None)}{found[0]}")
                options.went(which, f"hardware.{kind}", ALLOWED)
                options.rest(BY_XML)
            else:
                options.rest(OF_HOST)
        if names:
            hardware[kind] = names


def _nics(settings: Settings, hardware: Plain) -> list[Plain]:
    nics: list[Plain] = []
    cards: Plain = {}
    for key in settings.numbered("net"):
        nic: Plain = {"name": f"eth{len(nics)}"}
        to = f"nics[{len(nics)}]"
        nics.append(nic)
        options = settings.options(key, "model")
        model, mac = _model(options.left_)
        nic |= {"mac": mac} if mac else {}
        if model not in [*Model]:
            options.refuse("model", f"must be one of {', '.join(Model)}: say it below {to}")
        if card := _card(options, model, f"hardware.nics.{nic['name']}"):
            cards[f"{nic['name']}"] = card
        options.went(model, f"{to}.mac")
        options.went("macaddr", f"{to}.mac")
        bridged(options, nic, to)
        for name in ("tag", "trunks"):
            if options.get(name):
                options.refuse(name, UNTAGGED)
        options.rest()
        asked = settings.options(f"ipconfig{key.removeprefix('net')}")
        addressed(asked, nic, to)
        asked.rest()
    if cards:
        hardware["nics"] = cards
    return nics


def _card(options: Options, model: str, to: str) -> Plain:
    """How it is attached; the rate is of both ways, in megabytes per second."""
    card: Plain = {"model": model} if model in [*Model] else {}
    options.went("model", f"{to}.model")
    if queues := whole(options.get("queues"), 256):
        card["queues"] = queues
        options.went("queues", f"{to}.queues")
    if (mtu := whole(options.get("mtu"), 65_535)) and mtu > 1:  # 1 is that of the bridge
        card["mtu"] = mtu
        options.went("mtu", f"{to}.mtu")
    if rate := whole(options.get("rate"), 10**6):
        card |= dict.fromkeys(("rate_in", "rate_out"), format_size(rate * 10**6))
        options.went("rate", f"{to}.rate_in")
    if options.has("link_down"):
        card["link"] = False
        options.went("link_down", f"{to}.link")
    return card


def _model(options: Mapping[str, str]) -> tuple[str, str]:
    """The card and its address: ``virtio=ADDRESS``, or ``model=virtio,macaddr=ADDRESS``."""
    if "model" in options:
        return options["model"], options.get("macaddr", "")
    known = next((each for each in options if each in CARDS), "")
    return known, options.get(known, "")


CARDS = (
    *(*Model, "ne2k_pci", "ne2k_isa", "pcnet", "vmxnet3", "i82551", "i82557b", "i82559er"),
    *("e1000-82540em", "e1000-82544gc", "e1000-82545em"),
)


def _keys(settings: Settings, hardware: Plain, made: Disks) -> None:
    """SSH keys are of use to a guest with cloud-init only."""
    keys = [each for each in _unquoted(settings.get("sshkeys")).splitlines() if each.strip()]
    if keys and made.has_seed:
        hardware["ssh_keys"] = keys
        settings.went("sshkeys", "hardware.ssh_keys")


def _unquoted(text: str) -> str:
    """What Proxmox wrote as in a URL, with ``%0A`` and the like."""
    held = text.encode(errors="replace")
    return re.sub(b"%([0-9A-Fa-f]{2})", lambda found: bytes([int(found[1], 16)]), held).decode(
        errors="replace"
    )
