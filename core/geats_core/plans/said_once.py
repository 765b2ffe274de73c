"""Problems as lines for people, where several VMs have the same one."""

from collections.abc import Iterable
from dataclasses import fields
from functools import cache

from geats_core.planning.goal import Goal
from geats_core.vm.observation import Observation
from geats_core.vm.parse import vm_schema

OF_CALLS = frozenset({"name", "snapshot"})  # what else follows the name of a VM in a path


def said_once(problems: Iterable[str]) -> list[str]:
    """Problems as lines for people: what is wrong with several VMs is said once, and names them.

    Such as ``web01, web02: volumes[root].pool: the pool 'fast' is not available``.
    """
    alike: dict[tuple[str, str], dict[str, str]] = {}
    for each in problems:
        path, _, message = each.partition(": ")
        name, within = _divided(path)
        alike.setdefault((within, message), {}).setdefault(name, each)
    return [
        f"{', '.join(whole)}: {each[len(name) + 1 :].lstrip()}" if len(whole) > 1 else each
        for whole in alike.values()
        for name, each in [next(iter(whole.items()))]
    ]


@cache
def keys() -> frozenset[str]:
    """What follows the name of a VM in a path: its keys, and what is seen or asked of it."""
    seen = {each.name for kind in (Observation, Goal) for each in fields(kind)}
    return OF_CALLS | seen | set(_keys_of_vm())


def _keys_of_vm() -> Iterable[str]:
    said = vm_schema()["properties"]
    return said if isinstance(said, dict) else ()


def _divided(path: str) -> tuple[str, str]:
    """The name of a VM, in which there may be dots, and the rest of a path that begins with it."""
    parts = path.split(".")
    for at, part in enumerate(parts[1:], start=1):
        if part.partition("[")[0].replace(" ", "_") in keys():
            return ".".join(parts[:at]), ".".join(parts[at:])
    return path, ""
