"""Limits, devices and disks of domains, changed as they run.

A part of ``libvirt_calls``; as that, it imports nothing of geats.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any, TypeAlias

libvirt: Any = import_module("libvirt")  # it has no types
of_geats: Any = import_module("of_geats")  # beside this one

LOOKS_S = 0.05
LIVE = libvirt.VIR_DOMAIN_AFFECT_LIVE
PINGS_S = 2  # whole seconds that an agent has
PLUGGED_IN_WITHIN_S = 5.0  # a guest sees a new CPU a while after it is there
Request: TypeAlias = Mapping[str, Any]
Answer: TypeAlias = dict[str, object]
Connection: TypeAlias = Any
Domain: TypeAlias = Any


def set_limits(host: Connection, request: Request) -> Answer:
    """Change memory and CPUs of the running guest, see that they are there, and note it."""
    domain = of_geats.ours(host, request)
    domain.setMemoryFlags(request["memory_kib"], LIVE)
    until = time.monotonic() + request["timeout"]
    while domain.memoryStats().get("actual", 0) != request["memory_kib"]:
        if time.monotonic() >= until:
            raise of_geats.Refused(
                "the guest does not give or take memory: it has no balloon driver"
            )
        time.sleep(LOOKS_S)
    is_more = domain.vcpusFlags(LIVE) < request["cpus"]
    if is_more:
        domain.setVcpusFlags(request["cpus"], LIVE)
    answer: Answer = of_geats.note(domain, request)
    if is_more and of_geats.agent_says(domain, "guest-ping", PINGS_S):
        _bring_up(domain, request["cpus"], min(PLUGGED_IN_WITHIN_S, request["timeout"]))
    return answer


def _bring_up(domain: Domain, cpus: int, within_s: float) -> None:
    """Have the agent bring up new CPUs, once the guest sees them; without one it does so itself."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        with suppress(libvirt.libvirtError):
            domain.setVcpusFlags(cpus, libvirt.VIR_DOMAIN_VCPU_GUEST)
            return
        time.sleep(LOOKS_S)


def set_devices(host: Connection, request: Request) -> Answer:
    """Attach, change and detach devices of the running guest, and note it once all are done."""
    domain = of_geats.ours(host, request)
    for step in request["steps"]:  # one that is done already is not among them: see live_devices
        DOING[step["doing"]](domain, step["xml"], request["timeout"])
    answer: Answer = of_geats.note(domain, request)
    return answer


def resize(host: Connection, request: Request) -> Answer:
    """Let the QEMU that has the disk see its new size; of a file, it is QEMU that changes it."""
    domain = of_geats.found(host, request["name"])
    if domain is not None and domain.isActive():
        of_geats.check_ours(domain)
        if request["path"] in _disks(domain):  # else it is to be plugged in later
            flags = libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES
            domain.blockResize(request["path"], request["size_bytes"], flags)
    return {}


def _disks(domain: Domain) -> set[str]:
    """The paths of the disks that it runs with."""
    elements: Any = import_module("xml.etree.ElementTree")  # which takes a while, and few need it
    found = elements.fromstring(domain.XMLDesc(0)).iterfind("devices/disk/source")
    return {source.get("file") or source.get("dev") for source in found}


def _attach(domain: Domain, xml: str, _: float) -> None:
    domain.attachDeviceFlags(xml, LIVE)


def _change(domain: Domain, xml: str, _: float) -> None:
    domain.updateDeviceFlags(xml, LIVE)


def _detach(domain: Domain, xml: str, timeout_s: float) -> None:
    """Ask the guest to release it, and wait until it did."""
    elements: Any = import_module("xml.etree.ElementTree")  # which takes a while, and few need it
    device = elements.fromstring(xml)
    alias = device.find("alias")
    name = "" if alias is None else alias.get("name", "")
    domain.detachDeviceAlias(name, LIVE)
    until = time.monotonic() + timeout_s
    while f"<alias name='{name}'/>" in domain.XMLDesc(0):
        if time.monotonic() >= until:
            why = f"the guest does not release the {device.tag} {name}: restart it"
            raise of_geats.Refused(why)
        time.sleep(LOOKS_S)


DOING: Mapping[str, Callable[[Domain, str, float], None]] = {
    "attach": _attach,
    "change": _change,
    "detach": _detach,
}
