"""What containers and virtual machines of Proxmox both say: when they start, and their network."""

from collections.abc import Mapping
from ipaddress import ip_interface

from geats_core.foreign.notes import Plain
from geats_core.foreign.settings import NO_KEY, NOTES, Options, Settings, whole
from geats_core.proxmox.settings import mebibytes

FILTERED = "geats has no firewall: carry the rules of /etc/pve/firewall over by hand"
NO_BRIDGE = "is missing: geats has NICs on bridges only"
REASONS: Mapping[str, str] = {
    "arch": "is that of the host",
    "description": NOTES,
    "hookscript": f"{NO_KEY}: states of Salt do such things before and after",
    "lock": "is of an operation of Proxmox that has not ended: see to it first",
    "parent": "names a snapshot, and the new VM has none",
    "protection": "geats lock does the same",
    "tags": "have no values here: say what they mean as labels, such as role: web",
    "template": "geats makes VMs of templates: see templates",
    "unused": "is a disk that the guest does not have: delete it, or keep the old guest",
}


def memory_of(settings: Settings, vm: Plain) -> None:
    """``memory``, of which Proxmox gives 512 MiB if nothing is said."""
    text = settings.get("memory").removeprefix("current=")
    vm["memory"] = mebibytes(text) or "512MiB"
    if text and not mebibytes(text):
        settings.refuse("memory", "must be a number of mebibytes")
    settings.went("memory", "memory")


def starts(settings: Settings, vm: Plain) -> None:
    """``onboot`` and ``startup``: Proxmox starts the lowest order first, geats the highest."""
    autostart: Plain = {"enabled": settings.get("onboot") in ("1", "on", "yes", "true")}
    startup = settings.options("startup", "order")
    order, delay, down = (whole(startup.get(name), 10**6) for name in ("order", "up", "down"))
    if order is not None:
        autostart["priority"] = -order
        startup.went("order", "autostart.priority", "the highest starts first")
    if delay is not None:
        autostart["delay"] = delay
        startup.went("up", "autostart.delay")
    if down:
        vm["shutdown_timeout"] = down
        startup.went("down", "shutdown_timeout")
    startup.rest()
    if settings.get("onboot") or len(autostart) > 1:
        vm["autostart"] = autostart
        settings.went("onboot", "autostart.enabled")


def names_servers(settings: Settings, vm: Plain) -> None:
    """``nameserver`` and ``searchdomain``: lists with blanks or commas."""
    dns: Plain = {}
    for key, name in (("nameserver", "nameservers"), ("searchdomain", "search")):
        words = settings.get(key).replace(",", " ").replace(";", " ").split()
        if words:
            dns[name] = words
            settings.went(key, f"dns.{name}")
    if dns:
        vm["dns"] = dns


def bridged(options: Options, nic: Plain, to: str) -> None:
    """What a NIC is connected to; a guess would be another network."""
    if options.get("bridge"):
        nic["bridge"] = options.get("bridge")
        options.went("bridge", f"{to}.bridge")
    else:
        options.refuse("bridge", NO_BRIDGE)
    if options.has("firewall"):
        options.left(["firewall"], FILTERED)


def addressed(options: Options, nic: Plain, to: str) -> None:
    """Addresses and gateways; one that is asked for is the guest's own business."""
    addresses = [each for name in ("ip", "ip6") if _is_address(each := options.get(name))]
    gateways = [each for name in ("gw", "gw6") if (each := options.get(name))]
    if addresses:
        nic["addresses"] = addresses
    if gateways:
        nic["gateways"] = gateways
    for name in ("ip", "ip6"):
        if options.get(name) in addresses:
            options.went(name, f"{to}.addresses")
        else:
            options.left([name], "the guest asks for one, or has it by itself")
    for name in ("gw", "gw6"):
        options.went(name, f"{to}.gateways")


def _is_address(text: str) -> bool:
    try:
        return bool(ip_interface(text)) and "/" in text
    except ValueError:
        return False
