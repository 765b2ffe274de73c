"""What a container may use of its host: keys, lines of LXC for both layouts, and live changes."""

import pytest

from geats_core import (
    DriverFacts,
    Goal,
    HostFacts,
    Observation,
    Power,
    Target,
    VMSpec,
    describe,
    parse_vm,
    plan,
    to_plain,
)
from geats_core.containers.cgroups import KEYS, CgroupLimits, IoLimit
from geats_core.foreign.lxc_import import import_lxc
from geats_core.planning.costs import LIVE_CGROUPS, LIVE_LIMITS
from geats_core.vm.by_hand import winning
from geats_core.vm.lxc_config import cgroup_items, live_items
from tests.core.containers.one_vm import said, web

ALL: dict[str, object] = {
    "memory": "512MiB",
    "cpuset": "0-3,8",
    "cpu_weight": 50,
    "swap": "1GiB",
    "memory_soft": "256MiB",
    "hugepages": {"2MiB": "4MiB", "1GiB": "1GiB"},
    "io_weight": 2000,
    "io": [
        {"device": "8:0", "read": "1MiB", "write_ops": 9},
        {"device": "8:16", "write": "none", "read_ops": 7},
    ],
    "cgroup": {"memory.swappiness": 0},
    "cgroup2": {"memory.oom.group": 1},
}
MEMORY = 512 * 2**20


def lines(spec: VMSpec, layout: str) -> list[tuple[str, str]]:
    return [
        (key.removeprefix(f"{layout}."), value)
        for key, value in cgroup_items(spec.limits)
        if key.startswith(f"{layout}.")
    ]


def test_each_limit_has_its_file_in_both_layouts() -> None:
    assert lines(web(**ALL), "cgroup") == [
        ("memory.limit_in_bytes", f"{MEMORY}"),
        ("cpuset.cpus", "0-3,8"),
        ("cpu.shares", "512"),
        ("memory.memsw.limit_in_bytes", f"{MEMORY + 2**30}"),
        ("memory.soft_limit_in_bytes", f"{MEMORY // 2}"),
        ("blkio.bfq.weight", "1000"),
        ("hugetlb.1GB.limit_in_bytes", f"{2**30}"),
        ("hugetlb.2MB.limit_in_bytes", f"{2**22}"),
        ("blkio.throttle.read_bps_device", f"8:0 {2**20}"),
        ("blkio.throttle.write_iops_device", "8:0 9"),
        ("blkio.throttle.read_iops_device", "8:16 7"),
        ("memory.swappiness", "0"),
    ]
    assert lines(web(**ALL), "cgroup2") == [
        ("memory.max", f"{MEMORY}"),
        ("cpuset.cpus", "0-3,8"),
        ("cpu.weight", "50"),
        ("memory.swap.max", f"{2**30}"),
        ("memory.high", f"{MEMORY // 2}"),
        ("io.weight", "2000"),
        ("hugetlb.1GB.max", f"{2**30}"),
        ("hugetlb.2MB.max", f"{2**22}"),
        ("io.max", f"8:0 rbps={2**20} wiops=9"),
        ("io.max", "8:16 riops=7"),
        ("memory.oom.group", "1"),
    ]


def test_what_is_said_of_limits_is_written_back_and_nothing_else() -> None:
    assert web(**ALL) == parse_vm("web", to_plain(web(**ALL))).unwrap()
    assert not to_plain(web()).keys() & {*KEYS}
    assert web(swap=0) == parse_vm("web", to_plain(web(swap=0))).unwrap()
    assert web(memory="1GiB", swap="none").limits.cgroup == CgroupLimits()


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"cpuset": "a"}, "cpuset: must be CPUs of the host such as 0-3,8, as text, got 'a'"),
        ({"cpu_weight": 0}, "cpu_weight: must be a whole number from 1 to 10000, got 0"),
        ({"hugepages": 5}, "hugepages: must be a mapping of sizes of pages to sizes, got 5"),
        ({"hugepages": {"3MiB": "1GiB"}}, "hugepages.3MiB: must be one of 2MiB, 1GiB, 64KiB"),
        ({"io": [{"device": "8:0"}]}, "io[0]: must limit one of read, write, read_ops, write_ops"),
        ({"cgroup": 5}, "cgroup: must be a mapping of files of a cgroup to text, got 5"),
        ({"cgroup": {"cpu.shares": 5}}, "cgroup.cpu.shares: has a key of its own: cpu_weight"),
        (
            {"cgroup2": {"memory.max": 5}},
            "cgroup2.memory.max: has a key of its own: memory, cpus or processes",
        ),
        (
            {"cgroup2": {"cgroup.procs": 5}},
            "cgroup2.cgroup.procs: must be a file of the controllers blkio, cpu, cpuset, hugetlb, "
            "io, memory, misc, net_prio, pids or rdma",
        ),
    ],
)
def test_a_wrong_limit_is_refused(keys: dict[str, object], problem: str) -> None:
    assert said(**keys) == [problem]


def test_more_that_is_wrong_is_told_at_once() -> None:
    io = {"device": "8:0", "read": "1MiB"}

    assert said(io=[io, io]) == ["io: names a device twice"]
    assert len(said(cgroup={"devices.allow": "a\nb"})) == 2
    assert len(said(hugepages={"1GiB": "x"})) == 1


def test_a_limit_that_is_not_set_any_more_is_lifted_and_no_other_is_written() -> None:
    was = web(memory="1GiB", cpu_weight=50, memory_soft="1GiB").limits
    now = web(memory="1GiB", cpuset="0").limits
    cgroup1 = dict(live_items(now, was, cgroup2=False))
    cgroup2 = dict(live_items(now, was, cgroup2=True))

    assert cgroup1 == dict(live_items(web(memory="1GiB").limits, cgroup2=False)) | {
        "cpuset.cpus": "0",
        "cpu.shares": "1024",
        "memory.soft_limit_in_bytes": "-1",
    }
    assert cgroup2 == dict(live_items(web(memory="1GiB").limits, cgroup2=True)) | {
        "cpuset.cpus": "0",
        "cpu.weight": "100",
        "memory.high": "max",
    }


def test_a_running_container_gets_the_limits_that_can_change_and_is_left_the_others() -> None:
    old = web(memory="1GiB", cpuset="0", io_weight=5)
    new = web(memory="2GiB", cpuset="0-1", cpu_weight=5, io_weight=6)
    facts = HostFacts(drivers={"lxc": DriverFacts(costs={**LIVE_LIMITS, **LIVE_CGROUPS})})
    have = Observation(recorded=old, defined=old, in_effect=old, power=Power.RUNNING)
    goal = Goal(name="web", target=Target.DEFINED, spec=new)

    made = plan(goal, have, facts).unwrap()

    assert [describe(step.action, "web") for step in made.steps] == [
        "define web",
        "set the limits of web: memory 2GiB, cpus no limit, cpuset 0-1, cpu_weight 5, io_weight 5",
    ]
    assert [change.field for change in made.pending] == ["io_weight"]


def test_another_driver_refuses_them() -> None:
    facts = HostFacts(drivers={"lxc": DriverFacts(lacks=frozenset(KEYS))})
    goal = Goal(name="web", target=Target.DEFINED, spec=web(**ALL))

    assert len(plan(goal, Observation(), facts).failure()) == len(KEYS)


def test_a_line_by_hand_wins_over_a_limit() -> None:
    spec = web(memory="1GiB", cpuset="0", cgroup2={"memory.oom.group": 1})

    assert winning(
        [
            "lxc.cgroup.cpuset.cpus = 1",
            "lxc.cgroup2.cpuset.cpus = 0",
            "lxc.cgroup2.memory.oom.group = 0",
            "lxc.cgroup.cpu.shares = 5",
            "lxc.cgroup.memory.limit_in_bytes = 1M",
        ],
        spec,
    ) == (
        ("lxc.cgroup.cpuset.cpus = 1", "cpuset"),
        ("lxc.cgroup2.memory.oom.group = 0", "cgroup2"),
        ("lxc.cgroup.memory.limit_in_bytes = 1M", "memory"),
    )


CONFIG = """\
lxc.rootfs.path = dir:/srv/web
lxc.uts.name = web
lxc.cgroup.cpuset.cpus = 0,2
lxc.cgroup.cpu.shares = 512
lxc.cgroup.memory.limit_in_bytes = 512M
lxc.cgroup.memory.memsw.limit_in_bytes = 512M
lxc.cgroup.memory.soft_limit_in_bytes = 256M
lxc.cgroup.memory.swappiness = 5
"""
CONFIG2 = """\
lxc.rootfs.path = dir:/srv/web
lxc.uts.name = web
lxc.cgroup2.cpu.weight = 7
lxc.cgroup2.memory.max = 512M
lxc.cgroup2.memory.swap.max = 1G
lxc.cgroup2.memory.oom.group = 1
"""


def imported(text: str) -> dict[str, object]:
    match import_lxc({"web/config": ("web", text)}).geats["vms"]:
        case {"web": dict() as vm}:
            return {key: value for key, value in vm.items() if key in KEYS}
        case _:
            return {}


def test_limits_are_read_from_configs() -> None:
    assert imported(CONFIG) == {
        "cpuset": "0,2",
        "cpu_weight": 50,
        "memory_soft": "256M",
        "swap": "0B",
        "cgroup": {"memory.swappiness": "5"},
    }
    assert imported(CONFIG2) == {
        "cpu_weight": 7,
        "swap": "1G",
        "cgroup2": {"memory.oom.group": "1"},
    }


@pytest.mark.parametrize(
    "line",
    [
        "lxc.cgroup.cpu.shares = 11",
        "lxc.cgroup.cpu.shares = many",
        "lxc.cgroup2.cpu.weight = 0",
        "lxc.cgroup.cpuset.cpus = all",
        "lxc.cgroup.memory.memsw.limit_in_bytes = 1G",
        "lxc.cgroup2.devices.allow = a",
    ],
)
def test_what_no_key_says_just_the_same_goes_into_none(line: str) -> None:
    assert imported(f"lxc.rootfs.path = dir:/srv/web\nlxc.uts.name = web\n{line}\n") == {}


def test_a_limit_of_io_says_what_it_limits() -> None:
    assert IoLimit(device="8:0", read=1, write_ops=2).rates == {"read": 1, "write_ops": 2}
