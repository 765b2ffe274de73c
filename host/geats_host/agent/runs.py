"""Calls of Apply under way: each goes on by itself, and whoever asked for it hears of it.

Theory of operation
-------------------
A run is carried out by a thread, and belongs to no connection: if its caller goes away, it goes on,
and its answer is kept if the caller gave it an id. What it told stays as long as it is known, so
that each who listens reads at a speed of their own, and one who joins later hears all of it. A plan
has an end, so that is not much.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any, TypeAlias

from geats_host.agent import kept_answers
from geats_host.agent.faults import Fault, fault_of
from geats_host.agent.kept_answers import Request
from geats_host.agent.methods import Asked, answer
from geats_host.errors import HostError, Refused

Reply: TypeAlias = Mapping[str, Any]
BUG = "geats has a bug, which is in the log of its agent: some of it may be done"


@dataclass(slots=True)
class Run:
    """One call under way; ``end`` is its last reply, or why there is none, once it is over."""

    request: Request
    told: list[Reply] = field(default_factory=list)
    end: Reply | Fault | None = None
    over: Event = field(default_factory=Event)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        """Let everybody who listens look again."""
        self.news.set()
        self.news = asyncio.Event()

    async def replies(self) -> AsyncIterator[Reply]:
        """All that is told, from its begin on; the last reply, or a ``Fault``, ends it."""
        heard = 0
        while True:
            news = self.news
            while heard < len(self.told):
                heard += 1
                yield self.told[heard - 1]
            if self.end is not None and heard == len(self.told):
                break
            await news.wait()
        if isinstance(self.end, Fault):
            raise self.end
        yield self.end


@dataclass(slots=True)
class Runs:
    """All calls under way, by the user and the id that make them known."""

    workers: Executor
    under_way: dict[str, Run] = field(default_factory=dict)

    def cancel(self, uid: int, id_: str) -> bool:
        """Whether there was such a call, in which no other step begins now."""
        run = self.under_way.get(f"{uid} {id_}")
        if run is not None:
            run.over.set()
        return run is not None

    def cancel_all(self) -> None:
        """Begin no other step of any."""
        for run in self.under_way.values():
            run.over.set()

    async def idle(self) -> None:
        """Wait until nothing is under way."""
        while self.under_way:
            await next(iter(self.under_way.values())).news.wait()

    def join(self, asked: Asked, parameters: Mapping[str, Any]) -> Run:
        """The run of this request: the one that is under way, or a new one."""
        given = parameters.get("id")
        id_ = uuid.uuid4().hex if given is None else given
        request = kept_answers.request(asked.caller.uid, id_, parameters)
        run = self.under_way.get(request.key)
        if run is not None:
            run.request.check(request.digest)
            return run
        run = Run(request)
        self.under_way[request.key] = run
        self._begin(run, asked, parameters, is_kept=given is not None)
        return run

    def _begin(
        self, run: Run, asked: Asked, parameters: Mapping[str, Any], *, is_kept: bool
    ) -> None:
        loop = asyncio.get_running_loop()

        def tell(reply: Reply) -> None:
            known = {"id": run.request.id} if "plan" in reply else {}
            run.told.append({**reply, **known})
            loop.call_soon_threadsafe(run.wake)

        def ended() -> None:
            self.under_way.pop(run.request.key, None)
            run.wake()

        asked.tell, asked.over = tell, run.over

        def work() -> None:
            end: Reply | Fault = Fault("HostFailed", message=BUG)
            try:
                end = carried_out(asked, run.request, parameters, is_kept=is_kept)
            finally:
                run.end = end
                loop.call_soon_threadsafe(ended)

        self.workers.submit(work).add_done_callback(Future.result)  # a bug shows in the log


def carried_out(
    asked: Asked, request: Request, parameters: Mapping[str, Any], *, is_kept: bool
) -> Reply | Fault:
    """The answer that is kept for a request, or else that of carrying it out, which is kept then.

    One that changed nothing is not: the same request may be carried out later.
    """
    if not is_kept:
        return _answer(asked, parameters)
    try:
        host = asked.looked_at
        with kept_answers.alone(Path(host.config.run_dir), request, asked.over):
            if (known := kept_answers.answered(host.registry, request)) is not None:
                return known
            found = _answer(asked, parameters)
            if _may_have_changed(found):
                kept_answers.keep(host.registry, request, found)
            return found
    except Fault as fault:
        return fault
    except (Refused, HostError) as error:  # what was done is done: it cannot be remembered
        return fault_of(error)


def _may_have_changed(found: Reply | Fault) -> bool:
    """Whether anything; what was cancelled before its first step has changed nothing."""
    if not isinstance(found, Fault):
        return True
    said = found.parameters
    return found.name == "Failed" and bool(said["step"] or said["done"])


def _answer(asked: Asked, parameters: Mapping[str, Any]) -> Reply | Fault:
    try:
        return answer(asked, "Apply", parameters)
    except Fault as fault:
        return fault
