"""Where the agent is reached: on a unix socket, one of systemd's, or standard input and output."""

import asyncio
import errno
import os
import signal
import socket
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from asyncvarlink import VarlinkTransport, get_listen_fd

from geats_host.agent.callers import ROOT, Caller, on_standard_input, own, peer
from geats_host.agent.connections import (
    LARGEST_BYTES,
    LARGEST_OF_STRANGERS,
    Connection,
    Conversation,
    is_socket,
)
from geats_host.agent.service import Service
from geats_host.errors import Refused, trouble

MOST, MOST_OF_ONE = 512, 256  # connections in all, and of one user who is not root
FOR_ROOT = 64  # of all, that no other user takes
FOR_STRANGERS_S = 10.0  # that who has no right may stay connected
BACKLOG = 512
NO_MORE = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
PAUSE_S = 0.2
SYSTEMD = "varlink"  # the name of its socket, as FileDescriptorName= has it
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass(slots=True)
class Listener:
    """Takes connections, until there are too many; each counts until its calls are over."""

    service: Service
    taken: Counter[int] = field(default_factory=Counter)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def accept(self, listening: socket.socket) -> None:
        """Take a connection, if there is one."""
        try:
            connection, _ = listening.accept()
        except OSError as error:  # whoever it was has gone, or there are no descriptors for now
            if error.errno in NO_MORE:
                self._pause(listening)
            return
        connection.setblocking(False)
        who = peer(connection)
        if not self._has_room_for(who.uid):
            connection.close()
            return
        self.taken[who.uid] += 1
        task = asyncio.ensure_future(self._serve(connection, who))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _pause(self, listening: socket.socket) -> None:
        """Take none for a moment: who waits is told again and again, which keeps the loop busy."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(listening)

        def go_on() -> None:
            if listening.fileno() >= 0:  # it did not end meanwhile
                loop.add_reader(listening, self.accept, listening)

        loop.call_later(PAUSE_S, go_on)

    def _has_room_for(self, uid: int) -> bool:
        most, of_one = (MOST, MOST) if uid == ROOT else (MOST - FOR_ROOT, MOST_OF_ONE)
        return self.taken.total() < most and self.taken[uid] < of_one

    async def _serve(self, connection: socket.socket, who: Caller) -> None:
        try:
            await spoken(self.service, connection, connection, who, passes_descriptors=True)
        finally:
            self.taken[who.uid] -= 1


async def spoken(
    service: Service,
    source: socket.socket | int,
    target: socket.socket | int,
    who: Caller,
    *,
    passes_descriptors: bool,
) -> None:
    """Speak with one caller, until the connection ends."""
    is_known = await service.knows(who)
    most = LARGEST_BYTES if is_known else LARGEST_OF_STRANGERS
    protocol = Connection(Conversation(service, who, passes_descriptors), most)
    loop = asyncio.get_running_loop()
    # Descriptors are never taken, so messages need not be told apart before they are read: with
    # that, the loop would read on for as long as one caller sends.
    transport = VarlinkTransport(loop, source, target, protocol, boundary_predictor=None)
    task = asyncio.current_task()
    assert task is not None
    service.ends[task] = protocol.give_up
    ending = None if is_known else loop.call_later(FOR_STRANGERS_S, protocol.give_up)
    try:
        await transport.closed_future
    finally:
        del service.ends[task]
        if ending is not None:
            ending.cancel()


def serve(file: Path | None, path: Path | None) -> None:
    """Answer until a signal ends it: on the socket at *path*, on that of systemd, or else on
    standard input and output, until that ends; so does a connection that was given."""
    if path is None:
        said = get_listen_fd(SYSTEMD)
        given = None if said is None else socket.socket(fileno=said.fileno())
        if said is not None:
            said.should_close = False
    else:
        given = bound(path)
    asyncio.run(_serve(Service(file), given))


def bound(path: Path) -> socket.socket:
    """A socket at *path*; one that nobody listens on any more is replaced.

    Everybody may connect, as the kernel tells who does: the directory may keep others out.
    """
    made = socket.socket(socket.AF_UNIX)
    try:
        if path.is_socket():
            with socket.socket(socket.AF_UNIX) as trial, suppress(ConnectionRefusedError):
                trial.connect(f"{path}")
                raise Refused(f"{path}: another agent listens there")
            path.unlink()
        made.bind(f"{path}")
        os.chmod(path, 0o666)
    except OSError as error:
        made.close()
        raise trouble(error, path) from None
    return made


async def _serve(service: Service, given: socket.socket | None) -> None:
    ending = asyncio.Event()
    for number in ENDING:
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    await answering(service, given, ending)


async def answering(service: Service, given: socket.socket | None, ending: asyncio.Event) -> None:
    """Answer until *ending*; steps that are under way by then are finished.

    *given* listens, or is one connection; without it, standard input and output are one.
    """
    watch = asyncio.ensure_future(service.watch(own()))
    try:
        if given is None:
            await _first(_on_standard_input(service), ending.wait())
        elif _is_connection(given):
            await _first(_on_connection(service, given), ending.wait())
        else:
            await _listen(service, given, ending)
    finally:
        watch.cancel()
        await (service.runs.idle() if not ending.is_set() else service.end())


async def _on_standard_input(service: Service) -> None:
    who = on_standard_input()
    both = is_socket(0) and is_socket(1)
    await spoken(service, 0, 1, who, passes_descriptors=both)


def _is_connection(given: socket.socket) -> bool:
    """As ``exec:`` of varlinkctl gives one, in the way in which systemd gives what listens."""
    try:
        given.getpeername()
    except OSError:
        return False
    return True


async def _on_connection(service: Service, connection: socket.socket) -> None:
    connection.setblocking(False)
    await spoken(service, connection, connection, peer(connection), passes_descriptors=True)


async def _listen(service: Service, listening: socket.socket, ending: asyncio.Event) -> None:
    listener, loop = Listener(service), asyncio.get_running_loop()
    listening.setblocking(False)
    listening.listen(BACKLOG)
    loop.add_reader(listening, listener.accept, listening)
    await ending.wait()
    loop.remove_reader(listening)
    listening.close()


async def _first(*waits: Coroutine[object, object, object]) -> None:
    """Wait for the first of these; the others are given up."""
    tasks = [asyncio.ensure_future(each) for each in waits]
    _, left = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in left:
        task.cancel()
