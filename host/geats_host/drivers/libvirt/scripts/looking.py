"""What is seen of domains: their states and their XML. A part of ``libvirt_calls``.

It imports neither geats nor ``libvirt``, but the module that ``libvirt`` is a layer over: that
loads in half the time. ``Host`` and ``Domain`` have what is asked here by the names that it has in
``libvirt``, so either can be asked, and errors are *failures*. The numbers are those that libvirt
has for ever. Where that module is not, or is not as this expects it, a call fails, and ``libvirt``
itself is asked.
"""

from contextlib import contextmanager
from importlib import import_module

TYPE_CHECKING = False  # that of ``typing``, which takes a while to load
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any, TypeAlias

    Answer: TypeAlias = dict[str, object]
    Handle: TypeAlias = Any
    Failures: TypeAlias = type[Exception]

try:
    libvirtmod: "Any" = import_module("libvirtmod")  # it has no types
except ImportError:
    libvirtmod = None
SAYS_NO = (None, -1)
OCCUPIED_MS = 10_000  # a QEMU that did not answer for so long is stuck
NO_DOMAIN, NO_SUPPORT, INVALID_ARG, OPERATION_INVALID = 42, 3, 8, 55  # VIR_ERR_...
ACTIVE = 1  # VIR_CONNECT_LIST_DOMAINS_ACTIVE
INACTIVE = 2  # VIR_DOMAIN_XML_INACTIVE
OFF = (5, 0)  # VIR_DOMAIN_SHUTOFF
BUSY, ERROR = (1, 2), 3  # VIR_DOMAIN_CONTROL_JOB, _OCCUPIED, _ERROR


class Failed(Exception):
    """What libvirt says that is wrong."""

    def get_error_code(self) -> int:
        return int(self.args[0])


class Domain:
    """A domain; it holds its connection open until it is forgotten."""

    def __init__(self, handle: "Handle") -> None:
        self._handle = handle

    def __del__(self) -> None:
        libvirtmod.virDomainFree(self._handle)

    def name(self) -> str:
        return str(_said(libvirtmod.virDomainGetName(self._handle)))

    def state(self) -> "list[int]":
        state: list[int] = _said(libvirtmod.virDomainGetState(self._handle, 0))
        return state

    def isPersistent(self) -> bool:
        return bool(_said(libvirtmod.virDomainIsPersistent(self._handle)))

    def isActive(self) -> bool:
        return bool(_said(libvirtmod.virDomainIsActive(self._handle)))

    def XMLDesc(self, flags: int) -> str:
        return str(_said(libvirtmod.virDomainGetXMLDesc(self._handle, flags)))

    def controlInfo(self) -> "list[int]":
        info: list[int] = _said(libvirtmod.virDomainGetControlInfo(self._handle, 0))
        return info


class Host:
    """A connection."""

    def __init__(self, handle: "Handle") -> None:
        self._handle = handle

    def listAllDomains(self, flags: int = 0) -> "list[Domain]":
        found = _said(libvirtmod.virConnectListAllDomains(self._handle, flags))
        return [Domain(each) for each in found]

    def lookupByName(self, name: str) -> Domain:
        return Domain(_said(libvirtmod.virDomainLookupByName(self._handle, name)))


@contextmanager
def connected(uri: str) -> "Iterator[Host]":
    libvirtmod.virRegisterErrorHandler(lambda *_: None, None)
    handle = _said(libvirtmod.virConnectOpen(uri))
    try:
        yield Host(handle)
    finally:
        libvirtmod.virConnectClose(handle)


def _said(answer: "Any") -> "Any":
    if answer in SAYS_NO:
        raise Failed(*(libvirtmod.virGetLastError() or [0]))
    return answer


def observe(host: "Any", request: "Mapping[str, Any]", failures: "Failures") -> "Answer":
    """Every domain, or the one called ``name``, with its state and its XML."""
    name = request.get("name")
    if name is not None:
        domain = _found(host, name, failures)
        seen = [_seen(domain, failures, on=True)] if domain else []
    else:  # each question takes a moment, so those that are off are asked for nothing but their XML
        domains = host.listAllDomains()
        on = {each.name() for each in host.listAllDomains(ACTIVE)}
        seen = [_seen(each, failures, on=each.name() in on) for each in domains]
    return {"domains": [each for each in seen if each]}


def _found(host: "Any", name: str, failures: "Failures") -> "Any":
    try:
        return host.lookupByName(name)
    except failures as error:
        if _code(error) == NO_DOMAIN:
            return None
        raise


def _seen(domain: "Any", failures: "Failures", *, on: bool) -> "Answer | None":
    """What is known of it, which may be *on*; None if it ended, and was not defined, meanwhile."""
    try:
        state, reason = domain.state() if on else OFF
        is_defined = bool(domain.isPersistent()) if on else True
        on = on and bool(domain.isActive())
        return {
            "name": domain.name(),
            "state": state,
            "reason": reason,
            "defined": is_defined,
            "xml": domain.XMLDesc(INACTIVE if is_defined else 0),
            "live": domain.XMLDesc(0) if on else "",
            "stuck": on and _is_stuck(domain, failures),
        }
    except failures as error:
        if _code(error) == NO_DOMAIN:
            return None
        raise


def _is_stuck(domain: "Any", failures: "Failures") -> bool:
    """Whether its QEMU does not answer any more."""
    try:
        state, _, since_ms = domain.controlInfo()
    except failures as error:
        if _code(error) in (NO_SUPPORT, INVALID_ARG, OPERATION_INVALID):
            return False
        raise
    is_late = state in BUSY and since_ms > OCCUPIED_MS
    return bool(is_late or state == ERROR)


def _code(error: "Any") -> int:
    return int(error.get_error_code())
