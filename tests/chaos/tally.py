"""What came of rounds of chaos: written down line by line, and counted in a table."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path


class Fault(StrEnum):
    """What can be wrong after a round."""

    LOST = "lost"
    FROZEN = "frozen"
    LEFT_OVER = "left over"
    NOT_CONVERGED = "not converged"
    OFF = "off"
    REFUSED_AGAIN = "refused again"


@dataclass(frozen=True)
class Found:
    """Something that is wrong."""

    fault: Fault
    detail: str


@dataclass(frozen=True)
class Round:
    """One kill, where it hit, and everything that was wrong afterwards."""

    operation: str
    pool: str
    after_s: float
    was_killed: bool  # it may have ended before
    took_s: float = 0.0
    found: Sequence[Found] = ()


@dataclass
class Tally:
    """All rounds; each is written to *record* at once, where that is given."""

    record: Path | None = None
    rounds: list[Round] = field(default_factory=list)

    @property
    def kills(self) -> int:
        return sum(each.was_killed for each in self.rounds)

    @property
    def found(self) -> list[tuple[Round, Found]]:
        return [(each, found) for each in self.rounds for found in each.found]

    def __str__(self) -> str:
        return f"{self.kills} kills in {len(self.rounds)} rounds, {len(self.found)} faults"

    def add(self, each: Round) -> None:
        self.rounds.append(each)
        if self.record is not None:
            with self.record.open("a") as file:
                file.write(f"{json.dumps(asdict(each))}\n")

    def table(self) -> str:
        """By operation, as Markdown."""
        lines = ["| operation | kills | " + " | ".join(Fault) + " |", "|---|" + "---|" * 7]
        for name in dict.fromkeys(each.operation for each in self.rounds):
            lines.append(_row(name, [each for each in self.rounds if each.operation == name]))
        lines.append(_row("all", self.rounds))
        pools = Counter(each.pool for each in self.rounds if each.was_killed)
        return "\n".join([*lines, "", f"kills by pool: {dict(pools)}"])


def read(records: Iterable[Path]) -> Tally:
    """The rounds of several runs."""
    tally = Tally()
    for line in (line for record in records for line in record.read_text().splitlines()):
        raw = json.loads(line)
        found = tuple(Found(Fault(each["fault"]), each["detail"]) for each in raw.pop("found"))
        tally.rounds.append(Round(**raw, found=found))
    return tally


def _row(name: str, rounds: Sequence[Round]) -> str:
    wrong = Counter(found.fault for each in rounds for found in each.found)
    kills = sum(each.was_killed for each in rounds)
    return f"| {name} | {kills} | " + " | ".join(str(wrong[fault]) for fault in Fault) + " |"
