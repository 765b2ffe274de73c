"""Files of other programs, read from disk, and the pillar that they make."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import yaml

from geats_core.automation import ansible_import
from geats_core.automation.salt_import import import_salt_lxc
from geats_core.domains.domain_import import disks_of, import_libvirt
from geats_core.foreign.lxc_import import import_lxc
from geats_core.foreign.notes import Imported
from geats_core.incus import incus_import
from geats_core.proxmox import proxmox_import
from geats_core.proxmox.proxmox_import import import_proxmox
from geats_core.proxmox.storages import read_storages
from geats_core.reading.checked import Problem, Problems, problem_to_plain
from geats_host.inputs.disk_sizes import disk_sizes
from geats_host.inputs.lxc_includes import on_host
from geats_host.inputs.text_files import read_each, read_text
from geats_host.inputs.yaml_text import WrongYaml, read_yaml

STORAGE_CFG = "/etc/pve/storage.cfg"
# What counts in a directory. Below a container is all that its guest has.
OF_LXC = ("config", "*/config")
OF_LIBVIRT = ("*.xml",)
OF_PROXMOX = ("*.conf", "lxc/*.conf", "qemu-server/*.conf")
OF_INCUS = ("*.json", "*.yaml", "*.yml")
OF_SALT = ("**/*.sls", "**/*.yaml", "**/*.yml", "**/*.conf", "**/*.map")
OF_ANSIBLE = ("**/*.yml", "**/*.yaml")
JINJA = "; it needs rendering, as it has variables"


def imported_lxc(files: Iterable[str]) -> Imported:
    """The pillar out of containers of LXC: each file is the ``config`` of one.

    It has the name of its directory; or its own, if that is not ``config``.
    """
    texts, wrong = read_each(files, OF_LXC)
    configs = {file: (_container_name(file), text) for file, text in texts.items()}
    return _beside(import_lxc(configs, on_host(texts.values())), wrong)


def imported_libvirt(files: Iterable[str]) -> Imported:
    """The pillar out of domains of libvirt: each file is the XML of one."""
    texts, wrong = read_each(files, OF_LIBVIRT)
    disks = (disk for file, text in texts.items() for disk in disks_of(file, text))
    return _beside(import_libvirt(texts, disk_sizes(disks)), wrong)


def imported_proxmox(files: Iterable[str], storage_cfg: str | None = None) -> Imported:
    """The pillar out of guests of Proxmox: each file is the ``.conf`` of one, by its number.

    *storage_cfg* says where disks are; without it, that of this host, if it has one. Raises
    ``Refused`` if that cannot be read.
    """
    if storage_cfg is None and Path(STORAGE_CFG).exists():
        storage_cfg = STORAGE_CFG
    storages = read_storages(read_text(storage_cfg) if storage_cfg else "")
    texts, wrong = read_each(files, OF_PROXMOX)
    guests = {file: (Path(file).stem, text) for file, text in texts.items()}
    made = import_proxmox(guests, storages, on_host(proxmox_import.texts_of_lxc(guests)))
    return _beside(made, wrong)


def imported_incus(files: Iterable[str], folder: str | None = None) -> Imported:
    """The pillar out of instances of Incus or LXD, whose files are below *folder*."""
    parsed, wrong = _parsed(files, OF_INCUS)
    documents = {file: (Path(file).stem, raw) for file, raw in parsed.items()}
    host = on_host(incus_import.texts_of_lxc(documents))
    made = incus_import.import_incus(documents, folder or incus_import.FOLDER, host)
    return _beside(made, wrong)


def imported_salt_lxc(files: Iterable[str]) -> Imported:
    """The pillar out of pillars, states and cloud maps for the ``lxc`` of Salt 3006."""
    documents, wrong = _parsed(files, OF_SALT)
    return _beside(import_salt_lxc(documents), wrong)


def imported_ansible(files: Iterable[str]) -> Imported:
    """The pillar out of plays and tasks of Ansible."""
    documents, wrong = _parsed(files, OF_ANSIBLE)
    host = on_host(ansible_import.texts_of_lxc(documents))
    return _beside(ansible_import.import_ansible(documents, host), wrong)


def _parsed(files: Iterable[str], patterns: Iterable[str]) -> tuple[dict[str, object], Problems]:
    """What is in files of YAML or JSON, and what is wrong with others."""
    texts, wrong = read_each(files, patterns)
    parsed: dict[str, object] = {}
    for file, text in texts.items():
        try:
            parsed[file] = _read(text)
        except WrongYaml as error:
            rendered = JINJA if any(mark in text for mark in ("{{", "{%")) else ""
            wrong += (Problem(file, f"cannot be read: {error}{rendered}"),)
    return parsed, wrong


def _read(text: str) -> object:
    """JSON is YAML as well, and quicker to read."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return read_yaml(text)


def _beside(made: Imported, wrong: Problems) -> Imported:
    return replace(made, problems=(*wrong, *made.problems))


def _container_name(file: str) -> str:
    path = Path(file).absolute()
    return path.parent.name if path.name == "config" else path.stem


def report(made: Imported) -> dict[str, object]:
    """The same as plain data: ``pillar``, what was ``carried`` and ``left``, ``problems``."""
    carried = [
        {"file": note.file, "key": note.key, "to": note.to, "note": note.why}
        for note in made.notes
        if note.to
    ]
    left = [
        {"file": note.file, "key": note.key, "reason": note.why}
        for note in made.notes
        if not note.to
    ]
    pillar = {"geats": made.geats}
    problems = list(map(problem_to_plain, made.problems))
    return {"pillar": pillar, "carried": carried, "left": left, "problems": problems}


def as_file(made: Imported) -> str:
    """The same as a YAML file, with the notes as comments."""
    text = yaml.safe_dump({"geats": made.geats}, sort_keys=False, allow_unicode=True)
    lines = [
        f"{note.file}: {note.key}: {f'is {note.to}' if note.to else 'left out'}"
        + (f": {note.why}" if note.why else "")
        for note in made.notes
    ]
    wrong = [f"still wrong: {problem}" for problem in made.problems]
    return text + "".join(f"# {_one_line(line)}\n" for line in [*lines, *wrong])


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
