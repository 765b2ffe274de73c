"""How long virtual machines take, beside the same done by hand with cp and virsh.

usage (root, libvirtd runs): .venv/bin/python benchmarks/virtual_machines.py [DIRECTORY [RUNS]]

Prints a table in Markdown, with medians in ms and the ratios of geats to the commands by hand, in
turn and in the same run: one machine from its template to running; ten at once; and nothing to do
for 50 that are defined. DIRECTORY is where disks are: give one whose filesystem has reflinks. QEMU
emulates the machines, whose guest is one sector. Nothing is left.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median
from typing import TypeAlias

from returns.result import Success

from geats_core import Goal, Target
from geats_core.planning.goal import DataLoss
from geats_host.drivers.libvirt.children import end_all
from geats_host.engine.apply_plan import apply_plan
from geats_host.host import Host
from geats_host.planning.goals import Wishes
from geats_host.planning.plans import plan_wishes
from geats_host.testing.tiny_guest import root_disk

AT_ONCE, DEFINED = 10, 50
GONE = Target.DEPROVISIONED
Work: TypeAlias = Callable[[], None]


def main() -> None:
    """Measure all, and show the table."""
    os.environ["GEATS_HOST_FILE"] = ""  # this machine may have a host of its own
    within = sys.argv[1] if len(sys.argv) > 1 else None
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    print("| what | by hand | geats | ratio |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="geats-bench-", dir=within) as name:
        directory = Path(name)
        directory.chmod(0o711)
        root_disk(directory / "image.raw")
        for count in (1, AT_ONCE):
            machines = names(count)
            host = host_of(directory, machines)
            make = partial(by_hand, directory, machines)
            show(
                f"{count} from the template to running",
                compared(
                    runs,
                    (make, partial(remove, directory, machines)),
                    (partial(reach, host, Target.RUNNING), partial(reach, host, GONE)),
                ),
            )
        host = host_of(directory, names(DEFINED))
        reach(host, Target.PROVISIONED)
        try:
            listed = partial(virsh, "list", "--all")
            nothing = partial(reach, host, Target.PROVISIONED)
            show(f"nothing to do for {DEFINED}", compared(runs, (listed, idle), (nothing, idle)))
        finally:
            reach(host, GONE)


def names(count: int) -> Sequence[str]:
    return [f"geats-bench-{number}" for number in range(count)]


def host_of(directory: Path, machines: Sequence[str]) -> Host:
    """A host with these machines; nobody watches a VM after its start by hand."""
    vm = {"driver": "qemu", "template": "tiny", "memory": "64MiB", "hardware": {"guest": "none"}}
    return Host.from_config(
        {
            "state_dir": f"{directory}/state",
            "run_dir": f"{directory}/run",
            "drivers": {"qemu": {"settle": 0}},
            "pools": {"default": {"type": "sparsefile", "path": f"{directory}/disks"}},
            "templates": {"tiny": {"disk": {"path": f"{directory}/image.raw", "format": "raw"}}},
            "policy": {"overcommit": {"memory": 100, "cpus": 1000}},
            "vms": {
                name: {**vm, "volumes": [{"name": "root", "size": "2MiB"}]} for name in machines
            },
        }
    )


def reach(host: Host, target: Target) -> None:
    """Plan for all VMs of the host, and apply it."""
    goal = Goal(name="", target=target, data_loss=DataLoss.ALLOWED)
    planned = plan_wishes(host, Wishes(goal, names=tuple(host.config.vms)))
    if not isinstance(applied := apply_plan(host, planned), Success):
        sys.exit(f"geats failed: {applied.failure()}")


def by_hand(directory: Path, machines: Sequence[str]) -> None:
    """What a person would type, for all at once."""
    with ThreadPoolExecutor(len(machines)) as pool:
        list(pool.map(partial(start, directory), machines))


def start(directory: Path, name: str) -> None:
    disk, xml = directory / f"{name}.raw", directory / f"{name}.xml"
    run("cp", "--reflink=auto", "--sparse=always", f"{directory}/image.raw", f"{disk}")
    run("truncate", "--size=2M", f"{disk}")
    xml.write_text(
        f"<domain type='qemu'><name>{name}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>"
        "<os><type machine='q35'>hvm</type></os><features><acpi/><apic/></features><devices>"
        f"<disk type='file'><driver name='qemu' type='raw'/><source file='{disk}'/>"
        "<target dev='vda' bus='virtio'/></disk><serial type='pty'/><rng model='virtio'>"
        "<backend model='random'>/dev/urandom</backend></rng></devices></domain>"
    )
    virsh("define", f"{xml}")
    virsh("start", name)


def remove(directory: Path, machines: Sequence[str]) -> None:
    """Take away what was made by hand."""
    for name in machines:
        virsh("destroy", name)
        virsh("undefine", name)
        (directory / f"{name}.raw").unlink()


def compared(
    runs: int, hand: tuple[Work, Work], geats: tuple[Work, Work]
) -> Sequence[tuple[float, float]]:
    """Seconds of each pair of runs; the second work of each is not counted."""
    return [(timed(*hand), timed(*geats)) for _ in range(runs)]


def timed(work: Work, undo: Work) -> float:
    """As by a command: no child of an earlier one is there to be asked."""
    end_all()
    began = time.perf_counter()
    work()
    took = time.perf_counter() - began
    undo()
    return took


def idle() -> None:
    """Nothing is to be undone."""


def show(what: str, pairs: Sequence[tuple[float, float]]) -> None:
    hand, geats = (median(each) * 1000 for each in zip(*pairs, strict=True))
    ratio = median(mine / theirs for theirs, mine in pairs)
    print(f"| {what} | {hand:.0f} | {geats:.0f} | × {ratio:.1f} |", flush=True)


def virsh(*argv: str) -> None:
    run("virsh", "--quiet", "--connect", "qemu:///system", *argv)


def run(*argv: str) -> None:
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
