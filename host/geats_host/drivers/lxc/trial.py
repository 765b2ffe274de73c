"""Whether containers run on this host: a small one is started, entered and stopped.

Its root is a folder of the host's own programs, mounted read-only; its init sleeps. It is below an
lxcpath of its own, so that nobody takes it for a VM, and has no network.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from geats_core.requests.guest_requests import Command
from geats_core.vm.spec import ROOT, Bind, VMSpec, Volume
from geats_host.drivers import Driver, Place, binding
from geats_host.drivers.abilities import Trial
from geats_host.drivers.lxc.library import LXC
from geats_host.drivers.lxc.options import Options
from geats_host.errors import HostError

NAME = "geats-doctor"
INIT = "#!/bin/sh\nexec sleep 60\n"
PROGRAMS = ("usr", "bin", "lib", "lib32", "lib64")  # of the host: directories, or links into usr
NO_FIX = "mend what it says; the other findings may tell why"
LOCKS = Path("/run/lxc/lock")  # of liblxc, by lxcpath
BINDING, START, ATTACH = "lxc for Python", "start", "attach"


class Trying(Driver, Protocol):
    """A driver that can also end a container whatever state it is in."""

    def end(self, name: str) -> None:
        """Make sure that nothing of the container runs."""


def trials(options: Options, opened: Callable[[Options], Trying]) -> Iterator[Trial]:
    """What calls liblxc; then, for root, a container that runs: *opened* gives the driver."""
    yield _binding(options)
    if os.geteuid() == 0:
        yield from _container(options, opened)


def _binding(options: Options) -> Trial:
    tried = list(binding.candidates(LXC, options.python, options.state_dir))
    sound = next((str(each) for each in tried if not each.fault), None)
    if sound is None:
        return Trial(what=BINDING, found="; ".join(map(str, tried)), fix=LXC.mend)
    return Trial(what=BINDING, found=sound)


def _container(options: Options, opened: Callable[[Options], Trying]) -> Iterator[Trial]:
    try:
        yield from _in_folder(options, opened)
    except OSError as error:
        found = f"a small container cannot be made: {error.strerror}"
        yield Trial(what=START, found=found, fix=f"look at the disk of {options.state_dir}")


def _in_folder(options: Options, opened: Callable[[Options], Trying]) -> Iterator[Trial]:
    state_dir = options.state_dir
    where = state_dir if state_dir.is_dir() else Path("/var/tmp")
    with tempfile.TemporaryDirectory(prefix=".doctor-", dir=where) as folder:
        Path(folder).chmod(0o711)
        trying = opened(replace(options, path=Path(folder) / "lxc"))
        try:
            yield _started(trying, Path(folder) / "root")
            if trying.info(NAME).pid is not None:
                yield _attached(trying)
        finally:
            _end(trying)
            shutil.rmtree(LOCKS / folder.removeprefix("/"), ignore_errors=True)


def _started(driver: Trying, root: Path) -> Trial:
    try:
        driver.define(_spec(_make_root(root)), {ROOT: Place(root)})
        driver.start(NAME)
    except HostError as error:
        return Trial(what=START, found=f"a small container does not start: {error}", fix=NO_FIX)
    return Trial(what=START, found="a small container starts")


def _attached(driver: Trying) -> Trial:
    try:
        ran = driver.exec(NAME, Command(argv=("true",)))
        found = "" if ran.code == 0 else ran.stderr.decode(errors="replace").strip() or "it failed"
    except HostError as error:
        found = str(error)
    if found:
        return Trial(what=ATTACH, found=f"no program runs in a container: {found}", fix=NO_FIX)
    return Trial(what=ATTACH, found="a program runs in a container")


def _make_root(root: Path) -> tuple[Bind, ...]:
    """Make the folder; the host's programs are mounted into it."""
    binds = []
    for name in PROGRAMS:
        host, here = Path("/", name), root / name
        here.parent.mkdir(exist_ok=True)
        if host.is_symlink():
            here.symlink_to(os.readlink(host).removeprefix("/"))
        elif host.is_dir():
            here.mkdir()
            binds.append(Bind(name=name, source=f"{host}", mount=f"{host}", read_only=True))
    for name in ("sbin", "etc", "proc", "sys", "dev", "tmp"):
        (root / name).mkdir()
    init = root / "sbin/init"
    init.write_text(INIT)
    init.chmod(0o755)
    return tuple(binds)


def _spec(binds: tuple[Bind, ...]) -> VMSpec:
    root = Volume(name=ROOT, pool="default", mount="/", size_bytes=1 << 30)
    return VMSpec(
        name=NAME, driver="lxc", template="none", hostname=NAME, volumes=(root,), binds=binds
    )


def _end(driver: Trying) -> None:
    for end in (driver.end, driver.undefine):
        with suppress(HostError):  # what failed is told; the folder is removed with all that it has
            end(NAME)
