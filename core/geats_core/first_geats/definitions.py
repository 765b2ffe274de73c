"""VMs as the first geats defined them, key by key: each leaves a note of what became of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from geats_core.first_geats.new_host import NewHost, beside, named
from geats_core.first_geats.settings import LXC, OF_DIRECTORIES, Kind, OldHost, apart
from geats_core.foreign.notes import Plain, Taken, Written
from geats_core.reading.checked import Problem
from geats_core.reading.fields import printable
from geats_core.vm.mounts import DEFAULT_POOL

RAM_MIB = 1024  # these are the defaults of the first geats
BRIDGE = "br0"
NIC = "eth0"
OF_NIC = frozenset(
    {"name", "bridge", "hwaddr", "ipaddr", "ipaddress", "netmask", "gateway", "mtu", "type"}
)
NO_DIRECTORY = "containers used directories only: the root was below default_rootfs_prefix"
KNOWN = frozenset(
    {"name", "vm_type", "description", "template", "ram", "transient", "metadata"}
    | {"network", "storage"}
)
PRIVILEGED = (
    "root of a container was root of the host: leave it out for a new VM, keep it to adopt this one"
)
WITHOUT_TEMPLATE = "it had none: adopt it with the root that it has, or fill a new one by hand"
NOT_GIVEN = "was not given: the default then"


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One VM as it was written. ``file`` is where, and ``name`` its name if it does not say one."""

    file: str
    name: str
    written: Written

    @property
    def called(self) -> str:
        """The name of the VM."""
        return printable(self.written.get("name") or self.name)


def read_definition(
    taken: Taken, definition: Definition, old: OldHost, new: NewHost
) -> tuple[Problem, ...]:
    """Take one VM; the answer is what is wrong that no reader of a pillar would see."""
    raw, name = definition.written, definition.called
    kind = old.kinds.get(str(raw.get("vm_type", LXC)))
    if kind is None:
        why = f"a VM of the type {raw.get('vm_type')!r} is not imported, only those of LXC"
        taken.rest("", raw, (), why)
        return ()
    at = f"vms.{name}"
    vm: Plain = {}
    taken.went("name", at, "" if "name" in raw else "was not given: that of the file")
    if "vm_type" in raw:
        vm["driver"] = kind.driver
        taken.went("vm_type", f"{at}.driver")
    if (template := raw.get("template")) is not None:
        vm["template"] = new.template(kind.templates, str(template))
        taken.went("template", f"{at}.template", f"declared as templates.{vm['template']}")
    else:
        vm["template"] = new.no_template()
        taken.went("(template)", f"{at}.template", WITHOUT_TEMPLATE)
    if (said := raw.get("description")) is not None:
        vm["description"] = " ".join(str(said).split())
        taken.went("description", f"{at}.description")
    vm["privileged"] = True
    taken.went("(privileged)", f"{at}.privileged", PRIVILEGED)
    vm["memory"] = f"{raw.get('ram', RAM_MIB)}MiB"
    taken.went("ram", f"{at}.memory", "" if "ram" in raw else NOT_GIVEN)
    for key in ("transient", "metadata"):
        if raw.get(key) is not None:
            vm[key] = raw[key]
            taken.went(key, f"{at}.{key}")
    _network(taken, raw.get("network"), at, vm)
    wrong = [*_volumes(taken, raw.get("storage"), at, vm, kind, old, new)]
    _lock(taken, definition, kind, new)
    taken.rest("", raw, KNOWN)
    new.vms[name] = vm
    return tuple(wrong)


def root_of(definition: Definition, kind: Kind) -> str | None:
    """Where its root filesystem was, as far as the definition and its kind say."""
    given = definition.written.get("storage")
    volumes = given if isinstance(given, list | tuple) else [given]
    first = volumes[0] if volumes else None
    if isinstance(first, Mapping) and first.get("directory"):
        return str(first["directory"])
    return f"{kind.roots.rstrip('/')}/{definition.called}/rootfs" if kind.roots else None


def lock_mark(root: str) -> str:
    """The file that locked the VM with that root filesystem."""
    return f"{root.rstrip('/')}.locked"


def _lock(taken: Taken, definition: Definition, kind: Kind, new: NewHost) -> None:
    """A file beside the root filesystem locked a VM."""
    root = root_of(definition, kind)
    if root and new.has(mark := lock_mark(root)):
        taken.went(mark, "its lock", "`geats adopt` locks it as well; lock a new one: geats lock")


def _network(taken: Taken, raw: object, at: str, vm: Plain) -> None:
    """The first interface: of a list, of a mapping by name, or alone."""
    if raw is None:
        return
    given = [*_interfaces(raw)]
    if not given:
        taken.left("network", "must be a list or a mapping of interfaces")
    for number, (path, name, nic) in enumerate(given):
        if number or not isinstance(nic, Mapping):
            taken.left(path, "the first geats used only the first interface")
            continue
        vm["nics"] = [_nic(taken, {"name": name, **nic}, path, f"{at}.nics[0]")]


def _interfaces(raw: object) -> Iterator[tuple[str, object, object]]:
    """Each interface with its path and its name if it says none."""
    if isinstance(raw, Mapping) and raw.keys() & OF_NIC:
        yield "network", NIC, raw
    elif isinstance(raw, Mapping):
        yield from ((f"network.{printable(key)}", key, nic) for key, nic in raw.items())
    elif isinstance(raw, list | tuple):
        yield from ((f"network[{number}]", NIC, nic) for number, nic in enumerate(raw))


def _nic(taken: Taken, raw: Written, path: str, at: str) -> Plain:
    nic: Plain = {"name": raw["name"], "bridge": raw.get("bridge", BRIDGE)}
    taken.went(f"{path}.name", f"{at}.name")
    taken.went(f"{path}.bridge", f"{at}.bridge", "" if "bridge" in raw else NOT_GIVEN)
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


def _volumes(
    taken: Taken, raw: object, at: str, vm: Plain, kind: Kind, old: OldHost, new: NewHost
) -> Iterator[Problem]:
    """The first volume held the root filesystem; there was no use of others."""
    if raw is None or raw == []:
        if kind.pool != DEFAULT_POOL:
            vm["volumes"] = [{"name": "root", "pool": kind.pool}]
        return
    for number, volume in enumerate(raw if isinstance(raw, list | tuple) else [raw]):
        path = f"storage[{number}]"
        if number or not isinstance(volume, Mapping):
            taken.left(path, "the first geats used only the first volume")
            continue
        pool = _pool_of(taken, volume, path, kind, old, new)
        if pool is None:
            pool = named(str(volume.get("type")))
            why = "no configuration that was read has it: declare it, or read that file as well"
            yield Problem(f"pools.{pool}", f"{why} ({definition_path(at, path)})")
        vm["volumes"] = [{"name": "root", "pool": pool}]
        taken.went(f"{path}.type", f"{at}.volumes[0].pool")
        if "name" in volume:
            taken.went(f"{path}.name", f"{at}.volumes[0].name", "the volume of / is named root")
        for key in ("blockdevice", "filename"):
            if key in volume:
                taken.left(f"{path}.{key}", NO_DIRECTORY)
        taken.rest(f"{path}.", volume, {"type", "name", "directory", "blockdevice", "filename"})


def definition_path(at: str, path: str) -> str:
    """Where a definition names what nobody declared."""
    return f"{at.removeprefix('vms.')}: {path}.type"


def _pool_of(
    taken: Taken, volume: Written, path: str, kind: Kind, old: OldHost, new: NewHost
) -> str | None:
    """The pool of a volume; None if none is like it."""
    directory = volume.get("directory")
    if directory is None:
        of = str(volume.get("type"))
        return kind.pool if of in OF_DIRECTORIES else old.pools.get(of)
    parent = str(directory).rstrip("/").rpartition("/")[0]
    made = beside(parent)
    pool = new.pool(named(parent) or DEFAULT_POOL, made)
    why = f"{apart(made)}; what is in {directory} stays there, and is not taken over"
    taken.went(f"{path}.directory", f"pools.{pool}.path", why)
    return pool
