"""What installed packages declare as entry points.

Our own are read from the file in which pip keeps them: ``importlib.metadata`` takes as long to load
as Python takes to start. It is asked only for names that are not ours.
"""

import sys
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

OURS = "geats-*-info/entry_points.txt"  # .dist-info or .egg-info


def entry_points(group: str) -> Mapping[str, str]:
    """The entry points of all installed packages in a *group*: ``module:attribute`` by name."""
    from importlib.metadata import entry_points as declared

    return {each.name: each.value for each in declared(group=group)}


def own_entry_points(group: str) -> Mapping[str, str]:
    """Those of geats itself; empty if it is installed in some way that has no such file."""
    return _own().get(group, {})


def load(value: str) -> Any:
    """What an entry point stands for."""
    module, _, attributes = value.partition(":")
    found: Any = import_module(module)
    for each in attributes.split("."):
        found = getattr(found, each)
    return found


@cache
def _own() -> Mapping[str, Mapping[str, str]]:
    file = next((file for place in sys.path for file in Path(place).glob(OURS)), None)
    return {} if file is None else _groups(file.read_text())


def _groups(text: str) -> Mapping[str, Mapping[str, str]]:
    """The entry points by group and name, from lines such as ``[group]`` and ``name = value``."""
    groups: dict[str, dict[str, str]] = {}
    group = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            group = line.strip("[]")
        elif name := line.partition("=")[0].strip():
            groups.setdefault(group, {})[name] = line.partition("=")[2].strip()
    return groups
