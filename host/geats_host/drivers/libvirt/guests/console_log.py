"""What guests say on their serial consoles, as libvirt keeps it.

Theory of operation
-------------------
QEMU gives it to virtlogd, which writes it to a file that only root can read. A full file gets a
number (the newest has 0), and of these there are some: how large a file gets, and how many there
are, virtlogd has in its settings, for all VMs. Without virtlogd QEMU would write the file itself,
and a guest could fill the disk: then nothing is kept. At each start geats removes the files that
are older than what the VM is to have.
"""

import os
import re
from pathlib import Path

from geats_core.domains.elements import parsed
from geats_core.reading.sizes import format_size

FILE = "console.log"
OURS = re.compile(rf"{re.escape(FILE)}(?:\.([0-9]+))?")
SYSTEM = "qemu:///system"
START = "systemctl start virtlogd.socket"
MAX_SIZE, MAX_BACKUPS = 2 << 20, 3  # of virtlogd, unless its settings say otherwise


def cannot_keep(uri: str, wanted_bytes: int, settings: Path, socket: Path) -> str:
    """Why not so much is kept, or more and more; empty if all is well.

    *settings* are libvirt's, and virtlogd listens at *socket*.
    """
    if uri != SYSTEM:
        return f"is for virtual machines at {SYSTEM}, and this one is at {uri}"
    if not _is_by_virtlogd(settings):
        where = f'{settings / "qemu.conf"} has stdio_handler = "file"'
        return f"needs virtlogd, as else a guest can fill the disk: {where}"
    if not socket.exists():
        return f"needs virtlogd, and nothing listens at {socket}: {START}"
    conf = settings / "virtlogd.conf"
    size = _number(conf, "max_size", MAX_SIZE)
    backups = _number(conf, "max_backups", MAX_BACKUPS)
    if size == 0:
        return f"has no limit, as {conf} has max_size = 0: a guest could fill the disk"
    if size * backups < wanted_bytes:
        least = f"{format_size(size * backups)}: raise max_size or max_backups in {conf}"
        return f"is more than virtlogd is sure to keep, which is {least}"
    return ""


def is_virtlogd_missing(settings: Path, socket: Path) -> bool:
    """Whether no machine starts, since what QEMU says is for virtlogd, and that is not there."""
    return _is_by_virtlogd(settings) and not socket.exists()


def _is_by_virtlogd(settings: Path) -> bool:
    return _setting(settings / "qemu.conf", "stdio_handler") != "file"


def _number(file: Path, key: str, default: int) -> int:
    text = _setting(file, key)
    return int(text) if re.fullmatch("[0-9]{1,15}", text) else default


def _setting(file: Path, key: str) -> str:
    """What a file of settings of libvirt says, as text; empty if it says nothing."""
    try:
        text = file.read_text(errors="replace")
    except OSError:
        return ""
    found = re.findall(rf"""^\s*{key}\s*=\s*["']?(\w+)""", text, re.MULTILINE)
    return f"{found[-1]}" if found else ""


def file_of(folder: Path, xml: str) -> Path | None:
    """Where it is kept of a domain that was written as *xml*; None if nothing is.

    A domain that was adopted may have another place for it.
    """
    domain = parsed(xml)
    log = None if domain is None else domain.find("devices/serial/log")
    if log is not None:
        return Path(log.get("file", ""))
    return folder / FILE if (folder / FILE).exists() else None


def forget_old(folder: Path, most_bytes: int) -> None:
    """Remove each file that is not needed to have so many bytes: the newer ones have them."""
    newer_bytes = 0
    for file in _files(folder):
        size = os.lstat(folder / file).st_size
        if newer_bytes >= most_bytes:
            os.unlink(folder / file)
        newer_bytes += size


def move(old: Path, new: Path) -> None:
    """Give the files to a VM whose name, and so whose folder, is new; twice does no harm."""
    found = _files(old)
    if found:
        new.mkdir(mode=0o711, parents=True, exist_ok=True)
    for file in found:
        os.replace(old / file, new / file)


def _files(folder: Path) -> list[str]:
    """Those that are there, the newest first."""
    found = map(OURS.fullmatch, os.listdir(folder) if folder.is_dir() else ())
    numbers = {each[0]: int(each[1] or -1) for each in found if each}
    return sorted(numbers, key=numbers.__getitem__)
