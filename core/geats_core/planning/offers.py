"""What volumes are for those who use them."""

from enum import StrEnum

from geats_core.vm.spec import RootKind


class Offer(StrEnum):
    """What a volume is for its users: a directory, or a disk of one kind or another.

    FILE contains the disk byte by byte; QCOW2 is a file in that format, which only QEMU can read.
    """

    DIRECTORY = "directory"
    BLOCK_DEVICE = "block device"
    FILE = "file"
    QCOW2 = "qcow2 file"
    NOTHING = "nothing"  # it exists in memory only: there is nothing to put files on

    def takes(self, kind: RootKind) -> bool:
        """Whether a template of that kind can be installed on it."""
        return self is Offer.NOTHING or (self is Offer.DIRECTORY) == (kind is RootKind.TREE)
