"""The tutorial for the command line, tried as a reader would: on a real container."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from geats_host.observing.known_places import VARIABLE
from tests.docs.console import BLOCK, as_documented
from tests.real.conftest import DEFAULT_DEBIAN

PAGE = (Path(__file__).parents[2] / "docs/tutorial/command-line.md").read_text()
DECLARED = re.search(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
NAME = "geats-test-web01"


@pytest.fixture
def here(tmp_path: Path, bridge: str) -> Iterator[dict[str, str]]:
    """What stands in the page, and what is here instead; the file that it has readers write."""
    debian = os.environ.get("GEATS_TEST_DEBIAN", DEFAULT_DEBIAN)
    others = {
        "/etc/geats/geats.yaml": f"{tmp_path}/geats.yaml",
        "/srv/templates/debian.tar.zst": debian,
        "/srv/web01.geats.tar": f"{tmp_path}/archive",
        "web01": NAME,
        "br0": bridge,
        "10.0.0.": "10.77.0.",
    }
    assert DECLARED is not None
    text = translated(DECLARED[1], others)
    paths = f"geats:\n  state_dir: {tmp_path}/state\n  run_dir: {tmp_path}/run\n"
    (tmp_path / "geats.yaml").write_text(text.replace("geats:\n", paths, 1))
    yield others
    run(f"geats deprovision {NAME} --yes", others)


def translated(text: str, others: dict[str, str]) -> str:
    """*text*, about what is here."""
    words = re.compile("|".join(map(re.escape, others)))
    return words.sub(lambda found: others[found[0]], text)


def run(command: str, others: dict[str, str]) -> str:
    """All that the command says, with the configuration that is here."""
    geats = f'geats() {{ command geats --config {others["/etc/geats/geats.yaml"]} "$@"; }}'
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", f"{geats}\n{command}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={"PATH": path, "COLUMNS": "200", VARIABLE: ""},
    ).stdout


def test_the_tutorial_does_what_it_says(here: dict[str, str]) -> None:
    blocks = BLOCK.findall(translated(PAGE, here))
    assert len(blocks) > 8
    for block in blocks:
        for command, documented in as_documented(block):
            said = run(command, here)
            assert documented(said), f"$ {command}\n{said}"
