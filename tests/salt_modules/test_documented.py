"""Every function that Salt finds in our modules says what it does, with an example to copy."""

import inspect
import re
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import FunctionType

import pytest

from geats_host.loader import KINDS

REPO = Path(__file__).parents[2]
# What an example of each kind looks like; NAME is how Salt calls the function.
COMMANDS = {
    "grains": r"salt\S* .*\bgrains\.get NAME\b",
    "modules": r"salt\S* .*\bgeats\.NAME\b",
    "runners": r"salt-run geats\.NAME\b",
}
EXAMPLES = {
    **{
        kind: rf"^CLI Example:\n\n\.\. code-block:: bash\n\n(?: {{4}}.*\n)*? {{4}}{command}"
        for kind, command in COMMANDS.items()
    },
    "beacons": r"^\.\. code-block:: yaml\n\n    beacons:\n      geats:",
    "states": r"^\.\. code-block:: yaml\n\n(?: {4}.*\n|\n)*? {4,}\s*geats\.NAME:",
}

SALTS_OWN = {"mod_aggregate", "mod_watch"}  # called by Salt itself: nobody writes them


def functions() -> Iterator[tuple[str, str, FunctionType]]:
    """Each function of this checkout: its kind, the name that Salt gives it, and itself."""
    for kind in EXAMPLES:
        spec = spec_from_file_location(f"documented_{kind}", REPO / f"salt/_{kind}/geats.py")
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        aliases: dict[str, str] = getattr(module, "__func_alias__", {})
        for name, function in inspect.getmembers(module, inspect.isfunction):
            is_public = not name.startswith("_") and name not in SALTS_OWN
            if function.__module__ == module.__name__ and is_public:
                yield kind, aliases.get(name, name), function


def test_every_kind_that_the_loader_is_told_of_has_an_example_to_look_for() -> None:
    assert set(EXAMPLES) == set(KINDS)


@pytest.mark.parametrize(
    ("kind", "name", "function"),
    [pytest.param(*found, id=f"{found[0]}-{found[1]}") for found in functions()],
)
def test_every_function_has_an_example_of_itself(
    kind: str, name: str, function: FunctionType
) -> None:
    said = inspect.getdoc(function) or ""
    assert re.search(EXAMPLES[kind].replace("NAME", re.escape(name)), said, re.MULTILINE), said


@pytest.mark.parametrize("kind", KINDS)
def test_the_reference_is_made_of_the_docstrings_of_all_functions(kind: str) -> None:
    page = (REPO / "docs/reference/salt.md").read_text()
    directive = f".. automodule:: geats_salt._{kind}.geats\n   :members:\n   :undoc-members:\n"
    assert directive in page
