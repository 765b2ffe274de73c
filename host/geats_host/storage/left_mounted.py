"""What an interruption left of mounts of volumes: of such as are not there, or are not mounted."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from geats_core.planning.plugin_facts import Leftover
from geats_host.errors import HostError
from geats_host.leftovers import Left
from geats_host.linux.loops import detach_all, loops_on
from geats_host.linux.mounts import who_sees
from geats_host.storage import Offer, Pool, VolumeId
from geats_host.storage.directory import DirectoryPool
from geats_host.storage.mounted import Mounted, is_mounted, mounted_points
from geats_host.storage.mounting import Place


def leftovers(below: Pool, points: DirectoryPool) -> Iterator[Left]:
    """Mount points in *points* of no volume of *below*, and loop devices on volumes not in use."""
    there = below.observe()
    for volume in points.observe():
        if volume not in there:
            yield _mount_point(Place(volume, below, points))
    for volume in there if below.offers is Offer.FILE else ():
        place = Place(volume, below, points)
        found = loops_on(place.device)
        if found and not is_mounted(place.point):
            yield _loop(place, found[0])


def _mount_point(place: Place) -> Left:
    mounted = is_mounted(place.point)
    ours = Mounted(place.point).taken_up_bytes(mounted_points()) is not None
    return Left(
        kind=Leftover.MOUNT if mounted else Leftover.FOLDER,
        name=f"{place.point}",
        reason=f"there is no volume {place.volume} any more",
        remove=partial(_take_down, place),
        vm=_vm(place.volume),
        owner="it is not a filesystem that geats made" if mounted and not ours else "",
    )


def _take_down(place: Place) -> None:
    place.take_down()
    place.points.destroy(place.volume)


def _loop(place: Place, device: Path) -> Left:
    return Left(
        kind=Leftover.LOOP_DEVICE,
        name=f"{device}",
        reason=f"it is on the volume {place.volume}, which is not mounted",
        remove=partial(_detach, place),
        vm=_vm(place.volume),
        owner=who_sees(device).removeprefix(", which "),
    )


def _detach(place: Place) -> None:
    if is_mounted(place.point):
        raise HostError(f"{place.device}: is mounted by now")
    detach_all(place.device)


def _vm(volume: VolumeId) -> str:
    return volume.vm if volume.is_of_vm else ""
