"""The machine has what the suite is for: the device mapper, and LVM on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.storage.places import mounted, sh

GROUP = "geats-test"


@pytest.fixture(scope="module")
def thin_pool(disks: tuple[Path, Path]) -> Iterator[str]:
    """A thin pool on both disks."""
    sh("vgcreate", "-q", GROUP, *disks)
    sh("lvcreate", "-q", "--type=thin-pool", "--size=10G", "--name=thin", GROUP)
    yield f"{GROUP}/thin"
    assert names() == ["thin"]
    sh("vgremove", "-q", "--yes", GROUP)


def names() -> list[str]:
    """The logical volumes there are."""
    return sh("lvs", "--noheadings", "--options=lv_name", GROUP).split()


def test_the_device_mapper_is_there() -> None:
    for module in ("dm-thin-pool", "dm-crypt", "dm-snapshot"):
        sh("modprobe", module)
    targets = {line.split()[0] for line in sh("dmsetup", "targets").splitlines()}
    assert {"linear", "thin", "thin-pool", "crypt", "snapshot"} <= targets


def test_a_snapshot_in_a_thin_pool_keeps_what_was(thin_pool: str, tmp_path: Path) -> None:
    sh("lvcreate", "-q", "--virtualsize=1G", "--thin", "--name=root", thin_pool)
    sh("mkfs.ext4", "-q", f"/dev/{GROUP}/root")
    place = tmp_path / "root"
    place.mkdir()
    with mounted(f"/dev/{GROUP}/root", place):
        (place / "file").write_text("before")
    sh("lvcreate", "-q", "--snapshot", "--setactivationskip=n", "--name=kept", f"{GROUP}/root")
    with mounted(f"/dev/{GROUP}/root", place):
        (place / "file").write_text("after")
    with mounted(f"/dev/{GROUP}/kept", place):
        assert (place / "file").read_text() == "before"
    assert names() == ["kept", "root", "thin"]
    sh("lvremove", "-q", "--yes", f"{GROUP}/kept", f"{GROUP}/root")
