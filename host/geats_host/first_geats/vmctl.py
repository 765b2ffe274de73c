"""``vmctl``, the command of the first geats: its words and answers, carried out by plans of now.

Unlike then, what goes wrong is told on standard error, and exits with 1.
"""

import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import click

from geats_host.calls.guests import ssh as ssh_calls
from geats_host.errors import HostError, Refused
from geats_host.first_geats import requests
from geats_host.host import Host
from geats_host.inputs.text_files import read_text
from geats_host.inputs.yaml_text import WrongYaml, read_documents

NO_CONSOLE = "{} is currently in state '{}'. Cannot access console."
NO_SSH = "{} is currently in state '{}'. Cannot SSH."
SUMMARIES = {
    "start": "Start a VM",
    "stop": "Stop a VM",
    "shutdown": "Shutdown a VM",
    "undefine": "Undefine a VM",
    "reinit": "Re-initialize a VM",
    "deprovision": "Deprovision a VM",
}
OpenHost = Callable[[], Host]
in_host = click.make_pass_decorator(Host)


def main() -> None:
    """The program."""
    try:
        vmctl()
    except Refused as refused:
        sys.exit("\n".join(f"Error: {each}" for each in refused.problems))
    except HostError as error:
        sys.exit(f"Error: {error}")


@click.group()
@click.option("--verbose", is_flag=True, hidden=True, help="As it was: nothing more is said.")
@click.option(
    "--config", "file", type=click.Path(path_type=Path), help="The configuration of geats."
)
@click.pass_context
def vmctl(context: click.Context, verbose: bool, file: Path | None) -> None:
    """The command of the first geats. `geats` does all of this, and more."""
    context.obj = requests.this_host(file, "vmctl")


@vmctl.command("list")
@in_host
def list_(host: Host) -> None:
    """List all VMs."""
    for name, vm in requests.known(host).items():
        locked = " [locked]" if vm.locked else ""
        click.echo(f"{name}: {'/'.join(vm.state)} ({vm.definition['description']}){locked}")


@vmctl.command()
@click.argument("name")
@in_host
def info(host: Host, name: str) -> None:
    """Dump the VM definition."""
    vm = requests.known_vm(host, name)
    told = {"definition": dict(vm.definition), "state": "/".join(vm.state), "locked": vm.locked}
    click.echo(json.dumps(told, indent=2))


@vmctl.command()
@in_host
def status(host: Host) -> None:
    """Show the status of all VMs."""
    for name, vm in requests.known(host).items():
        click.echo(f"# {name}:")
        told = {"definition": dict(vm.definition), "state": "/".join(vm.state)}
        click.echo(json.dumps(told, indent=2))


def _on_one(action: str, summary: str) -> click.Command:
    @click.argument("name")
    @in_host
    def command(host: Host, name: str) -> None:
        requests.perform(host, action, name)
        click.echo(f"{action}: OK ({name})")

    return click.command(action, help=f"{summary}.")(command)


def _silently(action: str) -> click.Command:
    @click.argument("name")
    @in_host
    def command(host: Host, name: str) -> None:
        requests.perform(host, action, name)

    return click.command(action, help=f"{action.capitalize()} a VM.")(command)


def _with_definition(action: str) -> click.Command:
    @click.argument("name")
    @click.argument("file")
    @in_host
    def command(host: Host, name: str, file: str) -> None:
        for note in requests.perform(host, action, name, _definition(file)):
            if note.to is None:
                click.echo(f"{action}: {note.key} is left out: {note.why}", err=True)
        click.echo(f"{action}: OK ({name})")

    summary = f"{action.capitalize()} a new VM, from a file with its definition (YAML or JSON)."
    return click.command(action, help=summary)(command)


def _definition(file: str) -> object:
    try:
        documents = read_documents(read_text(file))
    except WrongYaml as wrong:
        raise Refused(f"{file}: is not valid YAML: {wrong}") from None
    return documents[0] if len(documents) == 1 else documents


@vmctl.command()
@click.argument("name")
@in_host
def console(host: Host, name: str) -> None:
    """Access VM console."""
    _check_on(host, name, NO_CONSOLE)
    _become(host.console_command(name))


@vmctl.command()
@click.argument("name", metavar="[USER@]NAME")
@in_host
def ssh(host: Host, name: str) -> None:
    """SSH to a VM."""
    user, at, name = name.rpartition("@")
    _check_on(host, name, NO_SSH)
    _become(ssh_calls.ssh_command(host, name, {"user": user} if at else {}))


@vmctl.command()
@click.argument("name")
@click.argument("destination")
@in_host
def migrate(host: Host, name: str, destination: str) -> None:
    """Migrate a VM to another hypervisor: over ssh, that host fetches it from here."""
    requests.known_vm(host, name)
    source = f"ssh://root@{_own_name()}/{name}"
    _become(["ssh", f"root@{destination}", "geats", "fetch", source, "--shutdown"])


def _own_name() -> str:
    """What other hosts call this one: never what each calls itself, as some /etc/hosts would."""
    name = socket.getfqdn()
    return socket.gethostname() if name.partition(".")[0] == "localhost" else name


def _check_on(host: Host, name: str, message: str) -> None:
    state = requests.known_vm(host, name).state[0]
    if state != "running":
        raise Refused(message.format(name, state))


def _become(command: list[str]) -> NoReturn:
    click.echo(f"$ {' '.join(command)}")
    sys.stdout.flush()
    try:
        os.execvp(command[0], command)
    except OSError as error:
        raise HostError(f"{command[0]} cannot be run: {error.strerror}") from None


for _command in (
    *(_on_one(action, summary) for action, summary in SUMMARIES.items()),
    *map(_silently, ("lock", "unlock")),
    *map(_with_definition, ("define", "provision")),
):
    vmctl.add_command(_command)
