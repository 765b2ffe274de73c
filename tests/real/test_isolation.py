"""Containers and their host: what is kept apart, and which devices a guest has."""

import os
import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from geats_core.containers.devices import Nodes
from geats_core.vm.lxc_config import with_device_rules
from geats_host.calls import lifecycle
from geats_host.errors import Refused
from tests.real.conftest import sh
from tests.real.owner import Owner

NAME = "geats-test-isolated"
TUN, FUSE = "/dev/net/tun", "/dev/fuse"
CAP_NET_RAW, CAP_SYS_TIME = 13, 25  # linux/capability.h


class OfOne(Owner):
    """Someone who has one container, and lets it have devices."""

    def to(self, target: str, **keys: object) -> list[str]:
        """Bring it there, as it is described now; the impacts of the steps."""
        if keys or NAME not in self.vms:
            self.vms[NAME] = {"template": "busybox", "init": "busybox", **keys}
        return [str(step.impact) for step in self.apply(NAME, target)]

    def status(self, key: str) -> str:
        lines = (self.init(NAME) / "status").read_text().splitlines()
        return next(line.split("\t")[1] for line in lines if line.startswith(f"{key}:"))

    def inside(self, script: str) -> str:
        argv = self.attached(NAME, script)
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
        return f"{done.stdout}{done.stderr}".strip()

    def opens(self, device: str) -> str:
        """What comes of it if root of the guest opens the device."""
        return self.inside(f"exec 3<{device} && echo opened").rpartition(": ")[2]


@pytest.fixture
def owner(own_namespaces: None, busybox_rootfs: Path, tmp_path: Path) -> Iterator[OfOne]:
    """That person; the container is gone afterwards. Everybody may open both devices, as where udev
    made them.
    """
    settings: dict[str, object] = {
        "registry": "memory",
        "bind_sources": [f"{tmp_path}/media"],
        "hook_directories": [f"{tmp_path}/hooks"],
        "policy": {"raw_lines": ["lxc.pty.*"]},
        "device_sources": ["/dev/net", FUSE],
    }
    someone = OfOne(tmp_path, settings=settings)
    for device in (TUN, FUSE):
        node = tmp_path / Path(device).name
        os.mknod(node, stat.S_IFCHR, Path(device).stat().st_rdev)
        node.chmod(0o666)
        sh("mount", "--bind", f"{node}", device)
    yield someone
    someone.to("deprovisioned", privileged=False)
    sh("umount", TUN, FUSE)


APART: dict[str, object] = {
    "nesting": True,
    "mount_auto": ["proc:rw", "sys:ro", "cgroup:ro:force"],
    "seccomp": "none",
    "no_new_privileges": True,
    "sysctls": {"net.ipv4.ip_forward": 1, "kernel.shmmni": 99},
    "rlimits": {"nofile": "100:200", "core": 0},
    "oom_score": 321,
    "keyring": False,
    "apparmor": "unconfined",
}


@pytest.mark.parametrize("privileged", [False, True])
def test_a_guest_is_kept_apart_as_its_keys_say(owner: OfOne, privileged: bool) -> None:
    drop = {"capabilities": {"drop": ["net_raw"]}}
    owner.to("running", privileged=privileged, **APART, **drop)

    limits = (owner.init(NAME) / "limits").read_text()
    assert re.search(r"Max open files +100 +200 ", limits)
    assert re.search(r"Max core file size +0 +0 ", limits)
    assert (owner.init(NAME) / "oom_score_adj").read_text() == "321\n"
    assert (owner.status("NoNewPrivs"), owner.status("Seccomp")) == ("1", "0")
    bounding = int(owner.status("CapBnd"), 16)
    assert not bounding >> CAP_NET_RAW & 1
    assert bool(bounding >> CAP_SYS_TIME & 1) is not privileged
    settings = "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmni"
    assert owner.inside(settings).split() == ["1", "99"]
    mounts = {
        (fields[4], fields[fields.index("-") + 1]): fields[5].split(",")
        for line in (owner.init(NAME) / "mountinfo").read_text().splitlines()
        for fields in [line.split()]
    }
    assert ("/dev/.lxc/proc", "proc") in mounts
    assert ("/dev/.lxc/sys", "sysfs") in mounts
    assert "ro" in mounts["/sys", "sysfs"]
    assert "rw" in mounts["/proc", "proc"]
    assert not any(point == "/proc/sys" for point, _ in mounts)
    assert lifecycle.plan_to(owner.host, NAME, "running").plan.is_empty


def test_a_guest_has_the_capabilities_that_it_keeps_and_no_other(owner: OfOne) -> None:
    kept = ["chown", "kill", "setuid", "setgid", "sys_admin", "dac_override"]
    owner.to("running", privileged=True, capabilities={"keep": kept})
    numbers = (0, 5, 7, 6, 21, 1)
    assert int(owner.status("CapBnd"), 16) == sum(1 << number for number in numbers)
    assert owner.status("Seccomp") == "2"


@pytest.mark.parametrize("privileged", [False, True])
def test_devices_come_and_go_while_a_guest_runs(owner: OfOne, privileged: bool) -> None:
    devices: dict[str, object] = {"tun": TUN}
    owner.to("running", privileged=privileged, devices=devices)
    init = owner.init(NAME)
    assert owner.opens(TUN) == "opened"

    fuse = {"source": FUSE, "mount": "/dev/new/fuse"}
    devices = {"tun": TUN, "a-fuse": fuse, "none": {"source": "/dev/net/no", "optional": True}}
    assert owner.to("running", privileged=privileged, devices=devices) == ["none", "live"]
    assert (owner.opens("/dev/new/fuse"), owner.opens(TUN)) == ("opened", "opened")

    assert owner.to("running", privileged=privileged, devices={"a-fuse": fuse}) == ["none", "live"]
    assert owner.opens(TUN) == "no such file"
    assert owner.opens("/dev/new/fuse") == "opened"
    assert owner.init(NAME) == init
    if privileged:
        assert owner.inside("mknod /own c 10 200; exec 3</own").endswith("not permitted")
    assert lifecycle.plan_to(owner.host, NAME, "running").plan.is_empty


def test_devices_are_those_of_now_whoever_starts_the_guest(owner: OfOne) -> None:
    """As after a start of the host, which gives some of them other numbers."""
    owner.to("stopped", privileged=True, devices={"tun": TUN})
    config = owner.directory / "lxc" / NAME / "config"
    new = config.read_text()
    spec = owner.host.observe(NAME).defined
    assert spec is not None
    old = with_device_rules(new, spec, {"tun": Nodes(("c 1:2",))})
    assert "c 1:2 rwm" in old

    config.write_text(old)
    assert owner.to("defined") == ["none"]  # it is seen, and mended
    assert config.read_text() == new
    config.write_text(old)
    owner.host.drivers["lxc"].start(NAME)
    assert "c 1:2" not in config.read_text()
    assert owner.host.observe(NAME).defined == spec
    assert owner.opens(TUN) == "opened"
    assert owner.inside("mknod /own c 1 2; exec 3</own").endswith("not permitted")


@pytest.mark.parametrize("privileged", [False, True])
def test_a_guest_has_memory_to_write_to_and_sees_what_is_mounted_later(
    owner: OfOne, privileged: bool
) -> None:
    media = owner.directory / "media"
    (media / "disk").mkdir(parents=True)
    sh("mount", "--bind", f"{media}", f"{media}")
    sh("mount", "--make-shared", f"{media}")
    try:
        media_of_guest = {"read_only": False, "recursive": True, "propagation": "slave"}
        owner.to(
            "running",
            privileged=privileged,
            tmpfs={"/dev/shm": "8MiB", "/tmp/a": {"size": "4MiB", "mode": "0750"}},
            binds={"media": {"source": f"{media}", "mount": "/media", **media_of_guest}},
        )
        sh("mount", "-t", "tmpfs", "tmpfs", f"{media}/disk")
        (media / "disk/film").touch()
        assert owner.inside("ls /media/disk") == "film"
        sizes = owner.inside("df -k /dev/shm /tmp/a; stat -c %a /tmp/a /dev/shm").split()
        assert sizes.count("8192") == 2
        assert sizes.count("4096") == 2
        assert sizes[-2:] == ["750", "1777"]
        assert lifecycle.plan_to(owner.host, NAME, "running").plan.is_empty
    finally:
        owner.to("off")
        sh("umount", "-R", "-l", f"{media}")


@pytest.mark.parametrize("privileged", [False, True])
def test_programs_of_the_host_run_as_a_guest_starts_and_ends(
    owner: OfOne, privileged: bool
) -> None:
    told, hook = owner.directory / "told", owner.directory / "hooks/tell"
    told.touch()
    told.chmod(0o666)
    hook.parent.mkdir()
    hook.write_text(f'#!/bin/sh\necho "$3" >> {told}\n')
    hook.chmod(0o755)
    moments = ["pre-start", "pre-mount", "mount", "autodev", "start-host", "stop", "post-stop"]
    hooks = dict.fromkeys(moments, f"{hook}")
    owner.to("running", privileged=privileged, hooks=hooks, raw=["lxc.pty.max = 3"])
    assert sorted(told.read_text().split()) == sorted(moments[:5])
    assert ",max=7 " in owner.inside("cat /proc/mounts")  # liblxc adds the 4 of lxc.tty.max
    hook.chmod(0o777)
    with pytest.raises(Refused, match=r"hooks.stop: .* others than root can write"):
        owner.to("rebooted")
    hook.chmod(0o755)
    owner.to("off")
    assert told.read_text().split()[5:] == ["stop", "post-stop"]
