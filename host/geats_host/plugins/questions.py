"""Questions that may never be answered: each waits in a thread, which keeps no process alive."""

import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from dataclasses import dataclass
from threading import Thread
from typing import Generic, TypeVar

Answer_co = TypeVar("Answer_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Question(Generic[Answer_co]):
    """What was asked of *who*, and when."""

    who: str
    begun_s: float
    answer: Future[Answer_co]

    @classmethod
    def asked(cls, who: str, question: Callable[[], Answer_co]) -> "Question[Answer_co]":
        """Begin to ask."""
        answer: Future[Answer_co] = Future()
        Thread(target=_answer, args=(answer, question), name=who, daemon=True).start()
        return cls(who, time.monotonic(), answer)

    def is_answered(self, until_s: float = 0.0) -> bool:
        """Whether there is an answer by then, or now."""
        wait_for([self.answer], max(0.0, until_s - time.monotonic()))
        return self.answer.done()

    @property
    def in_vain(self) -> str:
        """That there is none, and for how long."""
        took_s = time.monotonic() - self.begun_s
        return f"{self.who}: has not answered for {took_s:.0f} s: is its disk or server away?"


def _answer(answer: Future[Answer_co], question: Callable[[], Answer_co]) -> None:
    try:
        answer.set_result(question())
    except BaseException as error:  # whoever asked raises it
        answer.set_exception(error)
