"""The rooms of the two packages stand in an order, and an import only goes down it.

The order is written here, lowest first. ``docs/house.md`` draws it, and says where a new thing
goes.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).parents[1]
# A room is a folder, or a module of the package itself. Each may import those before it.
ORDERS = {
    "geats_core": (
        *(
            "reading",
            "requests",
            "containers",
            "guests",
            "vm",
            "declared",
            "foreign",
            "oci",
            "first_geats",
        ),
        *("planning", "deciding", "domains", "proxmox", "incus", "automation"),
        *("hostwide", "plans", "jobs", "adopting", "fleet"),
        *("actions", "spec", "everyday", "on_demand", ""),  # the names that programs import
    ),
    "geats_host": (
        *(
            "",
            "errors",
            "lazy",
            "leftovers",
            "linux",
            "streams",
            "inputs",
            "locks",
            "guest_trees",
            "registry",
        ),
        *("step_listeners", "storage", "drivers", "drivers/lxc/kernel", "drivers/lxc/scripts"),
        "drivers/lxc",
        *("drivers/libvirt/scripts", "drivers/libvirt/guests", "drivers/libvirt", "testing"),
        *(
            "plugins",
            "templates",
            "archives",
            "peers",
            "examining",
            "observing",
            "host",
            "planning",
            "engine",
            "calls/guests",
            "calls/registry",
            "calls",
            "watching",
        ),
        *("moves", "metrics", "agent", "for_salt", "for_salt/recovering", "cli", "first_geats"),
    ),
}
FOLDERS = {"geats_core": REPO / "core/geats_core", "geats_host": REPO / "host/geats_host"}
MANY = 16  # modules in a room: more are hard to take in at one look
# Whose modules are plugins and their parts, or commands by theme, each like the next.
ALIKE = {"storage", "templates", "cli"}


def modules() -> dict[str, Path]:
    """Every module of the two packages by its full name."""
    found = {}
    for package, folder in FOLDERS.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder.parent).with_suffix("").parts
            found[".".join(parts).removesuffix(".__init__")] = path
        assert package in found
    return found


MODULES = modules()


def room(module: str) -> tuple[str, str]:
    """The package of a *module*, and its room."""
    package, *within = module.split(".")
    if MODULES[module].name == "__init__.py":
        within.append("")
    within = within[:1] if len(within) == 1 else within[:-1]
    return package, "/".join(within)


def imported(module: str) -> Iterator[str]:
    """The modules of the two packages that a *module* imports: at once, later, or for its types."""
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        match node:
            case ast.Import(names=names):
                named = [alias.name for alias in names]
            case ast.ImportFrom(module=str(origin), names=names):
                named = [f"{origin}.{alias.name}" for alias in names]
                named = [each if each in MODULES else origin for each in named]
            case _:
                continue
        yield from (each for each in named if each in MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_an_import_goes_down_the_order_of_rooms(module: str) -> None:
    package, here = room(module)
    order = ORDERS[package]
    assert here in order, f"{here} is no room: write in ORDERS which ones it stands on"

    reached = {room(each) for each in imported(module)}
    up = {
        name
        for where, name in reached
        if where == package and name != here and order.index(name) > order.index(here)
    }
    assert up == set()


def test_the_core_imports_nothing_of_the_host() -> None:
    reached = {each for name in MODULES if name.startswith("geats_core") for each in imported(name)}

    assert {name for name in reached if name.startswith("geats_host")} == set()


def test_every_room_is_written_down_and_there() -> None:
    there: dict[str, set[str]] = {package: set() for package in ORDERS}
    for module in MODULES:
        package, name = room(module)
        there[package].add(name)

    assert there == {package: set(order) for package, order in ORDERS.items()}


def test_no_room_has_more_than_can_be_taken_in() -> None:
    crowded = {}
    for package, folder in FOLDERS.items():
        for name in set(ORDERS[package]) - ALIKE:
            count = len(list((folder / name).glob("*.py"))) if (folder / name).is_dir() else 1
            if count > MANY:
                crowded[f"{package}/{name}"] = count

    assert crowded == {}


def test_every_room_says_what_it_holds() -> None:
    silent = [
        f"{package}/{name}"
        for package, folder in FOLDERS.items()
        for name in ORDERS[package]
        if (folder / name).is_dir()
        and not ast.get_docstring(ast.parse((folder / name / "__init__.py").read_text()))
    ]

    assert silent == []


@pytest.mark.parametrize("page", ["docs/house.md"])
def test_the_map_names_every_room(page: str) -> None:
    text = (REPO / page).read_text()
    unnamed = [
        name
        for order in ORDERS.values()
        for name in order
        if name and f"`{name}/`" not in text and f"`{name}.py`" not in text
    ]

    assert unnamed == []
