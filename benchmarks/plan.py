"""How long the planner takes for a whole host, and how that grows with the number of VMs.

usage: .venv/bin/python benchmarks/plan.py [LARGEST]      (default 100000; no root, no LXC, no Salt)

Three situations: a host on which every VM is still to be made (full), one on which all run as
described (empty), and one on which each VM must restart for a changed address (change). Each size
runs in a process of its own, whose memory is told beside it. The yardstick is Python's own ``json``
writing the specs of the same VMs: times are also given as a multiple of it, in the same process.
Fails where the time for one VM grows by more than n log n does.
"""

import json
import math
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from itertools import pairwise
from typing import TypeVar

from geats_core import (
    DriverFacts,
    Goal,
    HostFacts,
    Observation,
    Plan,
    PoolFacts,
    Target,
    VMSpec,
    after,
    parse_vm,
    plan_host,
    to_plain,
)

T = TypeVar("T")
FACTS = HostFacts(
    drivers={"lxc": DriverFacts()},
    pools={"default": PoolFacts(location="/srv/{vm}/{volume}", size_bytes=2**60)},
    templates=frozenset({"debian"}),
    bridges=frozenset({"br0"}),
    memory_bytes=2**60,
    cpus=1e6,
)
NOISE = 2.0  # how much slower than n log n a size may look on a noisy machine


def main() -> int:
    """Measure each size in a process of its own, and show a table."""
    largest = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    sizes = [10**power for power in range(math.floor(math.log10(largest)) + 1)]
    rows = [measured_elsewhere(size) for size in sizes]
    show(rows)
    return check_growth(rows)


def measured_elsewhere(size: int) -> dict[str, float]:
    """The figures of one size, from a fresh process."""
    argv = [sys.executable, __file__, "--one", str(size)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def measure(size: int) -> dict[str, float]:
    """Seconds for each situation, and bytes of memory for each VM."""
    start = peak_bytes()
    specs = [spec(number) for number in range(size)]
    json_s, _ = timed(lambda: json.dumps([to_plain(each) for each in specs]))
    goals = [Goal(name=each.name, target=Target.RUNNING, spec=each) for each in specs]
    full_s, full = timed(lambda: plan_host(goals, {}, FACTS).unwrap())
    steps = len(full.steps)
    with_plan = peak_bytes()
    observations = {each.name: carried_out(each, number) for number, each in enumerate(full.plans)}
    del full
    empty_s, empty = timed(lambda: plan_host(goals, observations, FACTS).unwrap())
    moved = [replace(goal, spec=spec(number, 128)) for number, goal in enumerate(goals)]
    change_s, change = timed(lambda: plan_host(moved, observations, FACTS).unwrap())
    if not empty.is_empty or len(change.steps) != 4 * size:
        sys.exit("benchmark: these are not the plans that it is about")
    return {
        "size": size,
        "steps": steps,
        "json_s": json_s,
        "full_s": full_s,
        "empty_s": empty_s,
        "change_s": change_s,
        "plan_bytes": (with_plan - start) / size,
        "all_bytes": (peak_bytes() - start) / size,
    }


def spec(number: int, network: int = 10) -> VMSpec:
    """A VM as people have them: two volumes, one NIC, limits."""
    address = f"{network}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}/8"
    nic = {"name": "eth0", "bridge": "br0", "addresses": [address], "gateways": ["10.0.0.1"]}
    raw: dict[object, object] = {
        "template": "debian",
        "memory": "512MiB",
        "cpus": 1,
        "volumes": [{"name": "root", "size": "10GiB"}, {"name": "data", "mount": "/srv/data"}],
        "nics": [nic],
    }
    return parse_vm(f"vm{number:06}", raw).unwrap()


def carried_out(plan: Plan, number: int) -> Observation:
    """The VM once *plan* is done; what is recorded, defined and in effect are each of their own."""
    end = reduce(lambda have, step: after(step.action, have).unwrap(), plan.steps, Observation())
    return replace(end, recorded=spec(number), defined=spec(number), in_effect=spec(number))


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """The best of three, in seconds of this process, and what it gave."""
    seconds: list[float] = []
    while True:
        began = time.process_time()
        result = work()
        seconds.append(time.process_time() - began)
        if len(seconds) == 3:
            return min(seconds), result


def peak_bytes() -> int:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def show(rows: list[dict[str, float]]) -> None:
    """A table in Markdown."""
    print("| VMs | steps | full | empty | change | empty, per VM | × json | memory per VM |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        size = int(row["size"])
        print(
            f"| {size:,} | {int(row['steps']):,} | {row['full_s']:.3f} s | {row['empty_s']:.3f} s"
            f" | {row['change_s']:.3f} s | {row['empty_s'] / size * 1e6:.0f} µs"
            f" | {row['empty_s'] / row['json_s']:.1f}"
            f" | {row['plan_bytes'] / 1024:.1f} KiB ({row['all_bytes'] / 1024:.1f} in all) |"
        )


def check_growth(rows: list[dict[str, float]]) -> int:
    """Compare each size from 1000 on with the one before: ten times the VMs, n log n at most."""
    worst = 0
    for small, large in pairwise(rows[3:]):
        allowed = (large["size"] * math.log(large["size"])) / (
            small["size"] * math.log(small["size"])
        )
        for key in ("full_s", "empty_s", "change_s"):
            grown = large[key] / small[key]
            fine = grown <= allowed * NOISE
            worst |= not fine
            print(
                f"{key.removesuffix('_s')}: {int(small['size']):,} → {int(large['size']):,} VMs: "
                f"× {grown:.1f} (n log n: × {allowed:.1f}){'' if fine else '  TOO MUCH'}"
            )
    return worst


if __name__ == "__main__":
    if "--one" in sys.argv:
        print(json.dumps(measure(int(sys.argv[-1]))))
    else:
        sys.exit(main())
