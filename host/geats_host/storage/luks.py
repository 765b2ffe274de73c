"""An adapter: each file or block device of the pool below, encrypted with LUKS2::

    geats:
      pools:
        secret:
          type: filesystem
          fstype: xfs
          on:
            type: luks
            key_file: /etc/geats/luks.key     # of root, and readable by nobody else
            on: {type: lvm, vg: vg0}

Theory of operation
-------------------
The first 16 MiB of what is below contain LUKS's header. A volume is so much smaller than the one
that it is on, which is asked for so much more. An open one is /dev/mapper/geats.KEY.VM.VOLUME,
where KEY names the pool below. Whether it is open is seen in /sys: after a host's restart none is.

The marks are those of the pool below. That luksFormat came to its end is noted there as the guest
of a volume that is only formatted. The header carries a label made from its volume's name, and one
that carries another is not opened, nor is anything made over it: names of devices can change.

A clone or a snapshot is one of what is encrypted, header and all: it has the key of its volume. A
volume is destroyed by erasing its keys first, so that nothing is left to be read whatever the pool
below keeps. Clones have one key: what one left below would be read by the next, if it was not
zeroed, as for guests it is. What a guest discards is passed on only with ``discard: true``: it
shows on the device below which blocks are in use.
"""

import os
import stat
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from returns.result import Failure, Success

from geats_core.planning.plugin_facts import PoolFacts
from geats_core.reading.checked import Checked, Problem, problem
from geats_core.reading.fields import Reader, absolute_path, boolean, one_of, positive_int
from geats_core.vm.observation import Stage, VolumeSeen
from geats_host.errors import HostError, Refused
from geats_host.guest_trees.folders import host_errors
from geats_host.linux import loops
from geats_host.linux.block_devices import size_of
from geats_host.linux.run import run
from geats_host.storage import (
    IdentifiedPool,
    Offer,
    Pool,
    RenamingPool,
    VolumeId,
    ZeroingPool,
    check_clone,
    check_snapshot,
    key_of,
)
from geats_host.storage.fstypes import fitting, signatures
from geats_host.storage.luks_commands import HEADER_BYTES, Cryptsetup, header_label, open_mappings

MAPPER = Path("/dev/mapper")
LONGEST_MAPPING = 120  # DM_NAME_LEN is 128, see linux/dm-ioctl.h
LONGEST_LABEL = 47
MADE = "luks"
STANDS_ON = (Offer.FILE, Offer.BLOCK_DEVICE)
TIMEOUT_S = 3600
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def open_pool(options: Mapping[object, object], below: Pool | None) -> Pool:
    """Block devices that are encrypted on the volumes of *below*.

    ``key_file`` (needed) contains the key. ``discard`` (false) passes on what is discarded.
    ``pbkdf`` (argon2id, or pbkdf2) and ``iterations`` say how the key is derived from the file: the
    default is what cryptsetup finds right for this host, which takes seconds at each activation.
    Where the file is random and long, ``pbkdf: pbkdf2`` with ``iterations: 1000`` is as safe, and
    at once.
    """
    read = Reader("", options)
    command = Cryptsetup(
        key_file=read.need("key_file", _key_file, ""),
        discard=read.take("discard", boolean, False),
        pbkdf=read.take("pbkdf", one_of("pbkdf", ("argon2id", "pbkdf2")), "argon2id"),
        iterations=read.take("iterations", positive_int, 0),
    )
    if not command.is_installed:
        read.problems.append(
            Problem("type", "cryptsetup is not installed (package cryptsetup-bin)")
        )
    if below is None or below.offers not in STANDS_ON:
        read.problems.append(Problem("on", "luks needs a file or a block device"))
    match read.done(command):
        case Success(checked) if below is not None:
            return LuksPool(below, checked, key_of(below))
        case Success():
            raise AssertionError("a missing pool is a problem")
        case Failure(problems):
            raise Refused(*problems)


def _key_file(path: str, raw: object) -> Checked[str]:
    match absolute_path(path, raw):
        case Success(file):
            wrong = _wrong_with_key(Path(file))
            return problem(path, f"{wrong}: {file!r}") if wrong else Success(file)
        case failure:
            return failure


def _wrong_with_key(file: Path) -> str:
    try:
        found = file.stat()
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if not stat.S_ISREG(found.st_mode) or not found.st_size:
        return "must be a file with the key in it"
    if found.st_uid != 0 or found.st_mode & OTHERS:
        return "must be root's, with mode 0600 or 0400"
    return ""


@dataclass(frozen=True, slots=True)
class LuksPool:
    """See the module; *key* names the pool below."""

    below: Pool
    command: Cryptsetup
    key: str

    @property
    def offers(self) -> Offer:
        """A block device: what was decrypted."""
        return Offer.BLOCK_DEVICE

    @property
    def facts(self) -> PoolFacts:
        """What the pool below has."""
        below = self.below.facts
        default = below.default_bytes
        return replace(
            below,
            renames=below.renames and isinstance(self.below, RenamingPool),
            default_bytes=None if default is None else default - HEADER_BYTES,
        )

    def identify(self) -> None:
        """Give the pool below its identity, if it can have one."""
        if isinstance(self.below, IdentifiedPool):
            self.below.identify()

    def observe(self, only: VolumeId | None = None) -> Mapping[VolumeId, VolumeSeen]:
        """Every volume of the pool below, as far as it is encrypted; active if it is open."""
        there = open_mappings()
        return {
            volume: self._seen(volume, seen, there)
            for volume, seen in self.below.observe(only).items()
        }

    def path(self, volume: VolumeId) -> Path:
        """The mapping."""
        self.below.path(volume)  # refuses what cannot be a name
        return MAPPER / fitting(f"geats.{self.key}.{volume}".replace("/", "."), LONGEST_MAPPING)

    def allocate(self, volume: VolumeId, size_bytes: int | None) -> None:
        """Let the pool below do it, with room for the header."""
        self.below.allocate(volume, None if size_bytes is None else size_bytes + HEADER_BYTES)

    def format(self, volume: VolumeId) -> None:
        """Write the header, unless it is there; refused if there is anything else."""
        if self._need(volume).stage >= Stage.FORMATTED:
            return
        self.below.format(volume)
        device = self._device(volume)
        with host_errors(device):
            self._check_free(volume, device)
        run(self.command.format(device, self._label(volume)), timeout_s=TIMEOUT_S)
        seen = self.below.observe(volume)[volume]
        self.below.mark(volume, replace(seen, stage=Stage.FORMATTED, guest=MADE))

    def activate(self, volume: VolumeId) -> None:
        """Open it, unless it is open."""
        seen = self._need(volume)
        if seen.stage < Stage.FORMATTED:
            raise HostError(f"{self.path(volume)}: is not formatted")
        if not self._is_open(volume):
            self._open(volume, is_clone=seen.stage is Stage.FILLING)
        self._resize(volume)

    def deactivate(self, volume: VolumeId) -> None:
        """Close it; refused while it is in use."""
        self._close(volume)
        self.below.deactivate(volume)

    def grow(self, volume: VolumeId, size_bytes: int) -> None:
        """Grow the volume below, and then the mapping, while it is in use."""
        self._need(volume)
        self.below.grow(volume, size_bytes + HEADER_BYTES)
        if self._is_open(volume):
            self._resize(volume)

    def zero(self, volume: VolumeId) -> None:
        """Let the pool below do it, if it has to."""
        if isinstance(self.below, ZeroingPool):
            self.below.zero(volume)

    def grow_zeroed(self, volume: VolumeId, size_bytes: int) -> None:
        """The same as ``grow``, with what the pool below zeroes."""
        if isinstance(self.below, ZeroingPool):
            self.below.grow_zeroed(volume, size_bytes + HEADER_BYTES)
        self.grow(volume, size_bytes)

    def destroy(self, volume: VolumeId) -> None:
        """Erase the keys, then let the pool below do it; refused while it is open."""
        if self._is_open(volume):
            raise HostError(f"{self.path(volume)}: is in use")
        seen = self.below.observe(volume).get(volume)
        if seen is not None and seen.stage >= Stage.FORMATTED:
            device = self._device(volume)
            if header_label(device) == self._label(volume):
                gone = replace(seen, stage=Stage.FORMATTED, template=None, guest=None)
                self.below.mark(volume, gone)  # without MADE: no part of it is taken for whole
                run(self.command.erase(device))
            self.below.deactivate(volume)
        self.below.destroy(volume)

    def snapshot(self, volume: VolumeId, name: str, taken_s: int) -> None:
        """Let the pool below do it, once all that was written is there."""
        check_snapshot(volume, name)
        self._flush(volume)
        self.below.snapshot(volume, name, taken_s)

    def rollback(self, volume: VolumeId, name: str) -> None:
        """Let the pool below do it, while it is closed."""
        check_snapshot(volume, name)
        seen = self._need(volume)
        if seen.snapshot(name) is None:
            why = f"there is no snapshot {name}" if self.facts.snapshots else "has no snapshots"
            raise HostError(f"{self.path(volume)}: {why}")
        self._close(volume)
        self.below.rollback(volume, name)
        if seen.active:
            self.activate(volume)

    def delete_snapshot(self, volume: VolumeId, name: str) -> None:
        """Let the pool below do it."""
        self.below.delete_snapshot(volume, name)

    def clone(self, source: VolumeId, target: VolumeId) -> None:
        """Let the pool below do it; the clone has a label and an id of its own."""
        check_clone(source, target)
        for volume in (source, target):
            if self._need(volume).stage < Stage.FORMATTED:
                raise HostError(f"{self.path(volume)}: is not formatted")
        was_active = self._need(target).active
        self._flush(source)
        self._close(target)
        self.below.clone(source, target)
        self._open(target, is_clone=True)
        if not was_active:
            self.deactivate(target)

    def rename(self, volume: VolumeId, new: VolumeId) -> None:
        """Let the pool below do it, while it is closed; the header gets the label of *new*."""
        if not isinstance(self.below, RenamingPool):
            raise HostError(f"{self.path(volume)}: the pool below cannot rename it")
        if self.below.observe(volume):
            self._close(volume)
            if self._need(volume).stage >= Stage.FORMATTED:
                self._label_anew(volume, new)
            self.below.deactivate(volume)
        self.below.rename(volume, new)

    def used_bytes(self, volume: VolumeId) -> int:
        """What the pool below says."""
        return self.below.used_bytes(volume)

    def mark(self, volume: VolumeId, seen: VolumeSeen) -> None:
        """Let the pool below remember it."""
        made = seen.stage is Stage.FORMATTED and seen.guest is None
        self.below.mark(volume, replace(seen, guest=MADE) if made else seen)

    def set_locked(self, volume: VolumeId, *, locked: bool) -> None:
        """Let the pool below note it."""
        self.below.set_locked(volume, locked=locked)

    def _seen(self, volume: VolumeId, seen: VolumeSeen, there: Mapping[str, int]) -> VolumeSeen:
        shown = replace(
            seen,
            active=False,
            size_bytes=None if seen.size_bytes is None else seen.size_bytes - HEADER_BYTES,
            snapshots=tuple(
                replace(each, guest=None) if each.guest == MADE else each for each in seen.snapshots
            ),
        )
        if seen.stage is Stage.FORMATTED and seen.guest in (None, MADE):
            stage = Stage.FORMATTED if seen.guest == MADE else Stage.ALLOCATED
            shown = replace(shown, stage=stage, guest=None)
        opened = there.get(self.path(volume).name)
        if not seen.active or opened is None:
            return shown
        size_bytes = None if shown.size_bytes is None else min(shown.size_bytes, opened)
        return replace(shown, active=True, size_bytes=size_bytes)

    def _need(self, volume: VolumeId) -> VolumeSeen:
        path = self.path(volume)
        seen = self.below.observe(volume).get(volume)
        if seen is None:
            raise HostError(f"{path}: there is no such volume")
        return self._seen(volume, seen, open_mappings())

    def _label(self, volume: VolumeId) -> str:
        return fitting(str(volume), LONGEST_LABEL)

    def _is_open(self, volume: VolumeId) -> bool:
        return self.path(volume).name in open_mappings()

    def _device(self, volume: VolumeId) -> Path:
        """What is below, ready for use, without a loop device that an interruption left."""
        self.below.activate(volume)
        device = self.below.path(volume)
        if self.below.offers is Offer.FILE:
            loops.detach_all(device)
        return device

    def _check_free(self, volume: VolumeId, device: Path) -> None:
        """Refuse to write a header over anything but what an interruption left of one."""
        held = signatures(device)
        if held and (held != ("crypto_LUKS",) or header_label(device) != self._label(volume)):
            raise HostError(f"{device}: contains {', '.join(held)}, and is not formatted")

    def _open(self, volume: VolumeId, *, is_clone: bool) -> None:
        """Open it. If it *is_clone*, it may still have the label of what it was cloned from."""
        device, label = self._device(volume), self._label(volume)
        found = header_label(device)
        if found is None:
            raise HostError(f"{device}: has no LUKS2 header, and is not opened")
        if found != label:
            if not is_clone:
                wanted = f"the header of {found!r}, where that of {label!r} should be"
                raise HostError(f"{device}: contains {wanted}, and is not opened")
            run(self.command.renew(device, str(uuid.uuid4())))
            run(self.command.name(device, label))
        run(self.command.open(device, self.path(volume).name), timeout_s=TIMEOUT_S)

    def _label_anew(self, volume: VolumeId, new: VolumeId) -> None:
        """Give the header the label of *new*; refused if it is neither's."""
        device, label = self._device(volume), self._label(new)
        found = header_label(device)
        if found not in (label, self._label(volume)):
            raise HostError(f"{device}: contains the header of {found!r}, and is not renamed")
        if found != label:
            run(self.command.name(device, label))

    def _close(self, volume: VolumeId) -> None:
        if self._is_open(volume):
            run(self.command.close(self.path(volume).name))

    def _resize(self, volume: VolumeId) -> None:
        """Let the mapping take up all of what is below."""
        device, mapping = self.below.path(volume), self.path(volume)
        with host_errors(device):
            if self.below.offers is Offer.FILE:
                for loop in loops.loops_on(device):
                    loops.take_up_size(loop)
            has_grown = size_of(device) - HEADER_BYTES > size_of(mapping)
        if has_grown:
            run(self.command.resize(mapping.name), timeout_s=TIMEOUT_S)

    def _flush(self, volume: VolumeId) -> None:
        if self._is_open(volume):
            with host_errors(self.path(volume)), self.path(volume).open("rb") as mapping:
                os.fsync(mapping.fileno())
