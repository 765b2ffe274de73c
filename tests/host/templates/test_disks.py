"""Disk images are judged by their headers, converted once, and written byte by byte."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from geats_core.declared.template import DiskDownload, DiskFormat, Simplestreams, Template
from geats_core.vm.observation import Stage
from geats_core.vm.spec import RootKind
from geats_host import templates
from geats_host.errors import HostError, Refused
from geats_host.linux import qemu_img
from geats_host.plugins.opened import Opened
from geats_host.storage import Pool, VolumeId, directory
from geats_host.storage.sparsefile import open_pool
from geats_host.templates.disk_images import Image, size_of
from geats_host.templates.disks import known_size
from geats_host.templates.store import Store
from geats_host.templates.upkeep import Upkeep
from tests.host.templates.disks import (
    MIB,
    PATTERN,
    disk_template,
    hostile_images,
    qcow2_disk,
    raw_disk,
)
from tests.host.templates.image_server import ALIAS, ImageServer, serving

ROOT = VolumeId("web", "root")
HOSTILE = (
    *("backing file", "backing file of any format", "data elsewhere", "as large as no disk"),
    *("encrypted", "another format", "cut short"),
)


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    return open_pool({"path": str(tmp_path / "pool")}, None)


def root_of(pool: Pool, size_bytes: int) -> Path:
    pool.allocate(ROOT, size_bytes)
    pool.format(ROOT)
    pool.activate(ROOT)
    return pool.path(ROOT)


def installed(template: Template, pool: Pool, store: Store, size_bytes: int = 8 * MIB) -> Path:
    root = root_of(pool, size_bytes)
    templates.verify(template, store)
    templates.make_ready(template, store)
    templates.fill(template, pool, ROOT, store, size_bytes)
    return root


def holds_the_disk(root: Path, size_bytes: int) -> bool:
    """Whether it is the disk of 4 MiB, then zeros; and takes no more space than its data."""
    raw = raw_disk(root.with_name("expected"))
    content = root.read_bytes()
    is_sparse = root.stat().st_blocks * 512 <= 6 * (len(PATTERN) + 2**16)
    return is_sparse and content == raw.read_bytes() + bytes(size_bytes - raw.stat().st_size)


@pytest.mark.parametrize("format_", DiskFormat)
def test_a_root_begins_with_the_disk_and_is_as_large_as_it_should_be(
    format_: DiskFormat, pool: Pool, store: Store, tmp_path: Path
) -> None:
    make = {DiskFormat.RAW: raw_disk, DiskFormat.QCOW2: qcow2_disk}[format_]
    template = disk_template(make(tmp_path / "image"), format_)
    root = installed(template, pool, store)
    assert templates.size_of(template, store) == 4 * MIB
    assert holds_the_disk(root, 8 * MIB)


def test_what_the_root_held_before_is_gone(pool: Pool, store: Store, tmp_path: Path) -> None:
    root = root_of(pool, 8 * MIB)
    with root.open("r+b") as file:
        file.write(os.urandom(8 * MIB))
    installed(disk_template(raw_disk(tmp_path / "image"), DiskFormat.RAW), pool, store)
    assert holds_the_disk(root, 8 * MIB)


def test_an_image_is_converted_once(
    pool: Pool, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = disk_template(qcow2_disk(tmp_path / "image"), DiskFormat.QCOW2)
    installed(template, pool, store)
    monkeypatch.setattr(qemu_img, "to_raw", None)
    assert holds_the_disk(installed(template, pool, store), 8 * MIB)


def test_an_image_that_changed_is_another_one(pool: Pool, store: Store, tmp_path: Path) -> None:
    template = disk_template(qcow2_disk(tmp_path / "image"), DiskFormat.QCOW2)
    installed(template, pool, store)
    before = templates.key_of(template, store)
    qcow2_disk(tmp_path / "image", 5 * MIB)
    root = installed(template, pool, store)
    assert templates.key_of(template, store) != before
    assert root.read_bytes()[4 * MIB : 5 * MIB].endswith(PATTERN)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_image_is_refused_before_any_program_reads_it(
    name: str, pool: Pool, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = raw_disk(tmp_path / "secret", MIB)
    images = hostile_images(tmp_path, secret)
    assert set(images) == set(HOSTILE)
    image, why = images[name]
    template = disk_template(image, DiskFormat.QCOW2)
    with pytest.raises(Refused, match=why):
        templates.verify(template, store)
    monkeypatch.setattr(qemu_img, "run", None)
    root = root_of(pool, 8 * MIB)
    with pytest.raises(HostError, match=why):
        templates.fill(template, pool, ROOT, store, 8 * MIB)
    assert root.read_bytes() == bytes(8 * MIB)


def test_an_image_that_hides_its_backing_file_shows_nothing_of_the_host(tmp_path: Path) -> None:
    """Even one that was exchanged once its header had been judged."""
    secret = raw_disk(tmp_path / "secret", MIB)
    image, _ = hostile_images(tmp_path, secret)["backing file"]
    qemu_img.to_raw(image, tmp_path / "raw", MIB)
    assert (tmp_path / "raw").read_bytes() == bytes(MIB)


@pytest.mark.parametrize("kept", [200, 70_000])
def test_an_image_that_is_cut_short_is_no_disk_of_zeros(
    pool: Pool, store: Store, tmp_path: Path, kept: int
) -> None:
    image = qcow2_disk(tmp_path / "image")
    os.truncate(image, kept)
    with pytest.raises(HostError, match="qemu-img check failed"):
        installed(disk_template(image, DiskFormat.QCOW2), pool, store)


def test_nothing_waits_for_a_fifo(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "disk")
    with pytest.raises(HostError, match="is not a regular file"):
        size_of(Image(tmp_path / "disk", DiskFormat.RAW))


def test_what_looks_like_an_image_is_not_taken_for_raw_nor_for_an_image(
    pool: Pool, store: Store, tmp_path: Path
) -> None:
    image = qcow2_disk(tmp_path / "image")
    with pytest.raises(Refused, match="is an image in the format qcow2, and declared as"):
        installed(disk_template(image, DiskFormat.RAW), pool, store)
    assert store.files() == ()


@pytest.mark.parametrize("format_", DiskFormat)
def test_a_disk_that_does_not_fit_is_refused_before_it_is_converted(
    format_: DiskFormat, pool: Pool, store: Store, tmp_path: Path
) -> None:
    make = {DiskFormat.RAW: raw_disk, DiskFormat.QCOW2: qcow2_disk}[format_]
    template = disk_template(make(tmp_path / "image"), format_)
    with pytest.raises(HostError, match="the disk of 4MiB does not fit into 2MiB"):
        installed(template, pool, store, 2 * MIB)
    assert store.files() == ()


def test_no_more_is_written_than_the_header_says(tmp_path: Path) -> None:
    image = qcow2_disk(tmp_path / "image")
    with pytest.raises(HostError, match="qemu-img convert failed"):
        qemu_img.to_raw(image, tmp_path / "raw", MIB)


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "cannot be read: No such file"), (b"", "is empty")],
)
def test_an_image_that_is_not_there_or_empty_is_a_problem(
    content: bytes | None, why: str, store: Store, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "image").write_bytes(content)
    with pytest.raises(Refused, match=why):
        templates.verify(disk_template(tmp_path / "image", DiskFormat.RAW), store)


def test_an_image_has_the_digest_that_is_declared(store: Store, tmp_path: Path) -> None:
    image = raw_disk(tmp_path / "image")
    digest = hashlib.sha256(image.read_bytes()).hexdigest()
    templates.verify(disk_template(image, DiskFormat.RAW, digest), store)
    with pytest.raises(Refused, match="must have the sha256 0000"):
        templates.verify(disk_template(image, DiskFormat.RAW, "0" * 64), store)


def test_qemu_img_is_needed_for_its_format_only(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, raw = qcow2_disk(tmp_path / "image"), raw_disk(tmp_path / "raw")
    monkeypatch.setenv("PATH", str(tmp_path))
    templates.verify(disk_template(raw, DiskFormat.RAW), store)
    with pytest.raises(Refused, match=r"needs qemu-img, .* \(package qemu-utils\)"):
        templates.verify(disk_template(image, DiskFormat.QCOW2), store)


def test_a_directory_holds_no_disk(store: Store, tmp_path: Path) -> None:
    pool = directory.open_pool({"path": str(tmp_path / "trees")}, None)
    template = disk_template(raw_disk(tmp_path / "image"), DiskFormat.RAW)
    with pytest.raises(HostError, match="is a directory, and a disk image needs a disk"):
        installed(template, pool, store)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ImageServer]:
    (tmp_path / "www").mkdir()
    with serving(tmp_path / "www") as server:
        yield server


def downloaded(server: ImageServer, sha256: str, said: int | None = None) -> Template:
    url = f"{server.url}/images/v1/disk-kvm.img"
    source = DiskDownload(url=url, format=DiskFormat.QCOW2, sha256=sha256, disk_bytes=said)
    return Template(name="t", source=source)


def served(server: ImageServer) -> Template:
    source = Simplestreams(url=server.url, alias=ALIAS, arch="amd64", root_kind=RootKind.DISK)
    return Template(name="t", source=source)


@pytest.mark.parametrize("is_simplestreams", [True, False])
def test_an_image_is_downloaded_once_and_verified(
    is_simplestreams: bool, server: ImageServer, pool: Pool, store: Store, tmp_path: Path
) -> None:
    digest = server.add("v1", qcow2_disk(tmp_path / "image").read_bytes(), "disk-kvm.img")
    template = served(server) if is_simplestreams else downloaded(server, digest)
    with pytest.raises(HostError, match="is not imported yet"):
        templates.size_of(template, store)
    assert holds_the_disk(installed(template, pool, store), 8 * MIB)
    asked = len(server.asked)
    installed(template, pool, store)
    assert len(server.asked) == asked


def test_how_large_a_disk_is_can_be_said_and_is_checked_when_it_is_there(
    server: ImageServer, store: Store, tmp_path: Path
) -> None:
    digest = server.add("v1", qcow2_disk(tmp_path / "image").read_bytes(), "disk-kvm.img")
    wrong, right = (downloaded(server, digest, size * MIB) for size in (5, 4))
    assert known_size(wrong.source, store) == 5 * MIB
    with pytest.raises(HostError, match="has 4MiB, and disk_size says 5MiB"):
        templates.make_ready(wrong, store)
    assert store.files() == ()
    templates.make_ready(right, store)
    templates.verify(right, store)
    with pytest.raises(Refused, match="has 4MiB, and disk_size says 5MiB"):
        templates.verify(wrong, store)


def test_another_image_than_the_one_that_is_meant_is_not_kept(
    server: ImageServer, store: Store, tmp_path: Path
) -> None:
    server.add("v1", raw_disk(tmp_path / "image").read_bytes(), "disk-kvm.img")
    with pytest.raises(HostError, match="must have the sha256 0000"):
        templates.make_ready(downloaded(server, "0" * 64), store)
    assert store.files() == ()


@pytest.mark.parametrize("is_simplestreams", [True, False])
def test_a_hostile_image_of_a_server_is_not_kept(
    is_simplestreams: bool, server: ImageServer, store: Store, tmp_path: Path
) -> None:
    image, why = hostile_images(tmp_path, raw_disk(tmp_path / "secret", MIB))["backing file"]
    digest = server.add("v1", image.read_bytes(), "disk-kvm.img")
    template = served(server) if is_simplestreams else downloaded(server, digest)
    with pytest.raises(HostError, match=why):
        templates.make_ready(template, store)
    assert store.files() == ()


def test_pruning_keeps_what_a_declared_image_was_converted_to(
    pool: Pool, store: Store, tmp_path: Path
) -> None:
    template = disk_template(qcow2_disk(tmp_path / "image"), DiskFormat.QCOW2)
    installed(template, pool, store)
    (raw,) = store.files()
    pools = Opened.of("pool", {"default": pool})
    declared = Upkeep({"t": template}, pools, store)
    assert [row["action"] for row in declared.pruned(dry_run=False)] == ["keep"]
    assert raw.is_file()
    assert [row["action"] for row in Upkeep({}, pools, store).pruned(dry_run=False)] == ["destroy"]
    assert store.files() == ()
    assert pool.observe()[ROOT].stage is Stage.FORMATTED
