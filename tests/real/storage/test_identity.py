"""A pool is told from another one at the same place, and a volume from another of its name."""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from returns.result import Success

from geats_core.reading import file_formats
from geats_host.calls import lifecycle
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import HostError, Refused
from geats_host.guest_trees.folders import open_directory
from geats_host.host import Host
from geats_host.observing.known_volumes import KIND
from geats_host.plugins.entry_points import OpenPool
from geats_host.registry import Registry
from geats_host.storage import Pool, VolumeId, directory, identity, sparsefile
from tests.host.templates.archives import file, folder, write
from tests.memory_host import memory_config
from tests.real.storage.places import mounted, own_mounts, sh

__all__ = ["own_mounts"]

VOLUME = VolumeId("web01", "root")
OPENERS: list[OpenPool] = [directory.open_pool, sparsefile.open_pool]
TARGETS = ("running", "stopped", "provisioned", "reinitialised", "undefined", "deprovisioned")


def pool_at(place: Path, open_pool: OpenPool = directory.open_pool) -> Pool:
    return open_pool({"path": f"{place}"}, None)


def filled(place: Path, open_pool: OpenPool = directory.open_pool) -> Pool:
    pool = pool_at(place, open_pool)
    pool.allocate(VOLUME, 2**20)
    return pool


@pytest.mark.parametrize("open_pool", OPENERS)
def test_a_pool_has_an_identity_from_its_first_volume_on(
    open_pool: OpenPool, tmp_path: Path
) -> None:
    assert pool_at(tmp_path / "a", open_pool).facts.identity is None
    pool, other = filled(tmp_path / "a", open_pool), filled(tmp_path / "b", open_pool)
    first = pool.facts.identity
    assert first is not None
    assert first != other.facts.identity

    pool.destroy(VOLUME)
    assert filled(tmp_path / "a", open_pool).facts.identity == first
    assert (tmp_path / "a" / identity.FILE).stat().st_mode & 0o777 == 0o600


def test_two_that_use_a_pool_first_give_it_one_identity(tmp_path: Path) -> None:
    def given(_: int) -> str | None:
        with open_directory(tmp_path) as at:
            identity.ensure(at, "directory")
            return identity.read(at, "directory")

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(given, range(64)))) == 1
    assert [each.name for each in tmp_path.iterdir()] == [identity.FILE]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not valid: restore it"),
        ("[]", "is not valid: restore it"),
        ('{"format": 1, "identity": ""}', "is not valid: restore it"),
        ('{"format": 1, "identity": 7}', "is not valid: restore it"),
        (f'{{"format": {file_formats.POOL + 1}}}', "was written by a newer geats"),
    ],
)
def test_an_identity_that_cannot_be_read_is_not_replaced(
    tmp_path: Path, text: str, why: str
) -> None:
    pool = filled(tmp_path)
    (tmp_path / identity.FILE).write_text(text)

    with pytest.raises(HostError, match=why):
        _ = pool.facts
    with pytest.raises(HostError, match=why):
        pool.allocate(VolumeId("web02", "root"), None)
    assert (tmp_path / identity.FILE).read_text() == text


class Site:
    """A host in memory, whose pool is in directories on whatever is mounted at ``point``."""

    def __init__(self, at: Path) -> None:
        self.point = at / "mnt"
        self.point.mkdir()
        members = [folder("etc"), file("etc/hostname", "debian")]
        self.config: Mapping[str, object] = {
            **memory_config(at),
            "registry": "sqlite",
            "pools": {"default": {"type": "directory", "path": f"{self.point}/pool"}},
            "templates": {"debian": {"path": f"{write(at / 'debian.tar', members)}"}},
        }

    @property
    def host(self) -> Host:
        return Host.from_config(self.config)

    @property
    def registry(self) -> Registry:
        return self.host.registry

    def apply(self, target: str, *, allow_data_loss: bool = False) -> None:
        host = self.host
        planned = lifecycle.plan_to(host, "web01", target, allow_data_loss=allow_data_loss)
        assert apply_plan(host, planned) == Success(planned.plan.steps)

    def noted(self) -> str | None:
        """The identity of the pool that web01 is remembered in."""
        note = json.loads(self.registry.notes(KIND)["web01/default/root"])
        found: str | None = note["identity"]
        return found

    def refuses(self, why: str, *, allow_data_loss: bool) -> None:
        """See that nothing is planned for web01, and that nothing in the pool has changed."""
        before = {each: each.stat().st_mtime_ns for each in self.point.rglob("*")}
        for target in TARGETS:
            with pytest.raises(Refused, match=why):
                lifecycle.plan_to(self.host, "web01", target, allow_data_loss=allow_data_loss)
        assert {each: each.stat().st_mtime_ns for each in self.point.rglob("*")} == before


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_volume_is_remembered_with_the_identity_of_its_pool(site: Site) -> None:
    site.apply("stopped")

    assert site.noted() == site.host.pools["default"].facts.identity is not None
    assert lifecycle.plan_to(site.host, "web01", "stopped").plan.is_empty


def test_a_note_of_an_older_geats_learns_the_identity_with_the_next_plan(site: Site) -> None:
    site.apply("stopped")
    key, text = "web01/default/root", site.registry.notes(KIND)["web01/default/root"]
    old = {name: value for name, value in json.loads(text).items() if name in ("name", "pool")}
    site.registry.note(KIND, key, json.dumps(old))

    assert lifecycle.plan_to(site.host, "web01", "stopped").plan.is_empty
    site.apply("provisioned")
    site.apply("running")
    assert site.registry.notes(KIND)[key] == text


@pytest.mark.parametrize("allow_data_loss", [False, True])
def test_a_pool_that_lost_its_mark_is_left_alone_until_it_is_put_back(
    site: Site, *, allow_data_loss: bool
) -> None:
    site.apply("stopped")
    mark = site.point / "pool" / identity.FILE
    text = mark.read_text()
    mark.unlink()
    why = f"filled in pool {site.noted()}, and what is there has no mark of geats"
    site.refuses(
        rf"web01.volumes\[default/root\]: is left alone: .*{why}", allow_data_loss=allow_data_loss
    )

    mark.write_text(text)
    assert lifecycle.plan_to(site.host, "web01", "stopped").plan.is_empty


@contextmanager
def disk(image: Path, point: Path) -> Iterator[None]:
    """A disk of its own, mounted; made if it is not there."""
    if not image.exists():
        with image.open("wb") as made:
            made.truncate(2**24)
        sh("mkfs.ext4", "-q", image)
    with mounted(image, point, "-o", "loop"):
        yield


@pytest.mark.parametrize("allow_data_loss", [False, True])
def test_another_disk_with_a_volume_of_the_same_name_is_not_touched(
    own_mounts: None, tmp_path: Path, *, allow_data_loss: bool
) -> None:
    sites = []
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        sites.append(Site(tmp_path / name))
        with disk(tmp_path / f"{name}.img", sites[-1].point):
            sites[-1].apply("stopped")
    here, there = (site.noted() for site in sites)
    site = sites[0]

    with disk(tmp_path / "there.img", site.point):
        why = f"filled in pool {here}, and what is there is pool {there}, as on another disk"
        site.refuses(
            rf"web01.volumes\[default/root\]: is left alone: .*{why}",
            allow_data_loss=allow_data_loss,
        )
    with disk(tmp_path / "here.img", site.point):
        assert lifecycle.plan_to(site.host, "web01", "stopped").plan.is_empty


def test_an_empty_mount_point_is_told_as_one_without_a_mark(
    own_mounts: None, tmp_path: Path
) -> None:
    site = Site(tmp_path)
    with disk(tmp_path / "disk.img", site.point):
        site.apply("stopped")

    why = "is not found there .*has no mark of geats: is the disk mounted"
    with pytest.raises(Refused, match=why):
        lifecycle.plan_to(site.host, "web01", "running")
    site.apply("stopped", allow_data_loss=True)
    assert site.noted() == site.host.pools["default"].facts.identity
    with disk(tmp_path / "disk.img", site.point):
        site.refuses("as on another disk", allow_data_loss=True)
