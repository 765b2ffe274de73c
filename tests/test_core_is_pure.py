"""The core may import the standard library's pure parts, ``returns`` and itself."""

import ast
from pathlib import Path

import pytest

CORE = Path(__file__).parents[1] / "core" / "geats_core"
ALLOWED = {
    *(
        "bisect",
        "collections",
        "dataclasses",
        "datetime",
        "decimal",
        "difflib",
        "enum",
        "fnmatch",
        "functools",
        "graphlib",
        "hashlib",
        "heapq",
        "itertools",
        "math",
    ),
    *("ipaddress", "json", "re", "shlex", "types", "typing", "returns", "geats_core"),
}
EFFECTS = {"open", "print", "input", "exec", "eval", "__import__", "breakpoint"}
CLOCKS = {"now", "today", "utcnow"}


@pytest.mark.parametrize("path", sorted(CORE.rglob("*.py")), ids=lambda path: path.name)
def test_the_core_imports_nothing_with_effects(path: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])

    assert imported <= ALLOWED


@pytest.mark.parametrize("path", sorted(CORE.rglob("*.py")), ids=lambda path: path.name)
def test_the_core_calls_no_built_in_with_effects(path: Path) -> None:
    names = {n.id for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Name)}

    assert names.isdisjoint(EFFECTS)


@pytest.mark.parametrize("path", sorted(CORE.rglob("*.py")), ids=lambda path: path.name)
def test_the_core_reads_no_clock(path: Path) -> None:
    calls = (n.func for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call))
    names = {called.attr for called in calls if isinstance(called, ast.Attribute)}

    assert names.isdisjoint(CLOCKS)
