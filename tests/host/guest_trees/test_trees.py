"""Trees are walked, emptied, removed and copied, whatever a guest makes of them."""

import errno
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from geats_host.guest_trees import trees
from geats_host.guest_trees.folders import open_directory
from geats_host.guest_trees.guest_files import openat2
from geats_host.guest_trees.tree_copies import copy
from geats_host.linux.namespaces import in_own_namespace
from geats_host.testing.pool_conformance_trees import depth_of, make_deep

RECURSION, BEYOND_PATH_MAX = 1_100, 2_000  # names on the way down, each of five bytes

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.mark.parametrize("depth", [RECURSION, BEYOND_PATH_MAX])
def test_a_deep_tree_is_removed(tmp_path: Path, depth: int) -> None:
    (tmp_path / "tree").mkdir()
    make_deep(tmp_path / "tree", depth)
    with open_directory(tmp_path) as parent:
        trees.remove("tree", parent)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("depth", [RECURSION, BEYOND_PATH_MAX])
def test_a_deep_tree_is_walked(tmp_path: Path, depth: int) -> None:
    make_deep(tmp_path, depth)
    with open_directory(tmp_path) as top:
        last = max(trees.walk(top, lambda _: True), key=lambda entry: len(entry.path))
        assert last.path == b"deep/" * depth + b"innermost"
        trees.empty(top)


@pytest.mark.parametrize("depth", [RECURSION, BEYOND_PATH_MAX])
def test_a_deep_tree_is_copied(tmp_path: Path, depth: int) -> None:
    (tmp_path / "source").mkdir()
    make_deep(tmp_path / "source", depth)
    _copied(tmp_path)
    assert depth_of(tmp_path / "target") == depth
    with open_directory(tmp_path) as top:
        trees.empty(top)


def test_few_descriptors_are_enough(tmp_path: Path) -> None:
    make_deep(tmp_path, RECURSION)
    program = (
        "import os, sys; from geats_host.guest_trees import trees\n"
        "top = os.open(sys.argv[1], os.O_RDONLY)\n"
        "print(sum(1 for _ in trees.walk(top, lambda _: True)))\n"
        "trees.empty(top)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)),
        capture_output=True,
        text=True,
    )
    assert (said.stdout, said.stderr) == (f"{RECURSION + 1}\n", "")
    assert list(tmp_path.iterdir()) == []


def test_a_wide_tree_is_removed(tmp_path: Path) -> None:
    for folder in range(50):
        (tmp_path / f"{folder}").mkdir()
        for number in range(200):
            (tmp_path / f"{folder}/{number}").touch()
    with open_directory(tmp_path) as top:
        trees.empty(top)
    assert list(tmp_path.iterdir()) == []


def test_what_is_walked_comes_by_name_and_directories_before_what_is_in_them(
    tmp_path: Path,
) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "z").touch()
    (tmp_path / "not-entered").mkdir()
    (tmp_path / "not-entered" / "x").touch()
    (tmp_path / "a").symlink_to("b")
    with open_directory(tmp_path) as top:
        found = [each.path for each in trees.walk(top, lambda each: each.path == b"b")]
    assert found == [b"a", b"b", b"b/z", b"not-entered"]


def test_nothing_that_is_not_there_is_removed_and_a_link_is_not_followed(tmp_path: Path) -> None:
    victim = _victim(tmp_path)
    (tmp_path / "link").symlink_to(victim)
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "link").symlink_to(victim)
    with open_directory(tmp_path) as parent:
        trees.remove("link", parent)
        trees.remove("tree", parent)
        with pytest.raises(FileNotFoundError):
            trees.remove("tree", parent)
    assert sorted(tmp_path.iterdir()) == [victim]
    _check_whole(victim)


def test_nothing_that_is_mounted_is_entered(tmp_path: Path) -> None:
    victim = _victim(tmp_path)
    (tmp_path / "tree" / "b" / "mounted").mkdir(parents=True)

    def remove() -> None:
        subprocess.run(["mount", "--bind", victim, tmp_path / "tree/b/mounted"], check=True)
        with open_directory(tmp_path) as parent:
            trees.remove("tree", parent)

    with pytest.raises(OSError, match=r"tree/b/mounted") as error:
        in_own_namespace(remove)
    assert error.value.errno == errno.EXDEV
    _check_whole(victim)


def test_an_error_says_where_in_the_tree_it_is(tmp_path: Path) -> None:
    (tmp_path / "tree" / "b").mkdir(parents=True)
    (tmp_path / "tree" / "b" / "kept").touch()
    subprocess.run(["chattr", "+i", tmp_path / "tree/b/kept"], check=True)
    try:
        with open_directory(tmp_path) as parent, pytest.raises(PermissionError) as error:
            trees.remove("tree", parent)
    finally:
        subprocess.run(["chattr", "-i", tmp_path / "tree/b/kept"], check=True)
    assert error.value.filename == "tree/b/kept"


def test_what_is_shown_of_a_long_way_is_its_ends(tmp_path: Path) -> None:
    make_deep(tmp_path, 20)
    with open_directory(tmp_path) as top, trees.Descent(top) as way:
        for _ in range(20):
            way.down("deep")
        assert way.shown("x") == "deep/deep/deep/deep/[13 more]/deep/deep/deep/x"


@pytest.mark.parametrize("how", ["removed", "walked", "copied"])
def test_a_guest_that_puts_links_in_place_of_directories_harms_nothing(
    tmp_path: Path, how: str
) -> None:
    victim = _victim(tmp_path)
    with open_directory(tmp_path) as top:
        for number in range(20):
            _make_many(tmp_path / "source")
            with _swapping(tmp_path / "source", victim):
                try:
                    if how == "removed":
                        trees.remove("source", top)
                    elif how == "walked":
                        with open_directory("source", top) as source:
                            found = [each.path for each in trees.walk(source, lambda _: True)]
                        assert not any(path.endswith(b"/secret") for path in found)
                    else:
                        _copied(tmp_path, f"target{number}")
                except OSError:
                    pass  # it says that it did not come to its end
            for left in {"source", f"target{number}"} & set(os.listdir(top)):
                copies = (tmp_path / left).rglob("secret")
                assert not [each for each in copies if not each.parent.is_symlink()]
                trees.remove(left, top)
            _check_whole(victim)


def test_a_directory_that_is_moved_away_meanwhile_does_not_lead_out(tmp_path: Path) -> None:
    victim = _victim(tmp_path)
    make_deep(_made(tmp_path / "tree"), 20)
    with open_directory(tmp_path / "tree") as top, trees.Descent(top) as way:
        for _ in range(trees.KEPT_OPEN + 4):
            way.down("deep")
        (tmp_path / "tree/deep/deep/deep/deep/deep").rename(victim / "a")
        for _ in range(trees.KEPT_OPEN - 1):
            way.up()
        with pytest.raises(OSError, match="was moved meanwhile"):
            way.up()


def _copied(tmp_path: Path, target: str = "target") -> None:
    with (
        open_directory(tmp_path / "source") as source,
        open_directory(_made(tmp_path / target)) as to,
    ):
        copy(source, to)


def _made(path: Path) -> Path:
    path.mkdir()
    return path


def _victim(tmp_path: Path) -> Path:
    victim = tmp_path / "victim"
    (victim / "etc").mkdir(parents=True)
    (victim / "etc" / "secret").write_text("whole")
    (victim / "secret").write_text("whole")
    return victim


def _check_whole(victim: Path) -> None:
    assert {f"{each.relative_to(victim)}" for each in victim.rglob("*")} == {
        "etc",
        "etc/secret",
        "secret",
    }


def _make_many(top: Path) -> None:
    for number in range(30):
        (top / "d" / f"{number}" / "etc").mkdir(parents=True)
        (top / "d" / f"{number}" / "file").touch()


@contextmanager
def _swapping(source: Path, victim: Path) -> Iterator[None]:
    """Meanwhile directories are moved away, and a link to the victim takes their place."""
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            for place in (source / "d", *(source / "d" / f"{number}" for number in range(30))):
                _swapped(place, source / "aside", victim)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _swapped(place: Path, aside: Path, victim: Path) -> None:
    steps: list[Callable[[], object]] = [
        lambda: place.rename(aside),
        lambda: place.symlink_to(victim),
        lambda: place.unlink(),
        lambda: aside.rename(place),
    ]
    for step in steps:
        with suppress(OSError):  # what it is about is gone, or is another thing by now
            step()


@pytest.mark.parametrize("place", ["/dev/shm", "/var/tmp"])
def test_a_copy_is_what_cp_makes_of_it(place: str) -> None:
    with _scratch(Path(place)) as top:
        source = _made(top / "source")
        _fill(source)
        _copied(top)
        subprocess.run(["cp", "-a", "--no-target-directory", source, top / "cp"], check=True)
        assert _listed(top / "target") == _listed(top / "cp")
        assert (top / "target/sparse").stat().st_blocks * 512 < 2**20
        first, second = (top / "target/b/file").stat(), (top / "target/hard-link").stat()
        assert first.st_ino == second.st_ino


@contextmanager
def _scratch(place: Path) -> Iterator[Path]:
    name = f"geats-test-{os.getpid()}"
    (place / name).mkdir()
    try:
        yield place / name
    finally:
        with open_directory(place) as parent:
            trees.remove(name, parent)


def _fill(source: Path) -> None:
    """One of each kind, with owners, modes, times and attributes of its own."""
    (source / "b" / "c").mkdir(parents=True)
    (source / "b" / "file").write_text("content")
    (source / "empty").touch()
    os.link(source / "b/file", source / "hard-link")
    os.link(source / "b/file", source / "b/c/hard-link")
    (source / "link").symlink_to("nowhere")
    os.link(source / "link", source / "link-again", follow_symlinks=False)
    os.mkfifo(source / "fifo")
    os.mknod(source / "whiteout", 0o020600, 0)
    with (source / "sparse").open("wb") as file:
        file.seek(2**26)
        file.write(b"end")
        file.truncate(2**27)
    (source / "setuid").write_text("x")
    for number, path in enumerate(sorted(source.rglob("*"))):
        os.chown(path, 1000 + number, 2000 + number, follow_symlinks=False)
        if not path.is_symlink():
            os.chmod(path, 0o640 if path.is_file() else 0o1750)
        os.utime(path, ns=(10**18 + number, 10**18 + number), follow_symlinks=False)
    os.chmod(source / "setuid", 0o4755)
    subprocess.run(["setcap", "cap_net_raw+ep", source / "empty"], check=True)
    os.setxattr(source / "b", "trusted.overlay.opaque", b"y")
    os.chmod(source, 0o2711)
    os.utime(source, ns=(10**18, 10**18))


def _listed(top: Path) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    for path in sorted([top, *top.rglob("*")]):
        at = path.lstat()
        attributes = [
            (name, os.getxattr(path, name, follow_symlinks=False))
            for name in sorted(os.listxattr(path, follow_symlinks=False))
        ]
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        shown = (at.st_mode, at.st_uid, at.st_gid, at.st_nlink, at.st_rdev, at.st_mtime_ns)
        found.append((f"{path.relative_to(top)}", shown, attributes, hash(content)))
    return found


def test_what_is_a_link_and_then_a_directory_again_is_entered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was a link when it was opened, and a directory when it was to be unlinked."""
    (tmp_path / "tree/a/b").mkdir(parents=True)
    swapped = [errno.ELOOP, errno.ENOTDIR]

    def opened(parent: int, name: str, flags: int, resolve: int) -> int:
        if name == "a" and swapped:
            raise OSError(swapped.pop(), "swapped", name)
        return openat2(parent, name, flags, resolve)

    monkeypatch.setattr(trees, "openat2", opened)
    with open_directory(tmp_path) as top:
        trees.remove("tree", top)
    assert (list(tmp_path.iterdir()), swapped) == ([], [])
