"""What the configuration of a host says of one of its VMs."""

from collections.abc import Mapping

from returns.result import Failure

from geats_core.declared.config import HostConfig
from geats_core.reading.checked import Problem
from geats_core.reading.mappings import Raw
from geats_core.vm.origins import origins
from geats_core.vm.parse import parse_vm
from geats_core.vm.spec import VMSpec
from geats_host.errors import Refused, accepted


def declared(config: HostConfig, name: str, raw: Raw | None = None) -> VMSpec | None:
    """What *raw*, else the configuration, says of the VM; None if neither says anything."""
    if raw is None and name not in config.vms:
        return None
    said = config.vms[name] if raw is None else raw
    profile = said.get("profile") if isinstance(said, Mapping) else None
    for each in profile if isinstance(profile, list) else [profile]:
        if why := config.wrong.get(f"profiles.{each}"):
            raise Refused(f"{name}.profile: the profile {each!r} is not available: {why}")
    match parse_vm(name, said, config.profiles):
        case Failure(problems) if raw is not None and name in config.vms:
            alone = Problem("", f"these arguments are all of it: vms.{name} is not added to them")
            return accepted(Failure((*problems, alone)), name)
        case checked:
            return accepted(checked, name)


def declared_by(config: HostConfig, name: str, raw: Raw | None = None) -> dict[str, str]:
    """Where each key of the VM's spec comes from: *raw* or ``vms.NAME``, or ``profiles.NAME``.

    Keys that are not in the result have their default; anything that is not a mapping is skipped.
    """
    said = config.vms.get(name) if raw is None else raw
    if not isinstance(said, Mapping):
        return {}
    source = f"vms.{name}" if raw is None else "its own arguments"
    return origins(said, config.profiles, source)
