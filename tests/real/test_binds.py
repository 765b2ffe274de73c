"""Directories of the host in real containers: read-only is read-only, and no link leads out."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from returns.result import Failure

from geats_host.calls import lifecycle
from geats_host.engine.apply_plan import apply_plan
from geats_host.engine.outcomes import Interrupted
from geats_host.errors import Refused
from tests.real.conftest import sh
from tests.real.owner import GUEST, Owner

ONE, TWO = "geats-test-binds1", "geats-test-binds2"


class Operator(Owner):
    """Someone who runs VMs from one template, and lets them bind what is below ``media``."""

    @property
    def media(self) -> Path:
        return self.directory / "media"

    def bind(self, source: Path, mount: str, **keys: object) -> dict[str, object]:
        return {"source": str(source), "mount": mount, **keys}

    def run(self, name: str, script: str) -> str:
        return sh(*self.attached(name, script))

    def root_of(self, name: str) -> Path:
        return next((self.directory / "pool").glob(f"**/{name}/root/**/bin/busybox")).parent.parent


@pytest.fixture
def operator(own_namespaces: None, busybox_rootfs: Path, tmp_path: Path) -> Iterator[Operator]:
    """That person, with films in ``media``; no VM is left afterwards."""
    (tmp_path / "media/films").mkdir(parents=True)
    (tmp_path / "media/films/one").write_text("film\n")
    settings: dict[str, object] = {
        "registry": "memory",
        "bind_sources": [f"{tmp_path}/media"],
    }
    someone = Operator(tmp_path, settings=settings)
    yield someone
    for name in (ONE, TWO):
        someone.vms.setdefault(name, {"profile": "small"})
        someone.apply(name, "deprovisioned")


@pytest.mark.parametrize("privileged", [False, True])
def test_read_only_is_read_only_and_files_of_roots_are_nobodys(
    operator: Operator, privileged: bool
) -> None:
    (operator.media / "up").mkdir()
    for folder in ("up", "films"):  # it is not for want of rights that root of the guest cannot
        os.chown(operator.media / folder, GUEST, GUEST)
    films = operator.bind(operator.media / "films", "/srv/films")
    up = operator.bind(operator.media / "up", "/srv/up", read_only=False)
    operator.vms[ONE] = {
        "profile": "small",
        "privileged": privileged,
        "binds": {"films": films, "up": up},
    }
    operator.apply(ONE, "running")

    assert operator.run(ONE, "cat /srv/films/one") == "film\n"
    operator.run(ONE, "! echo x > /srv/films/new")
    if not privileged:
        operator.run(ONE, "! mount -o remount,rw,bind /srv/films && ! echo x > /srv/films/new")
    operator.run(ONE, "echo up > /srv/up/new")
    assert (operator.media / "up/new").read_text() == "up\n"
    assert (operator.media / "up/new").stat().st_uid == (0 if privileged else GUEST)
    assert lifecycle.plan_to(operator.host, ONE, "running").plan.is_empty


@pytest.mark.parametrize("privileged", [False, True])
def test_what_is_mounted_below_a_source_is_not_bound_with_it(
    operator: Operator, privileged: bool
) -> None:
    disk = operator.media / "films/disk"
    disk.mkdir()
    binds = {
        "media": operator.bind(operator.media, "/srv/media"),
        "films": operator.bind(operator.media / "films", "/srv/films"),
    }
    operator.vms[ONE] = {"profile": "small", "privileged": privileged, "binds": binds}
    with tmpfs(disk):
        (disk / "secret").touch()
        operator.apply(ONE, "running")
        assert operator.run(ONE, "cd /srv/media/films; echo *; echo disk/*") == "disk one\ndisk/*\n"
        assert operator.run(ONE, "cd /srv/films; echo *; echo disk/*") == "disk one\ndisk/*\n"


@pytest.mark.parametrize("privileged", [False, True])
def test_what_is_mounted_below_a_recursive_source_is_bound_with_it(
    operator: Operator, privileged: bool
) -> None:
    """Read-only is so all the way down; and a file, or nothing at all, can be a source too."""
    for folder in ("films", "up"):
        (operator.media / folder / "disk").mkdir(parents=True)
    one = operator.media / "films/one"
    how = {"recursive": True, "optional": True}
    binds = {
        "films": operator.bind(operator.media / "films", "/srv/films", **how),
        "up": operator.bind(operator.media / "up", "/srv/up", **how, read_only=False),
        "gone": operator.bind(operator.media / "gone", "/srv/gone", optional=True),
        "lost": operator.bind(operator.media / "lost", "/lost", optional=True, read_only=False),
        "one": operator.bind(one, "/etc/one", file=True),
    }
    operator.vms[ONE] = {"profile": "small", "privileged": privileged, "binds": binds}
    with tmpfs(operator.media / "films/disk"), tmpfs(operator.media / "up/disk"):
        for folder in ("films", "up"):
            (operator.media / folder / "disk/new").touch()
            (operator.media / folder / "disk").chmod(0o777)
        operator.apply(ONE, "running")
        said = operator.run(ONE, "cd /srv; echo films/disk/* up/disk/* gone/*; cat /etc/one")
        assert said == "films/disk/new up/disk/new gone/*\nfilm\n"
        operator.run(ONE, "! echo x > /srv/films/disk/other && echo x > /srv/up/disk/other")
        operator.run(ONE, "! echo x > /etc/one")
        assert lifecycle.plan_to(operator.host, ONE, "running").plan.is_empty
        operator.apply(ONE, "off")


def test_root_of_an_unprivileged_guest_cannot_write_to_a_read_only_volume(
    operator: Operator,
) -> None:
    data = {"name": "data", "mount": "/srv/data", "read_only": True}
    operator.vms[ONE] = {"profile": "small", "volumes": [{"name": "root"}, data]}
    operator.apply(ONE, "running")
    operator.run(ONE, "! echo x > /srv/data/new")
    operator.run(ONE, "! mount -o remount,rw,bind /srv/data && ! echo x > /srv/data/new")


def test_two_vms_share_a_directory_that_one_of_them_may_only_read(operator: Operator) -> None:
    shared = operator.media / "our films \\ here"
    shared.mkdir()
    os.chown(shared, GUEST, GUEST)
    for name, read_only in ((ONE, False), (TWO, True)):
        films = operator.bind(shared, "/srv/films", read_only=read_only)
        operator.vms[name] = {"profile": "small", "binds": {"films": films}}
        operator.apply(name, "running")
    operator.run(ONE, "echo two > /srv/films/two")
    assert operator.run(TWO, "cat /srv/films/two") == "two\n"
    operator.run(TWO, "! echo x > /srv/films/two")
    operator.run(ONE, "echo three > /srv/films/two")
    assert operator.run(TWO, "cat /srv/films/two") == "three\n"


@contextmanager
def tmpfs(at: Path) -> Iterator[None]:
    """A filesystem mounted there."""
    sh("mount", "-t", "tmpfs", "tmpfs", str(at))
    yield
    sh("umount", str(at))


def test_a_bind_changes_by_a_restart_and_goes_with_its_key(operator: Operator) -> None:
    operator.vms[ONE] = {"profile": "small"}
    operator.apply(ONE, "running")
    films = operator.bind(operator.media / "films", "/srv/films")
    operator.vms[ONE] = {"profile": "small", "binds": {"films": films}}
    planned = lifecycle.plan_to(operator.host, ONE, "running").plan
    reason = f"binds changed [] → [films {operator.media}/films /srv/films read_only]"
    assert [(str(step.impact), step.reason) for step in planned.steps][:2] == [
        ("none", reason),
        ("restart", reason),
    ]
    operator.apply(ONE, "running")
    assert operator.run(ONE, "cat /srv/films/one") == "film\n"
    operator.vms[ONE] = {"profile": "small"}
    operator.apply(ONE, "running")
    assert operator.run(ONE, "cat /srv/films/one || true") == ""


def test_a_source_that_leads_out_of_what_is_allowed_is_refused(operator: Operator) -> None:
    (operator.media / "out").symlink_to("/etc")
    binds = {"out": operator.bind(operator.media / "out", "/out")}
    operator.vms[ONE] = {"profile": "small", "binds": binds}
    with pytest.raises(Refused, match=r"/media/out' leads to '/etc'"):
        operator.apply(ONE, "running")
    binds["out"] = operator.bind(Path("/etc"), "/out")
    with pytest.raises(Refused, match=r"'/etc' is not within what bind_sources allows"):
        operator.apply(ONE, "running")
    binds["out"] = operator.bind(operator.media / "gone", "/out")
    with pytest.raises(Refused, match=r"/gone' cannot be bound: No such file or directory"):
        operator.apply(ONE, "running")
    assert operator.host.observe_all() == {}


@pytest.mark.parametrize("privileged", [False, True])
@pytest.mark.parametrize("link", ["{}", "../../../../../../../../../../../..{}"])
def test_a_mount_point_that_the_guest_made_a_link_leads_nowhere(
    operator: Operator, privileged: bool, link: str
) -> None:
    films = operator.bind(operator.media / "films", "/srv/new/films")
    operator.vms[ONE] = {"profile": "small", "privileged": privileged, "binds": {"films": films}}
    operator.apply(ONE, "provisioned")
    outside = operator.directory / "outside"
    outside.mkdir()
    outside.chmod(0o777)
    (operator.root_of(ONE) / "srv").symlink_to(link.format(outside))

    opened = operator.host
    match apply_plan(opened, lifecycle.plan_to(opened, ONE, "running")):
        case Failure(Interrupted(failed=(failed,))):
            assert failed.error == (
                f"/srv/new/films in {ONE} cannot be a mount point: there is a symbolic link on the"
                " way to it"
            )
        case other:
            raise AssertionError(other)
    assert sh("find", str(outside)).split() == [str(outside)]
