"""Which lines that people added win over the description, and which only add to it."""

import pytest

from geats_core import Observation, Plan, Target, explain, plan
from geats_core.planning.goal import Goal
from geats_core.plans.explain import plan_to_plain
from geats_core.vm.by_hand import winning
from tests.core.hosts import at, nic, vm

WEB = vm(
    "web01",
    init="busybox",
    memory="64MiB",
    cpus=1,
    processes=10,
    nics=nic("10.0.0.2"),
    volumes=[{"name": "root"}, {"name": "data", "mount": "/data"}],
    binds={"media": {"source": "/srv/media", "mount": "/media"}},
    capabilities={"drop": ["net_raw"]},
    rlimits={"core": 0},
    shared_volumes={"films": {"vm": "nas", "mount": "/films"}},
)
BARE = vm("web01", privileged=True, hostname="web01")
BOUND = vm("web01", binds={"media": {"source": "/srv/media", "mount": "/media"}})


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("lxc.uts.name = other", "hostname"),
        ("lxc.cgroup2.memory.max = 128M", "memory"),
        ("lxc.cgroup.memory.limit_in_bytes=128M", "memory"),
        ("lxc.cgroup2.memory.max =", "memory"),
        ("lxc.cgroup2.cpu.max = max", "cpus"),
        ("lxc.cgroup.cpu.cfs_period_us = 50000", "cpus"),
        ("lxc.cgroup2.pids.max = 11", "processes"),
        ("lxc.signal.halt = SIGPWR", "init"),
        ("lxc.idmap =", "idmap"),
        ("lxc.idmap = u 70000 1 1", "idmap"),
        ("lxc.rootfs.options = ro", "idmap"),
        ("lxc.rootfs.path = dir:/srv/other", "volumes"),
        ("lxc.net =", "nics"),
        ("lxc.net.0 =", "nics"),
        ("lxc.net.0.link = br9", "nics"),
        ("lxc.net.0.hwaddr = 02:00:00:00:00:01", "nics"),
        ("lxc.cap.drop =", "capabilities"),
        ("lxc.prlimit.core = 1", "rlimits"),
        ("lxc.mount.entry =", "volumes"),
        ("lxc.mount.entry = /srv/x data none bind 0 0", "volumes"),
        ("lxc.mount.entry = /srv/x films/ none bind 0 0", "volumes"),
        ("lxc.mount.entry = tmpfs /media tmpfs rw 0 0", "binds"),
    ],
)
def test_a_line_for_what_the_spec_says_wins_over_it(line: str, key: str) -> None:
    assert winning([line], WEB) == ((line, key),)


@pytest.mark.parametrize(
    "line",
    [
        "# lxc.uts.name = other",
        "lxc.cap.drop = chown",
        "lxc.prlimit.core = 0",
        "lxc.uts.name",
        "lxc.uts.name = web01",
        "lxc.cgroup2.memory.max = 64M",
        "lxc.cgroup2.memory.max = 67108864",
        "lxc.cgroup2.memory.high = 1M",
        "lxc.signal.halt = SIGUSR1",
        "lxc.environment = A=1",
        "lxc.net.0.mtu = 1400",
        "lxc.net.0.ipv4.address = 10.0.0.9/24",
        "lxc.net.1.link = br1",
        "lxc.mount.entry = /srv/x srv/x none bind 0 0",
        "lxc.mount.entry = /srv/x",
        "lxc.include = /etc/lxc/site.conf",
    ],
)
def test_what_is_added_or_the_same_wins_over_nothing(line: str) -> None:
    assert winning([line], WEB) == ()


@pytest.mark.parametrize(
    "line",
    [
        "lxc.cgroup2.memory.max = 128M",
        "lxc.cgroup.cpu.cfs_period_us = 50000",
        "lxc.signal.halt = SIGPWR",
        "lxc.idmap = u 0 100000 65536",
        "lxc.net =",
        "lxc.mount.entry =",
    ],
)
def test_there_is_nothing_to_win_over_where_nothing_is_described(line: str) -> None:
    assert winning([line], BARE) == ()


def test_a_line_that_takes_all_mounts_away_takes_binds() -> None:
    assert winning(["lxc.mount.entry ="], BOUND) == (("lxc.mount.entry =", "binds"),)


def test_a_plan_with_nothing_to_do_still_says_what_is_not_as_described() -> None:
    line = "lxc.cgroup2.memory.max = 128M"
    have = at(Target.STOPPED, WEB)["web01"]
    have = Observation(
        recorded=WEB, defined=WEB, volumes=have.volumes, by_hand=(line, "lxc.environment = A=1")
    )
    made = plan(Goal(name="web01", target=Target.STOPPED, spec=WEB), have).unwrap()
    assert made == Plan(name="web01", by_hand=have.by_hand, wins=((line, "memory"),))
    assert f"added by hand: {line} (it wins over memory of the description)" in explain(made)
    assert "added by hand: lxc.environment = A=(hidden)" in explain(made)
    assert plan_to_plain(made)["wins"] == {line: "memory"}
