"""The Salt minion of a VM, as its master knows it: its id and its public key."""

import errno
import os
import re
from hashlib import sha256
from typing import TypedDict

from geats_core.guests.minion import PUBLIC_KEY, Minion, minion_id
from geats_host.calls.guests.files import read_file
from geats_host.errors import HostError
from geats_host.host import Host

LONGEST_KEY = "16KiB"
KEY = re.compile(
    r"-----BEGIN (RSA )?PUBLIC KEY-----\n([A-Za-z0-9+/=]{1,76}\n)+-----END (RSA )?PUBLIC KEY-----"
)


class MinionKey(TypedDict):
    """``fingerprint`` is as ``salt-key -f`` shows it."""

    id: str
    key: str
    fingerprint: str


def minion_key(host: Host, name: str) -> MinionKey:
    """The public key of the minion in the VM, which may be off if its root is a directory.

    The guest says what it is, and may say anything: what is no public key is refused.
    """
    spec = host.observe(name).recorded
    minion = None if spec is None else spec.minion
    try:
        text = read_file(host, name, f"/{PUBLIC_KEY}", {"max_size": LONGEST_KEY})
    except HostError as error:
        missing = os.strerror(errno.ENOENT) in str(error)
        raise HostError(f"{name}: {error}: {_why(minion)}") if missing else error from None
    key = text.decode(errors="replace").replace("\r\n", "\n").strip()
    if not KEY.fullmatch(key):
        raise HostError(f"{name}: /{PUBLIC_KEY} is no public key")
    called = name if minion is None else minion_id(minion, name)
    return MinionKey(id=called, key=key, fingerprint=fingerprint(key))


def _why(minion: Minion | None) -> str:
    if minion is None:
        return "give the VM a `minion`, and apply"
    return "a virtual machine makes it at its first start; look into `geats logs` of the VM"


def fingerprint(key: str) -> str:
    """As Salt makes it: of the lines between the first and the last, with their ends."""
    inner = "".join(f"{line}\n" for line in key.splitlines()[1:-1])
    digest = sha256(inner.encode()).hexdigest()
    return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))
