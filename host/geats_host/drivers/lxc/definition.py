"""The two files in which a container is defined: ``config``, and ``started``, what it runs with."""

import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from returns.result import Failure, Success

from geats_core.vm.lxc_config import (
    LxcConfig,
    read_lxc_config,
    spec_line,
    spec_of_lxc_config,
    with_device_rules,
)
from geats_core.vm.spec import VMSpec
from geats_host.drivers import vm_files
from geats_host.drivers.held import HELD
from geats_host.drivers.lock_marks import LOCKED
from geats_host.drivers.lxc.folders import CONFIG as CONFIG
from geats_host.drivers.lxc.kernel import devices
from geats_host.linux.run import run

STARTED, LOG, OLD_LOG = "started", "log", "log.old"
CONSOLE = "console.log"  # what the guest says on its console, also while nobody is there
BEFORE = "config.before-geats"  # what was the config of one that was adopted
PROFILES = "apparmor"  # where liblxc writes the profile that it generates, until lxc-destroy
ROOTFS = "rootfs"  # where other tools put a root filesystem: a volume, once it is adopted
FORMER_LOCK = f"{ROOTFS}.locked"  # by the first geats; once the container is adopted, LOCKED counts
LONGEST_LOG = 1 << 20  # bytes
TYPE_OF_NIC = re.compile(r"lxc\.net\.[0-9]+\.type\s*=")
TRY_S = 30  # it takes some milliseconds
OURS = (
    CONFIG,
    STARTED,
    LOG,
    OLD_LOG,
    f".{OLD_LOG}.new",
    CONSOLE,
    f"{CONSOLE}.1",
    HELD,
    LOCKED,
    f".{LOCKED}.new",
    BEFORE,
    FORMER_LOCK,
    f".{CONFIG}.new",
    f".{STARTED}.new",
)


def config(folder: Path) -> LxcConfig | None:
    """What the container's ``config`` says; None if it has none."""
    text = vm_files.read(folder, CONFIG)
    if text is not None:
        return _read_lxc_config(text, folder.name)
    return LxcConfig(foreign=True) if os.path.lexists(folder / CONFIG) else None


def write_config(folder: Path, text: str) -> None:
    """Put the new text in place as the container's ``config``."""
    vm_files.make_folder(folder, 0o700)
    vm_files.write_atomically(folder, CONFIG, text)


def renew_device_rules(folder: Path, spec: VMSpec) -> None:
    """Let the ``config`` allow devices by the numbers that they have now, whoever starts it."""
    text = vm_files.read(folder, CONFIG) or ""
    now = _with_rules_of_now(text, spec)
    if now != text:
        write_config(folder, now)


def has_old_device_rules(folder: Path, spec: VMSpec) -> bool:
    """Whether the ``config`` allows devices by numbers that they do not have any more."""
    text = vm_files.read(folder, CONFIG) if spec.devices else None
    return text is not None and _with_rules_of_now(text, spec) != text


def _with_rules_of_now(text: str, spec: VMSpec) -> str:
    return with_device_rules(text, spec, devices.nodes(spec.devices)) if spec.devices else text


def keep_config(folder: Path) -> None:
    """Keep the container's ``config`` under a name beside it, as it is now."""
    vm_files.remove_files(folder, (BEFORE,))
    os.link(folder / CONFIG, folder / BEFORE, follow_symlinks=False)


def unread_by_liblxc(lines: Sequence[str]) -> tuple[str, ...]:
    """Those of *lines* because of which liblxc would read nothing of a ``config``.

    It reads lines of an interface only after that of its type.
    """
    types = [line for line in lines if TYPE_OF_NIC.match(line)]
    return () if _is_read(lines) else tuple(each for each in lines if not _is_read([*types, each]))


def _is_read(lines: Iterable[str]) -> bool:
    """``lxc-info`` of a container that has no more than this fails if it cannot read it."""
    with tempfile.TemporaryDirectory(prefix="geats-") as lxcpath:
        write_config(Path(lxcpath, "read"), "".join(f"{line}\n" for line in lines))
        argv = ("lxc-info", "-P", lxcpath, "-n", "read", "-c", "lxc.arch")
        return "lxc.arch" in run(argv, timeout_s=TRY_S, accepted=(0, 1))


def put_aside(folder: Path) -> None:
    """Rename the container's ``config``, so that it is none any more: its files stay."""
    os.rename(folder / CONFIG, folder / BEFORE)


def bound_log(folder: Path) -> None:
    """If the log is long, begin a new one: the old one is kept until the next is that long."""
    vm_files.rotate(folder, LOG, OLD_LOG, LONGEST_LOG)


def started(folder: Path) -> VMSpec | None:
    """What the container was last started with; None if geats did not start it."""
    spec = _unsealed(vm_files.read(folder, STARTED) or "")
    return spec if spec is not None and spec.name == folder.name else None


def write_started(folder: Path, spec: VMSpec) -> None:
    """Note what the container is started with, or runs with from now on."""
    vm_files.write_atomically(folder, STARTED, vm_files.sealed(spec_line(spec)))


_read_lxc_config = lru_cache(maxsize=4096)(read_lxc_config)


@lru_cache(maxsize=4096)
def _unsealed(sealed: str) -> VMSpec | None:
    text = vm_files.unsealed(sealed)
    match spec_of_lxc_config(text or ""):
        case Success(spec):
            return spec
        case Failure():
            return None
