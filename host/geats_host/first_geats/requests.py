"""What the first geats did for a VM, done by plans: each action by its name, and its answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from returns.result import Failure

from geats_core.first_geats.answers import (
    GONE_IS_DONE,
    WITH_DEFINITION,
    definition_of,
    read_asked,
    state_of,
)
from geats_core.foreign.notes import Note
from geats_core.reading.checked import Code, Problem
from geats_core.vm.observation import Observation
from geats_host.calls import lifecycle, reports
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import HostError, Refused, accepted
from geats_host.host import Host
from geats_host.inputs import configuration

LXC = "lxc"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A VM that geats has a definition of, as the first geats told it."""

    definition: Mapping[str, object]
    state: tuple[str, str]
    locked: bool

    @property
    def answer(self) -> dict[str, object]:
        """The answer of the agent."""
        return {"definition": dict(self.definition), "state": list(self.state)}


def this_host(file: Path | None, caller: str) -> Host:
    """This host, as its configuration describes it: that in *file*, else in the usual one."""
    return Host.from_config(configuration.from_file(file), caller)


def known(host: Host) -> dict[str, Known]:
    """Every VM that is defined, by name."""
    found = {name: _known(have) for name, have in sorted(host.observe_all().items())}
    return {name: each for name, each in found.items() if each is not None}


def known_vm(host: Host, name: str) -> Known:
    """One of them. Raises ``Refused`` if there is none."""
    found = _known(host.observe(name))
    if found is None:
        raise Refused(Problem("", f"Unknown VM: {name}", Code.UNKNOWN))
    return found


def _known(have: Observation) -> Known | None:
    spec = have.recorded
    if spec is None:
        return None
    return Known(definition=definition_of(spec), state=state_of(have.power), locked=have.locked)


def perform(host: Host, action: str, name: str, definition: object = None) -> tuple[Note, ...]:
    """Carry out one of ``ACTIONS``; the answer is what became of each key of the *definition*.

    Raises ``Refused`` or ``HostError``. What is not there counts as undefined and deprovisioned.
    """
    raw: dict[object, object] | None = None
    notes: tuple[Note, ...] = ()
    if action in WITH_DEFINITION:
        drivers = [each for each, taken in host.config.drivers.items() if taken.type == LXC]
        vm, notes = accepted(read_asked(name, definition, drivers, host.config.pools))
        raw = dict(vm.items())
    elif action not in GONE_IS_DONE:
        known_vm(host, name)
    elif not host.observe(name).exists:
        return ()
    applied = apply_plan(host, lifecycle.plan_verb(host, action, name, raw))
    if isinstance(applied, Failure):
        raise HostError(reports.failure_text(applied.failure()))
    return notes


def system_status() -> dict[str, object]:
    """Memory and swap in KiB, the load, and seconds of the processors since the host started."""
    import psutil

    memory, swap, times = psutil.virtual_memory(), psutil.swap_memory(), psutil.cpu_times()
    sizes = {
        "swap_total": swap.total,
        "swap_used": swap.used,
        "swap_free": swap.free,
        "mem_total": memory.total,
        "mem_used": memory.total - memory.free,
        "mem_free": memory.free,
        "mem_buffers": memory.buffers,
        "mem_cached": memory.cached,
    }
    cpus = {f"cpu_{each}": getattr(times, each) for each in ("user", "system", "idle", "iowait")}
    in_kib = {key: size // 1024 for key, size in sizes.items()}
    return {**in_kib, **cpus, "load_avg": list(psutil.getloadavg())}
