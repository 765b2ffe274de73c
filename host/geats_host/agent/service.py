"""Everything that all connections share: threads, calls under way, what is watched."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from geats_core.declared.access import Right
from geats_host.agent import consoles, watching
from geats_host.agent.callers import Caller
from geats_host.agent.faults import Fault, faults
from geats_host.agent.methods import Asked, answer
from geats_host.agent.runs import Runs
from geats_host.agent.watching import Watching

T = TypeVar("T")
Reply: TypeAlias = Mapping[str, Any]
LOOKERS, APPLIERS, RUNNERS = 8, 32, 32  # threads: a program in a guest may take long
LAST_WORDS_S = 5.0  # that connections have to end


@dataclass(slots=True)
class Watched:
    """What is watched, as long as anybody does; ``news`` is set when there is more."""

    seen: Watching = field(default_factory=Watching)
    watchers: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)
    looking: asyncio.Lock = field(default_factory=asyncio.Lock)

    def wake(self) -> None:
        """Let everybody who watches look again."""
        self.news.set()
        self.news = asyncio.Event()


@dataclass(slots=True)
class Service:
    """What answers; the host is that of the configuration in *file*."""

    file: Path | None
    lookers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(LOOKERS))
    runs: Runs = field(default_factory=lambda: Runs(ThreadPoolExecutor(APPLIERS)))
    runners: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(RUNNERS))
    watched: Watched = field(default_factory=Watched)
    ends: dict[asyncio.Task[Any], Callable[[], None]] = field(default_factory=dict)

    async def _in_thread(self, work: Callable[[], T], *, is_long: bool = False) -> T:
        workers = self.runners if is_long else self.lookers
        return await asyncio.get_running_loop().run_in_executor(workers, work)

    async def knows(self, caller: Caller) -> bool:
        """Whether the caller has any right at all; others learn nothing."""
        return bool(await self._in_thread(lambda: Asked(self.file, caller).rights))

    async def one(self, caller: Caller, method: str, parameters: Mapping[str, Any]) -> Reply:
        """The reply of a method that has one; ``Fault`` if there is none."""
        asked = Asked(self.file, caller)
        if method == "Cancel":
            await self._in_thread(lambda: asked.check(Right.APPLY))
            return {"cancelled": self.runs.cancel(caller.uid, parameters["id"])}
        is_long = method == "Exec"
        return await self._in_thread(lambda: answer(asked, method, parameters), is_long=is_long)

    async def console(self, caller: Caller, name: str) -> int:
        """The descriptor of a terminal with the console of a VM."""
        asked = Asked(self.file, caller)

        def opened() -> int:
            asked.check(Right.APPLY)
            with faults():
                return consoles.opened(asked.looked_at.console_command(name))

        return await self._in_thread(opened)

    async def applied(self, caller: Caller, parameters: Mapping[str, Any]) -> AsyncIterator[Reply]:
        """The replies of Apply; the last of them has its result."""
        asked = Asked(self.file, caller)
        await self._in_thread(lambda: asked.check(Right.APPLY))
        async for reply in self.runs.join(asked, parameters).replies():
            yield reply

    async def events(
        self, caller: Caller, since: int | None, vms: list[str] | None, gone: asyncio.Event
    ) -> AsyncIterator[Reply]:
        """What there is, what came after *since*, and what comes, until the caller is *gone*."""
        asked = Asked(self.file, caller)
        await self._in_thread(lambda: asked.check(Right.READ))
        self.watched.watchers += 1
        try:
            async for reply in self._events(asked, since, vms, gone):
                yield reply
        finally:
            self.watched.watchers -= 1

    async def _events(
        self, asked: Asked, since: int | None, vms: list[str] | None, gone: asyncio.Event
    ) -> AsyncIterator[Reply]:
        is_meant = watching.which(vms)
        await self._look(asked)
        seen = self.watched.seen
        position, sequence = seen.end, seen.sequence
        yield {"sequence": sequence, "overview": seen.overview}
        if since is not None:
            before = await self._in_thread(
                lambda: watching.caught_up(asked.looked_at, since, sequence)
            )
            for reply in watching.meant(before, is_meant):
                yield reply
        while not gone.is_set():
            news = self.watched.news
            replies = seen.after(position)
            position += len(replies)
            for reply in watching.meant(replies, is_meant):
                yield reply
            if not replies:
                await news.wait()
        raise Fault("HostFailed", message="the connection is closed")

    async def _look(self, asked: Asked) -> None:
        """Look at the host, unless somebody does that now: then wait for what they see."""
        watched = self.watched

        def look() -> bool:
            with faults():
                return watched.seen.look(asked.looked_at)

        async with watched.looking:
            is_new = await self._in_thread(look)
        if is_new:
            watched.wake()

    async def watch(self, root: Caller) -> None:
        """Look at the host again and again, while anybody watches."""
        while True:
            await asyncio.sleep(watching.EVERY_S)
            if self.watched.watchers:
                try:
                    await self._look(Asked(self.file, root))
                except Fault:
                    continue  # the configuration is wrong now: each call says so itself

    async def end(self) -> None:
        """Finish the steps that are under way, and begin no other; then end all connections."""
        self.runs.cancel_all()
        await self.runs.idle()
        for end in [*self.ends.values()]:
            end()
        if self.ends:
            await asyncio.wait([*self.ends], timeout=LAST_WORDS_S)
