"""What pages have Salt run: there are such functions, and they take such arguments.

Those of resources, ``geats_vm``, are tried in ``test_resources``.
"""

import ast
import re
import shlex
from pathlib import Path

import pytest

from tests.docs.pages import Line, lines

SALT = Path(__file__).parents[2] / "salt"
LINES = [line for line in lines() if re.match(r"salt(-call|-run)? .*\bgeats\.", line.text)]


def functions(folder: str) -> dict[str, ast.arguments]:
    """The arguments of each, by the name that Salt calls it by."""
    return {
        f"geats.{found.name.rstrip('_')}": found.args
        for file in sorted((SALT / folder).glob("geats*.py"))
        for found in ast.parse(file.read_text()).body
        if isinstance(found, ast.FunctionDef)
    }


RUNNERS, MODULES = functions("_runners"), functions("_modules")


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.text)
def test_there_is_such_a_function_and_it_takes_these_arguments(line: Line) -> None:
    words = shlex.split(line.text, comments=True)
    at = next(at for at, word in enumerate(words) if word.startswith("geats."))
    there = RUNNERS if words[0] == "salt-run" else MODULES
    assert words[at] in there, line.page
    takes = there[words[at]]
    rest = [word for word in words[at + 1 :] if not word.startswith("--")]
    named = {word.partition("=")[0] for word in rest if re.match(r"[a-z_]+=", word)}
    names = {each.arg for each in (*takes.args, *takes.kwonlyargs)}
    assert takes.kwarg or named <= names, line.page
    assert takes.vararg or len(rest) - len(named) <= len(takes.args), line.page
    least = len(takes.args) - len(takes.defaults)
    assert len(rest) >= least, line.page


def test_there_are_many() -> None:
    assert len(LINES) > 30
