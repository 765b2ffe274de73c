"""The page ``reference/commands``: every command as its help tells it, written for each build."""

from collections.abc import Iterator
from pathlib import Path

from geats_host.cli.command_pages import CommandPage, command_pages
from geats_host.cli.help_pages import Kind
from geats_host.cli.main import cli

INTRODUCTION = """\
# All commands

Made from what `geats COMMAND --help` says. `geats manual` makes man pages of the same.
"""
SHARED = ("--config", "--json", "-h")  # which every command takes


def write_commands(docs: Path) -> None:
    """Write the page, if it is not there already and the same."""
    file, text = docs / "reference/commands.md", commands()
    if not file.is_file() or file.read_text() != text:
        file.write_text(text)


def commands() -> str:
    """The page, in Markdown: a section for each theme, and in it one for each command."""
    first, *pages = command_pages(cli)
    of = {page.path: page for page in pages}
    lines = [INTRODUCTION]
    for theme, rows in first.below:
        lines.append(f"## {theme}\n")
        for name, _ in rows:
            for path in (path for path in of if path == name or path.startswith(f"{name} ")):
                lines += _lines(of[path])
    return "\n".join(lines)


def _lines(page: CommandPage) -> Iterator[str]:
    yield f"### geats {page.path}\n"
    yield f"`{page.usage}`\n"
    for part in page.text:
        text = _indented(part.text.splitlines()) if part.kind is Kind.CODE else _words(part.text)
        yield f"{text}\n"
    for option, meaning in page.options:
        if not option.startswith(SHARED):
            yield f"`{option}`\n: {_words(meaning)}\n"
    if page.examples:
        yield f"Examples:\n\n{_indented(page.examples)}\n"


def _indented(lines: tuple[str, ...] | list[str]) -> str:
    return "\n".join(f"    {line}" for line in lines)


def _words(text: str) -> str:
    """Words that mean nothing to Markdown."""
    return "".join(f"\\{each}" if each in "\\`*_[]<>{}$|#~" else each for each in text)
