"""Who calls: a user of this machine, as the kernel says."""

import grp
import os
import pwd
import socket
import struct
from dataclasses import dataclass

from geats_core.declared.access import Access, Right

ROOT = 0
CREDENTIALS = struct.Struct("iII")  # pid, uid, gid: see SO_PEERCRED in unix(7)


@dataclass(frozen=True, slots=True)
class Caller:
    """A user, and the names of all groups that the user is in."""

    uid: int
    name: str
    groups: frozenset[str]

    def rights(self, access: Access) -> frozenset[Right]:
        """Root has all; others have those of their groups."""
        return frozenset(Right) if self.uid == ROOT else access.of_groups(self.groups)


def caller(uid: int, gid: int) -> Caller:
    """The user of these ids; one that has no name is known by its number."""
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        return Caller(uid, f"user {uid}", _names([gid]))
    return Caller(uid, name, _names(os.getgrouplist(name, gid)))


def own() -> Caller:
    """The user whose process this is."""
    return caller(os.getuid(), os.getgid())


def peer(connection: socket.socket) -> Caller:
    """Who is on the other end of a unix socket: whoever connected it."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    _, uid, gid = CREDENTIALS.unpack(raw)
    return caller(uid, gid)


def on_standard_input() -> Caller:
    """Who is there: if a service of root gave us a unix socket, not root but its other end."""
    if os.getuid() != ROOT:
        return own()
    try:
        with socket.socket(fileno=os.dup(0)) as connection:
            if connection.family == socket.AF_UNIX:
                return peer(connection)
    except OSError:
        pass  # it is no socket: a pipe, a terminal
    return own()


def _names(gids: list[int]) -> frozenset[str]:
    found: set[str] = set()
    for gid in gids:
        try:
            found.add(grp.getgrgid(gid).gr_name)
        except KeyError:
            continue  # a group without a name is in no table
    return frozenset(found)
