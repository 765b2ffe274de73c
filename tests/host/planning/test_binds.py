"""Directories of the host that VMs bind: what is refused, and when it is looked at."""

import os
from pathlib import Path

import pytest
from returns.result import Failure

from geats_core import VMSpec, parse_vm
from geats_core.planning.actions import ActivateVolume
from geats_core.planning.steps import Step
from geats_core.plans.plan_files import SavedPlan
from geats_core.vm.spec import Bind
from geats_host.calls import lifecycle
from geats_host.engine.apply_plan import apply_plan
from geats_host.engine.outcomes import Interrupted
from geats_host.errors import HostError, Refused
from geats_host.guest_trees.mount_points import check_mount_points
from geats_host.host import Host
from geats_host.planning.binds import problems
from geats_host.registry import Outcome
from tests.memory_host import memory_config, memory_host


def wrong(source: Path, *allowed: Path, file: bool = False, optional: bool = False) -> list[str]:
    """What is wrong with a VM that binds *source*, without the path of the problem."""
    bind = Bind(name="media", source=str(source), mount="/media", file=file, optional=optional)
    spec = VMSpec(name="web", driver="lxc", template="t", hostname="web", volumes=(), binds=(bind,))
    found = [str(each) for each in problems(spec, [str(path) for path in allowed])]
    return [each.removeprefix("binds.media.source: ") for each in found]


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """A directory that may be bound, with one in it."""
    (tmp_path / "media/films").mkdir(parents=True)
    return tmp_path / "media"


def test_what_is_allowed_is_bound_and_what_is_below_it(media: Path) -> None:
    assert wrong(media, media) == wrong(media / "films", media.parent / "x", media) == []


def test_what_is_beside_or_above_is_not(media: Path) -> None:
    for source in (media.parent, media.with_name("media2")):
        assert wrong(source, media) == [
            f"'{source}' is not within what bind_sources allows ({media})"
        ]


def test_what_is_not_there_or_no_directory_is_not_bound(media: Path) -> None:
    (media / "file").touch()

    assert wrong(media / "gone", media) == [
        f"'{media}/gone' cannot be bound: No such file or directory"
    ]
    assert wrong(media / "file", media) == [f"'{media}/file' cannot be bound: Not a directory"]


def test_a_file_is_bound_as_one_and_what_is_optional_may_be_absent(media: Path) -> None:
    (media / "file").touch()

    assert wrong(media / "file", media, file=True) == []
    assert wrong(media / "films", media, file=True) == [
        f"'{media}/films' is a directory, and the bind is of a file"
    ]
    assert wrong(media / "gone", media, optional=True) == []
    assert wrong(media / "file", media, optional=True) == [
        f"'{media}/file' cannot be bound: Not a directory"
    ]
    assert wrong(media / "gone", media / "films", optional=True) == [
        f"'{media}/gone' is not within what bind_sources allows ({media}/films)"
    ]


def test_a_link_below_what_is_allowed_is_not_followed_wherever_it_leads(media: Path) -> None:
    (media / "out").symlink_to("/etc")
    (media / "in").symlink_to("films")
    (media.parent / "elsewhere/deep").mkdir(parents=True)
    (media / "up").symlink_to("../elsewhere")

    assert wrong(media / "out", media) == [
        f"'{media}/out' leads to '/etc': links below bind_sources are not followed"
    ]
    assert wrong(media / "in", media) == [
        f"'{media}/in' leads to '{media}/films': links below bind_sources are not followed"
    ]
    assert wrong(media / "up/deep", media) == [
        f"'{media}/up/deep' leads to '{media.parent}/elsewhere/deep': links below bind_sources"
        " are not followed"
    ]


def test_a_link_that_the_operator_allowed_is_followed(media: Path) -> None:
    link = media.with_name("link")
    link.symlink_to(media)

    assert wrong(link, link) == wrong(link / "films", link) == []


@pytest.mark.parametrize("mode", [0o777, 0o775])
def test_what_others_can_exchange_is_not_bound(media: Path, mode: int) -> None:
    media.chmod(mode)

    assert wrong(media, media) == []
    assert wrong(media / "films", media) == [
        f"'{media}/films' is not safe: others than root can exchange '{media}/films'"
    ]
    media.chmod(mode | 0o1000)  # only owners may rename there, and that is root
    assert wrong(media / "films", media) == []


def test_what_a_guest_owns_the_way_to_is_not_bound(media: Path) -> None:
    (media / "films/new").mkdir()
    os.chown(media, 100_000, 100_000)

    assert wrong(media, media) == []
    for source in (media / "films", media / "films/new"):
        assert wrong(source, media) == [
            f"'{source}' is not safe: others than root can exchange '{media}/films'"
        ]
    os.chown(media / "films", 100_000, 0)
    os.chown(media, 0, 0)
    media.chmod(0o1777)
    assert wrong(media / "films", media) == [
        f"'{media}/films' is not safe: others than root can exchange '{media}/films'"
    ]


def host(directory: Path) -> Host:
    """A host whose volumes are real, and web01 on it binds ``directory/media``."""
    template = directory / "template"
    template.mkdir(exist_ok=True)
    web = {
        "driver": "memory",
        "template": "debian",
        "binds": {"media": {"source": f"{directory}/media", "mount": "/media"}},
    }
    change: dict[str, object] = {
        "pools": {"default": {"type": "directory", "path": f"{directory}/pool"}},
        "templates": {"debian": {"path": str(template)}},
        "bind_sources": [f"{directory}/media"],
        "vms": {"web01": web},
    }
    return memory_host(directory, change)


def to_running(opened: Host) -> SavedPlan:
    return lifecycle.plan_to(opened, "web01", "running")


GONE = "binds.media.source: '{}/media' cannot be bound: No such file or directory"


def test_binds_are_looked_at_when_a_plan_is_made_and_before_it_is_applied(tmp_path: Path) -> None:
    opened = host(tmp_path)
    with pytest.raises(Refused) as refused:
        to_running(opened)
    assert refused.value.problems == (f"web01.{GONE.format(tmp_path)}",)

    (tmp_path / "media").mkdir()
    planned = to_running(opened)
    (tmp_path / "media").rmdir()
    with pytest.raises(Refused) as refused:
        apply_plan(opened, planned)
    assert refused.value.problems == (f"web01.{GONE.format(tmp_path)}",)
    assert opened.observe_all() == {}


def test_binds_are_looked_at_once_more_right_before_the_start(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    opened = host(tmp_path)

    def remove(step: Step, outcome: Outcome, _: str) -> None:
        if isinstance(step.action, ActivateVolume) and outcome is Outcome.DONE:
            (tmp_path / "media").rmdir()

    match apply_plan(opened, to_running(opened), remove):
        case Failure(Interrupted(failed=(failed,))):
            assert failed.error == GONE.format(tmp_path)
            assert failed.step.reason == "web01 should be running"
        case other:
            raise AssertionError(other)


def test_where_volumes_hold_nothing_no_bind_is_looked_for(tmp_path: Path) -> None:
    source = f"{tmp_path}/gone"
    web = {"profile": "small", "binds": {"media": {"source": source, "mount": "/media"}}}
    opened = memory_host(tmp_path, {"vms": {"web01": web}, "bind_sources": [source]})

    assert apply_plan(opened, to_running(opened)).unwrap()
    with pytest.raises(Refused, match="not within what bind_sources allows"):
        to_running(memory_host(tmp_path / "other", {"vms": {"web01": web}}))
    assert "bind_sources" not in memory_config(tmp_path)


def mounting(tmp_path: Path, *mounts: str) -> None:
    """Check a VM with a volume at /srv/data, and binds at these *mounts*."""
    raw = {
        "template": "t",
        "volumes": [{"name": "root"}, {"name": "data", "mount": "/srv/data"}],
        "binds": {
            f"b{number}": {"source": "/srv", "mount": mount} for number, mount in enumerate(mounts)
        },
    }
    check_mount_points(
        parse_vm("web", raw).unwrap(), {"root": tmp_path / "root", "data": tmp_path / "data"}
    )


def test_mount_points_are_where_they_seem_to_be(tmp_path: Path) -> None:
    (tmp_path / "root/srv/data/there").mkdir(parents=True)
    (tmp_path / "data/link").mkdir(parents=True)
    (tmp_path / "data/up").symlink_to("../..")
    (tmp_path / "root/srv/data/link").symlink_to("/")  # covered by the volume
    (tmp_path / "root/var").symlink_to("/nowhere")
    (tmp_path / "root/file").touch()

    mounting(tmp_path, "/media/films", "/srv/data/link", "/srv/data/new")
    for mount in ("/var", "/var/media", "/srv/data/up", "/srv/data/up/x"):
        with pytest.raises(HostError) as error:
            mounting(tmp_path, mount)
        assert str(error.value) == (
            f"{mount} in web cannot be a mount point: there is a symbolic link on the way to it"
        )
    with pytest.raises(HostError, match="root/file/x: Not a directory"):
        mounting(tmp_path, "/file/x")


def wrong_include(path: object) -> list[str]:
    spec = parse_vm("web", {"template": "t", "includes": [str(path)]}).unwrap()
    return [str(each).removeprefix("includes: ") for each in problems(spec, [])]


def test_a_filter_of_system_calls_is_one_that_nobody_else_writes(tmp_path: Path) -> None:
    (tmp_path / "mine").touch(0o666)
    (tmp_path / "mine").chmod(0o666)
    for seccomp, wrong in ((tmp_path / "mine", 1), (tmp_path / "no", 1), ("none", 0)):
        spec = parse_vm("web", {"template": "t", "seccomp": str(seccomp)}).unwrap()
        assert [each.path for each in problems(spec, [])] == ["seccomp"] * wrong


def test_what_is_included_is_there_and_nobody_but_root_writes_it(tmp_path: Path) -> None:
    site, folder = tmp_path / "site.conf", tmp_path / "site.d"
    site.touch()
    folder.mkdir()
    (folder / "a.conf").touch()
    assert wrong_include(site) == wrong_include(folder) == wrong_include(f"{tmp_path}/no.d/") == []
    assert wrong_include(tmp_path / "no") == [
        f"'{tmp_path}/no' cannot be read: No such file or directory"
    ]
    for each in (folder / "a.conf", folder):
        each.chmod(0o777)
        assert wrong_include(folder) == [
            f"'{folder}' is not safe: others than root can write '{each}'"
        ]
    os.chown(site, 100_000, 0)
    assert wrong_include(site) == [f"'{site}' is not safe: others than root can write '{site}'"]
    os.chown(site, 0, 0)
    os.chown(tmp_path, 100_000, 0)
    assert wrong_include(site) == [f"'{site}' is not safe: others than root can exchange '{site}'"]
