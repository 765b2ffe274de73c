"""Which VMs of a host may be on another one, and as what."""

from returns.result import Failure, Success

from geats_core.fleet.placement import Candidate
from geats_core.planning.goal import Goal, Target
from geats_core.reading.checked import Checked, Code, problem
from geats_core.vm.observation import Observation, Power
from geats_core.vm.unseen import unreliable_parts


def largest_first(host: Candidate) -> list[tuple[str, Goal | None]]:
    """The VMs of a host, by the memory that their specs ask for, and what each is to be elsewhere.

    None stands for one that has to stay.
    """
    wanted = {goal.name: goal for goal in reversed(host.goals) if goal.spec is not None}
    goals = {name: _movable(name, host, wanted.get(name)).value_or(None) for name in host.vms}
    sizes = {
        name: goal.spec.limits.memory_bytes or 0 if goal and goal.spec else 0
        for name, goal in goals.items()
    }
    return sorted(goals.items(), key=lambda each: (-sizes[each[0]], each[0]))


def movable(name: str, host: Candidate) -> Checked[Goal]:
    """The goal of the VM on another host: its goal here, or else its current state."""
    goals = (goal for goal in host.goals if goal.name == name and goal.spec is not None)
    return _movable(name, host, next(goals, None))


def _movable(name: str, host: Candidate, wanted: Goal | None) -> Checked[Goal]:
    have = host.observations.get(name, Observation())
    if have.locked:
        return problem(name, "is locked, and so stays where it is", Code.LOCKED)
    if wanted is not None:
        return Success(wanted)
    found = tuple(unreliable_parts(name, have))
    if found:
        return Failure(found)
    if have.recorded is None:
        return problem(name, "is not managed by geats, so it cannot be moved", Code.REFUSED)
    if have.copy_of:
        return problem(name, f"is an unfinished copy of {have.copy_of}", Code.REFUSED)
    is_off = have.power is Power.STOPPED and not have.to_run
    target = Target.PROVISIONED if is_off else Target.RUNNING
    return Success(Goal(name=name, target=target, spec=have.recorded))
