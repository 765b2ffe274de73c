"""What all commands share: the configuration, the host, and how answers are printed."""

import getpass
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NoReturn

import click

from geats_core.declared.config import HostConfig, parse_config
from geats_core.plans.said_once import said_once
from geats_core.reading.checked import (
    Code,
    Problem,
    problem_to_plain,
)
from geats_host.errors import Busy, HostError, Refused, accepted
from geats_host.host import Host
from geats_host.inputs import configuration

FAILED, REFUSED, CHANGES, FORCED, UNSOUND, BUSY = 1, 2, 3, 4, 5, 6
INTERRUPTED = 130  # as shells say it: 128, and the number of SIGINT
NO_VM = "no VM is declared: 'geats help configuration' shows how"


@dataclass
class Session:
    """One call: the configuration and the host, each opened when first used."""

    file: Path | None = None
    as_json: bool = False
    format: str = ""  # of a list: see ``cli.lists``
    columns: tuple[str, ...] = ()
    watch_s: float | None = None
    trouble: int = 0  # the exit code of a refusal or a failure, if it has one for both

    @property
    def unconfigured(self) -> str:
        """That there is no configuration, and what to do; empty if there is one."""
        default = configuration.DEFAULT_FILE
        if self.file is not None or default.exists():
            return ""
        return f"there is no configuration: {default} does not exist: 'geats init' writes one"

    @cached_property
    def raw(self) -> object:
        """The configuration as it is written; if there is none, a message says so."""
        if self.unconfigured:
            click.echo(self.unconfigured, err=True)
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
        """The same, if keys of the configuration may be wrong: see ``Host.in_part``."""
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
        """Say on standard error which parts of the host are not available, if it was opened."""
        if self.used is None:
            return
        wrong = self.used.config.unsound
        for why in wrong:
            click.echo(f"warning: {why} (nothing is planned until this is corrected)", err=True)
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
        code = BUSY if isinstance(error, Busy) else REFUSED if refused else FAILED
        sys.exit(self.trouble or code)


def interrupted(session: Session) -> NoReturn:
    """End the call after Ctrl-C, if nothing was being done that has more to say."""
    if session.as_json:
        click.echo(json.dumps({"interrupted": {"done": [], "left": []}}, indent=2))
    else:
        click.echo("interrupted", err=True)
    sys.exit(INTERRUPTED)


def _answer_with_problems(what: str, *problems: Problem) -> None:
    click.echo(json.dumps({what: list(map(problem_to_plain, problems))}, indent=2))


def _user() -> str:
    """The user who called; with sudo, the user before sudo."""
    name = os.environ.get("SUDO_USER") or getpass.getuser()
    return name if name.isprintable() else "somebody"


in_session = click.make_pass_decorator(Session)
