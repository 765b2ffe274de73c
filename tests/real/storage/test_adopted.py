"""A tree that a directory pool has as a volume where something else made it."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from geats_core.vm.observation import Stage, VolumeSeen
from geats_host.errors import HostError
from geats_host.storage import AdoptingPool, VolumeId, identity
from geats_host.storage.directory import DirectoryPool, open_pool
from geats_host.testing.pool_conformance_trees import DEPTH, depth_of, make_deep

VOLUME, OTHER = VolumeId("web01", "root"), VolumeId("db01", "root")
SEEN = VolumeSeen(name="root", pool="", stage=Stage.INSTALLED, template="debian", guest="f")
ACTIVE = VolumeSeen(
    name="root", pool="", stage=Stage.INSTALLED, active=True, template="debian", guest="f"
)
CHANGING = ("mkdir", "rename", "symlink", "unlink", "rmdir", "fsync", "fchmod", "fchown")


class Killed(BaseException):
    """The process is dead: no code of geats may catch this."""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A root filesystem, in the directory of a container that something else made."""
    tree = tmp_path / "lxc/web01/rootfs"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc/hostname").write_text("web01")
    (tree.parent / "config").write_text("mine")
    return tree


@pytest.fixture
def pool(tmp_path: Path) -> DirectoryPool:
    opened = open_pool({"path": str(tmp_path / "pool")}, None)
    assert isinstance(opened, DirectoryPool)
    assert isinstance(opened, AdoptingPool)
    return opened


def test_an_adopted_tree_is_a_volume_where_it_is(pool: DirectoryPool, tree: Path) -> None:
    pool.adopt(VOLUME, tree, SEEN)
    assert pool.observe() == {VOLUME: ACTIVE}
    assert pool.path(VOLUME) == tree
    assert (tree / "etc/hostname").read_text() == "web01"
    assert pool.used_bytes(VOLUME) >= 4096
    pool.deactivate(VOLUME)
    assert not pool.observe()[VOLUME].active
    pool.activate(VOLUME)
    pool.format(VOLUME)
    pool.adopt(VOLUME, tree, SEEN)
    assert pool.observe() == {VOLUME: ACTIVE}


def test_an_adopted_volume_is_cloned_into_the_pool(pool: DirectoryPool, tree: Path) -> None:
    pool.adopt(VOLUME, tree, SEEN)
    pool.allocate(OTHER, None)
    pool.format(OTHER)
    pool.clone(VOLUME, OTHER)
    assert (pool.path(OTHER) / "etc/hostname").read_text() == "web01"
    assert pool.path(OTHER) == pool.root / "db01/root/rootfs"


def test_a_destroyed_one_takes_its_tree_with_it_and_no_more(
    pool: DirectoryPool, tree: Path
) -> None:
    pool.adopt(VOLUME, tree, SEEN)
    pool.deactivate(VOLUME)
    pool.destroy(VOLUME)
    assert pool.observe() == {}
    assert [each.name for each in tree.parent.iterdir()] == ["config"]
    assert [each.name for each in pool.root.iterdir()] == [identity.FILE]
    pool.allocate(VOLUME, None)
    pool.format(VOLUME)
    assert pool.path(VOLUME) == pool.root / "web01/root/rootfs"


def test_one_whose_tree_is_lost_is_neither_made_anew_nor_in_the_way_of_its_end(
    pool: DirectoryPool, tree: Path
) -> None:
    pool.adopt(VOLUME, tree, SEEN)
    shutil.rmtree(tree.parent)
    assert pool.observe()[VOLUME].stage is Stage.ALLOCATED
    with pytest.raises(HostError, match="does not exist, but is the adopted root filesystem"):
        pool.format(VOLUME)
    with pytest.raises(HostError):
        pool.activate(VOLUME)
    pool.destroy(VOLUME)
    assert pool.observe() == {}


def test_one_whose_marks_are_lost_counts_as_installed(pool: DirectoryPool, tree: Path) -> None:
    pool.adopt(VOLUME, tree, SEEN)
    (pool.root / "web01/root/geats.json").unlink()
    assert pool.observe()[VOLUME].stage is Stage.INSTALLED


def test_marks_of_an_adoption_that_never_came_hold_for_nothing_else(
    pool: DirectoryPool, tree: Path
) -> None:
    pool.adopt(VOLUME, tree, SEEN)
    (pool.root / "web01/root/adopted").unlink()
    pool.format(VOLUME)
    assert pool.observe()[VOLUME].stage is Stage.FORMATTED


@pytest.mark.parametrize("what", ["link", "file", "nothing", "link on the way"])
def test_what_is_no_directory_is_not_adopted(pool: DirectoryPool, tree: Path, what: str) -> None:
    place = tree.parent / "other"
    if what == "link":
        place.symlink_to(tree)
    elif what == "file":
        place.write_text("")
    elif what == "link on the way":
        (tree.parent / "way").symlink_to(tree)
        place = tree.parent / "way/etc"
    with pytest.raises(HostError, match="is not a directory, or a link leads to it"):
        pool.adopt(VOLUME, place, SEEN)
    assert pool.observe() == {}


def test_a_volume_that_is_there_is_not_taken_away_by_an_adoption(
    pool: DirectoryPool, tree: Path
) -> None:
    pool.allocate(VOLUME, None)
    pool.format(VOLUME)
    with pytest.raises(HostError, match="there is a volume already"):
        pool.adopt(VOLUME, tree, SEEN)
    pool.adopt(OTHER, tree, SEEN)
    with pytest.raises(HostError, match="the volume is at"):
        pool.adopt(OTHER, tree / "etc", SEEN)
    assert pool.path(OTHER) == tree


def test_an_adoption_that_is_cut_anywhere_goes_on(pool: DirectoryPool, tree: Path) -> None:
    for _ in cuts_of(lambda: pool.adopt(VOLUME, tree, SEEN)):
        seen = pool.observe().get(VOLUME)
        assert seen is None or seen.stage is Stage.ALLOCATED or seen == ACTIVE
        pool.adopt(VOLUME, tree, SEEN)
        assert pool.observe() == {VOLUME: ACTIVE}
        shutil.rmtree(pool.root)


@pytest.mark.parametrize("ends", ["destroyed", "recreated"])
def test_a_destroy_that_is_cut_anywhere_leaves_no_half_of_a_tree_for_a_volume(
    pool: DirectoryPool, tree: Path, ends: str
) -> None:
    copy = shutil.copytree(tree, tree.parent.parent / "copy")
    pool.adopt(VOLUME, tree, SEEN)
    for _ in cuts_of(lambda: pool.destroy(VOLUME)):
        seen = pool.observe().get(VOLUME)
        if seen is not None and seen.stage is Stage.INSTALLED:
            assert (tree / "etc/hostname").read_text() == "web01"
        if ends == "recreated" and seen is not None and seen.stage is Stage.ALLOCATED:
            pool.format(VOLUME)
            assert pool.path(VOLUME) == pool.root / "web01/root/rootfs"
            assert pool.observe()[VOLUME].stage is Stage.FORMATTED
        pool.destroy(VOLUME)
        assert pool.observe() == {}
        assert [each.name for each in tree.parent.iterdir()] == ["config"]
        shutil.copytree(copy, tree)
        pool.adopt(VOLUME, tree, SEEN)


@dataclass
class Knife:
    """Kills at the call number ``at``, from 1."""

    at: int
    calls: int = 0

    def around(self, real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **keys: object) -> object:
            self.calls += 1
            if self.calls == self.at:
                raise Killed
            return real(*arguments, **keys)

        return call


def cuts_of(work: Callable[[], object]) -> Iterator[int]:
    """Kill *work* before each call that changes something, in turn; who iterates repairs."""
    for at in count(1):
        knife = Knife(at)
        with pytest.MonkeyPatch.context() as patch, suppress(Killed):
            for name in CHANGING:
                patch.setattr(os, name, knife.around(getattr(os, name)))
            work()
        if knife.calls < at:
            assert at > 5
            return
        yield at


def test_an_adopted_tree_of_any_depth_is_copied_and_removed(
    pool: DirectoryPool, tree: Path
) -> None:
    make_deep(tree)
    pool.adopt(VOLUME, tree, SEEN)
    pool.allocate(OTHER, None)
    pool.format(OTHER)
    pool.clone(VOLUME, OTHER)
    assert depth_of(pool.path(OTHER)) == DEPTH
    pool.deactivate(VOLUME)
    for volume in (VOLUME, OTHER):
        pool.destroy(volume)
    assert pool.observe() == {}
    assert not tree.exists()
