"""What is wrong with a pillar that was made out of files of other programs."""

from collections.abc import Mapping
from dataclasses import replace

from returns.result import Failure, Success

from geats_core.declared.config import parse_config
from geats_core.reading.checked import Problems, problems_of
from geats_core.vm.parse import parse_vm


def problems_of_pillar(geats: Mapping[str, object]) -> Problems:
    """What is wrong with it as a pillar."""
    match parse_config(geats):
        case Success(config):
            return tuple(
                replace(each, path=f"vms.{name}.{each.path}")
                for name, vm in config.vms.items()
                for each in problems_of(parse_vm(name, vm))
            )
        case Failure(problems):
            return problems
