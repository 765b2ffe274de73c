"""The addresses of command sockets: abstract ones, which the kernel lists."""

import os
from pathlib import Path

LONGEST_NAME = 105  # sockaddr_un.sun_path less the leading zero, the trailing one, and snprintf's
FNV_OFFSET = 0xCBF29CE484222325
FNV_PRIME = 0x100000001B3


def addressed(lxcpath: str) -> frozenset[str]:
    """The containers whose address somebody has bound; without those whose address is a hash.

    See proc(5), ``/proc/net/unix``: eight columns, the last of which is the name.
    """
    prefix, suffix = f"@{lxcpath}/", "/command"
    lines = Path("/proc/net/unix").read_bytes().decode(errors="replace").split("\n")
    bound = {line.split(maxsplit=7)[-1] for line in lines if line.endswith(suffix)}
    return frozenset(
        path.removeprefix(prefix).removesuffix(suffix) for path in bound if path.startswith(prefix)
    )


def address(lxcpath: str, name: str) -> bytes:
    """The abstract socket's name, as ``lxc_make_abstract_socket_name`` makes it.

    One that does not fit is replaced by the 64-bit FNV-1a hash of ``LXCPATH/NAME``.
    """
    container = os.fsencode(f"{lxcpath}/{name}")
    plain = container + b"/command"
    if len(plain) > LONGEST_NAME:
        plain = b"lxc/%016x/command" % _fnv1a_64(container)
    # liblxc binds the name with the zero bytes that pad it to the string's end: none.
    return b"\0" + plain


def _fnv1a_64(data: bytes) -> int:
    """See http://www.isthe.com/chongo/tech/comp/fnv/."""
    digest = FNV_OFFSET
    for byte in data:
        digest = (digest ^ byte) * FNV_PRIME & 0xFFFFFFFFFFFFFFFF
    return digest
