"""How far a plan gets where a step fails, told as stories."""

from collections.abc import Mapping
from dataclasses import replace

from geats_core import (
    DataLoss,
    Goal,
    HostFacts,
    HostPlan,
    Observation,
    Power,
    Target,
    VMSpec,
    after,
    boot_goals,
    describe,
    halt_goals,
)
from geats_core.planning.model import ON
from geats_core.plans.progress import Course
from tests.core.hosts import Hosts, at, goals, nic, planned, vm

STOP = "(power off after 60 s)"
GIB = 2**30


def run(
    made: HostPlan, there: Hosts, failing: str, left: Observation | None = None
) -> tuple[dict[str, Observation], dict[str, str]]:
    """Every step but one, which leaves its VM as it was, or as *left*: the host at the end, and
    because of which step each other was not tried.
    """
    words = [describe(step.action, step.vm) for step in made.steps]
    course, host = Course.of(made.steps, there), dict(there)
    while ready := course.take():
        for position in ready:
            step = made.steps[position]
            have = host.get(step.vm, Observation())
            if words[position] == failing:
                host[step.vm] = left or have
                course.fail(position, host[step.vm])
            else:
                host[step.vm] = after(step.action, have).unwrap()
                course.succeed(position)
    untried = {
        words[position]: words[cause]
        for position, cause in course.because_of.items()
        if position != cause
    }
    return {name: have for name, have in host.items() if name}, untried


def on(host: Mapping[str, Observation]) -> set[str]:
    return {name for name, have in host.items() if have.power in ON}


def booted(*specs: VMSpec) -> tuple[HostPlan, Hosts]:
    there = at(Target.STOPPED, *specs)
    return planned(boot_goals(there), there), there


def boots(name: str, priority: int = 0, delay: int = 0, **raw: object) -> VMSpec:
    autostart = {"enabled": True, "priority": priority, "delay": delay}
    return vm(name, autostart=autostart, **raw)


def restarted(*specs: VMSpec) -> tuple[VMSpec, ...]:
    return tuple(replace(spec, hostname=f"new-{spec.hostname}") for spec in specs)


def test_at_boot_a_vm_that_does_not_start_keeps_no_other_off() -> None:
    made, there = booted(boots("db", 9), boots("app", 5, delay=7), boots("web"))

    end, untried = run(made, there, "start app")

    assert on(end) == {"db", "web"}
    assert untried == {"wait 7 s": "start app"}


def test_a_vm_that_comes_after_one_that_failed_is_not_started_and_says_why() -> None:
    made, there = booted(boots("db"), boots("app", after=["db"]), boots("web", after=["app"]))

    end, untried = run(made, there, "start db")

    assert on(end) == set()
    assert untried == {"start app": "start db", "start web": "start db"}


def test_at_halt_a_vm_that_does_not_stop_keeps_no_other_on() -> None:
    there = at(Target.RUNNING, boots("db", 9), boots("app", 5, after=["db"]), boots("web"))
    made = planned(halt_goals(there), there)

    end, untried = run(made, there, f"shut down app {STOP}")

    assert on(end) == {"app"}
    assert untried == {}


def test_a_vm_that_cannot_get_its_new_volume_runs_on() -> None:
    there = at(Target.RUNNING, vm("web"))
    data = {"name": "data", "mount": "/data", "size": "1GiB"}
    more = vm("web", volumes=[{"name": "root"}, data])
    made = planned(goals(Target.RUNNING, more), there)

    end, untried = run(made, there, "allocate volume web/data of 1GiB in pool default")

    assert on(end) == {"web"}
    assert end["web"].in_effect == there["web"].in_effect
    assert f"shut down web {STOP}" in untried


def test_an_address_changes_though_a_volume_cannot_grow() -> None:
    def mail(size: str, address: str) -> VMSpec:
        data = {"name": "data", "mount": "/data", "size": size}
        return vm("mail", volumes=[{"name": "root"}, data], nics=nic(address))

    there = at(Target.RUNNING, mail("1GiB", "10.0.0.2"))
    new = mail("2GiB", "10.0.0.3")
    made = planned(goals(Target.RUNNING, new), there)

    end, untried = run(made, there, "grow volume mail/data in pool default to 2GiB")

    assert end["mail"].in_effect == new
    assert untried == {}


def test_a_vm_starts_again_though_its_guest_could_not_be_configured() -> None:
    db, web = restarted(vm("db"), vm("web"))
    there = at(Target.RUNNING, vm("db"), vm("web"))
    made = planned(goals(Target.RUNNING, db, web), there)

    end, untried = run(made, there, "configure the guest on volume web/root")

    assert on(end) == {"db", "web"}
    assert untried == {}


def reinit(name: str, there: Hosts) -> HostPlan:
    spec = there[name].recorded
    goal = Goal(name=name, target=Target.REINITIALISED, spec=spec, data_loss=DataLoss.ALLOWED)
    return planned([goal], there)


def test_a_vm_whose_root_could_not_be_destroyed_starts_again_as_it_was() -> None:
    there = at(Target.RUNNING, vm("web"))

    end, untried = run(reinit("web", there), there, "destroy volume web/root in pool default")

    assert end == there
    assert "install template debian on volume web/root" in untried
    assert "start web" not in untried


def test_a_vm_that_was_made_anew_does_not_start_unconfigured() -> None:
    there = at(Target.RUNNING, vm("web"))

    end, untried = run(reinit("web", there), there, "configure the guest on volume web/root")

    assert on(end) == set()
    assert untried == {"start web": "configure the guest on volume web/root"}


def test_a_vm_whose_root_was_lost_on_the_way_does_not_start() -> None:
    there = at(Target.RUNNING, vm("web"))

    end, untried = run(reinit("web", there), there, "format volume web/root in pool default")

    assert on(end) == set()
    assert untried["start web"] == "format volume web/root in pool default"


def test_a_vm_that_could_not_be_shut_down_counts_as_started() -> None:
    there = at(Target.RUNNING, vm("db")) | at(Target.STOPPED, vm("web", after=["db"]))
    made = planned(goals(Target.RUNNING, *restarted(vm("db")), vm("web", after=["db"])), there)

    end, untried = run(made, there, f"shut down db {STOP}")

    assert on(end) == {"db", "web"}
    assert untried.keys() == {"configure the guest on volume db/root", "start db"}


def test_a_vm_that_got_stuck_does_not_count_as_started() -> None:
    there = at(Target.RUNNING, vm("db")) | at(Target.STOPPED, vm("web", after=["db"]))
    made = planned(goals(Target.RUNNING, *restarted(vm("db")), vm("web", after=["db"])), there)

    stuck = replace(there["db"], power=Power.STUCK)
    end, untried = run(made, there, f"shut down db {STOP}", stuck)

    assert on(end) == set()
    assert untried["start web"] == f"shut down db {STOP}"


def test_a_vm_that_ran_starts_again_though_what_it_comes_after_does_not() -> None:
    before = (vm("db"), vm("web", after=["db"]))
    there = at(Target.STOPPED, before[0]) | at(Target.RUNNING, before[1])
    made = planned(goals(Target.RUNNING, before[0], *restarted(before[1])), there)

    end, untried = run(made, there, "start db")

    assert on(end) == {"web"}
    assert untried == {}


def test_a_vm_stays_as_it_is_where_it_does_not_get_the_address_that_it_is_to_have() -> None:
    old, other = vm("web", nics=nic("10.0.0.2")), vm("db", nics=nic("10.0.0.3"))
    there = at(Target.RUNNING, old, other)
    new = vm("web", nics=nic("10.0.0.3"))
    made = planned([*goals(Target.RUNNING, new), Goal(name="db", target=Target.OFF)], there)

    end, untried = run(made, there, f"shut down db {STOP}")

    assert on(end) == {"web", "db"}
    assert end["web"].in_effect == old
    assert untried[f"shut down web {STOP}"] == f"shut down db {STOP}"


def test_of_two_that_change_addresses_none_takes_what_the_other_has_still() -> None:
    def both(one: str, other: str) -> tuple[VMSpec, VMSpec]:
        return vm("db", nics=nic(one)), vm("web", nics=nic(other))

    there = at(Target.RUNNING, *both("10.0.0.2", "10.0.0.3"))
    made = planned(goals(Target.RUNNING, *both("10.0.0.3", "10.0.0.2")), there)

    end, untried = run(made, there, f"shut down web {STOP}")

    assert on(end) == {"web"}
    assert untried["start db"] == f"shut down web {STOP}"


def test_only_those_who_take_what_was_not_given_back_are_kept_from_it() -> None:
    old = [vm(f"old{number}", memory="1GiB") for number in range(3)]
    new = [vm(f"new{number}", memory="1GiB") for number in range(3)]
    there = at(Target.RUNNING, *old) | at(Target.STOPPED, *new)
    wanted = [
        *(Goal(name=spec.name, target=Target.OFF) for spec in old),
        *goals(Target.RUNNING, *new),
    ]
    made = planned(wanted, there, HostFacts(memory_bytes=3 * GIB))

    end, untried = run(made, there, f"shut down old1 {STOP}")

    assert on(end) == {"old1", "new0", "new2"}
    assert untried == {"start new1": f"shut down old1 {STOP}"}
    roomy = planned(wanted, there, HostFacts(memory_bytes=4 * GIB))
    assert run(roomy, there, f"shut down old1 {STOP}")[1] == {
        "start new2": f"shut down old1 {STOP}"
    }


def test_a_few_that_give_much_are_taken_from_rather_than_many_that_give_little() -> None:
    sizes = {"small0": 1, "small1": 1, "large": 2}
    old = [vm(name, memory=f"{size}GiB") for name, size in sizes.items()]
    new = vm("new", memory="2GiB")
    there = at(Target.RUNNING, *old) | at(Target.STOPPED, new)
    wanted = [*(Goal(name=name, target=Target.OFF) for name in sizes), *goals(Target.RUNNING, new)]

    made = planned(wanted, there, HostFacts(memory_bytes=4 * GIB))

    assert run(made, there, f"shut down small0 {STOP}")[1] == {}
    assert run(made, there, f"shut down large {STOP}")[1] == {
        "start new": f"shut down large {STOP}"
    }
