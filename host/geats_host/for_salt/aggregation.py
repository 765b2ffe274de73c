"""Which states of one Salt run go into one plan: those that could all run now.

Salt describes each state of a run by a *chunk*: a mapping with ``state``, ``fun``, ``name``,
``__id__`` and ``__sls__``, what the state is given, and words for Salt itself. What has run stands
in ``running``, by tag (https://docs.saltproject.io/en/latest/ref/states/layers.html).
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, TypeAlias, TypeVar

from salt.state import STATE_INTERNAL_KEYWORDS

Chunk: TypeAlias = Mapping[str, Any]
C = TypeVar("C", bound=Chunk)
Running: TypeAlias = Mapping[str, Mapping[str, Any]]

FOLDED = frozenset({"running", "stopped", "frozen", "defined"})
TOGETHER = "__together__"  # our own word in a chunk that has, or is in, a group: its key
REQUISITES = ("require", "watch")  # others may keep a state from running though they are met
HARMLESS = frozenset({*REQUISITES, "state", "fun", "name", "order", "listen", "aggregate"})
RESERVED = STATE_INTERNAL_KEYWORDS | {"name", "name_order", "aggregate"}  # for Salt itself


def foldable(
    first: C, group: Iterable[C], everything: Iterable[Chunk], running: Running
) -> list[C]:
    """*first*, which is about to run, and those of *group* that may run with it, in their order.

    *group* is of Salt's choice: none of it waits for another of it. *everything* is all chunks of
    the run; those that have a group already, as *first* does, have the word TOGETHER. The list is
    empty if *first* is to run by itself.
    """
    everything = list(everything)
    ours = Counter(each["name"] for each in everything if each["state"] == first["state"])
    plain = [each for each in (first, *group) if _is_plain(each) and ours[each["name"]] == 1]
    if first not in plain:
        return []
    left = [each for each in plain if TOGETHER not in each and tag(each) not in running]
    return [first, *(each for each in left if _may_run(each, everything, running))]


def tag(chunk: Chunk) -> str:
    """What Salt calls a chunk in ``running``."""
    return "_|-".join(str(chunk[key]) for key in ("state", "__id__", "name", "fun"))


def arguments(chunk: Chunk) -> dict[str, Any]:
    """What the state itself is given."""
    return {key: value for key, value in chunk.items() if not _is_salts(key)}


def is_expanded(chunk: Chunk) -> bool:
    """Whether Salt made it of ``names``, or it has a ``name`` other than its id."""
    return bool(chunk.get("__id__", chunk["name"]) != chunk["name"])


def _is_salts(key: str) -> bool:
    return key.startswith("__") or key in RESERVED


def _is_plain(chunk: Chunk) -> bool:
    """Whether it runs as soon as its requisites are met, and in no way of its own."""
    salts = {key for key in chunk if _is_salts(key) and not key.startswith("__")}
    return (
        chunk["fun"] in FOLDED
        and salts <= HARMLESS
        and not {"__prereq__", "__prerequiring__"} & chunk.keys()
        and "__slot__:" not in repr(chunk)
    )


def _may_run(chunk: Chunk, everything: list[Chunk], running: Running) -> bool:
    """Whether all that it requires or watches has run, and none of it failed."""
    entries = [entry for word in REQUISITES for entry in chunk.get(word, ())]
    return all(_is_met(entry, everything, running) for entry in entries)


def _is_met(entry: object, everything: list[Chunk], running: Running) -> bool:
    kind, wanted = next(iter(entry.items())) if isinstance(entry, Mapping) else ("id", entry)
    meant = [tag(each) for each in everything if _is_meant(each, kind, str(wanted))]
    return bool(meant) and all(_has_succeeded(running.get(each)) for each in meant)


def _is_meant(chunk: Chunk, kind: object, wanted: str) -> bool:
    if kind == "sls":
        names = [chunk.get("__sls__"), *chunk.get("__sls_included_from__", ())]
    elif kind in ("id", chunk["state"]):
        names = [chunk["__id__"], chunk["name"]]
    else:
        return False
    return any(fnmatchcase(str(name), wanted) for name in names)


def _has_succeeded(result: Mapping[str, Any] | None) -> bool:
    """A state in a process of its own has no result yet."""
    return result is not None and "proc" not in result and result["result"] is not False
