"""What others put beside our own things, whatever it is called, stops nothing."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from geats_core import parse_vm
from geats_core.planning.goal import Goal, Target
from geats_core.vm.observation import Power
from geats_host.calls import exports, inventory, lifecycle
from geats_host.drivers import Place
from geats_host.drivers.lxc.driver import open_driver
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import HostError
from geats_host.host import Host
from geats_host.planning.goals import Wishes
from geats_host.planning.plans import plan_halt, plan_wishes
from geats_host.plugins.entry_points import storage_plugin
from geats_host.storage import VolumeId
from tests.memory_host import memory_config

SPEC = parse_vm("web01", {"template": "t", "privileged": True}).unwrap()
NAMES = (
    *(b"a\nb", b"\xff\xfe", b"x" * 255, b"-rf", b"--help", b"with space", b"...", b"..x", b"..-"),
    *(b"a:b", b"*", b"\x1b[31m", b"$(x)", b"UPPER_", b".hidden", b"~", b"a\\b", b"'q'"),
    *(b".destroying-", b".destroying-a", b".destroying-..-x", b"web01\n", b"web01 ", b"%n", b"{}"),
)


def folder(at: bytes) -> None:
    os.mkdir(at)


def file(at: bytes) -> None:
    os.close(os.open(at, os.O_CREAT | os.O_EXCL | os.O_WRONLY))


def dangling(at: bytes) -> None:
    os.symlink("/nowhere/at/all", at)


def link(at: bytes) -> None:
    os.symlink(".", at)


def loop(at: bytes) -> None:
    os.symlink(os.path.basename(at), at)


KINDS: Mapping[str, Callable[[bytes], None]] = {
    each.__name__: each for each in (folder, file, dangling, link, loop, os.mkfifo)
}


@pytest.fixture(params=KINDS)
def littered(request: pytest.FixtureRequest) -> Callable[[Path], Path]:
    """Puts a thing of every odd name into a directory, and one that a VM could be called."""

    def litter(directory: Path) -> Path:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        names = NAMES if request.param == "folder" else (*NAMES, b"not-ours")
        for name in names:
            KINDS[request.param](os.path.join(os.fsencode(directory), name))
        return directory

    return litter


def test_in_the_run_and_state_directories_it_stops_no_command(
    tmp_path: Path, littered: Callable[[Path], Path]
) -> None:
    for room in ("run/operations", "run/reservations", "run", "state/exports", "state"):
        littered(tmp_path / room)
    host = Host.from_config({**memory_config(tmp_path), "registry": "sqlite"})
    apply_plan(host, plan_wishes(host, Wishes(Goal(name="", target=Target.RUNNING)))).unwrap()
    assert {row["power"] for row in inventory.list_report(host).values()} == {"running"}
    apply_plan(host, plan_halt(host)).unwrap()
    assert host.observe("web01").power is Power.STOPPED
    for name in ("web01", "db01"):
        apply_plan(host, lifecycle.plan_verb(host, "deprovision", name)).unwrap()
    assert host.observe_all() == {}
    assert exports.pruned(host, {"last": 1}, dry_run=False) == []


@pytest.mark.parametrize("plugin", ["directory", "sparsefile"])
def test_in_a_pool_it_is_no_volume(
    tmp_path: Path, littered: Callable[[Path], Path], plugin: str
) -> None:
    place = littered(tmp_path / "pool")
    pool = storage_plugin("pools.x", plugin)({"path": str(place)}, None)
    ours, before = VolumeId("web01", "root"), set(os.listdir(place))
    pool.allocate(ours, 1 << 30)
    assert list(pool.observe()) == [ours]
    pool.format(ours)
    assert list(pool.observe()) == [ours]
    pool.destroy(ours)
    assert dict(pool.observe()) == {}
    assert before <= set(os.listdir(place))


def test_in_the_directory_of_containers_it_is_no_container(
    tmp_path: Path, littered: Callable[[Path], Path]
) -> None:
    driver = open_driver({"path": str(littered(tmp_path / "lxc"))}, tmp_path / "state")
    assert dict(driver.observe()) == {}
    assert dict(driver.observe("web01")) == {}


def test_to_look_at_containers_changes_nothing_of_their_directory(tmp_path: Path) -> None:
    lxcpath = tmp_path / "lxc"
    lxcpath.mkdir()
    lxcpath.chmod(0o755)
    os.chown(lxcpath, 1234, 1234)
    assert dict(open_driver({"path": str(lxcpath)}, tmp_path / "state").observe()) == {}
    seen = lxcpath.stat()
    assert (seen.st_mode & 0o7777, seen.st_uid, seen.st_gid) == (0o755, 1234, 1234)


def test_a_directory_of_containers_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk/old").mkdir(parents=True)
    (tmp_path / "disk/old/config").write_text("lxc.uts.name = old\n")
    (tmp_path / "lxc").symlink_to(tmp_path / "disk")
    driver = open_driver({"path": str(tmp_path / "lxc")}, tmp_path / "state")
    assert driver.observe()["old"].foreign
    driver.define(SPEC, {"root": Place(tmp_path / "root")})
    assert driver.observe()["web01"].defined == SPEC
    assert (tmp_path / "disk/web01/config").exists()
    driver.undefine("web01")
    assert set(driver.observe()) == {"old"}


def test_a_link_to_a_disk_that_is_not_there_is_no_empty_directory(tmp_path: Path) -> None:
    (tmp_path / "lxc").symlink_to(tmp_path / "disk")
    driver = open_driver({"path": str(tmp_path / "lxc")}, tmp_path / "state")
    for act in (driver.observe, lambda: driver.define(SPEC, {"root": Place(tmp_path / "root")})):
        with pytest.raises(HostError, match="a link that leads nowhere"):
            act()
    assert not (tmp_path / "disk").exists()
