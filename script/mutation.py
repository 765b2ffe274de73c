"""The mutation score of the core: how many small breaks of the code make a test fail.

mutmut makes the mutants and runs the examples in tests/core, in processes that it forks: quick, but
what a module does as it is imported is done before the fork, without the mutant. So those that are
left are tried again, each in a process of its own, and by the laws of parsing and planning too.
"""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

MODULES = {
    "parser": ("vm.parse", "reading.fields", "reading.sizes", "reading.checked", "declared.config"),
    "model": ("planning.model",),
    "planner": (
        *(
            "deciding.planner",
            "deciding.power_steps",
            "deciding.volume_steps",
            "deciding.live_steps",
        ),
        *("deciding.goal_draft", "deciding.restarts", "deciding.refusals", "deciding.abilities"),
        *("deciding.losses", "planning.ordering"),
    ),
    "host": (
        "planning.spec_changes",
        "hostwide.host_planner",
        "hostwide.capacity",
        "hostwide.start_order",
        "hostwide.conflicts",
        "hostwide.step_graph",
    ),
}
ENOUGH_PERCENT = 95
PROCESSES = "2"
EXAMPLES = ("tests/core",)
LAWS = ("tests/property/test_parse_laws.py", "tests/property/test_plan_laws.py")
HOST_LAWS = ("tests/property/test_plan_laws.py", "tests/property/test_host_laws.py")
TRIES = 50  # of each law, for one mutant
KILLED = ("killed", "timeout", "segfault")
PYTEST = ("-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0")
SETTINGS = """
[mutmut]
source_paths = geats_core
only_mutate =
{only}
pytest_add_cli_args_test_selection = tests/core
pytest_add_cli_args = -pno:cacheprovider
use_git_change_detection = false
track_dependencies = false
"""


def lay_out(copy: Path, modules: Iterable[str]) -> None:
    """Put what is committed into *copy*, in the layout that mutmut can work on."""
    archive = subprocess.run(["git", "archive", "HEAD"], check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", copy], input=archive, check=True)
    shutil.move(copy / "core" / "geats_core", copy / "geats_core")
    for module in modules:
        path = copy / "geats_core" / f"{in_folder(module)}.py"
        path.write_text(undecorated(path.read_text()))
    for path in (copy / "tests" / "property").glob("*.py"):
        path.write_text(re.sub(r"max_examples=\d+", f"max_examples={TRIES}", path.read_text()))
    only = "\n".join(f"    geats_core/{in_folder(module)}.py" for module in modules)
    with (copy / "setup.cfg").open("a") as settings:
        settings.write(SETTINGS.format(only=only))


def in_folder(module: str) -> str:
    """The path of *module* below the package, without its suffix."""
    return module.replace(".", "/")


def undecorated(source: str) -> str:
    """*source* with ``@of_mapping`` as calls: mutmut passes over what is decorated, inside too."""
    inner = re.compile(
        r"^( +)@of_mapping\n(\1def (\w+)\(.*?^\1return )\3$", re.MULTILINE | re.DOTALL
    )
    source = inner.sub(r"\2of_mapping(\3)", source)
    decorated = re.compile(r"^@of_mapping\ndef (\w+)", re.MULTILINE)
    calls = "".join(f"{name} = of_mapping({name})\n" for name in decorated.findall(source))
    return decorated.sub(r"def \1", source) + calls


def mutmut(copy: Path, *arguments: str) -> str:
    """What ``mutmut`` prints in *copy*."""
    run = subprocess.run(
        [sys.executable, "-m", "mutmut", *arguments], cwd=copy, capture_output=True, text=True
    )
    if run.returncode:
        sys.exit(f"mutmut {' '.join(arguments)} failed:\n{run.stdout[-3000:]}{run.stderr[-3000:]}")
    return run.stdout


def first_stage(copy: Path) -> dict[str, str]:
    """How each mutant fared with the examples, in mutmut's words."""
    mutmut(copy, "run", "--max-children", PROCESSES)
    lines = mutmut(copy, "results", "--all", "true").splitlines()
    return dict(re.findall(r"^\s*(\S+): (.+?)\s*$", "\n".join(lines), re.MULTILINE))


def is_killed(copy: Path, mutant: str) -> bool:
    """Whether the examples and the laws, in a fresh process, fail with *mutant*."""
    environment = os.environ | {"MUTANT_UNDER_TEST": mutant, "PYTHONDONTWRITEBYTECODE": "1"}
    laws = HOST_LAWS if module_of(mutant) in MODULES["host"] else LAWS
    command = [sys.executable, *PYTEST, *EXAMPLES, *laws]
    try:
        run = subprocess.run(
            command, cwd=copy / "mutants", env=environment, capture_output=True, timeout=600
        )
    except subprocess.TimeoutExpired:
        return True
    return run.returncode != 0


def second_stage(copy: Path, left: list[str]) -> set[str]:
    """Those of *left* that are killed after all."""
    if is_killed(copy, ""):
        sys.exit("the tests fail without a mutant")
    with ThreadPoolExecutor(int(PROCESSES)) as pool:
        killed = list(pool.map(lambda mutant: is_killed(copy, mutant), left))
    return {mutant for mutant, dead in zip(left, killed, strict=True) if dead}


def main(wanted: list[str]) -> int:
    """Print score and survivors; 1 where too many survive."""
    modules = wanted or [module for part in MODULES.values() for module in part]
    with TemporaryDirectory(prefix="geats-mutation-") as directory:
        copy = Path(directory)
        lay_out(copy, modules)
        fared = first_stage(copy)
        left = [mutant for mutant, how in fared.items() if how not in KILLED]
        print(f"{len(fared)} mutants, {len(left)} left by the examples", flush=True)
        dead = second_stage(copy, left)
        survivors = [mutant for mutant in left if mutant not in dead]
        for mutant in survivors:
            print(mutmut(copy, "show", mutant))
    total = Counter(map(module_of, fared))
    alive = Counter(map(module_of, survivors))
    for module in modules:
        print(line(module, total[module], alive[module]))
    print(line("all", len(fared), len(survivors)))
    return int(percent(len(fared), len(survivors)) < ENOUGH_PERCENT)


def module_of(mutant: str) -> str:
    """The module of a mutant such as ``geats_core.planning.model.x_after__mutmut_3``."""
    return ".".join(mutant.split(".")[1:3]) if mutant else ""


def line(name: str, total: int, alive: int) -> str:
    """One row of the table of scores."""
    return f"| {name} | {total} | {total - alive} | {percent(total, alive):.1f} % |"


def percent(total: int, alive: int) -> float:
    """The share that is killed."""
    return 100 * (total - alive) / total if total else 0


if __name__ == "__main__":
    os.chdir(Path(__file__).parents[1])
    sys.exit(main(sys.argv[1:]))
