"""The planner's words: goal, facts of the host, step, plan."""

from dataclasses import dataclass
from enum import StrEnum

from geats_core.actions import Action, Impact, impact_of
from geats_core.changes import Change
from geats_core.spec import VMSpec


class Target(StrEnum):
    """Where a VM should end.

    OFF is powered off and otherwise left as it is, whereas STOPPED is provisioned *and* off.
    PROVISIONED and DEFINED leave the power as it is. REBOOTED and REINITIALISED are requests
    rather than states: asked for twice, they are done twice.
    """

    RUNNING = "running"
    FROZEN = "frozen"
    STOPPED = "stopped"
    OFF = "off"
    PROVISIONED = "provisioned"
    DEFINED = "defined"
    UNDEFINED = "undefined"
    DEPROVISIONED = "deprovisioned"
    LOCKED = "locked"
    UNLOCKED = "unlocked"
    REBOOTED = "rebooted"
    REINITIALISED = "reinitialised"


class Restart(StrEnum):
    """Whether a plan may restart a VM for a change that needs it."""

    IF_NEEDED = "if_needed"
    NEVER = "never"


class PowerOff(StrEnum):
    """How a VM is powered off: asked first, or at once."""

    SHUTDOWN = "shutdown"
    STOP = "stop"


class DataLoss(StrEnum):
    """Whether a plan may destroy data that a changed spec has no more use for."""

    REFUSED = "refused"
    ALLOWED = "allowed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """Where one VM should end, and what may be done on the way.

    ``spec`` is None for targets that need none: OFF, UNDEFINED, DEPROVISIONED, LOCKED, UNLOCKED.
    """

    name: str
    target: Target
    spec: VMSpec | None = None
    restart: Restart = Restart.IF_NEEDED
    power_off: PowerOff = PowerOff.SHUTDOWN
    data_loss: DataLoss = DataLoss.REFUSED


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """What a host offers; None where it is not known, and so not checked."""

    drivers: frozenset[str] | None = None
    pools: frozenset[str] | None = None
    templates: frozenset[str] | None = None
    bridges: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """An action in a plan; ``needs`` are the positions of the steps that it waits for."""

    action: Action
    reason: str
    needs: tuple[int, ...] = ()

    @property
    def impact(self) -> Impact:
        """What the step costs a user of the VM."""
        return impact_of(self.action)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The steps that bring one VM to its goal, in an order in which they may run.

    ``changes`` are the fields whose recorded value the plan replaces; ``pending`` are those that
    will be written, but not in effect until the VM restarts.
    """

    name: str
    steps: tuple[Step, ...] = ()
    changes: tuple[Change, ...] = ()
    pending: tuple[Change, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.steps

    @property
    def impact(self) -> Impact:
        """The highest impact among the steps."""
        return max((step.impact for step in self.steps), default=Impact.NONE)
