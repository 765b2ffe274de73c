"""The devices of an instance of Incus: NICs, volumes and binds of a VM."""

from collections.abc import Mapping

from geats_core.containers.nics import OF_PAIRS, ONLY_FOR, WITH_OWN_MAC, NicType
from geats_core.foreign.lxc_import import free_name
from geats_core.foreign.notes import Plain
from geats_core.foreign.settings import NO_EFFECT, NO_KEY, Options, Settings, whole
from geats_core.incus.options import size
from geats_core.vm.spec import ROOT

NO_TYPE = "geats has no such NIC: say its type, and what it is connected to"
TYPES: Mapping[str, NicType] = {
    "bridged": NicType.BRIDGE,
    "ipvlan": NicType.IPVLAN,
    "macvlan": NicType.MACVLAN,
    "p2p": NicType.VETH,
    "physical": NicType.PHYSICAL,
    "routed": NicType.ROUTED,
}
FREE = (NicType.VETH, NicType.ROUTED)  # which need not be on anything of the host
LEASED = "the DHCP of Incus gives it: say it with its prefix as addresses, if that server goes"
POOL = "its volume is in the default pool: say pool for another"
COPY_IN = "it is empty: copy the files in, such as by geats push"
NODES = ("unix-char", "unix-block")
DEVICE = f"is a device of the host, and {NO_KEY}: add its lines to the VM's config by hand"
REASONS: Mapping[str, str] = {
    "gpu": DEVICE,
    "infiniband": DEVICE,
    "pci": DEVICE,
    "proxy": "geats forwards no ports: the host's firewall does",
    "tpm": DEVICE,
    **dict.fromkeys(("unix-block", "unix-char", "unix-hotplug"), DEVICE),
    "usb": DEVICE,
}


def devices_of(
    settings: Settings, vm: Plain, devices: Mapping[str, Mapping[str, str]]
) -> tuple[str, list[str]]:
    """Take all devices: the pool of the root, and the directories of the host that are bound."""
    taken = {
        key: Options(settings, key, {name: text for name, text in device.items() if text})
        for key, device in devices.items()
    }
    volumes: list[Plain] = []
    nics: list[Plain] = []
    sources: list[str] = []
    pool = ""
    for key, options in taken.items():
        kind = options.get("type")
        if kind == "nic":
            nics.append(_nic(settings, options, key, len(nics)))
        elif kind == "disk" and options.get("path") == "/":
            pool = options.get("pool")
            volumes.insert(0, _root(options))
        elif kind == "disk":
            sources += _disk(options, vm, volumes)
        elif kind in NODES and (options.get("source") or options.get("path")):
            _node(options, vm)
        else:
            settings.taken.left(options.key, REASONS.get(kind, NO_KEY))
    vm["volumes"] = volumes or [{"name": ROOT}]
    if nics:
        vm["nics"] = nics
    return pool, sources


def _nic(settings: Settings, options: Options, key: str, at: int) -> Plain:
    to = f"nics[{at}]"
    nic: Plain = {"name": options.get("name") or key}
    options.went("name", f"{to}.name")
    options.left(["type", "boot.priority"], NO_EFFECT)
    kind = _connected(options, nic, to)
    mac = options.get("hwaddr") or settings.get(f"volatile.{key}.hwaddr")
    if mac and kind in WITH_OWN_MAC:
        nic["mac"] = mac
        options.went("hwaddr", f"{to}.mac")
        settings.went(f"volatile.{key}.hwaddr", f"{to}.mac")
    for option, name in (("mtu", "mtu"), ("vlan", "vlan")):
        if (number := whole(options.get(option))) and kind in ONLY_FOR.get(name, (*NicType,)):
            nic[name] = number
            options.went(option, f"{to}.{name}")
    if options.get("host_name") and kind in OF_PAIRS:
        nic["host_name"] = options.get("host_name")
        options.went("host_name", f"{to}.host_name")
    options.left(["ipv4.address", "ipv6.address"], LEASED)
    options.rest(f"{NO_KEY}: set it at the bridge, or by lines of LXC in the VM's config")
    return nic


def _connected(options: Options, nic: Plain, to: str) -> NicType:
    """What it is, and what of the host it is connected to; a guess would be another network."""
    said = options.get("nictype") or "bridged"
    bridge = "network" if options.get("network") else "parent"
    kind = TYPES.get(said, NicType.BRIDGE)
    key = bridge if kind is NicType.BRIDGE else "parent"
    if said not in TYPES or (kind not in FREE and not options.get(key)):
        options.refuse("nictype" if options.get("nictype") else "network", NO_TYPE)
        return kind
    if kind is not NicType.BRIDGE:
        nic["type"] = str(kind)
    if options.get(key):
        nic["bridge" if kind is NicType.BRIDGE else "parent"] = options.get(key)
    options.went(key, f"{to}.{'bridge' if kind is NicType.BRIDGE else 'parent'}")
    options.went("nictype", f"{to}.type")
    if kind is NicType.ROUTED and (found := _addresses(options)):
        nic["addresses"] = found
        for name in ("ipv4.address", "ipv6.address"):
            options.went(name, f"{to}.addresses")
    return kind


def _addresses(options: Options) -> list[str]:
    """Of a routed NIC they are its own, and each is a network of one address."""
    found = [(options.get("ipv4.address"), 32), (options.get("ipv6.address"), 128)]
    words = [(each.strip(), prefix) for text, prefix in found for each in text.split(",")]
    return [f"{each}/{prefix}" for each, prefix in words if each not in ("", "none")]


def _node(options: Options, vm: Plain) -> None:
    """A device node of the host, which ``device_sources`` has to allow."""
    source = options.get("source") or options.get("path")
    there = vm.get("devices")
    devices: Plain = there if isinstance(there, dict) else {}
    name = free_name(_name(options.key), devices)
    mount = options.get("path") or source
    device: Plain = {"source": source, **({"mount": mount} if mount != source else {})}
    optional: Plain = {"optional": True} if options.get("required") in ("false", "0") else {}
    vm["devices"] = {**devices, name: {**device, **optional}}
    options.left(["type"], NO_EFFECT)
    options.went("source", f"devices.{name}.source", "device_sources must have it")
    options.went("path", f"devices.{name}.{'mount' if 'mount' in device else 'source'}")
    options.went("required", f"devices.{name}.optional")
    options.rest("is of the node on the host: a rule of udev sets it")


def _root(options: Options) -> Plain:
    volume: Plain = {"name": ROOT}
    _sized(options, volume)
    options.left(["type", "path"], NO_EFFECT)
    options.left(["pool"], POOL)
    options.rest()
    return volume


def _disk(options: Options, vm: Plain, volumes: list[Plain]) -> list[str]:
    """A directory of the host is a bind, and what is in a pool of Incus a volume."""
    options.left(["type"], NO_EFFECT)
    source, target = options.get("source"), options.get("path")
    is_volume = bool(options.get("pool"))
    if not target.startswith("/") or not (is_volume or source.startswith("/")):
        options.refuse("source", "is no directory of the host, and no volume of a pool")
        options.rest()
        return []
    to = _volume(options, volumes) if is_volume else _bind(options, vm)
    options.went("path", f"{to}.mount")
    options.went("readonly", f"{to}.read_only")
    options.rest()
    return [] if is_volume else [source]


def _volume(options: Options, volumes: list[Plain]) -> str:
    name = free_name(_name(options.key), [ROOT, *(each["name"] for each in volumes)])
    read_only: Plain = {"read_only": True} if options.has("readonly") else {}
    volumes.append({"name": name, "mount": options.get("path"), **read_only})
    options.went("pool", f"volumes[{name}]", COPY_IN)
    options.left(["source"], COPY_IN)
    _sized(options, volumes[-1])
    return f"volumes[{name}]"


def _bind(options: Options, vm: Plain) -> str:
    there = vm.get("binds")
    binds: Plain = there if isinstance(there, dict) else {}
    name = free_name(_name(options.key), binds)
    bind: Plain = {
        "source": options.get("source"),
        "mount": options.get("path"),
        "read_only": options.has("readonly"),
        **({"recursive": True} if options.has("recursive") else {}),
        **({"optional": True} if options.get("required") in ("false", "0") else {}),
    }
    vm["binds"] = {**binds, name: bind}
    options.went("source", f"binds.{name}.source", "bind_sources must have it")
    options.went("required", f"binds.{name}.optional")
    options.went("recursive", f"binds.{name}.recursive")
    return f"binds.{name}"


def _sized(options: Options, volume: Plain) -> None:
    if text := size(options.get("size")):
        volume["size"] = text
        options.went("size", f"volumes[{volume['name']}].size")


def _name(key: str) -> str:
    """A name of geats for what has one of Incus, where more characters are allowed."""
    found = "".join(each if each.isascii() and each.isalnum() else "-" for each in key.lower())
    return found.strip("-")[:30].strip("-") or "disk"
