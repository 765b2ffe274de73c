"""What volumes hold, in every pool: a part of the suite of ``pool_conformance``."""

import errno
import json
import os
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from subprocess import PIPE
from typing import TypeAlias

import pytest

from geats_core.vm.observation import Stage
from geats_host.errors import HostError
from geats_host.storage import TEMPLATES, Offer, Pool, RenamingPool, VolumeId
from geats_host.testing.pool_conformance_trees import DEPTH, depth_of, make_deep

Reopen: TypeAlias = Callable[[], Pool]

MIB = 2**20
SOURCE = VolumeId(TEMPLATES, "f" * 40)
OF_A_VM = VolumeId("old", "root")
FIRST, SECOND = VolumeId("web01", "root"), VolumeId("web02", "root")
GUEST = 60_000  # an id that is not root's
CAPABILITY = "security.capability"
WRITTEN = 4 * MIB
FULL = (errno.ENOSPC, errno.EDQUOT)


class ContentConformance:
    """The content of volumes. A subclass may change what its pool does in its own way:

    - ``size_bytes``: of the volumes that the suite makes; it grows some of them to three times that
    - ``unsized``: whether a volume may be allocated without a size
    - ``thin``: whether a volume takes space only for what is written to it
    - ``sources_change``: whether what a volume was cloned from may be written to afterwards, and
      the clone stays as it was
    """

    size_bytes = 64 * MIB
    unsized = True
    thin = True
    sources_change = True

    def ready(self, pool: Pool, volume: VolumeId, text: str = "") -> None:
        """Make a volume that is in use, and write *text* to it."""
        pool.allocate(volume, self.size_bytes)
        pool.format(volume)
        pool.activate(volume)
        if text:
            put(pool, volume, text)

    def test_content_outlives_being_out_of_use(self, reopen: Reopen) -> None:
        self.ready(reopen(), FIRST, "kept")
        reopen().deactivate(FIRST)
        reopen().activate(FIRST)
        check(reopen(), FIRST, "kept")

    def test_making_a_volume_again_keeps_what_it_holds(self, reopen: Reopen) -> None:
        """The next attempt after an interruption begins from the start."""
        self.ready(reopen(), FIRST, "kept")
        self.ready(reopen(), FIRST)
        check(reopen(), FIRST, "kept")

    def test_root_of_any_guest_owns_what_it_is_given(self, reopen: Reopen) -> None:
        """The top of a volume is root's, and passable for all; what is in it is anybody's."""
        pool = reopen()
        self.ready(pool, FIRST)
        if pool.offers is Offer.DIRECTORY:
            found = pool.path(FIRST).stat()
            root = shift_of(pool, FIRST)
            assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (root, root, 0o755)

    def test_a_destroyed_volume_leaves_nothing_to_its_successor(self, reopen: Reopen) -> None:
        pool = reopen()
        self.ready(pool, FIRST, "old")
        if pool.facts.snapshots:
            pool.snapshot(FIRST, "first", 1)
        pool.deactivate(FIRST)
        pool.destroy(FIRST)
        self.ready(reopen(), FIRST)
        assert reopen().observe()[FIRST].snapshots == ()
        assert not (held(reopen(), FIRST) or "").startswith("old")  # if it is encrypted, noise

    def test_destroying_follows_no_link(self, reopen: Reopen, tmp_path: Path) -> None:
        pool = reopen()
        self.ready(pool, FIRST)
        with victim(tmp_path) as outside:
            if pool.offers is Offer.DIRECTORY:
                (pool.path(FIRST) / "out").symlink_to(outside)
            pool.deactivate(FIRST)
            pool.destroy(FIRST)

    @pytest.mark.parametrize("level", [0, 1, 2])
    def test_destroying_is_not_led_away_by_a_link_in_its_path(
        self, reopen: Reopen, tmp_path: Path, level: int
    ) -> None:
        """In place of the volume, or of a directory above it."""
        pool = reopen()
        self.ready(pool, FIRST, "kept")
        pool.deactivate(FIRST)
        place = (pool.path(FIRST), *pool.path(FIRST).parents)[level]
        if pool.offers not in (Offer.DIRECTORY, Offer.FILE) or not place.exists():
            return  # what is out of use need not be anywhere
        aside = place.with_name(".aside")
        with victim(tmp_path) as outside:
            below = outside / pool.path(FIRST).relative_to(place)
            below.mkdir(parents=True, exist_ok=True)
            (below / "precious").write_text("mine")
            place.rename(aside)
            place.symlink_to(outside)
            with suppress(HostError):
                destroy(pool, FIRST)
            assert (below / "precious").read_text() == "mine"
            if place.parent.exists():
                place.unlink()
                aside.rename(place)

    def test_a_volume_with_a_mount_in_it_is_neither_destroyed_nor_emptied(
        self, reopen: Reopen, tmp_path: Path
    ) -> None:
        """A bind mount on the same filesystem too, which ``os.path.ismount`` does not see."""
        pool = reopen()
        self.ready(pool, FIRST, "kept")
        self.ready(pool, SOURCE, "template")
        if pool.facts.snapshots:
            pool.snapshot(FIRST, "first", 1)
        if pool.offers is not Offer.DIRECTORY:
            return
        changes: list[Callable[[], None]] = [
            lambda: pool.clone(SOURCE, FIRST),
            lambda: pool.rollback(FIRST, "first"),
            lambda: pool.deactivate(FIRST),
            lambda: pool.destroy(FIRST),
        ]
        with victim(tmp_path) as outside:
            point = pool.path(FIRST) / "a b"
            point.mkdir()
            subprocess.run(["mount", "--bind", outside, point], check=True)
            try:
                for change in changes:
                    with suppress(HostError):
                        change()
                    assert (outside / "precious").read_text() == "mine"
                assert FIRST in pool.observe()
            finally:
                subprocess.run(["umount", point], check=True)
        pool.activate(FIRST)
        check(pool, FIRST, "kept")

    def test_a_volume_that_is_mounted_elsewhere_is_not_destroyed(
        self, reopen: Reopen, tmp_path: Path
    ) -> None:
        """As by a container that runs, which has a mount namespace of its own."""
        pool = reopen()
        self.ready(pool, FIRST, "kept")
        self.ready(pool, SOURCE, "template")
        if pool.offers is not Offer.DIRECTORY:
            return
        with mounted_elsewhere(pool.path(FIRST), tmp_path / "elsewhere") as seen_there:
            with pytest.raises(HostError):
                destroy(pool, FIRST)
            assert seen_there() == "kept"
            assert FIRST in reopen().observe()
        destroy(pool, FIRST)
        assert FIRST not in pool.observe()

    @pytest.mark.parametrize("active", [True, False], ids=["active", "inactive"])
    def test_a_renamed_volume_holds_what_it_held(self, reopen: Reopen, active: bool) -> None:
        pool = reopen()
        if not (pool.facts.renames and isinstance(pool, RenamingPool)):
            return
        self.ready(pool, FIRST, "kept")
        if not active:
            pool.deactivate(FIRST)
        pool.rename(FIRST, OF_A_VM)
        reopen().activate(OF_A_VM)
        check(reopen(), OF_A_VM, "kept")

    @pytest.mark.parametrize("source", [SOURCE, OF_A_VM])
    @pytest.mark.parametrize("active", [True, False], ids=["active", "inactive"])
    def test_a_clone_holds_what_its_source_holds(
        self, reopen: Reopen, source: VolumeId, active: bool
    ) -> None:
        """Names, content, kinds, modes, owners, times, links and attributes; and nothing else."""
        pool = reopen()
        self.ready(pool, source)
        plant(pool, source)
        before = grown(pool, source)
        if not active:
            pool.deactivate(source)
        self.ready(pool, FIRST, "in the way")
        seen = replace(pool.observe()[FIRST], stage=Stage.FILLING)
        pool.mark(FIRST, seen)
        for _ in range(2):
            reopen().clone(source, FIRST)
            assert grown(reopen(), FIRST) == before
            assert reopen().observe()[FIRST] == seen
        pool.activate(source)
        assert grown(reopen(), source) == before

    def test_clones_of_one_source_have_nothing_to_do_with_each_other(self, reopen: Reopen) -> None:
        pool = reopen()
        self.ready(pool, SOURCE, "template")
        for volume in (FIRST, SECOND):
            self.ready(pool, volume)
            pool.clone(SOURCE, volume)
        put(pool, FIRST, "changed")
        check(pool, SECOND, "template")
        check(pool, SOURCE, "template")
        if self.sources_change:
            put(pool, SOURCE, "another")
        check(pool, FIRST, "changed")
        check(pool, SECOND, "template")

    def test_a_clone_outlives_its_source_or_keeps_it(self, reopen: Reopen) -> None:
        """If a clone needs its source, the source cannot be destroyed before it."""
        pool = reopen()
        self.ready(pool, SOURCE, "template")
        self.ready(pool, FIRST)
        pool.clone(SOURCE, FIRST)
        try:
            pool.deactivate(SOURCE)
            pool.destroy(SOURCE)
        except HostError as refused:
            assert "in use" in str(refused)  # noqa: PT017 (either way is right)
            assert SOURCE in reopen().observe()
        else:
            assert set(reopen().observe()) == {FIRST}
        reopen().deactivate(FIRST)
        reopen().activate(FIRST)
        check(reopen(), FIRST, "template")

    def test_a_volume_is_not_cloned_into_itself(self, reopen: Reopen) -> None:
        """Or what it contains would be gone: the target is emptied first."""
        self.ready(reopen(), FIRST, "kept")
        with pytest.raises(HostError, match="itself"):
            reopen().clone(FIRST, FIRST)
        check(reopen(), FIRST, "kept")

    def test_a_tree_of_any_depth_is_no_obstacle(self, reopen: Reopen) -> None:
        """A guest makes paths that no call takes; they harm neither it nor its neighbours."""
        pool = reopen()
        if pool.offers is not Offer.DIRECTORY:
            return
        self.ready(pool, FIRST)
        make_deep(pool.path(FIRST))
        pool.deactivate(FIRST)
        self.ready(pool, SECOND)
        pool.clone(FIRST, SECOND)
        assert depth_of(pool.path(SECOND)) == DEPTH
        assert pool.used_bytes(SECOND) >= 0
        destroy(pool, SECOND)
        destroy(pool, FIRST)
        assert reopen().observe() == {}

    def test_without_a_source_the_target_stays_as_it_is(self, reopen: Reopen) -> None:
        self.ready(reopen(), FIRST, "kept")
        with pytest.raises(HostError):
            reopen().clone(SOURCE, FIRST)
        check(reopen(), FIRST, "kept")

    def test_a_rollback_brings_the_content_back(self, reopen: Reopen) -> None:
        """Any number of times, to an older snapshot than the last as well."""
        if not reopen().facts.snapshots:
            return
        self.ready(reopen(), FIRST, "one")
        reopen().snapshot(FIRST, "first", 1)
        put(reopen(), FIRST, "two")
        reopen().snapshot(FIRST, "second", 2)
        put(reopen(), FIRST, "three")
        for name, text in (("first", "one"), ("second", "two"), ("first", "one")):
            for _ in range(2):
                reopen().rollback(FIRST, name)
                check(reopen(), FIRST, text)
            put(reopen(), FIRST, "later")
            assert reopen().observe()[FIRST].active
            assert [s.name for s in reopen().observe()[FIRST].snapshots] == ["first", "second"]

    def test_a_volume_out_of_use_can_be_rolled_back(self, reopen: Reopen) -> None:
        if not reopen().facts.snapshots:
            return
        self.ready(reopen(), FIRST, "one")
        reopen().snapshot(FIRST, "first", 1)
        put(reopen(), FIRST, "two")
        reopen().deactivate(FIRST)
        reopen().rollback(FIRST, "first")
        assert not reopen().observe()[FIRST].active
        reopen().activate(FIRST)
        check(reopen(), FIRST, "one")

    def test_a_snapshot_is_taken_once(self, reopen: Reopen) -> None:
        if not reopen().facts.snapshots:
            return
        self.ready(reopen(), FIRST, "one")
        reopen().snapshot(FIRST, "first", 1)
        before = reopen().observe()
        put(reopen(), FIRST, "two")
        reopen().snapshot(FIRST, "first", 2)
        assert reopen().observe() == before
        reopen().rollback(FIRST, "first")
        check(reopen(), FIRST, "one")

    def test_a_snapshot_that_is_given_up_changes_nothing_else(self, reopen: Reopen) -> None:
        if not reopen().facts.snapshots:
            return
        self.ready(reopen(), FIRST, "one")
        reopen().snapshot(FIRST, "first", 1)
        put(reopen(), FIRST, "two")
        reopen().snapshot(FIRST, "second", 2)
        put(reopen(), FIRST, "three")
        reopen().delete_snapshot(FIRST, "first")
        reopen().delete_snapshot(FIRST, "never")
        check(reopen(), FIRST, "three")
        before = reopen().observe()
        with pytest.raises(HostError, match="no snapshot"):
            reopen().rollback(FIRST, "first")
        check(reopen(), FIRST, "three")
        assert reopen().observe() == before
        reopen().rollback(FIRST, "second")
        check(reopen(), FIRST, "two")

    def test_snapshots_belong_to_their_volume(self, reopen: Reopen) -> None:
        if not reopen().facts.snapshots:
            return
        for volume in (FIRST, SECOND):
            self.ready(reopen(), volume, str(volume))
            reopen().snapshot(volume, "first", 1)
            put(reopen(), volume, "changed")
        reopen().delete_snapshot(FIRST, "first")
        reopen().rollback(SECOND, "first")
        check(reopen(), FIRST, "changed")
        check(reopen(), SECOND, str(SECOND))

    def test_a_volume_takes_about_what_is_written_to_it(self, reopen: Reopen) -> None:
        pool = reopen()
        self.ready(pool, FIRST)
        before = pool.used_bytes(FIRST)
        if pool.offers is Offer.NOTHING:
            return
        write(pool, FIRST, WRITTEN)
        most = 2 * WRITTEN if self.thin else 0
        least = WRITTEN * 3 // 4 if self.thin else 0
        assert least <= pool.used_bytes(FIRST) - before <= most

    def test_a_clone_takes_little_until_it_is_written_to(self, reopen: Reopen) -> None:
        pool = reopen()
        if not pool.facts.clones or pool.offers is Offer.NOTHING:
            return
        self.ready(pool, SOURCE)
        write(pool, SOURCE, WRITTEN)
        self.ready(pool, FIRST)
        pool.clone(SOURCE, FIRST)
        assert pool.used_bytes(FIRST) < WRITTEN // 4

    def test_growing_keeps_the_content(self, reopen: Reopen) -> None:
        self.ready(reopen(), FIRST, "kept")
        reopen().grow(FIRST, 2 * self.size_bytes)
        assert reopen().observe()[FIRST].size_bytes == 2 * self.size_bytes
        check(reopen(), FIRST, "kept")
        put(reopen(), FIRST, "more")
        check(reopen(), FIRST, "more")

    def test_a_volume_holds_no_more_than_its_size(self, reopen: Reopen) -> None:
        """If the pool enforces sizes; after growing there is room for more, but not much more."""
        pool = reopen()
        self.ready(pool, FIRST)
        if pool.offers is Offer.NOTHING or not pool.facts.enforces_size:
            return
        assert self.size_bytes // 2 < fill(pool, FIRST) <= self.size_bytes
        pool.grow(FIRST, 2 * self.size_bytes)
        assert self.size_bytes < fill(pool, FIRST) <= 2 * self.size_bytes

    def test_a_clone_keeps_the_size_of_its_own(self, reopen: Reopen) -> None:
        """The source may have no size, as an unpacked template, or another."""
        pool = reopen()
        pool.allocate(SOURCE, None if self.unsized else self.size_bytes)
        pool.format(SOURCE)
        pool.activate(SOURCE)
        self.ready(pool, FIRST)
        pool.clone(SOURCE, FIRST)
        assert pool.observe()[FIRST].size_bytes == self.size_bytes
        if pool.offers is not Offer.NOTHING and pool.facts.enforces_size:
            assert fill(pool, FIRST) <= self.size_bytes


def put(pool: Pool, volume: VolumeId, text: str) -> None:
    """Write *text* to an active volume; what is in memory only stays empty."""
    match pool.offers:
        case Offer.DIRECTORY:
            write_durably(pool.path(volume) / "content", text.encode())
        case Offer.BLOCK_DEVICE | Offer.FILE:
            write_durably(pool.path(volume), text.encode().ljust(512, b"\0"))
        case Offer.QCOW2:
            write_in_qcow2(pool.path(volume), text.encode().ljust(512, b"\0"))
        case Offer.NOTHING:
            pass


def held(pool: Pool, volume: VolumeId) -> str | None:
    """What ``put`` wrote to the volume; None if volumes have no content."""
    match pool.offers:
        case Offer.DIRECTORY:
            content = pool.path(volume) / "content"
            return content.read_text() if content.exists() else ""
        case Offer.BLOCK_DEVICE | Offer.FILE:
            with pool.path(volume).open("rb") as file:
                return file.read(512).rstrip(b"\0").decode(errors="replace")
        case Offer.QCOW2:
            return read_in_qcow2(pool.path(volume)).rstrip(b"\0").decode(errors="replace")
        case Offer.NOTHING:
            return None


def check(pool: Pool, volume: VolumeId, text: str) -> None:
    """Assert that the volume contains *text*."""
    assert held(pool, volume) in (text, None)


def write(pool: Pool, volume: VolumeId, size_bytes: int) -> None:
    """Write so much more to an active volume, which no compression makes smaller."""
    at = pool.path(volume)
    if pool.offers is Offer.QCOW2:
        write_in_qcow2(at, os.urandom(size_bytes))
        return
    write_durably(at / "big" if pool.offers is Offer.DIRECTORY else at, os.urandom(size_bytes))


def write_durably(path: Path, content: bytes) -> None:
    """Write to a file, which may be there, or to the start of a device."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o644), "wb") as file:
        file.write(content)
        if path.name in ("content", "big"):
            file.truncate()
        file.flush()
        os.fsync(file.fileno())


def write_in_qcow2(image: Path, content: bytes) -> None:
    """Write to the start of the disk that is in *image*, as a guest does."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        words = f"write -s {file.name} 0 {len(content)}"
        argv = ["qemu-io", "-f", "qcow2", "-c", words, "-c", "flush", f"{image}"]
        subprocess.run(argv, check=True, capture_output=True)


def read_in_qcow2(image: Path) -> bytes:
    """The first 512 bytes of the disk that is in *image*."""
    with tempfile.NamedTemporaryFile() as file:
        argv = ["qemu-img", "dd", "-f", "qcow2", "-O", "raw", "bs=512", "count=1"]
        subprocess.run([*argv, f"if={image}", f"of={file.name}"], check=True)
        return file.read(512)


def fill(pool: Pool, volume: VolumeId) -> int:
    """How many bytes the volume takes until it is full, or has far too many; it loses them."""
    at = pool.path(volume)
    if pool.offers is Offer.QCOW2:
        said = subprocess.check_output(["qemu-img", "info", "--output=json", f"{at}"])
        return int(json.loads(said)["virtual-size"])
    if pool.offers is not Offer.DIRECTORY:
        with at.open("rb") as device:
            return device.seek(0, os.SEEK_END)
    filler, written = at / "filler", 0
    try:
        with filler.open("wb", buffering=0) as file:
            while written < 512 * MIB:
                written += file.write(os.urandom(MIB))
                os.fsync(file.fileno())
    except OSError as error:
        assert error.errno in FULL, error  # noqa: PT017 (how else would it end?)
    finally:
        filler.unlink()
        at_once = os.open(at, os.O_RDONLY)
        os.fsync(at_once)
        os.close(at_once)
    return written


def shift_of(pool: Pool, volume: VolumeId) -> int:
    """By how much the ids on a volume are higher than in the guest."""
    return 0 if volume.is_template else pool.facts.shifted_by


def plant(pool: Pool, volume: VolumeId) -> None:
    """Fill an active volume with one of each kind that a root filesystem has."""
    if pool.offers is not Offer.DIRECTORY:
        put(pool, volume, "planted")
        return
    at, shift = pool.path(volume), shift_of(pool, volume)
    (at / "etc/deep").mkdir(parents=True)
    for name, owner, mode in (("mine", 0, 0o600), ("guests", GUEST, 0o640), ("su", 0, 0o4755)):
        (at / "etc" / name).write_text(name)
        os.chown(at / "etc" / name, shift + owner, shift + owner + 5)
        (at / "etc" / name).chmod(mode)
        os.utime(at / "etc" / name, ns=(1, 1_234_567_890_123_456_789))
    (at / "empty").touch()
    (at / "tmp").mkdir()
    (at / "tmp").chmod(0o1777)
    (at / "etc/hard").hardlink_to(at / "etc/mine")
    (at / "inside").symlink_to("etc/mine")
    (at / "outside").symlink_to("/etc/passwd")
    (at / "a b\nc\udcff").write_bytes(b"\0\xff")
    os.lchown(at / "inside", shift + GUEST, shift + GUEST)
    os.mkfifo(at / "fifo")
    os.setxattr(at / "etc/mine", "user.note", b"kept")
    os.setxattr(at / "etc/su", CAPABILITY, bytes.fromhex("01000002" + "00" * 16))


def grown(pool: Pool, volume: VolumeId) -> list[tuple[object, ...]] | str | None:
    """All that ``plant`` put there and whatever else there is, to be compared."""
    if pool.offers is not Offer.DIRECTORY:
        return held(pool, volume)
    at = pool.path(volume)
    paths = sorted([at, *at.rglob("*")])
    links = {path.lstat().st_ino: str(path.relative_to(at)) for path in paths}
    shift = shift_of(pool, volume)
    return [
        _described(path, at, links[path.lstat().st_ino], shift)
        for path in paths
        if not _is_made(path)
    ]


def _described(path: Path, top: Path, same_as: str, shift: int) -> tuple[object, ...]:
    found = path.lstat()
    is_link = path.is_symlink()
    return (
        str(path.relative_to(top)),
        same_as,
        found.st_mode,
        found.st_uid - shift,
        found.st_gid - shift,
        None if path == top else found.st_mtime_ns,
        os.readlink(path) if is_link else None,
        path.read_bytes() if stat.S_ISREG(found.st_mode) else None,
        None if is_link else _attributes(path, shift),
    )


def _attributes(path: Path, shift: int) -> dict[str, bytes]:
    """Capabilities as in the guest: shifted ones name its root, see capabilities(7)."""
    found = {name: os.getxattr(path, name) for name in os.listxattr(path)}
    capability = found.get(CAPABILITY, b"")
    if shift and capability[20:] == shift.to_bytes(4, "little"):
        found[CAPABILITY] = capability[:3] + b"\x02" + capability[4:20]
    return found


def _is_made(path: Path) -> bool:
    """Whether mkfs made it: each filesystem has one of its own."""
    return path.name == "lost+found"


def destroy(pool: Pool, volume: VolumeId) -> None:
    """Destroy a volume that may be in use."""
    pool.deactivate(volume)
    pool.destroy(volume)


@contextmanager
def mounted_elsewhere(tree: Path, point: Path) -> Iterator[Callable[[], str]]:
    """Let a process with mounts of its own have *tree* on *point*, and tell the content it sees."""
    point.mkdir()
    script = (
        'mount --bind "$1" "$2" && cd "$2" && echo && while read -r _; do cat content; echo; done'
    )
    argv = ["unshare", "--mount", "sh", "-c", script, "sh", f"{tree}", f"{point}"]
    with subprocess.Popen(argv, stdin=PIPE, stdout=PIPE, text=True, bufsize=1) as process:
        asks, says = process.stdin, process.stdout
        assert asks
        assert says
        assert says.readline() == "\n"

        def content() -> str:
            asks.write("\n")
            said: str = says.readline()
            return said.removesuffix("\n")

        yield content


@contextmanager
def victim(tmp_path: Path) -> Iterator[Path]:
    """A directory of the host's that must be unharmed at the end."""
    outside = tmp_path / "victim"
    outside.mkdir()
    (outside / "precious").write_text("mine")
    yield outside
    assert (outside / "precious").read_text() == "mine"
