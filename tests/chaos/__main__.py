"""``script/chaos``: kill geats again and again, and say what was lost, frozen or left over."""

import argparse
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.ground import CHAOS, POOLS, a_ground, in_memory
from tests.chaos.operations import OPERATIONS
from tests.chaos.races import races
from tests.chaos.rounds import Chaos
from tests.chaos.tally import Tally, read
from tests.real.conftest import a_bridge, leave_namespaces

ALL = [each.name for each in OPERATIONS]
LOCKS_OF_LXC = Path("/run/lxc")  # where other tests look for what is left


def main() -> int:
    """Rounds until so many, or until the time is up; 1 where anything was wrong."""
    asked = _arguments().parse_args()
    if asked.table:
        print(read(asked.table).table())
        return 0
    seed = random.randrange(2**32) if asked.seed is None else asked.seed
    print(f"seed {seed}", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left behind
    end = time.monotonic() + 60 * asked.minutes
    tally = Tally(asked.record)
    with tempfile.TemporaryDirectory(prefix=f"{CHAOS}-") as folder:
        leave_namespaces(Path(folder))
        LOCKS_OF_LXC.mkdir(exist_ok=True)
        with a_bridge(), in_memory(LOCKS_OF_LXC), a_ground(Path(folder)) as ground:
            if asked.races:
                wrong = races(ground, asked.races)
                print(f"{asked.races} races, {len(wrong)} of them wrong", *wrong, sep="\n")
                return 1 if wrong else 0
            chaos = Chaos(ground, random.Random(seed), tally, asked.operations)
            for left, pool in zip(range(len(asked.pools), 0, -1), asked.pools, strict=True):
                until_s = time.monotonic() + (end - time.monotonic()) / left
                chaos.on_pool(pool, (asked.kills - len(tally.rounds)) // left, until_s)
                print(f"{pool}: {tally}", flush=True)
    print(tally.table())
    return 1 if tally.found else 0


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="script/chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="how many, on all pools together")
    parser.add_argument("--minutes", type=float, default=60, help="at most")
    parser.add_argument("--seed", type=int, default=None, help="of an earlier run, to repeat it")
    parser.add_argument("--pools", nargs="+", default=POOLS, choices=POOLS)
    parser.add_argument("--operations", nargs="+", default=ALL, choices=ALL, metavar="NAME")
    parser.add_argument("--record", type=Path, help="write each round there, a line of JSON each")
    parser.add_argument("--races", type=int, help="start two VMs with one address, so many times")
    parser.add_argument("--table", type=Path, nargs="+", help="only count what is in records")
    return parser


if __name__ == "__main__":
    sys.exit(main())
