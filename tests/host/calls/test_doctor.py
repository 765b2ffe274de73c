"""The doctor: each thing that a host may lack is found, with what to do about it."""

import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from geats_core.vm.parse import parse_vm
from geats_host.calls import units
from geats_host.calls.doctor import examine
from geats_host.drivers import memory
from geats_host.drivers.abilities import Trial
from geats_host.drivers.lxc.kernel import apparmor
from geats_host.drivers.memory import MemoryDriver
from geats_host.examining import looks
from geats_host.examining.findings import Finding, Health, HostFiles
from geats_host.registry.sqlite import open_registry
from tests.memory_host import memory_config

HEALTHY = {
    "etc/subuid": "root:100000:65536",
    "etc/subgid": "root:100000:65536",
    "proc/sys/user/max_user_namespaces": "1000\n",
    "proc/sys/fs/inotify/max_user_instances": "1024\n",
    "proc/sys/kernel/pty/max": "4096\n",
    "proc/sys/kernel/pty/nr": "12\n",
    "proc/self/mountinfo": (
        "20 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n"
        "30 25 0:26 / /var/lib/lxcfs rw - fuse.lxcfs lxcfs rw\n"
    ),
    "sys/fs/cgroup/cgroup.controllers": "cpuset cpu io memory pids\n",
    "proc/self/status": "Name:\tgeats\nCapEff:\t000001ffffffffff\n",
    "etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 x.org {platform.node()} # this host\n",
}


def tree(directory: Path, files: Mapping[str, str] = HEALTHY) -> HostFiles:
    for path, text in files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(text)
    return HostFiles(directory)


def finding(what: str, at: HostFiles) -> Finding:
    (found,) = (each for each in examine({}, at) if each.what == what)
    return found


def test_a_host_that_lacks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: f"/usr/bin/{program}")
    raw = memory_config(tmp_path) | {"vms": {}, "templates": {}}
    assert {each.health for each in examine(raw, tree(tmp_path / "root"))} == {Health.WELL}


def test_a_host_of_virtual_machines_alone_needs_nothing_of_containers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = {"tar", "zstd", "xz", "ip"}
    monkeypatch.setattr(shutil, "which", lambda program: f"/bin/{program}" * (program in there))
    monkeypatch.setattr(platform, "release", lambda: "5.10.0")
    files = {"etc/hosts": HEALTHY["etc/hosts"], "proc/self/status": HEALTHY["proc/self/status"]}
    files["proc/self/mountinfo"] = HEALTHY["proc/self/mountinfo"].splitlines()[0]
    raw = memory_config(tmp_path) | {"vms": {}, "templates": {}}
    at = tree(tmp_path / "root", files)
    assert {each.health for each in examine(raw, at)} == {Health.WELL}
    assert not {"lxcfs", "ptys", "lxc-start"} & {each.what for each in examine(raw, at)}
    (tmp_path / "root/sys/fs/cgroup").mkdir(parents=True)
    found = {each.what for each in examine(raw | {"drivers": {"lxc": {}, "qemu": {}}}, at)}
    assert {"lxcfs", "ptys", "lxc-start"} <= found


@pytest.mark.parametrize(
    ("what", "file", "text", "health", "words"),
    [
        ("user namespaces", "proc/sys/user/max_user_namespaces", "0", Health.PROBLEM, "sysctl"),
        ("user namespaces", "proc/sys/user/max_user_namespaces", None, Health.PROBLEM, "USER_NS"),
        ("subordinate ids", "etc/subuid", "", Health.PROBLEM, "root:100000:65536 to /etc/subuid"),
        ("subordinate ids", "etc/subgid", "root:1:2", Health.PROBLEM, "/etc/subgid"),
        ("inotify", "proc/sys/fs/inotify/max_user_instances", "128", Health.WARNING, "=1000"),
        ("ptys", "proc/sys/kernel/pty/max", "2000", Health.WARNING, "kernel.pty.max=3524"),
        ("ptys", "proc/sys/kernel/pty/nr", "3070", Health.PROBLEM, "kernel.pty.max=3524"),
        ("mounts", "proc/self/mountinfo", "20 1 8:1 / / rw - ext4 x rw", Health.WARNING, "rshared"),
        ("capabilities", "proc/self/status", "CapEff: fffeffffff", Health.WARNING, "Bounding"),
        ("capabilities", "proc/self/status", "CapEff: ffffdfffff", Health.PROBLEM, "Bounding"),
        ("own name", "etc/hosts", f"127.0.0.1 a # {platform.node()}", Health.WARNING, "127.0.1.1"),
        ("cgroups", "sys/fs/cgroup/cgroup.controllers", "cpu pids", Health.PROBLEM, "memory"),
    ],
)
def test_what_a_host_lacks(
    tmp_path: Path, what: str, file: str, text: str | None, health: Health, words: str
) -> None:
    host = tree(tmp_path)
    assert finding(what, host).health is Health.WELL
    if text is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_text(text)
    found = finding(what, host)
    assert found.health is health
    assert words in found.fix


def test_how_many_guests_inotify_is_enough_for(tmp_path: Path) -> None:
    host = tree(tmp_path, {**HEALTHY, "proc/sys/fs/inotify/max_user_instances": "128"})
    assert finding("inotify", host).found == "at most 128 instances: enough for about 64 guests"


def test_control_groups_of_version_1(tmp_path: Path) -> None:
    files = {path: text for path, text in HEALTHY.items() if "controllers" not in path}
    host = tree(tmp_path, {**files, "sys/fs/cgroup/cpu/tasks": "", "sys/fs/cgroup/pids/tasks": ""})
    assert finding("cgroups", host).found == "version 1, without memory"
    (tmp_path / "sys/fs/cgroup/memory").mkdir()
    assert finding("cgroups", host).found == "version 1, with cpu, memory, pids"


def test_an_old_kernel_and_a_user_that_is_not_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = tree(tmp_path)
    for release, health in (("5.10.0-28-amd64", "problem"), ("5.12", "well"), ("6.1", "well")):
        monkeypatch.setattr(platform, "release", lambda release=release: release)
        assert finding("kernel", host).health == health
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert finding("user", host).fix == "run geats as root"


def test_apparmor_without_its_parser_lets_no_container_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there: dict[str, str] = {}
    monkeypatch.setattr(shutil, "which", there.get)
    host = tree(tmp_path)
    assert finding("apparmor", host).health is Health.WELL
    tree(tmp_path, {apparmor.ENABLED: "Y\n", f"{apparmor.INTERFACE}/profiles": ""})
    assert finding("apparmor", host) == Finding(
        "apparmor",
        Health.PROBLEM,
        "is on, and apparmor_parser is not installed: no container can start",
        "apt-get install apparmor",
    )
    there[apparmor.PARSER] = "/usr/sbin/apparmor_parser"
    assert finding("apparmor", host).health is Health.WELL


def test_units_that_are_not_there_where_systemd_runs(tmp_path: Path) -> None:
    host = tree(tmp_path)
    assert finding("units", host).health is Health.WELL
    (tmp_path / units.RUNS).mkdir(parents=True)
    found = finding("units", host)
    assert (found.health, found.fix) == (Health.WARNING, "geats units")
    assert found.found.startswith("not enabled: geats.service: a poweroff kills guests")
    unit = f"{units.FOLDER}/geats.service"
    tree(tmp_path, {unit: "", f"{units.FOLDER}/multi-user.target.wants/geats.service": ""})
    assert finding("units", host) == Finding("units", Health.WELL, "geats.service is enabled")


def test_what_drivers_tried_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trials = [Trial(what="start", found="it starts"), Trial(what="attach", found="dies", fix="x")]

    class Trying(MemoryDriver):
        def trials(self) -> Iterator[Trial]:
            return iter(trials)

    monkeypatch.setattr(memory, "MemoryDriver", Trying)
    found = {each.what: each for each in examine(memory_config(tmp_path))}
    assert found["start"] == Finding("start", Health.WELL, "it starts")
    assert found["attach"] == Finding("attach", Health.PROBLEM, "dies", "x")


def test_a_program_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = tree(tmp_path)
    monkeypatch.setattr(shutil, "which", lambda program: None)
    assert finding("newuidmap", host).fix == "apt-get install uidmap"


def test_everything_that_a_plan_would_be_refused_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looks, "PROGRAMS", {})
    nic = {"name": "eth0", "bridge": "nobr0"}
    vm = {"template": "debian", "nics": [nic], "memory": "10 bananas"}
    raw = {"vms": {"web01": vm, "db01": {**vm, "memory": "1GiB"}}}
    templates = {"debian": {"path": f"{tmp_path}/debian.tar"}}

    def fixes(config: object) -> list[str]:
        found = examine(config, tree(tmp_path))
        return [each.fix for each in found if each.what == "configuration"]

    assert fixes(
        {
            **memory_config(tmp_path),
            "drivers": {"lxc": {}},
            "pools": {"default": {"type": "directory", "path": f"{tmp_path}/pool"}},
            "templates": templates,
            **raw,
        }
    ) == [
        "ip link add nobr0 type bridge && ip link set nobr0 up",
        "correct it in the configuration, at web01.memory",
        "correct it in the configuration, at templates.debian.path",
    ]
    missing = {"drivers": {}, "pools": {"fast": {"type": "btrfs", "path": str(tmp_path)}}}
    monkeypatch.setattr(shutil, "which", lambda program: None)
    assert "apt-get install btrfs-progs" in fixes(missing)


def test_vms_with_the_same_ids_on_the_host_are_told(tmp_path: Path) -> None:
    vms: dict[str, object] = {name: {"template": "debian"} for name in ("a", "b")}
    vms["c"] = {"template": "debian", "idmap": [{"guest": 0, "host": 500_000, "count": 65_536}]}
    vms["d"] = {"template": "debian", "privileged": True}
    config = {
        **memory_config(tmp_path),
        "registry": "sqlite",
        "drivers": {"lxc": {"path": f"{tmp_path}/lxc"}},
        "vms": vms,
    }
    registry = open_registry({}, tmp_path / "state")
    for name, raw in vms.items():
        registry.record(parse_vm(name, raw).unwrap())
    told = [each.found for each in examine(config) if each.what == "ids of guests"]
    assert told == ["a, b have the same ids on the host"]


def test_what_is_done_already_is_not_proposed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = tree(tmp_path, {**HEALTHY, "proc/self/mountinfo": "", "etc/subgid": "a:1:2"})
    there = {apparmor.PARSER: "/usr/sbin/apparmor_parser"}
    monkeypatch.setattr(shutil, "which", there.get)
    assert finding("subordinate ids", host).fix == "add the line root:100000:65536 to /etc/subgid"
    assert finding("lxcfs", host).fix == "apt-get install lxcfs"
    there["lxcfs"] = "/usr/bin/lxcfs"
    assert finding("lxcfs", host).fix == "mkdir -p /var/lib/lxcfs && lxcfs /var/lib/lxcfs &"
    (tmp_path / units.RUNS).mkdir(parents=True)
    assert finding("lxcfs", host).fix == "systemctl enable --now lxcfs"
    tree(tmp_path, {"etc/subuid": "", "etc/subgid": "root:200000:65536"})
    assert finding("subordinate ids", host).fix == "add the line root:200000:65536 to /etc/subuid"


def test_a_name_that_the_system_knows_needs_no_line(tmp_path: Path) -> None:
    files = {**HEALTHY, "etc/hosts": "", "etc/nsswitch.conf": "hosts: files myhostname dns\n"}
    assert finding("own name", tree(tmp_path, files)).health is Health.WELL


def test_a_filesystem_that_cannot_map_ids_is_told_with_its_pool(tmp_path: Path) -> None:
    pools = {name: {"type": "directory", "path": path} for name, path in (
        ("kernel", "/proc/sys/geats"),
        ("fine", str(tmp_path / "not/there/yet")),
    )}  # fmt: skip
    found = [
        each
        for each in examine({**memory_config(tmp_path), "pools": pools})
        if "pool " in each.what
    ]
    assert [(each.what, each.health) for each in found] == [("pool kernel", Health.PROBLEM)]
    assert found[0].found.startswith("proc at /proc/sys: the filesystem, or the kernel, cannot map")
    assert "type: filesystem, on: {type: sparsefile" in found[0].fix


def test_directories_of_disk_files_that_only_root_passes_are_told(tmp_path: Path) -> None:
    files = tmp_path / "files"
    for name, mode in (("db01", 0o710), ("lost+found", 0o700), ("web01", 0o711)):
        (files / name).mkdir(parents=True)
        (files / name).chmod(mode)
    (files / "link").symlink_to(files / "db01")
    pools = {
        "disks": {"type": "sparsefile", "path": f"{files}"},
        "later": {"type": "sparsefile", "path": f"{tmp_path}/not-yet"},
        "trees": {"type": "directory", "path": f"{files}"},
    }
    found = examine({**memory_config(tmp_path), "pools": pools})
    (told,) = (each for each in found if each.what == "pool disks")
    assert told.health is Health.WARNING
    assert told.fix == f"chmod 711 {files}/db01"


def test_a_configuration_that_is_not_there_is_told(tmp_path: Path) -> None:
    found = finding("configuration", tree(tmp_path))
    assert (found.health, found.fix) == (Health.WARNING, "geats init")
