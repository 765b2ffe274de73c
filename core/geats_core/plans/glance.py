"""A plan at a glance: a line for each VM that it changes, and one for the whole host."""

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum

from geats_core.planning.action_words import describe, word_of
from geats_core.planning.actions import (
    POWER_OFFS,
    Action,
    Adopt,
    AllocateVolume,
    AwaitReady,
    CloneVolume,
    Define,
    DeleteSnapshot,
    DestroyVolume,
    Export,
    ForgetVolume,
    Freeze,
    GrowVolume,
    Hold,
    InstallTemplate,
    KeepOff,
    Lock,
    MoveVolume,
    Pause,
    Publish,
    Rename,
    Repair,
    RollbackVolume,
    SetDns,
    SetLimits,
    SnapshotVolume,
    Start,
    Undefine,
    Unfreeze,
    Unlock,
    UnpackVolume,
)
from geats_core.planning.costs import Impact
from geats_core.planning.steps import Plan, Step
from geats_core.plans.explain import THIS_HOST, nothing_to_do, short_notes, single
from geats_core.plans.field_changes import differences_of
from geats_core.plans.plan_files import OfVerb, SavedPlan
from geats_core.plans.said_once import said_once
from geats_core.reading.checked import some_of
from geats_core.reading.sizes import format_size
from geats_core.reading.values import dataclass
from geats_core.vm.observation import Observation

MOST_FIELDS = 3  # that a line names
NOTHING = ": nothing to do"  # how a warning ends that says it all


class Sign(StrEnum):
    """What happens to a VM, in one character: the worst of it."""

    CREATE = "+"
    CHANGE = "~"
    RESTART = "!"
    DATA_LOSS = "-"


class Fate(StrEnum):
    """As what a VM counts in the line about the whole host."""

    CREATE = "to create"
    START = "to start"
    CHANGE = "to change"
    LIVE = "live"
    RESTART = "to restart"
    OFF = "to power off"
    CHECK = "to check"
    DATA_LOSS = "with data loss"
    DESTROY = "to destroy"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Line:
    """What a plan does with one VM, in words; or with the host itself, then ``fate`` is None."""

    sign: Sign
    name: str
    words: str
    impact: Impact
    fate: Fate | None

    def text(self, width: int = 0) -> str:
        """The line as people read it, with its name filled up to *width* characters."""
        return f"{self.sign} {self.name:<{width}}  {self.words}"


# What a step is called in one word or two. The others belong to one of these, and need no mention.
SHORT: Mapping[type[Action], str] = {
    Adopt: "adopt",
    Rename: "rename",
    MoveVolume: "move a volume",
    UnpackVolume: "unpack an archive",
    CloneVolume: "clone",
    InstallTemplate: "install the template",
    AllocateVolume: "add a volume",
    GrowVolume: "grow a volume",
    SetLimits: "set limits",
    SetDns: "set dns",
    SnapshotVolume: "snapshot",
    Export: "export",
    Publish: "publish",
    Repair: "repair",
    AwaitReady: "check that it is ready",
    KeepOff: "keep off",
    Freeze: "freeze",
    Hold: "freeze for a moment",
    Unfreeze: "unfreeze",
    Lock: "lock",
    Unlock: "unlock",
}
LOSSES: Mapping[type[Action], str] = {
    DestroyVolume: "volume",
    ForgetVolume: "missing volume",
    RollbackVolume: "rolled back volume",
    DeleteSnapshot: "snapshot",
}


def glance(made: SavedPlan) -> tuple[Line, ...]:
    """A line for each VM that the plan changes, by name; those of the host come first.

    For example ``~ db01  memory 512MiB → 1GiB, live``.
    """
    of_vms: dict[str, list[Step]] = {}
    for step in made.plan.steps:
        of_vms.setdefault(step.vm, []).append(step)
    plans = {each.name: each for each in made.plan.plans}
    lines = [
        _line(plans.get(name, Plan(name=name)), steps, made.observations.get(name, Observation()))
        for name, steps in of_vms.items()
        if name
    ]
    return (*map(_of_host, of_vms.get("", ())), *sorted(lines, key=lambda line: line.name))


def in_total(made: SavedPlan, lines: Iterable[Line]) -> str:
    """The line about the host, such as ``3 to create, 1 live, 1 refused``; empty if there is
    nothing to count. *lines* are those of ``glance``."""
    counted = Counter(line.fate for line in lines)
    counted[Fate.REFUSED] = len(made.refused)
    words = [f"{counted[fate]} {fate}" for fate in Fate if counted[fate]]
    return ", ".join(words) + (f"; {left}" if (left := unwanted(made)) else "")


def in_lines(made: SavedPlan) -> list[str]:
    """The whole plan at a glance: a line for each VM, then one for all of them if there are
    several; what it warns of, and what it leaves as it is. One line if there is nothing to do."""
    lines = glance(made)
    width = max((len(line.name) for line in lines), default=0)
    nothing = [] if lines else list(of_nothing(made))
    total = [in_total(made, lines)] if len(lines) + len(made.refused) > 1 else []
    of_vms = [line.text(width) for line in lines]
    return [*nothing, *of_vms, *total, *made.warnings, *short_notes(made.plan)]


def of_nothing(made: SavedPlan) -> tuple[str, ...]:
    """What a plan without steps says, unless it says why: a VM is refused, or is not there."""
    if made.refused or any(each.endswith(NOTHING) for each in made.warnings):
        return ()
    so = "so already" if isinstance(made, OfVerb) else "as described"
    return (nothing_to_do(single(made.plan), so),)


def refused_lines(made: SavedPlan) -> list[str]:
    """Whom a plan leaves out, and why: for people, with each reason said once."""
    return said_once(
        line if name in line else f"{name}: {line}"
        for name, why in made.refused.items()
        for line in map(str, why)
    )


def changes_in_brief(made: SavedPlan) -> dict[str, object]:
    """What changes of each VM, by its name; empty exactly when there are no steps.

    Of a VM that stays, each part of a field that differs has ``old`` and ``new``, and ``steps`` are
    the steps in a word each. If no field differs, it is the text of the line, such as
    ``create, 7 steps``.
    """
    plans = {each.name: each for each in made.plan.plans}
    found: dict[str, object] = {}
    for line in glance(made):
        if line.fate is None:
            said = f"{found[THIS_HOST]}; " if THIS_HOST in found else ""
            found[THIS_HOST] = f"{said}{line.words}"
        else:
            found[line.name] = _in_brief(line, plans.get(line.name), made)
    return found


def _in_brief(line: Line, plan: Plan | None, made: SavedPlan) -> object:
    changes = plan.changes if plan and line.fate not in (Fate.CREATE, Fate.DESTROY) else ()
    parts = [each for change in changes for each in differences_of(change)]
    if not parts:
        return line.words
    steps = [word_of(step.action) for step in made.plan.steps if step.vm == line.name]
    fields = {each.path: {"old": each.old, "new": each.new} for each in parts}
    return {**fields, "steps": ", ".join(steps)}


def _of_host(step: Step) -> Line:
    sign = _sign(Fate.CHANGE, step.impact)
    words = step.reason if isinstance(step.action, Pause) else describe(step.action, "")
    return Line(sign, THIS_HOST, words, step.impact, None)


def _line(plan: Plan, steps: list[Step], have: Observation) -> Line:
    impact = max(step.impact for step in steps)
    fate = _fate(steps, have, impact)
    words = [*_what(fate, plan, steps), *_cost(fate), *_losses(steps, have)]
    return Line(_sign(fate, impact), plan.name, ", ".join(words), impact, fate)


def _fate(steps: list[Step], have: Observation, impact: Impact) -> Fate:
    kinds = {type(step.action) for step in steps}
    if Undefine in kinds:
        return Fate.DESTROY
    if not have.exists and kinds & {Define, Adopt}:
        return Fate.CREATE
    if impact is Impact.DATA_LOSS:
        return Fate.DATA_LOSS
    if not kinds.isdisjoint(POWER_OFFS):
        return Fate.RESTART if Start in kinds else Fate.OFF
    if Start in kinds:
        return Fate.START
    if kinds == {AwaitReady}:
        return Fate.CHECK
    return Fate.LIVE if impact is Impact.LIVE else Fate.CHANGE


def _sign(fate: Fate, impact: Impact) -> Sign:
    if impact is Impact.DATA_LOSS:
        return Sign.DATA_LOSS
    if impact is Impact.RESTART:
        return Sign.RESTART
    return Sign.CREATE if fate is Fate.CREATE else Sign.CHANGE


def _what(fate: Fate, plan: Plan, steps: list[Step]) -> Iterable[str]:
    """What is done, without what it costs."""
    count = _counted(len(steps), "step")
    if fate is Fate.CREATE:
        adopted = any(isinstance(step.action, Adopt) for step in steps)
        return ("adopt" if adopted else "create", count)
    if fate is Fate.DESTROY:
        lost = any(isinstance(step.action, DestroyVolume) for step in steps)
        return ("deprovision" if lost else "undefine",)
    fields = [str(each) for change in plan.changes for each in differences_of(change)]
    more = [_counted(len(fields) - MOST_FIELDS, "more field")] if fields[MOST_FIELDS:] else []
    kinds = dict.fromkeys(type(step.action) for step in steps)
    if Hold in kinds:
        kinds.pop(Unfreeze, None)
    if Start in kinds:
        kinds.pop(AwaitReady, None)
    done = [SHORT[each] for each in kinds if each in SHORT]
    found = [*fields[:MOST_FIELDS], *more] or done
    return found or ([] if fate in POWERED else [count])


POWERED = {Fate.START: "start", Fate.RESTART: "restart", Fate.OFF: "power off"}


def _cost(fate: Fate) -> Iterable[str]:
    if fate in POWERED:
        return (POWERED[fate],)
    return ("live",) if fate is Fate.LIVE else ()


def _losses(steps: list[Step], have: Observation) -> Iterable[str]:
    """For example ``DATA LOSS: 2 volumes, 14GiB``."""
    lost = [step.action for step in steps if type(step.action) in LOSSES]
    if not lost:
        return
    kinds = Counter(LOSSES[type(action)] for action in lost)
    words = [_counted(count, what) for what, count in kinds.items()]
    destroyed = [each for each in lost if isinstance(each, DestroyVolume)]
    seen = (have.volume(each.pool, each.volume) for each in destroyed)
    size = sum(volume.size_bytes or 0 for volume in seen if volume is not None)
    yield f"DATA LOSS: {', '.join(words)}{f', {format_size(size)}' if size else ''}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def unwanted(made: SavedPlan) -> str:
    """What is said of volumes that no VM wants any more, and that nothing destroys; or nothing."""
    destroyed = {
        (step.vm, step.action.pool, step.action.volume)
        for step in made.plan.steps
        if isinstance(step.action, DestroyVolume)
    }
    wanted = {name: have.recorded for name, have in made.observations.items()}
    wanted |= {s.vm: s.action.spec for s in made.plan.steps if isinstance(s.action, Define)}
    found = [
        f"{name}/{volume.name}"
        for name, have in made.observations.items()
        if (spec := wanted[name]) is not None
        for volume in have.volumes
        if (volume.pool, volume.name) not in {(each.pool, each.name) for each in spec.volumes}
        and (name, volume.pool, volume.name) not in destroyed
    ]
    if not found:
        return ""
    return f"{_counted(len(found), 'volume')} no longer wanted ({some_of(found, MOST_FIELDS)})"
