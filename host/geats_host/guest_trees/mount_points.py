"""Where guests see what is mounted: liblxc makes these directories, also behind a guest's links."""

from collections.abc import Mapping
from pathlib import Path

from geats_core.vm.spec import VMSpec
from geats_host.errors import HostError
from geats_host.guest_trees.guest_files import passes_link


def check_mount_points(spec: VMSpec, paths: Mapping[str, Path]) -> None:
    """Refuse mount points that a link of the guest's leads elsewhere: onto the host, perhaps.

    *paths* are the directories of the volumes, by name. The guest must be off.
    """
    mounts = [volume.mount for volume in spec.all_volumes if volume is not spec.root]
    mounts += [*(bind.mount for bind in spec.binds), *(each.mount for each in spec.tmpfs)]
    for mount in mounts:
        below = [volume for volume in spec.volumes if mount.startswith(_folder(volume.mount))]
        holder = max(below, key=lambda volume: len(volume.mount))
        if passes_link(paths[holder.name], mount.removeprefix(_folder(holder.mount))):
            raise HostError(
                f"{mount} in {spec.name} cannot be a mount point: there is a symbolic link on the"
                " way to it"
            )


def _folder(mount: str) -> str:
    """With the slash that everything below it has."""
    return f"{mount.rstrip('/')}/"
