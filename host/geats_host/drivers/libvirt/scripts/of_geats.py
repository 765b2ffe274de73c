"""Domains that geats made: found, told from others, noted; their guests' agents asked.

A part of ``libvirt_calls``; as that, it imports nothing of geats.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any, TypeAlias

libvirt: Any = import_module("libvirt")  # it has no types

NAMESPACE = "urn:geats:1"
GONE = (libvirt.VIR_ERR_NO_DOMAIN,)
UNSUPPORTED = (libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_INVALID_ARG)
LIVE = libvirt.VIR_DOMAIN_AFFECT_LIVE
Request: TypeAlias = Mapping[str, Any]
Answer: TypeAlias = dict[str, object]
Connection: TypeAlias = Any
Domain: TypeAlias = Any


class Refused(Exception):
    """Why nothing is done."""


@contextmanager
def connected(uri: str) -> Iterator[Connection]:
    host = libvirt.open(uri)
    try:
        yield host
    finally:
        host.close()


def found(host: Connection, name: str) -> Domain | None:
    try:
        return host.lookupByName(name)
    except libvirt.libvirtError as error:
        if error.get_error_code() in GONE:
            return None
        raise


def check_ours(domain: Domain) -> None:
    """Whether geats noted something in what is defined, or in what runs without a definition."""
    text = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE if domain.isPersistent() else 0)
    if not re.search(f"""=["']{NAMESPACE}["']""", text):
        raise Refused("it is a domain that geats did not make")


def ours(host: Connection, request: Request) -> Domain:
    """The domain, which nothing is done to unless it is of geats."""
    domain = found(host, request["name"])
    if domain is None:
        raise Refused("it is not defined")
    check_ours(domain)
    return domain


def note(domain: Domain, request: Request) -> Answer:
    kind = libvirt.VIR_DOMAIN_METADATA_ELEMENT
    domain.setMetadata(kind, request["note"], "geats", NAMESPACE, LIVE)
    return {}


def agent_says(domain: Domain, command: str, within_s: int) -> str:
    """What the guest's agent answers, as text; empty if there is no answer in time."""
    qemu: Any = import_module("libvirt_qemu")
    try:
        return f"{qemu.qemuAgentCommand(domain, json.dumps({'execute': command}), within_s, 0)}"
    except libvirt.libvirtError:
        return ""
