"""Locks are where nobody else can take them, and no wait for one is without end."""

import fcntl
import multiprocessing
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from geats_host.errors import HostError
from geats_host.locks import file_locks

FORK = multiprocessing.get_context("fork")


@contextmanager
def held_by_another(run_dir: Path) -> Iterator[int | None]:
    """The lock "x" of the room "room", by a process of its own, whose id this gives."""
    ready, done = FORK.Event(), FORK.Event()

    def hold() -> None:
        with file_locks.opened(run_dir, "room", "x") as descriptor:
            file_locks.take(descriptor, "x")
            ready.set()
            done.wait(60)

    process = FORK.Process(target=hold)
    process.start()
    assert ready.wait(60)
    try:
        yield process.pid
    finally:
        done.set()
        process.join()


def test_who_waits_says_in_the_end_for_whom(tmp_path: Path) -> None:
    command = Path("/proc/self/comm").read_text().strip()
    with held_by_another(tmp_path) as pid, file_locks.opened(tmp_path, "room", "x") as descriptor:
        assert not file_locks.is_taken(descriptor)
        with pytest.raises(HostError) as error:
            file_locks.take(descriptor, "the pool", limit_s=0)
    said = f"the pool: waited 0 s for process {pid} ({command}), which still uses it"
    assert str(error.value) == said


def test_a_lock_is_taken_as_soon_as_it_is_given_up(tmp_path: Path) -> None:
    with (
        file_locks.opened(tmp_path, "room", "x") as first,
        file_locks.opened(tmp_path, "room", "x") as other,
    ):
        file_locks.take(first, "x")
        given_up = threading.Timer(0.05, fcntl.flock, (first, fcntl.LOCK_UN))
        given_up.start()
        file_locks.take(other, "x")
        given_up.join()


def test_those_who_share_do_not_wait_for_each_other(tmp_path: Path) -> None:
    with (
        file_locks.opened(tmp_path, "room", "x") as first,
        file_locks.opened(tmp_path, "room", "x") as other,
    ):
        file_locks.take(first, "x", fcntl.LOCK_SH)
        file_locks.take(other, "x", fcntl.LOCK_SH)
        assert not file_locks.is_taken(other)


def test_a_room_that_others_can_enter_is_refused(tmp_path: Path) -> None:
    with file_locks.opened(tmp_path, "room", "x"):
        assert (tmp_path / "room").stat().st_mode & 0o777 == 0o700
        assert (tmp_path / "room/x").stat().st_mode & 0o777 == 0o600
    (tmp_path / "room").chmod(0o755)
    with (
        pytest.raises(HostError, match=r"room: must be a directory that only its owner"),
        file_locks.opened(tmp_path, "room", "x"),
    ):
        pytest.fail("it was opened")


def test_a_lock_of_the_directory_itself_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any local user can take that, where the directory can be listed."""
    monkeypatch.setattr(file_locks, "RUN_DIR", tmp_path / "run")
    monkeypatch.setattr(file_locks, "LIMIT_S", 0.0)
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with file_locks.place_locked(tmp_path):
            (tmp_path / "link").symlink_to(tmp_path)
            waited = pytest.raises(HostError, match=rf"waited 0 s for process {os.getpid()} ")
            with waited, file_locks.place_locked(tmp_path / "link"):
                pytest.fail("two had it at once")
    finally:
        os.close(descriptor)


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="No such file"), file_locks.place_locked(tmp_path / "x"):
        pytest.fail("it was locked")


def test_the_files_of_places_go_when_nobody_holds_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those too whose process was killed; and never one that somebody holds, or is about to."""
    monkeypatch.setattr(file_locks, "RUN_DIR", tmp_path / "run")
    left = file_locks.private(tmp_path / "run", file_locks.PLACES)
    (left / "left-by-one-that-was-killed").touch()
    inside: list[int] = []
    place = tmp_path.stat()

    def hold(_: int) -> None:
        for how in (fcntl.LOCK_EX, fcntl.LOCK_SH) * 20:
            with file_locks.place_locked(tmp_path, how):
                if how == fcntl.LOCK_EX:
                    inside.append(1)
                    assert inside == [1]
                    inside.clear()
                assert f"{place.st_dev:x}-{place.st_ino:x}" in os.listdir(left)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(hold, range(4)))
    assert os.listdir(left) == []
