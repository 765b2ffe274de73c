"""What VMs should be: the words of callers, and the configuration, become a goal for each VM."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from enum import Enum, auto
from typing import TYPE_CHECKING, TypeAlias

from geats_core.declared.config import Gone, HostConfig
from geats_core.declared.policy import AtOnce, HostPolicy, at_once, count
from geats_core.planning.costs import Impact
from geats_core.planning.goal import Asked, ByHand, DataLoss, Goal, PowerOff, Restart, Target
from geats_core.reading import fields
from geats_core.reading.checked import Checked, Problem, Problems, problems_of, unknown
from geats_core.reading.fields import Reader, boolean, one_of
from geats_core.reading.mappings import FORMER, Raw
from geats_core.reading.values import dataclass
from geats_core.vm.observation import Observation
from geats_core.vm.spec import ROOT, Init, VMSpec
from geats_host.errors import Refused, accepted, problem_of
from geats_host.inputs.declared import declared
from geats_host.lazy import later

if TYPE_CHECKING:
    from geats_host.templates import programs
else:  # most VMs have an init
    programs = later("geats_host.templates.programs")

Refusals: TypeAlias = dict[str, Problems]  # by the name of the VM
NO_COUNT: int | None = None
AS_IT_IS: AtOnce | None = None

LEAVES_BY = {
    Gone.STOPPED: Target.OFF,
    Gone.UNDEFINED: Target.UNDEFINED,
    Gone.DEPROVISIONED: Target.DEPROVISIONED,
}


class Scope(Enum):
    """What a plan is about: the whole host, with its strays; or some VMs of it."""

    HOST = auto()
    SOME = auto()


@dataclass(frozen=True, slots=True)
class Wishes:
    """A plan for several VMs: for those named, else all that are declared; and on which terms.

    ``goal`` is that of every VM, which is still to be named. ``called`` is what a person calls a
    plan for the whole host: who gives it a VM's name means that VM. ``at_most`` and ``at_once``
    stand in for those of the host's policy.
    """

    goal: Goal
    names: tuple[str, ...] = ()
    called: str = ""
    at_most: int | None = None
    at_once: AtOnce | None = None

    @property
    def scope(self) -> Scope:
        """A plan in which VMs are named is about no other."""
        return Scope.SOME if self.names else Scope.HOST

    @property
    def asked(self) -> Asked:
        """Whether VMs are named, or meant as all that there are."""
        return Asked.NAMED if self.names else Asked.SWEPT

    def policy(self, of_host: HostPolicy) -> HostPolicy:
        """The policy that counts."""
        return replace(
            of_host,
            at_most=of_host.at_most if self.at_most is None else self.at_most,
            at_once=self.at_once or of_host.at_once,
        )


def wishes(words: Mapping[object, object], names: tuple[str, ...] = (), called: str = "") -> Wishes:
    """The wish for the VMs *names*, else for all of a host: ``at_most``, ``at_once``, and the words
    of a goal.

    ``at_most`` so many VMs that nobody named may be powered off, undefined or emptied, and
    ``at_once`` so many of those that stand in for each other may be down at a time. Raises
    ``Refused`` with everything that is wrong with the words.
    """
    read = Reader("", words)
    goal, at_most = _goal(read), read.take("at_most", count, NO_COUNT)
    made = Wishes(goal, names, called, at_most, read.take("at_once", at_once, AS_IT_IS))
    return accepted(read.done(made, FORMER))


def wanted(words: Mapping[object, object], path: str = "") -> Goal:
    """The goal that these words ask for, of a VM that is still to be named.

    They are ``target`` and the policies of ``Goal``, and ``allow_data_loss`` is true or false.
    Raises ``Refused`` with everything that is wrong with them, below *path*.
    """
    read = Reader(path, words)
    return accepted(read.done(_goal(read), FORMER))


def _target(path: str, raw: object) -> Checked[Target]:
    """A target; for YAML 1.1 the word ``off`` is a boolean (https://yaml.org/type/bool.html)."""
    return one_of("target", Target)(path, str(Target.OFF) if raw is False else raw)


def _goal(read: Reader) -> Goal:
    loss = read.take("allow_data_loss", boolean, False)
    return Goal(
        name="",
        target=read.take("target", _target, Target.DECLARED),
        restart=read.take("restart", one_of("restart policy", Restart), Restart.IF_NEEDED),
        power_off=read.take("power_off", one_of("way to power off", PowerOff), PowerOff.SHUTDOWN),
        by_hand=read.take("by_hand", one_of("policy for lines added by hand", ByHand), ByHand.KEPT),
        max_impact=read.take("max_impact", one_of("impact", Impact), Impact.DATA_LOSS),
        data_loss=DataLoss.ALLOWED if loss else DataLoss.REFUSED,
    )


def names_in(raw: object) -> tuple[str, ...]:
    """The VMs that are named in a list, or in a text with commas; None means all of them.

    Raises ``Refused`` if nothing is named: that is a mistake, and must not become all of them.
    """
    if raw is None:
        return ()
    given = [name.strip() for name in raw.split(",")] if isinstance(raw, str) else raw
    names = accepted(fields.each(fields.vm_name)("vms", given))
    if not names:
        raise Refused("vms: is empty: leave it out to mean every declared VM")
    return names


def goal_for(goal: Goal, name: str, config: HostConfig, have: Observation, raw: Raw | None) -> Goal:
    """*goal* for one VM: as it is declared (by *raw*, else *config*), else as it is defined."""
    if name in config.gone and goal.target.takes_spec:
        raise Refused(f"{name}: is to be {config.gone[name]}: remove it from gone first")
    if name in config.unclear and goal.target.takes_spec:
        raise Refused(
            f"{name}: it is not clear whether it should be removed: {config.unclear[name]}"
        )
    if not goal.target.takes_spec and raw is None:  # a wrong one must not stand in the way
        return replace(goal, name=name, spec=have.recorded)
    spec = spec_for(goal.target, name, config, have, raw)
    return replace(goal, name=name, spec=spec or have.recorded)


def spec_for(
    target: Target, name: str, config: HostConfig, have: Observation, raw: Raw | None
) -> VMSpec | None:
    """As one VM is declared, with what its image says; None if it is not declared."""
    spec = declared(config, name, raw)
    if spec is None or spec.init is not Init.NONE:
        return spec
    is_refilled = target is Target.REINITIALISED or have.volume(spec.root.pool, ROOT) is None
    return programs.with_image(config, spec, None if is_refilled else have.recorded)


def goals(
    wishes: Wishes, config: HostConfig, seen: Mapping[str, Observation]
) -> tuple[tuple[Goal, ...], Refusals]:
    """The goal of every VM that has one; and what is wrong with each of the others, by its name.

    That all be off or locked is no wish for those that are not there; and those that are to be gone
    have goals of their own, see ``leaving``. ``Refused`` if a name is that of no VM.
    """
    if not wishes.names and wishes.called in {*config.known, *seen}:
        raise Refused(_is_a_vm(wishes.called))
    _check_known(wishes, config, seen)
    found: list[Goal] = []
    wrong: Refusals = {} if wishes.names else _misnamed(config)
    goal = replace(wishes.goal, asked=wishes.asked)
    there = seen if goal.target.is_for_those_there else config.vms
    unclear = config.unclear.keys() & seen if goal.target.is_of_all else ()
    names = wishes.names or [*(name for name in config.vms if name in there), *sorted(unclear)]
    for name in dict.fromkeys(names):
        if is_leaving(wishes, name, config):
            continue
        try:
            found.append(goal_by_name(goal, name, config, seen))
        except Refused as refused:
            wrong[name] = refused.found
    return tuple(found), wrong


def _misnamed(config: HostConfig) -> Refusals:
    """Why each entry that can be no VM has no part in a plan for all of them."""
    return {name: (problem_of(why),) for name, why in config.misnamed.items()}


def _check_known(wishes: Wishes, config: HostConfig, seen: Mapping[str, Observation]) -> None:
    """Raise ``Refused`` with every name that is none, or that nobody knows: they were mistyped."""
    problems = [
        problem
        for name in dict.fromkeys(wishes.names)
        if not is_leaving(wishes, name, config)
        for problem in _unknown(wishes.goal, name, config, seen)
    ]
    if problems:
        raise Refused(*problems)


def _unknown(
    goal: Goal, name: str, config: HostConfig, seen: Mapping[str, Observation]
) -> Problems:
    wrong = problems_of(fields.vm_name("name", name))
    if wrong or goal.target.is_met_by_none or name in config.vms or name in seen:
        return wrong
    return (unknown("name", "VM", name, {*config.vms, *seen}),)


def _is_a_vm(name: str) -> Problem:
    why = f"{name!r} is the name of a VM, and this is about all VMs of the host"
    return Problem("name", f"{why}: say vms: [{name}] to mean that VM, or use another id")


def is_leaving(wishes: Wishes, name: str, config: HostConfig) -> bool:
    """Whether the wish is for what is described, and that is that the VM be gone."""
    return wishes.goal.target.is_of_all and name in config.gone


def leaving(
    wishes: Wishes, config: HostConfig, seen: Mapping[str, Observation]
) -> tuple[Goal, ...]:
    """The goals of the VMs that are to be gone: they are named. What is not there is gone."""
    return tuple(
        replace(wishes.goal, name=name, target=LEAVES_BY[end], spec=seen[name].recorded)
        for name, end in config.gone.items()
        if name in (wishes.names or seen) and name in seen and is_leaving(wishes, name, config)
    )


def in_groups(wanted: Iterable[Goal], config: HostConfig) -> list[Goal]:
    """The same goals, each with the group of VMs that its VM stands in for."""
    of_vms = groups_of(config)
    return [replace(goal, group=of_vms.get(goal.name, "")) for goal in wanted]


def groups_of(config: HostConfig) -> dict[str, str]:
    """The group of each declared VM that others stand in for."""
    of_all = {name: _group(config, name) for name in config.vms}
    return {name: group for name, group in of_all.items() if group}


def _group(config: HostConfig, name: str) -> str:
    said, label = config.vms[name], config.policy.by_label
    if label is not None:
        value = _label(config, name, label)
        return "" if value is None else f"label {label}={value}"
    profile = said.get("profile") if isinstance(said, Mapping) else None
    names = profile if isinstance(profile, list) else [profile]
    return f"profile {', '.join(map(str, names))}" if profile else ""


def _label(config: HostConfig, name: str, label: str) -> str | None:
    """Its value, if the VM has it; of one whose description is wrong, nothing is known."""
    try:
        spec = declared(config, name)
    except Refused:
        return None
    return dict(spec.labels).get(label) if spec else None


def goal_by_name(
    goal: Goal,
    name: str,
    config: HostConfig,
    seen: Mapping[str, Observation],
    raw: Raw | None = None,
) -> Goal:
    """*goal* for the VM *name*; refused if nobody knows it, unless it should be gone anyway."""
    accepted(fields.vm_name("name", name))
    wrong = _unknown(goal, name, config, seen) if raw is None else ()
    if wrong:
        raise Refused(*wrong)
    return goal_for(goal, name, config, seen.get(name, Observation()), raw)
