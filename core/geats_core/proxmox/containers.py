"""A container of Proxmox, as keys of a VM."""

from collections.abc import Mapping

from geats_core.containers.nics import MOST_MTU, MOST_VLAN
from geats_core.foreign.lxc_container import container
from geats_core.foreign.lxc_import import free_name
from geats_core.foreign.lxc_lines import OnHost
from geats_core.foreign.lxc_roots import build_of
from geats_core.foreign.notes import Plain
from geats_core.foreign.settings import (
    NO_EFFECT,
    NO_KEY,
    YES,
    Options,
    Settings,
    root_template,
    whole,
)
from geats_core.proxmox.conf import Conf
from geats_core.proxmox.guests import REASONS, addressed, bridged, memory_of, names_servers, starts
from geats_core.proxmox.settings import mebibytes, size_of
from geats_core.reading.sizes import format_size
from geats_core.vm import idmap
from geats_core.vm.spec import ROOT, IdRange

SHIFTED = (IdRange(guest=0, host=100_000, count=65_536),)  # what Proxmox takes by default
MOUNTED = "mount it first, by pct mount, while the old container is off"
BY_HAND = f"{NO_KEY}: add its lines to the new VM's config by hand, where they stay"
OTHER_REASONS: Mapping[str, str] = {
    **REASONS,
    **dict.fromkeys(("console", "tty", "cmode", "debug", "ostype"), "geats writes what is needed"),
    "features": BY_HAND,
    "timezone": "is in the guest's files, which are copied",
}


def lxc_text(conf: Conf) -> str:
    """The lines of LXC's own in a file, as a config of LXC has them."""
    return "".join(f"{key} = {value}\n" for key, value in conf.lxc)


def container_of(
    settings: Settings, name: str, number: str, conf: Conf, host: OnHost
) -> tuple[Plain, Plain, list[str]]:
    """The VM, its template, and the directories of the host that it binds."""
    vm, sources = _lxc(settings, name, conf, host)
    if settings.get("unprivileged") not in YES:
        vm["privileged"] = True
    settings.went("unprivileged", "privileged")
    memory_of(settings, vm)
    if settings.get("hostname"):
        vm["hostname"] = settings.get("hostname")
        settings.went("hostname", "hostname")
    _cpus(settings, vm)
    _swap(settings, vm)
    volumes, template = _root(settings, vm, name, number)
    for key in settings.numbered("mp"):
        sources += _mount(settings, vm, volumes, key)
    vm["volumes"] = volumes
    starts(settings, vm)
    names_servers(settings, vm)
    _nics(settings, vm)
    _features(settings, vm)
    _devices(settings, vm)
    settings.rest(OTHER_REASONS)
    return vm, template, sources


def _features(settings: Settings, vm: Plain) -> None:
    features = settings.options("features")
    if features.get("nesting") == "1":
        vm["nesting"] = True
        features.went("nesting", "nesting")
    features.rest(BY_HAND)


def _lxc(settings: Settings, name: str, conf: Conf, host: OnHost) -> tuple[Plain, list[str]]:
    """What lines of LXC's own say; the others are Proxmox's, and it has them in its settings."""
    made = container(settings.taken, name, lxc_text(conf), host)
    settings.wrong += made.wrong
    known = {key: value for key, value in made.vm.items() if key not in ("privileged", "includes")}
    return known, [*made.sources]


def _cpus(settings: Settings, vm: Plain) -> None:
    """How much time: ``cpulimit``, or else as much as so many ``cores`` have."""
    limit, cores = settings.get("cpulimit"), whole(settings.get("cores"), 4096)
    counted = limit if limit.replace(".", "", 1).isdecimal() and limit.isascii() else ""
    if float(counted or 0):
        vm["cpus"] = float(counted)
        settings.went("cpulimit", "cpus")
        settings.left("cores", "is more than cpulimit, or as much")
    elif cores:
        vm["cpus"] = cores
        settings.went("cores", "cpus", "how much time, not which CPUs")
    if weight := whole(settings.get("cpuunits"), 10_000):
        vm["cpu_weight"] = weight
        settings.went("cpuunits", "cpu_weight", "as it counts in cgroup v2")


def _swap(settings: Settings, vm: Plain) -> None:
    """Beside its memory, as geats counts it too."""
    swap = whole(settings.get("swap"))
    if swap is not None:
        vm["swap"] = mebibytes(settings.get("swap")) or 0
        settings.went("swap", "swap")


def _devices(settings: Settings, vm: Plain) -> None:
    """Device nodes of the host; their owner and mode are those that they have there."""
    there = vm.get("devices")
    devices: Plain = there if isinstance(there, dict) else {}
    for key in settings.numbered("dev"):
        options = settings.options(key, "path")
        name = free_name(key, devices)
        access: Plain = {"access": "rm"} if options.has("deny-write") else {}
        devices[name] = {"source": options.get("path"), **access}
        options.went("path", f"devices.{name}.source", "device_sources must have it")
        options.went("deny-write", f"devices.{name}.access")
        options.rest("is of the node on the host: a rule of udev sets it")
    if devices:
        vm["devices"] = devices


def _root(settings: Settings, vm: Plain, name: str, number: str) -> tuple[list[Plain], Plain]:
    """The root volume, and the template that it is a copy of."""
    path = f"/var/lib/lxc/{number}/rootfs"
    template: Plain = {"path": path}
    to = f"templates.{root_template(name)}.path"
    if "privileged" not in vm:
        ranges = idmap.from_plain(vm.get("idmap")) or SHIFTED
        template = {"build": {"command": [*build_of(path, ranges)]}}
        to = f"templates.{root_template(name)}.build"
    options = settings.options("rootfs", "volume")
    volume: Plain = {"name": ROOT}
    _sized(options, volume)
    options.became("volume", to, f"{MOUNTED}: pct mount {number}")
    options.rest(NO_EFFECT)
    vm["template"] = root_template(name)
    return [volume], template


def _sized(options: Options, volume: Plain) -> None:
    if size := size_of(options.get("size")):
        volume["size"] = size
        options.went("size", f"volumes[{volume['name']}].size")


def _mount(settings: Settings, vm: Plain, volumes: list[Plain], key: str) -> list[str]:
    """A volume, or a directory of the host, which is a bind."""
    options = settings.options(key, "volume")
    source, target = options.get("volume"), options.get("mp")
    read_only: Plain = {"read_only": True} if options.has("ro") else {}
    if source.startswith("/dev/"):
        options.refuse("volume", "is a device of the host: a pool of geats makes the volumes")
        options.rest()
        return []
    binds = vm.get("binds")
    known = binds if isinstance(binds, dict) else {}
    bind = free_name(key, known)
    if source.startswith("/"):
        vm["binds"] = {**known, bind: {"source": source, "mount": target, **read_only}}
        to = f"binds.{bind}"
        options.went("volume", f"{to}.source", "bind_sources must have it")
    else:
        volumes.append({"name": key, "mount": target, **read_only})
        to = f"volumes[{key}]"
        _sized(options, volumes[-1])
        options.went("volume", to, "it is empty: copy the files in, such as by geats push")
    options.went("mp", f"{to}.mount")
    options.went("ro", f"{to}.read_only")
    options.rest(NO_EFFECT)
    return [source] if source.startswith("/") else []


def _nics(settings: Settings, vm: Plain) -> None:
    there = vm.get("nics")
    nics: list[Plain] = [*there] if isinstance(there, list) else []
    for key in settings.numbered("net"):
        options = settings.options(key)
        to = f"nics[{len(nics)}]"
        nic: Plain = {"name": options.get("name") or f"eth{key.removeprefix('net')}"}
        nics.append(nic)
        options.went("name", f"{to}.name")
        if options.get("hwaddr"):
            nic["mac"] = options.get("hwaddr")
            options.went("hwaddr", f"{to}.mac")
        if options.get("type") in ("", "veth"):
            options.left(["type"], OTHER_REASONS["console"])
        else:
            options.refuse("type", "Proxmox has NICs on bridges only (veth)")
        bridged(options, nic, to)
        _port(options, nic, to)
        addressed(options, nic, to)
        options.rest()
    if nics:
        vm["nics"] = nics


def _port(options: Options, nic: Plain, to: str) -> None:
    """How it is on the bridge; the rate is of both ways, in megabytes per second."""
    if (mtu := whole(options.get("mtu"), MOST_MTU)) and mtu > 1:  # 1 is that of the bridge
        nic["mtu"] = mtu
        options.went("mtu", f"{to}.mtu")
    if tag := whole(options.get("tag"), MOST_VLAN):
        nic["vlan"] = tag
        options.went("tag", f"{to}.vlan")
    trunk = [whole(each, MOST_VLAN) for each in options.get("trunks").split(";") if each]
    if trunk and all(trunk):
        nic["trunk"] = trunk
        options.went("trunks", f"{to}.trunk")
    if rate := whole(options.get("rate"), 10**6):
        nic["rate"] = dict.fromkeys(("in", "out"), format_size(rate * 10**6))
        options.went("rate", f"{to}.rate")
    if options.has("link_down"):
        nic["link"] = "down"
        options.went("link_down", f"{to}.link")
    for name in ("tag", "trunks"):
        if options.get(name):
            options.refuse(name, f"must be of numbers from 1 to {MOST_VLAN}")
