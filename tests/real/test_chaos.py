"""A short round of chaos: every operation is killed once; ``script/chaos`` goes on for hours."""

import random
from collections.abc import Iterator

import pytest

from tests.chaos.ground import POOLS, Ground, a_ground
from tests.chaos.races import races
from tests.chaos.rounds import Chaos, dealt
from tests.real.conftest import open_folder

SEED = 11


@pytest.fixture(scope="module")
def ground(bridge: str) -> Iterator[Ground]:
    """A host with every kind of pool that this machine can have."""
    with open_folder() as at, a_ground(at) as made:
        yield made


@pytest.mark.parametrize("pool", POOLS)
def test_what_is_killed_at_any_moment_is_done_by_the_same_command_again(
    ground: Ground, pool: str
) -> None:
    """Then ``apply`` finds a guest that answers, with its files, and nothing is left over."""
    chaos = Chaos(ground, random.Random(f"{SEED} {pool}"))
    chaos.settle_in(pool)
    for operation in dealt()[pool]:
        chaos.until_killed(operation)
    assert chaos.tally.found == []


def test_of_two_vms_with_one_address_that_two_processes_start_at_once_one_runs(
    ground: Ground,
) -> None:
    assert races(ground, 6) == []
