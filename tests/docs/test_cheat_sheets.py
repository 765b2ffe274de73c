"""What the cheat sheets call geats, it has: each command is parsed, and then nothing is done."""

import re
import shlex
from pathlib import Path

import click
import pytest

from geats_host.cli.main import cli

PAGE = (Path(__file__).parents[2] / "docs/reference/cheat-sheets.md").read_text()
COMMANDS = dict.fromkeys(re.findall(r"`geats ([a-z][^`]*)`", PAGE))


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_is_one(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("FILE", "plan.json"):
        (tmp_path / name).touch()
    name, *words = shlex.split(line)
    with click.Context(cli) as context:
        command = cli.get_command(context, name)
        assert command is not None
        command.make_context(name, words, parent=context).close()


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 50
