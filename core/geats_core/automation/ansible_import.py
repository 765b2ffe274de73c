"""The pillar out of plays and tasks of Ansible that use ``lxc_container``."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from geats_core.automation.arguments import (
    NO_IMAGE,
    POOLED,
    Arguments,
    image_of,
    is_rendered,
    options_of,
    size,
)
from geats_core.foreign.lxc_container import container
from geats_core.foreign.lxc_import import free_name, with_options
from geats_core.foreign.lxc_lines import OnHost
from geats_core.foreign.notes import Imported, Note, Pillar, Plain, Taken
from geats_core.foreign.pillar_problems import problems_of_pillar
from geats_core.foreign.settings import root_template, text_of
from geats_core.reading.checked import Problem
from geats_core.reading.fields import VM_NAME, printable
from geats_core.vm.spec import ROOT

MODULES = ("community.general.lxc_container", "lxc_container")
BLOCKS = ("tasks", "pre_tasks", "post_tasks", "handlers", "block", "rescue", "always")
DEEPEST = 8
LOOPS = ("loop", "with_items", "with_dict", "with_list", "with_sequence")
UNRENDERED = (
    "needs rendering: {at} has variables or a loop. Say them in full, as"
    " 'ansible-playbook --check -vv' shows the arguments of each"
)
POWER = {
    "absent": "the container is not wanted: it becomes no VM",
    "clone": "is a copy of another: declare each VM, with the template that it is made of",
}
STATES = "VMs run unless power says otherwise"
REASONS: Mapping[str, str] = {
    "archive": "geats export makes archives",
    "archive_compression": "geats export makes archives",
    "archive_path": "geats export makes archives",
    "backing_store": POOLED,
    "config": "lines that are in that file: geats import-lxc reads it",
    "container_command": "geats exec runs programs in guests",
    "container_log": "geats shows the log of a start that failed",
    "container_log_level": "geats shows the log of a start that failed",
    "directory": POOLED,
    "fs_type": POOLED,
    "lv_name": "geats names its volumes",
    "lxc_path": "is the path of the driver lxc",
    "state": STATES,
    "thinpool": POOLED,
    "vg_name": POOLED,
    "zfs_root": POOLED,
}


NOT_SAID: Mapping[str, str] = {
    "nics": "are missing: those of /etc/lxc/default.conf are no part of the task",
    "idmap": "is missing: the new VM is unprivileged, and has ids of the host's own range",
}


def import_ansible(documents: Mapping[str, object], host: OnHost | None = None) -> Imported:
    """The pillar for the containers in *documents*, which are plays or tasks."""
    made = _Made(host or OnHost())
    for file, raw in documents.items():
        found = [*_tasks(raw, "")]
        if not found:
            made.problems.append(Problem(file, f"has no task of {MODULES[0]}"))
        for task in found:
            if not is_rendered(task.arguments) or task.loops:
                made.problems.append(Problem(file, UNRENDERED.format(at=task.at)))
                continue
            said = text_of(task.arguments.get("name"))
            taken = Taken(f"{file}: {printable(said) if said else task.at}")
            if why := POWER.get(text_of(task.arguments.get("state"))):
                taken.left("state", why)
            else:
                made.add(taken, task.arguments)
            made.notes += taken.notes
    kept = with_options(made.geats, made.sources)
    wrong = (*made.problems, *problems_of_pillar(kept))
    return Imported(geats=kept, notes=tuple(made.notes), problems=wrong)


def texts_of_lxc(documents: Mapping[str, object]) -> tuple[str, ...]:
    """What these tasks say to LXC itself, which can name what a host has."""
    found = [task for raw in documents.values() for task in _tasks(raw, "")]
    return tuple(_lines(task.arguments.get("container_config")) for task in found)


@dataclass(frozen=True, slots=True)
class _Task:
    """A task about a container: where it is, and whether it is done for each of several things."""

    at: str
    arguments: Mapping[object, object]
    loops: bool


def _tasks(raw: object, at: str, depth: int = DEEPEST) -> Iterator[_Task]:
    """Each task that is about a container, in plays and blocks as well."""
    if isinstance(raw, list) and depth:
        for number, each in enumerate(raw):
            yield from _tasks(each, f"{at}[{number}]", depth - 1)
    if not isinstance(raw, Mapping) or not depth:
        return
    for block in BLOCKS:
        yield from _tasks(raw.get(block), f"{at}.{block}".lstrip("."), depth - 1)
    for module in MODULES:
        said, more = raw.get(module), raw.get("args")
        if isinstance(said, str):  # name=web01 state=started
            pairs = (each.partition("=") for each in _words(said))
            said = {key: value for key, _, value in pairs}
        if isinstance(said, Mapping):
            arguments = {**said, **(more if isinstance(more, Mapping) else {})}
            yield _Task(at, arguments, any(key in raw for key in LOOPS))


def _words(text: str) -> list[str]:
    """Arguments in one line, of which some are in quotes."""
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


@dataclass(slots=True)
class _Made:
    """What the tasks came to so far."""

    host: OnHost
    geats: Pillar = field(default_factory=lambda: {"templates": {}, "vms": {}})
    notes: list[Note] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    sources: dict[str, None] = field(default_factory=dict)

    def add(self, taken: Taken, raw: Mapping[object, object]) -> None:
        """One container becomes a VM, and a template if an image is known for it."""
        said = text_of(raw.get("name"))
        name = free_name(said if VM_NAME.fullmatch(said) else "container", self.geats["vms"])
        arguments = Arguments.of(taken, f"vms.{name}", raw)
        settings = arguments.settings
        arguments.went("name", "", "" if name == said else "no VM can have it, or another has")
        vm = self._lines(arguments, name)
        if text := size(settings.get("fs_size")):
            vm["volumes"] = [{"name": ROOT, "size": text}]
            arguments.went("fs_size", "volumes[root].size")
        options = options_of(settings.get("template_options"))
        if image := image_of(settings.get("template"), options):
            self.geats["templates"][root_template(name)] = image
            settings.went("template", f"templates.{root_template(name)}")
            settings.went("template_options", f"templates.{root_template(name)}")
        else:
            settings.wrong.append(("template", NO_IMAGE))
            for key in ("template", "template_options"):
                arguments.left(key, NO_IMAGE)
        if (state := settings.get("state")) in ("stopped", "frozen"):
            vm["power"] = state
            settings.went("state", "power")
        arguments.rest(REASONS)
        self.geats["vms"][name] = {**vm, "template": root_template(name)}
        self.problems += [Problem(f"vms.{name}", f"{at}: {why}") for at, why in settings.wrong]

    def _lines(self, arguments: Arguments, name: str) -> Plain:
        """The lines of LXC's own; what a script of LXC adds to them is not known."""
        key = "container_config"
        text = _lines(arguments.others.get(key, arguments.settings.get(key)))
        made = container(arguments.settings.taken, name, text, self.host)
        arguments.went(key, "", "line by line")
        arguments.settings.wrong += made.wrong
        self.sources |= dict.fromkeys(made.sources)
        vm = {key: value for key, value in made.vm.items() if key not in ("includes", "privileged")}
        for missing, why in NOT_SAID.items():
            if missing not in vm:
                arguments.settings.taken.left(missing, why)
        return vm


def _lines(raw: object) -> str:
    """``container_config`` is a list of lines, or of mappings, or a mapping, or text."""
    match raw:
        case str():
            lines = raw.splitlines()
        case Mapping():
            lines = [f"{text_of(key)} = {text_of(value)}" for key, value in raw.items()]
        case list():
            lines = [_lines(each) if isinstance(each, Mapping) else text_of(each) for each in raw]
        case _:
            lines = []
    return "".join(f"{line.rstrip()}\n" for line in lines)
