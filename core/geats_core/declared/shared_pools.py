"""Pools that several hosts use: how one is declared so, and whose the volumes of a VM are there.

Theory of operation
-------------------
All hosts see all that is in such a pool, and each VM in it belongs to one of them: an *owner* is
written for it, in the pool itself, so that all see the same. A host sees and touches the volumes of
its own VMs only. The owner alone passes a VM on, by one write: so there is one owner at any moment.
Who takes it from a host that is lost must know that no VM runs there any more.
"""

import json
import re
from enum import StrEnum

from returns.result import Success

from geats_core.reading import file_formats
from geats_core.reading.checked import Checked, problem, shown
from geats_core.reading.fields import HOSTNAME, boolean, hostname
from geats_core.reading.schemas import any_of, taking
from geats_core.reading.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """That other hosts use the same pool, each for VMs of its own.

    ``host`` is what this host is called there, for people; empty for its hostname.
    """

    host: str = ""


@taking(any_of(boolean.schema(), hostname.schema()))
def parse_shared(path: str, raw: object) -> Checked[Shared | None]:
    """Whether a pool is shared; or, if it is, what this host is called there."""
    match raw:
        case bool():
            return Success(Shared() if raw else None)
        case str() if HOSTNAME.fullmatch(raw):
            return Success(Shared(host=raw))
        case _:
            wanted = "must be true, false, or what this host is called there"
            return problem(path, f"{wanted}, got {shown(raw)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """A host that has a VM in a shared pool: its name, for people, and what tells it from others.

    Two hosts can have one name, but no two have one ``identity``.
    """

    host: str
    identity: str


IDENTITY = re.compile(r"[0-9A-Za-z]{1,64}")  # it is a part of the names of files in the pool
UNKNOWN = Owner(host="a host whose name cannot be read", identity="")


class Whose(StrEnum):
    """Whose a VM is in a shared pool, for a host that looks."""

    OURS = "ours"
    OTHERS = "others"
    NOBODYS = "nobodys"


def whose(owner: Owner | None, us: Owner | None, *, is_recorded: bool) -> Whose:
    """Whose it is, by the owner that is written; None if none is, or this host never was one.

    A VM that has no owner is that of the host that records it: the pool was not always shared.
    """
    if owner is None:
        return Whose.OURS if is_recorded else Whose.NOBODYS
    is_us = us is not None and us.identity == owner.identity
    return Whose.OURS if is_us else Whose.OTHERS


def owner_to_json(owner: Owner) -> str:
    """As text: ``owner_from_json`` reads it."""
    said = {"host": owner.host, "identity": owner.identity}
    return json.dumps({file_formats.FORMAT: file_formats.OWNER, **said})


def owner_from_json(text: str) -> Owner:
    """Read an owner; ``UNKNOWN`` if that is none, or written by a newer geats."""
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):
        return UNKNOWN
    match raw:
        case {file_formats.FORMAT: found} if file_formats.newer(found, file_formats.OWNER):
            return UNKNOWN
        case {"host": str(host), "identity": str(identity)} if IDENTITY.fullmatch(identity):
            return Owner(host=host, identity=identity)
        case _:
            return UNKNOWN
