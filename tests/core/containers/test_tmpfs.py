"""Filesystems in memory: keys, lines in the order of mounts, and what old lines say."""

import pytest
from returns.result import Failure

from geats_core import parse_vm, to_plain
from geats_core.adopting.container_adoption import read_found
from geats_core.containers.tmpfs import Tmpfs, tmpfs_of
from geats_core.foreign.lxc_import import import_lxc
from geats_core.foreign.lxc_lines import OnHost
from geats_core.vm.lxc_config import LxcFacts, render_lxc_config
from tests.core.containers.one_vm import web

MEMORY = "lxc.mount.entry = tmpfs %s tmpfs rw,nosuid,nodev,create=dir"
RAW = {"/tmp": {}, "/dev/shm": "64MiB", "/srv": {"size": "1GiB", "mode": "0755"}}


def test_they_are_read_and_written_back() -> None:
    spec = web(tmpfs=RAW)
    assert spec.tmpfs == (
        Tmpfs(mount="/dev/shm", size_bytes=64 << 20),
        Tmpfs(mount="/srv", size_bytes=1 << 30, mode="755"),
        Tmpfs(mount="/tmp"),
    )
    assert parse_vm("web", to_plain(spec)).unwrap() == spec
    assert "tmpfs" not in to_plain(web())


@pytest.mark.parametrize("mode", ["0700", "0077", "0007", "000"])
def test_a_mode_is_read_again_as_it_was_recorded(mode: str) -> None:
    spec = web(tmpfs={"/tmp": {"mode": mode}})
    assert spec.tmpfs[0].mode == mode[-3:]
    assert parse_vm("web", to_plain(spec)).unwrap() == spec


def test_each_is_mounted_before_what_is_within_it() -> None:
    volumes = [{"name": "root"}, {"name": "a", "mount": "/srv/a"}]
    text = render_lxc_config(
        web(tmpfs=RAW, volumes=volumes, privileged=True),
        LxcFacts(volume_paths={"root": "/p", "a": "/a"}),
    )
    assert [line for line in text.splitlines() if "mount.entry" in line] == [
        f"{MEMORY % 'dev/shm'},mode=1777,size=67108864 0 0",
        f"{MEMORY % 'srv'},mode=755,size=1073741824 0 0",
        "lxc.mount.entry = /a srv/a none bind,rw,create=dir 0 0",
        f"{MEMORY % 'tmp'},mode=1777 0 0",
    ]


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"tmpfs": {"/a": {"mode": 755}}}, "tmpfs./a.mode: must be an octal mode as text"),
        ({"tmpfs": {"/a": {"mode": "9"}}}, "tmpfs./a.mode: must be an octal mode as text"),
        ({"tmpfs": {"a": {}}}, "tmpfs.a: must be an absolute path"),
        (
            {"tmpfs": {"/a/b": {}}, "binds": {"x": {"source": "/x", "mount": "/a"}}},
            "tmpfs./a/b: is within what binds.x mounts at /a",
        ),
        (
            {"tmpfs": {"/a": {}}, "volumes": [{"name": "root"}, {"name": "x", "mount": "/a"}]},
            "tmpfs./a: is within what volumes[x] mounts at /a",
        ),
    ],
)
def test_what_is_wrong_is_told(keys: dict[str, object], problem: str) -> None:
    found = parse_vm("web", {"template": "t", **keys})
    assert isinstance(found, Failure)
    assert any(problem in str(each) for each in found.failure())


def test_old_lines_that_say_the_same_are_keys() -> None:
    assert tmpfs_of("/a", ["rw", "nodev", "mode=0755", "size=64m"]) == {
        "tmpfs": {"/a": {"size": "64MiB", "mode": "755"}}
    }
    assert tmpfs_of("/a", ["noexec"]) is None
    assert tmpfs_of("/a", ["uid=7"]) is None
    assert tmpfs_of("/dev", ["mode=0755"]) is None  # no description may say that
    assert tmpfs_of("/a", ["size=half"]) is None


def test_what_stays_in_place_stays_a_line_unless_it_is_just_the_same() -> None:
    entry = "lxc.mount.entry = tmpfs"
    text = (
        "lxc.rootfs.path = dir:/lxc/a/rootfs\n"
        f"{entry} run tmpfs rw,nodev,mode=755 0 0\n"
        f"{entry} tmp tmpfs rw,nodev,nosuid,create=dir 0 0\n"
        f"{entry} srv tmpfs rw,nodev,nosuid,create=dir 0 0\n"
        f"{entry} srv/a tmpfs rw,nodev,nosuid,create=dir 0 0\n"
        f"{entry} /gone tmpfs rw 0 0\n"
    )
    found = read_found("a", "/lxc/a/config", text, OnHost()).unwrap()
    assert found.vm["tmpfs"] == {"/tmp": {}}
    assert [line for line in found.keep if line.startswith(entry)] == [
        f"{entry} run tmpfs rw,nodev,mode=755 0 0",
        f"{entry} srv tmpfs rw,nodev,nosuid,create=dir 0 0",
        f"{entry} srv/a tmpfs rw,nodev,nosuid,create=dir 0 0",
    ]
    made = import_lxc({"f": ("a", text)}).geats["vms"]["a"]  # type: ignore[index]
    assert made["tmpfs"] == {"/run": {"mode": "755"}, "/tmp": {}}
