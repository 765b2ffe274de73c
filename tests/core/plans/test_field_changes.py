"""How a VM is not as declared."""

from dataclasses import replace

from geats_core.plans.field_changes import Difference, undeclared, unlike
from geats_core.vm.observation import Observation, Power, Stage, VolumeSeen
from geats_core.vm.parse import parse_vm
from geats_core.vm.spec import Limits

WEB = parse_vm("web01", {"template": "debian", "cpus": 1}).unwrap()
SMALL = replace(WEB, limits=Limits(memory_bytes=2**29, cpus=1))
NAMED = replace(SMALL, hostname="www")


def test_a_vm_is_as_declared_or_differs_in_parts() -> None:
    assert unlike(WEB, Observation(recorded=WEB, defined=WEB)) == ()
    assert unlike(WEB, Observation()) == (Difference("defined", False, True),)
    assert unlike(WEB, Observation(recorded=SMALL)) == (Difference("memory", "512MiB", None),)


def test_what_runs_counts_before_what_is_only_written() -> None:
    have = Observation(recorded=SMALL, defined=SMALL, in_effect=NAMED, power=Power.RUNNING)
    assert set(unlike(WEB, have)) == {
        Difference("hostname", "www", "web01"),
        Difference("memory", "512MiB", None),
    }
    pending = Observation(recorded=WEB, defined=WEB, in_effect=NAMED, power=Power.RUNNING)
    assert len(unlike(WEB, pending)) == 2


def test_volumes_alone_are_no_vm_that_nobody_declared() -> None:
    left = VolumeSeen(name="root", pool="default", stage=Stage.INSTALLED)
    assert undeclared(Observation(volumes=(left,))) == ()
    assert undeclared(Observation(recorded=WEB)) == (Difference("defined", True, False),)
