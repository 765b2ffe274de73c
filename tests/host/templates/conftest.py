"""A target to unpack to, and a victim outside it that every test must leave as it was."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from geats_host.templates.store import Store


@pytest.fixture
def target(tmp_path: Path) -> Path:
    target = tmp_path / "pool" / "rootfs"
    target.mkdir(parents=True)
    return target


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    directory = tmp_path_factory.mktemp("host")
    return Store(directory / "state" / "templates", directory / "run")


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Path]:
    """A directory of the host's, compared whole at the end: names, modes, links, content."""
    victim = tmp_path / "victim"
    (victim / "etc").mkdir(parents=True)
    (victim / "etc" / "passwd").write_text("root of the host")
    (victim / "etc" / "hostname").write_text("host")
    before = everything_in(victim)
    yield victim
    assert everything_in(victim) == before


def everything_in(path: Path) -> list[tuple[object, ...]]:
    found = [path, *sorted(path.rglob("*"))]
    return [
        (
            at,
            at.lstat().st_mode,
            at.lstat().st_uid,
            at.lstat().st_nlink,
            at.lstat().st_mtime_ns,
            at.lstat().st_ctime_ns,
            at.read_bytes() if at.is_file() else None,
        )
        for at in found
    ]
