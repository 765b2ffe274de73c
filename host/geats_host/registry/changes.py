"""Changes of a registry that several threads want to make: one of them makes all that wait.

Theory of operation
-------------------
A sync takes longer than all else, and serves as many changes as are made before it. So while one
thread makes changes, others only line up; then one of these makes all that wait by then, in one
transaction. Those whose change was made go on at once, and need not wait for the next transaction.
"""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from threading import Condition
from typing import TypeAlias

Make: TypeAlias = Callable[[sqlite3.Connection], object]


class Sync(StrEnum):
    """When what is written outlasts a power cut; see SQLite's ``pragma synchronous``, with WAL."""

    NOW = "full"
    WITH_THE_NEXT = "normal"  # that is NOW, or when the file is closed for the last time


@dataclass(slots=True, eq=False)
class Change:
    """What a thread wants to write, and whether it is written."""

    make: Make
    sync: Sync
    is_made: bool = False


@dataclass(slots=True, eq=False)
class Queue:
    """The changes that wait, in their order; and that of the thread which makes some, if any."""

    waiting: list[Change] = field(default_factory=list)
    under_way: Change | None = None
    moved: Condition = field(default_factory=Condition)

    def entered(self, mine: Change) -> Sequence[Change]:
        """Line up; the answer is what this thread has to make, with its own. None: it is made.

        Whoever enters leaves with ``left``, also if it is interrupted as it waits.
        """
        with self.moved:
            self.waiting.append(mine)
            self.moved.wait_for(lambda: mine.is_made or self.under_way is None)
            if mine.is_made:
                return ()
            self.under_way = mine
            return tuple(self.waiting)

    def left(self, mine: Change, made: Sequence[Change]) -> None:
        """Tell the others which are *made*, and let the next thread go on; *mine* waits no more."""
        with self.moved:
            for each in made:
                each.is_made = True
            self.waiting = [each for each in self.waiting if not each.is_made and each is not mine]
            if self.under_way is mine:
                self.under_way = None
                self.moved.notify_all()
