"""What interrupted operations left on a host besides VMs: how it is found and removed.

Theory of operation
-------------------
Each place where geats works says itself what can be left there: the folder of exports, the store of
templates, and those pools and drivers that are ``Clearing``. What is found becomes the steps of a
plan. Each step looks again, or relies on a look of the last second: what no longer exists, or is in
use by then, is not removed. So nothing can be removed that is not found, whatever a plan from a
file says. If an operation is in progress on a VM, what belongs to it is not left over: it is
skipped.
"""

import os
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TypeAlias

from geats_core.planning.actions import RemoveLeftover
from geats_core.planning.plugin_facts import Leftover
from geats_core.vm.observation import Observation
from geats_host.archives import export_clones, vm_archives
from geats_host.errors import HostError
from geats_host.host import Host
from geats_host.leftovers import Clearing, Left
from geats_host.storage import COPIES, Pool, VolumeId
from geats_host.templates import clearing

LeftByStep: TypeAlias = Iterator[tuple[tuple[str, RemoveLeftover], Left]]  # by the VM, and the step
KILLED_EXPORT = "an export was killed before the archive was whole"
TRUE_FOR_S = 1.0  # what was seen
ENTRIES = 1000  # of a VM's journal, that are looked through for exports


@dataclass(slots=True)
class Removal:
    """Removes what is left over on a host, one after the other: at all of it, it looks seldom."""

    host: Host
    found: dict[tuple[str, RemoveLeftover], Left] = field(default_factory=dict)
    until_s: float = 0.0
    looking: Lock = field(default_factory=Lock)

    def remove(self, vm: str, action: RemoveLeftover) -> None:
        """Remove one thing; what is not there any more is removed already."""
        left = self._look().get((vm, action))
        if left is None:
            return
        if left.owner:
            raise HostError(f"the {left.kind} {left.name} stays: {left.owner}")
        left.remove()

    def _look(self) -> Mapping[tuple[str, RemoveLeftover], Left]:
        with self.looking:
            if time.monotonic() >= self.until_s:
                self.found = dict(everything(self.host, self.host.observe_all()))
                self.until_s = time.monotonic() + TRUE_FOR_S
            return self.found


def everything(host: Host, seen: Mapping[str, Observation]) -> LeftByStep:
    """Whatever is left over, by the step that removes it."""
    names = {*seen, *host.config.vms}
    for place, left in (
        *(("", each) for each in _of_exports(host, names)),
        *clearing.leftovers(host.pools, host.store),
        *_of_clones(host, seen),
        *_of_plugins(host.pools.asked(lambda pool: _asked(pool, names))),
        *_of_plugins(host.drivers.asked(lambda driver: _asked(driver, names))),
    ):
        yield (left.vm, RemoveLeftover(left.kind, left.name, place)), left


def _asked(plugin: object, names: set[str]) -> tuple[Left, ...]:
    return tuple(plugin.leftovers(names)) if isinstance(plugin, Clearing) else ()


def _of_plugins(answers: Mapping[str, Iterable[Left]]) -> Iterator[tuple[str, Left]]:
    return ((place, each) for place, found in answers.items() for each in found)


def _of_exports(host: Host, names: Iterable[str]) -> Iterator[Left]:
    """Archives that were never whole: in the folder of exports, or where a journal says."""
    named = _half_exported(vm_archives.folder_of(host.config))
    for vm, path in {**named, **_journaled(host, names)}.values():
        yield Left(
            kind=Leftover.FILE,
            name=f"{path}",
            reason=KILLED_EXPORT,
            remove=partial(_unlink, path),
            vm=vm,
        )


def _half_exported(folder: Path) -> dict[Path, tuple[str, Path]]:
    there = sorted(folder.glob(".*.new")) if folder.is_dir() else []
    named = {path: vm_archives.named_new(path) for path in there}
    return {path: (vm, path) for path, vm in named.items() if vm and _is_file(path)}


def _journaled(host: Host, names: Iterable[str]) -> dict[Path, tuple[str, Path]]:
    found: dict[Path, tuple[str, Path]] = {}
    for name in sorted(names):
        for entry in host.registry.journal(name, ENTRIES):
            words = entry.action.removeprefix(f"export {name} to ").partition(", frozen only")[0]
            path = vm_archives.new_of(Path(words))
            if entry.action.startswith(f"export {name} to /") and _is_file(path):
                found[path] = (name, path)
    return found


def _is_file(path: Path) -> bool:
    try:
        seen = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(seen.st_mode) and seen.st_uid == os.geteuid()


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}") from None


def _of_clones(host: Host, seen: Mapping[str, Observation]) -> Iterator[tuple[str, Left]]:
    """Clones that exports read, of VMs whose export was killed."""
    vm_of = {
        export_clones.clone_of(VolumeId(name, volume.name)): name
        for name, have in seen.items()
        for volume in have.volumes
    }
    for pool, there in host.pools.asked(_clones_in).items():
        for clone in there:
            yield (
                pool,
                Left(
                    kind=Leftover.CLONE,
                    name=clone.volume,
                    reason="an export that was killed read it",
                    remove=partial(_destroy, host, pool, clone),
                    vm=vm_of.get(clone, ""),
                ),
            )


def _clones_in(pool: Pool) -> tuple[VolumeId, ...]:
    return tuple(volume for volume in pool.observe() if volume.vm == COPIES)


def _destroy(host: Host, pool: str, clone: VolumeId) -> None:
    host.pools[pool].deactivate(clone)
    host.pools[pool].destroy(clone)
