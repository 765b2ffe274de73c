"""Stories of volumes that several VMs mount."""

from collections.abc import Mapping
from dataclasses import replace

from geats_core import DataLoss, Goal, HostPlan, Observation, Target, VMSpec, plan
from geats_core.hostwide.shared_volumes import order_sharing
from geats_core.hostwide.step_graph import Graph
from geats_core.planning.actions import ActivateVolume, DestroyVolume, Shutdown, Start
from tests.core.hosts import at, goals, planned, refused, vm

MEDIA: dict[object, object] = {"name": "media", "mount": "/srv/media", "shared": True}
FILMS = {"films": {"vm": "nas", "volume": "media", "mount": "/films"}}


def nas(**media: object) -> VMSpec:
    """The owner, with some keys of its volume changed."""
    return vm("nas", volumes=[{"name": "root"}, {**MEDIA, **media}])


NAS = nas()
WEB = vm("web", shared_volumes=FILMS)
BOTH_ON = at(Target.RUNNING, NAS, WEB)


def position(made: HostPlan, name: str, action: type) -> int:
    (found,) = (
        number
        for number, step in enumerate(made.steps)
        if step.vm == name and isinstance(step.action, action)
    )
    return found


def waits(made: HostPlan, later: int, earlier: int) -> bool:
    """Whether one step waits for another, perhaps through others."""
    needs = made.steps[later].needs
    return earlier in needs or any(waits(made, need, earlier) for need in needs)


def activation(made: HostPlan, pool: str = "default") -> int:
    return next(
        number
        for number, step in enumerate(made.steps)
        if step.vm == "nas" and step.action == ActivateVolume(pool, "media")
    )


def test_who_mounts_a_volume_starts_once_it_is_active_not_once_its_owner_is_on() -> None:
    made = planned(goals(Target.RUNNING, WEB, NAS), {})
    assert waits(made, position(made, "web", Start), activation(made))
    assert not waits(made, position(made, "web", Start), position(made, "nas", Start))


def test_a_volume_that_is_active_is_mounted_by_itself() -> None:
    made = planned(goals(Target.RUNNING, WEB), at(Target.PROVISIONED, NAS))
    assert made.steps != ()
    assert planned(goals(Target.RUNNING, WEB, NAS), BOTH_ON).is_empty


def test_a_volume_that_is_not_lent_is_not_mounted() -> None:
    def why(*there: VMSpec) -> list[str]:
        return refused(goals(Target.RUNNING, WEB), at(Target.STOPPED, *there))

    assert why() == ["web.shared_volumes.films: nas is not defined, or will not be"]
    assert why(vm("nas")) == ["web.shared_volumes.films: nas has no volume 'media'"]
    assert why(nas(shared=False)) == ["web.shared_volumes.films: nas/media is not shared by nas"]
    assert why(nas(pool="fast")) == [
        "web.shared_volumes.films: nas/media is in the pool 'fast', not in 'default'"
    ]
    assert why(replace(NAS, privileged=True)) == [
        "web.shared_volumes.films: nas and web must be both privileged or neither: ids in nas/media"
    ]


def test_a_volume_is_as_writable_for_others_as_for_its_owner() -> None:
    writer = vm("web", shared_volumes={"films": {**FILMS["films"], "read_only": False}})
    archive = nas(read_only=True)
    assert planned(goals(Target.RUNNING, writer), at(Target.STOPPED, NAS)).steps != ()
    assert planned(goals(Target.RUNNING, WEB), at(Target.STOPPED, archive)).steps != ()
    assert refused(goals(Target.RUNNING, writer), at(Target.STOPPED, archive)) == [
        "web.shared_volumes.films: nas/media is read-only in nas, "
        "and so can only be mounted read-only"
    ]
    assert refused(goals(Target.RUNNING, archive), at(Target.RUNNING, NAS, writer)) == [
        "nas.volumes[media]: is mounted by web, which then could not mount it: nas/media is "
        "read-only in nas, and so can only be mounted read-only"
    ]


def test_a_volume_that_is_not_active_lets_nobody_start_but_may_be_named() -> None:
    defined = at(Target.DEFINED, NAS)
    assert refused(goals(Target.RUNNING, WEB), defined) == [
        "web.shared_volumes.films: nas/media is not active: start or provision nas first"
    ]
    assert planned(goals(Target.PROVISIONED, WEB), defined).steps != ()


def test_an_owner_that_goes_in_the_same_plan_lends_nothing() -> None:
    gone = Goal(name="nas", target=Target.DEPROVISIONED)
    assert refused([gone, *goals(Target.RUNNING, WEB)], BOTH_ON) == [
        "web.shared_volumes.films: nas is not defined, or will not be",
        "nas.volumes[media]: is mounted by web, and so its data stays as it is",
        "nas.volumes[media]: is in use by web, which is on",
    ]


def test_a_volume_is_not_taken_from_those_who_mount_it() -> None:
    for target in (Target.DEPROVISIONED, Target.UNDEFINED):
        (why, *_) = refused([Goal(name="nas", target=target)], BOTH_ON)
        assert why.startswith("nas.volumes[media]: is mounted by web")
    assert refused(goals(Target.RUNNING, nas(shared=False)), BOTH_ON) == [
        "nas.volumes[media]: is mounted by web, which then could not mount it: nas/media is "
        "not shared by nas"
    ]
    assert planned([Goal(name="nas", target=Target.OFF)], BOTH_ON).steps != ()


def test_what_never_could_be_mounted_does_not_stand_in_its_owners_way() -> None:
    wrong = at(Target.STOPPED, nas(shared=False), WEB)
    assert planned(goals(Target.RUNNING, nas(shared=False)), wrong).steps != ()


def test_both_go_and_the_volume_goes_last() -> None:
    both = [Goal(name=name, target=Target.DEPROVISIONED) for name in ("nas", "web")]
    made = planned(both, BOTH_ON)
    destroyed = made.steps.index(
        next(step for step in made.steps if step.action == DestroyVolume("default", "media"))
    )
    assert waits(made, destroyed, position(made, "web", Shutdown))


def test_who_still_runs_with_it_keeps_it_although_its_spec_does_not() -> None:
    """As under ``restart: never``: what it was started with counts until it is off."""
    forgot: Mapping[str, Observation] = {
        **BOTH_ON,
        "web": replace(BOTH_ON["web"], recorded=vm("web"), defined=vm("web")),
    }
    assert refused([Goal(name="nas", target=Target.DEPROVISIONED)], forgot) == [
        "nas.volumes[media]: is in use by web, which is on"
    ]


def test_a_volume_moves_to_another_pool_with_those_who_mount_it() -> None:
    moved = vm("web", shared_volumes={"films": {**FILMS["films"], "pool": "fast"}})
    wanted = goals(Target.RUNNING, nas(pool="fast"), moved)
    anew = [replace(goal, data_loss=DataLoss.ALLOWED) for goal in wanted]
    made = planned(anew, BOTH_ON)
    destroyed = made.steps.index(
        next(step for step in made.steps if step.action == DestroyVolume("default", "media"))
    )
    assert waits(made, destroyed, position(made, "web", Shutdown))
    assert waits(made, position(made, "web", Start), activation(made, "fast"))
    alone = [
        replace(goal, data_loss=DataLoss.ALLOWED)
        for goal in goals(Target.RUNNING, nas(pool="fast"))
    ]
    assert refused(alone, BOTH_ON) == [
        "nas.volumes[media]: is mounted by web, and so its data stays as it is",
        "nas.volumes[media]: is in use by web, which is on",
    ]


def test_without_a_step_that_powers_off_nothing_waits_for_one() -> None:
    """A reversed plan knows nothing of VMs that came later; the pool refuses what is in use."""
    gone = plan(Goal(name="nas", target=Target.DEPROVISIONED), BOTH_ON["nas"]).unwrap()
    graph = Graph()
    order_sharing(graph, {}, BOTH_ON, [(gone, graph.add_plan(gone))])
    assert graph.in_order().unwrap() == gone.steps
