"""The modules that programs have imported from since the first versions."""

import geats_core.actions
import geats_core.planning.actions
import geats_core.spec
import geats_core.vm.spec


def test_specs_and_actions_have_their_old_names_too() -> None:
    assert geats_core.spec.VMSpec is geats_core.vm.spec.VMSpec
    assert geats_core.spec.Volume is geats_core.vm.spec.Volume
    assert geats_core.actions.Start is geats_core.planning.actions.Start
