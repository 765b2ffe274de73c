"""The command ``geats help``: pages on topics, from the folder ``topics``."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from importlib.resources import files
from textwrap import dedent

import click

from geats_core.reading.checked import unknown
from geats_host.cli.colours import styled
from geats_host.errors import Refused

TOPICS = (
    *("plan", "configuration", "storage", "network", "templates", "snapshots", "moving", "salt"),
    "exit-codes",
)


class Kind(Enum):
    """What a part of a page is."""

    HEADING = auto()
    TEXT = auto()
    ITEM = auto()  # of a list
    CODE = auto()  # as it is


@dataclass(frozen=True)
class Part:
    """A part of a page; a text and an item are one line, however long."""

    kind: Kind
    text: str


def topic(name: str) -> str:
    """The page on a topic, in Markdown."""
    return (files("geats_host.cli") / "topics" / f"{name}.md").read_text()


def title(name: str) -> str:
    """What the page on a topic is about."""
    return topic(name).partition("\n")[0].removeprefix("# ")


def parts(page: str) -> Iterator[Part]:
    """The parts of a *page*: of Markdown, it has headings, paragraphs, lists and code."""
    for at, block in enumerate(page.split("```")):
        if at % 2:
            yield Part(Kind.CODE, dedent(block.partition("\n")[2]).rstrip())
        else:
            for each in filter(None, (each.strip() for each in block.split("\n\n"))):
                yield from _words(each)


def _words(block: str) -> Iterator[Part]:
    if block.startswith("#"):
        yield Part(Kind.HEADING, block.lstrip("# "))
    elif block.startswith("- "):
        for item in block.removeprefix("- ").split("\n- "):
            yield Part(Kind.ITEM, " ".join(item.split()))
    else:
        yield Part(Kind.TEXT, " ".join(block.split()))


@click.command("help")
@click.argument("words", nargs=-1, metavar="[TOPIC|COMMAND]")
@click.pass_context
def help_(context: click.Context, words: tuple[str, ...]) -> None:
    """Explain a topic, such as storage, or a command. Without one, list the topics."""
    formatter = context.make_formatter()
    if not words:
        with formatter.section("Topics"):
            formatter.write_dl([(name, title(name)) for name in TOPICS])
        formatter.write("\n'geats help TOPIC' shows one, 'geats --help' lists the commands.\n")
    elif len(words) == 1 and words[0] in TOPICS:
        _write(formatter, topic(words[0]))
    else:
        click.echo(_help_of_command(context.find_root(), words))
        return
    click.echo(formatter.getvalue(), nl=False)


def _help_of_command(root: click.Context, words: tuple[str, ...]) -> str:
    context = root
    for word in words:
        group = context.command
        below = group.get_command(context, word) if isinstance(group, click.Group) else None
        if below is None:
            known = group.list_commands(context) if isinstance(group, click.Group) else ()
            topics = TOPICS if context is root else ()
            raise Refused(unknown("help", "topic or command", word, {*topics, *known}))
        context = below.context_class(below, info_name=word, parent=context)
    return context.get_help()


def _write(formatter: click.HelpFormatter, page: str) -> None:
    """A page as people read it; what may be copied is a line as it is."""
    last = None
    for part in parts(page):
        if last is not None and (part.kind, last) != (Kind.ITEM, Kind.ITEM):
            formatter.write_paragraph()
        last = part.kind
        match part.kind:
            case Kind.HEADING:
                formatter.write(f"{styled(part.text, 'bold')}\n")
            case Kind.TEXT:
                formatter.write_text(_plain(part.text))
            case Kind.ITEM:
                formatter.write_dl([("-", _plain(part.text))], col_spacing=1)
            case Kind.CODE:
                formatter.write("".join(f"  {line}\n" for line in part.text.splitlines()))


def _plain(text: str) -> str:
    """Code as people read it on a terminal; in a pipe it stays marked."""
    return text.replace("`", "" if sys.stdout.isatty() else "'")


COMMANDS = (help_,)
