"""What a plan does, and the reason that it gives for each step."""

from dataclasses import replace

import pytest

from geats_core import (
    ByHand,
    DataLoss,
    Goal,
    HostFacts,
    Impact,
    Observation,
    PoolFacts,
    Power,
    PowerOff,
    Restart,
    Stage,
    Target,
    VMSpec,
    VolumeSeen,
    describe,
    parse_vm,
    plan,
)
from geats_core.deciding.restarts import rebuilds, waiting, why_restart
from geats_core.planning.offers import Offer
from geats_core.planning.plugin_facts import DriverFacts
from geats_core.planning.spec_changes import Change
from geats_core.vm.spec import Volume
from tests.core.hosts import LXC, at

ROOT = {"name": "root", "pool": "fast", "size": "10GiB"}
DATA = {"name": "data", "mount": "/data", "pool": "slow", "size": "10GiB"}


def web(**changed: object) -> VMSpec:
    return parse_vm("web", {"template": "debian", "volumes": [ROOT]} | changed).unwrap()


WEB = web()
NO_FACTS = HostFacts()
OFF = at(Target.STOPPED, WEB)["web"]
ON = at(Target.RUNNING, WEB)["web"]
FROZEN = at(Target.FROZEN, WEB)["web"]
STUCK = replace(ON, power=Power.STUCK)
SHUT_DOWN = "shut down web (power off after 60 s)"
START = "start web: web should be running"
CONFIGURE = "configure the guest on volume web/root: its files in the guest are not as described"


def steps(
    target: Target,
    have: Observation,
    spec: VMSpec | None = None,
    facts: HostFacts = NO_FACTS,
    **policy: object,
) -> list[str]:
    """Each step of the plan, and why it is taken."""
    goal = replace(Goal(name="web", target=target, spec=spec), **policy)  # type: ignore[arg-type]
    made = plan(goal, have, facts).unwrap().steps
    return [f"{describe(step.action, 'web')}: {step.reason}" for step in made]


def test_every_change_is_a_reason() -> None:
    why = "memory changed (not set) → 1GiB; cpus changed (not set) → 2"

    facts = HostFacts(drivers=LXC)

    assert steps(Target.RUNNING, ON, web(memory="1GiB", cpus=2), facts) == [
        f"define web: {why}",
        f"set the limits of web: memory 1GiB, cpus 2: {why}",
    ]


def test_a_request_is_a_reason() -> None:
    assert steps(Target.REBOOTED, ON, WEB) == [f"{SHUT_DOWN}: a reboot was asked for", START]
    assert steps(Target.STOPPED, ON, WEB) == [f"{SHUT_DOWN}: web should be stopped"]
    assert steps(Target.REINITIALISED, ON, WEB)[:2] == [
        f"{SHUT_DOWN}: it should be recreated",
        "destroy volume web/root in pool fast: web should be recreated",
    ]


def test_a_stuck_monitor_is_the_reason_whatever_else_is_wanted() -> None:
    repair = "repair web: end its stuck monitor: its monitor does not answer"

    assert steps(Target.REBOOTED, STUCK, WEB) == [repair, START]
    assert steps(Target.OFF, STUCK) == [repair]
    assert steps(Target.REINITIALISED, STUCK, WEB)[-1] == "start web: web should be running"


def test_a_change_is_the_reason_to_stop_too() -> None:
    changed = web(binds={"m": {"source": "/m", "mount": "/m"}})
    why = "binds changed [] → [m /m /m read_only]"

    assert steps(Target.RUNNING, ON, changed, power_off=PowerOff.STOP) == [
        f"define web: {why}",
        f"stop web: {why}",
        START,
    ]


def test_any_change_restarts_where_the_policy_says_always() -> None:
    more = web(memory="1GiB")
    why = "memory changed (not set) → 1GiB"

    assert steps(Target.RUNNING, ON, more, restart=Restart.ALWAYS) == [
        f"define web: {why}",
        f"{SHUT_DOWN}: {why}",
        START,
    ]
    assert steps(Target.RUNNING, ON, WEB, restart=Restart.ALWAYS) == []


def test_what_is_not_known_or_not_finished_is_a_reason_to_restart() -> None:
    root = ON.volumes[0]
    unknown = replace(ON, in_effect=None)
    unfinished = replace(ON, volumes=(replace(root, stage=Stage.FILLING, template=None),))
    unconfigured = replace(ON, volumes=(replace(root, guest=None),))

    assert steps(Target.RUNNING, unknown, WEB) == [
        f"{SHUT_DOWN}: it is not known what it was started with",
        START,
    ]
    assert steps(Target.RUNNING, unfinished, WEB) == [
        f"{SHUT_DOWN}: its root volume has no template installed",
        "install template debian on volume web/root: an earlier install was not finished",
        START,
    ]
    assert steps(Target.RUNNING, replace(ON, volumes=()), WEB)[0] == (
        f"{SHUT_DOWN}: its root volume has no template installed"
    )
    assert steps(Target.RUNNING, unconfigured, WEB) == [
        f"{SHUT_DOWN}: its guest is not configured as described",
        CONFIGURE,
        START,
    ]


def test_nothing_is_pending_where_it_is_not_known_what_is_in_effect() -> None:
    goal = Goal(
        name="web", target=Target.DEFINED, spec=web(binds={"m": {"source": "/m", "mount": "/m"}})
    )
    made = plan(goal, replace(ON, in_effect=None)).unwrap()

    assert [describe(step.action, "web") for step in made.steps] == ["define web"]
    assert made.pending == ()
    assert [change.field for change in plan(goal, ON).unwrap().pending] == ["binds"]


def test_nobody_waits_for_what_costs_nothing_or_is_there() -> None:
    large = web(labels={"a": "b"}, volumes=[ROOT | {"size": "20GiB"}])
    grown = replace(ON, volumes=(replace(ON.volumes[0], size_bytes=20 << 30),))
    small = replace(ON, volumes=(replace(ON.volumes[0], size_bytes=10 << 30),))

    assert waiting(WEB, large, grown, {}) == ()
    assert [str(each) for each in waiting(WEB, large, small, {})] == [
        "volume sizes changed {root: 10GiB} → {root: 20GiB}"
    ]
    told = web(hostname="db", volumes=[ROOT | {"size": "20GiB"}])
    assert [each.field for each in waiting(WEB, told, grown, {})] == ["hostname"]
    assert waiting(WEB, large, replace(ON, volumes=()), {}) == ()


def test_a_vm_has_the_time_to_shut_down_that_it_was_started_with() -> None:
    slow, slower, slowest = (web(shutdown_timeout=seconds) for seconds in (61, 62, 63))
    have = replace(ON, in_effect=slow, recorded=slower, defined=slower)

    assert steps(Target.OFF, have, slowest) == [
        "shut down web (power off after 61 s): web should be off"
    ]
    assert steps(Target.OFF, replace(have, in_effect=None), slowest) == [
        "shut down web (power off after 62 s): web should be off"
    ]
    unknown = Observation(power=Power.RUNNING)
    assert steps(Target.OFF, unknown, slowest) == [
        "shut down web (power off after 63 s): web should be off"
    ]
    assert steps(Target.OFF, unknown) == [f"{SHUT_DOWN}: web should be off"]


BY_HAND = ("lxc.tty.max = 2", "lxc.pty.max = 3")


def test_lines_added_by_hand_go_where_they_are_not_wanted() -> None:
    edited = replace(OFF, by_hand=BY_HAND)
    goal = Goal(name="web", target=Target.STOPPED, spec=WEB)

    assert steps(Target.STOPPED, edited, WEB, by_hand=ByHand.REMOVED) == [
        "define web: lines added by hand should be removed: lxc.tty.max = 2; lxc.pty.max = 3"
    ]
    assert plan(replace(goal, by_hand=ByHand.REMOVED), edited).unwrap().by_hand == ()


def test_lines_added_by_hand_stay_in_what_is_written_anew() -> None:
    edited = replace(OFF, by_hand=BY_HAND)

    assert steps(Target.STOPPED, edited, WEB) == []
    made = plan(Goal(name="web", target=Target.STOPPED, spec=web(memory="1GiB")), edited).unwrap()
    assert made.by_hand == BY_HAND
    assert [describe(step.action, "web") for step in made.steps] == ["define web"]


def test_each_volume_is_destroyed_for_its_own_change() -> None:
    before = at(Target.STOPPED, web(volumes=[ROOT, DATA]))["web"]
    after = web(volumes=[{**ROOT, "pool": "slow"}, {**DATA, "pool": "fast"}])
    made = steps(Target.STOPPED, before, after, data_loss=DataLoss.ALLOWED)

    assert [line for line in made if line.startswith("destroy")] == [
        "destroy volume web/root in pool fast: volume pools changed {root: fast} → {root: slow}",
        "destroy volume web/data in pool slow: volume pools changed {data: slow} → {data: fast}",
    ]


def test_what_is_on_a_volume_is_a_reason_whatever_was_recorded() -> None:
    alpine = replace(ON, volumes=(replace(ON.volumes[0], template="alpine"),))
    why = "template changed alpine → debian"

    assert steps(Target.RUNNING, alpine, WEB, data_loss=DataLoss.ALLOWED)[:2] == [
        f"{SHUT_DOWN}: {why}",
        f"destroy volume web/root in pool fast: {why}",
    ]


LARGER = web(volumes=[{**ROOT, "size": "20GiB"}])
GROWTH = "volume sizes changed {root: 10GiB} → {root: 20GiB}"
GROW = "grow volume web/root in pool fast to 20GiB: it is smaller than described"


def test_a_volume_grows_off_where_its_pool_cannot_grow_it_in_use() -> None:
    facts = HostFacts(pools={"fast": PoolFacts(grows_online=False), "slow": PoolFacts()})
    define = f"define web: {GROWTH}"

    assert steps(Target.STOPPED, OFF, LARGER, facts) == [define, GROW]
    assert steps(Target.RUNNING, ON, LARGER, facts) == [
        define,
        f"{SHUT_DOWN}: {GROWTH} (the pool fast cannot grow volumes of a VM that is on)",
        GROW,
        START,
    ]
    assert steps(Target.PROVISIONED, ON, LARGER, facts) == [define]
    goal = Goal(name="web", target=Target.PROVISIONED, spec=LARGER)
    (waits,) = plan(goal, ON, facts).unwrap().pending
    assert (str(waits), waits.impact) == (GROWTH, Impact.RESTART)
    assert plan(goal, ON).unwrap().pending == ()


def test_the_plan_says_where_a_size_is_not_enforced() -> None:
    facts = HostFacts(pools={"fast": PoolFacts(enforces_size=False), "slow": PoolFacts()})
    lacks = " (pool fast does not enforce its size)"
    both = web(volumes=[ROOT, DATA])
    any_size = web(volumes=[{**ROOT, "size": "none"}])
    new = Observation()

    made = steps(Target.PROVISIONED, new, both, facts)
    assert [each for each in made if each.startswith("allocate")] == [
        f"allocate volume web/root of 10GiB in pool fast: it does not exist{lacks}",
        "allocate volume web/data of 10GiB in pool slow: it does not exist",
    ]
    assert not any(lacks in each for each in steps(Target.PROVISIONED, new, any_size, facts))
    assert steps(Target.STOPPED, OFF, LARGER, facts)[1:] == [f"{GROW}{lacks}"]


def test_the_plan_says_what_is_zeroed() -> None:
    facts = HostFacts(pools={"fast": PoolFacts(zeroes=True), "slow": PoolFacts()})
    also = " (and zeroed: others may have left data there)"
    made = steps(Target.PROVISIONED, Observation(), web(volumes=[ROOT, DATA]), facts)
    assert [each for each in made if each.startswith("format")] == [
        f"format volume web/root in pool fast: it is not formatted{also}",
        "format volume web/data in pool slow: it is not formatted",
    ]
    assert steps(Target.STOPPED, OFF, LARGER, facts)[1:] == [f"{GROW}{also}"]


def test_a_pool_that_lacks_something_for_it_says_what() -> None:
    lacks = PoolFacts(grows_online=False, growth_lacks="the capability CAP_SYS_RESOURCE")
    facts = HostFacts(pools={"fast": lacks, "slow": PoolFacts()})
    volume = Volume(name="root", mount="/", pool="fast", size_bytes=20)
    assert facts.cannot_grow_online("lxc", volume) == (
        "the pool fast cannot grow volumes of a VM that is on: "
        "that takes the capability CAP_SYS_RESOURCE"
    )


def test_a_volume_of_unknown_size_grows() -> None:
    facts = HostFacts(pools={"fast": PoolFacts(grows_online=False)})
    root = replace(OFF.volumes[0], size_bytes=None)
    growth = "volume sizes changed {root: (not set)} → {root: 20GiB}"

    assert steps(Target.STOPPED, replace(OFF, volumes=(root,)), LARGER)[1:] == [GROW]
    assert steps(Target.RUNNING, replace(ON, volumes=(root,)), LARGER, facts)[1:] == [
        f"{SHUT_DOWN}: {growth} (the pool fast cannot grow volumes of a VM that is on)",
        GROW,
        START,
    ]


def test_a_disk_grows_off_if_its_guest_would_not_see_it_grow() -> None:
    def why(*seen: Offer, read_only: bool = False) -> list[str]:
        data = {**DATA, "pool": "fast", "read_only": read_only}
        now, more = (web(volumes=[ROOT, {**data, "size": size}]) for size in ("10GiB", "20GiB"))
        have = at(Target.RUNNING, now)["web"]
        facts = HostFacts(
            drivers={"lxc": DriverFacts(grows_online=frozenset(seen))},
            pools={"fast": PoolFacts(offers=Offer.FILE)},
        )
        made = steps(Target.RUNNING, have, more, facts)
        return [each.partition("20GiB}")[2] for each in made if each.startswith(SHUT_DOWN)]

    assert why(Offer.FILE, Offer.QCOW2) == []
    assert why() == [" (guests of the driver lxc do not see a file grow while they are on)"]
    is_read = " (a disk that is read-only cannot grow while it is in use)"
    assert why(Offer.FILE, read_only=True) == [is_read]


@pytest.mark.parametrize("have", [replace(OFF, defined=None), replace(OFF, recorded=None), OFF])
def test_half_a_definition_is_taken_away_too(have: Observation) -> None:
    transient = web(transient=True)
    half = replace(
        have,
        recorded=have.recorded and transient,
        defined=have.defined and transient,
    )

    assert steps(Target.UNDEFINED, half) == [
        "destroy volume web/root in pool fast: web is transient",
        "undefine web: web should be undefined",
    ]


def test_lines_added_by_hand_are_taken_away_with_the_vm() -> None:
    """One that is only undefined has them again once it is defined."""
    assert steps(Target.UNDEFINED, Observation(by_hand=BY_HAND)) == []
    assert steps(Target.DEPROVISIONED, Observation(by_hand=BY_HAND)) == [
        "undefine web: web should be deprovisioned"
    ]


def test_what_nobody_described_is_deprovisioned_but_not_undefined() -> None:
    root = VolumeSeen(name="root", pool="fast", stage=Stage.INSTALLED)
    unknown = Observation(power=Power.RUNNING, volumes=(root,))

    assert steps(Target.UNDEFINED, unknown) == []
    assert steps(Target.DEPROVISIONED, unknown) == [
        f"{SHUT_DOWN}: web should be deprovisioned",
        "destroy volume web/root in pool fast: web should be deprovisioned",
    ]


def test_only_a_vm_that_is_on_has_a_reason_to_restart() -> None:
    assert why_restart(WEB, OFF) == ""
    assert why_restart(WEB, ON) == ""
    assert why_restart(WEB, STUCK) == "its monitor does not answer"


def test_what_makes_a_volume_anew_costs_its_data() -> None:
    (moved,) = rebuilds(web(volumes=[{"name": "root", "pool": "slow"}]), OFF)

    assert moved == Change("volume pools", {"root": "fast"}, {"root": "slow"}, Impact.DATA_LOSS)
