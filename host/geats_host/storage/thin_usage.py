"""How much of a thin pool only one volume takes, by the mapping that the kernel keeps of it."""

from contextlib import suppress
from pathlib import Path

from geats_host.errors import HostError
from geats_host.linux.run import run
from geats_host.locks.file_locks import place_locked
from geats_host.storage import lvm_commands
from geats_host.storage.lvm_commands import parse_own_bytes

RESERVE, RELEASE = "reserve_metadata_snap", "release_metadata_snap"


def own_bytes(vg: str, thin_pool: str) -> dict[int, int]:
    """What each thin volume of the pool shares with no other, by its id there.

    The kernel keeps one copy of the mapping for whoever reads it: one process at a time has it, and
    what an interruption left of it is deleted first.
    """
    run(lvm_commands.activate(vg, thin_pool))
    metadata = Path(f"/dev/mapper/{lvm_commands.mapped(vg, thin_pool)}_tmeta")
    with place_locked(metadata):
        with suppress(HostError):  # there is nothing left
            run(lvm_commands.message(vg, thin_pool, RELEASE))
        run(lvm_commands.message(vg, thin_pool, RESERVE))
        try:
            return parse_own_bytes(run(lvm_commands.list_own_bytes(f"{metadata}")))
        finally:
            run(lvm_commands.message(vg, thin_pool, RELEASE))
