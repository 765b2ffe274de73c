"""A squashfs as a layer: unpacked by ``unsquashfs``, if that is installed."""

import os
import shutil
from pathlib import Path

from geats_host.errors import HostError
from geats_host.linux.namespaces import writing_only_to
from geats_host.linux.run import run
from geats_host.templates.tarballs import problems_of_checksum

MAGIC = b"hsqs"
TIMEOUT_S = 3600
UNPACK = ("unsquashfs", "-quiet", "-no-progress", "-force", "-excludes", "-dest")


def is_squashfs(path: str) -> bool:
    """Whether the file begins as a squashfs does; raises ``OSError``."""
    with open(path, "rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def is_readable() -> bool:
    """Whether this host can unpack any."""
    return shutil.which(UNPACK[0]) is not None


def problems_of_squashfs(path: str, sha256: str | None) -> tuple[str, ...]:
    """All that is wrong with it, as far as its tables tell."""
    if not is_readable():
        return (f"needs unsquashfs, which is not installed: {path!r}",)
    try:
        run(["unsquashfs", "-no-progress", "-lln", path], timeout_s=TIMEOUT_S)
    except HostError as error:
        return (f"is not a sound squashfs: {path!r}: {error}",)
    return problems_of_checksum(path, sha256)


def unpack_squashfs(path: str, target: Path) -> None:
    """Unpack it to *target*, and write nowhere else; its ``dev`` is left empty."""
    argv = [*UNPACK, f"{target}", path, "dev/*"]
    try:
        writing_only_to(target, lambda: run(argv, timeout_s=TIMEOUT_S, ends_with_us=True))
    except HostError as error:
        raise HostError(f"{path} cannot be unpacked to {target}: {error}") from None
    if os.path.islink(target):
        raise HostError(f"{target}: was made a symbolic link by {path}")
