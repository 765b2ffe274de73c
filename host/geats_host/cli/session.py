"""What every command of the command line shares: where the host is, and how answers are given."""

import getpass
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import click

from geats_core.declared.config import HostConfig, parse_config
from geats_core.reading.checked import Code, Problem, problem_to_plain, said_once
from geats_host.errors import HostError, Refused, accepted, trouble
from geats_host.host import Host
from geats_host.inputs import configuration

FAILED, REFUSED, CHANGES, UNSOUND = 1, 2, 3, 5


@dataclass
class Session:
    """One call: the configuration and the host, each opened when first used."""

    file: Path | None = None
    as_json: bool = False

    @cached_property
    def raw(self) -> object:
        """The configuration as it is written; where there is none, that is said."""
        if self.file is None and not configuration.DEFAULT_FILE.exists():
            default = configuration.DEFAULT_FILE
            click.echo(f"there is no configuration: {default} does not exist", err=True)
        return configuration.from_file(self.file)

    @cached_property
    def config(self) -> HostConfig:
        """The configuration, read without a look at the host."""
        return accepted(parse_config(self.raw), "geats")

    @cached_property
    def host(self) -> Host:
        """This host."""
        return Host.from_config(self.raw, f"geats, called by {_user()}")

    @cached_property
    def host_in_part(self) -> Host:
        """The same, where keys of the configuration may be wrong: see ``Host.in_part``."""
        return Host.in_part(self.raw, f"geats, called by {_user()}")

    @property
    def used(self) -> Host | None:
        """The host, if it was opened."""
        return next((host for host in vars(self).values() if isinstance(host, Host)), None)

    def answer(self, report: object, show: Callable[[], None]) -> None:
        """Print *report* as JSON, or *show* it to a person."""
        if self.as_json:
            click.echo(json.dumps(report, indent=2))
        else:
            show()
        self._warn()

    def _warn(self) -> None:
        """Tell on standard error what of the host, if that was looked at, is not available."""
        if self.used is None:
            return
        wrong = self.used.config.unsound
        for why in wrong:
            click.echo(f"warning: {why} (nothing is planned before that is mended)", err=True)
        for why in self.used.unavailable.values():
            if why not in wrong:
                click.echo(f"warning: not available: {why}", err=True)

    def stop(self, error: Refused | HostError) -> NoReturn:
        """End the call, with what was *refused*, or what *failed*."""
        refused = isinstance(error, Refused)
        if self.as_json and isinstance(error, Refused):
            _answer_with_problems("refused", *error.found)
        elif self.as_json:
            _answer_with_problems("failed", Problem("", str(error), Code.HOST))
        elif isinstance(error, Refused):
            click.echo("\n".join(map("refused: {}".format, said_once(error.problems))), err=True)
        else:
            click.echo(f"failed: {error}", err=True)
        sys.exit(REFUSED if refused else FAILED)


def _answer_with_problems(what: str, *problems: Problem) -> None:
    click.echo(json.dumps({what: list(map(problem_to_plain, problems))}, indent=2))


def _user() -> str:
    """Who called: the one that became root for it, where that is known."""
    name = os.environ.get("SUDO_USER") or getpass.getuser()
    return name if name.isprintable() else "somebody"


in_session = click.make_pass_decorator(Session)


def _config(context: click.Context, _: click.Parameter, file: Path | None) -> None:
    if file is not None:
        context.ensure_object(Session).file = file


def _json(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        context.ensure_object(Session).as_json = True


def shared_options() -> list[click.Parameter]:
    """``--config`` and ``--json``, which may stand before a command or after it."""
    return [
        click.Option(
            ["--config"],
            type=click.Path(path_type=Path),
            metavar="FILE",
            expose_value=False,
            callback=_config,
            help=f"The host's configuration (default: {configuration.DEFAULT_FILE}).",
        ),
        click.Option(
            ["--json"],
            is_flag=True,
            expose_value=False,
            callback=_json,
            help="Answer with JSON, for programs.",
        ),
    ]


class Commands(click.Group):
    """Commands that all take the shared options, and end in the same way where there is trouble."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.params += shared_options()

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add *cmd*, with the shared options."""
        cmd.params += shared_options()
        super().add_command(cmd, name)

    def main(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> Any:
        """Run the command line; with ``--json``, what is wrong with it is JSON too."""
        given = list(sys.argv[1:] if args is None else args)
        if "--json" not in given:
            return super().main(given, *rest, **options)
        try:
            code = super().main(given, *rest, **{**options, "standalone_mode": False})
        except click.ClickException as error:
            _answer_with_problems("refused", Problem("", error.format_message(), Code.USAGE))
            code = error.exit_code
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; refusals and trouble become messages and exit codes."""
        session = ctx.ensure_object(Session)
        try:
            answer = super().invoke(ctx)
            if session.used is not None and session.used.config.unsound:
                sys.exit(UNSOUND)
            return answer
        except Refused as refused:
            session.stop(refused)
        except (HostError, OSError) as failed:
            error = trouble(failed) if isinstance(failed, OSError) else failed
            needs_root = f"{error} (you are not root, and geats has to be)"
            session.stop(HostError(needs_root) if os.geteuid() else error)
