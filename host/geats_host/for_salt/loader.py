"""Tell Salt where this distribution keeps its modules (the ``salt.loader`` entry point)."""

from importlib import import_module
from types import MappingProxyType

# Where each kind is. What stands in for `modules` where a resource is the target, Salt looks for in
# `resources/TYPE/modules` beside it: hence the name of that package, and the link in a checkout.
PACKAGES = MappingProxyType(
    {
        "beacons": "geats_salt._beacons",
        "grains": "geats_salt._grains",
        "modules": "geats_salt._modules",
        "resources": "geats_salt.resources",
        "runners": "geats_salt._runners",
        "states": "geats_salt._states",
    }
)


def module_dirs() -> dict[str, list[str]]:
    """Map the loader's names for kinds of modules to our directories."""
    return {kind: list(import_module(package).__path__) for kind, package in PACKAGES.items()}
