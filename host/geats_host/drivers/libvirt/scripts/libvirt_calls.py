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
import re
import select
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeAlias

libvirt: Any = import_module("libvirt")  # it has no types
hotplug: Any = import_module("hotplug")  # beside this one
moving: Any = import_module("moving")  # as well

NAMESPACE = "urn:geats:1"
YOUNG_NS = 60 * 10**9  # of CPU time: so long a guest may boot, and not hear what it is asked
ASKS_YOUNG_S, ASKS_S = 3.0, 30.0  # to others, such as illumos, a second press says: cancel that
ONCE_S, PINGS_S, TELLS_S = 1, 2, 5  # whole seconds that an agent has
USAGE_S = 2.0  # that the agents of all guests have together
INTERFACES = "guest-network-get-interfaces"
AGENT_IS_THERE = re.compile(r"""<target [^>]*org\.qemu\.guest_agent\.0[^>]*=["']connected["']""")
LOOKS_S, LOOKS_FOR_PARENT_S = 0.05, 1.0
IDLE_S = 30.0  # longer than anybody keeps it: see ``children``
OCCUPIED_MS = 10_000  # a QEMU that did not answer for so long is stuck
GONE = (libvirt.VIR_ERR_NO_DOMAIN,)
UNSUPPORTED = (libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_INVALID_ARG)
UNDEFINE = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
)
KEPT = ("is_saved", "snapshots", "checkpoints")
OFF = (libvirt.VIR_DOMAIN_SHUTOFF, 0)
LIVE = libvirt.VIR_DOMAIN_AFFECT_LIVE
Request: TypeAlias = Mapping[str, Any]
Answer: TypeAlias = dict[str, object]
Connection: TypeAlias = Any
Domain: TypeAlias = Any


class Refused(Exception):
    """Why nothing is done."""


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
        with connected(request["uri"]) as host:
            return ACTIONS[request["do"]](host, request)
    except (libvirt.libvirtError, hotplug.StillThere, Refused) as error:
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


@contextmanager
def connected(uri: str) -> Iterator[Connection]:
    host = libvirt.open(uri)
    try:
        yield host
    finally:
        host.close()


def _observe(host: Connection, request: Request) -> Answer:
    """Every domain, or the one called ``name``, with its state and its XML."""
    name = request.get("name")
    if name is not None:
        domain = _found(host, name)
        seen = [_seen(domain, on=True)] if domain else []
    else:  # each question takes a moment, so those that are off are asked for nothing but their XML
        domains = host.listAllDomains()
        on = {each.name() for each in host.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)}
        seen = [_seen(each, on=each.name() in on) for each in domains]
    return {"domains": [each for each in seen if each]}


def _found(host: Connection, name: str) -> Domain | None:
    try:
        return host.lookupByName(name)
    except libvirt.libvirtError as error:
        if error.get_error_code() in GONE:
            return None
        raise


def _seen(domain: Domain, *, on: bool) -> Answer | None:
    """What is known of it, which may be *on*; None if it ended, and was not defined, meanwhile."""
    try:
        state, reason = domain.state() if on else OFF
        is_defined = bool(domain.isPersistent()) if on else True
        flags = libvirt.VIR_DOMAIN_XML_INACTIVE if is_defined else 0
        on = on and bool(domain.isActive())
        return {
            "name": domain.name(),
            "state": state,
            "reason": reason,
            "defined": is_defined,
            "xml": domain.XMLDesc(flags),
            "live": domain.XMLDesc(0) if on else "",
            "stuck": on and _is_stuck(domain),
        }
    except libvirt.libvirtError as error:
        if error.get_error_code() in GONE:
            return None
        raise


def _is_stuck(domain: Domain) -> bool:
    """Whether its QEMU does not answer any more."""
    try:
        state, _, since_ms = domain.controlInfo()
    except libvirt.libvirtError as error:
        if error.get_error_code() in (*UNSUPPORTED, libvirt.VIR_ERR_OPERATION_INVALID):
            return False
        raise
    busy = (libvirt.VIR_DOMAIN_CONTROL_JOB, libvirt.VIR_DOMAIN_CONTROL_OCCUPIED)
    is_late = state in busy and since_ms > OCCUPIED_MS
    return bool(is_late or state == libvirt.VIR_DOMAIN_CONTROL_ERROR)


def _define(host: Connection, request: Request) -> Answer:
    """Define the domain, or define it again, and return what libvirt made of it.

    If it should be a ``new`` one, and is there, nothing is done, and what is ``known`` returned;
    or that its UUID is ``taken`` by another.
    """
    known = _found(host, request["name"])
    if known is not None:
        _check_ours(known)
        if request["new"]:
            return {"known": known.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)}
    elif _is_taken(host, request["xml"]):
        return {"taken": True}
    domain = host.defineXMLFlags(request["xml"], libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
    return {
        "xml": domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE),
        "live": domain.XMLDesc(0) if domain.isActive() else "",
        "new": known is None,
    }


def _is_taken(host: Connection, xml: str) -> bool:
    """Whether another domain has the UUID in *xml*."""
    (uuid,) = re.findall("<uuid>(.*?)</uuid>", xml)[:1] or [""]
    try:
        return bool(host.lookupByUUIDString(uuid))
    except libvirt.libvirtError as error:
        if error.get_error_code() in (*GONE, libvirt.VIR_ERR_INVALID_ARG):
            return False
        raise


def _rename(host: Connection, request: Request) -> Answer:
    """Give the domain its ``new_name``, if it has not got it, and libvirt can.

    libvirt leaves its NVRAM under the old name, where the next domain of that name would find it.
    """
    old, new = request["name"], request["new_name"]
    domain = _found(host, old)
    if domain is not None:
        _check_ours(domain)
        try:
            domain.rename(new)
        except libvirt.libvirtError as error:
            if error.get_error_code() in UNSUPPORTED:
                return {}
            raise
    remembered = _files_of(host)
    if remembered:
        remembered.rename(old, new)
    return {}


def _text(host: Connection, request: Request) -> Answer:
    """All that is known of a domain, whoever made it, and that goes with its definition."""
    domain = _found(host, request["name"])
    if domain is None:
        return {}
    xml = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    secure = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE
    return {
        "xml": xml,
        "live": domain.XMLDesc(0) if domain.isActive() else "",
        "has_secret": domain.XMLDesc(secure) != xml,
        **_kept_of(domain),
    }


def _kept_of(domain: Domain) -> Answer:
    """What libvirt keeps of a domain beside its definition."""
    is_persistent = bool(domain.isPersistent())
    return {
        "is_persistent": is_persistent,
        "is_saved": is_persistent and bool(domain.hasManagedSaveImage(0)),
        "snapshots": _count(domain.snapshotNum),
        "checkpoints": _count(lambda: len(domain.listAllCheckpoints(0))),
        "autostart": is_persistent and bool(domain.autostart()),
    }


def _count(ask: Callable[[], int]) -> int:
    """How many there are; a daemon that knows nothing of them has none."""
    try:
        return ask()
    except libvirt.libvirtError as error:
        if error.get_error_code() in UNSUPPORTED:
            return 0
        raise


def _adopt(host: Connection, request: Request) -> Answer:
    """Define a domain of another program as one of geats, if it is as it was planned.

    If it is ``called`` otherwise, it gets its new name first. One that runs goes on, with a note of
    what it runs with.
    """
    domain = _found(host, request["called"] or request["name"])
    if domain is None:
        raise Refused("there is no such domain any more")
    old = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    hashlib: Any = import_module("hashlib")  # which takes a while, and few need it
    if hashlib.sha256(old.encode()).hexdigest() != request["sha256"]:
        raise Refused("its definition was changed since the adoption was planned: plan it again")
    kept = _kept_of(domain)
    if not kept["is_persistent"] or any(kept[key] for key in KEPT):
        raise Refused("libvirt keeps more of it than when the adoption was planned: plan it again")
    if request["called"]:
        domain.rename(request["name"])
    domain = host.defineXMLFlags(request["xml"], libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
    if kept["autostart"]:
        domain.setAutostart(0)
    if domain.isActive():
        _note(domain, request)
    return {
        "xml": domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE),
        "live": domain.XMLDesc(0) if domain.isActive() else "",
    }


def _check_ours(domain: Domain) -> None:
    """Whether geats noted something in what is defined, or in what runs without a definition."""
    text = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE if domain.isPersistent() else 0)
    if not re.search(f"""=["']{NAMESPACE}["']""", text):
        raise Refused("it is a domain that geats did not make")


def ours(host: Connection, request: Request) -> Domain:
    """The domain, which nothing is done to unless it is of geats."""
    domain = _found(host, request["name"])
    if domain is None:
        raise Refused("it is not defined")
    _check_ours(domain)
    return domain


def _start(host: Connection, request: Request) -> Answer:
    """Power on, and see that it stays on for a moment.

    If it was not made from the spec with that ``digest``, nothing is done, and that is told.
    """
    domain = ours(host, request)
    if domain.isActive():
        raise Refused("it is on already")
    if request["digest"] not in domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE):
        return {"other": True}
    domain.create()
    until = time.monotonic() + request["settle"]
    while domain.isActive():
        if time.monotonic() >= until:
            return {"other": False}
        time.sleep(LOOKS_S)
    raise Refused("it ended right after its start")


def _agent_says(domain: Domain, command: str, within_s: int) -> str:
    """What the guest's agent answers, as text; empty if there is no answer in time."""
    qemu: Any = import_module("libvirt_qemu")
    try:
        return f"{qemu.qemuAgentCommand(domain, json.dumps({'execute': command}), within_s, 0)}"
    except libvirt.libvirtError:
        return ""


def _shutdown(host: Connection, request: Request) -> Answer:
    """Ask the agent, or press the power button, again after a while; at last pull the plug.

    libvirt's own way to ask an agent waits for a minute if that does not answer.
    """
    domain = ours(host, request)
    deadline = time.monotonic() + request["timeout"]
    asks = time.monotonic()
    if _agent_says(domain, "guest-ping", PINGS_S):
        _agent_says(domain, "guest-shutdown", ONCE_S)  # which it does not answer
        asks += ASKS_YOUNG_S
    while domain.isActive():
        now = time.monotonic()
        if now >= deadline:
            _destroy(domain)
            return {"forced": True}
        if now >= asks:
            asks = now + ASKS_YOUNG_S
            with suppress(libvirt.libvirtError):  # it ended just now, or cannot be asked
                domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)
                asks = now + (ASKS_YOUNG_S if domain.info()[4] < YOUNG_NS else ASKS_S)
        time.sleep(LOOKS_S)
    return {"forced": False}


def _stop(host: Connection, request: Request) -> Answer:
    _destroy(ours(host, request))
    return {}


def _destroy(domain: Domain) -> None:
    try:
        domain.destroy()
    except libvirt.libvirtError:
        if domain.isActive():
            raise


def _freeze(host: Connection, request: Request) -> Answer:
    domain = ours(host, request)
    if domain.state()[0] != libvirt.VIR_DOMAIN_PAUSED:
        domain.suspend()
    return {}


def _unfreeze(host: Connection, request: Request) -> Answer:
    go_on(ours(host, request))
    return {}


def go_on(domain: Domain) -> None:
    """Resume it; if it runs already, somebody else resumed it."""
    if domain.state()[0] != libvirt.VIR_DOMAIN_RUNNING:
        domain.resume()


def _undefine(host: Connection, request: Request) -> Answer:
    """Forget it, with all that libvirt keeps of it."""
    domain = _found(host, request["name"])
    if domain is None:
        return {}
    _check_ours(domain)
    if domain.isActive():
        raise Refused("it runs: it cannot be undefined")
    domain.undefineFlags(UNDEFINE)
    return {}


def _renew(host: Connection, request: Request) -> Answer:
    """Forget what its firmware and its TPM remember: libvirt does so only with the definition."""
    domain = _found(host, request["name"])
    if domain is not None:
        xml = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE)
        _undefine(host, request)
        host.defineXML(xml)
    return {}


def _files_of(host: Connection) -> Any:
    """What knows the files of firmware and TPMs, if anything does of that daemon."""
    files: Any = import_module("remembered")  # which few need
    return files if host.getURI() == files.OF_SYSTEM else None


def _remembered(host: Connection, request: Request) -> Answer:
    """What its firmware and its TPM remember."""
    domain, files = _found(host, request["name"]), _files_of(host)
    try:
        return {"remembered": files.of_domain(domain) if domain and files else {}}
    except (OSError, ValueError) as error:
        raise Refused(f"{error}") from None


def _remember(host: Connection, request: Request) -> Answer:
    """Let a domain that is off remember that."""
    domain, files = ours(host, request), _files_of(host)
    if domain.isActive():
        raise Refused("it runs")
    try:
        if files:
            files.remember(domain, request["pieces"])
    except (OSError, ValueError) as error:
        raise Refused(f"{error}") from None
    return {}


def _set_limits(host: Connection, request: Request) -> Answer:
    """Change memory and CPUs of the running guest, see that they are there, and note it."""
    domain = ours(host, request)
    domain.setMemoryFlags(request["memory_kib"], LIVE)
    until = time.monotonic() + request["timeout"]
    while domain.memoryStats().get("actual", 0) != request["memory_kib"]:
        if time.monotonic() >= until:
            raise Refused("the guest does not give or take memory: it has no balloon driver")
        time.sleep(LOOKS_S)
    is_more = domain.vcpusFlags(LIVE) < request["cpus"]
    if is_more:
        domain.setVcpusFlags(request["cpus"], LIVE)
    answer = _note(domain, request)
    if is_more and _agent_says(domain, "guest-ping", PINGS_S):
        with suppress(libvirt.libvirtError):  # a guest without an agent brings them up by itself
            domain.setVcpusFlags(request["cpus"], libvirt.VIR_DOMAIN_VCPU_GUEST)
    return answer


def _set_devices(host: Connection, request: Request) -> Answer:
    """Attach, change and detach devices of the running guest, and note it once all are done."""
    domain = ours(host, request)
    hotplug.set_devices(domain, request["steps"], request["timeout"])
    return _note(domain, request)


def _note(domain: Domain, request: Request) -> Answer:
    kind = libvirt.VIR_DOMAIN_METADATA_ELEMENT
    domain.setMetadata(kind, request["note"], "geats", NAMESPACE, LIVE)
    return {}


def _moving_texts(host: Connection, request: Request) -> Answer:
    return dict(moving.texts(ours(host, request)))


def _send(host: Connection, request: Request) -> Answer:
    moving.send(ours(host, request), request)
    return {}


def _was_sent(host: Connection, request: Request) -> Answer:
    return {"sent": moving.was_sent(ours(host, request))}


def _arrived(host: Connection, request: Request) -> Answer:
    return {"arrived": moving.arrived(_found(host, request["name"]))}


def _drop(host: Connection, request: Request) -> Answer:
    """Forget a domain, and end it: what came of one that is on another host, or is to come."""
    domain = _found(host, request["name"])
    if domain is not None:
        _check_ours(domain)
        _destroy(domain)
    return _undefine(host, request)


def _settle(host: Connection, request: Request) -> Answer:
    """Note with what it runs that came here, and stands still."""
    return _note(ours(host, request), request)


def _user(host: Connection, request: Request) -> Answer:
    """Whom QEMU runs as, if libvirt says so."""
    found = re.search(
        rf"<model>dac</model>.*?<baselabel type='{request['kind']}'>(.*?)<",
        host.getCapabilities(),
        re.DOTALL,
    )
    return {"label": found[1] if found else ""}


def _knows_machine(host: Connection, request: Request) -> Answer:
    return {"known": moving.knows_machine(host, request["machine"], request["kind"])}


def _resize(host: Connection, request: Request) -> Answer:
    """Let the QEMU that has the disk see its new size; of a file, it is QEMU that changes it."""
    domain = _found(host, request["name"])
    if domain is not None and domain.isActive():
        _check_ours(domain)
        if request["path"] in _disks(domain):  # else it is to be plugged in later
            flags = libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES
            domain.blockResize(request["path"], request["size_bytes"], flags)
    return {}


def _disks(domain: Domain) -> set[str]:
    """The paths of the disks that it runs with."""
    elements: Any = import_module("xml.etree.ElementTree")  # which takes a while, and few need it
    found = elements.fromstring(domain.XMLDesc(0)).iterfind("devices/disk/source")
    return {source.get("file") or source.get("dev") for source in found}


def _examine(host: Connection, request: Request) -> Answer:
    """Whether machines of the ``kind`` can run, and which of geats libvirt starts by itself."""
    runs = re.search(f"""<domain type=["']{request["kind"]}["']""", host.getCapabilities())
    flags = libvirt.VIR_CONNECT_LIST_DOMAINS_AUTOSTART
    started = (each for each in host.listAllDomains(flags) if NAMESPACE in each.XMLDesc(0))
    return {"runs": bool(runs), "autostart": sorted(each.name() for each in started)}


def _networks(host: Connection, request: Request) -> Answer:
    """The networks that a NIC can be connected to now."""
    active = host.listAllNetworks(libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE)
    return {"active": sorted(each.name() for each in active)}


def _info(host: Connection, request: Request) -> Answer:
    """What it uses now; nothing if it is off."""
    domain = _found(host, request["name"])
    if domain is None or not domain.isActive():
        return {}
    ((_, stats),) = _stats(host, [domain])
    told = _agent_says(domain, INTERFACES, TELLS_S)
    os = _agent_says(domain, "guest-get-osinfo", TELLS_S) if told else ""
    known = sorted(_addresses(domain))
    return {"stats": stats, "addresses": known, "told": told, "os": os}


def _usage(host: Connection, request: Request) -> Answer:
    """The same of each of the ``names`` that is on; agents have a moment for all of them."""
    domains = host.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)
    wanted = [each for each in domains if each.name() in request["names"]]
    told: Answer = {}
    until = time.monotonic() + USAGE_S
    for domain, stats in _stats(host, wanted) if wanted else ():
        with suppress(libvirt.libvirtError):  # it ended meanwhile
            asks = time.monotonic() < until and AGENT_IS_THERE.search(domain.XMLDesc(0))
            told[domain.name()] = {
                "stats": stats,
                "addresses": sorted(_addresses(domain)),
                "told": _agent_says(domain, INTERFACES, ONCE_S) if asks else "",
            }
    return told


def _stats(host: Connection, domains: list[Domain]) -> Any:
    """Each with what it uses, from whichever QEMU has no other work."""
    wanted = libvirt.VIR_DOMAIN_STATS_BALLOON | libvirt.VIR_DOMAIN_STATS_CPU_TOTAL
    wanted |= libvirt.VIR_DOMAIN_STATS_BLOCK | libvirt.VIR_DOMAIN_STATS_INTERFACE
    return host.domainListGetStats(
        domains, wanted, libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
    )


def _addresses(domain: Domain) -> set[str]:
    """As the host's DHCP gave them, or else as its ARP table has them."""
    for source in (
        libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE,
        libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP,
    ):
        with suppress(libvirt.libvirtError):  # it has no agent, or is on no network of libvirt
            found = {
                address["addr"]
                for name, nic in domain.interfaceAddresses(source).items()
                if name != "lo"
                for address in nic["addrs"] or ()
                if not address["addr"].startswith("fe80:")
            }
            if found:
                return found
    return set()


ACTIONS: Mapping[str, Callable[[Connection, Request], Answer]] = {
    "observe": _observe,
    "text": _text,
    "adopt": _adopt,
    "define": _define,
    "start": _start,
    "shutdown": _shutdown,
    "stop": _stop,
    "freeze": _freeze,
    "unfreeze": _unfreeze,
    "undefine": _undefine,
    "renew": _renew,
    "rename": _rename,
    "remembered": _remembered,
    "remember": _remember,
    "set-limits": _set_limits,
    "set-devices": _set_devices,
    "moving-texts": _moving_texts,
    "send": _send,
    "was-sent": _was_sent,
    "arrived": _arrived,
    "drop": _drop,
    "settle": _settle,
    "user": _user,
    "knows-machine": _knows_machine,
    "resize": _resize,
    "examine": _examine,
    "networks": _networks,
    "info": _info,
    "usage": _usage,
}
