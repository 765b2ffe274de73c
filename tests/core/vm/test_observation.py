"""What is seen of a VM, as a value."""

import pytest

from geats_core.vm.observation import Observation, Power, changed


def test_a_copy_has_other_values_of_some_fields_and_what_was_copied_is_as_before() -> None:
    before = Observation(locked=True)
    assert changed(before, power=Power.RUNNING) == Observation(locked=True, power=Power.RUNNING)
    assert before == Observation(locked=True)


def test_what_is_no_field_cannot_be_changed() -> None:
    with pytest.raises(TypeError, match="no fields of Observation"):
        changed(Observation(), powr=Power.RUNNING)
