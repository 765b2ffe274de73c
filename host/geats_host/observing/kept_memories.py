"""What machines remembered when their roots were snapshotted: variables of a firmware, and a TPM.

Theory of operation
-------------------
It is noted before the snapshot is taken, and given back before the root is rolled back: both steps
can be repeated wherever they were interrupted. The note goes with the snapshot, and with the root:
to another host as well, if that has the same pool.
"""

import json
from collections.abc import Collection, Mapping

from geats_host.registry import Registry

KIND = "kept memory"  # of the registry's notes: the key of each is the VM, the pool, the snapshot


def note(
    registry: Registry, vm: str, pool: str, snapshot: str, remembered: Mapping[str, str]
) -> None:
    """Keep what there is, durably; of a machine that remembers nothing, there is no note."""
    if remembered:
        registry.note(KIND, _key(vm, pool, snapshot), json.dumps(dict(remembered)))
    else:
        forget(registry, vm, pool, snapshot)


def noted(registry: Registry, vm: str, pool: str, snapshot: str) -> Mapping[str, str]:
    """What was kept with the snapshot; nothing if somebody changed the registry by hand."""
    return _read(registry.notes(KIND).get(_key(vm, pool, snapshot), "{}"))


def all_noted(registry: Registry, vm: str, pool: str) -> Mapping[str, object]:
    """What was kept with each snapshot of the root."""
    texts = registry.notes(KIND)
    return {key.rpartition("/")[2]: _read(texts[key]) for key in _keys(registry, vm, pool)}


def came(registry: Registry, vm: str, pool: str, kept: object) -> None:
    """Keep, durably, what another host has kept with the snapshots of the root, as it says."""
    for snapshot, remembered in kept.items() if isinstance(kept, dict) else ():
        if isinstance(remembered, dict) and "/" not in snapshot:
            note(registry, vm, pool, snapshot, remembered)


def pools_of(registry: Registry, vm: str) -> Collection[str]:
    """Where its root has snapshots with which something is kept."""
    keys = (key.split("/") for key in registry.notes(KIND))
    return {pool for of, pool, *_ in keys if of == vm}


def forget(registry: Registry, vm: str, pool: str, snapshot: str) -> None:
    """The snapshot is gone."""
    registry.forget_note(KIND, _key(vm, pool, snapshot))


def forget_all(registry: Registry, vm: str, pool: str) -> None:
    """The root is gone, with all its snapshots."""
    for key in _keys(registry, vm, pool):
        registry.forget_note(KIND, key)


def hand_over(registry: Registry, vm: str, pool: str, new_name: str) -> None:
    """The root has another name, and its snapshots with it."""
    texts = registry.notes(KIND)
    for key in _keys(registry, vm, pool):
        registry.note(KIND, _key(new_name, pool, key.rpartition("/")[2]), texts[key])
        registry.forget_note(KIND, key)


def _read(text: str) -> Mapping[str, str]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return {f"{key}": f"{piece}" for key, piece in found.items()} if isinstance(found, dict) else {}


def _keys(registry: Registry, vm: str, pool: str) -> list[str]:
    return [key for key in registry.notes(KIND) if key.startswith(_key(vm, pool, ""))]


def _key(vm: str, pool: str, snapshot: str) -> str:
    return f"{vm}/{pool}/{snapshot}"
