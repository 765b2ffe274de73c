"""The btrfs pool, on a real btrfs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from geats_host.storage.btrfs import open_pool
from geats_host.storage.conformance import PoolConformance
from geats_host.storage.conformance_content import Reopen
from tests.storage.btrfs_mounts import btrfs_in_a_file


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with btrfs_in_a_file(tmp_path_factory.mktemp("btrfs")) as point:
        yield point


@pytest.fixture
def root(mounted: Path, tmp_path: Path) -> Path:
    """A pool of this test's own."""
    return mounted / tmp_path.name


class TestBtrfs(PoolConformance):
    @pytest.fixture
    def reopen(self, root: Path) -> Reopen:
        return lambda: open_pool({"path": str(root)}, None)


class TestBtrfsWithQuotas(PoolConformance):
    @pytest.fixture
    def reopen(self, root: Path) -> Reopen:
        return lambda: open_pool({"path": str(root), "quota": True}, None)
