"""How long the command line takes to start, beside Python itself.

usage: .venv/bin/python benchmarks/command_line.py [RUNS]    (default: 15)

Whole processes, all kinds in turn, on a host without a VM, with all modules compiled before: the
medians of the processor's time, and of the ratios to the ``python -c pass`` beside each.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from statistics import median

GEATS = ("-m", "geats_host.cli.main")
CONFIG = """
geats:
  state_dir: {0}/state
  run_dir: {0}/run
  drivers: {{lxc: {{path: {0}/lxc}}}}
  pools: {{default: {{type: directory, path: {0}/volumes}}}}
"""


def main() -> None:
    """Time all kinds of calls."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    with tempfile.TemporaryDirectory(prefix="geats-bench-") as directory:
        config = Path(directory, "geats.yaml")
        config.write_text(CONFIG.format(directory))
        calls = {
            "python -c pass": ("-c", "pass"),
            "geats --version": (*GEATS, "--version"),
            "geats list": (*GEATS, "--config", str(config), "list"),
        }
        environment = {**os.environ, "GEATS_HOST_FILE": "", "PYTHONPYCACHEPREFIX": directory}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        times: dict[str, list[float]] = {name: [] for name in calls}
        for number in range(runs + 1):
            for name, words in calls.items():
                taken = processor_s(words, environment)
                if number:  # the first run compiles
                    times[name].append(taken)
    bare = times["python -c pass"]
    for name, taken_s in times.items():
        ratio = median(own / other for own, other in zip(taken_s, bare, strict=True))
        print(f"{name:20} {median(taken_s) * 1e3:6.0f} ms of the processor (× {ratio:.1f})")


def processor_s(words: tuple[str, ...], environment: dict[str, str]) -> float:
    """Seconds of the processor that one process takes."""
    before = getrusage(RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, *words], capture_output=True, env=environment)
    if done.returncode != 0:
        sys.exit(f"{' '.join(words)} failed:\n{done.stderr.decode()}")
    after = getrusage(RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


if __name__ == "__main__":
    main()
