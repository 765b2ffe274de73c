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

DISTRIBUTION = "saltext-geats"  # what is called geats on PyPI is another project
OURS = "*geats-*-info"  # .dist-info or .egg-info
DECLARED = "entry_points.txt"


def entry_points(group: str) -> Mapping[str, str]:
    """The entry points of all installed packages in a *group*: ``module:attribute`` by name."""
    from importlib.metadata import entry_points as declared

    return {each.name: each.value for each in declared(group=group)}


def own_entry_points(group: str) -> Mapping[str, str]:
    """Those of geats itself; empty if it is installed in some way that has no such file."""
    return _own().get(group, {})


def own_version() -> str:
    """The version of geats that is installed."""
    if (folder := _folder()) is not None:
        return folder.stem.split("-")[1]
    from importlib.metadata import version

    return version(DISTRIBUTION)


def load(value: str) -> Any:
    """What an entry point stands for."""
    module, _, attributes = value.partition(":")
    found: Any = import_module(module)
    for each in attributes.split("."):
        found = getattr(found, each)
    return found


@cache
def _own() -> Mapping[str, Mapping[str, str]]:
    folder = _folder()
    return {} if folder is None else _groups((folder / DECLARED).read_text())


@cache
def _folder() -> Path | None:
    """The folder in which pip keeps what it knows of geats."""
    found = (folder for place in sys.path for folder in Path(place).glob(OURS))
    return next((folder for folder in found if (folder / DECLARED).exists()), None)


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
