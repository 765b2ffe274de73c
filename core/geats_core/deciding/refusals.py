"""Why a goal has no plan, all reasons at once.

A VM needs its driver for everything, and its pools if its volumes matter. To power it off, no pool
is needed. If a pool cannot be looked at, its content is not known, and never treated as missing.
Nothing is made in a pool or driver that is not the one that the host recorded.
"""

from collections.abc import Iterable

from geats_core.deciding.abilities import Named, impossible, makes_root, unknown_names
from geats_core.deciding.losses import losses, outdated_volumes, torn_down
from geats_core.planning.actions import Start
from geats_core.planning.goal import Goal, Restart, Target
from geats_core.planning.host_facts import HostFacts
from geats_core.planning.steps import Plan
from geats_core.reading.checked import Code, Problem, Problems, within
from geats_core.vm.claims import would_forget
from geats_core.vm.guest_files import guest_digest
from geats_core.vm.observation import Observation, Power, Stage, VolumeSeen
from geats_core.vm.spec import ROOT, VMSpec
from geats_core.vm.unseen import (
    TEMPLATES,
    two_of_a_name,
    unavailable,
    unreliable_parts,
    without_driver,
    without_pools,
)


def refusals(goal: Goal, want: VMSpec, have: Observation, facts: HostFacts) -> Problems:
    """Every reason not to bring *have* to *want*, with paths into the VM's spec."""
    described = [spec for spec in (want, have.recorded, have.defined) if spec]
    without = [*without_driver(described, facts.unavailable)]
    found = [
        *impossible(goal, want, have, facts),
        *_disabled(goal, want),
        *without,
        *without_pools(described, facts.unavailable),
        *_without_template(goal, want, have, facts),
        *_another_driver(want, have),
        *losses(goal, want, have, facts),
        *_unfinished_copy(goal, have),
        *_amid_a_move(goal.name, want, have),
        *_of_another_host(goal, want, have, facts),
        *(() if without else _stuck(goal, want, have)),  # nobody knows then
        *(() if without else _forgotten(goal, want, have)),
    ]
    return within(goal.name, found)


def _disabled(goal: Goal, want: VMSpec) -> Iterable[Problem]:
    """Nothing starts a VM of which somebody wrote that it is not to run."""
    if not want.enabled and (goal.target.is_on or goal.target is Target.REBOOTED):
        message = "is false, and so nothing starts it: take that out, and apply it, to have it on"
        yield Problem("enabled", message, Code.REFUSED)


def foreign(goal: Goal, have: Observation) -> Problems:
    """Nothing is done to a VM that geats did not make, unless the goal allows it."""
    if not have.foreign or goal.foreign:
        return ()
    message = (
        "there is a VM of this name on the host that geats did not make: it is left alone until it"
        " is adopted"
    )
    return (Problem(goal.name, message, Code.REFUSED),)


def elsewhere(goal: Goal, have: Observation, facts: HostFacts) -> Problems:
    """A VM that exists on this host, but not where the configuration looks, is neither recreated
    nor gone.

    If there is also one if the configuration looks, that one counts.
    """
    where = facts.elsewhere.get(goal.name)
    if where is None or have.defined is not None or have.power is not Power.STOPPED:
        return ()
    message = (
        f"is on this host already, {where}, and this configuration does not look there: has it "
        "lost state_dir or options of drivers? Put them back. If you no longer want that VM, "
        "remove it with the configuration that has them"
    )
    return (Problem(goal.name, message, Code.REFUSED),)


def unreliable(goal: Goal, have: Observation) -> Problems:
    """A VM that cannot be relied on is left alone, except that it can be powered off and defined
    again."""
    if have.drivers:
        return tuple(two_of_a_name(goal.name, have))
    if goal.target in (Target.OFF, Target.LOCKED, Target.UNLOCKED):
        return ()
    anew = goal.target is Target.DEFINED and goal.spec is not None
    return tuple(
        each for each in unreliable_parts(goal.name, have) if not (anew and each.path == goal.name)
    )


def undefined(name: str, have: Observation) -> Iterable[Problem]:
    """Why there is no usable definition; empty if there is one."""
    found = tuple(unreliable_parts(name, have))
    if not found and have.recorded is None and not have.foreign:
        found = (Problem(name, "is not defined", Code.REFUSED),)
    yield from found


def out_of_reach(goal: Goal, have: Observation, facts: HostFacts) -> Problems:
    """A VM is not taken away without its driver, nor its volumes without their pools."""
    known = have.recorded
    if known is None:
        return ()
    wanted: list[Named] = [("driver", "driver", known.driver, facts.drivers)]
    away: list[Problem] = []
    if torn_down(goal, have):
        wanted += [(f"volumes[{v.name}].pool", "pool", v.pool, facts.pools) for v in known.volumes]
        away = [*without_pools([known], facts.unavailable)]
    unseen = without_driver([known], facts.unavailable)
    return within(goal.name, [*unknown_names(wanted), *unseen, *away])


def only_while_off(name: str, have: Observation, facts: HostFacts) -> Problems:
    """A volume that nobody else may look at while its VM is on is left alone until it is off."""
    if have.power is Power.STOPPED:
        return ()
    return tuple(
        Problem(
            f"{name}.volumes[{seen.name}]",
            f"is in use, and the pool {seen.pool!r} can do this only while the VM is off",
            Code.REFUSED,
        )
        for seen in have.volumes
        if not facts.pool(seen.pool).works_online
    )


def _of_another_host(
    goal: Goal, want: VMSpec, have: Observation, facts: HostFacts
) -> Iterable[Problem]:
    """A VM that another host has in a shared pool is not made a second time there."""
    if not goal.target.takes_spec or goal.target is Target.DEFINED:
        return
    for volume in want.volumes:
        host = facts.pool(volume.pool).elsewhere.get(goal.name)
        if host is not None and have.volume(volume.pool, volume.name) is None:
            why = f"is shared, and {host} has {goal.name} there: move it here"
            advice = "(salt-run geats.migrate, geats fetch), or give this VM another name"
            path = f"volumes[{volume.name}].pool"
            yield Problem(path, f"{volume.pool!r} {why} {advice}", Code.CONFLICT)


def _without_template(
    goal: Goal, want: VMSpec, have: Observation, facts: HostFacts
) -> Iterable[Problem]:
    """A root that is to be made needs its template; one that is there does not."""
    if not makes_root(goal, want, have):
        return
    if why := unavailable(TEMPLATES, want.template, facts.unavailable):
        yield Problem("template", why, Code.UNAVAILABLE)


def without_start(goal: Goal, made: Plan, have: Observation, facts: HostFacts) -> Iterable[Problem]:
    """Nothing is made or powered off for a start that would fail on this host."""
    if goal.spec is None or not any(isinstance(step.action, Start) for step in made.steps):
        return
    no = facts.driver(goal.spec.driver).no_start
    can = no is None or any(no.unless and line.startswith(no.unless) for line in have.by_hand)
    if no is not None and not can:
        message = f"the driver {goal.spec.driver!r} can start no VM now: {no.why}"
        yield Problem(f"{goal.name}.driver", message, Code.UNAVAILABLE)


def _another_driver(want: VMSpec, have: Observation) -> Iterable[Problem]:
    for spec in (have.recorded, have.defined):
        if spec is not None and spec.driver != want.driver:
            yield Problem(
                "driver",
                f"cannot change from {spec.driver!r} to {want.driver!r}: deprovision the VM first",
                Code.REFUSED,
            )
            return


def _unfinished_copy(goal: Goal, have: Observation) -> Iterable[Problem]:
    """What is to be a copy gets nothing from its template, and is not started half-copied."""
    if have.copy_of and goal.target is not Target.DEFINED:
        advice = "repeat the command that makes it, or deprovision it"
        message = f"is an unfinished copy of {have.copy_of}: {advice}"
        yield Problem("volumes", message, Code.REFUSED)


def left_of_move(name: str, seen: VolumeSeen, have: Observation) -> Problem:
    """What can be done about *seen*, which an interrupted move left."""
    path, move = f"volumes[{seen.name}]", f"geats move-volume {name} {seen.name} --to"
    counts = _pools(have.recorded).get(seen.name, seen.pool)
    advice = (
        f"declare the pool that it is whole in, or destroy the copy: geats volumes remove {name} "
        f"{seen.name} --pool {seen.pool}"
        if counts == seen.pool
        else f"{move} {counts} keeps it in pool {counts}, {move} {seen.pool} moves it there"
    )
    message = f"an interrupted move left a copy of it in pool {seen.pool}, which may not be whole"
    return Problem(path, f"{message}: {advice}", Code.REFUSED)


def _amid_a_move(name: str, want: VMSpec, have: Observation) -> Iterable[Problem]:
    """While a volume moves, nothing but the move changes its pool, or takes it out of the VM."""
    wanted, counting = _pools(want), _pools(have.recorded)
    for seen in have.volumes:
        pool, counts = wanted.get(seen.name), counting.get(seen.name, seen.pool)
        is_changed = pool == seen.pool if counts == seen.pool else pool != counts
        if seen.is_moving and is_changed:
            yield left_of_move(name, seen, have)


def _pools(spec: VMSpec | None) -> dict[str, str]:
    return {volume.name: volume.pool for volume in spec.volumes} if spec else {}


def _stuck(goal: Goal, want: VMSpec, have: Observation) -> Iterable[Problem]:
    """Neither what keeps a VM on, nor what leaves its power as it is, ends a stuck monitor."""
    never = goal.target.is_on and goal.restart is Restart.NEVER
    unmade = goal.target is Target.PROVISIONED and not _is_made(want, have)
    if have.power is Power.STUCK and (never or unmade):
        message = "its monitor is stuck, and repairing it would restart the VM"
        yield Problem("restart", message, Code.REFUSED)


def _is_made(want: VMSpec, have: Observation) -> bool:
    """Whether the root volume is as described, and nothing is left of an earlier spec."""
    root = have.volume(want.root.pool, ROOT)
    if root is None or root.stage is not Stage.INSTALLED:
        return False
    return root.guest == guest_digest(want) and not outdated_volumes(want, have)


def _forgotten(goal: Goal, want: VMSpec, have: Observation) -> Iterable[Problem]:
    """Addresses and volumes that a VM may still use are kept until it is off."""
    never = goal.target.is_on and goal.restart is Restart.NEVER
    stays_on = never or goal.target in (Target.DEFINED, Target.PROVISIONED)
    if stays_on and would_forget(want, have):
        message = (
            "it is not known what the VM was started with, and a new definition would lose "
            "track of what it may still use: restart it, or power it off first"
        )
        yield Problem("restart", message, Code.REFUSED)
