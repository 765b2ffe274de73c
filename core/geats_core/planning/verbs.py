"""The lifecycle verbs, as a table: what each one asks of the planner.

A verb acts on a VM as it is *defined*, or brings it to what is *declared*: starting a VM never
changes its definition, and never restarts it.
"""

from collections.abc import Mapping
from enum import StrEnum

from returns.result import Success

from geats_core.planning.goal import DataLoss, Goal, PowerOff, Restart, Target, declared_target
from geats_core.planning.model import ON
from geats_core.reading.checked import Checked, Code, problem
from geats_core.reading.values import dataclass
from geats_core.vm.observation import Observation, Power
from geats_core.vm.spec import VMSpec


class SpecFrom(StrEnum):
    """Which spec counts if a VM is both declared and defined."""

    DECLARED = "declared"
    DEFINED = "defined"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """One lifecycle verb; ``only_from`` are the power states in which it is allowed (all, if
    empty).

    A VM that is off and ``to_run`` counts as on.
    """

    name: str
    target: Target
    spec_from: SpecFrom
    summary: str
    power_off: PowerOff = PowerOff.SHUTDOWN
    restart: Restart = Restart.NEVER
    only_from: frozenset[Power] = frozenset()


VERBS: Mapping[str, Verb] = {
    verb.name: verb
    for verb in (
        Verb(
            name="define",
            target=Target.DEFINED,
            spec_from=SpecFrom.DECLARED,
            summary="Record the definition of the VM and give it to the driver.",
        ),
        Verb(
            name="provision",
            target=Target.PROVISIONED,
            spec_from=SpecFrom.DECLARED,
            summary="Define the VM, and create its volumes and its root filesystem.",
        ),
        Verb(
            name="start",
            target=Target.RUNNING,
            spec_from=SpecFrom.DEFINED,
            summary="Power the VM on. A VM that is only declared is provisioned first.",
        ),
        Verb(
            name="shutdown",
            target=Target.OFF,
            spec_from=SpecFrom.DEFINED,
            summary="Ask the guest to shut down; power off after its shutdown_timeout.",
        ),
        Verb(
            name="stop",
            target=Target.OFF,
            spec_from=SpecFrom.DEFINED,
            power_off=PowerOff.STOP,
            summary="Power off at once.",
        ),
        Verb(
            name="reboot",
            target=Target.REBOOTED,
            spec_from=SpecFrom.DEFINED,
            restart=Restart.IF_NEEDED,
            only_from=frozenset({*ON, Power.STUCK}),
            summary="Shut down and start again. Pending changes take effect.",
        ),
        Verb(
            name="freeze",
            target=Target.FROZEN,
            spec_from=SpecFrom.DEFINED,
            only_from=ON,
            summary="Suspend every process of a running VM.",
        ),
        Verb(
            name="unfreeze",
            target=Target.RUNNING,
            spec_from=SpecFrom.DEFINED,
            only_from=ON,
            summary="Resume the processes of a frozen VM.",
        ),
        Verb(
            name="undefine",
            target=Target.UNDEFINED,
            spec_from=SpecFrom.DEFINED,
            summary=(
                "Power off the VM and delete its definition. Its data stays, unless the VM "
                "is transient."
            ),
        ),
        Verb(
            name="deprovision",
            target=Target.DEPROVISIONED,
            spec_from=SpecFrom.DEFINED,
            summary="Undefine the VM and destroy its volumes.",
        ),
        Verb(
            name="reinit",
            target=Target.REINITIALISED,
            spec_from=SpecFrom.DECLARED,
            restart=Restart.IF_NEEDED,
            summary="Recreate the root volume from the template. Other volumes keep their data.",
        ),
        Verb(
            name="lock",
            target=Target.LOCKED,
            spec_from=SpecFrom.DEFINED,
            summary="Protect the VM from deletion and from any loss of data.",
        ),
        Verb(
            name="unlock",
            target=Target.UNLOCKED,
            spec_from=SpecFrom.DEFINED,
            summary="Remove the protection from deletion.",
        ),
    )
}


AGAIN = {Target.STOPPED: "powers it off", Target.FROZEN: "freezes it"}


def undone_next(goal: Goal, declared: VMSpec | None) -> tuple[str, ...]:
    """What somebody should know who wants a VM on that is *declared* otherwise."""
    target = declared_target(declared)
    on = goal.target.is_on or goal.target is Target.REBOOTED
    if not on or goal.target is target or target not in AGAIN:
        return ()
    return (f"{goal.name} is declared {target}: the next apply {AGAIN[target]}",)


def goal_of(
    verb: Verb,
    name: str,
    declared: VMSpec | None,
    have: Observation,
    data_loss: DataLoss = DataLoss.REFUSED,
) -> Checked[Goal]:
    """What *verb* asks for, of a VM that is *declared* so and is what *have* says."""
    if verb.only_from and have.power not in verb.only_from and not have.to_run:
        state = have.power if have.has_power else "not defined"
        return problem(name, f"cannot {verb.name} it: it is {state}", Code.REFUSED)
    first, second = declared, have.recorded
    if verb.spec_from is SpecFrom.DEFINED:
        first, second = second, first
    return Success(
        Goal(
            name=name,
            target=verb.target,
            spec=first or second,
            restart=verb.restart,
            power_off=verb.power_off,
            data_loss=data_loss,
        )
    )
