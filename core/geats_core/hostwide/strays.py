"""VMs on a host that nobody described, and what to do with them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from geats_core.deciding.only_named import too_few_declared
from geats_core.declared.policy import HostPolicy, Strays
from geats_core.planning.goal import Goal, Target
from geats_core.reading.checked import some_of
from geats_core.reading.fields import VM_NAME
from geats_core.reading.values import dataclass
from geats_core.vm.observation import Observation, Power

NO_NAME = "no VM can be called so: geats adopt NAME --as NEW, once it is off, gives it another name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stray:
    """A VM on the host that nobody declared; ``defined`` says whether geats once defined it.

    If the policy is to stop it, but it is left alone, ``left_alone`` says why.
    """

    name: str
    power: Power
    defined: bool
    policy: Strays
    left_alone: str = ""


def strays_among(
    observations: Mapping[str, Observation], declared: Collection[str], policy: HostPolicy
) -> tuple[Stray, ...]:
    """The VMs of *observations* that are not *declared*, except those that the policy ignores.

    A VM that geats defined is never stopped because its description is gone: name it to remove it.
    Others are stopped if the policy says so and if there are not too many.
    """
    found = [
        Stray(
            name=name,
            power=have.power,
            defined=have.was_described,
            policy=policy.on_stray(name),
        )
        for name, have in observations.items()
        if name not in declared and have.exists
    ]
    kept = [stray for stray in found if stray.policy is not Strays.IGNORE]
    why = _why_none(kept, observations, declared, policy)
    return tuple(_left_alone(stray, why) if _to_stop(stray) else stray for stray in kept)


def stray_goals(strays: Iterable[Stray]) -> list[Goal]:
    """Those that are stopped: their number was looked at, as if somebody had named them."""
    return [
        Goal(name=stray.name, target=Target.OFF, foreign=True)
        for stray in strays
        if _to_stop(stray) and not stray.left_alone
    ]


def left_alone(strays: Iterable[Stray]) -> list[str]:
    """Which strays are left alone that the policy would stop, and why."""
    by_reason: dict[str, list[str]] = {}
    for stray in strays:
        if stray.left_alone:
            by_reason.setdefault(stray.left_alone, []).append(stray.name)
    return [
        f"{some_of(names)}: left alone, although the policy is to stop strays: {why}"
        for why, names in by_reason.items()
    ]


def _to_stop(stray: Stray) -> bool:
    return stray.policy is Strays.STOP and stray.power is not Power.STOPPED


def _left_alone(stray: Stray, why_none: str) -> Stray:
    if not VM_NAME.fullmatch(stray.name):
        return replace(stray, left_alone=NO_NAME)
    gone = (
        "the description is gone, which is not a request to stop: describe it again, or write "
        "gone: {NAME: stopped}"
    )
    return replace(stray, left_alone=gone if stray.defined else why_none)


def _why_none(
    strays: Sequence[Stray],
    observations: Mapping[str, Observation],
    declared: Collection[str],
    policy: HostPolicy,
) -> str:
    """Why no stray is stopped whose description is not gone; empty if they are."""
    few = too_few_declared(observations, declared)
    if few:
        return few
    count = sum(_to_stop(stray) and not stray.defined for stray in strays)
    if count <= policy.at_most:
        return ""
    return (
        f"{count} strays would be stopped although nobody named them, and at_most "
        f"{policy.at_most} may be: write gone: {{NAME: stopped}}, or at_most: {count}"
    )
