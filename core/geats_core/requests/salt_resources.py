"""VMs as Salt targets, which Salt calls resources: their ids, and the jobs for them.

An id contains the id of the host's minion, because ids must be unique among all hosts of a master.
Dots in the name of a VM are plus signs in it: the name begins after the last dot.
"""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import TypeAlias

from geats_core.reading import fields
from geats_core.reading.checked import Checked
from geats_core.reading.mappings import Reader, each, of_mapping

Job: TypeAlias = Mapping[str, object]  # the arguments of a call, and what Salt adds to them

ALL = ("*",)
WILD = "*?["
# What Salt compares with each resource. With any other target, it hands the job to every resource
# of every host (Salt 3008), whether the host is meant or not.
HELD_AGAINST_EACH = frozenset({"compound", "list", "grain", "grain_pcre"})
OF_SALT = "__"  # begins the names of all that Salt adds
FROM_JOB = "__pub_"  # of those, what it knows of the job


@of_mapping
def _offer(read: Reader) -> Checked[tuple[str, ...]]:
    return read.done(read.take("vms", each(fields.text), ALL))


def parse_offer(path: str, raw: object) -> Checked[tuple[str, ...]]:
    """Which VMs are targets: patterns of their names under ``vms``, or all (``None``)."""
    return _offer(path, {} if raw is None else raw)


def offered(minion: str, vms: Iterable[str], patterns: Iterable[str]) -> list[str]:
    """The ids of those *vms* of the host that any of *patterns* matches, sorted."""
    wanted = tuple(patterns)
    names = sorted(vm for vm in vms if any(fnmatchcase(vm, pattern) for pattern in wanted))
    return [f"{minion}.{vm.replace('.', '+')}" for vm in names]


def vm_of(minion: str, resource_id: str) -> str:
    """The name of the VM that has this id on the host of *minion*."""
    return resource_id.removeprefix(f"{minion}.").replace("+", ".")


def is_meant(job: Job) -> bool:
    """Whether a job that Salt brings to a VM is for it or its host; a call without one is."""
    kind, target = job.get(f"{FROM_JOB}tgt_type", "glob"), job.get(f"{FROM_JOB}tgt", "")
    exact = kind == "glob" and not any(sign in str(target) for sign in WILD)
    return kind in HELD_AGAINST_EACH or exact or job.get(f"{FROM_JOB}minion_is_target") is True


def arguments(job: Job) -> dict[str, object]:
    """What was given to the function itself."""
    return {key: value for key, value in job.items() if not key.startswith(OF_SALT)}
