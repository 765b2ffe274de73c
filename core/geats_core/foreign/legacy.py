"""The pillar out of the files of the first geats: its definitions, and its configuration.

Theory of operation
-------------------
Whatever those files contain is taken key by key, and each key leaves one note: where it went, or
why it went nowhere. What nobody took is noted at the end. The pillar that comes out is then read
like any other, and what is wrong with it is told along with it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from returns.result import Failure, Success

from geats_core.declared.config import parse_config
from geats_core.foreign.legacy_ini import section
from geats_core.foreign.legacy_notes import Imported, Note, Pillar, Plain, Taken, Written
from geats_core.reading.checked import Problems, problems_of
from geats_core.reading.fields import printable
from geats_core.vm.mounts import DEFAULT_POOL
from geats_core.vm.parse import parse_vm

TEMPLATE_PATH = "/var/lib/lxc/templates"  # these are the defaults of the first geats
DEFAULT_POOL_PATH = "/var/lib/geats/volumes"
RAM_MIB = 1024
BRIDGE = "br0"
NIC = "eth0"
FSTYPES = ("ext4", "xfs", "btrfs")
OF_DIRECTORIES = ("dummy", "dummyadapter")
NOT_FOR_NAMES = re.compile(r"[^a-z0-9-]+")
LEFT_VMS = {
    "factory": "drivers are found by their names",
    "lxc_bin_path": "LXC is used by its library",
    "cgroup_path": "cgroups are found automatically",
    "valid_storage_types": "a volume may come from any pool that is configured",
}
LEFT_DATABASE = "definitions come from pillar or geats.yaml, and geats keeps its own registry"


def import_legacy(
    definitions: Mapping[str, Written],
    settings: Mapping[str, Mapping[str, object]],
    overlays: frozenset[str] = frozenset(),
) -> Imported:
    """The pillar for VMs of *definitions* on a host with *settings*, each by its file.

    *overlays* are those of ``overlay_of`` that are there: the first geats took any that it found.
    """
    geats: Pillar = {"drivers": {}, "pools": {}, "templates": {}, "vms": {}}
    notes: list[Note] = []
    templates = TEMPLATE_PATH
    for file, raw in settings.items():
        taken = Taken(file)
        templates = _settings(taken, raw, geats, templates, overlays)
        notes += taken.notes
    for file, definition in definitions.items():
        taken = Taken(file)
        _definition(taken, definition, geats, templates, overlays)
        notes += taken.notes
    if geats["pools"]:  # else geats has this one by itself
        geats["pools"].setdefault(DEFAULT_POOL, {"type": "directory", "path": DEFAULT_POOL_PATH})
    geats = {key: value for key, value in geats.items() if value}
    return Imported(geats=geats, notes=tuple(notes), problems=problems_of_pillar(geats))


def template_names(
    definitions: Iterable[Written], settings: Iterable[Mapping[str, object]]
) -> tuple[tuple[str, str], ...]:
    """Each template that is named, with the directory that it is in."""
    folder = TEMPLATE_PATH
    names: list[str] = []
    for raw in settings:
        lxc = section(section(raw, "vms"), "lxc")
        folder = str(lxc.get("template_path", folder))
        names += _words(lxc.get("valid_templates"))
    names += [str(raw["template"]) for raw in definitions if raw.get("template") is not None]
    return tuple((folder, name) for name in dict.fromkeys(names))


def overlay_of(folder: str, name: str) -> str:
    """Where the overlay of a template was, if it had one."""
    return f"{folder}/overlay/{name}.tar.gz"


def _settings(
    taken: Taken,
    raw: Mapping[str, object],
    geats: Pillar,
    templates: str,
    overlays: frozenset[str],
) -> str:
    """Take a configuration; the answer is the directory of the templates."""
    vms = section(raw, "vms")
    lxc = section(vms, "lxc")
    if (path := lxc.get("config_directory_prefix")) is not None:
        geats["drivers"]["lxc"] = {"path": path}
        taken.went("vms.lxc.config_directory_prefix", "drivers.lxc.path")
    if (prefix := lxc.get("default_rootfs_prefix")) is not None:
        geats["pools"]["default"] = _pool_beside(str(prefix))
        taken.went("vms.lxc.default_rootfs_prefix", "pools.default.path", _beside(str(prefix)))
    if (folder := lxc.get("template_path")) is not None:
        templates = str(folder)
        taken.went("vms.lxc.template_path", "templates", "the path of each template begins with it")
    for name in _words(lxc.get("valid_templates")):
        to = _template(geats, templates, name, overlays)
        taken.went("vms.lxc.valid_templates", to)
    for key, why in LEFT_VMS.items():
        if key in lxc:
            taken.left(f"vms.lxc.{key}", why)
    known = ("config_directory_prefix", "default_rootfs_prefix", "template_path", "valid_templates")
    taken.rest("vms.lxc.", lxc, {*known, *LEFT_VMS})
    taken.rest("vms.", vms, {"lxc"}, "only VMs of LXC are imported")
    for name, given in section(raw, "storage").items():
        _storage(taken, name, given, geats)
    taken.rest("database.", section(raw, "database"), (), LEFT_DATABASE)
    taken.rest("", raw, {"vms", "storage", "database"})
    return templates


def _storage(taken: Taken, name: str, given: object, geats: Pillar) -> None:
    """A section of ``storage``: sparse files become a pool, directories do so VM by VM."""
    at = f"storage.{name}"
    raw = given if isinstance(given, Mapping) else {}
    prefix = next((key for key in ("volume_prefix", "prefix") if key in raw), None)
    if not name.startswith("sparsefile") or prefix is None:
        known = name in OF_DIRECTORIES
        taken.left(at, "each VM's directory makes a pool" if known else "no plugin is like it")
        return
    pool, fstype = _name(name), str(raw.get("block_filesystem_adapter_type", "ext4"))
    used = fstype if fstype in FSTYPES else "ext4"
    files = {"type": "sparsefile", "path": raw[prefix]}
    geats["pools"][pool] = {"type": "filesystem", "fstype": used, "on": files}
    taken.went(f"{at}.{prefix}", f"pools.{pool}.on.path")
    if "block_filesystem_adapter_type" in raw:
        why = "" if used == fstype else f"new volumes are of {used}, as there is no {fstype}"
        taken.went(f"{at}.block_filesystem_adapter_type", f"pools.{pool}.fstype", why)
    known_keys = (prefix, "block_filesystem_adapter_type")
    taken.rest(f"{at}.", raw, known_keys, "pools and their adapters are found by their names")


def _definition(
    taken: Taken, raw: Written, geats: Pillar, templates: str, overlays: frozenset[str]
) -> None:
    """Take the definition of one VM."""
    kind = raw.get("vm_type", "lxc")
    if kind != "lxc":
        taken.rest("", raw, (), f"a VM of the type {kind!r} is not imported, only those of LXC")
        return
    name = printable(raw.get("name"))
    at = f"vms.{name}"
    vm: Plain = {}
    taken.went("name", at)
    if "vm_type" in raw:
        vm["driver"] = "lxc"
        taken.went("vm_type", f"{at}.driver")
    if (template := raw.get("template")) is not None:
        to = _template(geats, templates, str(template), overlays)
        vm["template"] = to.removeprefix("templates.")
        taken.went("template", f"{at}.template", f"declared as {to}")
    ram = raw.get("ram", RAM_MIB)
    vm["memory"] = f"{ram}MiB"
    taken.went("ram", f"{at}.memory", "" if "ram" in raw else "was not given: the default then")
    if (transient := raw.get("transient")) is not None:
        vm["transient"] = transient
        taken.went("transient", f"{at}.transient")
    if (metadata := raw.get("metadata")) is not None:
        vm["metadata"] = metadata
        taken.went("metadata", f"{at}.metadata")
    _network(taken, raw.get("network"), at, vm)
    _volumes(taken, raw.get("storage"), at, vm, geats)
    if (said := raw.get("description")) is not None:
        vm["description"] = " ".join(str(said).split())
        taken.went("description", f"{at}.description")
    known = ("name", "vm_type", "template", "ram", "transient", "metadata", "network", "storage")
    taken.rest("", raw, {*known, "description"})
    geats["vms"][name] = vm


def _network(taken: Taken, raw: object, at: str, vm: Plain) -> None:
    """The first interface: a list, or as it once was, a mapping by name."""
    if raw is None:
        return
    by_name = isinstance(raw, Mapping)
    given: list[tuple[object, object]] = []
    if isinstance(raw, Mapping):
        given += raw.items()
    elif isinstance(raw, list | tuple):
        given += enumerate(raw)
    else:
        taken.left("network", "must be a list or a mapping of interfaces")
    for number, (key, nic) in enumerate(given):
        path = f"network.{printable(key)}" if by_name else f"network[{number}]"
        if number or not isinstance(nic, Mapping):
            taken.left(path, "the first geats used only the first interface")
            continue
        name = key if by_name else nic.get("name", NIC)
        vm["nics"] = [_nic(taken, {**nic, "name": name}, path, f"{at}.nics[0]")]


def _nic(taken: Taken, raw: Written, path: str, at: str) -> Plain:
    nic: Plain = {"name": raw["name"], "bridge": raw.get("bridge", BRIDGE)}
    taken.went(f"{path}.name", f"{at}.name")
    why = "" if "bridge" in raw else "was not given: the default then"
    taken.went(f"{path}.bridge", f"{at}.bridge", why)
    if (mac := raw.get("hwaddr")) is not None:
        nic["mac"] = mac
        taken.went(f"{path}.hwaddr", f"{at}.mac")
    address = next((key for key in ("ipaddr", "ipaddress") if key in raw), None)
    if address and "netmask" in raw:
        nic["addresses"] = [f"{raw[address]}/{raw['netmask']}"]
        taken.went(f"{path}.{address}", f"{at}.addresses[0]")
        taken.went(f"{path}.netmask", f"{at}.addresses[0]")
    else:
        for key in (address, "netmask"):
            if key in raw:
                taken.left(f"{path}.{key}", "an address needs both, the address and its netmask")
    if (gateway := raw.get("gateway")) is not None:
        nic["gateways"] = [gateway]
        taken.went(f"{path}.gateway", f"{at}.gateways[0]")
    known = {"name", "bridge", "hwaddr", "ipaddr", "ipaddress", "netmask", "gateway"}
    taken.rest(f"{path}.", raw, known)
    return nic


def _volumes(taken: Taken, raw: object, at: str, vm: Plain, geats: Pillar) -> None:
    """The first volume held the root filesystem; there was no use of others."""
    if raw is None:
        return
    for number, volume in enumerate(raw if isinstance(raw, list | tuple) else [raw]):
        path = f"storage[{number}]"
        if number or not isinstance(volume, Mapping):
            taken.left(path, "the first geats used only the first volume")
            continue
        pool = _pool_of(taken, volume, path, geats)
        vm["volumes"] = [{"name": "root", "pool": pool}]
        taken.went(f"{path}.type", f"{at}.volumes[0].pool")
        if "name" in volume:
            taken.went(f"{path}.name", f"{at}.volumes[0].name", "the volume of / is named root")
        taken.rest(f"{path}.", volume, {"type", "name", "directory"})


def _pool_of(taken: Taken, volume: Written, path: str, geats: Pillar) -> str:
    directory = volume.get("directory")
    if directory is None:
        kind = volume.get("type")
        return "default" if kind in OF_DIRECTORIES else _name(str(kind))
    parent = str(directory).rstrip("/").rpartition("/")[0]
    pool = _name(parent) or "default"
    geats["pools"][pool] = _pool_beside(parent)
    why = f"{_beside(parent)}; what is in {directory} stays there, and is not taken over"
    taken.went(f"{path}.directory", f"pools.{pool}.path", why)
    return pool


def _template(geats: Pillar, folder: str, name: str, overlays: frozenset[str]) -> str:
    """Declare a template as the first geats found it; the answer is its path in the pillar."""
    declared: Plain = {"path": f"{folder}/{name}.tar.gz"}
    overlay = overlay_of(folder, name)
    if overlay in overlays:
        declared["overlay"] = overlay
    geats["templates"][_name(name)] = declared
    return f"templates.{_name(name)}"


def _pool_beside(directory: str) -> Plain:
    return {"type": "directory", "path": f"{directory}-geats"}


def _beside(directory: str) -> str:
    return f"new volumes are made below {directory}-geats, apart from what is there"


def _name(text: str) -> str:
    """A name of geats that is as close to *text* as can be."""
    return NOT_FOR_NAMES.sub("-", text.lower()).strip("-")[:63]


def _words(value: object) -> Sequence[str]:
    """A value of one word, or of several, or none."""
    if isinstance(value, list | tuple):
        return [str(each) for each in value]
    return [str(value)] if value else []


def problems_of_pillar(geats: Mapping[str, object]) -> Problems:
    """What is wrong with it as a pillar."""
    match parse_config(geats):
        case Success(config):
            return tuple(
                replace(each, path=f"vms.{name}.{each.path}")
                for name, vm in config.vms.items()
                for each in problems_of(parse_vm(name, vm))
            )
        case Failure(problems):
            return problems
