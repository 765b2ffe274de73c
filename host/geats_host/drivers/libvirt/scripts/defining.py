"""Definitions of domains, and what libvirt keeps beside them: made, renamed, forgotten.

A part of ``libvirt_calls``; as that, it imports nothing of geats.
"""

import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any, TypeAlias

libvirt: Any = import_module("libvirt")  # it has no types
of_geats: Any = import_module("of_geats")  # beside this one
seeing: Any = import_module("seeing")

ONLY_SAVED = libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
WITHOUT_NVRAM = ONLY_SAVED | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
ALL = (
    WITHOUT_NVRAM
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
)
KEPT = ("is_saved", "snapshots", "checkpoints")
Request: TypeAlias = Mapping[str, Any]
Answer: TypeAlias = dict[str, object]
Connection: TypeAlias = Any


def define(host: Connection, request: Request) -> Answer:
    """Define the domain, or define it again, and return what libvirt made of it.

    If it should be a ``new`` one, and is there, nothing is done, and what is ``known`` returned;
    or that its UUID is ``taken`` by another.
    """
    known = of_geats.found(host, request["name"])
    if known is not None:
        of_geats.check_ours(known)
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
        if error.get_error_code() in (*of_geats.GONE, libvirt.VIR_ERR_INVALID_ARG):
            return False
        raise


def rename(host: Connection, request: Request) -> Answer:
    """Give the domain its ``new_name``, if it has not got it, and libvirt can.

    libvirt leaves its NVRAM under the old name, where the next domain of that name would find it.
    """
    old, new = request["name"], request["new_name"]
    domain = of_geats.found(host, old)
    if domain is not None:
        of_geats.check_ours(domain)
        try:
            domain.rename(new)
        except libvirt.libvirtError as error:
            if error.get_error_code() in of_geats.UNSUPPORTED:
                return {}
            raise
    remembered = _files_of(host)
    if remembered:
        remembered.rename(old, new)
    return {}


def adopt(host: Connection, request: Request) -> Answer:
    """Define a domain of another program as one of geats, if it is as it was planned.

    If it is ``called`` otherwise, it gets its new name first. One that runs goes on, with a note of
    what it runs with.
    """
    domain = of_geats.found(host, request["called"] or request["name"])
    if domain is None:
        raise of_geats.Refused("there is no such domain any more")
    old = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    hashlib: Any = import_module("hashlib")  # which takes a while, and few need it
    if hashlib.sha256(old.encode()).hexdigest() != request["sha256"]:
        raise of_geats.Refused(
            "its definition was changed since the adoption was planned: plan it again"
        )
    kept = seeing.kept_of(domain)
    if not kept["is_persistent"] or any(kept[key] for key in KEPT):
        raise of_geats.Refused(
            "libvirt keeps more of it than when the adoption was planned: plan it again"
        )
    if request["called"]:
        domain.rename(request["name"])
    domain = host.defineXMLFlags(request["xml"], libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
    if kept["autostart"]:
        domain.setAutostart(0)
    if domain.isActive():
        of_geats.note(domain, request)
    return {
        "xml": domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE),
        "live": domain.XMLDesc(0) if domain.isActive() else "",
    }


def undefine(host: Connection, request: Request) -> Answer:
    """Forget it, with all that libvirt keeps of it."""
    domain = of_geats.found(host, request["name"])
    if domain is None:
        return {}
    of_geats.check_ours(domain)
    if domain.isActive():
        raise of_geats.Refused("it runs: it cannot be undefined")
    _undefine(domain)
    return {}


def _undefine(domain: Any) -> None:
    """With all that the daemon has a word for: that of Xen, for example, keeps no NVRAM."""
    for flags in (ALL, WITHOUT_NVRAM, ONLY_SAVED):
        try:
            domain.undefineFlags(flags)
        except libvirt.libvirtError as error:
            if flags == ONLY_SAVED or error.get_error_code() not in of_geats.UNSUPPORTED:
                raise
        else:
            return


def renew(host: Connection, request: Request) -> Answer:
    """Forget what its firmware and its TPM remember: libvirt does so only with the definition."""
    domain = of_geats.found(host, request["name"])
    if domain is not None:
        xml = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE)
        undefine(host, request)
        host.defineXML(xml)
    return {}


def _files_of(host: Connection) -> Any:
    """What knows the files of firmware and TPMs, if anything does of that daemon."""
    files: Any = import_module("remembered")  # which few need
    return files if host.getURI() == files.OF_SYSTEM else None


def remembered(host: Connection, request: Request) -> Answer:
    """What its firmware and its TPM remember."""
    domain, files = of_geats.found(host, request["name"]), _files_of(host)
    try:
        return {"remembered": files.of_domain(domain) if domain and files else {}}
    except (OSError, ValueError) as error:
        raise of_geats.Refused(f"{error}") from None


def remember(host: Connection, request: Request) -> Answer:
    """Let a domain that is off remember that."""
    domain, files = of_geats.ours(host, request), _files_of(host)
    if domain.isActive():
        raise of_geats.Refused("it runs")
    try:
        if files:
            files.remember(domain, request["pieces"])
    except (OSError, ValueError) as error:
        raise of_geats.Refused(f"{error}") from None
    return {}
