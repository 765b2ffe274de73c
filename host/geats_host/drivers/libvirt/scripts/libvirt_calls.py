"""Calls into libvirt, in a process of its own: the script ``child`` runs it.

A daemon that hangs, or a QEMU that does, lets any call hang for ever: so each runs in a process
that the driver kills when its time is up. It imports nothing of geats, and may run in another
Python than that: the script says where the binding is. Each request is an object of JSON in a line
of its input: ``uri``, ``do``, and what that needs. The answer is a line of its output; if it has
``failed``, that says why nothing was done.

It ends as soon as its input does, or the process that started it, in the midst of any call; and if
nothing is asked for a while.
"""

import json
import os
import select
from importlib import import_module
from queue import Empty, SimpleQueue
from threading import Thread

TYPE_CHECKING = False  # that of ``typing``, which takes a while to load
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, TypeAlias

    Request: TypeAlias = Mapping[str, Any]
    Answer: TypeAlias = dict[str, object]

LOOKS_FOR_PARENT_S = 1.0
IDLE_S = 30.0  # longer than anybody keeps it: see ``children``


def main() -> int:
    """Do what is asked for, and answer."""
    requests: SimpleQueue[bytes] = SimpleQueue()
    Thread(target=_listen, args=[requests, os.getppid()], daemon=True).start()
    while True:
        try:
            request = json.loads(requests.get(timeout=IDLE_S))
        except Empty:
            return 0
        print(json.dumps(_answer(request)), flush=True)


def _answer(request: "Request") -> "Answer":
    seen = _looked(request) if request["do"] == "observe" else None
    if seen is not None:
        return seen
    answer: Answer = import_module("all_calls").answer(request)
    return answer


def _looked(request: "Request") -> "Answer | None":
    """What is seen of domains, sooner; None if that must be asked of ``libvirt`` itself."""
    looking: Any = import_module("looking")
    try:
        with looking.connected(request["uri"]) as host:
            seen: Answer = looking.observe(host, request, looking.Failed)
            return seen
    except (AttributeError, TypeError, looking.Failed):  # libvirt itself may do it, or says why not
        return None


def _listen(requests: "SimpleQueue[bytes]", parent: int) -> None:
    """Hand requests on; if there can be none any more, nobody waits for an answer either."""
    said = b""
    while os.getppid() == parent:
        if select.select([0], [], [], LOOKS_FOR_PARENT_S)[0]:
            piece = os.read(0, 65_536)
            if not piece:
                break
            *whole, said = (said + piece).split(b"\n")
            for each in whole:
                requests.put(each)
    os._exit(1)
