"""The configuration of the first geats: kinds of VMs, places of roots and templates, storage.

Any section of ``vms`` whose factory is that of LXC made containers, whatever its name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from geats_core.first_geats.ini import section
from geats_core.first_geats.new_host import NewHost, beside, named
from geats_core.foreign.notes import Plain, Taken, Written
from geats_core.vm.mounts import DEFAULT_POOL

LXC = "lxc"
FACTORY = "LXCVirtualMachine"
TEMPLATE_PATH = "/var/lib/lxc/templates"  # the default of the first geats
FSTYPES = ("ext4", "xfs", "btrfs")
OF_DIRECTORIES = ("dummy", "dummyadapter")
READ_KEYS = ("config_directory_prefix", "default_rootfs_prefix", "template_path", "valid_templates")
LEFT_VMS = {
    "factory": "drivers are found by their names",
    "lxc_bin_path": "LXC is used by its library",
    "cgroup_path": "cgroups are found automatically",
    "valid_storage_types": "a volume may come from any pool that is configured",
}
LEFT_DATABASE = "definitions come from pillar or geats.yaml, and geats keeps its own registry"
READ_DATABASE = "the definitions in it are read"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A section of ``vms`` whose VMs were containers.

    ``roots`` is the directory of the root filesystems that no volume had, and ``pool`` the pool
    beside it.
    """

    driver: str = LXC
    templates: str = TEMPLATE_PATH
    roots: str | None = None
    pool: str = DEFAULT_POOL


@dataclass(slots=True)
class OldHost:
    """What the configurations say: kinds of containers by ``vm_type``, pools by storage type."""

    kinds: dict[str, Kind] = field(default_factory=lambda: {LXC: Kind()})
    pools: dict[str, str] = field(default_factory=dict)


def store_of(raw: Mapping[str, object]) -> str | None:
    """The file in which the first geats kept its definitions, as a configuration says."""
    database = section(raw, "database")
    name = section(database, str(database.get("current", "pickle"))).get("filename")
    return name if isinstance(name, str) and name else None


def read_settings(
    taken: Taken, raw: Mapping[str, object], old: OldHost, new: NewHost, stores: Sequence[str]
) -> None:
    """Take a configuration; definitions in *stores* were read."""
    vms = section(raw, "vms")
    for name, given in vms.items():
        at = f"vms.{name}"
        lxc = section(vms, name)
        if name == LXC or str(lxc.get("factory", "")).endswith(f":{FACTORY}"):
            old.kinds[name] = _kind(taken, name, lxc, new)
        else:
            taken.rest("vms.", {name: given}, (), "only VMs of LXC are imported")
            continue
        for key, why in LEFT_VMS.items():
            if key in lxc:
                taken.left(f"{at}.{key}", why)
        taken.rest(f"{at}.", lxc, {*READ_KEYS, *LEFT_VMS})
    for name, given in section(raw, "storage").items():
        _storage(taken, name, given, old, new)
    _database(taken, raw, stores)
    taken.rest("", raw, {"vms", "storage", "database"})


def _kind(taken: Taken, name: str, lxc: Mapping[str, object], new: NewHost) -> Kind:
    at = f"vms.{name}"
    path = _text(lxc, "config_directory_prefix")
    declared = path is not None or name != LXC  # lxc is there by itself
    driver = new.driver(LXC if name == LXC else named(name), path) if declared else LXC
    if path is not None:
        taken.went(f"{at}.config_directory_prefix", f"drivers.{driver}.path")
    pool, roots = DEFAULT_POOL, _text(lxc, "default_rootfs_prefix")
    if roots is not None:
        made = beside(roots)
        pool = new.pool(DEFAULT_POOL if name == LXC else named(name), made)
        taken.went(f"{at}.default_rootfs_prefix", f"pools.{pool}.path", apart(made))
    folder = _text(lxc, "template_path")
    if folder is not None:
        taken.went(f"{at}.template_path", "templates", "the path of each template begins with it")
    kind = Kind(driver=driver, templates=folder or TEMPLATE_PATH, roots=roots, pool=pool)
    for word in _words(lxc.get("valid_templates")):
        to = new.template(kind.templates, word)
        taken.went(f"{at}.valid_templates", f"templates.{to}")
    return kind


def _storage(taken: Taken, name: str, given: object, old: OldHost, new: NewHost) -> None:
    """A section of ``storage``: sparse files become a pool, directories do so VM by VM."""
    at = f"storage.{name}"
    raw: Written = given if isinstance(given, Mapping) else {}
    prefix = next((key for key in ("volume_prefix", "prefix") if key in raw), None)
    if not name.startswith("sparsefile") or prefix is None:
        known = name in OF_DIRECTORIES
        taken.left(at, "each VM's directory makes a pool" if known else "no plugin is like it")
        return
    fstype = str(raw.get("block_filesystem_adapter_type", "ext4"))
    used = fstype if fstype in FSTYPES else "ext4"
    files: Plain = {"type": "sparsefile", "path": raw[prefix]}
    pool = new.pool(named(name), {"type": "filesystem", "fstype": used, "on": files})
    old.pools[name] = pool
    taken.went(f"{at}.{prefix}", f"pools.{pool}.on.path")
    if "block_filesystem_adapter_type" in raw:
        why = "" if used == fstype else f"new volumes are of {used}, as there is no {fstype}"
        taken.went(f"{at}.block_filesystem_adapter_type", f"pools.{pool}.fstype", why)
    known_keys = (prefix, "block_filesystem_adapter_type")
    taken.rest(f"{at}.", raw, known_keys, "pools and their adapters are found by their names")


def _database(taken: Taken, raw: Mapping[str, object], stores: Sequence[str]) -> None:
    database = section(raw, "database")
    if store_of(raw) in stores:
        at = f"database.{database.get('current', 'pickle')}"
        taken.went(f"{at}.filename", "vms", READ_DATABASE)
        return
    taken.rest("database.", database, (), LEFT_DATABASE)


def apart(made: Plain) -> str:
    """Why a pool is where it is."""
    directory = str(made["path"])
    return f"new volumes are made below {directory}, apart from what is there"


def _text(raw: Mapping[str, object], key: str) -> str | None:
    value = raw.get(key)
    return str(value) if value is not None else None


def _words(value: object) -> Sequence[str]:
    """A value of one word, or of several, or none."""
    if isinstance(value, list | tuple):
        return [str(each) for each in value]
    return [str(value)] if value else []
