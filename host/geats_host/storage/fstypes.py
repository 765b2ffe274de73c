"""The filesystems that ``filesystem`` makes: how each is made, checked, grown, and told apart."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from geats_core.reading.sizes import format_size
from geats_host.errors import HostError
from geats_host.linux.run import run

MIB = 2**20
BLOCK = 4096
TIMEOUT_S = 3600
FS_IOC_SETFSLABEL = 0x41009432  # linux/fs.h
LABEL_BYTES = 256
DIGITS = 4
CAP_SYS_RESOURCE = 24
GROWTH_TAKES = "the capability CAP_SYS_RESOURCE for ext4, which geats does not have here"
CORRECTED = 1  # e2fsck(8): errors were found, and are no more
DAMAGED = "Structure needs cleaning"  # EUCLEAN: what mount says if xfs has to be repaired


@dataclass(frozen=True, slots=True)
class Filesystem:
    """One type. Where its superblock shows *magic*, its label is, of so many bytes."""

    name: str
    package: str
    tools: tuple[str, ...]
    least_bytes: int
    magic: bytes
    magic_at: int
    label_at: int
    label_bytes: int
    options: str

    @property
    def missing(self) -> tuple[str, ...]:
        """The programs that it needs and that are not installed."""
        return tuple(tool for tool in self.tools if shutil.which(tool) is None)

    def label(self, name: str) -> str:
        """What the filesystem of the volume *name* is called: the name, or what fits of it."""
        return fitting(name, self.label_bytes)

    def check_size(self, what: object, size_bytes: int) -> None:
        """Raise ``HostError`` if it cannot be made as small."""
        if size_bytes < self.least_bytes:
            least, given = format_size(self.least_bytes), format_size(size_bytes)
            raise HostError(f"{what}: {self.name} needs at least {least}, got {given}")


def fitting(name: str, at_most: int) -> str:
    """The name; or, if it is longer than *at_most*, its start and what tells it from others."""
    if len(name) <= at_most:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:DIGITS]
    return f"{name[: at_most - DIGITS - 1]}-{digest}"


EXT4 = Filesystem(
    name="ext4",
    package="e2fsprogs",
    tools=("mkfs.ext4", "e2fsck", "resize2fs", "tune2fs"),
    least_bytes=8 * MIB,
    magic=b"\x53\xef",
    magic_at=1024 + 0x38,
    label_at=1024 + 0x78,
    label_bytes=16,
    options="nodev,discard",
)
XFS = Filesystem(
    name="xfs",
    package="xfsprogs",
    tools=("mkfs.xfs", "xfs_repair", "xfs_growfs"),
    least_bytes=300 * MIB,
    magic=b"XFSB",
    magic_at=0,
    label_at=108,
    label_bytes=12,
    options="nodev,discard,nouuid",  # clones keep the id of what they were cloned from
)
BTRFS = Filesystem(
    name="btrfs",
    package="btrfs-progs",
    tools=("mkfs.btrfs", "btrfs", "btrfstune"),
    least_bytes=128 * MIB,
    magic=b"_BHRfS_M",
    magic_at=65536 + 0x40,
    label_at=65536 + 0x12B,
    label_bytes=64,
    options="nodev,discard",
)
FILESYSTEMS: Mapping[str, Filesystem] = {kind.name: kind for kind in (EXT4, XFS, BTRFS)}


@dataclass(frozen=True, slots=True)
class FoundFilesystem:
    """The filesystem that a file or a device holds."""

    kind: Filesystem
    label: str


def found_on(device: Path) -> FoundFilesystem | None:
    """What *device* contains, by its superblock; None for anything that is not made here."""
    with device.open("rb") as file:
        for kind in FILESYSTEMS.values():
            if os.pread(file.fileno(), len(kind.magic), kind.magic_at) == kind.magic:
                raw = os.pread(file.fileno(), kind.label_bytes, kind.label_at)
                return FoundFilesystem(kind, raw.split(b"\0")[0].decode(errors="replace"))
    return None


def signatures(device: Path) -> tuple[str, ...]:
    """What a file or a device contains, such as ``ext4`` or ``gpt``: all that wipefs(8) knows."""
    said = run(["wipefs", "--no-act", "--noheadings", "--output=TYPE", "--", f"{device}"])
    return tuple(dict.fromkeys(said.split()))


def make(kind: Filesystem, device: Path, label: str, size_bytes: int, *, is_zero: bool) -> None:
    """Make a filesystem of that size, whatever *device* contains, which *is_zero* if it is new.

    As much as possible is left to be done when it is needed.
    """
    size = size_bytes // BLOCK * BLOCK
    match kind.name:
        case "ext4":
            rest = "assume_storage_prezeroed=1" if is_zero else "lazy_itable_init=1"
            argv = ["mkfs.ext4", "-F", "-q", "-m", "0", "-b", f"{BLOCK}", "-E", f"nodiscard,{rest}"]
            argv += ["-O", "metadata_csum_seed", "-L", label, f"{device}", f"{size // BLOCK}"]
        case "xfs":
            argv = ["mkfs.xfs", "-f", "-q", "-K", "-b", f"size={BLOCK}", "-d", f"size={size}"]
            argv += ["-L", label, f"{device}"]
        case _:
            argv = ["mkfs.btrfs", "-f", "-q", "-K", "-b", f"{size}", "-L", label, f"{device}"]
    _work(argv)


def check(kind: Filesystem, device: Path) -> None:
    """Repair what can be repaired without a loss; xfs and btrfs do as they are mounted."""
    if kind is EXT4:
        _work(["e2fsck", "-p", f"{device}"], accepted=(0, CORRECTED))


def mount(kind: Filesystem, device: Path, point: Path, *, is_file: bool) -> None:
    """Mount *device*, a file through a loop device that goes when it is unmounted."""
    options = f"{kind.options},loop" if is_file else kind.options
    argv = ["mount", "-t", kind.name, "-o", options, "--", f"{device}", f"{point}"]
    try:
        run(argv)
    except HostError as error:
        if kind is not XFS or DAMAGED not in str(error):
            raise
        _work(["xfs_repair", f"{device}"])
        run(argv)


def grow(kind: Filesystem, device: Path, point: Path, size_bytes: int) -> None:
    """Let a mounted filesystem take up so much of *device*, if it does not yet."""
    blocks = size_bytes // BLOCK
    match kind.name:
        case "ext4":
            argv = ["resize2fs", f"{device}", f"{blocks}"]
        case "xfs":
            argv = ["xfs_growfs", "-D", f"{blocks}", f"{point}"]
        case _:
            argv = ["btrfs", "filesystem", "resize", f"{blocks * BLOCK}", f"{point}"]
    _work(argv)


def grows_online(kind: Filesystem) -> bool:
    """Whether a mounted one can be grown: of ext4 the kernel wants more than that one is root."""
    return kind is not EXT4 or has_capability(CAP_SYS_RESOURCE)


def grow_unmounted(device: Path, size_bytes: int) -> None:
    """Let an ext4 that is not mounted take up so much of *device*."""
    _work(["e2fsck", "-p", "-f", f"{device}"], accepted=(0, CORRECTED))
    _work(["resize2fs", f"{device}", f"{size_bytes // BLOCK}"])


def has_capability(number: int) -> bool:
    """Whether this process has that one of capabilities(7)."""
    lines = Path("/proc/thread-self/status").read_text().splitlines()
    effective = next(line.split()[1] for line in lines if line.startswith("CapEff:"))
    return bool(int(effective, 16) >> number & 1)


def renew(kind: Filesystem, device: Path, label: str) -> None:
    """Tell a clone, which is not mounted, apart from what it was cloned from."""
    match kind.name:
        case "ext4":
            _work(["tune2fs", "-U", "random", "-L", label, f"{device}"])
        case "btrfs":
            _work(["btrfstune", "-m", "-f", f"{device}"])
            run(["btrfs", "filesystem", "label", f"{device}", label])
        case _:
            pass  # xfs is mounted whatever its id is; see ``set_label``


def label(kind: Filesystem, device: Path, text: str) -> None:
    """Give a filesystem that is not mounted another label; its id stays."""
    match kind.name:
        case "ext4":
            _work(["tune2fs", "-L", text, f"{device}"])
        case "btrfs":
            run(["btrfs", "filesystem", "label", f"{device}", text])
        case _:
            _work(["xfs_admin", "-L", text, f"{device}"])


def set_label(kind: Filesystem, point: int, label: str) -> None:
    """The rest of ``renew``, for a clone that is mounted at the open directory *point*."""
    if kind is XFS:
        fcntl.ioctl(point, FS_IOC_SETFSLABEL, label.encode().ljust(LABEL_BYTES, b"\0"))


def _work(argv: Sequence[str], *, accepted: Container[int] = (0,)) -> None:
    """Run what may take long, and changes what is on a device."""
    run(argv, timeout_s=TIMEOUT_S, accepted=accepted, ends_with_us=True)
