"""How far a VM is from what is said of it."""

from dataclasses import replace

from geats_core.planning.spec_changes import drift
from geats_core.vm.observation import Observation, Power
from geats_core.vm.parse import parse_vm
from geats_core.vm.spec import Limits

WEB = parse_vm("web01", {"template": "debian"}).unwrap()
NAMED = replace(WEB, hostname="www")
SMALL = replace(WEB, limits=Limits(memory_bytes=2**29))


def test_a_vm_that_is_as_described_does_not_drift() -> None:
    assert drift(WEB, Observation(recorded=WEB, defined=WEB)) == ()
    running = Observation(recorded=WEB, defined=WEB, in_effect=WEB, power=Power.RUNNING)
    assert drift(WEB, running) == ()


def test_what_runs_and_what_is_written_may_both_differ() -> None:
    have = Observation(recorded=SMALL, defined=SMALL, in_effect=NAMED, power=Power.RUNNING)
    assert drift(WEB, have) == ("hostname", "memory")


def test_what_is_pending_is_a_drift() -> None:
    have = Observation(recorded=WEB, defined=WEB, in_effect=NAMED, power=Power.RUNNING)
    assert drift(WEB, have) == ("hostname",)


def test_a_vm_that_is_not_there_is_all_drift() -> None:
    assert "template" in drift(WEB, Observation())
    assert drift(WEB, Observation(recorded=SMALL)) == ("memory",)
