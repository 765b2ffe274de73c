"""Connections that speak varlink: one call at a time, in messages that have a largest size.

Theory of operation
-------------------
The event loop only reads and writes; threads look at the host, and change it. The next call of a
connection is read once the reply of the last has been taken, so that who reads slowly, or not at
all, has one reply waiting and no more. What is no message, or too large for one, ends the
connection. Who has no right is told that, whatever the call is, and nothing else.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from inspect import Parameter, Signature
from types import new_class
from typing import Any, TypedDict

from asyncvarlink import (
    AnnotatedResult,
    FileDescriptor,
    FileDescriptorArray,
    GenericVarlinkErrorReply,
    TypedVarlinkErrorReply,
    VarlinkInterface,
    VarlinkInterfaceRegistry,
    VarlinkInterfaceServerProtocol,
    VarlinkMethodCall,
    VarlinkTransport,
    varlinkmethod,
)
from asyncvarlink.serviceinterface import VarlinkServiceInterface

from geats_host.agent.callers import Caller
from geats_host.agent.definition import FAULTS, METHODS, NAME, Descriptor, Method, Replies
from geats_host.agent.faults import Fault, refused
from geats_host.agent.schemas import is_optional
from geats_host.agent.service import Service
from geats_host.plugins.installed import own_version

LARGEST_BYTES = 1 << 20  # of a message; read, it can take twenty times as much memory
LARGEST_OF_STRANGERS = 1 << 12
HOME = "https://github.com/geats/geats"
NO_DESCRIPTORS = "needs a unix socket, which passes a terminal on: use 'geats console' instead"


@dataclass(slots=True)
class Conversation:
    """What one connection asks for: see ``definition`` for the methods."""

    service: Service
    caller: Caller
    passes_descriptors: bool = False
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    handed_over: list[int] = field(default_factory=list)

    async def one(self, method: str, parameters: Mapping[str, Any]) -> AnnotatedResult:
        """The reply to a call that has one."""
        try:
            if method == "Console":
                return AnnotatedResult({"terminal": await self._terminal(parameters["name"])})
            return AnnotatedResult(await self.service.one(self.caller, method, parameters))
        except Fault as fault:
            raise _error(fault) from None

    async def many(
        self, method: str, parameters: Mapping[str, Any]
    ) -> AsyncIterator[AnnotatedResult]:
        """The replies to a call that has several: the last of Apply has the result."""
        words = {"since": None, "vms": None, **parameters}
        replies = (
            self.service.applied(self.caller, parameters)
            if method == "Apply"
            else self.service.events(self.caller, words["since"], words["vms"], self.gone)
        )
        try:
            async for reply in replies:
                yield AnnotatedResult(reply, continues="result" not in reply)
        except Fault as fault:
            raise _error(fault) from None

    async def _terminal(self, name: str) -> FileDescriptor:
        if not self.passes_descriptors:
            raise refused("", NO_DESCRIPTORS)
        terminal = await self.service.console(self.caller, name)
        self.handed_over.append(terminal)
        return FileDescriptor(terminal)

    def sent(self) -> None:
        """What was handed over is the caller's now."""
        while self.handed_over:
            os.close(self.handed_over.pop())


def _error(fault: Fault) -> GenericVarlinkErrorReply:
    parameters: Any = fault.parameters
    return GenericVarlinkErrorReply(f"{NAME}.{fault.name}", parameters)


def _typed(kind: Any) -> Any:
    return FileDescriptor if kind is Descriptor else kind


def _function(name: str, method: Method) -> Any:
    """The method as asyncvarlink wants it: its types are those of its signature."""

    async def one(self: Any, **parameters: Any) -> AnnotatedResult:
        conversation: Conversation = self.conversation
        return await conversation.one(name, parameters)

    async def many(self: Any, **parameters: Any) -> AsyncIterator[AnnotatedResult]:
        async for reply in self.conversation.many(name, parameters):
            yield reply

    function: Any = many if method.replies is Replies.MANY else one
    own = Parameter("self", Parameter.POSITIONAL_OR_KEYWORD)
    takes = [
        Parameter(
            each,
            Parameter.KEYWORD_ONLY,
            annotation=kind,
            default=None if is_optional(kind) else Parameter.empty,
        )
        for each, kind in method.takes.items()
    ]
    gives: Any = AsyncIterator[AnnotatedResult] if function is many else AnnotatedResult
    function.__signature__ = Signature([own, *takes], return_annotation=gives)
    function.__name__, function.__doc__ = name, method.about
    kinds = {each: _typed(kind) for each, kind in method.gives.items()}
    whole = method.replies is Replies.ONE
    answers: Any = TypedDict(f"{name}Reply", kinds, total=whole)  # type: ignore[misc]
    return varlinkmethod(function, return_type=answers, allow_foreign=True)


def _error_class(name: str) -> type[TypedVarlinkErrorReply]:
    about, carries = FAULTS[name]
    parameters = type("Parameters", (), {"__annotations__": dict(carries)})
    body = {"__doc__": about, "Parameters": parameters}
    made = new_class(
        name, (TypedVarlinkErrorReply,), {"interface": NAME}, lambda ns: ns.update(body)
    )
    return made


class HostInterface(VarlinkInterface):
    """This host and its VMs, for programs that decide what runs where."""

    name = NAME
    errors = tuple(map(_error_class, FAULTS))

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation


for _name, _method in METHODS.items():
    setattr(HostInterface, _name, _function(_name, _method))


class Connection(VarlinkInterfaceServerProtocol):
    """One connection; see the module."""

    def __init__(self, conversation: Conversation, largest_bytes: int = LARGEST_BYTES) -> None:
        registry = VarlinkInterfaceRegistry()
        about = ("geats", "geats", own_version(), HOME)
        registry.register_interface(VarlinkServiceInterface(*about, registry))
        registry.register_interface(HostInterface(conversation))
        super().__init__(registry)
        self.conversation, self.largest_bytes = conversation, largest_bytes
        self.sending: set[asyncio.Future[None]] = set()
        self.waiting_bytes = 0
        self.is_over = self.is_gone = False
        self.transport: VarlinkTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert isinstance(transport, VarlinkTransport)
        self.transport = transport

    def message_received(self, data: bytes, fds: FileDescriptorArray | None) -> None:
        """Take what was read; descriptors are never wanted, and closed by who read them."""
        self.waiting_bytes += len(data.partition(b"\0")[0])
        if self.waiting_bytes > self.largest_bytes:
            self.give_up()
            return
        if b"\0" in data:
            self.waiting_bytes = len(data.rpartition(b"\0")[2])
        try:
            super().message_received(data, None)
        except (ValueError, RecursionError):  # it is not JSON, in ways that the library lets pass
            self.give_up()

    def error_received(self, err: Exception, data: bytes, fds: FileDescriptorArray | None) -> None:
        """What is no message ends the connection."""
        self.give_up()

    def give_up(self) -> None:
        """End the connection at once; what was read of it already is not looked at."""
        self.is_over = True
        if self.transport is not None:
            self.transport.abort()

    def request_received(
        self, obj: dict[str, Any], fds: FileDescriptorArray | None
    ) -> asyncio.Future[None] | None:
        """Begin a call, unless it is none: the next one waits for this one, and its replies.

        Of who has gone, only calls that want no reply are begun.
        """
        if not isinstance(obj.get("method"), str):
            self.give_up()
        if self.is_over or (self.is_gone and not obj.get("oneway")):
            return None
        return asyncio.ensure_future(self._settled(super().request_received(obj, fds)))

    async def _settled(self, call: asyncio.Future[None] | None) -> None:
        """Wait until the call is over, and its replies have been taken."""
        if call is not None:
            await call
        if self.sending:
            await asyncio.wait(self.sending)
        self.conversation.sent()

    def call_received(
        self, call: VarlinkMethodCall, fds: FileDescriptorArray | None
    ) -> asyncio.Future[None] | None:
        return asyncio.ensure_future(self._if_allowed(call))

    async def _if_allowed(self, call: VarlinkMethodCall) -> None:
        conversation = self.conversation
        if not await conversation.service.knows(conversation.caller):
            raise _error(Fault("NotAllowed"))
        under_way = super().call_received(call, None)
        if under_way is not None:
            await under_way

    def send_message(
        self, obj: dict[str, Any], fds: list[int] | None = None, autoclose: bool = True
    ) -> asyncio.Future[None]:
        if self.is_gone:  # the library would warn of each
            sending = asyncio.get_running_loop().create_future()
            sending.set_exception(BrokenPipeError())
            return sending
        sending = super().send_message(obj, fds, autoclose)
        self.sending.add(sending)
        sending.add_done_callback(self._taken)
        return sending

    def _taken(self, sending: asyncio.Future[None]) -> None:
        """A reply was taken, or nobody is there to take any."""
        self.sending.discard(sending)
        self.is_gone = self.is_gone or sending.cancelled() or sending.exception() is not None

    def eof_received(self) -> None:
        self._gone()
        super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone()
        super().connection_lost(exc)

    def _gone(self) -> None:
        """Whoever watches does not any more; what is under way goes on."""
        self.conversation.gone.set()
        self.conversation.service.watched.wake()


def is_socket(descriptor: int) -> bool:
    """Whether it can pass descriptors on: a unix socket."""
    try:
        with socket.socket(fileno=os.dup(descriptor)) as found:
            return found.family == socket.AF_UNIX
    except OSError:
        return False
