"""The pillar out of guests of Proxmox VE: containers and virtual machines."""

from collections.abc import Mapping

from returns.result import Failure, Success

from geats_core.domains.domain_import import problems_of_machines
from geats_core.foreign.lxc_import import free_name, with_options
from geats_core.foreign.lxc_lines import OnHost
from geats_core.foreign.notes import Imported, Note, Pillar, Plain, Taken
from geats_core.foreign.pillar_problems import problems_of_pillar
from geats_core.foreign.settings import Settings, root_template
from geats_core.proxmox.conf import Conf, read_conf
from geats_core.proxmox.containers import container_of, lxc_text
from geats_core.proxmox.machines import machine
from geats_core.proxmox.settings import settings_of
from geats_core.proxmox.storages import ALWAYS, Storages
from geats_core.reading.checked import Problem
from geats_core.reading.fields import VM_NAME


def import_proxmox(
    files: Mapping[str, tuple[str, str]],
    storages: Storages = ALWAYS,
    host: OnHost | None = None,
) -> Imported:
    """The pillar for the guests in *files*, by their numbers and the texts of their files."""
    geats: Pillar = {"templates": {}, "vms": {}}
    notes: list[Note] = []
    problems: list[Problem] = []
    sources: dict[str, None] = {}
    for file, (number, text) in files.items():
        match read_conf(file, text):
            case Success(conf):
                taken = Taken(file)
                name = _name(conf, number, geats["vms"])
                settings = settings_of(taken, name, conf)
                vm, template, binds = _guest(settings, name, number, conf, storages, host)
                geats["vms"][name] = vm
                geats["templates"] |= {root_template(name): template} if template else {}
                sources |= dict.fromkeys(binds)
                notes += taken.notes
                problems += [Problem(f"vms.{name}", f"{at}: {why}") for at, why in settings.wrong]
            case Failure(found):
                problems += found
    kept = with_options(geats, sources)
    wrong = problems_of_pillar(kept) or problems_of_machines(geats["vms"])
    return Imported(geats=kept, notes=tuple(notes), problems=(*problems, *wrong))


def texts_of_lxc(files: Mapping[str, tuple[str, str]]) -> tuple[str, ...]:
    """What these guests say to LXC itself, which can name what a host has."""
    found = (read_conf(file, text) for file, (_, text) in files.items())
    return tuple(text for each in found if (text := each.map(lxc_text).value_or("")))


def _guest(
    settings: Settings,
    name: str,
    number: str,
    conf: Conf,
    storages: Storages,
    host: OnHost | None,
) -> tuple[Plain, Plain, list[str]]:
    if conf.is_container:
        return container_of(settings, name, number, conf, host or OnHost())
    for key, _ in conf.lxc:
        settings.taken.left(key, "is a line of LXC, in a virtual machine")
    settings.went(
        "name", "", "" if settings.get("name") == name else "no VM can have it, or another has"
    )
    return *machine(settings, name, storages), []


def _name(conf: Conf, number: str, there: Plain) -> str:
    """What people call the guest, if a VM can have that name, or else its number."""
    named = conf.settings.get("hostname" if conf.is_container else "name", "")
    return free_name(named if VM_NAME.fullmatch(named) else f"vm-{number}", there)
