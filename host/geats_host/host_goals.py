"""What VMs should be, and the plan for several: on this host, or on one that was recorded."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TypeAlias

from returns.result import Failure

from geats_core import fields
from geats_core.actions import Impact
from geats_core.checked import Problem, unknown
from geats_core.config import HostConfig, Raw
from geats_core.fields import Reader, boolean, one_of
from geats_core.host_plan import plan_host
from geats_core.host_policy import HostPolicy
from geats_core.mounts import DEFAULT_POOL
from geats_core.observation import Observation
from geats_core.parse import parse_vm
from geats_core.plan import ByHand, DataLoss, Goal, HostFacts, PowerOff, Restart, Target
from geats_core.reader import FORMER
from geats_core.saved import Recorded, SavedPlan, saved
from geats_core.spec import VMSpec
from geats_core.upgrades import with_upgrade
from geats_host.errors import Refused, accepted
from geats_host.plugins import DEFAULT_DRIVERS

Refusals: TypeAlias = dict[str, tuple[str, ...]]  # by the name of the VM

WITHOUT_SPEC = frozenset(
    {Target.OFF, Target.UNDEFINED, Target.DEPROVISIONED, Target.LOCKED, Target.UNLOCKED}
)
NEEDS_ONE = frozenset({Target.OFF, Target.LOCKED})
GONE = frozenset({Target.UNDEFINED, Target.DEPROVISIONED, Target.UNLOCKED})


class Scope(Enum):
    """What a plan is about: the whole host, with its strays; or some VMs of it."""

    HOST = auto()
    SOME = auto()


@dataclass(frozen=True, slots=True)
class Wishes:
    """A plan for several VMs: for those named, else all that are declared; and on which terms.

    ``goal`` is that of every VM, which is still to be named. ``called`` is what a person calls a
    plan for the whole host: who gives it a VM's name means that VM.
    """

    goal: Goal
    names: tuple[str, ...] = ()
    called: str = ""

    @property
    def scope(self) -> Scope:
        """A plan in which VMs are named is about no other."""
        return Scope.SOME if self.names else Scope.HOST


def wanted(words: Mapping[object, object], path: str = "") -> Goal:
    """The goal that these words ask for, of a VM that is still to be named.

    They are ``target`` and the policies of ``Goal``, and ``allow_data_loss`` is true or false.
    Raises ``Refused`` with everything that is wrong with them, below *path*.
    """
    read = Reader(path, words)
    loss = read.take("allow_data_loss", boolean, False)
    goal = Goal(
        name="",
        target=read.take("target", one_of("target", Target), Target.RUNNING),
        restart=read.take("restart", one_of("restart policy", Restart), Restart.IF_NEEDED),
        power_off=read.take("power_off", one_of("way to power off", PowerOff), PowerOff.SHUTDOWN),
        by_hand=read.take("by_hand", one_of("policy for lines added by hand", ByHand), ByHand.KEPT),
        max_impact=read.take("max_impact", one_of("impact", Impact), Impact.DATA_LOSS),
        data_loss=DataLoss.ALLOWED if loss else DataLoss.REFUSED,
    )
    return accepted(read.done(goal, FORMER))


def names_in(raw: object) -> tuple[str, ...]:
    """The VMs that are named in a list, or in a text with commas; None means all of them.

    Raises ``Refused`` where nothing is named: that is a mistake, and must not become all of them.
    """
    if raw is None:
        return ()
    given = [name.strip() for name in raw.split(",")] if isinstance(raw, str) else raw
    names = accepted(fields.each(fields.name)("vms", given))
    if not names:
        raise Refused("vms: is empty: leave it out to mean every VM that is declared")
    return names


def declared(config: HostConfig, name: str, raw: Raw | None = None) -> VMSpec | None:
    """What *raw*, else the configuration, says of the VM; None where neither says anything."""
    if raw is None and name not in config.vms:
        return None
    said = config.vms[name] if raw is None else raw
    match parse_vm(name, said, config.profiles):
        case Failure(problems) if raw is not None and name in config.vms:
            alone = Problem("", f"these arguments are all of it: vms.{name} is not added to them")
            return accepted(Failure((*problems, alone)), name)
        case checked:
            return accepted(checked, name)


def goal_for(goal: Goal, name: str, config: HostConfig, have: Observation, raw: Raw | None) -> Goal:
    """*goal* for one VM: as it is declared (by *raw*, else *config*), else as it is defined."""
    if goal.target in WITHOUT_SPEC and raw is None:  # a wrong one must not stand in the way
        return replace(goal, name=name, spec=have.recorded)
    return replace(goal, name=name, spec=declared(config, name, raw) or have.recorded)


def goals(wishes: Wishes, config: HostConfig, seen: Mapping[str, Observation]) -> tuple[Goal, ...]:
    """The goal of every VM; refused with all that is wrong with any of them.

    That all be off or locked is no wish for those that are not there.
    """
    if not wishes.names and wishes.called in {*config.vms, *seen}:
        raise Refused(_is_a_vm(wishes.called))
    found: list[Goal] = []
    problems: list[str] = []
    there = seen if wishes.goal.target in NEEDS_ONE else config.vms
    for name in dict.fromkeys(wishes.names or [name for name in config.vms if name in there]):
        try:
            found.append(named(wishes.goal, name, config, seen))
        except Refused as refused:
            problems += refused.problems
    if problems:
        raise Refused(*problems)
    return tuple(found)


def _is_a_vm(name: str) -> Problem:
    why = f"{name!r} is the name of a VM, and this is about all VMs of the host"
    return Problem("name", f"{why}: say vms: [{name}] to mean that one, or call it otherwise")


def named(
    goal: Goal,
    name: str,
    config: HostConfig,
    seen: Mapping[str, Observation],
    raw: Raw | None = None,
) -> Goal:
    """*goal* for the VM *name*; refused where nobody knows it, unless it should be gone anyway."""
    accepted(fields.name("name", name))
    if raw is None and goal.target not in GONE and name not in {*config.vms, *seen}:
        raise Refused(unknown("name", "VM", name, {*config.vms, *seen}))
    return goal_for(goal, name, config, seen.get(name, Observation()), raw)


def plan_goals(
    wanted: Sequence[Goal],
    seen: Mapping[str, Observation],
    facts: HostFacts,
    policy: HostPolicy,
    scope: Scope,
) -> SavedPlan:
    """The plan for all of them, with what it must find unchanged: with Scope.SOME, only those."""
    if scope is Scope.SOME:
        facts = replace(facts, declared=facts.declared | seen.keys())
    made = accepted(plan_host(wanted, seen, facts, policy))
    about = {plan.name for plan in made.plans}
    return saved(
        with_upgrade(made, facts.upgrade),
        {name: have for name, have in seen.items() if scope is Scope.HOST or name in about},
    )


def as_many_as_can(
    wanted: Sequence[Goal], plan_all: Callable[[Sequence[Goal]], SavedPlan]
) -> tuple[SavedPlan, Refusals]:
    """The plan for as many of *wanted* as have one together, the first of them before others.

    The second answer is why each of the rest has no part in it, by the name of the VM.
    """
    kept, problems = _together(tuple(wanted), (), plan_all)
    tried = None
    while problems and kept != tried:  # one may need another that comes after it
        tried = kept
        left = tuple(goal for goal in wanted if goal not in tried)
        kept, problems = _together(left, tried, plan_all)
    return plan_all(kept), problems


def _together(
    more: tuple[Goal, ...], kept: tuple[Goal, ...], plan_all: Callable[[Sequence[Goal]], SavedPlan]
) -> tuple[tuple[Goal, ...], Refusals]:
    """*kept*, and of *more* those that go with it; and what is wrong with the others."""
    try:
        plan_all((*kept, *more))
    except Refused as refused:
        if len(more) <= 1:
            return kept, {goal.name: refused.problems for goal in more}
    else:
        return (*kept, *more), {}
    half = len(more) // 2
    kept, wrong = _together(more[:half], kept, plan_all)
    kept, also_wrong = _together(more[half:], kept, plan_all)
    return kept, {**wrong, **also_wrong}


def plan_recorded(wishes: Wishes, config: HostConfig, recorded: Recorded) -> SavedPlan:
    """The plan for a host that is elsewhere: as *config* wants it, and as it was *recorded*."""
    facts = replace(
        recorded.facts,
        drivers=frozenset(config.drivers or DEFAULT_DRIVERS),
        pools={name: recorded.facts.pool(name) for name in config.pools or (DEFAULT_POOL,)},
        templates=frozenset(config.templates),
        declared=frozenset(config.vms),
        bind_sources=frozenset(config.bind_sources),
    )
    seen = recorded.observations
    return plan_goals(goals(wishes, config, seen), seen, facts, config.policy, wishes.scope)
