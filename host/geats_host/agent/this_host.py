"""What this host is and has, for who decides what goes where."""

import platform
from pathlib import Path

from geats_host.calls import inventory
from geats_host.host import Host
from geats_host.plugins.installed import own_version

CPUS = Path("/proc/cpuinfo")
FLAGS = ("flags", "Features")  # as x86 and ARM call them
MODELS = ("model name", "Processor", "cpu")


def host_facts(host: Host) -> dict[str, object]:
    """Versions, processors, memory and load, drivers and pools, and what is not available."""
    drivers, pools = inventory.drivers_report(host), inventory.pools_report(host)
    measured = inventory.host_report()
    return {
        "name": platform.node(),
        "geats": own_version(),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        **measured,
        "cpu": {**_mapping(measured["cpu"]), **_cpu()},
        "drivers": drivers,
        "pools": pools,
        "templates": sorted(host.config.templates),
        "unavailable": host.unavailable,
    }


def _cpu() -> dict[str, object]:
    """The model and the flags of the first processor."""
    first = CPUS.read_text().partition("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    said = {key.strip(): value.strip() for key, _, value in pairs}
    model = next((said[key] for key in MODELS if key in said), "")
    flags = next((said[key] for key in FLAGS if key in said), "")
    return {"model": model, "flags": flags.split()}


def _mapping(value: object) -> dict[str, object]:
    return dict(value) if isinstance(value, dict) else {}
