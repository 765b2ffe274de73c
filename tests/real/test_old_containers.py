"""Containers that LXC made are the same once geats has them: adopted, and imported."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from geats_host.calls import adopt, lifecycle
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import Refused
from tests.real.conftest import set_init, sh
from tests.real.old_containers import Old, adopted, before, differences, ended, host_of, imported

STOPS = (
    "#!/bin/sh\nstop() {{ : > /stopped-cleanly; exit 0; }}\ntrap stop {}\n"
    "while :; do sleep 0.02; done\n"
)
COMMON = (
    "lxc.include = /usr/share/lxc/config/common.conf",
    "lxc.apparmor.profile = unconfined",
    "lxc.rootfs.path = dir:@P/rootfs",
    "lxc.uts.name = old",
)


def old_container(around: Path, root: Path, *lines: str, stops_on: str = "PWR") -> Old:
    """One of busybox, whose init powers off on the signals *stops_on*."""
    return Old(
        name="geats-test-old",
        lines=(*COMMON, *lines),
        root=root,
        around=around,
        init=STOPS.format(stops_on),
    )


def test_a_container_is_the_same_adopted_and_imported(
    own_namespaces: None, tmp_path: Path, busybox_rootfs: Path
) -> None:
    old = old_container(tmp_path, busybox_rootfs, "lxc.signal.halt = SIGUSR1", stops_on="USR1")
    was = before(old)
    assert was.clean
    assert differences(was, adopted(old)) == {}
    assert differences(was, imported(old)) == {}


def test_what_it_includes_mounts_and_says_nothing_of_is_as_it_was(
    own_namespaces: None, tmp_path: Path, busybox_rootfs: Path, bridge: str
) -> None:
    """No common.conf, but a file of the site; mounts of each kind; an interface that is down."""
    data = tmp_path / "data"
    for folder in ("below", "my data"):
        (data / folder).mkdir(parents=True)
    (tmp_path / "site.conf").write_text(
        "lxc.cgroup.memory.limit_in_bytes = 128M\nlxc.cgroup2.memory.max = 128M\n"
        f"lxc.net.0.type = veth\nlxc.net.0.link = {bridge}\nlxc.net.0.mtu = 1400\n"
        "lxc.net.0.ipv4.address = 10.77.0.44/8 10.255.255.255\n"
        "lxc.net.0.hwaddr = 00:16:3e:11:22:44\n"
        "lxc.mount.auto = proc:rw sys:rw\nlxc.cap.drop = sys_time\n"
    )
    old = Old(
        name="geats-test-old",
        lines=(
            'lxc.uts.name = "old"',
            "lxc.rootfs.path = 'dir:@P/rootfs'",
            f"lxc.include = {tmp_path}/site.conf",
            "lxc.signal.halt = SIGUSR1",
            "lxc.environment = MODE=prod",
            "lxc.mount.entry = @D srv none rbind,create=dir 0 0",
            "lxc.mount.entry = @D @P/rootfs/mnt none bind,create=dir 0 0",
            "lxc.mount.entry = @D/gone opt/gone none bind,create=dir,optional 0 0",
            "lxc.mount.entry = @D/my\\040data opt/a.b none bind,create=dir 0 0",
            "lxc.mount.entry = @D/my\\040data opt/a-b none bind,create=dir 0 0",
            "lxc.mount.entry = tmpfs run tmpfs rw,nodev,mode=755,create=dir 0 0",
        ),
        root=busybox_rootfs,
        around=tmp_path,
        init=STOPS.format("USR1"),
        described={"bind_sources": [f"{data}"]},
    )
    sh("mount", "-t", "tmpfs", "tmpfs", f"{data}/below")
    try:
        was = before(old)
        assert any("/srv/below tmpfs" in mount for mount in was.mounts)
        assert differences(was, adopted(old)) == {}
        told = ("environment", "mounts", "network")  # a line, the tmpfs and the MTU: by hand
        assert differences(was, imported(old), told) == {}
    finally:
        sh("umount", f"{data}/below")


def test_what_few_configs_say_is_as_it_was(
    own_namespaces: None, tmp_path: Path, busybox_rootfs: Path, bridge: str
) -> None:
    """Nesting, hooks, limits of each kind; interfaces out of order, and some taken back."""
    lines = (
        "lxc.include = /usr/share/lxc/config/nesting.conf",
        "lxc.apparmor.profile = unconfined",
        "lxc.signal.halt = 10\t",
        f"lxc.net.0.type = veth\nlxc.net.0.link = {bridge}\nlxc.net.0.mtu = 1300\nlxc.net =",
        f"lxc.net.4.type = veth\nlxc.net.4.link = {bridge}\nlxc.net.4.mtu = 1400",
        "lxc.net.4.hwaddr = 00:16:3e:11:22:04",
        f"lxc.net.2.type = veth\nlxc.net.2.link = {bridge}\nlxc.net.2.flags = up",
        "lxc.net.2.hwaddr = 00:16:3E:11:22:02",
        "lxc.net.2.ipv4.address = 10.77.0.44/24 10.77.0.255",
        "lxc.hook.version = 1\nlxc.hook.start = /bin/true",
        "lxc.prlimit.nofile = 1024:2048\nlxc.proc.oom_score_adj = 10\nlxc.no_new_privs = 1",
        "lxc.sysctl.net.ipv4.ip_forward = 1",
        "lxc.cgroup.cpu.cfs_period_us = 50000\nlxc.cgroup.cpu.cfs_quota_us = 25000",
        "lxc.cgroup2.cpu.max = 25000 50000",
        "lxc.cgroup.devices.deny = c 5:1 rwm\nlxc.cgroup2.devices.deny = c 5:1 rwm",
        '  lxc.environment\t= "A=b c"\r\nlxc.environment = B=\'q\n#lxc.environment = C=1',
        "lxc.tty.max = 1\nlxc.tty.dir = term\nlxc.autodev.tmpfs.size = 100000",
    )
    asks = "cat /proc/sys/net/ipv4/ip_forward"
    old = replace(
        old_container(tmp_path, busybox_rootfs, *lines, stops_on="USR1"),
        asks=asks,
    )
    was, now = before(old), adopted(old)
    assert was.ran == "1\n"
    assert any(line.startswith("eth1: ") and "mtu 1400" in line for line in was.network)
    cpus = {"cpu/cpu.cfs_quota_us", "cpu.max"}  # of another period: as much in all
    assert {key for key in now.limits if now.limits[key] != was.limits[key]} <= cpus
    assert differences(was, replace(now, limits=was.limits)) == {}


def test_what_is_described_is_in_effect_whatever_an_include_says(
    own_namespaces: None, tmp_path: Path, busybox_rootfs: Path, bridge: str
) -> None:
    """It was adopted as it was; from the next restart on, it is as it is described."""
    site = tmp_path / "site.conf"
    site.write_text(
        "lxc.cgroup.memory.limit_in_bytes = 128M\nlxc.cgroup2.memory.max = 128M\n"
        f"lxc.net.0.type = veth\nlxc.net.0.link = {bridge}\nlxc.net.0.flags = up\n"
        "lxc.net.0.ipv4.address = 10.77.0.44/24 10.77.0.255\n"
    )
    old = old_container(tmp_path, busybox_rootfs, f"lxc.include = {site}")
    folder = old.make(tmp_path / "adopted")
    host = host_of(old, folder.parent)
    nics = [{"name": "eth0", "bridge": bridge, "addresses": ["10.77.0.45/24"]}]
    with ended(folder.parent, old.name):
        planned, described = adopt.adopt(host, old.name, None, "old")
        apply_plan(host, planned).unwrap()
        said: dict[object, object] = {"memory": "64MiB", "nics": nics}
        said |= {key: value for key, value in (described or {}).items() if key not in said}
        made = lifecycle.plan_to(host, old.name, "running", said)
        assert {change.field for change in made.of_vm.changes} == {"memory", "nics"}
        apply_plan(host, made).unwrap()
        info = host.info(old.name)
        assert info.addresses == ("10.77.0.45",)
        assert info.memory_limit_bytes == 64 << 20
        again = lifecycle.plan_to(host, old.name, "running", said)
        assert (again.plan.is_empty, again.of_vm.wins) == (True, ())
        apply_plan(host, lifecycle.plan_to(host, old.name, "off")).unwrap()


def test_a_guest_stops_cleanly_if_nothing_says_which_signal_its_init_takes(
    own_namespaces: None, tmp_path: Path, busybox_rootfs: Path
) -> None:
    """As a sysvinit does, that knows SIGPWR only: liblxc chooses."""
    old = old_container(tmp_path, busybox_rootfs, stops_on="PWR")
    was = before(old)
    assert was.clean
    assert differences(was, adopted(old)) == {}
    assert differences(was, imported(old)) == {}


def test_busybox_as_it_is_stops_cleanly(
    own_namespaces: None, tmp_path: Path, busybox_rootfs: Path
) -> None:
    (busybox_rootfs / "sbin/init").unlink()
    (busybox_rootfs / "sbin/init").symlink_to("/bin/busybox")
    ended = "::shutdown:/bin/sh -c ': > /stopped-cleanly'\n"
    (busybox_rootfs / "etc/inittab").write_text(f"::respawn:/bin/sleep 1000\n{ended}")
    old = replace(old_container(tmp_path, busybox_rootfs), init="")
    was = before(old)
    assert was.clean
    assert differences(was, adopted(old)) == {}


@pytest.mark.parametrize(
    ("program", "takes"),
    [("openrc-init", "TERM"), ("runit-init", "CONT"), ("procd", "USR2"), ("s6-svscan", "USR1")],
)
def test_an_init_that_liblxc_does_not_know_is_found(
    own_namespaces: None, tmp_path: Path, busybox_rootfs: Path, program: str, takes: str
) -> None:
    """It would be sent SIGPWR, to which it does nothing: the guest is asked with its own signal."""
    set_init(busybox_rootfs, STOPS.format(takes))
    (busybox_rootfs / "sbin/init").rename(busybox_rootfs / "sbin" / program)
    (busybox_rootfs / "sbin/init").symlink_to(program)
    old = replace(old_container(tmp_path, busybox_rootfs), init="")
    assert adopted(old).clean


UNPRIVILEGED = ("lxc.include = /usr/share/lxc/config/userns.conf", "lxc.signal.halt = SIGUSR1")
HOLES = tuple(
    f"lxc.idmap = {kind} {numbers}"
    for kind in "ug"
    for numbers in ("0 100000 1000", "1000 1000 1", "1001 101001 64535")
)


@pytest.fixture
def more_ids(own_namespaces: None, tmp_path: Path) -> Iterator[None]:
    """Root may give away the ids 1000 as well, as far as these tests see."""
    file = tmp_path / "subordinate"
    file.write_text("root:100000:65536\nroot:1000:1\n")
    for etc in ("/etc/subuid", "/etc/subgid"):
        sh("mount", "--bind", f"{file}", etc)
    yield
    for etc in ("/etc/subuid", "/etc/subgid"):
        sh("umount", etc)


def test_ids_with_a_hole_stay_so_and_the_files_of_binds_have_their_owner(
    more_ids: None, tmp_path: Path, busybox_rootfs: Path
) -> None:
    (busybox_rootfs / "bin/ls").symlink_to("busybox")
    media = tmp_path / "data/media"
    media.mkdir(parents=True)
    os.chown(media, 1000, 1000)
    lines = (
        *(*UNPRIVILEGED, *HOLES),
        "lxc.rootfs.options = idmap=container",
        "lxc.mount.entry = @D/media media none bind,create=dir 0 0",
    )
    old = replace(
        old_container(tmp_path, busybox_rootfs, *lines, stops_on="USR1"),
        asks="ls -ldn /media /bin/busybox | while read -r a b uid c; do echo $uid; done",
        described={"bind_sources": [f"{tmp_path}/data"]},
    )
    was = before(old)
    assert (was.uid_map[1], was.ran) == ("1000 1000 1", "0\n1000\n")
    assert differences(was, adopted(old)) == {}
    assert differences(was, imported(old)) == {}


def test_one_that_lxc_create_made_unprivileged_is_imported_with_the_ids_of_its_guest(
    own_namespaces: None, tmp_path: Path, busybox_rootfs: Path
) -> None:
    """Its files have ids of the host: adopt refuses it, and names what does not."""
    lines = (*UNPRIVILEGED, "lxc.idmap = u 0 100000 65536", "lxc.idmap = g 0 100000 65536")
    old = old_container(tmp_path, busybox_rootfs, *lines, stops_on="USR1")
    old = replace(old, shift=100_000)
    was = before(old)
    assert was.clean
    assert differences(was, imported(old), told=("mounts",)) == {}  # how ids are mapped
    lxcpath = tmp_path / "adopted"
    old.make(lxcpath)
    with pytest.raises(Refused, match="geats import-lxc makes a template of it"):
        adopt.adopt(host_of(old, lxcpath), old.name, None, "old")


def test_ids_that_root_may_not_give_are_refused_before_anything_is_written(
    own_namespaces: None, tmp_path: Path, busybox_rootfs: Path
) -> None:
    old = old_container(tmp_path, busybox_rootfs)
    vm = {"template": "old", "idmap": [{"guest": 0, "host": 5000, "count": 10}]}
    host = host_of(old, tmp_path / "lxc", {"vms": {old.name: vm}})
    with pytest.raises(Refused, match=r"idmap: root may not give users 5000 to 5009: add root:50"):
        lifecycle.plan_to(host, old.name, "running")
