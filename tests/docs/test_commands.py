"""The commands in the documentation do what it says, without root, LXC or Salt."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

DOCS = Path(__file__).parents[2] / "docs"
CI = DOCS / "examples/plan-in-ci"
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run(command: str, directory: Path) -> tuple[int, str]:
    """The exit code of a command line, and all that it says, as on a terminal of 100 columns."""
    bin_directory = Path(sys.executable).parent
    environment = {"PATH": f"{bin_directory}:{os.environ['PATH']}", "COLUMNS": "100"}
    done = subprocess.run(
        ["bash", "-c", command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=directory,
        env=environment,
    )
    return done.returncode, "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with the files of the guide."""
    return Path(shutil.copytree(CI, tmp_path / "checkout"))


def test_the_commands_of_the_guide_say_what_it_says(checkout: Path) -> None:
    """In their order, in one directory."""
    blocks = BLOCK.findall((DOCS / "plan-in-ci.md").read_text())
    assert len(blocks) > 3
    for block in blocks:
        commands = [line[2:] for line in block.splitlines() if line.startswith("$ ")]
        assert "".join(f"$ {each}\n{run(each, checkout)[1]}" for each in commands) == block


def test_the_pipeline_of_the_guide_runs(checkout: Path) -> None:
    """Its job on the host is left out: what it applies is a plan that is there to be read."""
    jobs = yaml.safe_load((checkout / "gitlab-ci.yml").read_text())
    for command in jobs["plan"]["script"]:
        assert run(command, checkout)[0] == 0, command
    assert all((checkout / path).stat().st_size for path in jobs["plan"]["artifacts"]["paths"])
    assert jobs["apply"]["script"] == ["geats apply --saved plan.json"]


def test_the_test_of_the_guide_passes(checkout: Path) -> None:
    code, said = run(f"{sys.executable} -m pytest -q -p no:cacheprovider test_host.py", checkout)
    assert (code, "1 passed" in said) == (0, True), said


def test_the_test_of_the_guide_fails_where_the_database_would_restart(checkout: Path) -> None:
    file = checkout / "host.yaml"
    file.write_text(file.read_text().replace("memory: 2GiB", "hostname: db"))
    code, said = run(f"{sys.executable} -m pytest -q -p no:cacheprovider test_host.py", checkout)
    assert (code, "1 failed" in said) == (1, True), said
