"""Who waits for their turn does not wait for ever."""

import pytest

from geats_host.calls.in_turn import in_turn
from geats_host.errors import Busy


@pytest.mark.parametrize("wait_s", [0, -1, float("nan")])
def test_a_time_that_is_none_is_over_at_once(wait_s: float) -> None:
    """JSON of Python has NaN, and no moment is after it."""
    asked: list[bool] = []

    def act() -> None:
        asked.append(True)
        raise Busy("web01", "process 1")

    with pytest.raises(Busy):
        in_turn(wait_s, act, lambda: len(asked) > 5)
    assert asked == [True]
