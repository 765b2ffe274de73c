"""What plans that are being applied take of a host."""

from collections.abc import Mapping

from geats_core.reading.values import dataclass
from geats_core.vm.spec import VMSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """What a plan that is being applied takes for one VM: all that ``spec`` has.

    Addresses, memory and the like are those of a VM that ``runs`` once the plan is done.
    """

    spec: VMSpec
    runs: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserved:
    """All that one operation takes, by the name of the VM."""

    vms: Mapping[str, Reservation]
