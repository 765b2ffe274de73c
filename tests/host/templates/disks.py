"""Disk images for tests, honest and hostile ones, of a few MiB."""

import subprocess
from pathlib import Path

from geats_core.declared.template import DiskFile, DiskFormat, Template

MIB = 2**20
PATTERN = bytes(range(1, 256)) * 300  # no zero in it


def qemu_img(*words: str | Path) -> None:
    subprocess.run(["qemu-img", *words], check=True, capture_output=True)


def raw_disk(path: Path, size_bytes: int = 4 * MIB) -> Path:
    """A sparse file with something at its start, in its midst and at its end."""
    with path.open("wb") as file:
        file.truncate(size_bytes)
        for at in (0, size_bytes // 2 + 512, size_bytes - len(PATTERN)):
            file.seek(at)
            file.write(PATTERN)
    return path


def qcow2_disk(path: Path, size_bytes: int = 4 * MIB, *options: str) -> Path:
    """The same disk in a compressed image."""
    raw = raw_disk(path.with_suffix(".made"), size_bytes)
    qemu_img("convert", "-c", "-f", "raw", "-O", "qcow2", *options, raw, path)
    raw.unlink()
    return path


def disk_template(path: Path, format_: DiskFormat, sha256: str | None = None) -> Template:
    source = DiskFile(path=str(path), format=format_, sha256=sha256)
    return Template(name="t", source=source)


def hostile_images(folder: Path, secret: Path) -> dict[str, tuple[Path, str]]:
    """Images that would show *secret*, a file of the host, or harm it; and why each is refused."""
    with_backing = folder / "backing.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", "-b", secret, "-F", "raw", with_backing, "1M")
    unsaid = folder / "unsaid.qcow2"  # whose backing file's format is left to be probed
    qemu_img("create", "-q", "-f", "qcow2", "-u", "-b", secret, "-F", "raw", unsaid, "1M")
    elsewhere = folder / "elsewhere.qcow2"
    option = f"data_file={folder / 'other'},data_file_raw=on"
    qemu_img("create", "-q", "-f", "qcow2", "-o", option, elsewhere, "1M")
    huge = folder / "huge.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", "-o", "cluster_size=2M", huge, "100T")
    locked = folder / "locked.qcow2"
    key, aes = "secret,id=s,data=geheim", "encrypt.format=aes,encrypt.key-secret=s"
    qemu_img("create", "-q", "-f", "qcow2", "--object", key, "-o", aes, locked, "1M")
    other = folder / "other.vmdk"
    qemu_img("create", "-q", "-f", "vmdk", other, "1M")
    cut = folder / "cut.qcow2"
    cut.write_bytes(with_backing.read_bytes()[:50])
    return {
        "backing file": (with_backing, "has a backing file"),
        "backing file of any format": (unsaid, "has a backing file"),
        "data elsewhere": (elsewhere, "has its data in another file"),
        "as large as no disk": (huge, "must contain a disk of at most 64TiB"),
        "encrypted": (locked, "is encrypted"),
        "another format": (other, "is not an image in the format qcow2"),
        "cut short": (cut, "is truncated"),
    }
