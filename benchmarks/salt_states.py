"""What a run of Salt's states costs where nothing is to be done, beside Salt's own ``test.ping``.

usage (root): .venv/bin/python benchmarks/salt_states.py [RUNS] [VMS...]    (default: 9 10 50 100)

Makes so many containers of busybox, each with a NIC, in namespaces and an lxcpath of its own, and
then times whole processes of ``salt-call --local``, all kinds in turn: medians, and ratios to the
``test.ping`` beside them, of the time and of the processor's time, which other users of the machine
disturb less. ``test.nop`` is what a state costs that does nothing, without geats. Above, what our
modules cost the processor in a fresh interpreter that has Salt's: those that a minion has loaded
once it has started, and those of a run that has nothing to do.
"""

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from statistics import median

import yaml

from geats_core.planning.goal import Goal, Target
from geats_host.engine.apply_plan import apply_plan
from geats_host.host import Host
from geats_host.planning.goals import Wishes
from geats_host.planning.plans import plan_wishes

REPO = Path(__file__).parents[1]
SALT_CALL = str(Path(sys.executable).parent / "salt-call")
BRIDGE = "geatsbench0"
CLONE_NEWNS, CLONE_NEWNET = 0x20000, 0x40000000  # linux/sched.h
# It sleeps until it is told to power off.
INIT = "#!/bin/sh\ntrap 'exit 0' USR1 PWR\nwhile :; do sleep 1000 & wait $!; done\n"
EACH = "{% for name in pillar['geats']['vms'] %}\n{{ name }}:\n  geats.running: []\n{% endfor %}\n"
STATES = {
    "nothing": "nothing:\n  test.nop: []\n",
    "host": "all of this host:\n  geats.host: []\n",
    "each": EACH,
}
LOAD = """
import importlib, sys, time
import salt.minion, salt.state
began = time.process_time()
for name in sys.argv[1:]:
    importlib.import_module(name)
print(time.process_time() - began)
"""
LOADED = """
import sys
import salt.config, salt.loader, salt.minion
opts = salt.config.minion_config(sys.argv[1])
opts["grains"] = salt.loader.grains(opts)
minion = salt.minion.SMinion(opts)
if len(sys.argv) > 2:
    minion.functions[sys.argv[2]](*sys.argv[3:])
print(*sorted(name for name in sys.modules if name.startswith(("geats_core", "geats_host"))))
"""


@dataclass(frozen=True)
class Timed:
    """One kind of call: what the table says of it, and the words after ``salt-call``."""

    what: str
    words: tuple[str, ...]
    config: str = "minion"


@dataclass(frozen=True)
class Taken:
    """What one call took: seconds, and seconds of the processor."""

    s: float
    processor_s: float


# Python keeps compiled modules, as it does where nobody forbids it.
ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
CALLS = (
    Timed("test.ping", ("test.ping",)),
    Timed("state.single test.nop", ("state.single", "test.nop", "name=nothing")),
    Timed("state.single geats.host", ("state.single", "geats.host", "name=all")),
    Timed("state.apply, one test.nop", ("state.apply", "nothing")),
    Timed("state.apply, one geats.host", ("state.apply", "host")),
    Timed("state.apply, a geats.running a VM", ("state.apply", "each")),
    Timed("the same, state_aggregate", ("state.apply", "each"), config="aggregating"),
)


def main() -> None:
    """Time all kinds of calls, with more and more VMs."""
    numbers = [int(word) for word in sys.argv[1:]] or [9]
    runs, sizes = numbers[0], sorted(numbers[1:]) or [10, 50, 100]
    with own_host() as directory:
        rows: dict[int, list[list[Taken]]] = {}
        for size in sizes:
            make(directory, size)
            if not rows:
                show_imports(directory, runs)
            rows[size] = measured(directory, runs)
        show(rows)


def show_imports(directory: Path, runs: int) -> None:
    """What our modules cost a minion that starts, and a run that has nothing to do."""
    print(f"loading in a process that has Salt's modules, {runs} runs, medians")
    for what, words in (
        ("a minion's start", ()),
        ("state.single geats.host", ("state.single", "geats.host", "all")),
    ):
        names = run(sys.executable, "-c", LOADED, f"{directory}/minion/minion", *words)
        modules = names.splitlines()[-1].split()
        said = [run(sys.executable, "-c", LOAD, *modules) for _ in range(runs)]
        taken = median(map(float, said)) * 1e3
        print(f"{what:35} {len(modules):4} modules {taken:6.1f} ms of the processor")


def measured(directory: Path, runs: int) -> list[list[Taken]]:
    """What each run of each kind took; in turn, so that a drift harms none."""
    times: list[list[Taken]] = [[] for _ in CALLS]
    for number in range(runs + 1):
        for taken, call in zip(times, CALLS, strict=True):
            began, before = time.perf_counter(), getrusage(RUSAGE_CHILDREN)
            argv = (SALT_CALL, "--local", "-c", f"{directory}/{call.config}", "-l", "quiet")
            run(*argv, "--retcode-passthrough", *call.words)
            if number:  # the first run fills caches
                after = getrusage(RUSAGE_CHILDREN)
                used = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
                taken.append(Taken(time.perf_counter() - began, used))
    return times


def show(rows: Mapping[int, Sequence[Sequence[Taken]]]) -> None:
    """A table in Markdown."""
    print("\n| " + " | ".join(["salt-call --local", *(f"{size} VMs" for size in rows)]) + " |")
    print("|---" * (len(rows) + 1) + "|")
    for index, call in enumerate(CALLS):
        cells = [f"{cell(times[index], times[0])}" for times in rows.values()]
        print("| " + " | ".join([call.what, *cells]) + " |")
    smallest, largest = min(rows), max(rows)
    if smallest < largest:
        print(f"\neach further VM, from {smallest} to {largest}, beyond what it adds to test.ping:")
        for index, call in enumerate(CALLS[1:], start=1):
            grown = beyond_ping(rows[largest], index) - beyond_ping(rows[smallest], index)
            print(f"{call.what:35} {grown / (largest - smallest) * 1e3:6.2f} ms")


def beyond_ping(times: Sequence[Sequence[Taken]], index: int) -> float:
    """Seconds that a kind of call takes more than the ping beside it, in the median."""
    return median(own.s - ping.s for own, ping in zip(times[index], times[0], strict=True))


def cell(times: Sequence[Taken], pings: Sequence[Taken]) -> str:
    """The median in ms, and the medians of the ratios to the pings beside it."""
    both = list(zip(times, pings, strict=True))
    ratio = median(own.s / ping.s for own, ping in both)
    of_processor = median(own.processor_s / ping.processor_s for own, ping in both)
    return f"{median(own.s for own in times) * 1e3:.0f} ms (× {ratio:.2f}; {of_processor:.2f})"


def make(directory: Path, size: int) -> None:
    """Declare *size* VMs, and start those that do not run."""
    declared = {"geats": geats_config(directory, size)}
    (directory / "pillar/geats.sls").write_text(yaml.safe_dump(declared))
    host = Host.from_config(declared["geats"])
    apply_plan(host, plan_wishes(host, Wishes(Goal(name="", target=Target.RUNNING)))).unwrap()
    time.sleep(1)


@contextmanager
def own_host() -> Iterator[Path]:
    """A directory with all that the containers and Salt need; at the end all of it is gone."""
    with tempfile.TemporaryDirectory(prefix="geats-bench-") as name:
        directory = Path(name)
        directory.chmod(0o711)
        # This machine may have hosts of its own.
        os.environ["GEATS_HOST_FILE"] = ENVIRONMENT["GEATS_HOST_FILE"] = f"{directory}/host.json"
        own_network()
        busybox(directory / "root")
        write_minion(directory)
        try:
            yield directory
        finally:
            host = Host.from_config(geats_config(directory, 0))
            seen = host.observe_all()
            gone = Goal(name="", target=Target.DEPROVISIONED)
            apply_plan(host, plan_wishes(host, Wishes(gone, tuple(seen)))).unwrap()


def own_network() -> None:
    """A bridge in our own namespaces; liblxc looks for it in /sys, which shows one network."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS | CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "cannot have namespaces of our own")
    with tempfile.TemporaryDirectory() as aside:
        run("mount", "--make-rprivate", "/")
        run("mount", "--rbind", "/sys/fs/cgroup", aside)
        run("umount", "-R", "-l", "/sys")
        run("mount", "-t", "sysfs", "sysfs", "/sys")
        run("mount", "--rbind", aside, "/sys/fs/cgroup")
        run("umount", "-R", "-l", aside)
    run("ip", "link", "add", BRIDGE, "type", "bridge")
    run("ip", "link", "set", BRIDGE, "up")


def busybox(root: Path) -> None:
    """A root filesystem of one program."""
    for folder in ("bin", "sbin", "etc", "proc", "sys", "dev", "tmp", "var"):
        (root / folder).mkdir(parents=True)
    shutil.copy("/usr/bin/busybox", root / "bin/busybox")
    for applet in ("sh", "sleep"):
        (root / "bin" / applet).symlink_to("busybox")
    (root / "sbin/init").write_text(INIT)
    (root / "sbin/init").chmod(0o755)


def write_minion(directory: Path) -> None:
    """The configurations of a minion without a master, and its states."""
    for name in ("pillar", "states", "minion", "aggregating"):
        (directory / name).mkdir()
    (directory / "pillar/top.sls").write_text(yaml.safe_dump({"base": {"*": ["geats"]}}))
    for name, text in STATES.items():
        (directory / f"states/{name}.sls").write_text(text)
    config = {
        "id": "bench",
        "root_dir": f"{directory}/salt",
        "file_client": "local",
        "file_roots": {"base": [f"{directory}/states"]},
        "pillar_roots": {"base": [f"{directory}/pillar"]},
        "module_dirs": [str(REPO / "salt")],
    }
    for name, aggregate in (("minion", False), ("aggregating", True)):
        (directory / name / "minion").write_text(
            yaml.safe_dump({**config, "state_aggregate": aggregate})
        )


def geats_config(directory: Path, size: int) -> dict[str, object]:
    """A host of *size* VMs."""
    return {
        "state_dir": f"{directory}/state",
        "run_dir": f"{directory}/run",
        "drivers": {"lxc": {"path": f"{directory}/lxc", "settle": 0.1}},
        "pools": {"default": {"type": "directory", "path": f"{directory}/volumes"}},
        "templates": {"busybox": {"path": f"{directory}/root"}},
        "profiles": {"small": {"template": "busybox", "init": "busybox", "memory": "64MiB"}},
        "vms": {f"geats-bench-{number:03}": vm(number) for number in range(size)},
    }


def vm(number: int) -> dict[str, object]:
    """A VM as people have them: limits, and a NIC with an address."""
    nic = {
        "name": "eth0",
        "bridge": BRIDGE,
        "addresses": [f"10.78.{number >> 8}.{number & 255}/16"],
    }
    return {"profile": "small", "nics": [nic]}


def run(*argv: str) -> str:
    """What a command prints; its failure ends the benchmark, with what it said."""
    done = subprocess.run(argv, capture_output=True, text=True, env=ENVIRONMENT)
    if done.returncode != 0:
        sys.exit(f"{' '.join(argv)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
