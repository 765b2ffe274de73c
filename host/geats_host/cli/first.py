"""The command that writes a first configuration: ``geats init``."""

import os
from pathlib import Path
from tempfile import NamedTemporaryFile

import click

from geats_core.declared.config import HostConfig
from geats_core.declared.first_configuration import first_configuration
from geats_host.cli.session import Session, in_session
from geats_host.errors import Refused
from geats_host.examining.first_look import first_look
from geats_host.inputs.configuration import DEFAULT_FILE

NEXT = """\
next: geats doctor     # what this host lacks
      declare a VM there, as in its example, or see 'geats help configuration'
      geats validate   # what is wrong
      geats plan       # what would be done"""


@click.command()
@click.option("--print", "shows", is_flag=True, help="Print it, and write nothing.")
@in_session
def init(session: Session, shows: bool) -> None:
    """Write a first configuration, from what this host has: its filesystem, bridges and VMs.

    It is commented, and has an example of a VM. A file that is there already is not touched. Only
    root can read the new one, because a configuration may hold secrets.
    """
    text = first_configuration(first_look(Path(HostConfig().state_dir)))
    if shows:
        session.answer({"text": text}, lambda: click.echo(text, nl=False))
        return
    file = session.file or DEFAULT_FILE
    _write(file, text)
    session.answer({"path": str(file)}, lambda: click.echo(f"written: {file}\n{NEXT}"))


def _write(file: Path, text: str) -> None:
    """At once and whole, and only if nothing is there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=file.parent) as whole:
        whole.write(text.encode())
        whole.flush()
        try:
            os.link(whole.name, file)
        except FileExistsError:
            shown = "'geats init --print' shows what would be in a new one"
            raise Refused(f"{file}: is there already, and stays as it is: {shown}") from None


COMMANDS = (init,)
