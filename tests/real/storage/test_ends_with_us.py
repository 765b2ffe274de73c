"""What writes to a volume for a process that is killed does not go on without it."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from geats_host.storage import Pool, VolumeId, filesystem, sparsefile
from tests.real.storage.places import in_memory, memory, own_mounts

__all__ = ("in_memory", "memory", "own_mounts")  # fixtures

FORK = multiprocessing.get_context("fork")
MIB = 2**20
FIRST, SECOND = VolumeId("web01", "root"), VolumeId("web02", "root")
WITHIN_S = 5.0
HANGS = '#!/bin/sh\necho $$ >"{pid}.new" && mv "{pid}.new" "{pid}" && exec sleep 100\n'


def files(at: Path) -> Pool:
    return sparsefile.open_pool({"path": f"{at}/images", "default_size": "300MiB"}, None)


def filesystems(fstype: str) -> Callable[[Path], Pool]:
    return lambda at: filesystem.open_pool({"fstype": fstype, "mounts": f"{at}/mnt"}, files(at))


def clone(pool: Pool) -> None:
    for volume in (FIRST, SECOND):
        pool.allocate(volume, None)
        pool.format(volume)
    pool.clone(FIRST, SECOND)


def format_(pool: Pool) -> None:
    pool.allocate(FIRST, None)
    pool.format(FIRST)


@pytest.mark.parametrize(
    ("opened", "work", "program"),
    [
        (files, clone, "cp"),
        (filesystems("ext4"), format_, "mkfs.ext4"),
        (filesystems("xfs"), format_, "mkfs.xfs"),
        (filesystems("btrfs"), format_, "mkfs.btrfs"),
    ],
    ids=["sparsefile", "ext4", "xfs", "btrfs"],
)
def test_a_program_ends_with_the_process_that_runs_it(
    opened: Callable[[Path], Pool],
    work: Callable[[Pool], None],
    program: str,
    memory: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Or it would spoil what the next attempt makes in the same place."""
    started = tmp_path / "started"
    (tmp_path / program).write_text(HANGS.format(pid=started))
    (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    pool = opened(memory)
    process = FORK.Process(target=work, args=(pool,))
    process.start()
    assert becomes_true(started.exists)
    process.kill()
    process.join()
    pid = int(started.read_text())
    try:
        assert becomes_true(lambda: not is_alive(pid))
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def becomes_true(fact: Callable[[], bool]) -> bool:
    ends = time.monotonic() + WITHIN_S
    while not fact():
        if time.monotonic() > ends:
            return False
        time.sleep(0.01)
    return True


def is_alive(pid: int) -> bool:
    """A process that waits for nobody but its parent is dead."""
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
