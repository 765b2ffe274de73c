"""Files of other programs, read from disk, and the pillar that they make."""

from collections.abc import Iterable
from pathlib import Path

import yaml

from geats_core.domains.domain_import import disks_of, import_libvirt
from geats_core.foreign.legacy_notes import Imported
from geats_core.foreign.lxc_import import import_lxc
from geats_core.proxmox.proxmox_import import import_proxmox, texts_of_lxc
from geats_core.proxmox.storages import read_storages
from geats_core.reading.checked import problem_to_plain
from geats_host.inputs.disk_sizes import disk_sizes
from geats_host.inputs.lxc_includes import on_host
from geats_host.inputs.text_files import read_texts

STORAGE_CFG = "/etc/pve/storage.cfg"


def imported_lxc(files: Iterable[str]) -> Imported:
    """The pillar out of containers of LXC: each file is the ``config`` of one.

    It has the name of its directory; or its own, if that is not ``config``.

    Raises ``Refused`` with every file that cannot be read.
    """
    texts = read_texts(files)
    configs = {file: (_container_name(file), text) for file, text in texts.items()}
    return import_lxc(configs, on_host(texts.values()))


def imported_libvirt(files: Iterable[str]) -> Imported:
    """The pillar out of domains of libvirt: each file is the XML of one.

    Raises ``Refused`` with every file that cannot be read.
    """
    texts = read_texts(files)
    disks = (disk for file, text in texts.items() for disk in disks_of(file, text))
    return import_libvirt(texts, disk_sizes(disks))


def imported_proxmox(files: Iterable[str], storage_cfg: str | None = None) -> Imported:
    """The pillar out of guests of Proxmox: each file is the ``.conf`` of one, by its number.

    *storage_cfg* says where disks are; without it, that of this host, if it has one.

    Raises ``Refused`` with every file that cannot be read.
    """
    if storage_cfg is None and Path(STORAGE_CFG).exists():
        storage_cfg = STORAGE_CFG
    texts = read_texts([*files, *([storage_cfg] if storage_cfg else [])])
    storages = read_storages(texts.pop(storage_cfg) if storage_cfg else "")
    guests = {file: (Path(file).stem, text) for file, text in texts.items()}
    return import_proxmox(guests, storages, on_host(texts_of_lxc(guests)))


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
