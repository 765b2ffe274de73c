"""Block devices: how large one is, which one it is, whether anything uses it, and wiping it."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from geats_host.errors import HostError
from geats_host.linux.loops import loops_on
from geats_host.linux.mounts import mounts_everywhere
from geats_host.linux.run import run

SWAPS = Path("/proc/swaps")
OF_UDEV = Path("/run/udev/data")
FIRST_BYTES = 2**20
TELL_APART = ("E:ID_SERIAL=", "E:ID_WWN=", "E:ID_PART_ENTRY_UUID=", "E:DM_UUID=")


def is_block_device(device: Path) -> bool:
    """Whether it is there, and is one."""
    try:
        return stat.S_ISBLK(device.stat().st_mode)
    except OSError:
        return False


def check_there(device: Path) -> None:
    """Raise ``HostError`` unless it is there, and is one."""
    if not device.exists():
        raise HostError(f"{device}: is not there")
    if not is_block_device(device):
        raise HostError(f"{device}: is not a block device")


def size_of(device: Path) -> int:
    """How many bytes it holds."""
    with device.open("rb") as file:
        return file.seek(0, os.SEEK_END)


def identity_of(device: Path) -> str:
    """What tells it from others whatever its name is, as far as udev knows; else nothing."""
    with suppress(OSError):
        lines = (OF_UDEV / f"b{_number(device)}").read_text(errors="replace").splitlines()
        return " ".join(line[2:] for line in lines if line.startswith(TELL_APART))
    return ""


def is_logical_volume(device: Path) -> bool:
    """Whether LVM made it; what is on a logical volume, such as encryption, is none."""
    with suppress(OSError):
        uuid = Path(f"/sys/dev/block/{_number(device)}/dm/uuid").read_text()
        return uuid.startswith("LVM-")
    return False


def wipe_device(device: Path) -> None:
    """Wipe its signatures, and its first MiB."""
    run(["wipefs", "--all", "--quiet", "--", f"{device}"])
    with device.open("r+b") as file:
        file.write(bytes(min(FIRST_BYTES, size_of(device))))
        file.flush()
        os.fsync(file.fileno())


def check_unused(device: Path) -> None:
    """Raise ``HostError`` if it is mounted anywhere, is swap, or is used by another device."""
    for use in _uses(device):
        raise HostError(f"{device}: {use}")


def _uses(device: Path) -> Iterator[str]:
    number, real = _number(device), os.path.realpath(device)
    for point in _points(number, real):
        yield f"is mounted on {point}"
    for line in SWAPS.read_text().splitlines()[1:]:
        if os.path.realpath(line.split()[0]) == real:
            yield "is in use as swap"
    for loop in loops_on(device):
        yield f"is in use by {loop}"
    for holder in Path(f"/sys/dev/block/{number}/holders").glob("*"):
        yield f"is in use by {holder.name}"
    try:
        os.close(os.open(device, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
    except OSError as error:
        yield "is in use" if error.errno == errno.EBUSY else f"{error.strerror}"


def _points(number: str, device: str) -> Iterator[str]:
    """Where it is mounted, in the mount namespace of any process that can be seen."""
    for _, mount in mounts_everywhere():
        if number == mount.number or device == os.path.realpath(mount.source):
            yield mount.point


def _number(device: Path) -> str:
    found = device.stat().st_rdev
    return f"{os.major(found)}:{os.minor(found)}"
