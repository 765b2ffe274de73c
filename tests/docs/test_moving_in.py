"""What the tables for those who move in call geats, it has."""

import ast
import re
from pathlib import Path

REPO = Path(__file__).parents[2]
PAGE = REPO / "docs" / "moving-in.md"


def test_every_function_and_state_that_the_tables_name_is_one() -> None:
    named = set(re.findall(r"geats\.([a-z_]+)", PAGE.read_text())) - {"yaml", "conf"}
    there = {
        found.name.removesuffix("_")
        for file in REPO.glob("salt/_*/geats*.py")
        for found in ast.parse(file.read_text()).body
        if isinstance(found, ast.FunctionDef)
    }
    assert named - there == set()
    assert len(named) > 20
