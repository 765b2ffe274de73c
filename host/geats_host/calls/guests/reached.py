"""The files of a VM: by its driver while it runs, and by its root volume while it is off."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from geats_core.planning.offers import Offer
from geats_core.requests.guest_requests import FileToRead, FileToWrite
from geats_core.vm.observation import Observation, Power
from geats_core.vm.spec import ROOT, VMSpec
from geats_host.drivers import Copied, Driver, file_requests
from geats_host.drivers.abilities import TreeDriver
from geats_host.drivers.file_requests import Answer, Request
from geats_host.drivers.lxc import scripts
from geats_host.errors import HostError, Refused
from geats_host.host import Host
from geats_host.linux.run import ENDS_WITH_US
from geats_host.storage import VolumeId
from geats_host.streams.safe_text import last_words

SCRIPT = Path(scripts.__path__[0]) / "chroot_child.py"
STDOUT = 1  # where the script answers


class Reached(Protocol):
    """What can be done with the files of a guest; see ``Driver`` and ``TreeDriver``."""

    def write_file(self, file: FileToWrite, source: int) -> None: ...
    def read_file(self, file: FileToRead, target: int) -> None: ...
    def pack(self, path: str, target: int, timeout_s: int) -> Copied: ...
    def unpack(self, file: FileToWrite, source: int) -> Copied: ...


@contextmanager
def reached(host: Host, name: str) -> Iterator[Reached]:
    """The files of a VM; one that is off is not started meanwhile."""
    have = host.known(name)
    if have.power is not Power.STOPPED or not have.exists:
        yield Running(name, host.running(name))
        return
    with host.locks.operation(name):
        yield _off(host, name, host.whole(name))


@dataclass(frozen=True, slots=True)
class Running:
    """The files of a VM that runs."""

    name: str
    driver: Driver

    def write_file(self, file: FileToWrite, source: int) -> None:
        self.driver.write_file(self.name, file, source)

    def read_file(self, file: FileToRead, target: int) -> None:
        self.driver.read_file(self.name, file, target)

    def pack(self, path: str, target: int, timeout_s: int) -> Copied:
        if isinstance(self.driver, TreeDriver):
            return self.driver.pack(self.name, path, target, timeout_s)
        return Copied(is_tree=False)

    def unpack(self, file: FileToWrite, source: int) -> Copied:
        if isinstance(self.driver, TreeDriver):
            return self.driver.unpack(self.name, file, source)
        instead = f"copy single files, or use scp (see 'geats ssh {self.name}')"
        raise Refused(f"{self.name}: takes files only, and no directories: {instead}")


@dataclass(frozen=True, slots=True)
class Off:
    """The files on the root volume of a VM that is off.

    A child whose root it is does the work: no link of the guest's leads it out of there.
    """

    name: str
    root: Path
    shifted_by: int
    elsewhere: tuple[str, ...]  # where the guest has other volumes and directories mounted

    def write_file(self, file: FileToWrite, source: int) -> None:
        self._do(file_requests.writing(file), file.timeout_s, source)

    def read_file(self, file: FileToRead, target: int) -> None:
        self._do(file_requests.reading(file), file.timeout_s, target)

    def pack(self, path: str, target: int, timeout_s: int) -> Copied:
        return file_requests.copied(self._do(file_requests.packing(path), timeout_s, target))

    def unpack(self, file: FileToWrite, source: int) -> Copied:
        said = self._do(file_requests.unpacking(file), file.timeout_s, source)
        return file_requests.copied(said)

    def _do(self, request: Request, timeout_s: int, file: int) -> Answer:
        self._on_the_root(f"{request['path']}", whole=request["do"] in ("pack", "unpack"))
        given = json.dumps({**request, "shift": self.shifted_by}) + "\n"
        argv = [sys.executable, "-I", "-S", f"{SCRIPT}", f"{self.root}", f"{STDOUT}", f"{file}"]
        try:
            ran = subprocess.run(  # one that takes too long is killed
                [*ENDS_WITH_US, *argv],
                input=given.encode(),
                capture_output=True,
                timeout=timeout_s,
                pass_fds=(file,),
                cwd="/",
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise HostError(f"{self.name}: it took more than {timeout_s} s") from None
        answer = file_requests.answer(ran.stdout)
        if ran.returncode != 0 or "failed" in answer.values:
            why = answer.values.get("failed")
            raise HostError(f"{self.name}: {last_words(str(why) if why else ran.stderr)}")
        return answer

    def _on_the_root(self, path: str, *, whole: bool) -> None:
        """Refuse what is on another volume; and a *whole* directory that has one below it."""
        own = f"/{os.path.normpath(path).strip('/')}".rstrip("/")
        for mount in self.elsewhere:
            if f"{own}/".startswith(f"{mount}/") or (whole and mount.startswith(f"{own}/")):
                raise Refused(f"{self.name}: is off, and {mount} is on another volume: start it")


def _off(host: Host, name: str, have: Observation) -> Off:
    """What is reached of a VM that is off; refused if that is nothing."""
    spec = have.recorded or have.defined
    root = next((each for each in have.volumes if each.name == ROOT and each.active), None)
    found = None
    if spec is not None and root is not None and have.power is Power.STOPPED:
        volume = VolumeId(name, ROOT)
        found = host.pools.ask(
            root.pool, lambda pool: (pool.offers, pool.path(volume), pool.facts.shifted_by)
        )
    if spec is None or found is None or not found[1].exists():
        raise Refused(f"{name}: is {have.power}, and must be running")
    offers, path, shifted_by = found
    if offers is not Offer.DIRECTORY:
        why = "is off, and its root is a disk, which only the guest reads: start it"
        raise Refused(f"{name}: {why}")
    return Off(name, path, shifted_by, _elsewhere(spec))


def _elsewhere(spec: VMSpec) -> tuple[str, ...]:
    volumes = (each.mount for each in spec.volumes)
    others = (each.mount for each in spec.shared_volumes)
    mounts = (*volumes, *others, *(each.mount for each in spec.binds))
    return tuple(each for each in mounts if each not in ("", "/"))
