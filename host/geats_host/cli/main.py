"""The command line: ``geats``, with no Salt around.

Exit codes: 0 done, 1 failed, 2 wrong input or refused, 3 ``plan --exit-code`` found changes, 5 done
although the configuration is wrong, 6 another operation on a VM is under way; for ``exec``, the
exit code of the program.
"""

import gc
import sys
from io import TextIOWrapper

import click

from geats_host.cli.commands import Commands, Themes

# Each theme of the help: in which modules its commands are, and their names, the most used first. A
# module is loaded when one of its commands is called. From this table come the help, completion,
# the man pages and the reference.
THEMES: Themes = {
    "Plan and apply": {
        "plans": ("plan", "apply", "why", "reverse", "observe"),
    },
    "Look at VMs": {
        "vms": ("list", "status", "info", "show", "diff"),
        "history": ("journal", "events"),
        "inventory": ("pending", "strays"),
    },
    "Turn VMs on and off": {
        "verbs": ("start", "shutdown", "stop", "reboot", "freeze", "unfreeze"),
    },
    "Create and delete VMs": {
        "declare": ("create", "edit"),
        "verbs": ("define", "provision", "reinit", "undefine", "deprovision", "lock", "unlock"),
    },
    "Work in a VM": {
        "guest": ("shell", "exec", "ssh", "console", "push", "pull", "wait", "minion-key"),
        "logs": ("logs",),
    },
    "Snapshots, copies and archives": {
        "snapshots": ("snapshot", "snapshots", "restore", "delete-snapshot", "prune-snapshots"),
        "copies": ("clone", "rename", "export", "import"),
        "exports": ("prune-exports",),
    },
    "Storage and templates": {
        "inventory": ("pools",),
        "volumes": ("volumes", "move-volume"),
        "templates": ("templates",),
        "copies": ("publish",),
    },
    "Move VMs, and take them over": {
        "moves": ("fetch", "send", "take"),
        "copies": ("accept",),
        "adopt": (
            *("adopt", "import-lxc", "import-incus", "import-proxmox", "import-libvirt"),
            *("import-salt-lxc", "import-ansible", "import-legacy"),
        ),
    },
    "This host": {
        "first": ("init",),
        "checks": ("doctor", "validate", "schema"),
        "plans": ("boot", "halt", "keep-up"),
        "units": ("units",),
        "inventory": ("drivers",),
        "registry": ("registry",),
        "repair": ("repair",),
    },
    "For programs": {
        "agent": ("agent", "request", "metrics"),
    },
    "Help": {
        "help_pages": ("help",),
        "completion": ("completion",),
        "manual": ("manual",),
    },
}


def _show_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from geats_host.plugins.installed import own_version

        click.echo(f"geats, version {own_version()}")
        context.exit()


COLLECTS_AFTER = 200_000  # objects: most commands end before that; by default, after 700


@click.group(cls=Commands, themes=THEMES)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
def cli() -> None:
    """Manage the LXC containers and virtual machines of this host.

    'geats COMMAND --help' tells of a command, and 'geats help TOPIC' of a topic: plan,
    configuration, storage, network, templates, snapshots, moving, salt, exit-codes.
    """
    from geats_host.cli.system_log import log_to_the_system

    log_to_the_system()


def main() -> None:
    """The console script. Characters that the terminal cannot show are replaced."""
    gc.set_threshold(COLLECTS_AFTER)  # to look for garbage takes a tenth of a short command's time
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    cli()


if __name__ == "__main__":
    main()
