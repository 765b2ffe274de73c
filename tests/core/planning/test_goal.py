"""What each target means, in one table: whoever adds one says all of it."""

from geats_core import Target

MEANS = {
    Target.DECLARED: {"takes_spec", "is_as_described", "is_of_all"},
    Target.RUNNING: {"takes_spec", "is_as_described", "is_of_all", "says_power", "is_on"},
    Target.FROZEN: {"takes_spec", "says_power", "is_on"},
    Target.STOPPED: {"takes_spec", "says_power"},
    Target.OFF: {"takes_vm_away", "is_for_those_there"},
    Target.PROVISIONED: {"takes_spec", "is_as_described"},
    Target.DEFINED: {"takes_spec", "is_as_described"},
    Target.UNDEFINED: {"takes_vm_away", "is_gone", "is_met_by_none"},
    Target.DEPROVISIONED: {"takes_vm_away", "is_gone", "is_met_by_none"},
    Target.LOCKED: {"is_for_those_there", "is_as_described"},
    Target.UNLOCKED: {"is_met_by_none"},
    Target.REBOOTED: {"takes_spec"},
    Target.REINITIALISED: {"takes_spec"},
}


def test_every_target_says_what_it_means() -> None:
    asked = [name for name, each in vars(Target).items() if isinstance(each, property)]

    assert {target: {name for name in asked if getattr(target, name)} for target in Target} == MEANS
