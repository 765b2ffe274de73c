"""Render the parts of the documentation that say what the code says.

``python docs/generate.py`` writes them; with ``--check`` it names those that are stale instead, and
exits with 1 if there are any.
"""

import io
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path

from benchmark_picture import picture
from returns.result import Failure, Success
from rich.console import Console
from rich.text import Text

from geats_core import (
    COST,
    LIVE_LIMITS,
    Cost,
    DriverFacts,
    Goal,
    HostFacts,
    HostPlan,
    Impact,
    Observation,
    PoolFacts,
    Power,
    Recorded,
    SnapshotSeen,
    Stage,
    Target,
    VMSpec,
    VolumeMissing,
    VolumeSeen,
    after,
    dot,
    follow,
    parse_vm,
    plan,
    plan_host,
    to_json,
)
from geats_core import table as table_of
from geats_core.planning.actions import (
    Action,
    ActivateVolume,
    Adopt,
    AdoptVolume,
    AllocateVolume,
    AwaitReady,
    CloneVolume,
    ConfigureGuest,
    Define,
    DeleteSnapshot,
    DestroyVolume,
    Export,
    ForgetVolume,
    FormatVolume,
    Freeze,
    GrowVolume,
    Hold,
    Identity,
    InstallTemplate,
    KeepOff,
    Lock,
    MoveVolume,
    NotePlaces,
    Pause,
    Publish,
    RemoveLeftover,
    Rename,
    RenameVolume,
    Repair,
    ReserveVolume,
    RollbackVolume,
    SetDevices,
    SetDns,
    SetLimits,
    Shutdown,
    SnapshotVolume,
    Start,
    Stop,
    TakeOver,
    TakeVolumes,
    Undefine,
    Unfreeze,
    Unlock,
    UnpackVolume,
    UpgradeRegistry,
    impact_of,
)
from geats_core.planning.plugin_facts import Leftover
from geats_core.vm.guest_files import guest_digest
from geats_core.vm.observation import UNFINISHED_COPY
from geats_core.vm.readiness import Ready, TcpProbe
from geats_core.vm.spec import Limits
from geats_host.agent.connections import HostInterface
from geats_host.drivers import memory
from geats_host.drivers.lxc import facts as lxc

DOCS = Path(__file__).parent
SPEC = parse_vm("web01", {"template": "debian"}).unwrap()
ROOT = (SPEC.root.pool, SPEC.root.name)
SMALL, LARGE = 1, 2  # sizes of a volume
LIMITS = Limits(memory_bytes=1)
LIMITED = replace(SPEC, limits=LIMITS)
SAID = {"lxc": lxc.COSTS, "memory": memory.COSTS}
POWER_ACTIONS: tuple[Action, ...] = (
    Start(),
    Shutdown(SPEC.shutdown_timeout_s),
    Stop(),
    Freeze(),
    Hold(),
    Unfreeze(),
    SetLimits(SPEC.limits),
    SetDevices(SPEC),
    SetDns(SPEC.dns),
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
    SnapshotVolume(*ROOT, "before", 0),
    RollbackVolume(*ROOT, "before"),
    DeleteSnapshot(*ROOT, "before"),
    ReserveVolume(*ROOT),
    UnpackVolume(*ROOT, "/a.tar", "", SPEC.template, Identity.KEPT),
    CloneVolume(*ROOT, "web02", SPEC.template),
    TakeOver("ssh://root@a/web01", "", SPEC.template),
    Export("/a.tar"),
    Publish("/a.tar.zst"),
)
EVERY_ACTION: tuple[Action, ...] = (
    *(action for action in ACTIONS if not isinstance(action, SetLimits)),
    SetLimits(LIMITS),
    GrowVolume(*ROOT, LARGE),
    Lock(),
    Unlock(),
    AdoptVolume(*ROOT, LARGE, "/old/rootfs", SPEC.template, guest_digest(SPEC)),
    Adopt(SPEC, SPEC, (), ""),
    RenameVolume(*ROOT, SPEC.name, "web02"),
    MoveVolume("fast", ROOT[1], ROOT[0], None, SPEC),
    Rename(replace(SPEC, name="web02")),
    ForgetVolume(*ROOT),
    AwaitReady(Ready(probe=TcpProbe(80))),
    KeepOff(),
    Pause(),
    UpgradeRegistry(1, 2),
    RemoveLeftover(Leftover.FILE, "/a"),
    NotePlaces(()),
    TakeVolumes("ssh://root@a/web01", "", ()),
)
NOTE = "<!-- Written by docs/generate.py: change the code, not this. -->\n"
DECLARED = DOCS / "examples/first-page/geats.yaml"
COLUMNS = 68  # of a terminal in a picture
FONT_FACE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
DRAWN_WORDS = re.compile(r"<text[^>]*>([^<]*)</text>")
DOT_NOTE = "// Written by docs/generate.py: change the code, not this.\n"


def rendered() -> Mapping[str, str]:
    """The text of each generated file, by its name."""
    return {
        "generated/state-diagram.dot": state_diagram(),
        "generated/power-actions.md": power_actions(),
        "generated/actions.md": actions(),
        "generated/costs.md": costs(),
        "generated/host-plan.dot": DOT_NOTE + dot(host_plan()),
        "generated/host-plan.md": f"{NOTE}\n{table_of(host_plan())}",
        "examples/plan-in-ci/host.json": recorded_host(
            vm("web01", "10.0.0.11", after=["db01"], memory="512MiB", autostart=False),
            vm("db01", "10.0.0.20", autostart=False),
        ),
        "generated/plan.svg": picture_of_a_plan(),
        "generated/io.geats.Host.varlink": HostInterface.render_interface_description(),
        "generated/benchmarks.svg": picture((DOCS / "explanation/benchmarks.txt").read_text()),
    }


def state_diagram() -> str:
    """The states of a VM with one volume, and the actions that lead from one to another."""
    lines = ["digraph states {", '    node [shape=box, style="rounded,filled", fillcolor=white];']
    by_ends: dict[tuple[str, str], list[str]] = {}
    for start, action, end in transitions():
        by_ends.setdefault((start, end), []).append(action)
    for (start, end), actions in by_ends.items():
        label = r"\n".join(actions)
        lines.append(f'    {start} -> {end} [label="{label}"];')
    return DOT_NOTE + "".join(f"{line}\n" for line in [*lines, "}"])


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


def actions() -> str:
    """For each action: what it needs, what it changes, and what it costs a user of the VM."""
    head = ["action", "needs", "changes", "impact"]
    how = f"Each action was tried in {len(EVERY_FEATURE):,} states of a VM with one volume.\n"
    return NOTE + "\n" + table(head, [row_of(action) for action in EVERY_ACTION]) + "\n" + how


def row_of(action: Action) -> list[str]:
    """What is so wherever *action* may be done, and what is not so any more after it."""
    done = {
        (features, features_of(then.unwrap()))
        for have, features in EVERY_FEATURE
        for then in [after(action, have)]
        if isinstance(then, Success)
    }
    needs: list[str] = []
    changed: list[str] = []
    for at, feature in enumerate(FEATURES):
        ends = {(start[at], end[at]) for start, end in done}
        allowed = {start for start, _ in ends}
        values = [value for value in VALUES[feature] if value in allowed]
        if values and values != VALUES[feature]:
            needs.append(f"{feature}: {' or '.join(values)}")
        left = {end for start, end in ends if end and (start or feature == "stage")}
        if any(start != end for start, end in ends) and left:
            changed.append(f"{feature}: {str(*left) if len(left) == 1 else 'as it was then'}")
    name = f"**{type(action).__name__}**"
    return [name, "; ".join(needs) or "–", "; ".join(changed) or "–", f"`{impact_of(action)}`"]


def features_of(have: Observation) -> tuple[str | None, ...]:
    """The value of each feature, in their order."""
    return tuple(value_of(have) for value_of in FEATURES.values())


def _of_root(value_of: Callable[[VolumeSeen], str]) -> Callable[[Observation], str | None]:
    """A feature of the volume; None where there is no volume."""

    def feature(have: Observation) -> str | None:
        root = have.volume(*ROOT)
        return None if root is None else value_of(root)

    return feature


def _spec_in(spec: VMSpec | None) -> str:
    return "nothing" if spec is None else "new limits" if spec == LIMITED else "the spec"


FEATURES: Mapping[str, Callable[[Observation], str | None]] = {
    "made by geats": lambda have: "no" if have.foreign else "yes",
    "locked": lambda have: "yes" if have.locked else "no",
    "power": lambda have: str(have.power),
    "to run": lambda have: "yes" if have.to_run else "no",
    "recorded": lambda have: _spec_in(have.recorded),
    "defined": lambda have: _spec_in(have.defined),
    "in effect": lambda have: _spec_in(have.in_effect),
    "volume": lambda have: "there" if have.roots else "absent",
    "stage": _of_root(lambda root: "reserved" if root.is_reserved else root.stage.name.lower()),
    "active": _of_root(lambda root: "yes" if root.active else "no"),
    "size": _of_root(lambda root: "smaller" if root.size_bytes == SMALL else "as wanted"),
    "guest files": _of_root(
        lambda root: "as described" if root.guest and not root.is_copy else "not as described"
    ),
    "snapshot": _of_root(lambda root: "there" if root.snapshots else "absent"),
    "missing": lambda have: "yes" if have.missing else "no",
    "unfinished copy": lambda have: "yes" if have.copy_of else "no",
}
TAKEN = (
    SnapshotSeen(name="before", taken_s=0, stage=Stage.FORMATTED),
    SnapshotSeen(name="before", taken_s=0, stage=Stage.INSTALLED, guest=guest_digest(SPEC)),
)
UNRESERVED: tuple[VolumeSeen, ...] = tuple(
    VolumeSeen(
        name=SPEC.root.name,
        pool=SPEC.root.pool,
        stage=stage,
        active=active,
        size_bytes=size_bytes,
        guest=guest,
        snapshots=snapshots,
    )
    for stage, active, size_bytes, guest, snapshots in product(
        Stage,
        (False, True),
        (SMALL, LARGE),
        (None, guest_digest(SPEC)),
        ((), *((taken,) for taken in TAKEN)),
    )
)
EVERY_VOLUME: tuple[VolumeSeen, ...] = (
    *UNRESERVED,
    *(replace(v, template=UNFINISHED_COPY) for v in UNRESERVED if v.stage is Stage.FILLING),
)
EVERY_STATE: tuple[Observation, ...] = tuple(
    Observation(
        foreign=foreign,
        locked=locked,
        power=power,
        recorded=recorded,
        defined=defined,
        in_effect=in_effect,
        volumes=volumes,
        missing=missing,
        to_run=to_run,
    )
    for foreign, locked, (power, to_run), recorded, defined, in_effect, volumes, missing in product(
        (False, True),
        (False, True),
        (*((power, False) for power in Power), (Power.STOPPED, True)),
        (None, SPEC),
        (None, SPEC),
        (None, SPEC),
        ((), *((volume,) for volume in EVERY_VOLUME)),
        ((), (VolumeMissing(name=SPEC.root.name, pool=SPEC.root.pool),)),
    )
)
ARRIVING = tuple(
    replace(have, copy_of="web01 from ssh://root@a/web01") for have in EVERY_STATE if have.recorded
)
EVERY_FEATURE = tuple((have, features_of(have)) for have in (*EVERY_STATE, *ARRIVING))
VALUES: Mapping[str, list[str]] = {
    feature: [value for value in dict.fromkeys(found) if value is not None]
    for feature, found in zip(
        FEATURES, zip(*(found for _, found in EVERY_FEATURE), strict=True), strict=True
    )
}


def host_plan() -> HostPlan:
    """One VM makes room for two others, of which one starts after the other."""
    old = vm("old", "10.0.0.11")
    web, db = vm("web01", "10.0.0.11", after=["db01"]), vm("db01", "10.0.0.20", delay=5)
    there = {
        "old": at(Target.RUNNING, old),
        "web01": at(Target.STOPPED, web),
        "db01": at(Target.STOPPED, db),
    }
    goals = [
        Goal(name="old", target=Target.OFF),
        Goal(name="web01", target=Target.RUNNING, spec=web),
        Goal(name="db01", target=Target.RUNNING, spec=db),
    ]
    return plan_host(goals, there, HostFacts(memory_bytes=4 * 2**30)).unwrap()


def vm(name: str, address: str, delay: int = 0, **raw: object) -> VMSpec:
    """A VM of 2 GiB with one address, unless *raw* says something else."""
    nics = [{"name": "eth0", "bridge": "br0", "addresses": [f"{address}/24"]}]
    own = {"template": "debian", "memory": "2GiB", "autostart": {"delay": delay}, "nics": nics}
    return parse_vm(name, {**own, **raw}).unwrap()


def at(target: Target, spec: VMSpec) -> Observation:
    """A VM as the plan for *target* leaves it."""
    made = plan(Goal(name=spec.name, target=target, spec=spec), Observation()).unwrap()
    return follow(made, Observation()).unwrap()


def recorded_host(*there: VMSpec) -> str:
    """What ``geats observe`` prints on a host where these VMs run."""
    pool = PoolFacts(
        location="/var/lib/geats/pools/default/{vm}/{volume}/rootfs",
        size_bytes=100 * 2**30,
        enforces_size=False,
    )
    facts = HostFacts(
        drivers={"lxc": DriverFacts(costs=LIVE_LIMITS)},
        pools={"default": pool},
        templates=frozenset({"debian"}),
        bridges=frozenset({"br0"}),
        memory_bytes=8 * 2**30,
        cpus=4,
        declared=frozenset(spec.name for spec in there),
    )
    seen = {spec.name: at(Target.RUNNING, spec) for spec in there}
    return to_json(Recorded(observations=seen, facts=facts))


def picture_of_a_plan() -> str:
    """A terminal as SVG in which ``geats plan`` was just run, and what it said there."""
    there = recorded_host(
        vm("db01", "10.0.0.20", autostart=False),
        vm("mail", "10.0.0.25", memory="512MiB", autostart=False),
        vm("old", "10.0.0.99", memory="512MiB", autostart=False),
        vm("web01", "10.0.0.11", memory="512MiB", autostart=False),
    )
    geats = (sys.executable, "-m", "geats_host.cli.main", "--config", f"{DECLARED}")
    said = subprocess.run(
        [*geats, "plan", "--from", "-"],
        input=there,
        stdout=subprocess.PIPE,
        check=True,
        env={**os.environ, "COLUMNS": f"{COLUMNS}", "FORCE_COLOR": "1", "TERM": "xterm-256color"},
        text=True,
    ).stdout
    terminal = Console(record=True, width=COLUMNS, file=io.StringIO())
    terminal.print(Text("$ geats plan", style="bold"))
    terminal.print(Text.from_ansi(said.rstrip()))
    drawn = terminal.export_svg(title="a host with five VMs", unique_id="plan")
    return FONT_FACE.sub("", drawn)  # a server's fonts; without them, those that are there do


def words_in(text: str) -> str:
    """What a file says to people: of a picture, only the words, as another rich draws otherwise."""
    return "".join("".join(DRAWN_WORDS.findall(text)).split()) if text.startswith("<svg") else text


def costs() -> str:
    """What a change of each field costs, by driver."""
    rows = [
        [f"`{field}`", f"`{cost}`", *(f"`{_cost(field, costs)}`" for costs in SAID.values())]
        for field, cost in COST.items()
    ]
    head = ["changed field", "any driver", *(f"driver `{driver}`" for driver in SAID)]
    return NOTE + "\n" + table(head, rows)


def _cost(field: str, costs: Mapping[str, Cost]) -> Impact:
    """What a change of a field costs at most with a driver that says so."""
    said = costs.get(field)
    return max(said.rises, said.falls) if said else COST[field]


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main(*, check: bool) -> int:
    """Write the files, or compare them; the exit code says whether all is well."""
    stale = 0
    for name, text in rendered().items():
        path = DOCS / name
        if path.is_file() and words_in(path.read_text()) == words_in(text):
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
