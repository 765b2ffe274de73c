"""Who says each key of a VM's spec: the VM itself, or one of its profiles."""

from collections.abc import Mapping
from functools import reduce
from typing import TypeAlias

from geats_core.reading.mappings import Raw

Said: TypeAlias = dict[str, str | dict[str, str]]  # by key, and in a mapping by its keys


def origins(raw: Raw, profiles: Mapping[str, Raw], source: str) -> dict[str, str]:
    """Where each key comes from, by ``key``, or by ``key.part`` for merged mappings.

    *raw* and *profiles* are what ``parse_vm`` reads, and *source* is where *raw* comes from. A
    profile is called ``profiles.NAME``. Keys that are not in the result have their default.
    """
    names = raw.get("profile") or ()
    names = names if isinstance(names, list | tuple) else [names]
    layers = [(f"profiles.{name}", profiles[name]) for name in map(str, names) if name in profiles]
    nothing: Said = {}
    said = reduce(_laid_over, [*layers, (source, raw)], nothing)
    return {key: who for top, of in said.items() if top != "profile" for key, who in _flat(top, of)}


def in_words(said: Mapping[str, str]) -> str:
    """For example ``from profiles.small: cpus, memory; from vms.web01: template``."""
    by_source: dict[str, list[str]] = {}
    for key, source in said.items():
        by_source.setdefault(source, []).append(key)
    return "; ".join(f"from {source}: {', '.join(keys)}" for source, keys in by_source.items())


def _laid_over(below: Said, layer: tuple[str, Raw]) -> Said:
    """As ``parse.merge`` does it with the values."""
    source, raw = layer
    said = dict(below)
    for key, value in raw.items():
        under = said.get(str(key))
        if isinstance(value, Mapping):
            parts = {str(part): source for part in value}
            said[str(key)] = {**under, **parts} if isinstance(under, dict) else parts
        else:
            said[str(key)] = source
    return said


def _flat(key: str, said: str | dict[str, str]) -> list[tuple[str, str]]:
    if isinstance(said, str):
        return [(key, said)]
    sources = set(said.values())
    if len(sources) == 1:
        return [(key, sources.pop())]
    return [(f"{key}.{part}", source) for part, source in said.items()]
