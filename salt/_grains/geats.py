"""
Grains that say which geats this host has, for targeting: ``salt -G 'geats:drivers:lxc' ...``.

Grains are loaded whenever a minion starts. So they do not look at the host itself, and leave out
what is wrong with the configuration: ``geats.doctor`` and ``geats.validate`` report that.
"""

import collections
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geats_host.plugins.installed import own_version

if TYPE_CHECKING:  # Salt's loader injects it
    __opts__: dict[str, Any]

DEFAULT_FILE = Path("/etc/geats/geats.yaml")


def geats():
    """
    The versions of geats and liblxc, the drivers, the pools with the plugins of each, and the
    labels of the VMs that are declared, each with all its values.

    Drivers and pools are included when the minion has its pillar: see ``saltutil.refresh_grains``.
    If the pillar failed to render, only the version is included.

    CLI Example:

    .. code-block:: bash

        salt '*' grains.get geats
        salt -G 'geats:labels:owner:ada' geats.list label=owner=ada
    """
    if "_errors" in _mapping(__opts__.get("pillar")):
        return {"geats": {"version": own_version()}}
    said = _said()
    drivers = {
        name: _mapping(options).get("type", name)
        for name, options in _mapping(said.get("drivers")).items()
        if isinstance(name, str)
    } or {"lxc": "lxc"}
    pools = _mapping(said.get("pools")) or {"default": {"type": "directory"}}
    return {
        "geats": {
            "version": own_version(),
            "drivers": list(drivers),
            "pools": {str(name): " on ".join(_types(layer)) for name, layer in pools.items()},
            **({"labels": labels} if (labels := _labels(said)) else {}),
            **({"liblxc": _liblxc()} if "lxc" in drivers.values() else {}),
        }
    }


def _said():
    """What the configuration says, as far as it is a mapping."""
    pillar = _mapping(__opts__.get("pillar"))
    own = __opts__.get("geats")
    own = _mapping(_of_file(Path(own)) if isinstance(own, str) else own)
    sources = [own, _mapping(pillar.get("geats"))]
    if not any(sources) and DEFAULT_FILE.exists():
        return _mapping(_of_file(DEFAULT_FILE))
    return {key: value for source in sources for key, value in source.items()}


def _of_file(file):
    # Not at the top: it takes longer than all other grains of ours, and few minions need it.
    from geats_host import errors
    from geats_host.inputs import configuration

    try:
        return configuration.from_file(file)
    except errors.Refused:
        return {}


def _labels(said):
    """By the name of each label, the values that it has in descriptions of VMs."""
    profiles, found = _mapping(said.get("profiles")), collections.defaultdict(set)
    for vm in _mapping(said.get("vms")).values():
        names = _mapping(vm).get("profile")
        sources = [profiles.get(each) for each in (names if isinstance(names, list) else [names])]
        labels = collections.ChainMap(*(_labels_of(each) for each in [vm, *reversed(sources)]))
        for name, value in labels.items():
            found[str(name)].add(str(value))
    return {name: sorted(values) for name, values in sorted(found.items())}


def _labels_of(source):
    return _mapping(_mapping(source).get("labels"))


def _liblxc():
    """None if LXC is missing. The binding is that of another Python on many hosts."""
    try:
        said = subprocess.run(
            ["lxc-start", "--version"], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return said.stdout.strip() or None


def _types(layer):
    while isinstance(layer, dict):
        yield str(layer.get("type"))
        layer = layer.get("on", layer.get(True))  # for YAML 1.1 the key is a boolean


def _mapping(value):
    return value if isinstance(value, dict) else {}
