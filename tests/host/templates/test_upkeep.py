"""Templates are listed, imported, verified and pruned, beside VMs that are provisioned."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from geats_core.declared.template import Build, Files, Template
from geats_core.vm.observation import Stage
from geats_host.errors import HostError, Refused
from geats_host.plugins.opened import Opened
from geats_host.storage import TEMPLATES, Pool, VolumeId, directory, memory, overlay
from geats_host.templates import cache, key_of, make_ready
from geats_host.templates.store import Store
from geats_host.templates.upkeep import Report, Upkeep
from tests.host.templates.archives import file, tarball, write
from tests.host.templates.image_server import serving


@pytest.fixture
def pools(tmp_path: Path) -> dict[str, Pool]:
    return {
        "layers": overlay.open_pool({"path": str(tmp_path / "layers")}, None),
        "plain": directory.open_pool({"path": str(tmp_path / "plain")}, None),
        "memory": memory.open_pool({"path": str(tmp_path / "memory")}, None),
    }


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return write(tmp_path / "base.tar", [file("new", "x")])


@pytest.fixture
def upkeep(archive: Path, pools: dict[str, Pool], store: Store) -> Upkeep:
    command = ("cp", str(archive), "{output}")
    built = Template(name="built", source=Build(command=command))
    return Upkeep({"t": tarball(archive), "built": built}, Opened.of("pool", pools), store)


def actions(reports: list[Report]) -> list[tuple[object, object, object]]:
    return [(each["pool"], each["action"], each["reason"]) for each in reports]


def test_a_template_that_is_not_ready_is_listed_as_such(upkeep: Upkeep, archive: Path) -> None:
    listed = upkeep.listed()
    assert listed["t"] == {
        "source": "path",
        "from": str(archive),
        "overlays": [],
        "key": key_of(upkeep.declared["t"], upkeep.store),
        "problem": None,
        "pools": {},
    }
    assert (listed["built"]["key"], listed["built"]["problem"]) == (None, "is not imported yet")
    assert listed["built"]["from"] == f"cp {archive} {{output}}"


def test_an_import_makes_a_template_ready_in_pools_that_clone(upkeep: Upkeep) -> None:
    wanted = ["build it", "unpack it in pool layers"]
    assert upkeep.missing("built") == wanted
    assert upkeep.make_ready("built")["done"] == wanted
    assert upkeep.missing("built") == upkeep.make_ready("built")["done"] == []
    assert upkeep.make_ready("built", refresh=True)["done"] == ["build it"]
    (copy,) = [upkeep.listed()["built"]["pools"]]
    assert isinstance(copy, dict)
    assert (list(copy), copy["layers"]["stage"]) == (["layers"], "installed")
    assert copy["layers"]["used_bytes"] > 0


def test_an_unknown_template_is_refused(upkeep: Upkeep) -> None:
    for call in (upkeep.make_ready, upkeep.missing):
        with pytest.raises(Refused, match="unknown template 'build', did you mean 'built'"):
            call("build")


def test_what_is_unsound_is_not_imported(upkeep: Upkeep, archive: Path) -> None:
    archive.write_text("damaged")
    with pytest.raises(Refused, match="must be a tar archive"):
        upkeep.make_ready("t")
    assert upkeep.pruned(dry_run=True) == []


def test_every_template_is_verified(upkeep: Upkeep, archive: Path) -> None:
    assert upkeep.verified() == {"t": (), "built": ()}
    upkeep.make_ready("t")
    assert upkeep.verified() == {"t": (), "built": ()}
    half_unpack(upkeep, "t")
    (problem,) = upkeep.verified()["t"]
    assert str(problem).startswith("templates.t: in pool layers is half unpacked")
    archive.unlink()
    (problem,) = upkeep.verified()["t"]
    assert str(problem).startswith("templates.t.path: cannot be read")


def half_unpack(upkeep: Upkeep, name: str) -> VolumeId:
    """As a crash leaves it."""
    pool = upkeep.pools["layers"]
    volume = VolumeId(TEMPLATES, key_of(upkeep.declared[name], upkeep.store))
    upkeep.make_ready(name)
    pool.mark(volume, replace(pool.observe()[volume], stage=Stage.FILLING, template=None))
    return volume


def test_an_import_finishes_what_a_crash_left(upkeep: Upkeep) -> None:
    volume = half_unpack(upkeep, "t")
    assert upkeep.make_ready("t")["done"] == ["unpack it in pool layers"]
    assert upkeep.pools["layers"].observe()[volume].stage is Stage.INSTALLED


def test_what_is_declared_is_never_pruned(upkeep: Upkeep) -> None:
    for name in upkeep.declared:
        upkeep.make_ready(name)
    before = upkeep.pruned(dry_run=True)
    assert {each["action"] for each in before} == {"keep"}
    assert {each["reason"] for each in before} == {
        "template t is declared",
        "template built is declared",
    }
    assert upkeep.pruned(dry_run=False) == before
    assert upkeep.missing("built") == upkeep.missing("t") == []


def test_what_is_no_longer_declared_is_pruned(upkeep: Upkeep) -> None:
    for name in upkeep.declared:
        upkeep.make_ready(name)
    later = replace(upkeep, declared={})
    told = later.pruned(dry_run=True)
    assert {each["action"] for each in told} == {"destroy"}
    assert upkeep.missing("built") == []
    assert later.pruned(dry_run=False) == told
    assert later.pruned(dry_run=False) == []
    assert upkeep.missing("built") == ["build it", "unpack it in pool layers"]


@pytest.mark.parametrize("is_declared", [True, False])
def test_what_a_crash_left_half_unpacked_is_pruned(upkeep: Upkeep, is_declared: bool) -> None:
    """Also where it is declared: it keeps the pool full, and is unpacked from the start anyway."""
    half_unpack(upkeep, "t")
    later = upkeep if is_declared else replace(upkeep, declared={})
    told = actions(later.pruned(dry_run=False))
    assert told == [("layers", "destroy", "is only partly unpacked: what needs it starts again")]
    assert upkeep.pools["layers"].observe() == {}


def test_what_a_template_without_a_key_may_need_is_kept(upkeep: Upkeep, archive: Path) -> None:
    upkeep.make_ready("t")
    archive.rename(archive.with_suffix(".away"))
    ((pool, action, reason),) = actions(upkeep.pruned(dry_run=False))
    assert (pool, action) == ("layers", "keep")
    assert f"{reason}".startswith("template t may need it: ")


def test_what_is_being_cloned_is_not_pruned(upkeep: Upkeep) -> None:
    later = replace(upkeep, declared={})
    with cache.unpacked(upkeep.pools["layers"], upkeep.declared["t"], upkeep.store):
        assert actions(later.pruned(dry_run=False)) == [("layers", "keep", "is in use just now")]
    assert [action for _, action, _ in actions(later.pruned(dry_run=False))] == ["destroy"]


def test_files_are_not_pruned_while_any_is_used(upkeep: Upkeep) -> None:
    make_ready(upkeep.declared["built"], upkeep.store)
    later = replace(upkeep, declared={})
    with upkeep.store.in_use():
        assert {action for _, action, _ in actions(later.pruned(dry_run=False))} == {"keep"}
    assert {action for _, action, _ in actions(later.pruned(dry_run=False))} == {"destroy"}
    assert upkeep.store.files() == ()


def test_a_template_that_the_pool_refuses_to_destroy_is_kept(upkeep: Upkeep) -> None:
    pool, vm = upkeep.pools["layers"], VolumeId("web01", "root")
    pool.allocate(vm, None)
    pool.format(vm)
    with cache.unpacked(pool, upkeep.declared["t"], upkeep.store) as source:
        pool.clone(source, vm)
    later = replace(upkeep, declared={})
    ((_, action, reason),) = actions(later.pruned(dry_run=False))
    assert (action, "web01" in f"{reason}") == ("keep", True)
    assert source in pool.observe()


def test_what_a_crash_left_in_scratch_is_pruned(upkeep: Upkeep) -> None:
    make_ready(upkeep.declared["built"], upkeep.store)
    left = upkeep.store.root / "scratch" / "left"
    left.mkdir()
    (left / "half").write_text("x")
    (told,) = [each for each in upkeep.pruned(dry_run=False) if each["action"] == "destroy"]
    assert (told["name"], left.exists()) == (str(left), False)


def test_only_the_newest_download_is_kept(tmp_path: Path, upkeep: Upkeep, archive: Path) -> None:
    (tmp_path / "www").mkdir()
    with serving(tmp_path / "www") as server:
        old = server.add("1", archive.read_bytes())
        changed = replace(upkeep, declared={"t": server.template()})
        changed.make_ready("t")
        new = server.add("2", write(archive, [file("newer")]).read_bytes())
        assert changed.missing("t") == []
        done = ["download it", "unpack it in pool layers"]
        assert changed.missing("t", refresh=True) == done[:1]
        assert changed.make_ready("t", refresh=True)["done"] == done
    gone = [each["name"] for each in changed.pruned(dry_run=False) if each["action"] == "destroy"]
    assert f"{upkeep.store.blob(old)}" in gone
    assert upkeep.store.blob(new).is_file()
    assert changed.listed()["t"]["from"] == f"debian/12 at {server.url}"


def test_a_damaged_download_is_replaced_when_it_is_refreshed(
    tmp_path: Path, upkeep: Upkeep, archive: Path
) -> None:
    (tmp_path / "www").mkdir()
    with serving(tmp_path / "www") as server:
        digest = server.add("1", archive.read_bytes())
        changed = replace(upkeep, declared={"t": server.template()})
        changed.make_ready("t", refresh=True)
        upkeep.store.blob(digest).write_text("damaged")
        with pytest.raises(Refused, match="must have the sha256"):
            changed.make_ready("t")
        changed.make_ready("t", refresh=True)
        assert changed.verified() == {"t": ()}


def test_a_file_that_cannot_be_removed_is_kept(
    upkeep: Upkeep, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(name: str, **_: object) -> None:
        raise PermissionError(1, "Operation not permitted", name)

    make_ready(upkeep.declared["built"], upkeep.store)
    monkeypatch.setattr(os, "unlink", fail)
    told = replace(upkeep, declared={}).pruned(dry_run=False)
    assert [(each["action"], each["reason"]) for each in told] == [
        ("keep", f"cannot be removed: Operation not permitted ({Path(str(each['name'])).name})")
        for each in told
    ]
    assert told


def test_a_blob_is_named_by_a_digest_only(store: Store) -> None:
    with pytest.raises(HostError, match="names no file"):
        store.blob("../../etc/passwd")


def test_two_templates_with_one_content_share_a_copy(upkeep: Upkeep, archive: Path) -> None:
    both = {name: Template(name=name, source=Files(path=str(archive))) for name in ("a", "b")}
    same = replace(upkeep, declared=both)
    same.make_ready("a")
    assert same.missing("b") == []
    (kept,) = same.pruned(dry_run=False)
    assert kept["action"] == "keep"
