"""The pillar out of files that Salt 3006's ``lxc`` was given: profiles, states and cloud maps."""

from collections.abc import Iterator, Mapping

from geats_core.automation.arguments import (
    NO_IMAGE,
    POOLED,
    Arguments,
    image_of,
    size,
)
from geats_core.automation.salt_documents import Documents, Raw, Said, read_documents
from geats_core.automation.salt_seeding import SEEDED, seeding
from geats_core.foreign.lxc_import import free_name
from geats_core.foreign.notes import Imported, Note, Pillar, Plain, Taken
from geats_core.foreign.pillar_problems import problems_of_pillar
from geats_core.foreign.settings import NO_KEY, Settings, root_template, text_of, whole
from geats_core.reading.checked import Problem
from geats_core.reading.fields import VM_NAME, printable
from geats_core.reading.mappings import merge
from geats_core.vm.spec import ROOT

FOLDER = "/var/lib/lxc"
NOT_WANTED = "the container is not wanted: it becomes no VM"
NEW_GUEST = "is done in a new guest: an overlay of the template has such files, or geats exec"
OF_CLOUD = "is for salt-cloud"
REASONS: Mapping[str, str] = {
    **dict.fromkeys(("backing", "fstype", "lvname", "thinpool", "vgname"), POOLED),
    **dict.fromkeys(
        ("bootstrap_args", "bootstrap_delay", "bootstrap_shell", "bootstrap_url"),
        NEW_GUEST,
    ),
    **dict.fromkeys(("master", "master_port", "minion", "config", "script"), NEW_GUEST),
    **dict.fromkeys(("script_args", "ssh_username"), NEW_GUEST),
    **SEEDED,
    **dict.fromkeys(("provider", "delete_sshkeys", "make_master", "sync_after_install"), OF_CLOUD),
    "path": "is the path of the driver lxc",
    "restart": "watch, or geats.reboot",
    "running": "VMs run unless power says otherwise",
    "snapshot": "pools make such copies by themselves, if they can",
}
POWER = ("stopped", "frozen")  # which states ask for; others have it running
CLONED = ("clone_from", "clone", "from_container")
NIC_KEYS = ("type", "link", "flags", "mac", "hwaddr", "ipv4", "ipv6", "gateway", "name", "disable")
DEFAULT_NIC = "eth0"
NO_PREFIX = "needs a prefix, such as 10.0.3.7/24"
NO_LINK = "geats has no such NIC: say its type, and what it is connected to"
LINKS = {"veth": "bridge", **dict.fromkeys(("macvlan", "ipvlan", "vlan", "phys"), "parent")}
TYPES = {"phys": "physical"}
MORE = {"mtu": "mtu", "vlan.id": "vlan"}  # numbers, by keys of LXC


def import_salt_lxc(documents: Mapping[str, object]) -> Imported:
    """The pillar for the containers in *documents*, each with what its profiles come to."""
    found = read_documents(documents)
    geats: Pillar = {"templates": {}, "vms": {}}
    notes: list[Note] = []
    problems = [*found.problems]
    if (found.profiles or found.networks) and not (found.containers or problems):
        problems.append(Problem("lxc", "there are profiles, and no container: give states as well"))
    for said, power in _each_once(found):
        taken = Taken(f"{said.file}: {printable(said.name)}")
        if said.function == "absent":
            taken.left("absent", NOT_WANTED)
        else:
            problems += _take(geats, taken, said, power, found)
        notes += taken.notes
    kept: Plain = {key: value for key, value in geats.items() if value}
    wrong = (*problems, *problems_of_pillar(kept))
    return Imported(geats=kept, notes=tuple(notes), problems=wrong)


def _each_once(found: Documents) -> Iterator[tuple[Said, str]]:
    """A container of several states is one: ``present`` says what it is, and another its power."""
    of_name: dict[str, list[Said]] = {}
    for said in found.containers:
        of_name.setdefault(said.name, []).append(said)
    for all_said in of_name.values():
        first = next((each for each in all_said if each.function == "present"), all_said[0])
        powers = [each.function for each in all_said if each.function in POWER]
        yield first, (powers or [""])[-1]


def _take(geats: Pillar, taken: Taken, said: Said, power: str, found: Documents) -> list[Problem]:
    name = free_name(said.name if VM_NAME.fullmatch(said.name) else "container", geats["vms"])
    arguments, network = _whole(taken, f"vms.{name}", said, found)
    settings = arguments.settings
    vm: Plain = {"template": root_template(name)}
    arguments.went("name", "", "" if name == said.name else "no VM can have it, or another has")
    if power or settings.get("running") == "false":
        vm["power"] = power or "stopped"
        settings.went("running", "power")
    _limits(arguments, vm)
    _dns(arguments, vm)
    seeding(arguments, vm)
    template = _template(arguments, name)
    geats["templates"] |= {root_template(name): template} if template else {}
    if nics := [*_nics(arguments, network)]:
        vm["nics"] = nics
    arguments.rest(REASONS)
    geats["vms"][name] = vm
    return [Problem(f"vms.{name}", f"{at}: {why}") for at, why in settings.wrong]


def _whole(taken: Taken, at: str, said: Said, found: Documents) -> tuple[Arguments, dict[str, Raw]]:
    """Its arguments with those of its profile, and its NICs by their names."""
    raw = said.arguments
    wrong: list[tuple[str, str]] = []
    for key in ("lxc_profile", "profile"):
        named = raw.get(key)
        profile = named if isinstance(named, Mapping) else found.profiles.get(text_of(named), {})
        if text_of(named) and text_of(named) not in found.profiles:
            wrong.append((key, "names a container_profile that no file has"))
        raw = merge(profile, raw)
    named = raw.get("network_profile")
    network = named if isinstance(named, Mapping) else found.networks.get(text_of(named), {})
    if text_of(named) and text_of(named) not in (*found.networks, DEFAULT_NIC):
        wrong.append(("network_profile", "names a network_profile that no file has"))
    options = raw.get("nic_opts")
    whole_ = merge(network, options) if isinstance(options, Mapping) else network
    arguments = Arguments.of(taken, at, raw)
    for key in ("lxc_profile", "profile", "network_profile", "nic_opts"):
        arguments.went(key, "nics" if key.startswith("n") else "")
    arguments.settings.wrong += wrong
    return arguments, {text_of(k): v for k, v in whole_.items() if isinstance(v, Mapping)}


def _limits(arguments: Arguments, vm: Plain) -> None:
    settings = arguments.settings
    if memory := whole(settings.get("memory")):
        vm["memory"] = f"{memory}MiB"
        settings.went("memory", "memory", "in MiB")
    settings.left("memory", "is no limit")
    if cpus := whole(settings.get("cpu"), 4096):
        vm["cpus"] = cpus
        settings.went("cpu", "cpus", "how much time, not which CPUs")
    if cpuset := settings.get("cpuset"):
        vm["cpuset"] = cpuset
        settings.went("cpuset", "cpuset")
    if shares := whole(settings.get("cpushare"), 1 << 18):
        vm["cpu_weight"] = max(1, round(shares * 100 / 1024))
        settings.went("cpushare", "cpu_weight", "of 100, where it was of 1024")
    if text := size(settings.get("size")):
        vm["volumes"] = [{"name": ROOT, "size": text}]
        settings.went("size", "volumes[root].size")
    if settings.get("autostart") in ("true", "false"):
        vm["autostart"] = settings.get("autostart") == "true"
        settings.went("autostart", "autostart")


def _dns(arguments: Arguments, vm: Plain) -> None:
    dns: Plain = {}
    for key, name in (("dnsservers", "nameservers"), ("searchdomains", "search")):
        if words := arguments.list_of(key):
            dns[name] = words
            arguments.went(key, f"dns.{name}")
    if dns:
        vm["dns"] = dns


def _template(arguments: Arguments, name: str) -> Plain:
    """What the root is made of: another container, a file, or what a script of LXC made."""
    settings = arguments.settings
    to = f"templates.{root_template(name)}"
    for key in CLONED:
        if base := settings.get(key):
            settings.went(key, to)
            return {"path": f"{settings.get('path') or FOLDER}/{base}/rootfs"}
    options = {text_of(key): text_of(each) for key, each in arguments.map_of("options").items()}
    image = settings.get("image")
    if image.startswith("/"):
        settings.went("image", to)
        return {"path": image}
    made = {} if image else image_of(settings.get("template"), options)
    if made:
        settings.went("template", to)
        arguments.went("options", to)
        return made
    settings.wrong.append(("image" if image else "template", NO_IMAGE))
    for key in ("image", "template", "options"):
        arguments.left(key, NO_IMAGE)
    return {}


def _nics(arguments: Arguments, network: dict[str, Raw]) -> Iterator[Plain]:
    """The NICs of its network profile, as Salt merges them with what else is said."""
    settings = arguments.settings
    network = _with_cloud(arguments, network)
    bridge, gateway = settings.get("bridge"), settings.get("gateway")
    settings.went("bridge", "nics.bridge")
    for name in sorted(network):
        said = {text_of(key): text_of(value) for key, value in network[name].items()}
        if said.get("disable") == "true":
            continue
        nic = _nic(settings, name, said, bridge)
        own = gateway or said.get("gateway", "")
        if own not in ("", "auto", "none"):
            nic["gateways"] = [own]
            gateway = "none"  # of all NICs, Salt gives one a gateway
            settings.went("gateway", "nics.gateways")
        yield nic
    settings.left("gateway", "is found by the host's own network")


def _nic(settings: Settings, name: str, said: Mapping[str, str], bridge: str) -> Plain:
    nic: Plain = {"name": name}
    at = f"network_profile.{name}"
    link, kind = bridge or said.get("link", ""), said.get("type", "veth")
    key = LINKS.get(kind, "")
    if not key or not link:
        settings.wrong.append((at, NO_LINK))
    else:
        nic |= {key: link} if kind == "veth" else {"type": TYPES.get(kind, kind), key: link}
    if mac := said.get("mac") or said.get("hwaddr"):
        nic["mac"] = mac
    addresses = [said[key] for key in ("ipv4", "ipv6") if said.get(key)]
    if wrong := [each for each in addresses if "/" not in each]:
        settings.wrong.append((at, f"{printable(wrong[0])} {NO_PREFIX}"))
    if addresses:
        nic["addresses"] = addresses
    for key in said:
        number = whole(said[key]) if key in MORE else None
        if number is not None:
            nic[MORE[key]] = number
            settings.taken.went(f"{at}.{key}", f"{settings.at}.nics.{name}.{MORE[key]}")
        elif key not in NIC_KEYS:
            settings.taken.left(f"{at}.{printable(key)}", NO_KEY)
    return nic


def _with_cloud(arguments: Arguments, network: dict[str, Raw]) -> dict[str, Raw]:
    """What profiles of salt-cloud say of eth0 beside it, and of more NICs."""
    settings = arguments.settings
    own: Raw = {key: text for key in ("ip", "mac") if (text := settings.get(key))}
    own = {**own, "netmask": settings.get("netmask") or "24"} if own else {}
    more = arguments.others.get("additional_ips")
    listed = [own, *(more if isinstance(more, list) else [])]
    for at, said in enumerate(listed):
        if isinstance(said, Mapping) and said:
            name = f"eth{at}"
            network = {**network, name: merge(network.get(name, {}), _of_cloud(said))}
    for key in ("ip", "mac", "netmask"):
        settings.went(key, f"nics.{DEFAULT_NIC}")
    arguments.went("additional_ips", "nics")
    return network


def _of_cloud(said: Raw) -> Raw:
    """A NIC of salt-cloud, whose address and netmask are apart, as a network profile has it."""
    ip, mask = text_of(said.get("ip")), text_of(said.get("netmask"))
    rest = {key: value for key, value in said.items() if key not in ("ip", "netmask")}
    whole_ = f"{ip}/{mask}" if mask and "/" not in ip else ip
    return {**rest, **({"ipv4": whole_} if ip else {})}
