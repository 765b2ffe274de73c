"""User namespaces: what the kernel wants to be told a range of ids with, to map a mount's."""

import os
import socket
import subprocess
from contextlib import suppress
from functools import lru_cache
from threading import Lock

from geats_host.errors import HostError

READY = b"\n"
TIMEOUT_S = 10
_lock = Lock()


def user_namespace(first: int, count: int) -> int:
    """A descriptor of a user namespace whose ids from 0 are those from *first* on the host.

    It is made once, and stays open as long as this process.
    """
    with _lock:
        return _user_namespace(first, count)


@lru_cache(maxsize=16)
def _user_namespace(first: int, count: int) -> int:
    """Have a program in it echo a line, so that it is known to be there; then let it end."""
    here, there = socket.socketpair()
    try:
        with there:
            argv, end = ["unshare", "--user", "cat"], there.fileno()
            child = subprocess.Popen(argv, stdin=end, stdout=end, stderr=end)
        with child, here:
            here.settimeout(TIMEOUT_S)
            with suppress(BrokenPipeError):  # then it says why
                here.sendall(READY)
            said = here.recv(4096)
            if said != READY:
                raise HostError(f"cannot make a user namespace: {said.decode(errors='replace')}")
            for ids in ("uid_map", "gid_map"):
                with open(f"/proc/{child.pid}/{ids}", "w") as file:
                    file.write(f"0 {first} {count}\n")
            return os.open(f"/proc/{child.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise HostError(f"cannot make a user namespace: {error.strerror or error}") from None
    finally:
        here.close()
