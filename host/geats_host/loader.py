"""Tell Salt where this distribution keeps its modules (the ``salt.loader`` entry point)."""

from importlib import import_module

KINDS = ("beacons", "grains", "modules", "runners", "states")


def module_dirs() -> dict[str, list[str]]:
    """Map the loader's names for kinds of modules to our directories."""
    return {kind: list(import_module(f"geats_salt._{kind}").__path__) for kind in KINDS}
