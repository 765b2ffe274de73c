"""Where the volumes of Proxmox are: ``storage.cfg``, and paths out of what a guest says."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

HEAD = re.compile(r"([a-z0-9]+):\s*(\S{1,100})\s*")
LONGEST = 1 << 20  # characters
MOUNTED = ("nfs", "cifs", "glusterfs", "cephfs")  # which Proxmox mounts below /mnt/pve
FORMATS = {".qcow2": "qcow2", ".raw": "raw", ".vmdk": "vmdk"}
LINKED = "is a linked clone, whose other part is a template: make a full clone of it first"
OWN: Mapping[str, str] = {"iso": "template/iso", "vztmpl": "template/cache", "snippets": "snippets"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A volume on this host. ``wrong`` says why it has no path; then ``path`` is empty."""

    path: str = ""
    format: str = "raw"
    wrong: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """One storage: its type, and its options."""

    kind: str
    options: Mapping[str, str]


Storages = Mapping[str, Storage]
# Proxmox has this one, though no file says so.
ALWAYS: Storages = MappingProxyType({"local": Storage(kind="dir", options={"path": "/var/lib/vz"})})


def read_storages(text: str) -> Storages:
    """The storages in the text of a ``storage.cfg``; a line that is none is passed over."""
    found: dict[str, dict[str, str]] = {}
    kinds: dict[str, str] = {}
    name = ""
    for line in text[:LONGEST].split("\n"):
        if head := HEAD.fullmatch(line):
            name = head[2]
            kinds[name], found[name] = head[1], {}
        elif name and line[:1] in (" ", "\t") and line.strip():
            key, _, value = line.strip().partition(" ")
            found[name][key] = value.strip()
    return {
        **ALWAYS,
        **{each: Storage(kind=kinds[each], options=options) for each, options in found.items()},
    }


def find(volume: str, storages: Storages, form: str = "") -> Found:
    """Where ``STORAGE:VOLUME``, or a path, is; *form* is its format, if the guest says it."""
    if volume.startswith("/"):
        return Found(path=volume, format=form or _format(volume))
    name, colon, rest = volume.partition(":")
    storage = storages.get(name)
    if not colon or storage is None:
        return Found(wrong="names a storage that storage.cfg does not have")
    if not rest or ".." in rest.split("/"):
        return Found(wrong="is no volume of a storage")
    folder = _folder(name, storage)
    if folder:
        return _file(folder, rest, form, storage.kind)
    block = _device(storage, rest.rpartition("/")[2])
    if not block:
        return Found(wrong=f"is on a storage of the type {storage.kind}: copy it to a file first")
    return Found(path=block)


def _folder(name: str, storage: Storage) -> str:
    path = storage.options.get("path", "")
    if storage.kind in MOUNTED:
        path = path or f"/mnt/pve/{name}"
    return path if path.startswith("/") else ""


def _file(folder: str, volume: str, form: str, kind: str) -> Found:
    """Images of guests are in directories of their own; ISOs and the like by what they are."""
    of, slash, name = volume.partition("/")
    if slash and of in OWN:
        return Found(path=f"{folder}/{OWN[of]}/{name}")
    guest, _, image = volume.rpartition("/")
    if "/base-" in f"/{guest}":
        return Found(wrong=LINKED)
    path = f"{folder}/images/{guest.rpartition('/')[2]}/{image}"
    if kind == "btrfs" and image.endswith(".raw"):
        path = f"{path.removesuffix('.raw')}/disk.raw"
    return Found(path=path, format=form or _format(image))


def _format(name: str) -> str:
    return FORMATS.get(name[name.rfind(".") :] if "." in name else "", "raw")


def _device(storage: Storage, volume: str) -> str:
    match storage.kind:
        case "lvm" | "lvmthin":
            group = storage.options.get("vgname", "")
            return f"/dev/{group}/{volume}" if group else ""
        case "zfspool":
            pool = storage.options.get("pool", "")
            return f"/dev/zvol/{pool}/{volume}" if pool else ""
        case _:
            return ""
