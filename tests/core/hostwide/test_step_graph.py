"""The steps of several plans as one graph: what waits for what."""

from geats_core.hostwide.step_graph import Graph
from geats_core.planning.actions import AllocateVolume, Shutdown
from geats_core.planning.dependencies import Wait
from geats_core.planning.steps import Plan, Step

GIB = 2**30


def test_that_a_vm_which_stays_off_waits_for_its_volumes_is_a_wish_alone() -> None:
    allocate = Step(vm="web", action=AllocateVolume("default", "data", GIB), reason="it is new")
    off = Step(vm="web", action=Shutdown(timeout_s=60), reason="it should be off", after=(0,))
    graph = Graph()
    assert graph.add_plan(Plan(name="web", steps=(allocate, off))) == range(2)
    assert graph.wishes == [(Wait.AFTER, 1, 0)]
    assert graph.waits == {Wait.NEEDS: [[], []], Wait.AFTER: [[], []]}
