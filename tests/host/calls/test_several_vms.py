"""One verb for several VMs."""

from pathlib import Path

from geats_host.calls.several_vms import plan_verb_for_several
from tests.memory_host import memory_host

NAMES = ["web01", "db01"]


def test_that_a_vm_is_not_there_is_told_only_if_it_is_to_be_gone(tmp_path: Path) -> None:
    host = memory_host(tmp_path)
    assert plan_verb_for_several(host, "start", NAMES).warnings == ()
    assert plan_verb_for_several(host, "deprovision", NAMES).warnings == (
        "web01 is not there: nothing to do",
        "db01 is not there: nothing to do",
    )
