"""Images in the OCI's layout: layers in order, whiteouts, digests."""

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from geats_core.containers.programs import WhatRuns
from geats_core.declared.template import Files
from geats_host import templates
from geats_host.errors import HostError, Refused
from geats_host.templates import program_of, remember_sound, verified
from geats_host.templates.architectures import debian_arch, oci_arch
from geats_host.templates.store import Store
from tests.host.templates.archives import Members, file, folder, hard_link, link
from tests.host.templates.conftest import everything_in
from tests.host.templates.oci_layout import (
    INDEX,
    TAG,
    add_blob,
    add_image,
    image,
    oci,
    packed,
    write_index,
)

BASE = (
    folder("./"),
    folder("etc"),
    file("etc/machine-id", "0123"),
    file("etc/issue", "base"),
    folder("opt"),
    file("opt/a", "a"),
    folder("opt/b"),
    file("opt/b/c", "c"),
    link("lib", "opt"),
)


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    return tmp_path / "image"


def names(target: Path) -> set[str]:
    return {str(path.relative_to(target)) for path in target.rglob("*")}


@pytest.mark.parametrize("kind", ["w", "w:gz", "zstd"])
def test_layers_are_put_on_in_order(layout: Path, target: Path, store: Store, kind: str) -> None:
    template = image(layout, BASE, [file("etc/issue", "1")], [file("etc/issue", "2")], kind=kind)
    templates.verify(template, store)
    templates.install(template, target, store)
    assert (target / "etc/issue").read_text() == "2"
    assert (target / "etc/machine-id").read_text() == ""


def test_an_archive_is_as_good_as_a_directory(layout: Path, target: Path, store: Store) -> None:
    image(layout, BASE, [file("etc/issue", "1")])
    template = packed(layout)
    templates.verify(template, store)
    templates.install(template, target, store)
    assert (target / "etc/issue").read_text() == "1"
    assert list((store.root / "scratch").iterdir()) == []


@pytest.mark.parametrize(
    ("layer", "gone", "there"),
    [
        ([file("etc/.wh.issue", "")], {"etc/issue"}, {"etc"}),
        ([file(".wh.opt", "")], {"opt", "opt/a", "opt/b", "opt/b/c"}, {"lib"}),
        ([file("./opt/.wh.b", "")], {"opt/b", "opt/b/c"}, {"opt/a"}),
        ([file(".wh.lib", "")], {"lib"}, {"opt/a"}),
        ([file("lib/.wh.a", "")], {"opt/a"}, {"opt/b"}),
        ([folder("opt"), file("opt/.wh..wh..opq", "")], {"opt/a", "opt/b"}, {"opt"}),
        ([file("opt/new"), file("opt/.wh..wh..opq", "")], {"opt/a", "opt/b"}, {"opt/new"}),
        ([file("opt/a", "n"), file("opt/.wh.a", "")], set(), {"opt/a"}),
        ([file(".wh.nothing", ""), file("no/.wh.x", "")], {"no"}, {"opt/a"}),
        ([file("opt", "now a file")], {"opt/a"}, {"opt"}),
        ([folder("lib"), file("lib/new")], {"opt/new"}, {"lib/new"}),
        ([folder("etc/issue")], set(), {"etc/issue"}),
        ([file(".wh.", ""), file(".wh...", ""), file(".wh..", "")], set(), {"opt/a"}),
        ([file(".wh..wh.aufs", "")], set(), {"opt/a"}),
    ],
)
def test_a_layer_takes_away_from_those_below(
    layout: Path, target: Path, store: Store, layer: Members, gone: set[str], there: set[str]
) -> None:
    templates.install(image(layout, BASE, layer), target, store)
    found = names(target)
    assert found & gone == set()
    assert there <= found
    assert not any(".wh." in name for name in found)


@pytest.mark.parametrize("up", ["{victim}", "../../victim"])
@pytest.mark.parametrize(
    "name", ["x/.wh.etc", "x/.wh..wh..opq", "x/etc/.wh.passwd", "x/etc/.wh..wh..opq", ".wh.x"]
)
def test_no_whiteout_reaches_the_host(
    layout: Path, target: Path, store: Store, victim: Path, name: str, up: str
) -> None:
    template = image(layout, [link("x", up.format(victim=victim))], [file(name, "")])
    templates.install(template, target, store)
    assert os.path.lexists(target / "x") == (name != ".wh.x")


@pytest.mark.parametrize("name", ["../../victim/.wh.etc", "a/../../../victim/.wh..wh..opq"])
def test_no_whiteout_goes_up(
    layout: Path, target: Path, store: Store, victim: Path, name: str
) -> None:
    templates.install(image(layout, BASE, [file(name, "")]), target, store)


def test_a_hard_link_may_be_to_a_file_of_the_layer_below(
    layout: Path, target: Path, store: Store
) -> None:
    templates.install(image(layout, BASE, [hard_link("etc/same", "etc/issue")]), target, store)
    assert (target / "etc/same").samefile(target / "etc/issue")


def test_a_tag_or_the_platform_says_which_image(layout: Path, target: Path, store: Store) -> None:
    first, second = add_image(layout, [[file("1")]]), add_image(layout, [[file("2")]])
    both = {
        "schemaVersion": 2,
        "manifests": [
            {**first, "platform": {"os": "linux", "architecture": "none"}},
            {**second, "platform": {"os": "linux", "architecture": oci_arch()}},
        ],
    }
    nested = add_blob(layout, json.dumps(both).encode(), INDEX)
    write_index(
        layout, {**nested, "annotations": {TAG: "both"}}, {**first, "annotations": {TAG: "1"}}
    )
    for tag, name in (("both", "2"), ("1", "1")):
        templates.verify(oci(layout, tag), store)
        templates.install(oci(layout, tag), target, store)
        assert names(target) == {name}
    with pytest.raises(Refused, match="has several images"):
        templates.verify(oci(layout), store)


def test_an_index_that_is_too_deep_is_refused(layout: Path, store: Store) -> None:
    found = add_image(layout, [])
    for _ in range(9):
        nested = json.dumps({"manifests": [found]}).encode()
        found = add_blob(layout, nested, INDEX)
    write_index(layout, found)
    with pytest.raises(Refused, match="more than 4 indexes deep"):
        templates.verify(oci(layout), store)


def a_layer(layout: Path) -> Path:
    return max((layout / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)


def test_every_layer_is_compared_with_its_digest(layout: Path, target: Path, store: Store) -> None:
    template = image(layout, BASE, [file("a" * 90, "x")])
    content = a_layer(layout).read_bytes()
    a_layer(layout).write_bytes(content.replace(b"base", b"evil"))
    with pytest.raises(Refused, match="must have the sha256"):
        templates.verify(template, store)
    with pytest.raises(HostError, match="must have the sha256"):
        templates.install(template, target, store)
    assert names(target) == set()
    a_layer(layout).write_bytes(content + b"x")
    with pytest.raises(Refused, match=r"must be of .* bytes"):
        templates.verify(template, store)
    with pytest.raises(Refused, match=r"image\.oci\.tar/blobs/sha256/.*must be of .* bytes"):
        templates.verify(packed(layout), store)


def test_a_blob_that_is_a_link_is_refused(
    layout: Path, tmp_path: Path, store: Store, victim: Path
) -> None:
    template = image(layout, BASE)
    blob = a_layer(layout)
    blob.rename(tmp_path / "elsewhere")
    blob.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Refused, match="reached by no symbolic link"):
        templates.verify(template, store)
    blob.unlink()
    os.mkfifo(blob)
    with pytest.raises(Refused, match="must be a regular file"):
        templates.verify(template, store)
    blob.unlink()
    with pytest.raises(Refused, match="cannot be read: No such file"):
        templates.verify(template, store)


@pytest.mark.parametrize("name", ["index.json", "oci-layout"])
def test_what_is_no_layout_is_refused(layout: Path, store: Store, name: str) -> None:
    template = image(layout, BASE)
    (layout / name).unlink()
    with pytest.raises(Refused, match=name):
        templates.verify(template, store)
    os.mkfifo(layout / name)
    with pytest.raises(Refused, match="must be a regular file"):
        templates.verify(template, store)
    (layout / name).unlink()
    (layout / name).write_bytes(b'{"' + b" " * 5 * 2**20)
    with pytest.raises(Refused, match="must be JSON"):
        templates.verify(template, store)


def test_a_layer_that_is_no_archive_is_refused(layout: Path, store: Store) -> None:
    add_image(layout, [])
    layer = add_blob(layout, b"hello", "application/vnd.oci.image.layer.v1.tar+gzip")
    manifest = json.dumps({"layers": [layer]}).encode()
    write_index(layout, add_blob(layout, manifest, "application/vnd.oci.image.manifest.v1+json"))
    with pytest.raises(Refused, match="must be a tar archive"):
        templates.verify(oci(layout), store)


def test_what_is_not_there_is_refused(tmp_path: Path, store: Store) -> None:
    with pytest.raises(Refused, match="No such file"):
        templates.verify(oci(tmp_path / "gone"), store)


def test_the_key_is_that_of_the_image(layout: Path, tmp_path: Path, store: Store) -> None:
    template = image(layout, BASE)
    before = templates.key_of(template, store)
    (layout / "blobs/sha256" / ("0" * 64)).write_text("no part of the image")
    assert templates.key_of(template, store) == before
    assert templates.key_of(image(layout, BASE, BASE), store) != before
    assert templates.key_of(packed(layout), store) != before


def test_an_image_under_overlays(layout: Path, tmp_path: Path, target: Path, store: Store) -> None:
    (tmp_path / "top").mkdir()
    (tmp_path / "top" / ".wh.etc").write_text("an ordinary file")
    overlays = (Files(path=str(tmp_path / "top")),)
    templates.install(replace(image(layout, BASE), overlays=overlays), target, store)
    assert {".wh.etc", "etc"} <= names(target)


def test_the_processor_has_a_name_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert (oci_arch(), debian_arch()) == ("arm64", "arm64")
    monkeypatch.setattr("platform.machine", lambda: "vax")
    assert (oci_arch(), debian_arch()) == ("vax", "vax")


def test_nothing_of_the_layout_changes(layout: Path, target: Path, store: Store) -> None:
    template = image(layout, BASE)
    before = everything_in(layout)
    templates.install(template, target, store)
    assert everything_in(layout) == before


def test_what_an_image_says_of_its_program_is_kept_with_the_key_of_the_template(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout, store = tmp_path / "image", Store(tmp_path / "store", tmp_path / "run")
    passwd = file("./etc/passwd", "app:x:5:6::/:/bin/sh\n")
    older = file("etc/passwd", "app:x:1:1::/:/bin/sh\n")
    says = {"Cmd": ["/app"], "User": "app"}
    write_index(layout, add_image(layout, [[older], [passwd], [file("other")]], config=says))
    template = packed(layout)
    assert program_of(template, store) == WhatRuns(command=("/app",), user=5, group=6)
    monkeypatch.setattr(verified, "BEGAN_NS", time.time_ns() + 10 * verified.TICK_NS)
    assert verified.known_program(template, store) is None
    remember_sound(template, store)
    assert verified.known_program(template, store) == program_of(template, store)
