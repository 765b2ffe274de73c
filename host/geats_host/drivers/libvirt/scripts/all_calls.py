"""All that can be asked of libvirt, by what a request says is to be done.

A part of ``libvirt_calls``; as that, it imports nothing of geats. It takes a while to load.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, TypeAlias

libvirt: Any = import_module("libvirt")  # it has no types
of_geats: Any = import_module("of_geats")  # beside this one, as are the others
seeing: Any = import_module("seeing")
defining: Any = import_module("defining")
powering: Any = import_module("powering")
changing: Any = import_module("changing")
counting: Any = import_module("counting")
moving: Any = import_module("moving")

Request: TypeAlias = Mapping[str, Any]
Answer: TypeAlias = dict[str, object]
Connection: TypeAlias = Any


def answer(request: Request) -> Answer:
    """Do it; the answer has ``failed`` if that says why nothing was done."""
    libvirt.registerErrorHandler(lambda *_: None, None)
    try:
        with of_geats.connected(request["uri"]) as host:
            return ACTIONS[request["do"]](host, request)
    except (libvirt.libvirtError, of_geats.Refused) as error:
        return {"failed": str(error)}


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
    "ended": seeing.ended,
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
