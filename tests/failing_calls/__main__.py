"""``script/faults``: let calls of geats fail, one after the other, and say what came of it."""

import argparse
import os
import random
import sys
import tempfile
from pathlib import Path

from tests.failing_calls import library
from tests.failing_calls.ground import POOLS, a_ground
from tests.failing_calls.operations import OPERATIONS
from tests.failing_calls.rounds import CLOCK, ERRORS, Rounds, Tally


def main() -> int:
    """1 where anything was wrong."""
    parser = argparse.ArgumentParser(prog="script/faults", description=__doc__)
    parser.add_argument("--pools", nargs="+", default=POOLS, choices=POOLS)
    parser.add_argument("--errors", nargs="+", default=list(ERRORS), choices=list(ERRORS))
    parser.add_argument("--operations", nargs="+", default=[each.name for each in OPERATIONS])
    parser.add_argument("--at-most", type=int, help="calls of each operation, by chance")
    parser.add_argument("--seed", type=int, default=None, help="of an earlier run, to repeat it")
    asked = parser.parse_args()
    seed = random.randrange(2**32) if asked.seed is None else asked.seed
    print(f"seed {seed}", flush=True)
    if library.WHERE not in os.environ:
        with tempfile.TemporaryDirectory(prefix="geats-test-calls-") as folder:
            calls = library.Calls(Path(folder))
            calls.make()
            argv = [sys.executable, "-m", "tests.failing_calls", *sys.argv[1:], f"--seed={seed}"]
            return os.spawnve(os.P_WAIT, sys.executable, argv, calls.environment)
    tally = Tally()
    for pool in asked.pools:
        with (
            tempfile.TemporaryDirectory(prefix="geats-test-faults-") as folder,
            a_ground(Path(folder), pool) as ground,
        ):
            rounds = Rounds(ground, library.here(), random.Random(seed), tally)
            rounds.begin()
            for operation in OPERATIONS:
                if operation.name in asked.operations and pool in (operation.pools or POOLS):
                    for error in asked.errors:
                        if error == CLOCK:
                            rounds.while_the_clock_jumps(operation)
                        else:
                            rounds.operation(operation, error, asked.at_most)
            print(f"{pool}: {tally.rounds.total()} rounds so far", flush=True)
    print(tally.table())
    return 1 if tally.found else 0


if __name__ == "__main__":
    sys.exit(main())
