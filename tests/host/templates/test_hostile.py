"""Whatever a source holds, nothing outside the target is ever written or linked."""

import tarfile
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from geats_core.declared.template import Build, Files, Template
from geats_host import templates
from geats_host.errors import HostError, Refused
from geats_host.templates.store import Store
from tests.host.templates.archives import Members, file, folder, link, tarball, write
from tests.host.templates.hostile import EITHER, hostile_archives
from tests.host.templates.image_server import serving
from tests.host.templates.lxd_images import whole_image
from tests.host.templates.oci_layout import image

Maker = Callable[[Path, Members, Members | None], Template]
CASES = hostile_archives("").keys()


def from_tarballs(directory: Path, base: Members, overlay: Members | None) -> Template:
    on_top = [] if overlay is None else [write(directory / "overlay.tar", overlay)]
    return tarball(write(directory / "base.tar", base), *on_top)


def over_a_directory(directory: Path, base: Members, overlay: Members | None) -> Template:
    """All of it is unpacked over what came from a directory."""
    (directory / "tree").mkdir()
    (directory / "tree" / "etc").symlink_to("/etc")
    both = [write(directory / "base.tar", base)]
    both += [] if overlay is None else [write(directory / "overlay.tar", overlay)]
    return tarball(directory / "tree", *both)


def from_layers(directory: Path, base: Members, overlay: Members | None) -> Template:
    return image(directory / "image", base, *([] if overlay is None else [overlay]))


def from_image(directory: Path, base: Members, overlay: Members | None) -> Template:
    on_top = () if overlay is None else (write(directory / "overlay.tar", overlay),)
    overlays = tuple(Files(path=str(each)) for each in on_top)
    return replace(whole_image(directory / "image", base), overlays=overlays)


def from_command(directory: Path, base: Members, overlay: Members | None) -> Template:
    made = from_tarballs(directory, base, overlay)
    command = ("cp", str(directory / "base.tar"), "{output}")
    return replace(made, source=Build(command=command))


MAKERS: dict[str, Maker] = {
    "tarballs": from_tarballs,
    "directory": over_a_directory,
    "oci": from_layers,
    "image": from_image,
    "build": from_command,
}


@pytest.fixture
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not next to the target, where nothing may appear."""
    return tmp_path_factory.mktemp("sources")


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("case", CASES)
def test_nothing_outside_is_ever_written(
    tmp_path: Path, sources: Path, target: Path, store: Store, victim: Path, case: str, maker: str
) -> None:
    base, overlay, fails = hostile_archives(str(victim))[case]
    before = sorted(tmp_path.rglob("*"))
    must_fail = fails and maker == "tarballs"  # others may have a harmless meaning for it
    expected = pytest.raises(HostError, match="cannot be unpacked") if must_fail else nullcontext()
    try:
        with expected:
            templates.install(MAKERS[maker](sources, base, overlay), target, store)
    except HostError:
        assert maker != "tarballs" or fails is EITHER
    inside = f"{target}/"
    assert [path for path in sorted(tmp_path.rglob("*")) if inside not in f"{path}"] == before
    assert target.lstat().st_mode & 0o170000 == 0o040000
    assert not Path("geats-was-here").exists()


@pytest.mark.parametrize("case", CASES)
def test_a_hostile_server_writes_nowhere_else(
    sources: Path, target: Path, store: Store, victim: Path, case: str
) -> None:
    base, overlay, _ = hostile_archives(str(victim))[case]
    (sources / "www").mkdir()
    with serving(sources / "www") as server:
        content = write(sources / "image", base, "w:xz").read_bytes()
        server.add("1", content)
        overlays = from_tarballs(sources, base, overlay).overlays
        with suppress(HostError):
            templates.install(replace(server.template(), overlays=overlays), target, store)


TREES: dict[str, Members] = {
    "folder for a link": (folder("x"), file("x/passwd")),
    "file for a link": (file("x"),),
    "link for a link": (link("x", "/etc"),),
}


@pytest.mark.parametrize("tree", TREES)
@pytest.mark.parametrize("to", ["{victim}/etc", "../../victim/etc", "{victim}/etc/passwd"])
def test_a_directory_on_top_is_never_led_out_by_links(
    tmp_path: Path, target: Path, store: Store, victim: Path, tree: str, to: str
) -> None:
    base = write(tmp_path / "base.tar", (link("x", to.format(victim=victim)),))
    on_top = tmp_path / "tree"
    on_top.mkdir()
    templates.install(tarball(write(tmp_path / "tree.tar", TREES[tree])), on_top, store)
    with suppress(HostError):
        templates.install(tarball(base, on_top), target, store)


def declaring(path: Path, size_bytes: int) -> Path:
    """An archive with a file that is said to be so large, and is not."""
    member = file("large", "")
    member.size = size_bytes
    path.write_bytes(member.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    return path


@pytest.mark.parametrize("size_bytes", [2**40, 2**60, 2**62])
def test_a_size_that_is_only_declared_is_refused(
    tmp_path: Path, target: Path, store: Store, size_bytes: int
) -> None:
    huge = declaring(tmp_path / "huge.tar", size_bytes)
    for template in (tarball(huge), tarball(write(tmp_path / "base.tar", ()), huge)):
        with pytest.raises(Refused, match="is not a sound archive"):
            templates.verify(template, store)
        with pytest.raises(HostError, match="cannot be unpacked"):
            templates.install(template, target, store)
    assert sum(path.stat().st_blocks for path in target.rglob("*")) < 100
