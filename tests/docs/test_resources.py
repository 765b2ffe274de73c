"""What the page about VMs as targets says that they can do, they can."""

import ast
import re
from pathlib import Path

REPO = Path(__file__).parents[2]
MODULES = REPO / "salt/_resources/geats/modules"
PAGE = (REPO / "docs/how-to/resources.md").read_text()


def functions(module: str) -> set[str]:
    return {
        found.name.removesuffix("_")
        for found in ast.parse((MODULES / f"{module}.py").read_text()).body
        if isinstance(found, ast.FunctionDef) and not found.name.startswith("_")
    }


def test_every_function_for_a_vm_is_named_and_no_other() -> None:
    listed = PAGE.partition("without the name of the VM: ")[2].partition(".")[0]
    assert set(re.findall(r"`([a-z_]+)`", listed)) == functions("geats_vm")
    assert set(re.findall(r"`cmd\.([a-z_]+)`", PAGE)) == functions("cmd")


def test_every_option_of_a_command_is_named() -> None:
    source = (REPO / "core/geats_core/requests/shell_requests.py").read_text()
    known = set(re.findall(r'read\.take\("([a-z_]+)"', source))
    listed = PAGE.partition("They accept the command,")[2].partition(". ")[0]
    assert set(re.findall(r"`([a-z_]+)`", listed)) == known
