"""The settings of one guest of Proxmox, and how it writes sizes.

Values are in no note, since some are secret, such as ``cipassword`` or a description.
"""

from collections.abc import Mapping

from geats_core.foreign.notes import Taken
from geats_core.foreign.settings import NOTES, Settings, whole
from geats_core.proxmox.conf import Conf
from geats_core.reading.sizes import format_size

UNITS: Mapping[str, int] = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def settings_of(taken: Taken, name: str, conf: Conf) -> Settings:
    """The settings of the VM *name*; what else is in the file is noted at once."""
    if conf.described and "description" not in conf.settings:
        taken.left("description", NOTES)
    for section in conf.sections:
        taken.left(f"[{section}]", SECTIONS.get(section.lower(), SNAPSHOT))
    for number in conf.unread:
        taken.left(f"line {number}", "cannot be read, and Proxmox passes over it too")
    return Settings(taken, f"vms.{name}", dict(conf.settings))


SNAPSHOT = "is a snapshot: it stays with the old disks, and the new VM has none"
SECTIONS = {
    "pending": "are changes that are not in effect yet: let the old guest take them first, or none",
    "special:cloudinit": "is what Proxmox has written for cloud-init: geats writes its own",
    "special:fleecing": "is of an unfinished backup",
}


def size_of(text: str) -> str:
    """A size of Proxmox, such as ``32G``, in words of geats; empty if it is none."""
    count, unit = (text[:-1], text[-1:].upper()) if text[-1:].isalpha() else (text, "")
    number = whole(count)
    return format_size(number * UNITS[unit]) if number and unit in UNITS else ""


def mebibytes(text: str) -> str:
    """Memory as Proxmox counts it; empty if it is none."""
    number = whole(text)
    return f"{number}MiB" if number else ""
