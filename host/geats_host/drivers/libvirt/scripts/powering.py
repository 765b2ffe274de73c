"""Domains on and off, suspended and resumed.

A part of ``libvirt_calls``; as that, it imports nothing of geats.
"""

import time
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any, TypeAlias

libvirt: Any = import_module("libvirt")  # it has no types
of_geats: Any = import_module("of_geats")  # beside this one

YOUNG_NS = 60 * 10**9  # of CPU time: so long a guest may boot, and not hear what it is asked
ASKS_YOUNG_S, ASKS_S = 3.0, 30.0  # to others, such as illumos, a second press says: cancel that
LOOKS_S = 0.05
ONCE_S, PINGS_S = 1, 2  # whole seconds that an agent has
Request: TypeAlias = Mapping[str, Any]
Answer: TypeAlias = dict[str, object]
Connection: TypeAlias = Any
Domain: TypeAlias = Any


def start(host: Connection, request: Request) -> Answer:
    """Power on, and see that it stays on for a moment.

    If it was not made from the spec with that ``digest``, nothing is done, and that is told.
    """
    domain = of_geats.ours(host, request)
    if domain.isActive():
        raise of_geats.Refused("it is on already")
    if request["digest"] not in domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE):
        return {"other": True}
    domain.create()
    until = time.monotonic() + request["settle"]
    while domain.isActive():
        if time.monotonic() >= until:
            return {"other": False}
        time.sleep(LOOKS_S)
    raise of_geats.Refused("it ended right after its start")


def shutdown(host: Connection, request: Request) -> Answer:
    """Ask the agent, or press the power button, again after a while; at last pull the plug.

    libvirt's own way to ask an agent waits for a minute if that does not answer.
    """
    domain = of_geats.ours(host, request)
    deadline = time.monotonic() + request["timeout"]
    asks = time.monotonic()
    if of_geats.agent_says(domain, "guest-ping", PINGS_S):
        of_geats.agent_says(domain, "guest-shutdown", ONCE_S)  # which it does not answer
        asks += ASKS_YOUNG_S
    while domain.isActive():
        now = time.monotonic()
        if now >= deadline:
            destroy(domain)
            return {"forced": True}
        if now >= asks:
            asks = now + ASKS_YOUNG_S
            with suppress(libvirt.libvirtError):  # it ended just now, or cannot be asked
                _press(domain)
                asks = now + (ASKS_YOUNG_S if domain.info()[4] < YOUNG_NS else ASKS_S)
        time.sleep(LOOKS_S)
    return {"forced": False}


def _press(domain: Domain) -> None:
    """The power button, or what else a daemon has for it that knows of no such thing."""
    try:
        domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)
    except libvirt.libvirtError as error:
        if error.get_error_code() not in of_geats.UNSUPPORTED:
            raise
        domain.shutdown()


def stop(host: Connection, request: Request) -> Answer:
    destroy(of_geats.ours(host, request))
    return {}


def destroy(domain: Domain) -> None:
    try:
        domain.destroy()
    except libvirt.libvirtError:
        if domain.isActive():
            raise


def freeze(host: Connection, request: Request) -> Answer:
    domain = of_geats.ours(host, request)
    if domain.state()[0] != libvirt.VIR_DOMAIN_PAUSED:
        domain.suspend()
    return {}


def unfreeze(host: Connection, request: Request) -> Answer:
    go_on(of_geats.ours(host, request))
    return {}


def go_on(domain: Domain) -> None:
    """Resume it; if it runs already, somebody else resumed it."""
    if domain.state()[0] != libvirt.VIR_DOMAIN_RUNNING:
        domain.resume()
