"""The planner, told as stories."""

from dataclasses import replace
from functools import reduce

import pytest
from returns.result import Failure, Success

from geats_core import (
    DataLoss,
    DriverFacts,
    EntryCost,
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
    after,
    describe,
    explain,
    parse_vm,
    plan,
)
from geats_core.planning.actions import Define
from geats_core.planning.costs import LIVE_DNS
from tests.core.hosts import LXC

SPEC: dict[object, object] = {
    "template": "debian",
    "memory": "512MiB",
    "volumes": [{"name": "root", "pool": "fast", "size": "10GiB"}],
    "nics": [
        {
            "name": "eth0",
            "bridge": "br0",
            "mac": "02:00:00:00:00:01",
            "addresses": ["10.0.0.2/24"],
        }
    ],
}


def web(**changed: object) -> VMSpec:
    return parse_vm("web", SPEC | changed).unwrap()


def text(target: Target, have: Observation, spec: VMSpec | None = None, **policy: object) -> str:
    goal = replace(Goal(name="web", target=target, spec=spec), **policy)  # type: ignore[arg-type]
    return plan(goal, have, HostFacts(drivers=LXC)).map(explain).value_or("refused")


def refused(target: Target, have: Observation, spec: VMSpec | None = None) -> list[str]:
    return [str(p) for p in plan(Goal(name="web", target=target, spec=spec), have).failure()]


def at(target: Target, spec: VMSpec) -> Observation:
    """The VM as a plan for *target* leaves it."""
    steps = plan(Goal(name="web", target=target, spec=spec), Observation()).unwrap().steps
    return reduce(lambda have, step: after(step.action, have).unwrap(), steps, Observation())


RUNNING = at(Target.RUNNING, web())
STOPPED = at(Target.STOPPED, web())
HELD = replace(RUNNING, power=Power.HELD)


def test_a_vm_is_made_from_nothing_and_started() -> None:
    assert text(Target.RUNNING, Observation(), web()) == (
        "1. define web because web is not defined (impact: none)\n"
        "2. allocate volume web/root of 10GiB in pool fast because it does not exist "
        "(impact: none)\n"
        "3. format volume web/root in pool fast because it is not formatted (impact: none)\n"
        "4. activate volume web/root in pool fast because it is not active (impact: none)\n"
        "5. install template debian on volume web/root because it is empty (impact: none)\n"
        "6. configure the guest on volume web/root because its files in the guest are not as "
        "described (impact: none)\n"
        "7. start web because web should be running (impact: none)"
    )


def test_a_vm_as_described_needs_nothing() -> None:
    assert text(Target.RUNNING, RUNNING, web()) == "web is as described: nothing to do"
    nothing = plan(Goal(name="web", target=Target.RUNNING, spec=web()), RUNNING).unwrap()
    assert (nothing.is_empty, nothing.impact) == (True, Impact.NONE)


def test_more_memory_is_given_while_it_runs() -> None:
    assert text(Target.RUNNING, RUNNING, web(memory="1GiB")) == (
        "1. define web because memory changed 512MiB → 1GiB (impact: none)\n"
        "2. set the limits of web: memory 1GiB, cpus no limit "
        "because memory changed 512MiB → 1GiB (impact: live)"
    )


def test_a_guest_is_told_its_dns_while_it_runs() -> None:
    lan = {"nameservers": ["10.0.0.1"], "search": ["lan", "home"]}
    was, now = "nameservers: [], search: []", "nameservers: [10.0.0.1], search: [lan; home]"
    said = f"dns changed {{{was}}} → {{{now}}}"
    able = HostFacts(drivers={"lxc": DriverFacts(costs=LIVE_DNS)})
    for have in (RUNNING, replace(RUNNING, power=Power.FROZEN)):
        wish = Goal(name="web", target=Target.DEFINED, spec=web(dns=lan))
        assert plan(wish, have, able).map(explain) == Success(
            f"1. define web because {said} (impact: none)\n"
            "2. write nameserver 10.0.0.1, search lan home to resolv.conf of web "
            f"because {said} (impact: live)"
        )
    told = replace(RUNNING, in_effect=web(dns=lan))
    steps = plan(Goal(name="web", target=Target.RUNNING, spec=web()), told, able).unwrap().steps
    assert [describe(step.action, "web") for step in steps] == [
        "geats no longer writes resolv.conf of web"
    ]
    one = Goal(name="web", target=Target.RUNNING, spec=web(dns={"nameservers": ["10.0.0.1"]}))
    (*_, step) = plan(one, RUNNING, able).unwrap().steps
    assert describe(step.action, "web") == "write nameserver 10.0.0.1 to resolv.conf of web"


def test_dns_waits_for_a_root_volume_that_is_in_use_and_for_a_driver_that_writes_it() -> None:
    able = HostFacts(drivers={"lxc": DriverFacts(costs=LIVE_DNS)})
    spec = web(dns={"search": ["lan"]})
    away = tuple(replace(volume, active=False) for volume in RUNNING.volumes)
    wish = Goal(name="web", target=Target.DEFINED, spec=spec)

    for have, facts in ((replace(RUNNING, volumes=away), able), (RUNNING, HostFacts())):
        assert [type(step.action) for step in plan(wish, have, facts).unwrap().steps] == [Define]
    pending = plan(wish, RUNNING, HostFacts()).unwrap().pending
    assert [(each.field, each.impact) for each in pending] == [("dns", Impact.RESTART)]


def test_a_larger_volume_grows_while_it_runs() -> None:
    larger = web(volumes=[{"name": "root", "pool": "fast", "size": "20GiB"}])

    assert text(Target.RUNNING, RUNNING, larger) == (
        "1. define web because volume sizes changed {root: 10GiB} → {root: 20GiB} "
        "(impact: none)\n"
        "2. grow volume web/root in pool fast to 20GiB because it is smaller than described "
        "(impact: live)"
    )


MOVED = web(
    nics=[
        {
            "name": "eth0",
            "bridge": "br0",
            "mac": "02:00:00:00:00:01",
            "addresses": ["10.0.0.3/24"],
        }
    ]
)
NICS_CHANGED = (
    "nics changed [eth0 br0 02:00:00:00:00:01 10.0.0.2/24] → "
    "[eth0 br0 02:00:00:00:00:01 10.0.0.3/24]"
)


def test_another_address_needs_a_restart() -> None:
    assert text(Target.RUNNING, RUNNING, MOVED) == (
        f"1. define web because {NICS_CHANGED} (impact: none)\n"
        f"2. shut down web (power off after 60 s) because {NICS_CHANGED} (impact: restart)\n"
        "3. configure the guest on volume web/root because its files in the guest are not as "
        "described (impact: none)\n"
        "4. start web because web should be running (impact: none)"
    )


def test_a_root_that_is_not_active_is_made_so_before_the_vm_that_runs_on_it_is_powered_off() -> (
    None
):
    """So that one whose root turns out to be beyond reach goes on running."""
    inactive = replace(RUNNING, volumes=(replace(RUNNING.volumes[0], active=False),))
    made = plan(Goal(name="web", target=Target.REBOOTED, spec=web()), inactive).unwrap()
    assert explain(made) == (
        "1. activate volume web/root in pool fast because it is not active (impact: none)\n"
        "2. shut down web (power off after 60 s) because a reboot was asked for (impact: restart)\n"
        "3. start web because web should be running (impact: none)"
    )
    assert [step.needs for step in made.steps] == [(), (0,), (1,)]


def test_a_root_that_is_made_anew_is_made_active_once_it_is() -> None:
    inactive = replace(RUNNING, volumes=(replace(RUNNING.volumes[0], active=False),))
    kinds = [
        [type(step.action).__name__ for step in plan(goal, inactive).unwrap().steps]
        for goal in (
            Goal(name="web", target=Target.REINITIALISED, spec=web()),
            Goal(
                name="web",
                target=Target.REBOOTED,
                spec=web(template="other"),
                data_loss=DataLoss.ALLOWED,
            ),
        )
    ]
    anew = [
        "Shutdown",
        "DestroyVolume",
        "AllocateVolume",
        "FormatVolume",
        "ActivateVolume",
        "InstallTemplate",
        "ConfigureGuest",
        "Start",
    ]
    assert kinds == [anew, ["Define", *anew]]


def test_without_leave_to_restart_a_change_is_pending() -> None:
    assert text(Target.RUNNING, RUNNING, MOVED, restart=Restart.NEVER) == (
        f"1. define web because {NICS_CHANGED} (impact: none)\n"
        f"pending until web restarts: {NICS_CHANGED}"
    )


def test_a_frozen_vm_is_thawed_to_shut_down_and_frozen_again() -> None:
    frozen = at(Target.FROZEN, web())

    assert text(Target.FROZEN, frozen, web(binds={"m": {"source": "/m", "mount": "/m"}})) == (
        "1. define web because binds changed [] → [m /m /m read_only] (impact: none)\n"
        "2. unfreeze web because a frozen VM cannot shut down (impact: live)\n"
        "3. shut down web (power off after 60 s) because binds changed [] → [m /m /m read_only] "
        "(impact: restart)\n"
        "4. start web because web should be frozen (impact: none)\n"
        "5. freeze web because web should be frozen (impact: live)"
    )
    assert text(Target.RUNNING, frozen, web()) == (
        "1. unfreeze web because web should be running (impact: live)"
    )


LEFT = "because an interrupted operation left it frozen (impact: live)"


@pytest.mark.parametrize(
    "target",
    [Target.DEFINED, Target.PROVISIONED, Target.RUNNING, Target.LOCKED],
)
def test_any_plan_lets_a_vm_go_on_that_an_interrupted_operation_left_frozen(target: Target) -> None:
    lines = text(target, HELD, web()).splitlines()

    assert lines[-1].endswith(f"unfreeze web {LEFT}")
    assert len(lines) == (2 if target is Target.LOCKED else 1)


def test_one_that_is_to_be_frozen_is_so_by_wish_from_then_on() -> None:
    assert text(Target.FROZEN, HELD, web()) == (
        "1. freeze web because web should be frozen (impact: live)"
    )
    assert (
        text(Target.FROZEN, replace(HELD, power=Power.FROZEN), web())
        == "web is as described: nothing to do"
    )


def test_one_that_was_left_frozen_runs_again_once_it_is_made_anew() -> None:
    assert text(Target.REINITIALISED, HELD, web()).endswith(
        "start web because web should be running (impact: none)"
    )
    assert text(Target.OFF, HELD, power_off=PowerOff.STOP) == (
        "1. stop web because web should be off (impact: restart)"
    )


def test_a_vm_stops_at_once_where_asked() -> None:
    assert text(Target.OFF, RUNNING, power_off=PowerOff.STOP) == (
        "1. stop web because web should be off (impact: restart)"
    )


def test_a_stuck_monitor_is_repaired() -> None:
    stuck = replace(RUNNING, power=Power.STUCK)

    assert text(Target.RUNNING, stuck, web()) == (
        "1. repair web: end its stuck monitor because its monitor does not answer "
        "(impact: restart)\n"
        "2. start web because web should be running (impact: none)"
    )
    goal = Goal(name="web", target=Target.RUNNING, spec=web(), restart=Restart.NEVER)
    assert [str(each) for each in plan(goal, stuck).failure()] == [
        "web.restart: its monitor is stuck, and repairing it would restart the VM"
    ]


def test_another_template_is_refused_without_leave() -> None:
    assert refused(Target.RUNNING, RUNNING, web(template="alpine")) == [
        "web.template: changing it from debian to alpine loses the data on the volume root: "
        "reinit, or allow data loss"
    ]


def test_another_template_is_installed_with_leave() -> None:
    allowed = text(Target.RUNNING, RUNNING, web(template="alpine"), data_loss=DataLoss.ALLOWED)

    assert allowed.splitlines()[:3] == [
        "1. define web because template changed debian → alpine (impact: none)",
        "2. shut down web (power off after 60 s) because template changed debian → alpine "
        "(impact: restart)",
        "3. destroy volume web/root in pool fast because template changed debian → alpine "
        "(impact: data_loss)",
    ]


def test_leave_to_lose_data_is_no_leave_to_power_off() -> None:
    policy = {"data_loss": DataLoss.ALLOWED, "restart": Restart.NEVER}

    assert text(Target.RUNNING, RUNNING, web(template="alpine"), **policy) == (
        "1. define web because template changed debian → alpine (impact: none)\n"
        "pending until web restarts: template changed debian → alpine"
    )


def test_another_root_pool_is_refused_without_leave() -> None:
    slow = web(volumes=[{"name": "root", "pool": "slow"}])

    assert refused(Target.RUNNING, STOPPED, slow) == [
        "web.volumes[root].pool: changing it from fast to slow loses the data on the volume "
        "root: reinit, or allow data loss"
    ]
    allowed = text(Target.STOPPED, STOPPED, slow, data_loss=DataLoss.ALLOWED)
    assert (
        "2. destroy volume web/root in pool fast because volume pools changed {root: fast} → "
        "{root: slow} (impact: data_loss)"
    ) in allowed


@pytest.mark.parametrize(
    ("target", "spec", "why"),
    [
        (Target.UNDEFINED, None, "web: is locked, and so cannot be undefined"),
        (Target.DEPROVISIONED, None, "web: is locked, and so cannot be deprovisioned"),
        (Target.REINITIALISED, web(), "web.lock: is locked: a reinit would lose data"),
        (
            Target.RUNNING,
            web(template="alpine"),
            "web.template: cannot change from debian to alpine: the VM is locked",
        ),
    ],
)
def test_a_locked_vm_is_kept(target: Target, spec: VMSpec | None, why: str) -> None:
    assert refused(target, replace(RUNNING, locked=True), spec) == [why]


def test_a_volume_never_shrinks_and_a_driver_never_changes() -> None:
    other = web(driver="memory", volumes=[{"name": "root", "pool": "fast", "size": "1GiB"}])

    assert refused(Target.RUNNING, RUNNING, other) == [
        "web.driver: cannot change from 'lxc' to 'memory': deprovision the VM first",
        "web.volumes[root].size: a volume cannot shrink from 10GiB to 1GiB",
    ]


def test_a_name_that_the_host_does_not_know_is_refused_with_those_it_knows() -> None:
    facts = HostFacts(
        drivers={"memory": DriverFacts()},
        pools={"fasts": PoolFacts(), "slow": PoolFacts()},
        templates=frozenset(),
        bridges=frozenset({"br1"}),
    )
    goal = Goal(name="web", target=Target.RUNNING, spec=web())

    assert [str(each) for each in plan(goal, Observation(), facts).failure()] == [
        "web.driver: unknown driver 'lxc' (there is: memory)",
        "web.template: unknown template 'debian' (there is none)",
        "web.volumes[root].pool: unknown pool 'fast', did you mean 'fasts'? "
        "(there is: fasts, slow)",
        "web.nics[eth0].bridge: unknown bridge 'br0', did you mean 'br1'? (there is: br1)",
    ]


def test_a_privileged_vm_is_refused_in_a_pool_whose_ids_are_shifted() -> None:
    facts = HostFacts(pools={"fast": PoolFacts(shifted_by=100_000)})
    goal = Goal(name="web", target=Target.RUNNING, spec=web(privileged=True))

    assert [str(each) for each in plan(goal, Observation(), facts).failure()] == [
        "web.volumes[root].pool: the pool 'fast' is for unprivileged VMs only, "
        "and the VM is privileged"
    ]
    assert isinstance(plan(replace(goal, spec=web()), Observation(), facts), Success)


def test_a_privileged_vm_is_named_so_in_its_plan() -> None:
    assert text(Target.DEFINED, Observation(), web(privileged=True)) == (
        "1. define web as privileged (root in it is root on the host) because web is not "
        "defined (impact: none)"
    )


def test_a_deprovisioned_vm_leaves_nothing() -> None:
    assert text(Target.DEPROVISIONED, RUNNING) == (
        "1. shut down web (power off after 60 s) because web should be deprovisioned "
        "(impact: restart)\n"
        "2. destroy volume web/root in pool fast because web should be deprovisioned "
        "(impact: data_loss)\n"
        "3. undefine web because web should be deprovisioned (impact: none)"
    )


def test_an_undefined_vm_leaves_its_data_unless_it_is_transient() -> None:
    assert text(Target.UNDEFINED, STOPPED) == (
        "1. undefine web because web should be undefined (impact: none)"
    )
    assert text(Target.UNDEFINED, at(Target.STOPPED, web(transient=True))) == (
        "1. destroy volume web/root in pool fast because web is transient (impact: data_loss)\n"
        "2. undefine web because web should be undefined (impact: none)"
    )


def test_a_reinit_keeps_the_power_and_the_data_volumes() -> None:
    spec = web(volumes=[{"name": "root"}, {"name": "data", "mount": "/data"}])
    reinit = text(Target.REINITIALISED, at(Target.FROZEN, spec), spec)

    assert [line.partition(" because")[0] for line in reinit.splitlines()] == [
        "1. unfreeze web",
        "2. shut down web (power off after 60 s)",
        "3. destroy volume web/root in pool default",
        "4. allocate volume web/root in pool default",
        "5. format volume web/root in pool default",
        "6. activate volume web/root in pool default",
        "7. install template debian on volume web/root",
        "8. configure the guest on volume web/root",
        "9. start web",
        "10. freeze web",
    ]


def test_an_install_cut_short_is_done_again() -> None:
    root = VolumeSeen(name="root", pool="fast", stage=Stage.FILLING, active=True)
    cut = replace(STOPPED, volumes=(replace(root, size_bytes=10 * 2**30),))

    assert text(Target.STOPPED, cut, web()).splitlines()[0] == (
        "1. install template debian on volume web/root because an earlier install was not "
        "finished (impact: none)"
    )


def test_a_definition_edited_by_hand_is_written_again() -> None:
    edited = replace(RUNNING, defined=web(memory="1GiB"))

    assert text(Target.DEFINED, edited, web()) == (
        "1. define web because what the driver has differs from what is recorded (impact: none)"
    )


def test_a_vm_is_locked_and_unlocked() -> None:
    assert text(Target.LOCKED, STOPPED) == (
        "1. lock web because protection from deletion is wanted (impact: none)"
    )
    assert text(Target.UNLOCKED, replace(STOPPED, locked=True)) == (
        "1. unlock web because protection from deletion is no longer wanted (impact: none)"
    )
    assert text(Target.LOCKED, replace(STOPPED, locked=True, half_locked=True)) == (
        "1. lock web because protection from deletion is not recorded in every place (impact: none)"
    )
    assert refused(Target.LOCKED, Observation()) == ["web: cannot lock web: it is not defined"]


def test_what_is_nowhere_described_is_refused() -> None:
    assert refused(Target.OFF, Observation()) == ["web: is not defined"]
    assert isinstance(plan(Goal(name="web", target=Target.RUNNING), Observation()), Failure)


def test_steps_wait_only_for_what_they_need() -> None:
    spec = web(volumes=[{"name": "root"}, {"name": "data", "mount": "/data"}])
    steps = plan(Goal(name="web", target=Target.RUNNING, spec=spec), Observation()).unwrap().steps

    assert [step.needs for step in steps] == [
        (),
        (0,),
        (1,),
        (2,),
        (0,),
        (4,),
        (5,),
        (3,),
        (7,),
        (6, 8),
    ]


def test_devices_change_while_it_runs_as_far_as_its_driver_can() -> None:
    eth0, eth1 = ({"name": f"eth{n}", "bridge": "br0"} for n in range(2))
    costs = {"nics": EntryCost(), "volumes": EntryCost(busy="mount")}
    facts = HostFacts(drivers={"lxc": DriverFacts(entries=costs)})
    root, data = {"name": "root", "pool": "fast"}, {"name": "data", "mount": "/data"}
    old = web(nics=[eth0], volumes=[root])
    new = web(nics=[eth0, eth1], volumes=[root, data])
    have = at(Target.RUNNING, old)

    def planned(target: Target, want: VMSpec, have: Observation = have) -> list[str]:
        made = plan(Goal(name="web", target=target, spec=want), have, facts).unwrap()
        return [describe(step.action, "web") for step in made.steps]

    assert planned(Target.RUNNING, new) == [
        "define web",
        "allocate volume web/data in pool default",
        "format volume web/data in pool default",
        "activate volume web/data in pool default",
        "change devices of web: attach NIC eth1; attach volume data (its guest configures it at "
        "its next start)",
    ]
    assert planned(Target.DEFINED, new) == ["define web"]  # its volume is not there yet
    assert planned(Target.DEFINED, web(nics=[], volumes=[root])) == [
        "define web",
        "change devices of web: detach NIC eth0",
    ]
    restarted = planned(Target.RUNNING, replace(new, hostname="other"))
    assert not any(each.startswith("change devices") for each in restarted)
    half = replace(have, recorded=new, defined=new)  # interrupted before its devices changed
    assert planned(Target.DEFINED, replace(new, volumes=old.volumes), half)[-1:] == [
        "change devices of web: attach NIC eth1"
    ]
