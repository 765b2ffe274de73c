"""Plugins by name, each opened when it is first needed; one that fails stops no other.

Theory of operation
-------------------
Plugins are code of others, that looks at disks and networks which may be away. So each is opened
and asked by itself, and what it cannot answer is remembered here as the reason why it is not
available, until the host is looked at again. A network disk whose server is away may not answer at
all: the first question after each look is bounded in time. One that does not answer in time is not
available, and its question is left to wait by itself: nobody asks it more until that has ended. (A
process with a thread that waits for a broken local disk cannot end before the kernel gives up.)

Only here unknown exceptions are caught: each is the fault of one plugin,
and concerns what depends on that plugin only.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field
from functools import partial
from typing import TypeVar

from geats_core.reading.values import dataclass
from geats_host.errors import HostError, Refused, trouble
from geats_host.plugins.questions import Question

T = TypeVar("T")
Answer = TypeVar("Answer")
LOG = logging.getLogger(__name__)
LIMIT_S = 30.0  # for all that are asked at once


@dataclass(frozen=True, slots=True)
class Opened(Mapping[str, T]):
    """The plugins of one *kind*; the mapping's values are opened when they are asked for.

    ``opened[name]`` raises ``HostError`` if the plugin cannot be opened. ``away`` says of each
    that could not answer why: it is not asked again until ``look_anew``.
    """

    kind: str
    openers: Mapping[str, Callable[[], T]]
    there: dict[str, T] = field(default_factory=dict)
    away: dict[str, str] = field(default_factory=dict)
    was_away: dict[str, str] = field(default_factory=dict)
    answered: set[str] = field(default_factory=set)
    waiting: dict[str, Question[object]] = field(default_factory=dict)

    @classmethod
    def of(cls, kind: str, plugins: Mapping[str, T]) -> "Opened[T]":
        """Plugins that are open already."""
        return cls(kind, {}, dict(plugins))

    def __getitem__(self, name: str) -> T:
        if name not in self.there:
            opener = self.openers[name]
            try:
                with guarded(f"{self.kind} {name}"):
                    self.there[name] = opener()
            except Refused as refused:
                raise HostError("; ".join(refused.problems)) from None
        return self.there[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    @property
    def _names(self) -> Mapping[str, object]:
        return self.openers or self.there

    def look_anew(self) -> None:
        """Forget which were not available (``was_away`` remembers): they may be by now."""
        self.was_away.clear()
        self.was_away.update(self.away)
        self.away.clear()
        self.answered.clear()

    def asked(
        self, question: Callable[[T], Answer], names: Iterable[str] | None = None
    ) -> dict[str, Answer]:
        """What each answers, or each of *names*; without those that are not available."""
        return self.asking(question, names)()

    def asking(
        self, question: Callable[[T], Answer], names: Iterable[str] | None = None
    ) -> Callable[[], dict[str, Answer]]:
        """The same, once what this returns is called: meanwhile, others can be asked."""
        wanted = [name for name in (self if names is None else names) if name in self._names]
        anew = self._asked_anew(wanted, question)
        until_s = time.monotonic() + LIMIT_S
        return lambda: self._answers(wanted, question, anew, until_s)

    def _answers(
        self,
        wanted: Iterable[str],
        question: Callable[[T], Answer],
        anew: Mapping[str, Question[Answer]],
        until_s: float,
    ) -> dict[str, Answer]:
        for name, each in anew.items():
            self.answered.add(name)
            if not each.is_answered(until_s):
                self.away[name], self.waiting[name] = each.in_vain, each
        answers: dict[str, Answer] = {}
        for name in wanted:
            if name not in self.away:
                try:
                    asked = anew[name].answer if name in anew else None
                    answers[name] = asked() if asked else self._answer(name, question)
                except HostError as error:
                    self.away[name] = _one_line(str(error))
        return answers

    def _asked_anew(
        self, names: Iterable[str], question: Callable[[T], Answer]
    ) -> dict[str, Question[Answer]]:
        """Ask all at once that were not asked since the last look."""
        asked: dict[str, Question[Answer]] = {}
        for name in names:
            if name in self.away or name in self.answered:
                continue
            if name in self.waiting and not self.waiting[name].is_answered():
                self.away[name] = self.waiting[name].in_vain
                continue
            answer = partial(self._answer, name, question)
            asked[name] = Question.asked(f"{self.kind} {name}", answer)
        return asked

    def ask(self, name: str, question: Callable[[T], Answer]) -> Answer | None:
        """What one answers; None if it is not available."""
        return self.asked(question, [name]).get(name)

    def _answer(self, name: str, question: Callable[[T], Answer]) -> Answer:
        plugin = self[name]
        with guarded(f"{self.kind} {name}"):
            return question(plugin)


@contextmanager
def guarded(who: str) -> Iterator[None]:
    """What a plugin raises meanwhile, and must not, becomes ``HostError``, and is logged.

    *who* names the plugin. ``Refused`` and ``HostError`` are its to raise.
    """
    try:
        yield
    except (Refused, HostError):
        raise
    except OSError as error:  # as of a disk that is full or broken, which is nobody's fault
        LOG.info("a call of %s failed", who, exc_info=True)
        raise trouble(error, who) from error
    except (
        Exception,
        SystemExit,
    ) as error:  # nothing is known of the code of others, see the module
        LOG.exception("the plugin of %s failed", who)
        said = f"{type(error).__name__}: {error}".removesuffix(": ")
        why = f"{who}: its plugin failed with {said} (the system's log has more)"
        raise HostError(why) from error


def _one_line(text: str) -> str:
    """*text* as it can stand in a file, and among others."""
    return "; ".join(text.encode(errors="backslashreplace").decode().splitlines())
