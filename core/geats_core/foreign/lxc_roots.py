"""Root filesystems of LXC: which kinds geats does not read, and how one becomes a template."""

from collections.abc import Mapping, Sequence

from geats_core.vm import idmap
from geats_core.vm.spec import IdRange

MOUNT_IT = "copy its files into a directory, and give that"
ROOTS: Mapping[str, str] = {
    "loop": "it is an image in a file (loop:)",
    "lvm": "it is a logical volume (lvm:)",
    "nbd": "it is a network block device (nbd:)",
    "overlay": "it is a layer on another directory (overlay:)",
    "overlayfs": "it is a layer on another directory (overlayfs:)",
    "rbd": "it is an image of Ceph (rbd:)",
    "zfs": "it is a dataset of ZFS (zfs:)",
}


def kind_of_root(value: str) -> str:
    """What a root filesystem is that is no directory, in words."""
    kind = value.partition(":")[0] if ":" in value else value
    return ROOTS.get(kind, f"geats knows no root filesystem {value!r}")


def shift_back(first: str, root: str) -> str:
    """How to get a template of files whose ids begin with *first*: with tar among such ids."""
    tar = f"lxc-usernsexec -m b:0:{first}:65536 -- tar -C {root} -cf - . > NEW.tar"
    return f"make a template of it by `{tar}`, for a new VM"


def build_of(path: str, ranges: Sequence[IdRange]) -> tuple[str, ...]:
    """The command that makes a tarball of a tree, with the ids that the guest sees.

    The shell is there to open the file: root of the guest, as which tar runs, could not.
    """
    maps = [each for value in idmap.lxc_values(ranges) for each in ("-m", value.replace(" ", ":"))]
    tar = ("tar", "-C", path, "--numeric-owner", "--xattrs", "--xattrs-include=*", "-cf", "-", ".")
    return ("sh", "-c", 'exec lxc-usernsexec "$@" > "$0"', "{output}", *maps, "--", *tar)
