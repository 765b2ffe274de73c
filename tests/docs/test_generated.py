"""What the documentation says of the code is what the code says."""

import doctest
import subprocess
import sys
from pathlib import Path
from typing import get_args

from geats_core import Action, ByHand, DataLoss, PowerOff, Restart
from tests.property.space import SPACES
from tests.property.test_exhaustive import STATES

REPO = Path(__file__).parents[2]


def test_the_generated_pages_are_up_to_date() -> None:
    argv = [sys.executable, str(REPO / "docs/generate.py"), "--check"]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_examples_in_the_readme_give_what_they_say() -> None:
    found = doctest.testfile(str(REPO / "README.md"), module_relative=False)
    assert (found.failed, found.attempted > 0) == (0, True)


def test_the_table_of_actions_holds_them_all() -> None:
    text = (REPO / "docs/generated/actions.md").read_text()
    assert [kind.__name__ for kind in get_args(Action) if f"**{kind.__name__}**" not in text] == []


def test_the_figures_of_the_exhaustive_test_are_those_of_its_spaces() -> None:
    """Every state of each space, times every target and every policy that can matter there."""
    text = " ".join((REPO / "docs/explanation/planner.md").read_text().split())
    policies = len(STATES) * len(Restart) * len(PowerOff) * len(DataLoss)
    states = {space: len(space.states) for space in SPACES.values()}
    points = sum(
        count * policies * (len(ByHand) if len(space.by_hand) > 1 else 1)
        for space, count in states.items()
    )
    words = f"{sum(states.values()):,} states in four spaces"
    assert (len(states), words in text) == (4, True), words
    assert f"{points / 10**6:.1f} million points" in text
