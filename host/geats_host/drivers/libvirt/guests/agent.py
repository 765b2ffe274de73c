"""What a guest's agent is asked, and what it answers: none of which is trusted.

Theory of operation
-------------------
The agent (``qemu-ga``) is a program in the guest, and says what the guest likes. libvirt talks to
it, and limits how long an answer may be. A child (``scripts.agent_child``) talks to libvirt, as all
calls of libvirt may hang, and passes on text. Only here is that text read: an answer that is no
JSON, or of another shape than was asked for, is an error, as is one that does not come in time.
"""

import json
import os
import selectors
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeAlias

from geats_core.reading.fields import printable
from geats_host.errors import HostError
from geats_host.linux.run import ENDS_WITH_US

Asks: TypeAlias = Callable[[str, Mapping[str, object], float], object]
LONGEST = 32 << 20  # bytes of a line of the child: libvirt gives at most 4 MiB, here escaped
CHUNK = 1 << 16
MORE_S = 10.0  # that the child has beyond the time that the agent has
WORDS = 500  # characters of what a guest says, in an error
MEND = {
    "agent": "no agent answers in its guest: install qemu-guest-agent there, or wait until it has"
    " booted",
    "channel": "its guest cannot be reached: set hardware.agent to true, and restart it",
}
MALFORMED = "the guest's agent gives a malformed answer"


@dataclass(slots=True)
class Agent:
    """The agent of one guest, as long as a block of ``connected`` lasts."""

    process: subprocess.Popen[bytes]
    rest: bytearray = field(default_factory=bytearray)

    def ask(self, command: str, arguments: Mapping[str, object], within_s: float) -> object:
        """What the agent returns; ``HostError`` says what it complains of, or that it is deaf."""
        ask = json.dumps({"execute": command, "arguments": dict(arguments)})
        self.tell({"ask": ask, "within_s": within_s})
        return returned(self.answer(within_s + MORE_S))

    def answer(self, within_s: float) -> str:
        """What the child passes on."""
        match self._line(time.monotonic() + within_s):
            case {"answer": str(text)}:
                return text
            case {"failed": str(why), "lacks": str(lacks)}:
                raise HostError(f"{MEND[lacks]} ({_words(why)})" if lacks in MEND else _words(why))
            case _:
                raise HostError("libvirt does not say what the agent answers")

    def tell(self, request: Mapping[str, object]) -> None:
        """Give the child a line."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended: its last line says why
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()

    def _line(self, deadline: float) -> object:
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as pipe:
            pipe.register(self.process.stdout, selectors.EVENT_READ)
            while b"\n" not in self.rest:
                left_s = deadline - time.monotonic()
                if left_s <= 0 or not pipe.select(left_s):
                    raise HostError("libvirt does not answer in time")
                said = os.read(self.process.stdout.fileno(), CHUNK)
                self.rest += said
                if not said or len(self.rest) > LONGEST:
                    raise HostError("libvirt says nothing that can be read")
        line, _, self.rest = self.rest.partition(b"\n")
        return json.loads(line)


@contextmanager
def connected(argv: Sequence[str], uri: str, name: str, within_s: float) -> Iterator[Agent]:
    """The agent of a guest, by the child that *argv* is the command of."""
    process = subprocess.Popen(
        [*ENDS_WITH_US, *argv],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        agent = Agent(process)
        agent.tell({"uri": uri, "name": name})
        agent.answer(within_s)  # before that, nothing large may be written to it
        yield agent
    finally:
        process.kill()  # there is nothing to lose
        process.communicate()


def thawing(uri: str, name: str) -> str:
    """The input of a child that lets a guest go on, and then its filesystems."""
    thaw = {"ask": json.dumps({"execute": "guest-fsfreeze-thaw"}), "within_s": MORE_S}
    return "".join(json.dumps(e) + "\n" for e in ({"uri": uri, "name": name, "resume": True}, thaw))


def returned(text: str) -> object:
    """What an agent's answer returns."""
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        answer = None
    if isinstance(answer, dict) and "return" in answer:
        return answer["return"]
    raise HostError(f"{MALFORMED}: {_words(text)}")


def _words(said: str) -> str:
    return printable(said[:WORDS])
