"""The commands by name, each loaded when it is called, and the options that all of them take.

Only what every call needs is imported here, because loading the modules that a command needs takes
ten times as long as Python takes to start. ``--version`` and ``--help`` are such calls too.
"""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any, TypeAlias

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from geats_host.cli.session import Session

# The names of the commands of each theme, by the module of this room that they are in.
Themes: TypeAlias = Mapping[str, Mapping[str, Sequence[str]]]
WIDEST = 100  # columns of help: longer lines are hard to read
FOR_MEANINGS = 0.6  # of the width, at least, in a list of words and their meanings
COMPLETION = "_GEATS_COMPLETE"  # the variable by which a shell asks for completion
LONG = 30  # characters of an option's values: more are told in its help


def shared_options() -> list[click.Parameter]:
    """``--config`` and ``--json``, which may be given before a command or after it."""
    return [
        click.Option(
            ["--config"],
            type=click.Path(path_type=Path),
            metavar="FILE",
            expose_value=False,
            callback=_config,
            help="The host's configuration (default: /etc/geats/geats.yaml).",
        ),
        click.Option(
            ["--json"],
            is_flag=True,
            expose_value=False,
            callback=_json,
            help="Answer with JSON, for programs.",
        ),
    ]


def _config(context: click.Context, _: click.Parameter, file: Path | None) -> None:
    if file is not None:
        _session(context).file = file


def _json(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        _session(context).as_json = True


def _session(context: click.Context) -> "Session":
    from geats_host.cli.session import Session

    return context.ensure_object(Session)


class Formatter(click.HelpFormatter):
    """Help that is as wide as the terminal, and cuts nothing, however narrow that is."""

    def __init__(self, *_: object) -> None:
        super().__init__(width=min(get_terminal_size().columns, WIDEST))

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = LONG, col_spacing: int = 2
    ) -> None:
        """Words and their meanings; a word that is too long has a line of its own."""
        super().write_dl(rows, min(col_max, int(self.width * (1 - FOR_MEANINGS))), col_spacing)


class Context(click.Context):
    """One call of a command: its help ends with examples."""

    def make_formatter(self) -> click.HelpFormatter:
        """See ``Formatter``."""
        return Formatter()

    def get_help(self) -> str:
        """What the command is, its options, and examples."""
        from geats_host.cli.examples import EXAMPLES

        examples = "\n".join(f"  {each}" for each in EXAMPLES.get(self.path, ()))
        return f"{super().get_help()}\n\nExamples:\n{examples}" if examples else super().get_help()

    @property
    def path(self) -> str:
        """The words that lead to the command, such as ``templates import``."""
        above = self.parent.path if isinstance(self.parent, Context) else ""
        return "" if self.parent is None else f"{above} {self.info_name}".strip()


class Word(click.types.StringParamType):
    """A word that shells complete: see ``completion``."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem]":
        """What it may be."""
        from geats_host.cli.completion import complete

        return complete(ctx, param, incomplete)


WORD = Word()


class Group(click.Group):
    """Commands, each of which the help tells in a whole sentence."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands, by theme."""
        themes = list(self.by_theme(ctx))
        width = max((len(name) for _, rows in themes for name, _ in rows), default=0)
        for theme, rows in themes:
            with formatter.section(theme):
                formatter.write_dl([(f"{name:<{width}}", summary) for name, summary in rows])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that *args* begin with; if there is none, the error says which is near."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            near = get_close_matches(args[0], self.list_commands(ctx), n=1)
            if not near:
                raise
            said = f"{error.message} Did you mean '{near[0]}'?"
            raise click.UsageError(said, error.ctx) from None

    def by_theme(self, ctx: click.Context) -> Iterator[tuple[str, list[tuple[str, str]]]]:
        """Each theme, with the names of its commands and what they do."""
        yield "Commands", self.summaries(ctx, self.list_commands(ctx))

    def summaries(self, ctx: click.Context, names: Iterable[str]) -> list[tuple[str, str]]:
        """The commands that are not hidden, each with the first sentence of its help."""
        found = ((name, self.get_command(ctx, name)) for name in names)
        return [
            (name, command.get_short_help_str(sys.maxsize))
            for name, command in found
            if command is not None and not command.hidden
        ]


def prepare(command: click.Command) -> click.Command:
    """Give *command*, and those below it, what all have: shared options, such help, completion."""
    command.context_class = Context
    command.context_settings.setdefault("help_option_names", ["-h", "--help"])
    if all(parameter.name != "config" for parameter in command.params):
        command.params += shared_options()
    if isinstance(command, click.Group):
        for each in command.commands.values():
            prepare(each)
    for parameter in command.params:
        if parameter.type is click.STRING:
            parameter.type = WORD
        if isinstance(parameter, click.Option):
            _shorten(parameter)
    return command


def _shorten(option: click.Option) -> None:
    """Tell the values of an *option* in its help, if they are too many to stand beside its name."""
    if option.metavar is None and isinstance(option.type, click.Choice):
        values = list(map(str, option.type.choices))
        if len("|".join(values)) > LONG:
            option.metavar = "WORD"
            option.help = f"{option.help} One of {', '.join(values)}."


class Commands(Group):
    """Commands that all take the shared options, and that all report errors in the same way."""

    def __init__(self, *arguments: Any, themes: Themes, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.themes = themes
        self.modules = {
            name: module
            for modules in themes.values()
            for module, names in modules.items()
            for name in names
        }
        prepare(self)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all, without loading any."""
        return sorted(self.modules)

    def by_theme(self, ctx: click.Context) -> Iterator[tuple[str, list[tuple[str, str]]]]:
        """Each theme, with the names of its commands and what they do: this loads all of them."""
        for theme, modules in self.themes.items():
            yield theme, self.summaries(ctx, (each for names in modules.values() for each in names))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, prepared; those of its module are loaded with it."""
        if cmd_name not in self.commands and cmd_name in self.modules:
            module = import_module(f"geats_host.cli.{self.modules[cmd_name]}")
            for each in module.COMMANDS:
                self.add_command(prepare(each))
        return super().get_command(ctx, cmd_name)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        """The commands; in bash, which shows no more than their names, without loading them."""
        if not os.environ.get(COMPLETION, "").startswith("bash") or incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        from click.shell_completion import CompletionItem

        return [CompletionItem(name) for name in self.modules if name.startswith(incomplete)]

    def main(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> Any:
        """Run the command line; with ``--json``, usage errors are JSON too."""
        given = list(sys.argv[1:] if args is None else args)
        if "--json" not in given:
            return super().main(given, *rest, **options)
        try:
            code = super().main(given, *rest, **{**options, "standalone_mode": False})
        except click.ClickException as error:
            wrong = {"code": "usage", "path": "", "message": error.format_message()}
            click.echo(json.dumps({"refused": [wrong]}, indent=2))
            code = error.exit_code
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; refusals and failures become messages and exit codes."""
        from geats_host.cli.session import UNSOUND, interrupted
        from geats_host.errors import HostError, Refused, trouble

        session = _session(ctx)
        try:
            answer = super().invoke(ctx)
            if session.used is not None and session.used.config.unsound:
                sys.exit(UNSOUND)
            return answer
        except KeyboardInterrupt:
            interrupted(session)
        except Refused as refused:
            session.stop(refused)
        except (HostError, OSError) as failed:
            error = trouble(failed) if isinstance(failed, OSError) else failed
            needs_root = f"{error} (you are not root, and geats has to be: try sudo)"
            session.stop(HostError(needs_root) if os.geteuid() else error)
