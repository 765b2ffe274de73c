"""``script/chaos``: kill geats again and again, and say what was lost, frozen or left over."""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.ground import POOLS, a_ground
from tests.chaos.rounds import Chaos
from tests.real.conftest import a_bridge, leave_namespaces


def main() -> int:
    """Rounds until so many kills, or until the time is up; 1 where anything was wrong."""
    parser = argparse.ArgumentParser(prog="script/chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="how many, on all pools together")
    parser.add_argument("--minutes", type=float, default=60, help="at most")
    parser.add_argument("--seed", type=int, default=None, help="of an earlier run, to repeat it")
    parser.add_argument("--pools", nargs="+", default=POOLS, choices=POOLS)
    asked = parser.parse_args()
    seed = random.randrange(2**32) if asked.seed is None else asked.seed
    print(f"seed {seed}", flush=True)
    end = time.monotonic() + 60 * asked.minutes
    with tempfile.TemporaryDirectory(prefix="geats-test-chaos-") as folder:
        leave_namespaces(Path(folder))
        with a_bridge(), a_ground(Path(folder)) as ground:
            chaos = Chaos(ground, random.Random(seed))
            for left, pool in zip(range(len(asked.pools), 0, -1), asked.pools, strict=True):
                until_s = time.monotonic() + (end - time.monotonic()) / left
                chaos.on_pool(pool, (asked.kills - chaos.tally.kills.total()) // left, until_s)
                print(f"{pool}: {chaos.tally}", flush=True)
    print(chaos.tally.table())
    return 1 if chaos.tally.found else 0


if __name__ == "__main__":
    sys.exit(main())
