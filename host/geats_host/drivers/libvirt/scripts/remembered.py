"""What the firmware and the TPM of a domain remember: a part of ``child``.

libvirt keeps it in files, and never says where: the variables of its firmware by the name of the
domain, its TPM by its UUID. As a part of ``child``, this imports nothing of geats.
"""

import os
import pwd
import re
import stat
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, TypeAlias

OF_SYSTEM = "qemu:///system"  # of no other daemon it is known where its files are
NVRAM = "/var/lib/libvirt/qemu/nvram"
TPMS = "/var/lib/libvirt/swtpm"
QEMU_CONF = "/etc/libvirt/qemu.conf"
FIRMWARE = {"firmware.fd": "_VARS.fd", "firmware.qcow2": "_VARS.qcow2"}
TPM = {"tpm2": ("tpm2", "tpm2-00.permall"), "tpm1.2": ("tpm1.2", "tpm-00.permall")}
TPM_USER = "tss"  # libvirt's own default
MOST_BYTES = 1 << 22
QCOW2, OTHER_FILE = b"QFI\xfb", 4
ROOT = (0, 0)
Domain: TypeAlias = Any
Owner: TypeAlias = tuple[int, int]


def of_domain(domain: Domain) -> dict[str, str]:
    """Each piece that there is, packed, by what it is; ``ValueError`` if one is too large."""
    packed = {}
    for key, path in _files(domain):
        with suppress(FileNotFoundError), open(path, "rb", opener=_opener) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ValueError(f"{path}: is no file")
            content = file.read(MOST_BYTES + 1)
            if len(content) > MOST_BYTES:
                raise ValueError(f"{path}: has more than {MOST_BYTES >> 20} MiB")
            packed[key] = b64encode(zlib.compress(content)).decode()
    return packed


def remember(domain: Domain, pieces: Mapping[str, str]) -> None:
    """Write the pieces that the domain has a part for: libvirt uses what it finds."""
    xml = domain.XMLDesc(0)
    has = {"firmware": "<os firmware=" in xml or "<nvram" in xml, "tpm": "<tpm " in xml}
    for key, path in _files(domain):
        if key in pieces and any(has[part] and key.startswith(part) for part in has):
            content = _unpacked(pieces[key])
            _check(key, content)
            owner = _tpm_owner() if key in TPM else ROOT
            _make_folders(os.path.dirname(path), owner)
            _write(path, content, owner)


def rename(old: str, new: str) -> None:
    """Let the variables of a firmware be those of the new name."""
    for end in FIRMWARE.values():
        with suppress(FileNotFoundError):
            os.rename(f"{NVRAM}/{old}{end}", f"{NVRAM}/{new}{end}")


def _files(domain: Domain) -> Iterator[tuple[str, str]]:
    yield from ((key, f"{NVRAM}/{domain.name()}{end}") for key, end in FIRMWARE.items())
    yield from ((key, "/".join((TPMS, domain.UUIDString(), *at))) for key, at in TPM.items())


def _opener(path: str, flags: int) -> int:
    """QEMU and swtpm write there: what they made a link of would be read as root."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _unpacked(text: str) -> bytes:
    try:
        return zlib.decompressobj().decompress(b64decode(text, validate=True), MOST_BYTES)
    except zlib.error as error:
        raise ValueError(f"what the machine remembers is damaged: {error}") from None


def _check(key: str, content: bytes) -> None:
    """Refuse an image that names other files, which would be read from this host."""
    if key.endswith("qcow2"):
        backing, features = content[8:16].strip(b"\0"), content[79:80] or b"\xff"
        if content[:4] != QCOW2 or backing or features[0] & OTHER_FILE:
            raise ValueError("the variables of the firmware are no image, or name other files")


def _make_folders(folder: str, owner: Owner) -> None:
    """As libvirt makes them."""
    above = os.path.dirname(folder)
    if not os.path.isdir(above):
        _make_folders(above, ROOT)
    if not os.path.isdir(folder):
        os.mkdir(folder, 0o711 if owner == ROOT else 0o700)
        os.chown(folder, *owner)


def _write(path: str, content: bytes, owner: Owner) -> None:
    """Let the file contain that, durably, or be as it was."""
    new = f"{path}.new"
    with suppress(FileNotFoundError):
        os.unlink(new)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fchown(file.fileno(), *owner)
        os.fsync(file.fileno())
    os.rename(new, path)


def _tpm_owner() -> Owner:
    """Whom libvirt runs swtpm as; if nobody said so, its default is in a comment."""
    said = ""
    with suppress(FileNotFoundError), open(QEMU_CONF) as file:
        said = file.read()
    found = [
        re.findall(rf'^{sign}\s*swtpm_user\s*=\s*"\+?(.*?)"', said, re.M) for sign in ("", "#")
    ]
    name = [*found[0][-1:], *found[1], TPM_USER][0]
    if name.isdigit():
        return int(name), -1
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        return ROOT
    return user.pw_uid, user.pw_gid
