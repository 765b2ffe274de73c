"""Each command as a page: what man pages and the reference are made from, from what help says."""

from collections.abc import Iterator
from dataclasses import dataclass

import click

from geats_host.cli.commands import Context, Group
from geats_host.cli.examples import EXAMPLES
from geats_host.cli.help_pages import Kind, Part

AS_IT_IS = "\b"  # how a paragraph of a help text begins whose lines are not to be filled


@dataclass(frozen=True)
class CommandPage:
    """A command: the words that lead to it, what it takes, and what its help says.

    ``options`` are pairs such as ``--config FILE`` and what that means. ``below`` are the commands
    of a group, by theme, each with the first sentence of its help.
    """

    path: str
    usage: str
    summary: str
    text: tuple[Part, ...]
    options: tuple[tuple[str, str], ...]
    examples: tuple[str, ...]
    below: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()


def command_pages(root: click.Command) -> Iterator[CommandPage]:
    """The page of *root*, and then those of all commands below it that are not hidden."""
    yield from _pages(root, Context(root, info_name="geats", **root.context_settings))


def _pages(command: click.Command, context: Context) -> Iterator[CommandPage]:
    group = command if isinstance(command, Group) else None
    below = () if group is None else tuple((t, tuple(rows)) for t, rows in group.by_theme(context))
    yield CommandPage(
        path=context.path,
        usage=" ".join([context.command_path, *command.collect_usage_pieces(context)]),
        summary=command.get_short_help_str(len(command.help or "") + 1),
        text=tuple(_text(command.help or "")),
        options=tuple(_options(command, context)),
        examples=EXAMPLES.get(context.path, ()),
        below=below,
    )
    if group is None:
        return
    for name in (name for _, rows in below for name, _ in rows):
        found = group.get_command(context, name)
        assert found is not None  # it has just been named
        within = Context(found, info_name=name, parent=context, **found.context_settings)
        yield from _pages(found, within)


def _text(help_text: str) -> Iterator[Part]:
    for block in help_text.split("\n\n"):
        lines = [line.strip() for line in block.strip().splitlines()]
        if lines[:1] == [AS_IT_IS]:
            yield Part(Kind.CODE, "\n".join(lines[1:]))
        elif lines:
            yield Part(Kind.TEXT, " ".join(lines))


def _options(command: click.Command, context: Context) -> Iterator[tuple[str, str]]:
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and record[1]:
            yield record
