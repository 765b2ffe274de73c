"""The command line: ``geats``, with no Salt around.

Exit codes: 0 done, 1 failed, 2 wrong input or refused, 3 ``plan --exit-code`` found changes, 5 done
although the configuration is wrong; for ``exec``, the exit code of the program.
"""

import sys
from io import TextIOWrapper

import click

from geats_host.cli.commands import Commands

MODULES = {  # where each command is: a module is loaded when one of its commands is called
    "adopt": ("adopt", "import-legacy", "import-libvirt", "import-lxc", "import-proxmox"),
    "checks": ("validate", "doctor", "schema"),
    "copies": ("export", "import", "accept", "clone", "rename"),
    "exports": ("prune-exports",),
    "guest": ("exec", "push", "pull", "wait", "console"),
    "history": ("journal", "events"),
    "inventory": ("pools", "volumes", "drivers", "strays", "pending"),
    "moves": ("fetch", "send"),
    "plans": ("plan", "apply", "why", "observe", "reverse", "boot", "halt"),
    "registry": ("registry",),
    "repair": ("repair",),
    "snapshots": (
        *("snapshot", "snapshots", "restore", "delete-snapshot"),
        "prune-snapshots",
    ),
    "templates": ("templates",),
    "units": ("units",),
    "verbs": (
        *("define", "provision", "start", "shutdown", "stop", "reboot", "freeze", "unfreeze"),
        *("undefine", "deprovision", "reinit", "lock", "unlock"),
    ),
    "vms": ("list", "info", "show", "status"),
}


@click.group(
    cls=Commands, modules=MODULES, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(package_name="geats", prog_name="geats")
def cli() -> None:
    """Manage the LXC containers and virtual machines of this host.

    Exit codes: 0 done; 1 failed; 2 wrong input, or refused; 3 'plan --exit-code' found changes. 5:
    done, but the configuration is wrong ('list', 'info', 'status', 'journal', 'events', 'console',
    'stop', 'shutdown', 'boot' and 'halt' work anyway). 'exec' exits with the code of the program.
    """
    from geats_host.cli.system_log import log_to_the_system

    log_to_the_system()


def main() -> None:
    """The console script. Characters that the terminal cannot show are replaced."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    cli()


if __name__ == "__main__":
    main()
