"""The pillar out of instances of Incus and LXD."""

from collections.abc import Mapping

from geats_core.foreign.lxc_container import container
from geats_core.foreign.lxc_import import free_name, with_options
from geats_core.foreign.lxc_lines import OnHost
from geats_core.foreign.lxc_roots import build_of
from geats_core.foreign.notes import Imported, Note, Pillar, Plain, Taken
from geats_core.foreign.pillar_problems import problems_of_pillar
from geats_core.foreign.settings import NOTES, Settings, root_template
from geats_core.incus.devices import devices_of
from geats_core.incus.documents import Instance, read_documents
from geats_core.incus.options import carried, ids_on_disk
from geats_core.reading.checked import Problem
from geats_core.reading.fields import VM_NAME

FOLDER = "/var/lib/incus"  # where Incus keeps all; LXD has /var/lib/lxd, or a folder of its snap
RAW, IDS = "raw.lxc", "volatile.last_state.idmap"
OTHER_IDS = "cannot be read: stop the instance, and export it again"
COPY = "the new VM gets a copy: stop the old one before; a pool of zfs or lvm must be mounted"
MACHINE = (
    "is a virtual machine: its root.img or volume is a disk for templates, with the driver kvm"
)
POWER = {"Stopped": "stopped", "Frozen": "frozen"}
TRANSIENT = "deletes it once it is off, and geats deletes no VM by itself"


def import_incus(
    documents: Mapping[str, tuple[str, object]], folder: str = FOLDER, host: OnHost | None = None
) -> Imported:
    """The pillar for the instances in *documents*, each with the name of who says none.

    *folder* is where Incus has the files of its pools; *host* what lines of LXC name.
    """
    found = read_documents(documents)
    geats: Pillar = {"templates": {}, "vms": {}}
    notes: list[Note] = []
    problems = [*found.problems]
    sources: dict[str, None] = {}
    for instance in found.instances:
        if not instance.is_container:
            problems.append(Problem(instance.file, MACHINE))
            continue
        taken = Taken(instance.file)
        name = _name(taken, instance, geats["vms"])
        settings = Settings(taken, f"vms.{name}", dict(instance.config))
        vm, template, binds = _vm(settings, name, instance, folder, host or OnHost())
        geats["vms"][name] = vm
        geats["templates"] |= {root_template(name): template}
        sources |= dict.fromkeys(binds)
        notes += taken.notes
        problems += [Problem(f"vms.{name}", f"{at}: {why}") for at, why in settings.wrong]
    kept = with_options(geats, sources)
    wrong = (*problems, *problems_of_pillar(kept))
    return Imported(geats=kept, notes=tuple(notes), problems=wrong)


def texts_of_lxc(documents: Mapping[str, tuple[str, object]]) -> tuple[str, ...]:
    """What these instances say to LXC itself, which can name what a host has."""
    found = read_documents(documents).instances
    return tuple(each.config[RAW] for each in found if each.config.get(RAW))


def _vm(
    settings: Settings, name: str, instance: Instance, folder: str, host: OnHost
) -> tuple[Plain, Plain, list[str]]:
    vm: Plain = {"template": root_template(name)}
    if instance.description:
        settings.taken.left("description", NOTES)
    if instance.status in POWER:
        vm["power"] = POWER[instance.status]
        settings.taken.went("status", f"vms.{name}.power")
    if instance.ephemeral:
        settings.taken.left("ephemeral", TRANSIENT)
    sources = _lines(settings, vm, name, host)
    pool, binds = devices_of(settings, vm, instance.devices)
    template = _template(settings, name, instance, f"{folder}/storage-pools/{pool or 'default'}")
    carried(settings, vm)
    return vm, template, [*sources, *binds]


def _lines(settings: Settings, vm: Plain, name: str, host: OnHost) -> list[str]:
    """What lines of LXC say; all else of a container is Incus's own."""
    text = settings.get(RAW)
    if not text:
        return []
    made = container(settings.taken, name, text, host)
    settings.went(RAW, "", "line by line")
    settings.wrong += made.wrong
    vm |= {key: value for key, value in made.vm.items() if key not in ("privileged", "includes")}
    return [*made.sources]


def _template(settings: Settings, name: str, instance: Instance, pool: str) -> Plain:
    """The root filesystem, which the new VM gets a copy of, with the ids that the guest sees."""
    project = "" if instance.project == "default" else f"{instance.project}_"
    path = f"{pool}/containers/{project}{instance.name}/rootfs"
    ranges = ids_on_disk(settings.get(IDS))
    if ranges is None:
        settings.refuse(IDS, OTHER_IDS)
    to = f"templates.{root_template(name)}"
    if ranges:
        settings.taken.went("root", f"{to}.build", COPY)
        return {"build": {"command": [*build_of(path, ranges)]}}
    settings.taken.went("root", f"{to}.path", COPY)
    return {"path": path}


def _name(taken: Taken, instance: Instance, there: Plain) -> str:
    """Its own name, if a VM can have it."""
    name = free_name(instance.name if VM_NAME.fullmatch(instance.name) else "instance", there)
    if name != instance.name:
        taken.left("name", f"no VM can have it, or another has: this is vms.{name}")
    return name
