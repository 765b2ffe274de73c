"""A volume that its VM is no longer defined with: a plan that destroys it, because it is named.

What a VM was undefined with, or what was taken out of its declaration, stays until somebody names
it. A volume that anything still uses, or that the next plan would make again, is no such volume.
"""

from collections.abc import Iterable, Mapping

from returns.result import Failure

from geats_core.deciding.refusals import foreign
from geats_core.planning.actions import DestroyVolume
from geats_core.planning.draft import Draft
from geats_core.planning.goal import Goal, Target
from geats_core.planning.host_facts import HostFacts
from geats_core.planning.steps import Plan
from geats_core.reading.checked import Checked, Code, Problem, Problems, unknown
from geats_core.vm.observation import Observation, VolumeSeen, definitions
from geats_core.vm.spec import VMSpec
from geats_core.vm.unseen import out_of_sight, unreliable_parts

NOT_WANTED = "it is asked for by name, and no VM is defined with it"


def plan_removal(
    name: str,
    volume: str,
    observations: Mapping[str, Observation],
    facts: HostFacts | None = None,
    *,
    pool: str | None = None,
    declared: VMSpec | None = None,
) -> Checked[Plan]:
    """Destroy the volume of the VM *name* that is called *volume*; in *pool*, if there are several.

    Refused if the VM is locked, if it is defined or *declared* with the volume or runs with it, or
    if another VM mounts it. *observations* is everything on the host, by the names of the VMs.
    """
    have = observations.get(name, Observation())
    found = [each for each in have.volumes if each.name == volume and pool in (None, each.pool)]
    problems = [
        *foreign(Goal(name=name, target=Target.OFF), have),
        *unreliable_parts(name, have),
        *out_of_sight(name, have, (facts or HostFacts()).unavailable),
        *_which(name, volume, found, have),
        *(p for seen in found for p in _used(name, seen, have, observations, declared)),
    ]
    if problems:
        return Failure(tuple(problems))
    draft = Draft(name, have)
    for seen in found:
        draft.add(DestroyVolume(seen.pool, seen.name), NOT_WANTED)
    return draft.finished()


def _which(name: str, volume: str, found: list[VolumeSeen], have: Observation) -> Problems:
    if len(found) > 1:
        pools = ", ".join(seen.pool for seen in found)
        message = f"there is one in each of the pools {pools}: say which pool"
        return (Problem(f"{name}.volumes[{volume}]", message, Code.REFUSED),)
    if not found:
        there = {f"{seen.name} in pool {seen.pool}" for seen in have.volumes}
        return (unknown(f"{name}.volumes", "volume", volume, there),)
    return ()


def _used(
    name: str,
    seen: VolumeSeen,
    have: Observation,
    observations: Mapping[str, Observation],
    declared: VMSpec | None,
) -> Iterable[Problem]:
    path = f"{name}.volumes[{seen.name}]"
    for spec, how in (
        (have.in_effect, "runs with it: restart it without the volume first"),
        (have.recorded or have.defined, "is defined with it: apply a declaration without it first"),
        (declared, "is declared with it: take it out of the declaration first"),
    ):
        if spec is not None and any(
            (each.pool, each.name) == (seen.pool, seen.name) for each in spec.volumes
        ):
            yield Problem(path, f"{name} {how}", Code.REFUSED)
            return
    for other, spec in definitions(observations).items():
        if any(each.key == (name, seen.pool, seen.name) for each in spec.shared_volumes):
            message = f"{other} mounts it: take it out of its shared_volumes first"
            yield Problem(path, message, Code.CONFLICT)
