"""What a machine remembers beside its volumes: the variables of its firmware, and its TPM.

It is of the guest on the root volume, and goes where that goes: into an archive, to another host,
to a copy. Two machines must not have one TPM: so a copy that is another VM has a new one.
"""

from collections.abc import Collection, Iterable, Mapping

from geats_core.planning.actions import Identity
from geats_core.vm.spec import VMSpec

FIRMWARE, TPM = "firmware", "tpm"  # keys of ``hardware``; what is remembered begins with one
WORDS = {FIRMWARE: "the variables of its firmware", TPM: "its TPM"}
WITHOUT_MEMORY = ('"bios"', "false")


def goes_along(remembered: Mapping[str, str], identity: Identity) -> dict[str, str]:
    """What of it a copy of that identity gets."""
    is_same = identity is Identity.KEPT
    return {key: text for key, text in remembered.items() if is_same or not key.startswith(TPM)}


def remembering(spec: VMSpec) -> list[str]:
    """Which parts of its machine remember something."""
    return [key for key, text in spec.hardware if key in WORDS and text not in WITHOUT_MEMORY]


def kinds(remembered: Iterable[str]) -> list[str]:
    """Of which parts of a machine there is something."""
    return [kind for kind in WORDS if any(key.startswith(kind) for key in remembered)]


def told(why: str, parts: Collection[str], identity: Identity) -> str:
    """The reason *why* a root is copied, with what becomes of the memory of these parts."""
    along = goes_along({part: WORDS[part] for part in parts}, identity)
    said = [f"with {' and '.join(along.values())}"] if along else []
    new = ["its TPM is a new one"] if TPM in parts and TPM not in along else []
    return "; ".join([why, *said, *new])
