"""What is seen of a domain: what libvirt says, held against what geats noted of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from geats_core.domains.embedding import DomainSeen, noted, read_domain
from geats_core.domains.live_devices import as_it_runs
from geats_core.reading import fields
from geats_core.vm.observation import Power
from geats_core.vm.spec import VMSpec
from geats_host.drivers import DriverSeen, held, lock_marks, vm_files
from geats_host.drivers.libvirt import definition
from geats_host.drivers.libvirt.options import Options
from geats_host.lazy import later

if TYPE_CHECKING:
    from geats_core.deciding import keeping_up
else:  # few VMs are kept up
    keeping_up = later("geats_core.deciding.keeping_up")

POWERS = {  # by the numbers of virDomainState
    0: Power.RUNNING,
    1: Power.RUNNING,
    2: Power.RUNNING,
    3: Power.FROZEN,
    4: Power.RUNNING,
    5: Power.STOPPED,
    6: Power.STUCK,
    7: Power.FROZEN,
}
OFF = 5  # VIR_DOMAIN_SHUTOFF
ENDINGS = {  # by the numbers of virDomainShutoffReason: the code, and how it ended
    1: (0, "was shut down"),
    2: (0, "was powered off"),
    3: (1, "crashed"),  # QEMU was killed or ended, or the guest's kernel said that it panicked
    4: (0, "moved to another host"),
    5: (0, "was saved"),
    6: (1, "could not be started"),
}

STARTING = (3, 11)  # VIR_DOMAIN_PAUSED, as it is about to run


def seen_of(options: Options, domain: Mapping[str, object]) -> DriverSeen | None:
    """What is seen of one domain; None if it is of another type.

    If its files cannot be read, that is the trouble of this one alone.
    """
    try:
        return _as_written(options, domain)
    except OSError as error:
        if read_domain(f"{domain['xml']}").kind != options.kind:
            return None
        why = vm_files.unreadable(options.folder, error)
        return DriverSeen(power=_power(domain), unreliable=why)


def _as_written(options: Options, domain: Mapping[str, object]) -> DriverSeen | None:
    name, xml, live = (f"{domain[key]}" for key in ("name", "xml", "live"))
    folder = options.folder / name
    can_be_ours = bool(fields.VM_NAME.fullmatch(name))
    seen = definition.seen_of(folder, xml) if can_be_ours else read_domain(xml)
    if seen.kind != options.kind:
        return None
    runs_with = noted(live)
    is_ours = can_be_ours and bool(seen.digest or runs_with)
    power = _power(domain)
    if power is Power.FROZEN and is_ours and held.is_held(folder):
        power = Power.HELD
    if not is_ours:
        return DriverSeen(power=power, foreign=True, foreign_nics=seen.nics)
    return DriverSeen(
        defined=_defined(folder, seen) if domain["defined"] else None,
        in_effect=None if power is Power.STOPPED else _in_effect(folder, seen, xml, live),
        power=power,
        by_hand=seen.by_hand,
        locked=lock_marks.is_locked(folder),
        places=seen.places,
    )


def _defined(folder: Path, seen: DomainSeen) -> VMSpec | None:
    return definition.spec_of(folder, seen.digest) if seen.as_written else None


def _in_effect(folder: Path, seen: DomainSeen, xml: str, live: str) -> VMSpec | None:
    """What it was started with, and changed to; and what somebody did to its NICs since."""
    digest = noted(live)
    spec = definition.spec_of(folder, digest)
    if spec is None or not spec.nics or not seen.as_written or digest != seen.digest:
        return spec
    return as_it_runs(spec, xml, live)


def _power(domain: Mapping[str, object]) -> Power:
    """What libvirt says of it; one that geats holds is frozen for libvirt."""
    state = domain["state"]
    if domain["stuck"]:
        return Power.STUCK
    if (state, domain["reason"]) == STARTING:
        return Power.RUNNING
    return POWERS.get(state, Power.RUNNING) if isinstance(state, int) else Power.RUNNING


def ended(state: object, reason: object) -> "keeping_up.Ended":
    """How a domain ended that is off; it cannot be told once libvirt was itself started anew."""
    found = ENDINGS.get(reason) if state == OFF and isinstance(reason, int) else None
    if found is None:
        return keeping_up.Ended(can_tell=False)
    return keeping_up.Ended(code=found[0], how=found[1])
