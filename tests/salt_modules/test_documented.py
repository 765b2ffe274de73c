"""Every function that Salt finds in our modules says what it does, with an example to copy."""

import inspect
import re
from collections import Counter
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import FunctionType

import pytest

from geats_host.for_salt.loader import PACKAGES

REPO = Path(__file__).parents[2]
# What an example of each kind looks like; NAME is how Salt calls the function,
# and FUNCTION what comes after the dot of it.
COMMANDS = {
    "grains": r"salt\S* .*\bgrains\.get FUNCTION\b",
    "modules": r"salt\S* .*\bNAME\b",
    "resources": r"salt -C 'T@geats:minion1\.web01' NAME\b",
    "runners": r"salt-run NAME\b",
}
EXAMPLES = {
    **{
        kind: rf"^CLI Example:\n\n\.\. code-block:: bash\n\n(?: {{4}}.*\n)*? {{4}}{command}"
        for kind, command in COMMANDS.items()
    },
    "beacons": r"^\.\. code-block:: yaml\n\n    beacons:\n      geats:",
    "states": r"^\.\. code-block:: yaml\n\n(?: {4}.*\n|\n)*? {4,}\s*NAME:",
}
MODULES = {  # those of each kind, below salt/
    **{kind: (f"_{kind}.geats",) for kind in PACKAGES},
    "modules": tuple(
        f"_modules.{each}"
        for each in (
            "geats",
            "geats_inventory",
            "geats_copies",
            "geats_volumes",
            "geats_moves",
            "geats_guest",
            "geats_templates",
            "geats_adoption",
            "geats_upkeep",
        )
    ),
    "resources": tuple(f"_resources.geats.modules.{each}" for each in ("cmd", "geats_vm", "test")),
}

SALTS_OWN = {"mod_aggregate", "mod_watch"}  # called by Salt itself: nobody writes them


def functions() -> Iterator[tuple[str, str, FunctionType]]:
    """Each function of this checkout: its kind, the name that Salt gives it, and itself."""
    for kind, module_name in ((kind, name) for kind, names in MODULES.items() for name in names):
        path = REPO / f"salt/{module_name.replace('.', '/')}.py"
        spec = spec_from_file_location(f"documented_{kind}_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        aliases: dict[str, str] = getattr(module, "__func_alias__", {})
        for name, function in inspect.getmembers(module, inspect.isfunction):
            is_public = not name.startswith("_") and name not in SALTS_OWN
            if function.__module__ == module.__name__ and is_public:
                module_of_salt = getattr(module, "__virtualname__", path.stem)
                yield kind, f"{module_of_salt}.{aliases.get(name, name)}", function


def test_every_kind_that_the_loader_is_told_of_has_an_example_to_look_for() -> None:
    assert set(EXAMPLES) == set(PACKAGES)


@pytest.mark.parametrize(
    ("kind", "folder"), [("modules", "_modules"), ("resources", "_resources/geats/modules")]
)
def test_every_file_of_a_kind_that_has_several_is_looked_at(kind: str, folder: str) -> None:
    files = (REPO / "salt" / folder).glob("*.py")
    assert {f"{folder.replace('/', '.')}.{each.stem}" for each in files} == set(MODULES[kind])


def test_no_two_files_of_one_name_have_a_function_in_common() -> None:
    """Salt would take that of the file which it happens to load first."""
    named = Counter((kind, name) for kind, name, _ in functions())
    assert [name for name, count in named.items() if count > 1] == []


@pytest.mark.parametrize(
    ("kind", "name", "function"),
    [pytest.param(*found, id=f"{found[0]}-{found[1]}") for found in functions()],
)
def test_every_function_has_an_example_of_itself(
    kind: str, name: str, function: FunctionType
) -> None:
    said = inspect.getdoc(function) or ""
    example = EXAMPLES[kind].replace("NAME", re.escape(name))
    assert re.search(example.replace("FUNCTION", name.partition(".")[2]), said, re.MULTILINE), said


@pytest.mark.parametrize("module", [name for names in MODULES.values() for name in names])
def test_the_reference_is_made_of_the_docstrings_of_all_functions(module: str) -> None:
    page = (REPO / "docs/reference/salt.md").read_text()
    installed = f"geats_salt.{module.replace('_resources', 'resources')}"
    directive = f".. automodule:: {installed}\n   :members:\n   :undoc-members:\n"
    assert directive in page
