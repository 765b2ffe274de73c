"""What a VM should become, and what a plan for that may do."""

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum

from geats_core.planning.costs import Impact
from geats_core.reading.values import dataclass
from geats_core.vm.spec import PowerWish, VMSpec


class Target(StrEnum):
    """The state in which a VM should end.

    DECLARED is the one of RUNNING, FROZEN, STOPPED and DEFINED that the description of the VM says.
    OFF is powered off and otherwise left as it is; STOPPED is provisioned *and* off. PROVISIONED
    and DEFINED leave the power as it is. REBOOTED and REINITIALISED are requests, not states: if
    you ask twice, they are done twice.
    """

    DECLARED = "declared"
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

    @property
    def takes_spec(self) -> bool:
        """Whether the VM is brought to what is described of it."""
        return not self.takes_vm_away and self not in (Target.LOCKED, Target.UNLOCKED)

    @property
    def takes_vm_away(self) -> bool:
        """Whether nothing of the VM runs at the end, whatever is described of it."""
        return self is Target.OFF or self.is_gone

    @property
    def is_gone(self) -> bool:
        """Whether the VM is not defined at the end."""
        return self in (Target.UNDEFINED, Target.DEPROVISIONED)

    @property
    def is_met_by_none(self) -> bool:
        """Whether there is nothing to do if there is no such VM, even one that nobody knows."""
        return self.is_gone or self is Target.UNLOCKED

    @property
    def is_of_all(self) -> bool:
        """Whether it is what a host is brought to as a whole: those to be gone are gone then."""
        return self in (Target.DECLARED, Target.RUNNING)

    @property
    def is_for_those_there(self) -> bool:
        """Whether it is no wish for a VM that is declared, and not on the host yet."""
        return self in (Target.OFF, Target.LOCKED)

    @property
    def is_as_described(self) -> bool:
        """Whether a VM comes to it by its description alone: it may be wished for all of a host."""
        return self in (
            *(Target.DECLARED, Target.RUNNING, Target.PROVISIONED, Target.DEFINED),
            Target.LOCKED,
        )

    @property
    def says_power(self) -> bool:
        """Whether it says if the VM is on or off, once that is provisioned."""
        return self in (Target.RUNNING, Target.FROZEN, Target.STOPPED)

    @property
    def is_on(self) -> bool:
        """Whether the VM is on at the end."""
        return self in (Target.RUNNING, Target.FROZEN)


TARGETS: Mapping[PowerWish, Target] = {
    PowerWish.RUNNING: Target.RUNNING,
    PowerWish.STOPPED: Target.STOPPED,
    PowerWish.FROZEN: Target.FROZEN,
    PowerWish.DEFINED: Target.DEFINED,
}


def declared_target(spec: VMSpec | None) -> Target:
    """The state in which a VM should be by its description."""
    if spec is None:
        return Target.RUNNING
    return TARGETS[spec.power] if spec.enabled else Target.STOPPED


class Restart(StrEnum):
    """Whether a plan may restart a VM: if a change needs it, for any change, or never."""

    IF_NEEDED = "if_needed"
    ALWAYS = "always"
    NEVER = "never"


class PowerOff(StrEnum):
    """How a VM is powered off: asked first, or at once."""

    SHUTDOWN = "shutdown"
    STOP = "stop"


class DataLoss(StrEnum):
    """Whether a plan may destroy data that a changed spec has no more use for."""

    REFUSED = "refused"
    ALLOWED = "allowed"


class ByHand(StrEnum):
    """What to do with lines that a person added to the driver's definition."""

    KEPT = "kept"
    REMOVED = "removed"


class Asked(StrEnum):
    """How a VM came to have a goal: by its name, or with every other VM of its host."""

    NAMED = "named"
    SWEPT = "swept"


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """The state in which one VM should end, and what may be done on the way.

    ``spec`` is None for targets that need none: OFF, UNDEFINED, DEPROVISIONED, LOCKED, UNLOCKED. A
    plan with a step of a higher impact than ``max_impact`` is refused. ``foreign`` allows acting on
    a VM that geats did not make. ``asked`` says whether the VM was named; what may be done to one
    that was not is in ``only_named``. VMs of one ``group`` stand in for each other.
    """

    name: str
    target: Target
    spec: VMSpec | None = None
    restart: Restart = Restart.IF_NEEDED
    power_off: PowerOff = PowerOff.SHUTDOWN
    data_loss: DataLoss = DataLoss.REFUSED
    by_hand: ByHand = ByHand.KEPT
    max_impact: Impact = Impact.DATA_LOSS
    foreign: bool = False
    asked: Asked = Asked.NAMED
    group: str = ""

    @property
    def settled(self) -> "Goal":
        """The same, with the state that the description of the VM says, if it is for that."""
        if self.target is not Target.DECLARED:
            return self
        return replace(self, target=declared_target(self.spec))
