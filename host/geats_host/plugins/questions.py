"""Questions that may never be answered: each waits in a thread, which keeps no process alive."""

import time
from collections.abc import Callable
from functools import partial
from threading import Thread
from typing import Generic, NoReturn, TypeVar

from geats_core.reading.values import dataclass

Answer_co = TypeVar("Answer_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Question(Generic[Answer_co]):
    """What was asked of *who*, and when; ``outcome`` gives the answer or raises, once there is one.

    (A ``Future`` does the same, and takes a while to load.)
    """

    who: str
    begun_s: float
    waiting: Thread
    outcome: list[Callable[[], Answer_co]]

    @classmethod
    def asked(cls, who: str, question: Callable[[], Answer_co]) -> "Question[Answer_co]":
        """Begin to ask."""
        outcome: list[Callable[[], Answer_co]] = []
        waiting = Thread(target=_ask, args=(outcome, question), name=who, daemon=True)
        waiting.start()
        return cls(who, time.monotonic(), waiting, outcome)

    def is_answered(self, until_s: float = 0.0) -> bool:
        """Whether there is an answer by then, or now."""
        self.waiting.join(max(0.0, until_s - time.monotonic()))
        return bool(self.outcome)

    def answer(self) -> Answer_co:
        """The answer, if it is there; raises what the question raised."""
        return self.outcome[0]()

    @property
    def in_vain(self) -> str:
        """That there is none, and for how long."""
        took_s = time.monotonic() - self.begun_s
        return f"{self.who}: has not answered for {took_s:.0f} s: is its disk or server away?"


def _ask(outcome: list[Callable[[], Answer_co]], question: Callable[[], Answer_co]) -> None:
    try:
        given = question()
        outcome.append(lambda: given)
    except BaseException as error:  # it is raised where the answer is used
        outcome.append(partial(_raise, error))


def _raise(error: BaseException) -> NoReturn:
    raise error
