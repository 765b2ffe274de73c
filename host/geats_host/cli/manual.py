"""Man pages, in the language of man(7): ``geats manual DIR`` writes one for each command and topic.

No library is used: click-man cuts the summaries of commands off, and knows of no examples.
"""

import os
import re
import textwrap
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import click

from geats_host.cli.command_pages import CommandPage, command_pages
from geats_host.cli.help_pages import TOPICS, Kind, Part, parts, title, topic
from geats_host.cli.session import Session, in_session
from geats_host.plugins.installed import own_version

COMMAND, TOPIC = 1, 7  # sections of the manual
WIDTH = 70  # of lines in the files
CODE = re.compile(r"`([^`]*)`")
FILES = (("/etc/geats/geats.yaml", "The host's configuration, see geats-configuration(7)."),)
ENVIRONMENT = (("NO_COLOR", "If it is set, nothing is coloured."),)


def manual(root: click.Command, date: str) -> Mapping[str, str]:
    """The text of each page by its name, such as ``man1/geats-plan.1``."""
    pages = list(command_pages(root))
    of_commands = {f"man1/{_name(each.path)}.1": _of_command(each, date) for each in pages}
    return of_commands | {f"man7/{_name(each)}.7": _of_topic(each, date) for each in TOPICS}


def _name(path: str) -> str:
    return "-".join(["geats", *path.split()])


def _of_command(page: CommandPage, date: str) -> str:
    name, usage = _name(page.path), page.usage.split(" ")
    words = len(page.path.split()) + 1
    lines = [
        *_head(name, COMMAND, page.summary, date),
        ".SH SYNOPSIS",
        f".B {_text(' '.join(usage[:words]))}",
        *_filled(" ".join(usage[words:])),
        ".SH DESCRIPTION",
        *_parts(page.text),
        *_terms("OPTIONS", page.options),
        *(line for theme, rows in page.below for line in _terms(theme.upper(), rows)),
    ]
    if not page.path:
        status = [each for each in parts(topic("exit-codes")) if each.kind is not Kind.HEADING]
        lines += [".SH EXIT STATUS", *_parts(status)]
        lines += [*_terms("ENVIRONMENT", ENVIRONMENT), *_terms("FILES", FILES)]
    lines += [*_examples(page.examples), ".SH SEE ALSO", *_see(page)]
    return "".join(f"{line}\n" for line in lines)


def _of_topic(name: str, date: str) -> str:
    _, *text = parts(topic(name))
    lines = [
        *_head(_name(name), TOPIC, title(name), date),
        ".SH DESCRIPTION",
        *_parts(text),
        ".SH SEE ALSO",
        ".BR geats (1)",
    ]
    return "".join(f"{line}\n" for line in lines)


def _head(name: str, section: int, summary: str, date: str) -> Iterator[str]:
    yield f'.TH {_text(name.upper())} {section} {date} "geats {own_version()}"'
    yield ".SH NAME"
    yield f"{_text(name)} \\- {_text(summary.rstrip('.'))}"


def _parts(text: Iterable[Part]) -> Iterator[str]:
    first = True
    for part in text:
        match part.kind:
            case Kind.HEADING:
                yield f".SS {_text(part.text)}"
                first = True
                continue
            case Kind.TEXT:
                yield from ([] if first else [".PP"])
                yield from _filled(part.text)
            case Kind.ITEM:
                yield from (".IP \\(bu 2", *_filled(part.text))
            case Kind.CODE:
                yield from ([] if first else [".PP"])
                yield from _as_it_is(part.text.splitlines())
        first = False


def _terms(heading: str, rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    yield f'.SH "{_text(heading)}"'
    for term, meaning in rows:
        yield from (".TP", f".B {_text(term)}", *_filled(meaning))


def _examples(lines: Iterable[str]) -> Iterator[str]:
    if lines:
        yield from (".SH EXAMPLES", *_as_it_is(lines))


def _as_it_is(lines: Iterable[str]) -> Iterator[str]:
    yield from (".nf", ".RS 2", *map(_text, lines), ".RE", ".fi")


def _filled(words: str) -> Iterator[str]:
    """The lines of a paragraph, which the formatter fills again."""
    lines = textwrap.wrap(words, WIDTH, break_long_words=False, break_on_hyphens=False)
    bold = CODE.sub(r"\a\1\b", "\n".join(lines))  # which may go on in the next line
    for line in bold.splitlines():
        yield _text(line).replace("\a", r"\fB").replace("\b", r"\fR")


def _see(page: CommandPage) -> Iterator[str]:
    names = [(_name(f"{page.path} {name}"), COMMAND) for _, rows in page.below for name, _ in rows]
    names += [] if page.path else [(_name(each), TOPIC) for each in TOPICS]
    names += [("geats", COMMAND)] if page.path else []
    for at, (name, section) in enumerate(names):
        yield f".BR {_text(name)} ({section}){',' if at + 1 < len(names) else ''}"


def _text(words: str) -> str:
    """A line that means nothing to the formatter."""
    for character, name in (("\\", "\\e"), ("-", "\\-"), ("'", "\\(aq"), ('"', "\\(dq")):
        words = words.replace(character, name)
    return f"\\&{words}" if words.startswith(".") else words


def _now_s() -> float:
    """The time; or that of the source, where a package is built: pages are the same each time."""
    return float(os.environ.get("SOURCE_DATE_EPOCH") or time.time())


@click.command("manual")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@in_session
@click.pass_context
def manual_(context: click.Context, session: Session, directory: Path) -> None:
    """Write man pages of all commands and topics below DIRECTORY, for man(1).

    DIRECTORY is one where man looks, such as /usr/local/share/man: 'manpath' names them.
    """
    pages = manual(context.find_root().command, time.strftime("%Y-%m-%d", time.gmtime(_now_s())))
    for name, text in pages.items():
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    report = {"directory": str(directory), "pages": len(pages)}
    session.answer(report, lambda: click.echo(f"written: {len(pages)} pages below {directory}"))


COMMANDS = (manual_,)
