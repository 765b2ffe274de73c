"""What runs in containers, and what it may use, on real ones: few, which show much."""

from dataclasses import replace
from pathlib import Path

from geats_core.containers.cgroups import CgroupLimits
from geats_core.vm.spec import Limits, VMSpec
from geats_host.drivers.lxc.driver import LxcDriver
from geats_host.linux.cgroup_version import is_v2
from tests.real.conftest import sh
from tests.real.test_lxc_driver import started

MEMORY = 64 << 20
OLD, V2 = 0, 1  # which layout of cgroups
FILES = {  # in each layout, what a limit is written to
    "cpuset": ("cpuset.cpus", "cpuset.cpus"),
    "cpu_weight": ("cpu.shares", "cpu.weight"),
    "swap": ("memory.memsw.limit_in_bytes", "memory.swap.max"),
    "memory_soft": ("memory.soft_limit_in_bytes", "memory.high"),
}


def in_force(driver: LxcDriver, name: str) -> dict[str, str]:
    path = f"{driver.options.path}"
    files = {key: each[V2 if is_v2() else OLD] for key, each in FILES.items()}
    return {k: sh("lxc-cgroup", "-P", path, "-n", name, f).strip() for k, f in files.items()}


def by_layout(old: str, v2: str) -> str:
    return v2 if is_v2() else old


def runs(driver: LxcDriver, name: str) -> VMSpec:
    spec = driver.observe()[name].in_effect
    assert spec is not None
    return spec


def test_limits_of_cgroups_are_in_force_and_change_while_it_runs(
    driver: LxcDriver, busybox_rootfs: Path
) -> None:
    keys = {"cpuset": "0", "cpu_weight": 50, "swap": "32MiB", "memory_soft": "32MiB"}
    io = [{"device": "7:0", "read": "1MiB"}]
    raw = {"cgroup": {"memory.swappiness": 7}, "cgroup2": {"memory.oom.group": 1}}
    name = started(driver, busybox_rootfs, "cg", memory="64MiB", io=io, **keys, **raw)

    assert in_force(driver, name) == {
        "cpuset": "0",
        "cpu_weight": by_layout("512", "50"),
        "swap": by_layout(f"{96 << 20}", f"{32 << 20}"),
        "memory_soft": f"{32 << 20}",
    }
    file = by_layout("memory.swappiness", "memory.oom.group")
    assert sh("lxc-cgroup", "-P", f"{driver.options.path}", "-n", name, file).strip() in ("7", "1")

    was = runs(driver, name).limits
    more = replace(was, memory_bytes=4 * MEMORY, cgroup=replace(was.cgroup, cpuset="0-1"))
    driver.set_limits(name, more)  # more memory than it had with all swap
    assert runs(driver, name).limits == more
    assert in_force(driver, name)["cpuset"] == "0-1"
    assert in_force(driver, name)["swap"] == by_layout(f"{288 << 20}", f"{32 << 20}")
    free = CgroupLimits(cpuset="0", swap_bytes=32 << 20, io=was.cgroup.io)
    driver.set_limits(name, Limits(memory_bytes=MEMORY, cgroup=free))
    assert in_force(driver, name)["cpu_weight"] == by_layout("1024", "100")
    assert in_force(driver, name)["swap"] == by_layout(f"{96 << 20}", f"{32 << 20}")


def test_a_program_runs_in_place_of_an_init_and_ends_when_asked(
    driver: LxcDriver, busybox_rootfs: Path
) -> None:
    (busybox_rootfs / "run").write_text("trap 'exit 0' INT\nwhile :; do sleep 0.05; done\n")
    keys = {
        "init": "none",
        "stop_signal": "SIGINT",
        "user": 7,
        "group": 8,
        "cwd": "/dev",
        "ttys": 1,
    }
    command, values = ["/bin/sh", "/run", "'a"], {"TOLD": "it's = so"}
    name = started(
        driver, busybox_rootfs, "app", command=command, environment=values, privileged=True, **keys
    )
    pid = driver.info(name).pid
    process = Path(f"/proc/{pid}")

    assert (process / "cmdline").read_bytes().split(b"\0")[:-1] == [w.encode() for w in command]
    assert (process / "environ").read_bytes().split(b"\0").count(b"TOLD=it's = so") == 1
    assert [line.split()[1] for line in ids_of(process)] == ["7", "8"]
    assert (process / "cwd").readlink() == Path("/dev")
    assert driver.shutdown(name, 20) == ""


def ids_of(process: Path) -> list[str]:
    lines = (process / "status").read_text().splitlines()
    return [line for line in lines if line.startswith(("Uid:", "Gid:"))]
