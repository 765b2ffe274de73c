"""A second VM of one, told as stories."""

from dataclasses import replace

from returns.result import Failure, Success

from geats_core import (
    Checked,
    Goal,
    HostFacts,
    HostPlan,
    HostPolicy,
    Observation,
    PoolFacts,
    Power,
    Target,
    VMSpec,
    after,
    copied,
    follow,
    parse_vm,
    plan,
    plan_clone,
)
from geats_core.planning.action_words import describe
from geats_core.planning.actions import AllocateVolume, CloneVolume, Hold, Unfreeze

VOLUMES = [
    {"name": "root", "pool": "fast", "size": "2GiB"},
    {"name": "data", "pool": "fast", "mount": "/data"},
]
NICS = [{"name": "eth0", "bridge": "br0", "addresses": ["10.0.0.2/24"]}]


def vm(name: str = "web", **changed: object) -> VMSpec:
    raw = {"template": "debian", "volumes": VOLUMES, "nics": NICS, **changed}
    return parse_vm(name, raw).unwrap()


def at(target: Target, spec: VMSpec) -> Observation:
    made = plan(Goal(name=spec.name, target=target, spec=spec), Observation()).unwrap()
    return follow(made, Observation()).unwrap()


RUNNING, STOPPED = at(Target.RUNNING, vm()), at(Target.STOPPED, vm())
COPY = copied(vm(), "web2", {"nics": []}).unwrap()


def cloned(
    source: Observation = STOPPED,
    spec: VMSpec = COPY,
    facts: HostFacts | None = None,
    **others: Observation,
) -> Checked[HostPlan]:
    return plan_clone("web", spec, {"web": source, **others}, facts)


def lines(made: Checked[HostPlan]) -> list[str]:
    match made:
        case Success(found):
            return [describe(step.action, step.vm) for step in found.steps]
        case Failure(problems):
            return list(map(str, problems))


def after_steps(
    made: HostPlan, start: dict[str, Observation], cut: int | None = None
) -> dict[str, Observation]:
    """Every VM once the steps are done, up to a cut."""
    state = dict(start)
    for step in made.steps[:cut]:
        state[step.vm] = after(step.action, state.get(step.vm, Observation())).unwrap()
    return state


def test_a_source_that_an_interrupted_operation_left_frozen_goes_on_afterwards() -> None:
    made = cloned(replace(RUNNING, power=Power.HELD)).unwrap()

    assert made.steps[-1].action == Unfreeze()
    assert made.steps[-1].reason == "an interrupted operation left it frozen"
    assert Hold() not in [step.action for step in made.steps]


def test_a_running_source_is_frozen_only_while_volumes_are_cloned() -> None:
    made = cloned(RUNNING)

    assert lines(made) == [
        "define web2",
        "allocate volume web2/root of 2GiB in pool fast",
        "format volume web2/root in pool fast",
        "activate volume web2/root in pool fast",
        "reserve volume web2/root for a copy",
        "allocate volume web2/data in pool fast",
        "format volume web2/data in pool fast",
        "activate volume web2/data in pool fast",
        "reserve volume web2/data for a copy",
        "freeze web for a while",
        "clone volume web2/root from web/root",
        "clone volume web2/data from web/data",
        "configure the guest on volume web2/root",
        "unfreeze web",
    ]
    steps = made.unwrap().steps
    assert [(step.needs, step.after) for step in steps[9:]] == [
        (tuple(range(9)), ()),
        ((8, 9), ()),
        ((8, 9), ()),
        ((10, 11), ()),
        ((), (10, 11)),
    ]
    end = after_steps(made.unwrap(), {"web": RUNNING})
    assert end == {"web": RUNNING, "web2": at(Target.STOPPED, COPY)}


def test_a_source_that_is_off_is_held_off() -> None:
    """So that nothing starts it meanwhile: a step of it takes its operation lock."""
    assert lines(cloned())[9] == "wait for the steps before"
    assert cloned().unwrap().steps[9].vm == "web"
    assert after_steps(cloned().unwrap(), {"web": STOPPED})["web"] == STOPPED


def test_a_clone_that_was_cut_is_finished() -> None:
    made = cloned(RUNNING).unwrap()
    for cut in range(13):
        left = after_steps(made, {"web": RUNNING}, cut)
        rest = cloned(left["web"], COPY, None, web2=left.get("web2", Observation())).unwrap()
        end = after_steps(rest, left)
        assert end["web2"] == at(Target.STOPPED, COPY)


def test_what_only_lacks_its_files_in_the_guest_is_finished_by_the_same_clone() -> None:
    left = after_steps(cloned().unwrap(), {"web": STOPPED}, 12)

    configure = ["configure the guest on volume web2/root"]
    for power in (Power.RUNNING, Power.FROZEN, Power.STOPPED):
        source = replace(STOPPED, power=power, in_effect=RUNNING.in_effect)
        assert lines(cloned(source, COPY, None, web2=left["web2"])) == configure
    held = replace(RUNNING, power=Power.HELD)
    assert lines(cloned(held, COPY, None, web2=left["web2"])) == [
        *configure,
        "wait for the steps before",
        "unfreeze web",
    ]
    goal = Goal(name="web2", target=Target.STOPPED, spec=COPY)
    assert "unfinished copy of the VM web:" in str(plan(goal, left["web2"]).failure())


def test_addresses_of_the_source_are_refused_also_while_it_is_off() -> None:
    same = copied(vm(), "web2", {}).unwrap()

    assert lines(cloned(STOPPED, same)) == [
        "web2.nics[eth0].addresses: the address 10.0.0.2 is also that of web.nics[eth0].addresses"
    ]


def test_a_source_that_is_not_whole_or_not_there_is_refused() -> None:
    stuck = replace(RUNNING, power=Power.STUCK)

    assert lines(cloned(Observation())) == ["web: is not defined"]
    assert lines(cloned(at(Target.DEFINED, vm()))) == [
        "web: some of its volumes are missing or not ready"
    ]
    assert lines(cloned(stuck)) == [
        "web: its monitor is stuck, so that it cannot be frozen: stop it first"
    ]
    idle = replace(STOPPED, volumes=tuple(replace(v, active=False) for v in STOPPED.volumes))
    assert isinstance(cloned(idle), Success)


def test_volumes_are_those_of_the_source_in_its_pools_and_as_large() -> None:
    elsewhere = copied(vm(), "web2", {"nics": [], "pools": "slow"}).unwrap()
    fewer = copied(vm(), "web2", {"nics": [], "volumes": VOLUMES[:1]}).unwrap()
    small = [{**VOLUMES[0], "size": "1GiB"}, VOLUMES[1]]
    smaller = copied(vm(), "web2", {"nics": [], "volumes": small}).unwrap()
    large = [{**VOLUMES[0], "size": "3GiB"}, VOLUMES[1]]
    larger = copied(vm(), "web2", {"nics": [], "volumes": large}).unwrap()

    other = "must be 'fast', as in the source: to use another pool, export and import"
    assert lines(cloned(spec=elsewhere)) == [
        f"web2.volumes[root].pool: {other}",
        f"web2.volumes[data].pool: {other}",
    ]
    assert lines(cloned(spec=fewer)) == ["web2.volumes: must be those of the source (data, root)"]
    assert lines(cloned(spec=smaller)) == [
        "web2.volumes[root].size: must be that of the source, 2GiB, or more"
    ]
    assert isinstance(cloned(spec=larger), Success)


def test_a_volume_without_a_size_is_as_large_as_that_of_the_source() -> None:
    volumes = tuple(replace(each, size_bytes=12 * 2**30) for each in STOPPED.volumes)
    unsized = replace(COPY, volumes=tuple(replace(each, size_bytes=None) for each in COPY.volumes))
    made = cloned(replace(STOPPED, volumes=volumes), unsized).unwrap()
    sizes = {a.size_bytes for a in (s.action for s in made.steps) if isinstance(a, AllocateVolume)}
    assert sizes == {12 * 2**30}


def test_what_does_not_fit_on_the_host_is_refused() -> None:
    full = HostFacts(pools={"fast": PoolFacts(size_bytes=3 * 2**30)})
    made = plan_clone("web", COPY, {"web": STOPPED}, full, HostPolicy())

    assert "fast" in lines(made)[0]


def test_the_template_is_what_the_source_was_installed_from_unless_told() -> None:
    old = replace(
        STOPPED,
        volumes=tuple(
            replace(seen, template="old") if seen.name == "root" else seen
            for seen in STOPPED.volumes
        ),
    )
    other = copied(vm(), "web2", {"nics": [], "template": "new"}).unwrap()

    def templates(made: Checked[HostPlan]) -> list[str | None]:
        end = after_steps(made.unwrap(), {"web": old})
        return [seen.template for seen in end["web2"].volumes]

    assert templates(cloned(old)) == [None, "old"]
    assert templates(cloned(old, other)) == [None, "new"]


def test_lines_added_by_hand_come_with_a_clone_but_for_those_of_one_vm_only() -> None:
    lines_ = ("lxc.environment = A=1", "lxc.net.0.hwaddr = 02:00:00:00:00:01")
    made = cloned(replace(STOPPED, by_hand=lines_)).unwrap()
    assert made.plans[0].by_hand == lines_[:1]
    assert after_steps(made, {"web": STOPPED})["web2"].by_hand == lines_[:1]


def test_a_clone_has_a_tpm_of_its_own() -> None:
    machine = vm(hardware={"firmware": "uefi", "tpm": True})
    copy = copied(machine, "web2", {"nics": []}).unwrap()
    made = cloned(at(Target.STOPPED, machine), copy).unwrap()
    reasons = [step.reason for step in made.steps if isinstance(step.action, CloneVolume)]
    assert reasons == [
        "it should be as that of web; with the variables of its firmware; its TPM is a new one",
        "it should be as that of web",
    ]
