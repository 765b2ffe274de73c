"""What differs between two looks at a VM is told in words, and nothing that may be secret."""

from dataclasses import replace

from geats_core import Observation, Stage
from geats_core.plans.observation_changes import differences
from geats_core.vm.observation import SnapshotSeen, VolumeSeen

ONE, OTHER = "0123456789abcdef", "fedcba9876543210"


def seen(guest: str | None, of_snapshot: str) -> Observation:
    taken = SnapshotSeen(name="monday", taken_s=1, stage=Stage.INSTALLED, guest=of_snapshot)
    root = VolumeSeen(
        name="root", pool="fast", stage=Stage.INSTALLED, guest=guest, snapshots=(taken,)
    )
    return Observation(volumes=(root,))


def test_what_a_guest_was_configured_from_is_told_without_its_digest() -> None:
    at = "web.volumes[fast/root]"
    assert differences("web", seen(ONE, ONE), seen(OTHER, ONE)) == (
        f"{at}.guest: was configured, is configured otherwise",
    )
    assert differences("web", seen(None, ONE), seen(OTHER, ONE)) == (
        f"{at}.guest: was none, is configured",
    )
    assert differences("web", seen(ONE, ONE), seen(ONE, OTHER)) == (
        f"{at}.snapshots: monday is of a guest that is configured otherwise",
    )
    assert differences("web", seen(ONE, ONE), seen(ONE, ONE)) == ()


def test_a_secret_of_a_line_by_hand_is_not_told_and_that_it_changed_is() -> None:
    then = replace(Observation(), by_hand=("lxc.environment = A=1",))
    now = replace(then, by_hand=("lxc.environment = A=2",))
    said = "lxc.environment = A=(hidden)"
    assert differences("web", then, now) == (
        f"web.by_hand: was {said}, is {said} (what is hidden is otherwise)",
    )
    assert differences("web", then, Observation()) == (f"web.by_hand: was {said}, is none",)
