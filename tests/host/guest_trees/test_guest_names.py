"""The files that geats writes into a guest's tree, which may hold anything."""

import os
import subprocess
from pathlib import Path

import pytest

from geats_core import Goal, Target, parse_vm
from geats_core.vm.hardware import problems as hardware_problems
from geats_host.drivers.lxc.driver import open_driver
from geats_host.drivers.lxc.facts import KEYS
from geats_host.engine.apply_plan import apply_plan
from geats_host.guest_trees.guest_names import SEED, configure_guest, finish_guest
from geats_host.host import Host
from geats_host.planning.goals import goal_by_name
from geats_host.planning.plans import plan_vm
from geats_host.storage import VolumeId

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to root")
WEB = parse_vm("web01", {"template": "t"}).unwrap()


def test_a_new_guest_is_named_in_every_file(tmp_path: Path) -> None:
    etc = tmp_path / "etc"
    etc.mkdir()
    for file, text in {"hostname": "build\n", "mailname": "build.x\n"}.items():
        (etc / file).write_text(text)
    (etc / "hosts").write_bytes(b"# \xff\n127.0.1.1 build.x build\n")
    configure_guest(tmp_path, WEB, owner=0, new=True)
    assert (etc / "hosts").read_bytes() == b"# \xff\n127.0.1.1\tweb01\n"
    assert [(etc / file).read_text() for file in ("hostname", "mailname")] == ["web01\n"] * 2


def test_a_template_without_etc_gets_hosts_and_no_mailname(tmp_path: Path) -> None:
    configure_guest(tmp_path, WEB, owner=0, new=True)
    assert {each.name for each in (tmp_path / "etc").iterdir()} == {
        *("hosts", "hostname", "firstboot.config")
    }
    assert "127.0.1.1\tweb01\n" in (tmp_path / "etc/hosts").read_text()


def test_a_seed_goes_with_cloud_init_unless_somebody_else_made_it(tmp_path: Path) -> None:
    seeded = parse_vm("web01", {"template": "t", "hardware": {"guest": "cloud-init"}}).unwrap()
    seed = tmp_path / SEED
    finish_guest(tmp_path, WEB, owner=0)
    assert not seed.exists()
    finish_guest(tmp_path, seeded, owner=0)
    (seed / "vendor-data").write_text("of the image")
    outside = tmp_path / "outside"
    outside.write_text("kept")
    (seed / "user-data").unlink()
    (seed / "user-data").symlink_to("/outside")
    finish_guest(tmp_path, WEB, owner=0)
    assert [each.name for each in seed.iterdir()] == ["vendor-data"]
    assert outside.read_text() == "kept"

    (seed / "meta-data").write_text("instance-id: of-the-image\n")
    finish_guest(tmp_path, WEB, owner=0)
    assert len([*seed.iterdir()]) == 2


@pytest.mark.parametrize("make", ["link", "fifo", "folder"])
def test_hosts_that_is_no_file_stays_as_it_is(tmp_path: Path, make: str) -> None:
    (tmp_path / "etc").mkdir()
    hosts, outside = tmp_path / "etc/hosts", tmp_path / "outside"
    outside.write_text("build\n")
    match make:
        case "link":
            hosts.symlink_to("/outside")
        case "fifo":
            os.mkfifo(hosts)
        case _:
            hosts.mkdir()
    before = hosts.lstat()
    configure_guest(tmp_path, WEB, owner=0, new=True)
    assert (hosts.lstat().st_ino, outside.read_text()) == (before.st_ino, "build\n")


def test_a_container_has_its_seed_before_each_start_if_cloud_init_reads_it(tmp_path: Path) -> None:
    (tmp_path / "tree/etc").mkdir(parents=True)
    subprocess.run(["tar", "-cf", "tree.tar", "-C", "tree", "."], cwd=tmp_path, check=True)

    def brought(target: Target, **keys: object) -> dict[str, object]:
        """What is in the seed then, and how."""
        vm = {"driver": "memory", "template": "tree", "hardware": keys}
        host = Host.from_config(
            {
                **{key: f"{tmp_path / key}" for key in ("state_dir", "run_dir")},
                "drivers": {"memory": {}},
                "pools": {"default": {"type": "directory", "path": f"{tmp_path}/pool"}},
                "templates": {"tree": {"path": f"{tmp_path}/tree.tar"}},
                "vms": {"web": vm},
            }
        )
        have = host.observe("web")
        goal = goal_by_name(Goal(name="", target=target), "web", host.config, {"web": have})
        apply_plan(host, plan_vm(host, goal, have)).unwrap()
        seed = host.pools["default"].path(VolumeId("web", "root")) / SEED
        files = seed.iterdir() if seed.is_dir() else ()
        assert all(file.stat().st_mode & 0o777 == 0o600 for file in files)
        return {file.name: file.read_text() for file in seed.glob("*")}

    assert brought(Target.RUNNING, guest="none") == {}
    brought(Target.STOPPED)
    made = brought(Target.RUNNING, guest="cloud-init", ssh_keys=["one"])
    assert made.keys() == {"meta-data", "user-data", "network-config"}
    assert "one" in f"{made['user-data']}"
    brought(Target.STOPPED)
    renewed = brought(Target.RUNNING, guest="cloud-init", ssh_keys=["two"])
    assert "two" in f"{renewed['user-data']}"
    assert renewed["meta-data"] == made["meta-data"]


@pytest.mark.parametrize(
    ("hardware", "wrong"),
    [
        ({}, []),
        ({"guest": "cloud-init", "ssh_keys": ["x"]}, []),
        (
            {"guest": "none", "user_data": {}, "ssh_keys": []},
            ["hardware.guest: must be cloud-init, or nobody reads ssh_keys and user_data"],
        ),
        (
            {"user_data": {}},
            ["hardware.guest: must be cloud-init, or nobody reads user_data"],
        ),
    ],
)
def test_a_seed_that_nobody_reads_is_refused(
    hardware: dict[str, object], wrong: list[str], tmp_path: Path
) -> None:
    spec = parse_vm("web01", {"template": "t", "hardware": hardware}).unwrap()
    driver = open_driver({}, tmp_path)
    assert [f"{each}" for each in driver.cannot_define(spec)] == wrong
    minion = {"master": "salt", "install": True}
    spec = parse_vm("web01", {"template": "t", "hardware": hardware, "minion": minion}).unwrap()
    installs = hardware.get("guest") == "cloud-init"
    paths = [each.path for each in driver.cannot_define(spec)]
    assert ("minion.install" in paths) is not installs
    assert [*hardware_problems("lxc", KEYS, spec.hardware)] == []
