"""How volumes are made, filled and destroyed along a plan."""

from dataclasses import replace

from geats_core.deciding.goal_draft import GoalDraft
from geats_core.deciding.losses import outdated_volumes
from geats_core.deciding.restarts import must_grow
from geats_core.planning.actions import (
    ActivateVolume,
    AllocateVolume,
    ConfigureGuest,
    DestroyVolume,
    ForgetVolume,
    FormatVolume,
    GrowVolume,
    InstallTemplate,
)
from geats_core.planning.draft import zeroed
from geats_core.planning.model import allocated
from geats_core.planning.spec_changes import Change
from geats_core.vm.guest_files import guest_digest
from geats_core.vm.observation import Power, Stage, VolumeMissing, VolumeSeen
from geats_core.vm.spec import ROOT, VMSpec, Volume


def destroy(
    draft: GoalDraft,
    volumes: tuple[VolumeSeen, ...],
    reason: str = "",
    because: tuple[Change, ...] = (),
) -> None:
    """Destroy each, for one reason, or for the change of the same position in *because*."""
    for position, seen in enumerate(volumes):
        draft.add(DestroyVolume(seen.pool, seen.name), reason, because[position : position + 1])


def give_up(draft: GoalDraft, missing: tuple[VolumeMissing, ...]) -> None:
    """Forget each: ``refusals`` has checked that this is allowed."""
    for each in missing:
        draft.add(ForgetVolume(each.pool, each.name), f"it was {each}, and is not found there")


def prepare_volume(draft: GoalDraft, want: VMSpec, volume: Volume) -> None:
    """Bring one volume to the point where files can be put on it."""
    where = (volume.pool, volume.name)
    seen = draft.state.volume(*where)
    if seen is None:
        allocation = AllocateVolume(*where, volume.size_bytes)
        draft.add(allocation, f"it does not exist{_not_enforced(draft, volume)}")
        seen = allocated(allocation)
    if seen.stage is Stage.ALLOCATED:
        draft.add(FormatVolume(*where), f"it is not formatted{zeroed(draft.facts, volume.pool)}")
    if not seen.active:
        draft.add(ActivateVolume(*where), "it is not active")
    is_off = draft.state.power is Power.STOPPED
    can_grow = is_off or not draft.facts.cannot_grow_online(want.driver, volume)
    if volume.size_bytes is not None and must_grow(volume, seen) and can_grow:
        also = zeroed(draft.facts, volume.pool)
        reason = f"it is smaller than described{_not_enforced(draft, volume)}{also}"
        draft.add(GrowVolume(*where, volume.size_bytes), reason)


def root_stays(draft: GoalDraft, want: VMSpec, anew: tuple[VolumeSeen, ...]) -> bool:
    """Whether the root is there already, and the plan neither recreates it nor destroys one."""
    have = draft.state
    replaced = (*anew, *outdated_volumes(want, have))
    seen = have.volume(want.root.pool, ROOT)
    return seen is not None and seen not in replaced and not have.missing_of([ROOT])


def with_room(draft: GoalDraft, want: VMSpec) -> Volume:
    """The root: if no size is given, as large as a pool makes it, or as its disk image needs."""
    root, image_bytes = want.root, draft.facts.disks.get(want.template)
    seen = draft.state.volume(root.pool, root.name)
    is_filled = seen is not None and seen.stage is Stage.INSTALLED
    default_bytes = draft.facts.pool(root.pool).default_bytes
    if root.size_bytes is not None or is_filled or image_bytes is None or default_bytes is None:
        return root
    there_bytes = default_bytes if seen is None else seen.size_bytes or default_bytes
    return replace(root, size_bytes=max(image_bytes, there_bytes))


def _not_enforced(draft: GoalDraft, volume: Volume) -> str:
    """What a person should know who gives a volume a size that nothing enforces."""
    if volume.size_bytes is None or draft.facts.pool(volume.pool).enforces_size:
        return ""
    return f" (pool {volume.pool} does not enforce its size)"


def fill_root(draft: GoalDraft, want: VMSpec) -> None:
    """Install the template and configure the guest: only while the VM is off."""
    where = (want.root.pool, ROOT)
    seen = draft.state.volume(*where)
    if draft.state.power is not Power.STOPPED or seen is None:
        return
    if seen.stage is not Stage.INSTALLED:
        unfinished = seen.stage is Stage.FILLING
        draft.add(
            InstallTemplate(*where, want.template),
            "an earlier install was not finished" if unfinished else "it is empty",
        )
    if seen.guest != guest_digest(want):
        draft.add(ConfigureGuest(*where, want), "its files in the guest are not as described")
