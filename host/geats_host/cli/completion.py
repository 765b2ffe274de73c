"""Completion in shells: the names of VMs, snapshots, pools and templates, and ``geats completion``.

Names come from the configuration and the registry, which are quick to read. What cannot be read
completes nothing: a shell that waits for a word is no place for messages.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TypeAlias

import click
from click.shell_completion import CompletionItem, get_completion_class

from geats_host.cli.commands import COMPLETION, Context
from geats_host.cli.help_pages import TOPICS
from geats_host.cli.session import Session
from geats_host.errors import HostError, Refused
from geats_host.host import Host
from geats_host.inputs import configuration

Names: TypeAlias = Callable[[Host, click.Context], Iterable[str]]
SHELLS = ("bash", "zsh", "fish")


def _vms(host: Host, _: click.Context) -> Iterable[str]:
    return {*host.config.vms, *host.registry.definitions()}


def _not_defined(host: Host, _: click.Context) -> Iterable[str]:
    return (name for name, have in host.observe_all().items() if have.recorded is None)


def _snapshots(host: Host, context: click.Context) -> Iterable[str]:
    seen = host.observe(str(context.params.get("name")))
    return (each.name for volume in seen.volumes for each in volume.snapshots)


def _volumes(host: Host, context: click.Context) -> Iterable[str]:
    return (volume.name for volume in host.observe(str(context.params.get("name"))).volumes)


def _pools(host: Host, _: click.Context) -> Iterable[str]:
    return host.config.pools


def _templates(host: Host, _: click.Context) -> Iterable[str]:
    return host.config.templates


def _profiles(host: Host, _: click.Context) -> Iterable[str]:
    return host.config.profiles


def _drivers(host: Host, _: click.Context) -> Iterable[str]:
    return host.drivers


def _of_help(_: Host, context: click.Context) -> Iterable[str]:
    root = context.find_root()
    group = root.command
    return (*TOPICS, *(group.list_commands(root) if isinstance(group, click.Group) else ()))


def _new(_: Host, __: click.Context) -> Iterable[str]:
    """What nobody has yet."""
    return ()


# What an argument or an option of this name stands for, in all commands but those below.
NAMES: Mapping[str, Names] = {
    **dict.fromkeys(("name", "names", "vm", "vms"), _vms),
    "snapshot": _snapshots,
    **dict.fromkeys(("pool", "pools"), _pools),
    **dict.fromkeys(("template", "templates"), _templates),
    **dict.fromkeys(("volume", "volumes"), _volumes),
    "profile": _profiles,
    "driver": _drivers,
}
OF_COMMANDS: Mapping[str, Mapping[str, Names]] = {
    "adopt": {"name": _not_defined},
    "clone": {"source": _vms, "name": _new},
    "create": {"name": _new},
    "help": {"words": _of_help},
    "import": {"name": _new},
    "publish": {"template": _new},
    "snapshot": {"snapshot": _new},
    "ssh": {"target": _vms},
    "templates import": {"names": _templates},
}


def complete(
    context: click.Context, parameter: click.Parameter, begun: str
) -> list[CompletionItem]:
    """The names that may stand where a word has *begun*, but not those that stand there already."""
    path = context.path if isinstance(context, Context) else ""
    names = OF_COMMANDS.get(path, {}).get(parameter.name or "") or NAMES.get(parameter.name or "")
    if names is None:
        return []
    logging.disable()
    given = context.params.get(parameter.name or "")
    taken = given if isinstance(given, tuple) else ()
    with suppress(Refused, HostError, OSError):
        host = Host.in_part(configuration.from_file(context.ensure_object(Session).file))
        found = {name for name in names(host, context) if name.startswith(begun)}
        return [CompletionItem(name) for name in sorted(found.difference(taken))]
    return []


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script that makes a shell complete commands, options and the names of VMs and so on.

    Write it where the shell looks for such scripts, as in the examples: each new shell has it then.
    """
    kind = get_completion_class(shell)
    assert kind is not None  # SHELLS are those of click
    click.echo(kind(context.find_root().command, {}, "geats", COMPLETION).source())


COMMANDS = (completion,)
