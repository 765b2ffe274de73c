"""Two VMs with one address, which two processes start at once: exactly one of them runs then."""

import os
from itertools import cycle, islice

from geats_core.vm.observation import Power
from tests.chaos.ground import LONGEST_S, NAME, Ended, Ground, Wish, clear

OTHER = f"{NAME}-other"
VERBS = (("apply", "apply"), ("start", "start"), ("apply", "start"))


def races(ground: Ground, turns: int) -> list[str]:
    """Let them run so many times; all that was wrong."""
    clear(ground)
    both = [Ground(ground.at, Wish("plain", hostname=name), name) for name in (NAME, OTHER)]
    for each in both:
        assert each.geats("provision", each.name).code == 0
    wrong = [found for verbs in islice(cycle(VERBS), turns) for found in _race(both, verbs)]
    for each in both:
        clear(each)
    return wrong


def _race(both: list[Ground], verbs: tuple[str, str]) -> list[str]:
    open_, gate = os.pipe()
    begun = [
        each.begin(verb, each.name, gate=open_) for each, verb in zip(both, verbs, strict=True)
    ]
    os.close(open_)
    os.write(gate, b"go")
    ended = [child.end(LONGEST_S) for child in begun]
    os.close(gate)
    powers = [each.observe(each.name).power for each in both]
    for each in both:
        each.geats("stop", each.name)
    return [] if _one_won(ended, powers) else [f"{verbs}: {powers} {ended}"]


def _one_won(ended: list[Ended], powers: list[Power]) -> bool:
    """The one that was not told that the other has its address."""
    told = ["the address 10.77.0.9" in each.said and each.code != 0 for each in ended]
    done = [each.code == 0 for each in ended]
    runs = [power is Power.RUNNING for power in powers]
    return sorted(runs) == [False, True] and done == runs and told == [not each for each in runs]
