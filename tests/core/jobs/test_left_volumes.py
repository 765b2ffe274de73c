"""A volume that no VM wants any more: it goes if it is named, and only then."""

from dataclasses import replace

import pytest

from geats_core import Observation, Power, Stage, Target, VMSpec, VolumeSeen, explain, plan_removal
from geats_core.reading.checked import Code
from tests.core.hosts import at, vm

ROOT_ONLY = vm("web01")
WITH_DATA = vm("web01", volumes=[{"name": "root"}, {"name": "data", "mount": "/srv"}])
DATA = VolumeSeen(name="data", pool="default", stage=Stage.FORMATTED)


def left(*more: VolumeSeen, spec: VMSpec = ROOT_ONLY) -> Observation:
    have = at(Target.STOPPED, spec)["web01"]
    return replace(have, volumes=(*have.volumes, *(more or (DATA,))))


def refused(have: Observation, *, declared: VMSpec | None = None, volume: str = "data") -> str:
    found = plan_removal("web01", volume, {"web01": have}, declared=declared).failure()
    return "\n".join(map(str, found))


def test_a_volume_that_is_left_over_is_destroyed() -> None:
    made = plan_removal("web01", "data", {"web01": left()}).unwrap()
    assert explain(made) == (
        "1. destroy volume web01/data in pool default because it is asked for by name, and no VM "
        "is defined with it (impact: data_loss)"
    )


def test_what_is_left_of_a_vm_that_was_undefined_is_destroyed() -> None:
    made = plan_removal("web01", "data", {"web01": Observation(volumes=(DATA,))}).unwrap()
    assert len(made.steps) == 1


@pytest.mark.parametrize("field", ["recorded", "defined", "in_effect"])
def test_a_volume_that_a_vm_has_stays(field: str) -> None:
    have = replace(left(), **{field: WITH_DATA})  # type: ignore[arg-type]
    have = replace(have, recorded=WITH_DATA) if field == "defined" else have
    assert "volumes[data]: web01 " in refused(have)


def test_a_volume_that_is_declared_stays() -> None:
    assert "is declared with it" in refused(left(), declared=WITH_DATA)


def test_a_volume_stays_while_its_vm_is_on_or_locked() -> None:
    on = replace(left(), power=Power.RUNNING, in_effect=ROOT_ONLY)
    assert "cannot destroy volume web01/data in pool default: the VM is running" in refused(on)
    locked = plan_removal("web01", "data", {"web01": replace(left(), locked=True)})
    assert [each.code for each in locked.failure()] == [Code.LOCKED]


def test_a_volume_that_another_vm_mounts_stays() -> None:
    pics = {"vm": "web01", "volume": "data", "pool": "default", "mount": "/p"}
    db = vm("db01", shared_volumes={"pics": pics})
    there = {"web01": left(), **at(Target.STOPPED, db)}
    found = plan_removal("web01", "data", there).failure()
    assert [str(each) for each in found] == [
        "web01.volumes[data]: db01 mounts it: take it out of its shared_volumes first"
    ]


def test_which_volume_is_meant_must_be_clear() -> None:
    both = left(DATA, replace(DATA, pool="fast"))
    assert "each of the pools default, fast: say which pool" in refused(both)
    made = plan_removal("web01", "data", {"web01": both}, pool="fast").unwrap()
    assert "in pool fast" in explain(made)
    assert "unknown volume 'dat'" in refused(left(), volume="dat")


def test_a_volume_that_cannot_be_read_stays() -> None:
    assert "is left alone: torn" in refused(left(replace(DATA, unreadable="torn")))
    assert "did not make" in refused(replace(left(), foreign=True))
