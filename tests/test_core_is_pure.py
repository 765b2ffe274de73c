"""The core may import the standard library's pure parts, ``returns`` and itself."""

import ast
from pathlib import Path

import pytest

CORE = Path(__file__).parents[1] / "core" / "geats_core"
HOST = Path(__file__).parents[1] / "host" / "geats_host"
ALLOWED = {
    *(
        "bisect",
        "collections",
        "copy",
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
        "html",
        "inspect",
        "itertools",
        "math",
        "operator",
        "reprlib",
        "struct",
    ),
    *("ipaddress", "json", "re", "shlex", "types", "typing", "xml", "returns", "geats_core"),
}
COMPILES = CORE / "reading" / "values.py"  # how objects are made, from the names of fields
EFFECTS = {"open", "print", "input", "exec", "eval", "__import__", "breakpoint"}
SALTS = ("salt.", "geats_host.for_salt.")
CLOCKS = {"now", "today", "utcnow"}


@pytest.mark.parametrize("path", sorted(CORE.rglob("*.py")), ids=lambda path: path.name)
def test_the_core_imports_nothing_with_effects(path: Path) -> None:
    assert {name.partition(".")[0] for name in _imported(path)} <= ALLOWED


@pytest.mark.parametrize("path", sorted(HOST.rglob("*.py")), ids=lambda path: path.name)
def test_only_what_is_for_salt_imports_salt(path: Path) -> None:
    salts = {name for name in _imported(path) if f"{name}.".startswith(SALTS)}
    assert "for_salt" in path.parts or salts == set()


@pytest.mark.parametrize("path", sorted(CORE.rglob("*.py")), ids=lambda path: path.name)
def test_the_core_calls_no_built_in_with_effects(path: Path) -> None:
    names = {n.id for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Name)}

    assert names.isdisjoint(EFFECTS - ({"exec"} if path == COMPILES else set()))


@pytest.mark.parametrize("path", sorted(CORE.rglob("*.py")), ids=lambda path: path.name)
def test_the_core_reads_no_clock(path: Path) -> None:
    calls = (n.func for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call))
    names = {called.attr for called in calls if isinstance(called, ast.Attribute)}

    assert names.isdisjoint(CLOCKS)


def _imported(path: Path) -> set[str]:
    """The modules that it imports, by their full names."""
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported |= {f"{node.module}.{alias.name}" for alias in node.names}
    return imported
