"""The pillar as it grows out of the files of the first geats: what is at one place is one thing."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from geats_core.foreign.lxc_import import free_name
from geats_core.foreign.notes import Pillar, Plain
from geats_core.vm.mounts import DEFAULT_POOL

DEFAULT_POOL_PATH = "/var/lib/geats/volumes"
NOT_FOR_NAMES = re.compile(r"[^a-z0-9-]+")


@dataclass(slots=True)
class NewHost:
    """What is declared so far. ``there`` are paths that the host has (see ``looked_for``)."""

    there: frozenset[str] = frozenset()
    drivers: Plain = field(default_factory=dict)
    pools: Plain = field(default_factory=dict)
    templates: Plain = field(default_factory=dict)
    vms: Plain = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)

    def has(self, path: str) -> bool:
        """Whether a path is there; that it was asked for is remembered."""
        self.asked.add(path)
        return path in self.there

    def driver(self, name: str, path: str | None) -> str:
        """Declare a driver; the answer is its name, or that of the one with the same *path*."""
        kind = {} if name == "lxc" else {"type": "lxc"}
        return _placed(self.drivers, name, {**kind, **({"path": path} if path else {})})

    def pool(self, name: str, declared: Plain) -> str:
        """Declare a pool; the answer is its name, or that of the one at the same place."""
        return _placed(self.pools, name, declared)

    def template(self, folder: str, name: str) -> str:
        """Declare a template as the first geats found it; the answer is its name."""
        declared: Plain = {"path": f"{folder}/{name}.tar.gz"}
        overlay = overlay_of(folder, name)
        if self.has(overlay):
            declared["overlay"] = overlay
        return _placed(self.templates, named(name), declared)

    def no_template(self) -> str:
        """Declare that nothing is put on a root; the answer is the name of that."""
        return _placed(self.templates, "empty", {"empty": "tree"})

    def pillar(self) -> Pillar:
        """All of it that is not empty."""
        if self.pools:  # else geats has this one by itself
            self.pools.setdefault(DEFAULT_POOL, {"type": "directory", "path": DEFAULT_POOL_PATH})
        made = {
            "drivers": self.drivers,
            "pools": self.pools,
            "templates": self.templates,
            "vms": self.vms,
        }
        return {key: value for key, value in made.items() if value}


def named(text: str) -> str:
    """A name of geats that is as close to *text* as can be."""
    return NOT_FOR_NAMES.sub("-", text.lower()).strip("-")[:63]


def overlay_of(folder: str, name: str) -> str:
    """Where the overlay of a template was, if it had one."""
    return f"{folder}/overlay/{name}.tar.gz"


def beside(directory: str) -> Plain:
    """A pool beside a *directory*: what is there stays as it is."""
    return {"type": "directory", "path": f"{directory.rstrip('/')}-geats"}


def _placed(section: Plain, name: str, declared: Plain) -> str:
    """Declare it, unless one at the same place is there; the answer is the name of either."""
    path = _path(declared)
    same = [each for each, other in section.items() if path and _path(other) == path]
    if same:
        return same[0]
    called = name if section.get(name) == declared else free_name(name, section)
    section[called] = declared
    return called


def _path(declared: object) -> object:
    """Where it is: the path of the pool below, for an adapter."""
    if not isinstance(declared, Mapping):
        return None
    return declared.get("path") or _path(declared.get("on"))
