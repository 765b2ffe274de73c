"""Images of LXD and distrobuilder: only the rootfs is unpacked, whatever else is in them."""

import subprocess
from pathlib import Path
from shutil import which

import pytest

from geats_core.declared.template import Template
from geats_host import templates
from geats_host.errors import HostError, Refused
from geats_host.templates.store import Store
from tests.host.inputs.test_yaml_text import LAUGHS
from tests.host.templates.archives import Members, device, file, folder, hard_link, link, write
from tests.host.templates.lxd_images import METADATA, lxd, whole_image

ROOTFS = (
    folder("etc"),
    file("etc/machine-id", "0123"),
    file("etc/issue", "debian"),
    hard_link("etc/same", "etc/issue"),
    link("absolute", "/etc"),
    folder("dev"),
    device("dev/null"),
)


def problems(template: Template) -> tuple[str, ...]:
    with pytest.raises(Refused) as refused:
        templates.verify(template, Store(Path("/nowhere"), Path("/nowhere")))
    return refused.value.problems


@pytest.mark.parametrize("kind", ["w", "w:gz", "w:xz"])
def test_only_the_rootfs_is_unpacked(tmp_path: Path, target: Path, store: Store, kind: str) -> None:
    template = whole_image(tmp_path / "image", ROOTFS, kind)
    templates.verify(template, store)
    templates.install(template, target, store)
    assert sorted(path.name for path in target.iterdir()) == ["absolute", "dev", "etc"]
    assert (target / "etc/same").samefile(target / "etc/issue")
    assert (target / "etc/machine-id").read_text() == ""
    assert list((target / "dev").iterdir()) == []


def test_names_may_begin_with_a_dot(tmp_path: Path, target: Path, store: Store) -> None:
    source = tmp_path / "source"
    (source / "rootfs/etc").mkdir(parents=True)
    (source / "rootfs/etc/issue").write_text("x")
    (source / "metadata.yaml").write_text(METADATA)
    subprocess.run(["tar", "-C", source, "-czf", tmp_path / "image", "."], check=True)
    templates.verify(lxd(tmp_path / "image"), store)
    templates.install(lxd(tmp_path / "image"), target, store)
    assert [path.name for path in target.iterdir()] == ["etc"]


TOP = (file("metadata.yaml", METADATA), folder("rootfs"))


@pytest.mark.parametrize("to", ["/", "{victim}", "../../victim", "../victim"])
@pytest.mark.parametrize("first", [True, False])
def test_a_second_rootfs_that_is_a_link_leads_nowhere(
    tmp_path: Path, target: Path, store: Store, victim: Path, to: str, first: bool
) -> None:
    """CVE-2026-48749."""
    trap = link("rootfs", to.format(victim=victim))
    inside = (file("rootfs/etc/passwd"), file(f"rootfs{victim}/etc/passwd"), file("rootfs/new"))
    members: Members = (trap, *TOP, *inside) if first else (*TOP, trap, *inside)
    templates.install(lxd(write(tmp_path / "image", members)), target, store)
    assert (target / "etc/passwd").read_text() == "evil"
    assert (target / "new").read_text() == "evil"


def test_metadata_and_rootfs_may_be_apart(tmp_path: Path, target: Path, store: Store) -> None:
    metadata = write(tmp_path / "meta", [file("metadata.yaml", METADATA)])
    template = lxd(metadata, write(tmp_path / "rootfs", ROOTFS, "w:xz"))
    templates.verify(template, store)
    templates.install(template, target, store)
    assert (target / "etc/issue").read_text() == "debian"


@pytest.mark.skipif(which("mksquashfs") is None, reason="no squashfs-tools")
def test_the_rootfs_may_be_a_squashfs(tmp_path: Path, target: Path, store: Store) -> None:
    source = tmp_path / "source"
    (source / "etc").mkdir(parents=True)
    (source / "etc/issue").write_text("debian")
    (source / "etc/issue").chmod(0o600)
    (source / "dev").mkdir()
    subprocess.run(["mknod", source / "dev/null", "c", "1", "3"], check=True)
    rootfs = tmp_path / "rootfs"
    subprocess.run(["mksquashfs", source, rootfs, "-quiet", "-no-progress"], check=True)
    template = lxd(write(tmp_path / "meta", [file("metadata.yaml", METADATA)]), rootfs)
    templates.verify(template, store)
    templates.install(template, target, store)
    assert (target / "etc/issue").read_text() == "debian"
    assert (target / "etc/issue").stat().st_mode & 0o7777 == 0o600
    assert list((target / "dev").iterdir()) == []
    rootfs.write_bytes(rootfs.read_bytes()[:200])
    assert "is not a sound squashfs" in problems(template)[0]


@pytest.mark.skipif(which("mksquashfs") is None, reason="no squashfs-tools")
def test_a_squashfs_writes_nowhere_else(
    tmp_path: Path, target: Path, store: Store, victim: Path
) -> None:
    """Its links are made as they are, and a device node that it has elsewhere is none here."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "etc").symlink_to(victim / "etc")
    subprocess.run(["mknod", source / "null", "c", "1", "3"], check=True)
    rootfs = tmp_path / "rootfs"
    subprocess.run(["mksquashfs", source, rootfs, "-quiet", "-no-progress"], check=True)
    template = lxd(write(tmp_path / "meta", [file("metadata.yaml", METADATA)]), rootfs)
    with pytest.raises(HostError, match="cannot be unpacked"):
        templates.install(template, target, store)
    assert not (target / "null").exists()


def test_without_unsquashfs_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rootfs").write_bytes(b"hsqs" + bytes(200))
    metadata = write(tmp_path / "meta", [file("metadata.yaml", METADATA)])
    monkeypatch.setattr("shutil.which", lambda _: None)
    (problem,) = problems(lxd(metadata, tmp_path / "rootfs"))
    assert problem.startswith("templates.t.image.rootfs: needs unsquashfs")


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ((folder("rootfs"), file("rootfs/x")), "must have a metadata.yaml:"),
        ((folder("metadata.yaml"), file("rootfs/x")), "must have a metadata.yaml:"),
        ((link("metadata.yaml", "/etc/passwd"), file("rootfs/x")), "must have a metadata.yaml:"),
        ((file("metadata.yaml", "x: " * 9), file("rootfs/x")), "that tells the architecture"),
        ((file("metadata.yaml", "- x"), file("rootfs/x")), "that tells the architecture"),
        ((file("metadata.yaml", "[" * 9999), file("rootfs/x")), "that tells the architecture"),
        ((file("metadata.yaml", "a: 2001-99-99"), file("rootfs/x")), "tells the architecture"),
        ((file("metadata.yaml", "a: !!bool abc"), file("rootfs/x")), "tells the architecture"),
        ((file("metadata.yaml", "a: 1" + ":59" * 400 + ".5"), file("rootfs/x")), "architecture"),
        ((file("metadata.yaml", "- " * 3000 + "x"), file("rootfs/x")), "tells the architecture"),
        ((file("metadata.yaml", LAUGHS), file("rootfs/x")), "tells the architecture"),
        ((file("metadata.yaml", " " * 2**20 + "x"), file("rootfs/x")), "at most 1048576 bytes"),
        ((file("metadata.yaml", METADATA),), "must have a rootfs"),
        ((file("metadata.yaml", METADATA), file("rootfs")), "must have a rootfs"),
        ((*TOP, file("rootfs/x"), file("./rootfs/x")), "must have a rootfs"),
        ((file("metadata.yaml", METADATA), file("../rootfs/x")), "must have a rootfs"),
    ],
)
def test_what_is_no_image_is_refused(
    tmp_path: Path, target: Path, store: Store, members: Members, said: str
) -> None:
    assert said in problems(lxd(write(tmp_path / "image", members)))[0]


def test_an_image_without_rootfs_unpacks_nothing(
    tmp_path: Path, target: Path, store: Store
) -> None:
    with pytest.raises(HostError, match="must have one rootfs"):
        templates.install(lxd(write(tmp_path / "image", [file("x")])), target, store)


def test_every_file_is_looked_at(tmp_path: Path) -> None:
    found = problems(lxd(tmp_path / "no", tmp_path / "neither"))
    assert [text.partition(": cannot")[0] for text in found] == [
        "templates.t.image",
        "templates.t.image.rootfs",
    ]


def test_both_files_count_for_the_key(tmp_path: Path, store: Store) -> None:
    one, two = write(tmp_path / "1", [file("1")]), write(tmp_path / "2", [file("2")])
    sources = (lxd(one), lxd(one, one), lxd(one, two), lxd(two, one))
    assert len({templates.key_of(source, store) for source in sources}) == 4
