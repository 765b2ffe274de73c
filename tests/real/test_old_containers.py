"""Containers that LXC made are the same once geats has them: adopted, and imported."""

from pathlib import Path

from tests.real.old_containers import Old, adopted, before, differences, imported

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
