"""What a newer geats remembered of a volume is left as it is, in every form that marks have."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from geats_core.reading import file_formats
from geats_core.vm.observation import Stage, VolumeSeen
from geats_host.errors import HostError
from geats_host.guest_trees.folders import open_directory
from geats_host.storage import (
    Pool,
    VolumeId,
    directory,
    lvm_volumes,
    overlay,
    sparsefile,
    zfs_datasets,
)
from geats_host.storage.layers import Below, read_below, write_below
from geats_host.storage.lvm_commands import LogicalVolume
from geats_host.storage.marks import check_readable
from geats_host.storage.zfs_commands import Dataset

VOLUME = VolumeId("web01", "root")
NEWER = file_formats.MARKS + 1
WHY = (
    f"its marks: was written by a newer geats (format {NEWER}, "
    f"and this one knows {file_formats.MARKS})"
    ": install the geats that wrote it"
)
UNREADABLE = VolumeSeen(name="root", pool="", stage=Stage.INSTALLED, unreadable=WHY)
INSTALLED = VolumeSeen(name="root", pool="", stage=Stage.INSTALLED, template="debian", guest="f")


@pytest.fixture(params=[directory.open_pool, sparsefile.open_pool], ids=["directory", "sparsefile"])
def pool(request: pytest.FixtureRequest, tmp_path: Path) -> Pool:
    opened: Callable[[Mapping[object, object], Pool | None], Pool] = request.param
    made = opened({"path": f"{tmp_path}/pool"}, None)
    made.allocate(VOLUME, 2**20)
    made.format(VOLUME)
    return made


def test_marks_of_a_newer_geats_are_not_read_and_not_replaced(pool: Pool, tmp_path: Path) -> None:
    marks = tmp_path / "pool" / "web01" / "root" / "geats.json"
    raw = json.loads(marks.read_text())
    assert raw["format"] == file_formats.MARKS
    marks.write_text(json.dumps({**raw, "format": NEWER, "stage": "of the future"}))
    before = marks.read_bytes()
    assert dict(pool.observe()) == {VOLUME: UNREADABLE}
    changes: list[Callable[[], None]] = [
        lambda: pool.mark(VOLUME, INSTALLED),
        lambda: pool.activate(VOLUME),
        lambda: pool.grow(VOLUME, 2**30),
    ]
    for change in changes:
        with pytest.raises(HostError, match="is left alone: its marks: was written by a newer"):
            change()
    assert marks.read_bytes() == before


DAMAGE: dict[str, Callable[[Path], object]] = {
    "link": lambda marks: marks.symlink_to("geats.json"),
    "directory": lambda marks: marks.mkdir(),
}
WITH_MARKS = {
    "directory": directory.open_pool,
    "sparsefile": sparsefile.open_pool,
    "overlay": overlay.open_pool,
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("kind", WITH_MARKS)
def test_marks_that_cannot_be_read_are_a_matter_of_their_volume(
    tmp_path: Path, kind: str, damage: str
) -> None:
    pool = WITH_MARKS[kind]({"path": f"{tmp_path}/pool"}, None)
    other = VolumeId("web02", "root")
    for volume in (VOLUME, other):
        pool.allocate(volume, 2**20)
        pool.format(volume)
    before = pool.observe()[other]
    marks = tmp_path / "pool" / "web01" / "root" / "geats.json"
    marks.unlink()
    DAMAGE[damage](marks)

    seen = pool.observe()
    assert seen[other] == before == pool.observe(other)[other]
    assert seen[VOLUME] == pool.observe(VOLUME)[VOLUME]
    assert seen[VOLUME].unreadable.startswith("geats.json: ")
    with pytest.raises(HostError, match=r"is left alone: geats\.json: "):
        pool.mark(VOLUME, INSTALLED)
    assert os.path.lexists(marks)


def test_a_disk_that_is_no_file_is_a_matter_of_its_volume(tmp_path: Path) -> None:
    pool = sparsefile.open_pool({"path": f"{tmp_path}/pool"}, None)
    other = VolumeId("web02", "root")
    for volume in (VOLUME, other):
        pool.allocate(volume, 2**20)
    folder = tmp_path / "pool" / "web01" / "root"
    for name in ("geats.json", "disk.raw"):
        (folder / name).unlink()
    (folder / "disk.raw").symlink_to("/dev/null")

    seen = pool.observe()
    assert seen[VOLUME].unreadable.endswith("disk.raw)")
    assert not seen[other].unreadable


@pytest.mark.parametrize("text", ["[" * 100_000, '{"size_bytes": ' + "9" * 5000 + "}", "\0"])
def test_marks_that_no_json_reader_takes_are_lost_marks(
    pool: Pool, tmp_path: Path, text: str
) -> None:
    marks = tmp_path / "pool" / "web01" / "root" / "geats.json"
    marks.write_text(text)
    seen = pool.observe()[VOLUME]
    assert (seen.unreadable, seen.template) == ("", None)


def test_marks_that_say_no_format_are_those_of_the_first(pool: Pool, tmp_path: Path) -> None:
    marks = tmp_path / "pool" / "web01" / "root" / "geats.json"
    raw = json.loads(marks.read_text())
    before = dict(pool.observe())
    del raw["format"]
    marks.write_text(json.dumps(raw))
    assert dict(pool.observe()) == before


def test_properties_of_a_newer_geats_are_not_read() -> None:
    text = zfs_datasets.text(INSTALLED)  # what no ZFS here can hold
    assert zfs_datasets.parse(Dataset("a", 1, "", text), VOLUME) == INSTALLED
    raw = json.loads(text)
    newer = json.dumps({**raw, "format": NEWER, "stage": "of the future"})
    assert zfs_datasets.parse(Dataset("a", 1, "", newer), VOLUME) == UNREADABLE
    del raw["format"]
    assert zfs_datasets.parse(Dataset("a", 1, "", json.dumps(raw)), VOLUME) == INSTALLED
    with pytest.raises(HostError, match="left alone"):
        zfs_datasets.text(UNREADABLE)


def held(tags: frozenset[str]) -> lvm_volumes.Held:
    return lvm_volumes.Held(own=LogicalVolume(name="a", size_bytes=1, tags=tags))


def test_tags_of_a_newer_geats_are_not_read() -> None:
    tags = lvm_volumes.tags_of(VOLUME, INSTALLED)
    said = {tag for tag in tags if "format" in tag}
    assert said == {f"geats.format={file_formats.MARKS}"}
    assert lvm_volumes.seen_of(VOLUME, held(tags)) == INSTALLED
    assert lvm_volumes.seen_of(VOLUME, held(tags - said)) == INSTALLED
    newer = tags - said | {f"geats.format={NEWER}"}
    assert lvm_volumes.seen_of(VOLUME, held(newer)) == UNREADABLE
    with pytest.raises(HostError, match="left alone"):
        lvm_volumes.tags_of(VOLUME, UNREADABLE)


def test_layers_of_a_newer_geats_are_not_read(tmp_path: Path) -> None:
    with open_directory(tmp_path) as at:
        write_below(at, Below("f" * 40, 100_000))
        raw = json.loads((tmp_path / "layers.json").read_text())
        assert read_below(at) == Below("f" * 40, 100_000)
        (tmp_path / "layers.json").write_text(json.dumps({**raw, "format": NEWER}))
        assert read_below(at) is None


def test_what_can_be_read_may_be_replaced() -> None:
    check_readable(INSTALLED)
