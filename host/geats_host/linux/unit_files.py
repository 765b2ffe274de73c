"""Units of systemd, as text: what has the VMs of a host start and end with it.

Theory of operation
-------------------
At a poweroff systemd ends whatever still runs, guests as well, and kills what has not ended after
90 s. ``geats.service`` stands before that: while it is active, a shutdown of the host stops it
first, which runs ``geats halt``, while network, filesystems and lxcfs are there still. So it has to
be active whatever ``geats boot`` came to: it may leave out VMs that cannot start, and a unit that
failed would not be stopped. What guests and their monitors run in are control groups of their own,
which a stop of the unit does not end.
"""

from collections.abc import Mapping, Sequence

RUNS = "run/systemd/system"  # is there if systemd is the init
SERVICE = "geats.service"
AFTER = (
    *("network.target", "network-online.target", "local-fs.target", "remote-fs.target"),
    *("lxcfs.service", "libvirtd.service"),
)
PACKAGED_PROGRAM = "/usr/bin/geats"  # where Debian's package has it
DAILY = "daily"
STOPS_WITHIN_S = 1800  # all guests, one after the other where they say so; each has a limit too
HEAD = "# Written by geats: see `geats units`. To change it, write a drop-in (systemctl edit).\n"

SERVICE_TEXT = """{head}[Unit]
Description=The VMs of geats: started with the host, shut down before it
Wants=network-online.target
After={after}

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=-{command} boot
ExecStop={command} halt
TimeoutStartSec=infinity
TimeoutStopSec={stops_within_s}
KillMode=process

[Install]
WantedBy=multi-user.target
"""
JOB_TEXT = """{head}[Unit]
Description={description}
After=local-fs.target

[Service]
Type=oneshot
ExecStart={command}
Nice=10
IOSchedulingClass=idle
"""
TIMER_TEXT = """{head}[Unit]
Description={description}: when

[Timer]
OnCalendar={when}
RandomizedDelaySec=15min
Persistent=true

[Install]
WantedBy=timers.target
"""


def units(
    command: Sequence[str], *, exports: str | None = None, snapshots: str | None = None
) -> Mapping[str, str]:
    """The text of each unit, by its name; *command* is what runs geats, with the configuration.

    *exports* and *snapshots* are when old ones are deleted, as systemd.time(7) says it; None is
    never.
    """
    runs = " ".join(map(quoted, command))
    found = {
        SERVICE: SERVICE_TEXT.format(
            head=HEAD, after=" ".join(AFTER), command=runs, stops_within_s=STOPS_WITHIN_S
        )
    }
    if exports is not None:
        found |= _timer("geats-exports", "Old archives of VMs go", f"{runs} prune-exports", exports)
    if snapshots is not None:
        does = f"{runs} prune-snapshots"
        found |= _timer("geats-snapshots", "Old snapshots of VMs go", does, snapshots)
    return found


def packaged() -> Mapping[str, str]:
    """The units of Debian's package, for the default configuration; `geats units` enables them."""
    return units([PACKAGED_PROGRAM], exports=DAILY, snapshots=DAILY)


def _timer(name: str, description: str, command: str, when: str) -> Mapping[str, str]:
    job = JOB_TEXT.format(head=HEAD, description=description, command=command)
    timer = TIMER_TEXT.format(head=HEAD, description=description, when=when)
    return {f"{name}.service": job, f"{name}.timer": timer}


def quoted(word: str) -> str:
    """A word of a command line, as systemd.service(5) reads it."""
    plain = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{plain}"' if set(plain) & set(" \t'\";") else plain
