"""Plans for what people ask for: a lifecycle verb, or a target, for a VM by its name."""

from collections.abc import Mapping
from typing import TypeAlias, TypeVar

from returns.result import Failure, Success

from geats_core.actions import Impact
from geats_core.checked import unknown
from geats_core.fields import Parser, boolean, one_of
from geats_core.observation import Observation
from geats_core.plan import ByHand, DataLoss, Goal, PowerOff, Restart, Target
from geats_core.verbs import VERBS, SpecFrom, goal_of
from geats_host.errors import Refused
from geats_host.host import Host, Planned

Raw: TypeAlias = Mapping[object, object]
T = TypeVar("T")


def plan_verb(
    host: Host, verb: str, name: str, raw: Raw | None = None, allow_data_loss: object = False
) -> Planned:
    """The plan for a lifecycle verb (a key of ``VERBS``); *raw* is a spec in place of the pillar's.

    Raises ``Refused`` on bad input, and where there is no such plan.
    """
    data_loss = _data_loss(allow_data_loss)
    have = host.known(name) if raw is None else host.observe(name)
    if verb not in VERBS:
        raise Refused(unknown("verb", "verb", verb, VERBS))
    as_defined = VERBS[verb].spec_from is SpecFrom.DEFINED and have.recorded is not None
    needless = raw is None and (as_defined or VERBS[verb].target in WITHOUT_SPEC)
    declared = None if needless else host.declared(name, raw)
    match goal_of(VERBS[verb], name, declared, have, data_loss):
        case Success(goal):
            return host.plan(goal, have)
        case Failure(problems):
            raise Refused(*problems)


def plan_to(
    host: Host,
    name: str,
    target: object = Target.RUNNING,
    raw: Raw | None = None,
    *,
    restart: object = Restart.IF_NEEDED,
    power_off: object = PowerOff.SHUTDOWN,
    by_hand: object = ByHand.KEPT,
    max_impact: object = str(Impact.DATA_LOSS),
    allow_data_loss: object = False,
) -> Planned:
    """The plan that brings a VM to *target* as it is declared (by *raw*, else in the pillar).

    A VM that is not declared is taken as it is defined. Words are those of ``Target``, ``Restart``,
    ``PowerOff``, ``ByHand`` and ``Impact``. Raises ``Refused`` on bad input, and where there is no
    such plan.
    """
    wanted = _word("target", one_of("target", Target), target)
    have = _have(host, name, wanted, raw)
    needless = wanted in WITHOUT_SPEC and raw is None  # a wrong one must not stand in the way
    goal = Goal(
        name=name,
        target=wanted,
        spec=have.recorded if needless else host.declared(name, raw) or have.recorded,
        restart=_word("restart", one_of("restart policy", Restart), restart),
        power_off=_word("power_off", one_of("way to power off", PowerOff), power_off),
        by_hand=_word("by_hand", one_of("policy for lines added by hand", ByHand), by_hand),
        max_impact=_word("max_impact", one_of("impact", Impact), max_impact),
        data_loss=_data_loss(allow_data_loss),
    )
    return host.plan(goal, have)


def validate(host: Host, name: str | None = None, raw: Raw | None = None) -> dict[str, list[str]]:
    """Everything that is wrong with the spec of one VM, or of all that are declared, by name."""
    if name is None:
        return {each: _problems(host, each, None) for each in sorted(host.config.vms)}
    _ = host.known(name) if raw is None else host.observe(name)  # refuses a name that is none
    return {name: _problems(host, name, raw)}


def _problems(host: Host, name: str, raw: Raw | None) -> list[str]:
    try:
        spec = host.declared(name, raw)
        if spec is not None:
            host.plan(Goal(name=name, target=Target.DEFINED, spec=spec), Observation())
    except Refused as refused:
        return list(refused.problems)
    return []


WITHOUT_SPEC = frozenset(
    {Target.OFF, Target.UNDEFINED, Target.DEPROVISIONED, Target.LOCKED, Target.UNLOCKED}
)
GONE = frozenset({Target.UNDEFINED, Target.DEPROVISIONED, Target.UNLOCKED})


def _have(host: Host, name: str, target: Target, raw: Raw | None) -> Observation:
    """What the VM is now; one that nobody knows is refused, unless it should be gone anyway."""
    if raw is not None or target in GONE:
        return host.observe(name)
    return host.known(name)


def _data_loss(allowed: object) -> DataLoss:
    return DataLoss.ALLOWED if _word("allow_data_loss", boolean, allowed) else DataLoss.REFUSED


def _word(path: str, parse: Parser[T], raw: object) -> T:
    match parse(path, raw):
        case Success(value):
            return value
        case Failure(problems):
            raise Refused(*problems)
