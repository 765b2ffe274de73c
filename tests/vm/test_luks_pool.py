"""Volumes that are encrypted conform, on files and on devices, and under a filesystem."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from geats_core.vm.observation import Stage
from geats_host.errors import HostError
from geats_host.storage import Pool, VolumeId, filesystem, luks, lvm, sparsefile
from geats_host.storage.luks_commands import open_mappings
from geats_host.testing.pool_conformance import PoolConformance
from geats_host.testing.pool_conformance_content import Reopen, put
from tests.real.storage.one_device_each import Devices, OneDeviceEach
from tests.real.storage.places import sh
from tests.vm.test_device_mapper import GROUP, thin_pool

__all__ = ["thin_pool"]

MIB = 2**20
VOLUME = VolumeId("web01", "root")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A file with a key."""
    file = tmp_path / "key"
    file.write_bytes(bytes(range(64)))
    file.chmod(0o600)
    return file


@pytest.fixture(autouse=True)
def all_is_closed() -> Iterator[None]:
    """After each test no mapping of ours is there."""
    yield
    assert [name for name in open_mappings() if name.startswith("geats.")] == []


def encrypted(below: Pool, key: Path) -> Pool:
    """With a key that is derived fast."""
    options: dict[object, object] = {"pbkdf": "pbkdf2", "iterations": 1000}
    return luks.open_pool(options | {"key_file": str(key)}, below)


def on_files(directory: Path, key: Path) -> Pool:
    below = sparsefile.open_pool({"path": f"{directory}/pool", "default_size": 80 * MIB}, None)
    return encrypted(below, key)


class TestOnFiles(PoolConformance):
    @pytest.fixture
    def reopen(self, tmp_path: Path, key: Path) -> Reopen:
        return lambda: on_files(tmp_path, key)


class TestOnLogicalVolumes(PoolConformance):
    @pytest.fixture
    def reopen(self, thin_pool: str, key: Path) -> Reopen:
        below: dict[object, object] = {"vg": GROUP, "thin_pool": "thin", "default_size": "80MiB"}
        return lambda: encrypted(lvm.open_pool(below, None), key)


class TestFilesystemOnFiles(PoolConformance):
    @pytest.fixture
    def reopen(self, tmp_path: Path, key: Path) -> Reopen:
        options: dict[object, object] = {"mounts": f"{tmp_path}/mounts"}
        return lambda: filesystem.open_pool(options, on_files(tmp_path, key))


def test_devices_agree_with_the_model_after_every_action(
    tmp_path_factory: pytest.TempPathFactory, key: Path
) -> None:
    """The one of the suite that does most: the rest passes on logical volumes."""
    with ExitStack() as stack:
        devices = Devices(tmp_path_factory.mktemp("devices"), 256 * MIB, stack)
        pool = encrypted(OneDeviceEach(devices), key)
        PoolConformance().test_the_pool_agrees_with_the_model_after_every_action(lambda: pool)
        for volume in pool.observe():
            pool.deactivate(volume)
            pool.destroy(volume)


def test_what_is_below_cannot_be_read(tmp_path: Path, key: Path) -> None:
    pool = on_files(tmp_path, key)
    pool.allocate(VOLUME, 64 * MIB)
    pool.format(VOLUME)
    pool.activate(VOLUME)
    put(pool, VOLUME, "precious")
    assert open_mappings()[pool.path(VOLUME).name] == 64 * MIB
    pool.deactivate(VOLUME)
    (image,) = tmp_path.glob("pool/*/*/disk.raw")
    assert b"precious" not in image.read_bytes()

    mode = key.stat().st_mode
    key.write_bytes(b"another")
    key.chmod(mode)
    with pytest.raises(HostError, match="No key available") as failed:
        pool.activate(VOLUME)
    assert "another" not in str(failed.value)
    pool.destroy(VOLUME)


def test_a_header_of_another_is_neither_opened_nor_written_over(tmp_path: Path, key: Path) -> None:
    pool = on_files(tmp_path, key)
    pool.allocate(VOLUME, 64 * MIB)
    (image,) = tmp_path.glob("pool/*/*/disk.raw")
    sh("mkfs.ext4", "-q", "-F", image)
    with pytest.raises(HostError, match="contains ext4, and is not formatted"):
        pool.format(VOLUME)
    sh("wipefs", "--all", "--quiet", image)
    pool.format(VOLUME)
    sh("cryptsetup", "config", "--label=mine", image)
    with pytest.raises(HostError, match="contains the header of 'mine'"):
        pool.activate(VOLUME)
    pool.destroy(VOLUME)


def test_the_keys_of_a_destroyed_volume_are_erased(tmp_path: Path, key: Path) -> None:
    pool = on_files(tmp_path, key)
    pool.allocate(VOLUME, 64 * MIB)
    pool.format(VOLUME)
    (image,) = tmp_path.glob("pool/*/*/disk.raw")
    kept = tmp_path / "kept"
    kept.hardlink_to(image)
    pool.deactivate(VOLUME)
    pool.destroy(VOLUME)
    argv = ["cryptsetup", "open", "--test-passphrase", f"--key-file={key}", str(kept)]
    assert subprocess.run(argv, capture_output=True, check=False).returncode != 0
    assert pool.observe() == {}


def test_an_open_volume_is_not_destroyed(tmp_path: Path, key: Path) -> None:
    pool = on_files(tmp_path, key)
    pool.allocate(VOLUME, 64 * MIB)
    pool.format(VOLUME)
    pool.activate(VOLUME)
    with pytest.raises(HostError, match="is in use"):
        pool.destroy(VOLUME)
    assert pool.observe()[VOLUME].stage is Stage.FORMATTED
    with pool.path(VOLUME).open("rb"), pytest.raises(HostError, match="still in use"):
        pool.deactivate(VOLUME)
    pool.deactivate(VOLUME)
    pool.destroy(VOLUME)
