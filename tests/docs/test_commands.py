"""The commands in the documentation do what it says, without root, LXC or Salt."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from geats_core.reading.checked import Code
from geats_host.cli.main import cli
from geats_host.observing.known_places import VARIABLE
from tests.docs.console import BLOCK

DOCS = Path(__file__).parents[2] / "docs"
CI = DOCS / "examples/plan-in-ci"
README = DOCS.parent / "README.md"
PAGES = [*sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts), README]
FENCE = re.compile(r"^```[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run(command: str, directory: Path) -> tuple[int, str]:
    """The exit code of a command line, and all that it says, as on a terminal of 100 columns."""
    bin_directory = Path(sys.executable).parent
    environment = {"PATH": f"{bin_directory}:{os.environ['PATH']}", "COLUMNS": "100", VARIABLE: ""}
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


@pytest.mark.parametrize("page", ["plan-in-ci", "troubleshooting"])
def test_the_commands_of_a_guide_say_what_it_says(page: str, checkout: Path) -> None:
    """In their order, in one directory."""
    blocks = BLOCK.findall((DOCS / f"how-to/{page}.md").read_text())
    assert len(blocks) > 2
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


def documented() -> Iterator[str]:
    """Every command line of geats in a block of any page."""
    for page in PAGES:
        for block in FENCE.findall(page.read_text()):
            lines = (line.removeprefix("$ ") for line in block.splitlines())
            yield from (line for line in lines if line.startswith("geats "))


def every_command() -> dict[str, click.Command]:
    """All commands, loaded."""
    context = click.Context(cli)
    found = {name: cli.get_command(context, name) for name in cli.list_commands(context)}
    return {name: command for name, command in found.items() if command is not None}


@pytest.mark.parametrize("line", dict.fromkeys(documented()))
def test_every_command_that_is_documented_is_one(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its options and arguments: they are parsed, and then nothing is done."""
    monkeypatch.chdir(tmp_path)
    for name in ("plan.json", "back.json", "host.json"):
        (tmp_path / name).touch()
    words = shlex.split(line, comments=True)[1:]
    words = words[: words.index(">")] if ">" in words else words
    with click.Context(cli) as context:
        name, *rest = words[2:] if words[0] == "--config" else words
        command = cli.get_command(context, name)
        assert command is not None
        command.make_context(name, rest, parent=context).close()


def test_the_reference_holds_every_command_and_option() -> None:
    text = (DOCS / "reference/command-line.md").read_text()
    for name, command in every_command().items():
        assert re.search(rf"`{name}\b", text), name
        for parameter in command.params:
            for option in parameter.opts if isinstance(parameter, click.Option) else ():
                assert re.search(rf"`{option}\b", text), f"{name} {option}"


def test_the_reference_has_every_code_of_a_problem() -> None:
    page = (DOCS / "reference/command-line.md").read_text()
    told = page.partition("| code | what is wrong |")[2]
    assert re.findall(r"^\| `(\w+)` \|", told, re.MULTILINE) == list(map(str, Code))
