"""Help: whole sentences at any width, by theme, with examples that are right; and the topics."""

import re
import shlex
from collections.abc import Iterator
from itertools import takewhile

import click
import pytest

from geats_host.cli.commands import WIDEST
from geats_host.cli.examples import EXAMPLES
from geats_host.cli.help_pages import TOPICS, Kind, parts, title, topic
from geats_host.cli.main import THEMES, cli
from tests.host.cli.conftest import Geats


def every_command(
    command: click.Command = cli, path: str = "", parent: click.Context | None = None
) -> Iterator[tuple[str, click.Command]]:
    """All commands by their paths, such as ``templates import``."""
    context = click.Context(command, info_name=path or "geats", parent=parent)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield f"{path} {name}".strip(), below
            yield from every_command(below, f"{path} {name}".strip(), context)


COMMANDS = dict(every_command())


def lines_of_geats() -> Iterator[str]:
    """Every command line in an example or on a page."""
    for lines in EXAMPLES.values():
        yield from lines
    for name in TOPICS:
        for part in parts(topic(name)):
            if part.kind is Kind.CODE:
                yield from (line for line in part.text.splitlines() if line.startswith("geats "))


@pytest.mark.parametrize("width", [40, 60, 200])
def test_help_is_whole_at_any_width(
    call: Geats, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    _, out, _ = call("--help")
    told = out.partition("\nExamples:")[0]
    assert "..." not in told.replace("[ARGS]...", "")
    assert max(map(len, told.splitlines())) <= min(width, WIDEST)
    said = re.sub(r"\s+", "", told)
    for name, command in COMMANDS.items():
        if " " not in name and not command.hidden:
            summary = command.get_short_help_str(1000)
            assert re.sub(r"\s+", "", name + summary) in said


def test_help_is_by_theme(call: Geats) -> None:
    told = call("--help")[1]
    assert re.findall(r"^(\w.*):$", told, re.MULTILINE) == ["Options", *THEMES, "Examples"]


def test_help_names_every_topic(call: Geats) -> None:
    told = " ".join(call("--help")[1].split())
    assert f"of a topic: {', '.join(TOPICS)}." in told


def test_every_command_has_an_example_of_itself() -> None:
    assert {path for path in COMMANDS if path not in EXAMPLES} == set()
    for path, lines in EXAMPLES.items():
        own = [line for line in lines if line.startswith(f"geats {path}")]
        assert own, path


def test_an_example_is_below_the_options(call: Geats) -> None:
    for words in ("deprovision", "templates prune", "plan"):
        told = call(*words.split(), "--help")[1]
        after = told.partition("\nExamples:\n")[2].splitlines()
        assert tuple(line.strip() for line in after) == EXAMPLES[words]


@pytest.mark.parametrize("line", dict.fromkeys(lines_of_geats()))
def test_examples_are_right(line: str) -> None:
    """Each word of them is one that the command takes; another program may run it, or read it."""
    program, *words = shlex.split(line.rpartition(" | ")[2], comments=True)
    if program != "geats":
        assert "geats agent" in words[1]
        return
    words = [*takewhile(lambda word: word not in ("<", ">"), words)]
    path = next(p for p in (" ".join(words[:2]), words[0]) if p in COMMANDS)
    command, rest = COMMANDS[path], words[len(path.split()) :]
    context = click.Context(command)
    values, left, _ = command.make_parser(context).parse_args(list(rest))
    assert left == [] or isinstance(command, click.Group)
    for parameter in command.params:
        if isinstance(parameter.type, click.Choice) and parameter.name in values:
            parameter.type_cast_value(context, values[parameter.name])


def test_too_many_values_of_an_option_stand_in_its_help(call: Geats) -> None:
    told = " ".join(call("plan", "--help")[1].split())
    assert "--to WORD The state that the VMs should be in; declared is the one that each" in told
    assert "One of declared, running, frozen, " in told
    assert "--restart [if_needed|always|never]" in told


def test_each_topic_has_a_page_that_begins_with_what_it_is_about(call: Geats) -> None:
    for name in TOPICS:
        code, out, _ = call("help", name)
        assert (code, out.startswith(f"{title(name)}\n\n")) == (0, True)
    listed = call("help")[1]
    assert [line.split()[0] for line in listed.splitlines() if line.startswith("  ")] == [*TOPICS]


def test_what_is_to_be_copied_from_a_page_is_not_wrapped(
    call: Geats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    told = call("help", "storage")[1]
    code = [part.text for part in parts(topic("storage")) if part.kind is Kind.CODE]
    lines = [line for text in code for line in text.splitlines()]
    assert [line for line in lines if f"  {line}" not in told.splitlines()] == []
    assert max(len(each) for each in told.splitlines() if each[2:] not in lines) <= 30


def test_help_tells_of_commands_too(call: Geats) -> None:
    assert call("help", "templates", "prune") == call("templates", "prune", "--help")
    code, _, err = call("help", "storag")
    assert (code, "did you mean 'storage'?" in err) == (2, True)
    assert call("help", "start", "web01")[0] == 2
