"""How long the main job takes, beside the same done by hand: ``tar x`` and ``lxc-start``.

usage (root): .venv/bin/python benchmarks/first_container.py TEMPLATE.tar.zst [RUNS]

Prints medians, and ratios of geats to the commands by hand in the same run: from an empty host to a
Debian container that runs, and a second, empty apply with its time and peak memory. geats watches a
container for a second after its start (``settle``), which nobody does by hand: both are shown.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import ParamSpec

import yaml

P = ParamSpec("P")
NAME = "geats-bench-1"
GEATS = [str(Path(sys.executable).parent / "geats")]


def main() -> None:
    """Run both in turn, so that a drift of the machine's speed harms neither."""
    template, runs = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 5
    by_hand, unwatched, watched, empty = [], [], [], []
    peak = 0.0
    for _ in range(runs):
        with tempfile.TemporaryDirectory(prefix="geats-bench-") as name:
            directory = Path(name)
            directory.chmod(0o711)
            by_hand.append(timed(start_by_hand, template, directory))
            stop_by_hand(directory)
            config = geats_config(template, directory, settle_s=0.01)
            unwatched.append(timed(geats, config, "apply"))
            geats(config, "deprovision", NAME)
            config = geats_config(template, directory, settle_s=1)
            watched.append(timed(geats, config, "apply"))
            empty.append(timed(geats, config, "apply"))
            peak = max(peak, peak_memory("--config", str(config), "apply"))
            geats(config, "deprovision", NAME)
    print(f"{runs} runs; medians, ratios pair by pair")
    print(f"empty host → running, by hand             {median(by_hand):6.2f} s")
    for what, times in (("not watched", unwatched), ("watched for 1 s", watched)):
        ratio = median(g / h for g, h in zip(times, by_hand, strict=True))
        print(f"the same, geats, {what:16}         {median(times):6.2f} s, ratio {ratio:.2f}")
    print(f"second, empty apply                       {median(empty):6.2f} s")
    print(f"its peak memory                           {peak:6.1f} MiB")
    print(f"that of geats --version                   {peak_memory('--version'):6.1f} MiB")


def timed(work: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> float:
    """Seconds that *work* takes."""
    began = time.perf_counter()
    work(*args, **kwargs)
    return time.perf_counter() - began


def start_by_hand(template: str, directory: Path) -> None:
    """What a person would type: unpack, write a config, lxc-start, wait for RUNNING."""
    rootfs = directory / "hand" / NAME / "rootfs"
    rootfs.mkdir(parents=True)
    run("tar", "--extract", "--numeric-owner", "--directory", str(rootfs), "--file", template)
    (rootfs.parent / "config").write_text(
        "lxc.include = /usr/share/lxc/config/common.conf\n"
        "lxc.include = /usr/share/lxc/config/userns.conf\n"
        "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n"
        f"lxc.rootfs.path = dir:{rootfs}\nlxc.rootfs.options = idmap=container\n"
        "lxc.apparmor.profile = unconfined\nlxc.net.0.type = empty\n"
    )
    run("lxc-start", "-P", str(directory / "hand"), "-n", NAME)
    run("lxc-wait", "-P", str(directory / "hand"), "-n", NAME, "-s", "RUNNING", "-t", "30")


def stop_by_hand(directory: Path) -> None:
    """Take it away again, outside what is timed."""
    run("lxc-stop", "-k", "-P", str(directory / "hand"), "-n", NAME)
    shutil.rmtree(directory / "hand")


def geats_config(template: str, directory: Path, *, settle_s: float) -> Path:
    """A host of its own, with the one VM."""
    file = directory / "geats.yaml"
    config = {
        "state_dir": str(directory / "state"),
        "run_dir": str(directory / "run"),
        "drivers": {"lxc": {"settle": settle_s}},
        "pools": {"default": {"type": "directory", "path": str(directory / "volumes")}},
        "templates": {"debian": {"path": template}},
        "vms": {NAME: {"template": "debian"}},
    }
    file.write_text(yaml.safe_dump({"geats": config}))
    return file


def geats(config: Path, *arguments: str) -> None:
    """Run the command line."""
    run(*GEATS, "--config", str(config), *arguments)


def peak_memory(*arguments: str) -> float:
    """Peak MiB of one run of the command line."""
    silent = [(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)]
    child = os.posix_spawn(GEATS[0], [*GEATS, *arguments], os.environ, file_actions=silent)
    _, status, usage = os.wait4(child, 0)
    if status != 0:
        sys.exit(f"geats {' '.join(arguments)} failed")
    return usage.ru_maxrss / 1024


def run(*argv: str) -> None:
    """Run a command; its failure ends the benchmark."""
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
