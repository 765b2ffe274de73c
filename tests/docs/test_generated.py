"""What the documentation says of the code is what the code says."""

import doctest
import subprocess
import sys
from pathlib import Path
from typing import get_args

from geats_core import Action

REPO = Path(__file__).parents[2]


def test_the_generated_pages_are_up_to_date() -> None:
    argv = [sys.executable, str(REPO / "docs/generate.py"), "--check"]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_examples_in_the_readme_give_what_they_say() -> None:
    found = doctest.testfile(str(REPO / "README.md"), module_relative=False)
    assert (found.failed, found.attempted > 0) == (0, True)


def test_the_table_of_actions_holds_them_all() -> None:
    text = (REPO / "docs/actions.md").read_text()
    assert [kind.__name__ for kind in get_args(Action) if f"**{kind.__name__}**" not in text] == []
