"""Images of virtual machines of LXD and Incus, on this host: one tarball, or the disk apart."""

import io
import shutil
import tarfile
from pathlib import Path

import pytest

from geats_core.declared.template import LxdDisk, Template
from geats_host import templates
from geats_host.errors import HostError, Refused
from geats_host.plugins.opened import Opened
from geats_host.storage import Pool
from geats_host.storage.sparsefile import open_pool
from geats_host.templates.lxd_disk import DISK
from geats_host.templates.store import Store
from geats_host.templates.upkeep import Upkeep
from tests.host.templates.disks import MIB, hostile_images, qcow2_disk, raw_disk
from tests.host.templates.lxd_images import METADATA
from tests.host.templates.test_disks import HOSTILE, holds_the_disk, installed


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    return open_pool({"path": str(tmp_path / "pool")}, None)


def tarball(path: Path, *disks: Path, prefix: str = "", metadata: str = METADATA) -> Path:
    """What ``incus image export`` writes, with these disks, all under one name."""
    with tarfile.open(path, "w:xz") as archive:
        member = tarfile.TarInfo(f"{prefix}metadata.yaml")
        member.size = len(metadata)
        archive.addfile(member, io.BytesIO(metadata.encode()))
        for disk in disks:
            archive.add(disk, f"{prefix}{DISK}", recursive=False)
    return path


def whole(path: Path, sha256: str | None = None) -> Template:
    return Template(name="t", source=LxdDisk(path=f"{path}", sha256=sha256))


def apart(path: Path, rootfs: Path) -> Template:
    return Template(name="t", source=LxdDisk(path=f"{path}", rootfs=f"{rootfs}"))


def wrong(template: Template, store: Store) -> list[str]:
    return [f"{each}" for each in templates.problems(template, store)]


@pytest.mark.parametrize("prefix", ["", "./"])
def test_the_disk_is_taken_out_of_the_tarball_once(
    pool: Pool, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    image = tarball(tmp_path / "vm.tar.xz", qcow2_disk(tmp_path / "disk"), prefix=prefix)
    template = whole(image)
    with pytest.raises(HostError, match=r"templates\.t: is not imported yet"):
        templates.size_of(template, store)
    assert holds_the_disk(installed(template, pool, store), 8 * MIB)
    assert templates.size_of(template, store) == 4 * MIB
    monkeypatch.setattr("geats_host.templates.lxd_disk.extract_file", None)
    assert holds_the_disk(installed(template, pool, store), 8 * MIB)


def test_it_is_told_what_an_import_does_and_what_is_no_longer_declared_goes(
    store: Store, tmp_path: Path
) -> None:
    template = whole(tarball(tmp_path / "vm.tar.xz", qcow2_disk(tmp_path / "disk")))
    none: Opened[Pool] = Opened.of("pool", {})
    upkeep = Upkeep({"t": template}, none, store)
    assert upkeep.missing("t") == ["take its disk out of the tarball"]
    upkeep.make_ready("t")
    assert upkeep.missing("t") == []
    upkeep.pruned(dry_run=False)
    assert upkeep.missing("t") == []
    Upkeep({}, none, store).pruned(dry_run=False)
    assert store.files() == ()


def test_a_tarball_that_changed_is_another_one(pool: Pool, store: Store, tmp_path: Path) -> None:
    template = whole(tarball(tmp_path / "vm.tar.xz", qcow2_disk(tmp_path / "disk")))
    installed(template, pool, store)
    before = templates.key_of(template, store)
    tarball(tmp_path / "vm.tar.xz", qcow2_disk(tmp_path / "disk", 5 * MIB))
    with pytest.raises(HostError, match="is not imported yet"):
        templates.key_of(template, store)
    templates.make_ready(template, store)
    assert templates.key_of(template, store) != before
    assert templates.size_of(template, store) == 5 * MIB


def test_a_disk_apart_stays_where_it_is(pool: Pool, store: Store, tmp_path: Path) -> None:
    template = apart(tarball(tmp_path / "meta.tar.xz"), qcow2_disk(tmp_path / "disk.qcow2"))
    assert templates.size_of(template, store) == 4 * MIB
    assert holds_the_disk(installed(template, pool, store), 8 * MIB)
    assert wrong(template, store) == []


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_disk_is_refused_in_either(name: str, store: Store, tmp_path: Path) -> None:
    image, why = hostile_images(tmp_path, raw_disk(tmp_path / "secret", MIB))[name]
    split = apart(tarball(tmp_path / "meta.tar.xz"), image)
    assert [why in each for each in wrong(split, store)] == [True]
    with pytest.raises(HostError, match=why):
        templates.make_ready(whole(tarball(tmp_path / "vm.tar.xz", image)), store)
    assert [*store.files()] == []


def test_a_disk_that_is_a_link_or_there_twice_is_none(store: Store, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("/etc/shadow")
    disk = qcow2_disk(tmp_path / "disk")
    for disks in ((link,), (disk, link), (disk, disk), ()):
        template = whole(tarball(tmp_path / "vm.tar.xz", *disks))
        (found,) = wrong(template, store)
        assert "templates.t.image: must have one file rootfs.img" in found
        with pytest.raises(HostError, match="must have one file"):
            templates.make_ready(template, store)


def test_what_is_no_image_is_told(store: Store, tmp_path: Path) -> None:
    disk = qcow2_disk(tmp_path / "disk")
    odd = tarball(tmp_path / "odd.tar.xz", disk, metadata="[]")
    assert "tells the architecture" in wrong(whole(odd), store)[0]
    assert "cannot be read" in wrong(whole(tmp_path / "none"), store)[0]
    cut = tmp_path / "cut.tar.xz"
    cut.write_bytes(odd.read_bytes()[:200])
    assert "is not a sound archive" in wrong(whole(cut), store)[0]
    sound = tarball(tmp_path / "vm.tar.xz", disk)
    with pytest.raises(Refused, match="sha256"):
        templates.verify(whole(sound, "0" * 64), store)


def test_a_disk_that_does_not_fit_is_not_taken(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = whole(tarball(tmp_path / "vm.tar.xz", qcow2_disk(tmp_path / "disk")))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 0))
    with pytest.raises(HostError, match=r"rootfs\.img of .* do not fit"):
        templates.make_ready(template, store)


def test_what_was_damaged_in_the_store_is_told_and_taken_again(
    pool: Pool, store: Store, tmp_path: Path
) -> None:
    template = whole(tarball(tmp_path / "vm.tar.xz", qcow2_disk(tmp_path / "disk")))
    templates.make_ready(template, store)
    (blob,) = (store.root / "blobs").iterdir()
    blob.write_bytes(b"damaged")
    assert "templates.t.image: " in wrong(template, store)[0]
    templates.make_ready(template, store, refresh=True)
    assert wrong(template, store) == []
