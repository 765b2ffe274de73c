"""What VMs may have of their host: directories, devices and programs, each by its own option."""

from collections.abc import Iterable

from geats_core.declared.config import HostConfig
from geats_core.reading.checked import Problem
from geats_core.vm.spec import VMSpec
from geats_host.planning import binds, devices, hooks


def problems(spec: VMSpec, config: HostConfig) -> Iterable[Problem]:
    """What is wrong with all that *spec* has of the host, as *config* allows it."""
    yield from binds.problems(spec, config.bind_sources)
    yield from devices.problems(spec, config.device_sources)
    yield from hooks.problems(spec, config.hook_directories)
