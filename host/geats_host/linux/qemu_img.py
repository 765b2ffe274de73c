"""``qemu-img``: disk images made, converted and grown, always in a format that is said.

It is never asked what an image is: a guest can write to its disk whatever makes it look like
another format, one that names files of the host. An image that others made is opened without its
backing file, and with no more memory and time than an honest one needs.
"""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from geats_host.errors import HostError
from geats_host.linux.run import run

PACKAGE = "qemu-utils"
MEMORY_BYTES, CPU_S, TIMEOUT_S = 2**31, 1800, 3600
PRIVATE = 0o077  # an image is for root, and for whom libvirt gives it to while its VM is on


def is_installed() -> bool:
    """Whether this host has it."""
    return shutil.which("qemu-img") is not None


def missing() -> str:
    """What to install if it is missing."""
    return f"needs qemu-img, which is not installed (package {PACKAGE})"


def to_raw(image: Path, target: Path, size_bytes: int) -> None:
    """Make the sparse file *target* of a qcow2 *image* whose disk is of *size_bytes*.

    Its header was judged by ``geats_core.foreign.qcow2``. Without a check, what is missing from
    a truncated image would be read as zeros.
    """
    opened = {
        "driver": "qcow2",
        "backing": None,
        "file": {"driver": "file", "filename": f"{image}"},
    }
    source = f"json:{json.dumps(opened)}"
    _work(["check", "-q", source], size_bytes, image)
    _work(["convert", "-O", "raw", source, f"{target}"], size_bytes, image)


def fill(raw: Path, image: Path, *, is_new: bool = True) -> None:
    """Let the disk in the qcow2 *image* begin with what the file *raw* holds."""
    zeros = ["--target-is-zero"] if is_new else []
    argv = ["convert", "-n", *zeros, "-f", "raw", "-O", "qcow2", f"{raw}", f"{image}"]
    _work(argv, None, image)
    _sync(image)


def read(image: Path, target: Path) -> None:
    """Make the sparse file *target* of the disk in a qcow2 *image* and all of its backing files."""
    _work(["convert", "-f", "qcow2", "-O", "raw", f"{image}", f"{target}"], None, image)


def compress(raw: Path, image: Path, opened: int) -> None:
    """Make a compressed qcow2 image of what the file *raw* holds: *opened*, to become *image*.

    Whatever else has a name of it meanwhile, such as a link, is left alone.
    """
    target = f"/proc/{os.getpid()}/fd/{opened}"
    _work(["convert", "-c", "-f", "raw", "-O", "qcow2", f"{raw}", target], None, image)


def create(image: Path, size_bytes: int, backing: Path | None = None) -> None:
    """Make a qcow2 image that is empty, or has a backing file: that must not change any more.

    *backing* may be relative to the directory of the image.
    """
    on = [] if backing is None else ["-b", f"{backing}", "-F", "qcow2"]
    _work(["create", "-q", "-f", "qcow2", *on, f"{image}", f"{size_bytes}"], None, image)
    _sync(image)


def copy(source: Path, image: Path) -> None:
    """Make a qcow2 *image* of the disk in another one and all of its backing files."""
    _work(["convert", "-f", "qcow2", "-O", "qcow2", f"{source}", f"{image}"], None, image)
    _sync(image)


def size_of(image: Path) -> int:
    """How large the disk in a qcow2 image is."""
    said = _work(["info", "--output=json", "--image-opts", _as_qcow2(image)], None, image)
    return int(json.loads(said)["virtual-size"])


def grow(image: Path, size_bytes: int) -> None:
    """Make the disk in a qcow2 image larger."""
    _work(["resize", "-q", "-f", "qcow2", f"{image}", f"{size_bytes}"], None, image)
    _sync(image)


def snapshot(image: Path, option: str, name: str) -> None:
    """Take, apply or delete (*option* ``-c``, ``-a`` or ``-d``) a snapshot within a qcow2 image."""
    _work(["snapshot", "-q", option, name, "--image-opts", _as_qcow2(image)], None, image)
    _sync(image)


def snapshots(image: Path) -> tuple[str, ...]:
    """The names of the snapshots within a qcow2 image; they have no blanks in them."""
    said = _work(["snapshot", "-l", "--image-opts", _as_qcow2(image)], None, image)
    return tuple(line.split()[1] for line in said.splitlines()[2:])


def _as_qcow2(image: Path) -> str:
    return f"driver=qcow2,file.driver=file,file.filename={f'{image}'.replace(',', ',,')}"


def _work(argv: Sequence[str], file_bytes: int | None, what: Path) -> str:
    limits = [f"--as={MEMORY_BYTES}", f"--cpu={CPU_S}", "--core=0"]
    limits += [] if file_bytes is None else [f"--fsize={file_bytes}"]
    command = ["prlimit", *limits, "--", "qemu-img", *argv]
    try:
        return run(command, timeout_s=TIMEOUT_S, ends_with_us=True, umask=PRIVATE)
    except HostError as error:
        said = str(error).replace("prlimit failed", f"qemu-img {argv[0]} failed", 1)
        raise HostError(f"{what}: {said}") from None


def space_bytes(file: Path) -> int:
    """How much space a file takes: of an image that is being filled, about how far that is."""
    return os.stat(file).st_blocks * 512


def _sync(image: Path) -> None:
    """``qemu-img`` leaves it to the kernel when what it wrote is on disk."""
    descriptor = os.open(image, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
