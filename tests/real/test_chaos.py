"""A short round of chaos; ``script/chaos`` goes on for hours."""

from collections.abc import Iterator

import pytest

from tests.chaos.ground import Ground, a_ground
from tests.chaos.races import races
from tests.real.conftest import open_folder


@pytest.fixture(scope="module")
def ground(bridge: str) -> Iterator[Ground]:
    """A host with every kind of pool that this machine can have."""
    with open_folder() as at, a_ground(at) as made:
        yield made


def test_of_two_vms_with_one_address_that_two_processes_start_at_once_one_runs(
    ground: Ground,
) -> None:
    assert races(ground.at, 6) == []
