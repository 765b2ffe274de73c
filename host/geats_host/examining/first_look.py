"""What a host has for a first configuration: storage, bridges, ids, and VMs that others made."""

import shutil
from pathlib import Path

from geats_core.declared.first_configuration import HostFound, Storage
from geats_host.examining.findings import HostFiles
from geats_host.guest_trees.reflinks import can_share
from geats_host.linux.mounts import fstype_of
from geats_host.linux.network import bridges
from geats_host.linux.overlay_mounts import is_supported, lacks_for_upper_layer
from geats_host.linux.subordinate_ids import subordinate_ids

CONTAINERS, DOMAINS = "var/lib/lxc", "etc/libvirt/qemu"
LIBVIRT_SOCKET, KVM = "run/libvirt/libvirt-sock", "dev/kvm"


def first_look(state_dir: Path, tree: HostFiles | None = None) -> HostFound:
    """What this host has; or another *tree*, of which the kernel tells nothing. ``HostError`` if
    the kernel does not say which bridges there are."""
    tree = tree or HostFiles()
    ids = subordinate_ids(tree.root / "etc")
    folder = next(each for each in (state_dir, *state_dir.parents) if each.is_dir())
    containers = sorted(each.parent.name for each in (tree.root / CONTAINERS).glob("*/config"))
    return HostFound(
        state_dir=str(state_dir),
        fstype=fstype_of(folder),
        storage=_storage(folder, has_ids=ids is not None),
        bridges=tuple(sorted(bridges())) if tree.is_this_host else (),
        ids=ids,
        has_lxc=shutil.which("lxc-start") is not None,
        lxc_path=str(tree.root / CONTAINERS) if containers else "",
        containers=tuple(containers),
        libvirt=_libvirt(tree),
        domains=tuple(sorted(each.stem for each in (tree.root / DOMAINS).glob("*.xml"))),
    )


def _storage(folder: Path, *, has_ids: bool) -> Storage:
    if fstype_of(folder) == "btrfs":
        return Storage.BTRFS
    if can_share(folder):
        return Storage.REFLINKS
    if has_ids and is_supported() and not lacks_for_upper_layer(folder):
        return Storage.OVERLAY
    return Storage.PLAIN


def _libvirt(tree: HostFiles) -> str:
    """The driver for its machines; empty if no libvirt is here. That there is KVM is only seen."""
    if not (tree.root / LIBVIRT_SOCKET).exists():
        return ""
    return "kvm" if (tree.root / KVM).exists() else "qemu"
