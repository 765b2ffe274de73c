"""The commands by name, each loaded when it is called, and the options that all of them take.

Only what every call needs is imported here, because loading the modules that a command needs takes
ten times as long as Python takes to start. ``--version`` and ``--help`` are such calls too.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from geats_host.cli.session import Session

Modules = Mapping[str, Sequence[str]]  # the names of the commands in each module of this room


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


class Commands(click.Group):
    """Commands that all take the shared options, and that all report errors in the same way."""

    def __init__(self, *arguments: Any, modules: Modules, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.params += shared_options()
        self.modules = {name: module for module, names in modules.items() for name in names}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all, without loading any."""
        return sorted(self.modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, with the shared options; those of its module are loaded with it."""
        if cmd_name not in self.commands and cmd_name in self.modules:
            module = import_module(f"geats_host.cli.{self.modules[cmd_name]}")
            for each in module.COMMANDS:
                each.params += shared_options()
                self.add_command(each)
        return super().get_command(ctx, cmd_name)

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
        from geats_host.cli.session import UNSOUND
        from geats_host.errors import HostError, Refused, trouble

        session = _session(ctx)
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
