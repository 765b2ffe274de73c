"""Render the parts of the documentation that say what the code says.

``python docs/generate.py`` writes them; with ``--check`` it names those that are stale instead, and
exits with 1 if there are any.
"""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from returns.result import Failure, Success

from geats_core import COST, Observation, Power, Stage, VolumeSeen, after, parse_vm
from geats_core.actions import (
    Action,
    ActivateVolume,
    AllocateVolume,
    ConfigureGuest,
    Define,
    DestroyVolume,
    FormatVolume,
    Freeze,
    InstallTemplate,
    Repair,
    SetLimits,
    Shutdown,
    Start,
    Stop,
    Undefine,
    Unfreeze,
)
from geats_core.changes import DRIVERS

DOCS = Path(__file__).parent
SPEC = parse_vm("web01", {"template": "debian"}).unwrap()
ROOT = (SPEC.root.pool, SPEC.root.name)
POWER_ACTIONS: tuple[Action, ...] = (
    Start(),
    Shutdown(SPEC.shutdown_timeout_s),
    Stop(),
    Freeze(),
    Unfreeze(),
    SetLimits(SPEC.limits),
    Repair(),
)
ACTIONS: tuple[Action, ...] = (
    Define(SPEC),
    AllocateVolume(*ROOT, None),
    FormatVolume(*ROOT),
    ActivateVolume(*ROOT),
    InstallTemplate(*ROOT, SPEC.template),
    ConfigureGuest(*ROOT, SPEC),
    *POWER_ACTIONS,
    Undefine(),
    DestroyVolume(*ROOT),
)
NOTE = "<!-- Written by docs/generate.py: change the code, not this. -->\n"


def rendered() -> Mapping[str, str]:
    """The text of each generated file, by its name."""
    return {
        "state-diagram.mmd": state_diagram(),
        "power-actions.md": power_actions(),
        "costs.md": costs(),
    }


def state_diagram() -> str:
    """The states of a VM with one volume, and the actions that lead from one to another."""
    lines = ["%% Written by docs/generate.py: change the code, not this.", "stateDiagram-v2"]
    lines += ["    [*] --> absent"]
    by_ends: dict[tuple[str, str], list[str]] = {}
    for start, action, end in transitions():
        by_ends.setdefault((start, end), []).append(action)
    lines += [
        f"    {start} --> {end}: {', '.join(actions)}" for (start, end), actions in by_ends.items()
    ]
    return "".join(f"{line}\n" for line in lines)


def transitions() -> Iterable[tuple[str, str, str]]:
    """Every change of state that the model knows; what leaves the state as it is, is left out."""
    found: dict[tuple[str, str, str], None] = {}
    for have in reachable(Observation(), powered(Power.STUCK)):
        for action in ACTIONS:
            match after(action, have):
                case Success(then) if state_of(then) != state_of(have):
                    found[state_of(have), type(action).__name__, state_of(then)] = None
                case _:
                    continue
    return found


def reachable(*starts: Observation) -> Iterable[Observation]:
    """Every observation that actions lead to, the nearest first."""
    found = dict.fromkeys(starts)
    queue = list(starts)
    for have in queue:
        for action in ACTIONS:
            match after(action, have):
                case Success(then) if then not in found:
                    found[then] = None
                    queue.append(then)
                case _:
                    continue
    return queue


def state_of(have: Observation) -> str:
    """The state's name in the diagram."""
    if have.power is not Power.STOPPED:
        return str(have.power)
    if not have.exists:
        return "absent"
    if have.recorded is None:
        return "undefined"
    root = have.volume(*ROOT)
    return "stopped" if root and root.stage is Stage.INSTALLED else "defined"


def power_actions() -> str:
    """For each power and each action on it: where it leads, or why it may not be done."""
    rows = [
        [f"**{type(action).__name__}**", *(outcome(action, powered(power)) for power in Power)]
        for action in POWER_ACTIONS
    ]
    return NOTE + "\n" + table(["action", *(f"when {power}" for power in Power)], rows)


def powered(power: Power) -> Observation:
    """A VM that is complete, and has that power."""
    root = VolumeSeen(
        name=SPEC.root.name,
        pool=SPEC.root.pool,
        stage=Stage.INSTALLED,
        active=True,
        template=SPEC.template,
    )
    return Observation(
        recorded=SPEC,
        defined=SPEC,
        in_effect=None if power is Power.STOPPED else SPEC,
        power=power,
        volumes=(root,),
    )


def outcome(action: Action, have: Observation) -> str:
    """Where *action* leads, or that it is refused."""
    match after(action, have):
        case Success(then):
            return str(then.power)
        case Failure():
            return "–"


def costs() -> str:
    """What a change of each field costs, by driver."""
    rows = [
        [f"`{field}`", *(f"`{costs[driver]}`" for driver in DRIVERS)]
        for field, costs in COST.items()
    ]
    head = ["changed field", *(f"driver {driver}" for driver in DRIVERS)]
    return NOTE + "\n" + table(head, rows)


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main(*, check: bool) -> int:
    """Write the files, or compare them; the exit code says whether all is well."""
    stale = 0
    for name, text in rendered().items():
        path = DOCS / name
        if path.is_file() and path.read_text() == text:
            continue
        if check:
            print(f"docs/{name} is stale: run python docs/generate.py")
            stale = 1
        else:
            path.write_text(text)
            print(f"docs/{name} written")
    return stale


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
