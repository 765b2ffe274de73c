"""The pillar out of the ``config`` files of LXC containers that something else made.

Keys are those of lxc.container.conf(5), and of LXC 2, which had other names for some. As with the
first geats, each line leaves a note: where it went, or why it went nowhere. What a config includes
counts as well: of that, only what went somewhere is noted, and the rest stays with the include.
"""

import re
from collections.abc import Collection, Iterable, Mapping

from geats_core.containers.hooks import HookKind
from geats_core.foreign.lxc_container import Container, container
from geats_core.foreign.lxc_lines import OnHost, is_of_lxc
from geats_core.foreign.notes import Imported, Note, Pillar, Plain, Taken
from geats_core.foreign.pillar_problems import problems_of_pillar
from geats_core.foreign.settings import root_template
from geats_core.reading.checked import Problem


def import_lxc(configs: Mapping[str, tuple[str, str]], host: OnHost | None = None) -> Imported:
    """The pillar for containers, by their files: each a name, and the text of its ``config``."""
    geats: Pillar = {"templates": {}, "vms": {}}
    notes: list[Note] = []
    sources: dict[str, None] = {}
    problems: list[Problem] = []
    for file, (name, text) in configs.items():
        if not is_of_lxc(text):
            problems.append(Problem(file, f"is no config of LXC: {_what_it_is(text)}"))
            continue
        taken, called = Taken(file), free_name(name, geats["vms"])
        if called != name:
            taken.left(f"name {name}", f"another file has it as well: this is vms.{called}")
        made = container(taken, called, text, host or OnHost())
        noted = {note.key for note in taken.notes}
        for key, why in made.told:
            if key not in noted:
                taken.left(key, f"is missing: {why}")
        source = source_of(made)
        template = {"template": root_template(called)} if source else {}
        geats["vms"][called] = {**made.vm, **template}
        geats["templates"] |= dict.fromkeys(template.values(), source)
        sources |= dict.fromkeys(made.sources)
        notes += taken.notes
        problems += [Problem(f"vms.{called}", f"{key}: {why}") for key, why in made.wrong]
    kept = with_options(geats, sources)
    wrong = (*problems, *problems_of_pillar(kept))
    return Imported(geats=kept, notes=tuple(notes), problems=wrong)


def with_options(geats: Pillar, bind_sources: Iterable[str]) -> Plain:
    """What is not empty of *geats*, with the options of a host that let its VMs be as they are."""
    kept: Plain = {key: value for key, value in geats.items() if value}
    if sources := [*bind_sources]:
        kept["bind_sources"] = sources
    return kept | _options_for(geats["vms"])


def _options_for(vms: Plain) -> Plain:
    """The options of a host that let *vms* have their devices, hooks and its network."""
    specs = [vm for vm in vms.values() if isinstance(vm, dict)]
    devices = [each["source"] for vm in specs for each in vm.get("devices", {}).values()]
    programs = [
        hook
        for vm in specs
        for kind, each in vm.get("hooks", {}).items()
        if kind != HookKind.START  # which is in the guest
        for hook in each
    ]
    folders = [program.rpartition("/")[0] for program in programs]
    found = {"device_sources": devices, "hook_directories": folders}
    options: Plain = {key: [*dict.fromkeys(each)] for key, each in found.items() if each}
    shares = any(vm.get("host_network") for vm in specs)
    return options | ({"policy": {"host_network": True}} if shares else {})


def source_of(made: Container) -> Plain:
    """What the template of a new VM is made of; nothing if the root filesystem cannot be it."""
    if made.build:
        return {"build": {"command": [*made.build]}}
    return {"path": made.template} if made.template else {}


def free_name(name: str, there: Collection[object]) -> str:
    """*name*, or that with a number if it is there already; quick also among thousands."""
    if name not in there:
        return name
    taken, free = 1, 2
    while f"{name}-{free}" in there:
        taken, free = free, free * 2
    while free - taken > 1:
        middle = (taken + free) // 2
        if f"{name}-{middle}" in there:
            taken = middle
        else:
            free = middle
    return f"{name}-{free}"


def _what_it_is(text: str) -> str:
    """In words, for the user who gave the wrong file."""
    if re.search(r"^(rootfs|arch|ostype|net0): ", text, re.M):
        return "it is one of Proxmox: import-proxmox reads it"
    return "it has no line with a key that begins with lxc."
