"""Volumes that several VMs mount: who may, and who waits for whom.

Theory of operation
-------------------
One VM owns a volume: it is made, grown and destroyed with that VM, whose spec says that it is
``shared``. Others name it among their ``shared_volumes``. They start once it is active; and it is
not destroyed, rolled back or taken out of sharing as long as another VM mounts it, or is to.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from geats_core.hostwide.conflicts import described
from geats_core.hostwide.step_graph import Graph
from geats_core.planning.actions import (
    POWER_OFFS,
    ActivateVolume,
    DestroyVolume,
    RollbackVolume,
    Start,
)
from geats_core.planning.goal import Goal
from geats_core.planning.steps import Plan, Step
from geats_core.reading.checked import Code, Problem
from geats_core.reading.values import dataclass
from geats_core.vm.claims import running_spec
from geats_core.vm.observation import Observation
from geats_core.vm.spec import SharedVolume, VMSpec, Volume

Key: TypeAlias = tuple[str, str, str]  # the owner of a volume, its pool, and its name
Placed: TypeAlias = Iterable[tuple[Plan, range]]
NOTHING = Observation()


def wrong_sharing(
    goals: Mapping[str, Goal], observations: Mapping[str, Observation], plans: Iterable[Plan]
) -> list[Problem]:
    """Every volume that cannot be mounted, or taken away, as *goals* and *plans* have it."""
    host = _Host(goals, observations, {each.name: each.steps for each in plans})
    return [*_not_lent(host), *_still_mounted(host)]


def order_sharing(graph: Graph, specs: Mapping[str, VMSpec], host: "_Seen", placed: Placed) -> None:
    """Let VMs start after what they mount is active, and let it go after they are off."""
    mounted_by = mounting(host)
    activated: dict[Key, int] = {}
    for plan, numbers in placed:
        for number, step in zip(numbers, plan.steps, strict=True):
            match step.action:
                case ActivateVolume(pool, volume):
                    activated[plan.name, pool, volume] = number
                case DestroyVolume(pool, volume) | RollbackVolume(pool, volume, _):
                    for vm in mounted_by.get((plan.name, pool, volume), ()):
                        if vm in graph.stops:
                            graph.need(number, graph.stops[vm])
                case _:
                    pass
    for vm, start in graph.starts.items():
        for each in specs[vm].shared_volumes if vm in specs else ():
            if each.key in activated:
                graph.take(start, activated[each.key])


_Seen: TypeAlias = Mapping[str, Observation]


@dataclass(frozen=True, slots=True)
class _Host:
    """What there is, and what is to be."""

    goals: Mapping[str, Goal]
    observations: _Seen
    steps: Mapping[str, tuple[Step, ...]]

    def names(self) -> Iterable[str]:
        return dict.fromkeys([*self.goals, *self.observations])

    def have(self, vm: str) -> Observation:
        return self.observations.get(vm, NOTHING)

    def wanted(self, vm: str) -> VMSpec | None:
        """What the VM is described as by its goal."""
        return described(self.goals[vm]) if vm in self.goals else None

    def at_end(self, vm: str) -> VMSpec | None:
        """What the VM is defined as once its goal is reached."""
        if vm in self.goals and self.goals[vm].target.is_gone:
            return None
        return self.wanted(vm) or self.have(vm).recorded

    def does(self, vm: str, *kinds: type) -> bool:
        return any(isinstance(step.action, kinds) for step in self.steps.get(vm, ()))

    def is_active_at_end(self, vm: str, pool: str, volume: str) -> bool:
        seen = self.have(vm).volume(pool, volume)
        activation = ActivateVolume(pool, volume)
        return any(step.action == activation for step in self.steps.get(vm, ())) or (
            seen is not None and seen.active
        )

    def takes_away(self, vm: str, pool: str, volume: str) -> bool:
        return any(
            isinstance(step.action, DestroyVolume | RollbackVolume)
            and (step.action.pool, step.action.volume) == (pool, volume)
            for step in self.steps.get(vm, ())
        )


def _not_lent(host: _Host) -> Iterator[Problem]:
    """What VMs are to mount, and cannot."""
    for spec in filter(None, map(host.wanted, host.goals)):
        for each in spec.shared_volumes:
            why = _why_not(host, spec, each)
            if why:
                yield Problem(f"{spec.name}.shared_volumes.{each.name}", why, Code.REFUSED)


def _why_not(host: _Host, spec: VMSpec, each: SharedVolume) -> str:
    """Why the VM of *spec* cannot mount it; empty if it can."""
    why = _why_not_of(host.at_end(each.vm), spec, each)
    if why or not host.does(spec.name, Start) or host.is_active_at_end(*each.key):
        return why
    return f"{each} is not active: start or provision {each.vm} first"


def _why_not_of(owner: VMSpec | None, spec: VMSpec, each: SharedVolume) -> str:
    if owner is None:
        return f"{each.vm} is not defined, or will not be"
    volume = _volume(owner, each.volume)
    if volume is None:
        return f"{owner.name} has no volume {each.volume!r}"
    if volume.pool != each.pool:
        return f"{each} is in the pool {volume.pool!r}, not in {each.pool!r}"
    if not volume.shared:
        return f"{each} is not shared by {owner.name}"
    if volume.read_only and not each.read_only:
        return f"{each} is read-only in {owner.name}, and so can only be mounted read-only"
    if owner.privileged is not spec.privileged:
        return f"{owner.name} and {spec.name} must be both privileged or neither: ids in {each}"
    return ""


def _volume(spec: VMSpec, name: str) -> Volume | None:
    return next((volume for volume in spec.volumes if volume.name == name), None)


def _still_mounted(host: _Host) -> Iterator[Problem]:
    """What owners are to take away from VMs that mount it, or are to."""
    for spec in filter(None, map(host.at_end, host.names())):
        for each in spec.shared_volumes:
            if host.takes_away(*each.key):
                yield _problem(each, f"is mounted by {spec.name}, and so its data stays as it is")
            elif spec.name not in host.goals and (why := _why_no_longer(host, spec, each)):
                yield _problem(
                    each, (f"is mounted by {spec.name}, which then could not mount it: {why}")
                )
    for vm, have in host.observations.items():
        for each in _mounted(have):
            if host.takes_away(*each.key) and not host.does(vm, *POWER_OFFS):
                yield _problem(each, f"is in use by {vm}, which is on")


def _problem(each: SharedVolume, why: str) -> Problem:
    return Problem(f"{each.vm}.volumes[{each.volume}]", why, Code.REFUSED)


def _why_no_longer(host: _Host, spec: VMSpec, each: SharedVolume) -> str:
    """Why the VM of *spec* can no longer mount it; empty if it can, or never could."""
    never_could = _why_not_of(host.have(each.vm).recorded, spec, each)
    return "" if never_could else _why_not_of(host.at_end(each.vm), spec, each)


def mounting(host: _Seen) -> Mapping[Key, list[str]]:
    """By volume, the VMs that are on, and mount it."""
    found: dict[Key, list[str]] = defaultdict(list)
    for vm, have in host.items():
        for each in _mounted(have):
            found[each.key].append(vm)
    return found


def _mounted(have: Observation) -> tuple[SharedVolume, ...]:
    running = running_spec(have)
    return running.shared_volumes if running else ()
