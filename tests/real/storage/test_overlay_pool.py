"""The overlay pool: layers are what they should be, and nothing is lost, spoiled or left behind."""

import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from geats_core.vm.observation import Stage, VolumeSeen
from geats_host.errors import HostError, Refused
from geats_host.linux.mounts import mounts, mounts_below
from geats_host.storage import TEMPLATES, Pool, VolumeId, identity, overlay
from geats_host.storage.overlay import open_pool
from geats_host.testing.pool_conformance import PoolConformance
from geats_host.testing.pool_conformance_content import Reopen

FIRST = 100_000
TEMPLATE = VolumeId(TEMPLATES, "0123456789" * 4)
VOLUME, OTHER, DATA = (VolumeId(*at) for at in (("a", "root"), ("b", "root"), ("a", "data")))


@pytest.fixture(autouse=True)
def no_mount_is_left() -> Iterator[None]:
    before = mounts()
    yield
    assert mounts() == before


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """Where the pool is; what is mounted there at the end is unmounted, and was not stray."""
    root = tmp_path / "pool"
    yield root
    for point in reversed(mounts_below(root, itself=False)):
        subprocess.run(["umount", point], check=True)


@pytest.fixture
def pool(root: Path) -> Pool:
    return open_pool({"path": str(root), "idmap_first": FIRST}, None)


class TestOverlay(PoolConformance):
    sources_change = False

    @pytest.fixture
    def reopen(self, root: Path) -> Reopen:
        return lambda: open_pool({"path": str(root), "idmap_first": FIRST}, None)


def made(pool: Pool, volume: VolumeId) -> Path:
    pool.allocate(volume, None)
    pool.format(volume)
    pool.activate(volume)
    return pool.path(volume)


def template(pool: Pool, volume: VolumeId = TEMPLATE) -> Path:
    tree = made(pool, volume)
    (tree / "etc").mkdir(exist_ok=True)
    (tree / "etc/issue").write_text("template")
    os.chown(tree / "etc/issue", 5, 6)
    return tree


def cloned(pool: Pool, volume: VolumeId = VOLUME) -> Path:
    if TEMPLATE not in pool.observe():
        template(pool)
    tree = made(pool, volume)
    pool.clone(TEMPLATE, volume)
    pool.mark(volume, replace(pool.observe()[volume], stage=Stage.INSTALLED, template="debian"))
    return tree


def ids(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_uid, found.st_gid


def test_a_clone_shows_the_template_with_the_ids_of_the_guest(pool: Pool) -> None:
    tree = cloned(pool)
    assert (tree / "etc/issue").read_text() == "template"
    assert [ids(tree / name) for name in (".", "etc", "etc/issue")] == [
        (FIRST, FIRST),
        (FIRST, FIRST),
        (FIRST + 5, FIRST + 6),
    ]
    assert stat.S_IMODE(tree.stat().st_mode) == 0o755
    assert ids(pool.path(TEMPLATE) / "etc/issue") == (5, 6)


def test_what_is_written_is_in_the_layer_of_the_volume_only(pool: Pool, root: Path) -> None:
    tree, other = cloned(pool), cloned(pool, OTHER)
    with (tree / "etc/issue").open("a") as file:
        file.write(" and more")
    (tree / "new").touch()
    os.chown(tree / "new", FIRST, FIRST)
    assert (root / "a/root/upper/etc/issue").read_text() == "template and more"
    assert ids(root / "a/root/upper/etc/issue") == (FIRST + 5, FIRST + 6)
    assert ids(root / "a/root/upper/new") == (FIRST, FIRST)
    assert (other / "etc/issue").read_text() == "template"
    assert (pool.path(TEMPLATE) / "etc/issue").read_text() == "template"


def test_a_volume_without_a_template_is_its_layer_itself(pool: Pool, root: Path) -> None:
    tree = made(pool, DATA)
    (tree / "file").write_text("kept")
    assert (root / "a/data/upper/file").read_text() == "kept"
    assert ids(tree) == (FIRST, FIRST)
    assert not (root / "a/data/work").exists()
    pool.deactivate(DATA)
    assert not (tree / "file").exists()
    pool.activate(DATA)
    assert (tree / "file").read_text() == "kept"


def test_after_the_hosts_restart_nothing_is_active_and_all_can_be(pool: Pool) -> None:
    """The marks say otherwise; the mount table is believed."""
    trees = [cloned(pool), made(pool, DATA)]
    for tree in trees:
        (tree / "file").write_text("kept")
        subprocess.run(["umount", tree], check=True)
    assert [pool.observe()[v].active for v in (VOLUME, DATA)] == [False, False]
    for volume in (VOLUME, DATA):
        pool.activate(volume)
    assert [(tree / "file").read_text() for tree in trees] == ["kept", "kept"]
    assert [pool.observe()[v].active for v in (VOLUME, DATA)] == [True, True]


def test_a_template_that_is_below_a_volume_is_not_destroyed(pool: Pool) -> None:
    cloned(pool)
    cloned(pool, OTHER)
    pool.deactivate(VOLUME)
    pool.deactivate(OTHER)
    pool.deactivate(TEMPLATE)
    with pytest.raises(HostError, match="in use by a/root"):
        pool.destroy(TEMPLATE)
    pool.destroy(VOLUME)
    with pytest.raises(HostError, match="in use by b/root"):
        pool.destroy(TEMPLATE)
    pool.destroy(OTHER)
    pool.destroy(TEMPLATE)
    assert pool.observe() == {}


def test_a_volume_that_is_mounted_is_not_destroyed(pool: Pool) -> None:
    for volume in (VOLUME, DATA):
        tree = cloned(pool) if volume is VOLUME else made(pool, DATA)
        (tree / "file").write_text("kept")
        with pytest.raises(HostError, match="is mounted"):
            pool.destroy(volume)
        assert (tree / "file").read_text() == "kept"


def test_a_volume_that_is_busy_stays_active_and_whole(pool: Pool) -> None:
    tree = cloned(pool)
    with (tree / "file").open("w") as file:
        file.write("kept")
        with pytest.raises(HostError, match=r"a/root/rootfs: cannot be unmounted: .* busy"):
            pool.deactivate(VOLUME)
        with pytest.raises(HostError, match="cannot be unmounted"):
            pool.clone(TEMPLATE, VOLUME)
    assert pool.observe()[VOLUME].active
    assert (tree / "file").read_text() == "kept"
    pool.deactivate(VOLUME)
    assert not pool.observe()[VOLUME].active


def test_an_overlay_that_another_namespace_still_uses_is_neither_mounted_again_nor_destroyed(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after an unmount by hand while the guest runs: two over one layer would spoil it."""
    monkeypatch.setattr(overlay, "UNUSED_WITHIN_S", 0.1)
    tree = cloned(pool)
    sleeper = subprocess.Popen(["unshare", "--mount", "cat"], stdin=subprocess.PIPE)
    while os.readlink(f"/proc/{sleeper.pid}/ns/mnt") == os.readlink("/proc/self/ns/mnt"):
        time.sleep(0.001)
    time.sleep(0.05)
    subprocess.run(["umount", tree], check=True)
    for change in (pool.activate, pool.deactivate, pool.destroy):
        with pytest.raises(HostError, match="is still mounted where this process does not see it"):
            change(VOLUME)
    sleeper.communicate()
    monkeypatch.setattr(overlay, "UNUSED_WITHIN_S", 10)
    pool.activate(VOLUME)
    assert (tree / "etc/issue").read_text() == "template"


def test_something_else_in_its_place_is_left_alone(pool: Pool, tmp_path: Path) -> None:
    tree = cloned(pool)
    subprocess.run(["mount", "-t", "tmpfs", "stranger", tree], check=True)
    assert not pool.observe()[VOLUME].active
    for change in (pool.activate, pool.deactivate, lambda at: pool.clone(TEMPLATE, at)):
        with pytest.raises(HostError, match="something else is mounted there: stranger"):
            change(VOLUME)
    subprocess.run(["umount", tree], check=True)
    assert pool.observe()[VOLUME].active


AWKWARD = ["a:b", "a,b", "a\\b", "a b", "lowerdir=x,upperdir=y", "ü" * 100, "x" * 250]


@pytest.mark.parametrize("name", AWKWARD)
def test_any_path_will_do(tmp_path: Path, name: str) -> None:
    root = tmp_path / name / name / "pool"
    pool = open_pool({"path": str(root), "idmap_first": FIRST}, None)
    tree = cloned(pool)
    assert (tree / "etc/issue").read_text() == "template"
    assert pool.observe()[VOLUME].active
    pool.deactivate(VOLUME)
    assert not pool.observe()[VOLUME].active


def test_a_pool_behind_a_symbolic_link_is_the_same(pool: Pool, root: Path, tmp_path: Path) -> None:
    cloned(pool)
    (tmp_path / "link").symlink_to(root)
    same = open_pool({"path": str(tmp_path / "link"), "idmap_first": FIRST}, None)
    assert same.observe() == pool.observe()
    same.deactivate(VOLUME)
    assert not pool.observe()[VOLUME].active


def test_a_volume_is_cloned_over_the_same_template(pool: Pool, root: Path) -> None:
    tree = cloned(pool)
    (tree / "etc/issue").unlink()
    (tree / "new").write_text("x" * 10)
    os.chown(tree / "new", FIRST + 7, FIRST + 8)
    other = made(pool, OTHER)
    pool.deactivate(VOLUME)
    pool.clone(VOLUME, OTHER)
    assert sorted(each.name for each in other.rglob("*")) == ["etc", "new"]
    assert ids(other / "new") == (FIRST + 7, FIRST + 8)
    with pytest.raises(HostError, match="in use by a/root"):
        pool.destroy(TEMPLATE)


def test_nothing_is_cloned_into_a_template(pool: Pool) -> None:
    cloned(pool)
    with pytest.raises(HostError, match="a template is made of its archive only"):
        pool.clone(VOLUME, TEMPLATE)


def test_only_what_is_written_is_counted(pool: Pool) -> None:
    (template(pool) / "big").write_bytes(os.urandom(2**20))
    tree = cloned(pool)
    assert pool.used_bytes(VOLUME) < 2**16
    assert pool.used_bytes(TEMPLATE) > 2**20
    with (tree / "more").open("wb") as file:
        file.write(os.urandom(2**20))
        os.fsync(file)
    assert 2**20 <= pool.used_bytes(VOLUME) < 2**20 + 2**16


@pytest.mark.parametrize("text", ["", "{", "{}", '{"lower": "../..", "first": 100000}', "null"])
def test_a_volume_of_which_the_template_is_not_known_is_not_mounted(
    pool: Pool, root: Path, text: str
) -> None:
    """Nor is any template destroyed: it may be the one."""
    cloned(pool)
    pool.deactivate(VOLUME)
    (root / "a/root/layers.json").write_text(text)
    with pytest.raises(HostError, match="does not say which template is below"):
        pool.activate(VOLUME)
    with pytest.raises(HostError, match="in use by a/root"):
        pool.destroy(TEMPLATE)
    assert pool.observe()[VOLUME].stage is Stage.INSTALLED
    pool.destroy(VOLUME)


def test_a_volume_with_ids_of_another_range_is_not_mounted(pool: Pool, root: Path) -> None:
    cloned(pool)
    pool.deactivate(VOLUME)
    moved = open_pool({"path": str(root), "idmap_first": 2 * FIRST}, None)
    with pytest.raises(HostError, match="contains ids from 100000, and not from 200000"):
        moved.activate(VOLUME)


def test_files_whose_marks_are_lost_are_neither_trusted_nor_emptied(pool: Pool, root: Path) -> None:
    tree = made(pool, VOLUME)
    (tree / "file").write_text("kept")
    (root / "a/root/geats.json").unlink()
    for active in (True, False):
        seen = VolumeSeen(name="root", pool="", stage=Stage.INSTALLED, active=active)
        assert pool.observe()[VOLUME] == seen
        pool.deactivate(VOLUME)
    pool.activate(VOLUME)
    assert (tree / "file").read_text() == "kept"


def test_a_symlinked_layer_is_not_followed(pool: Pool, root: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "precious").write_text("mine")
    cloned(pool)
    pool.deactivate(VOLUME)
    for name in ("upper", "work"):
        (root / "a/root" / name).rename(root / "a/root/old")
        (root / "a/root" / name).symlink_to(victim)
        with pytest.raises(HostError, match="symbolic link"):
            made(pool, VOLUME)
        (root / "a/root" / name).unlink()
        (root / "a/root/old").rename(root / "a/root" / name)
    (root / "a/root/upper").rename(root / "a/root/old")
    (root / "a/root/upper").symlink_to(victim)
    pool.destroy(VOLUME)
    assert [each.name for each in victim.iterdir()] == ["precious"]


CUTS = """
import os, sys
from pathlib import Path
from geats_host.storage import TEMPLATES, VolumeId
from geats_host.storage.overlay import open_pool

left = int(sys.argv[2])
def trace(frame, event, arg):
    global left
    file = frame.f_code.co_filename
    if "geats_host/storage" in file or "overlay_mounts" in file:
        left -= 1
        if left < 0:
            os._exit(9)
    return trace
pool = open_pool({"path": sys.argv[1], "idmap_first": 100000}, None)
a = VolumeId("a", "root")
sys.settrace(trace)
pool.allocate(a, None); pool.format(a); pool.activate(a)
pool.clone(VolumeId(TEMPLATES, "0123456789" * 4), a)
pool.deactivate(a); pool.destroy(a)
"""


def test_a_cut_at_any_line_leaves_what_the_next_attempt_finishes(pool: Pool, root: Path) -> None:
    """Killed without a chance to tidy up; then made, filled, unmounted and destroyed as usual."""
    template(pool)
    lines, rounds = 0, 0
    while True:
        argv = [sys.executable, "-c", CUTS, str(root), str(lines)]
        done = subprocess.run(
            argv, check=False, env=os.environ | {"PYTHONPATH": ":".join(sys.path)}
        )
        pool.observe()
        if done.returncode == 0:
            break
        assert done.returncode == 9
        tree = made(pool, VOLUME)
        pool.clone(TEMPLATE, VOLUME)
        assert [each.name for each in tree.iterdir()] == ["etc"]
        assert ids(tree / "etc") == (FIRST, FIRST)
        pool.deactivate(VOLUME)
        pool.destroy(VOLUME)
        assert set(pool.observe()) == {TEMPLATE}
        assert mounts_below(root, itself=True) == ()
        lines, rounds = lines + 59, rounds + 1
    assert rounds > 10
    assert sorted(each.name for each in root.iterdir()) == [TEMPLATES, identity.FILE]


def test_ten_at_once_have_nothing_to_do_with_each_other(pool: Pool) -> None:
    template(pool)
    volumes = [VolumeId(f"vm{number}", "root") for number in range(10)]
    with ThreadPoolExecutor(max_workers=10) as threads:
        trees = list(threads.map(lambda volume: cloned(pool, volume), volumes))
    for tree in trees:
        (tree / "name").write_text(str(tree))
    assert [(tree / "name").read_text() for tree in trees] == list(map(str, trees))
    with ThreadPoolExecutor(max_workers=10) as threads:
        list(threads.map(pool.deactivate, volumes))
        list(threads.map(pool.destroy, volumes))
    assert set(pool.observe()) == {TEMPLATE}


def test_every_wrong_option_is_reported_at_once(pool: Pool) -> None:
    with pytest.raises(Refused) as refused:
        open_pool({"path": "relative", "pth": "x", "idmap_first": "x"}, pool)
    assert sorted(text.split(":")[0] for text in refused.value.problems) == [
        "idmap_first",
        "on",
        "path",
        "pth",
    ]


def test_what_cannot_be_an_upper_layer_is_refused(pool: Pool, tmp_path: Path) -> None:
    tree = cloned(pool)
    with pytest.raises(Refused, match="path: cannot contain layers: it is an overlay itself"):
        open_pool({"path": str(tree / "pool")}, None)
    with pytest.raises(Refused, match="its filesystem has no trusted attributes"):
        open_pool({"path": "/proc"}, None)


def test_without_overlays_in_the_kernel_there_is_no_pool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlay, "is_supported", lambda: False)
    with pytest.raises(Refused, match="path: the kernel has no overlay filesystem"):
        open_pool({"path": str(tmp_path)}, None)


@pytest.mark.parametrize("is_there", [True, False])
def test_without_user_namespaces_nothing_is_mounted(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    if is_there:
        (tmp_path / "unshare").write_text("#!/bin/sh\necho unshare: No space left\n")
        (tmp_path / "unshare").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    pool = open_pool({"path": str(root), "idmap_first": 300_000}, None)  # no namespace is known
    why = "unshare: No space left" if is_there else "No such file"
    with pytest.raises(HostError, match=f"cannot make a user namespace: {why}"):
        cloned(pool)
    assert not pool.observe()[VOLUME].active


def test_without_a_range_of_ids_there_is_no_pool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlay, "subordinate_ids", lambda: None)
    with pytest.raises(Refused, match="idmap_first: is needed: root has no range"):
        open_pool({"path": str(tmp_path)}, None)


def test_a_layer_that_can_only_be_read_is_an_error(pool: Pool, root: Path) -> None:
    """The kernel mounts it so without a word."""
    cloned(pool)
    pool.deactivate(VOLUME)
    subprocess.run(["rmdir", root / "a/root/work/work"], check=True)
    subprocess.run(["chattr", "+i", root / "a/root/work"], check=True)
    try:
        with pytest.raises(HostError, match="read-only"):
            pool.activate(VOLUME)
        assert not pool.observe()[VOLUME].active
    finally:
        subprocess.run(["chattr", "-i", root / "a/root/work"], check=True)
    pool.activate(VOLUME)


def test_facts_say_what_the_pool_is(pool: Pool, root: Path) -> None:
    facts = pool.facts
    assert (facts.clones, facts.enforces_size, facts.snapshots) == (True, False, False)
    assert facts.shifted_by == FIRST
    assert facts.location == f"{root}/{{vm}}/{{volume}}/rootfs"
    assert pool.observe() == {}


def test_a_size_is_remembered(pool: Pool) -> None:
    cloned(pool)
    pool.grow(VOLUME, 7)
    assert pool.observe()[VOLUME] == VolumeSeen(
        name="root",
        pool="",
        stage=Stage.INSTALLED,
        active=True,
        size_bytes=7,
        template="debian",
    )
