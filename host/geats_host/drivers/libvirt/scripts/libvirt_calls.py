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
from collections.abc import Callable, Mapping
from importlib import import_module
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeAlias

libvirt: Any = import_module("libvirt")  # it has no types
of_geats: Any = import_module("of_geats")  # beside this one, as are the others
seeing: Any = import_module("seeing")
defining: Any = import_module("defining")
powering: Any = import_module("powering")
changing: Any = import_module("changing")
counting: Any = import_module("counting")
hotplug: Any = import_module("hotplug")
moving: Any = import_module("moving")

LOOKS_FOR_PARENT_S = 1.0
IDLE_S = 30.0  # longer than anybody keeps it: see ``children``
Request: TypeAlias = Mapping[str, Any]
Answer: TypeAlias = dict[str, object]
Connection: TypeAlias = Any


def main() -> int:
    """Do what is asked for, and answer."""
    libvirt.registerErrorHandler(lambda *_: None, None)
    requests: SimpleQueue[bytes] = SimpleQueue()
    Thread(target=_listen, args=[requests, os.getppid()], daemon=True).start()
    while True:
        try:
            request = json.loads(requests.get(timeout=IDLE_S))
        except Empty:
            return 0
        print(json.dumps(_answer(request)), flush=True)


def _answer(request: Request) -> Answer:
    try:
        with of_geats.connected(request["uri"]) as host:
            return ACTIONS[request["do"]](host, request)
    except (libvirt.libvirtError, hotplug.StillThere, of_geats.Refused) as error:
        return {"failed": str(error)}


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


def _moving_texts(host: Connection, request: Request) -> Answer:
    return dict(moving.texts(of_geats.ours(host, request)))


def _send(host: Connection, request: Request) -> Answer:
    moving.send(of_geats.ours(host, request), request)
    return {}


def _was_sent(host: Connection, request: Request) -> Answer:
    return {"sent": moving.was_sent(of_geats.ours(host, request))}


def _was_cut(host: Connection, request: Request) -> Answer:
    return {"cut": moving.was_cut(of_geats.ours(host, request))}


def _arrived(host: Connection, request: Request) -> Answer:
    return {"arrived": moving.arrived(of_geats.found(host, request["name"]))}


def _drop(host: Connection, request: Request) -> Answer:
    """Forget a domain, and end it: what came of one that is on another host, or is to come."""
    domain = of_geats.found(host, request["name"])
    if domain is not None:
        of_geats.check_ours(domain)
        powering.destroy(domain)
    answer: Answer = defining.undefine(host, request)
    return answer


def _settle(host: Connection, request: Request) -> Answer:
    """Note with what it runs that came here, and stands still."""
    answer: Answer = of_geats.note(of_geats.ours(host, request), request)
    return answer


def _knows_machine(host: Connection, request: Request) -> Answer:
    return {"known": moving.knows_machine(host, request["machine"], request["kind"])}


ACTIONS: Mapping[str, Callable[[Connection, Request], Answer]] = {
    "observe": seeing.observe,
    "text": seeing.text,
    "adopt": defining.adopt,
    "define": defining.define,
    "start": powering.start,
    "shutdown": powering.shutdown,
    "stop": powering.stop,
    "freeze": powering.freeze,
    "unfreeze": powering.unfreeze,
    "undefine": defining.undefine,
    "renew": defining.renew,
    "rename": defining.rename,
    "remembered": defining.remembered,
    "remember": defining.remember,
    "set-limits": changing.set_limits,
    "set-devices": changing.set_devices,
    "moving-texts": _moving_texts,
    "send": _send,
    "was-sent": _was_sent,
    "was-cut": _was_cut,
    "arrived": _arrived,
    "drop": _drop,
    "settle": _settle,
    "user": seeing.user,
    "knows-machine": _knows_machine,
    "resize": changing.resize,
    "examine": seeing.examine,
    "networks": seeing.networks,
    "info": counting.info,
    "usage": counting.usage,
}
