"""What two VMs cannot both have, told as stories."""

from dataclasses import replace

import pytest

from geats_core import (
    DataLoss,
    Goal,
    HostFacts,
    HostPolicy,
    Observation,
    PoolFacts,
    Power,
    Restart,
    Strays,
    Target,
)
from geats_core.planning.action_words import describe
from geats_core.planning.actions import KeepOff, Start
from geats_core.vm.lxc_config import veth_name
from geats_core.vm.observation import ForeignNic
from tests.core.hosts import at, goals, nic, order, planned, refused, vm, waits

MAC = "02:00:00:00:00:0a"
WEB, DB = vm("web", nics=nic("10.0.0.2")), vm("db", nics=nic("10.0.0.3"))
SWAPPED = [vm("web", nics=nic("10.0.0.3")), vm("db", nics=nic("10.0.0.2"))]
COLLIDING = ("vm508325", "vm566443")  # their digests begin with the same 36 bits
STOP = "(power off after 60 s)"
SHARED = HostFacts(pools={"default": PoolFacts(location="/srv/{vm}-{volume}")})


def test_an_address_and_a_mac_belong_to_one_vm() -> None:
    twins = [vm(name, nics=nic("10.0.0.2", mac=MAC)) for name in ("web", "db", "app")]

    assert refused(goals(Target.DEFINED, *twins), {}) == [
        f"{name}.{path} is also that of web.{path.partition(':')[0]}"
        for name in ("db", "app")
        for path in (
            f"nics[eth0].mac: the MAC address {MAC}",
            "nics[eth0].addresses: the address 10.0.0.2",
        )
    ]


def test_a_vm_that_is_to_be_started_again_keeps_its_addresses() -> None:
    """An interrupted plan powered it off."""
    twin = vm("app", nics=nic("10.0.0.2"))
    off = at(Target.STOPPED, WEB, twin)
    there = {**off, "web": replace(off["web"], to_run=True)}

    assert planned(goals(Target.RUNNING, twin), off).steps
    assert refused(goals(Target.RUNNING, twin), there) == [
        "app.nics[eth0].addresses: the address 10.0.0.2 is also that of web.nics[eth0].addresses, "
        "which is on the host and stays as it is"
    ]
    assert planned(goals(Target.RUNNING, WEB), there).steps
    end = [*goals(Target.RUNNING, twin), Goal(name="web", target=Target.OFF)]
    steps = planned(end, there).steps
    (keep_off,) = (at for at, step in enumerate(steps) if step.action == KeepOff())
    (start,) = (at for at, step in enumerate(steps) if step.action == Start())
    assert keep_off in steps[start].needs  # or a plan that is cut has both


def foreign(**changes: object) -> Observation:
    """A container that something else made, and that runs with the address and MAC of WEB."""
    own = ForeignNic(mac=WEB.nics[0].mac, pair=veth_name("web", 0), addresses=("10.0.0.2",))
    have = Observation(foreign=True, power=Power.RUNNING, foreign_nics=(ForeignNic(), own))
    return replace(have, **changes)  # type: ignore[arg-type]


def test_what_a_running_vm_of_somebody_else_has_is_not_taken() -> None:
    theirs = "old, which runs, and which geats did not make: power it off, or adopt it"
    wanted = [
        f"web.nics[eth0].mac: the MAC address {WEB.nics[0].mac} is also that of {theirs}",
        f"web.nics[eth0]: the interface on the host {veth_name('web', 0)} is also that of {theirs}",
        f"web.nics[eth0].addresses: the address 10.0.0.2 is also that of {theirs}",
    ]
    for target in (Target.RUNNING, Target.DEFINED):
        assert refused(goals(target, WEB), {"old": foreign()}) == wanted


def test_a_vm_of_somebody_else_that_is_off_or_has_other_addresses_is_in_nobodys_way() -> None:
    for seen in (foreign(power=Power.STOPPED), foreign(foreign_nics=())):
        assert planned(goals(Target.RUNNING, WEB), {"old": seen}).steps


def test_an_address_is_taken_once_the_stray_that_has_it_is_powered_off() -> None:
    stop = Goal(name="old", target=Target.OFF, foreign=True)
    made = planned([*goals(Target.RUNNING, WEB), stop], {"old": foreign()})
    start, power_off = (
        next(n for n, step in enumerate(made.steps) if describe(step.action, step.vm).startswith(w))
        for w in ("start web", "shut down old")
    )
    assert power_off in made.steps[start].needs


def test_the_same_address_in_another_network_is_still_the_same() -> None:
    wide = vm("db", nics=[{"name": "lan", "bridge": "br1", "addresses": ["10.0.0.2/16"]}])

    assert refused(goals(Target.DEFINED, WEB, wide), {}) == [
        "db.nics[lan].addresses: the address 10.0.0.2 is also that of web.nics[eth0].addresses"
    ]


def test_one_vm_does_not_have_an_address_twice() -> None:
    web = replace(WEB, nics=(*WEB.nics, replace(WEB.nics[0], name="eth1", mac=MAC)))

    assert refused(goals(Target.DEFINED, web), {}) == [
        "web.nics[eth1].addresses: the address 10.0.0.2 is also that of web.nics[eth0].addresses"
    ]


TWINS = [("web01", "Web01"), ("db_1", "db-1"), ("a.B_c", "A.b-C")]


@pytest.mark.parametrize(("one", "other"), TWINS)
def test_two_names_that_dns_takes_for_one_are_refused(one: str, other: str) -> None:
    first, second = vm(one), vm(other)
    name = second.hostname.lower()
    wanted = f"{other}.name: the name in DNS, {name}, is also that of {one}.name"
    assert refused(goals(Target.DEFINED, first, second), {}) == [wanted]
    there = at(Target.STOPPED, first)
    assert refused(goals(Target.DEFINED, second), there) == [
        f"{wanted}, which is on the host and stays as it is"
    ]
    gone = Goal(name=one, target=Target.DEPROVISIONED)
    assert planned([*goals(Target.DEFINED, second), gone], there).steps
    assert planned(goals(Target.DEFINED, second), {one: Observation(foreign=True)}).steps


def test_names_that_differ_in_a_dot_go_together() -> None:
    specs = [vm(name) for name in ("a.b", "a-b", "a", "b.a", "ab")]
    assert planned(goals(Target.DEFINED, *specs), {}).steps


def test_two_names_that_give_one_interface_on_the_host_are_refused() -> None:
    twins = [vm(name, nics=nic(f"10.0.0.{n}")) for n, name in enumerate(COLLIDING, start=1)]
    interface = veth_name(COLLIDING[0], 0)

    assert refused(goals(Target.DEFINED, *twins), {}) == [
        f"{COLLIDING[1]}.nics[eth0]: the interface on the host {interface} is also that of "
        f"{COLLIDING[0]}.nics[eth0]"
    ]


def test_two_volumes_are_never_at_one_place() -> None:
    one = vm("a-b", volumes=[{"name": "root"}, {"name": "c", "mount": "/c"}])
    other = vm("a", volumes=[{"name": "root"}, {"name": "b-c", "mount": "/c"}])

    assert refused(goals(Target.DEFINED, one, other), {}, SHARED) == [
        "a.volumes[b-c].pool[default]: the place of the volume /srv/a-b-c is also that of "
        "a-b.volumes[c].pool[default]"
    ]
    assert planned(goals(Target.DEFINED, one, other), {}).steps


def test_a_place_is_taken_once_it_is_free() -> None:
    old = vm("a-b", volumes=[{"name": "root"}, {"name": "c", "mount": "/c"}])
    new = vm("a", volumes=[{"name": "root"}, {"name": "b-c", "mount": "/c"}])
    there = at(Target.STOPPED, old)
    wanted = goals(Target.PROVISIONED, new)

    gone = [*wanted, Goal(name="a-b", target=Target.DEPROVISIONED)]
    assert waits(planned(gone, there, SHARED))["allocate volume a/b-c in pool default"] == [
        "define a",
        "destroy volume a-b/c in pool default",
    ]
    undefined = [*wanted, Goal(name="a-b", target=Target.UNDEFINED)]
    assert refused(undefined, there, SHARED) == [
        "a.volumes[b-c].pool[default]: the place of the volume /srv/a-b-c is also that of "
        "a-b.volumes[c].pool[default], which is on the host and stays as it is"
    ]


def test_a_volume_that_moves_between_pools_at_one_place_goes_first() -> None:
    facts = HostFacts(pools={name: PoolFacts(location="/srv/{vm}") for name in ("fast", "slow")})
    fast, slow = (vm("web", volumes=[{"name": "root", "pool": p}]) for p in ("fast", "slow"))
    goal = Goal(name="web", target=Target.STOPPED, spec=slow, data_loss=DataLoss.ALLOWED)

    made = planned([goal], at(Target.STOPPED, fast), facts)

    found = waits(made)
    assert found["destroy volume web/root in pool fast"] == ["define web"]
    assert found["allocate volume web/root in pool slow"] == [
        "destroy volume web/root in pool fast"
    ]


def test_two_vms_swap_their_addresses() -> None:
    made = planned(goals(Target.RUNNING, *SWAPPED), at(Target.RUNNING, WEB, DB))
    waited = waits(made)

    assert f"shut down db {STOP}" in waited["start web"]
    assert f"shut down web {STOP}" in waited["start db"]


def test_an_address_in_effect_until_a_restart_is_not_given_away() -> None:
    wanted = goals(Target.RUNNING, *SWAPPED)
    wanted[1] = replace(wanted[1], restart=Restart.NEVER)

    assert refused(wanted, at(Target.RUNNING, WEB, DB)) == [
        "web.nics[eth0].addresses: the address 10.0.0.3 is in use by db until that restarts"
    ]


def test_an_address_of_a_vm_without_a_goal_is_not_taken() -> None:
    there = at(Target.RUNNING, vm("db", nics=nic("10.0.0.2")))
    wanted = goals(Target.RUNNING, WEB)
    why = [
        "web.nics[eth0].addresses: the address 10.0.0.2 is also that of "
        "db.nics[eth0].addresses, which is on the host and stays as it is"
    ]

    assert refused(wanted, there) == why
    locked = [*wanted, Goal(name="db", target=Target.LOCKED)]
    assert refused(locked, there) == why
    stuck = {"db": replace(there["db"], power=Power.STUCK, in_effect=None)}
    assert refused(wanted, stuck) == why
    assert planned(wanted, at(Target.STOPPED, vm("db", nics=nic("10.0.0.2")))).steps


def test_an_address_is_taken_from_a_stray_that_is_stopped() -> None:
    there = at(Target.RUNNING, vm("db", nics=nic("10.0.0.2")))
    there["db"] = replace(there["db"], recorded=None, defined=None, foreign=True)
    policy = HostPolicy(strays=(("db", Strays.STOP),))

    made = planned(goals(Target.RUNNING, WEB), there, None, policy)

    assert f"shut down db {STOP}" in waits(made)["start web"]
    assert order(made)[-1] == "start web"


def test_vms_without_a_goal_are_left_alone_with_each_other() -> None:
    twins = at(Target.RUNNING, *(vm(name, nics=nic("10.0.0.2")) for name in ("web", "db")))

    assert planned([], twins).is_empty
    assert planned(goals(Target.RUNNING, vm("app")), twins).steps
    off = [Goal(name=name, target=Target.OFF) for name in twins]
    assert len(planned(off, twins).steps) == 2


def test_a_start_waits_for_all_that_have_its_address_now() -> None:
    twins = at(Target.RUNNING, *(vm(name, nics=nic("10.0.0.2")) for name in ("web", "db")))
    changed = vm("web", nics=nic("10.0.0.2"), binds={"m": {"source": "/m", "mount": "/m"}})
    wanted = [*goals(Target.RUNNING, changed), Goal(name="db", target=Target.OFF)]

    made = waits(planned(wanted, twins))
    assert made[f"shut down web {STOP}"] == ["define web", f"shut down db {STOP}"]
    assert made["start web"] == [f"shut down web {STOP}"]


def test_what_is_to_be_off_claims_nothing_whatever_its_spec_says() -> None:
    twins = [vm(name, nics=nic("10.0.0.2")) for name in ("web", "db")]

    assert planned(goals(Target.OFF, *twins), at(Target.STOPPED, *twins)).is_empty


@pytest.mark.parametrize("where", ["recorded", "defined", "in_effect"])
def test_an_address_is_in_use_wherever_that_is_written(where: str) -> None:
    """What is in effect comes first, then what the driver holds, then what is recorded."""
    db = Observation(power=Power.RUNNING)
    db = replace(db, **{where: vm("db", nics=nic("10.0.0.2"))})  # type: ignore[arg-type]

    assert refused(goals(Target.RUNNING, WEB), {"db": db}) == [
        "web.nics[eth0].addresses: the address 10.0.0.2 is also that of "
        "db.nics[eth0].addresses, which is on the host and stays as it is"
    ]


def test_what_was_changed_since_the_start_is_not_in_use_yet() -> None:
    there = at(Target.RUNNING, vm("db", nics=nic("10.0.0.3")))
    later = vm("db", nics=nic("10.0.0.2"))
    there["db"] = replace(there["db"], recorded=later, defined=later)

    assert planned(goals(Target.RUNNING, WEB), there).steps
