"""Stories of VMs that another host fetches: what is offered, and what is done on the target."""

from dataclasses import replace

import pytest
from returns.result import Failure, Success

from geats_core import (
    Goal,
    HostFacts,
    Manifest,
    Observation,
    PackedVolume,
    Plan,
    PoolFacts,
    Target,
    follow,
    plan,
)
from geats_core.jobs.copies import plan_import
from geats_core.jobs.moves import (
    Offer,
    cannot_leave,
    offer_from_plain,
    offer_to_plain,
    plan_fetch,
    plan_take_over,
    plan_to_read,
)
from geats_core.planning.action_words import describe
from geats_core.planning.actions import Shutdown, Stop, TakeOver, TakeVolumes, Unfreeze, impact_of
from geats_core.planning.costs import Impact
from geats_core.planning.model import after as after_action
from geats_core.reading.checked import Checked
from geats_core.vm.observation import Power
from geats_core.vm.spec import VMSpec
from tests.core.hosts import at, vm

WEB = vm("web", memory="1GiB", volumes=[{"name": "root"}, {"name": "data", "mount": "/d"}])
ON, OFF = at(Target.RUNNING, WEB)["web"], at(Target.STOPPED, WEB)["web"]
URL = "ssh://root@a/web"
MARK = "5a" * 32
FACTS = HostFacts(pools={"default": PoolFacts()}, memory_bytes=2**34)


def offer_of(spec: VMSpec) -> Offer:
    packed = tuple(
        PackedVolume(name=volume.name, sha256="0" * 64, size_bytes=2**20) for volume in spec.volumes
    )
    manifest = Manifest(spec=spec, template=spec.template, volumes=packed, taken_s=1)
    return Offer(manifest=manifest, mark=MARK, is_running=True)


OFFER = offer_of(WEB)


def fetching(offer: Offer = OFFER, have: Observation | None = None) -> Plan:
    return plan_fetch(URL, offer, WEB, have or Observation(), FACTS, {}).unwrap()


def after(made: Plan, have: Observation | None = None, cut: int | None = None) -> Observation:
    return follow(replace(made, steps=made.steps[:cut]), have or Observation()).unwrap()


def lines(made: Plan) -> list[str]:
    return [f"{describe(step.action, 'web')}: {step.reason}" for step in made.steps]


def test_the_root_is_last_and_with_it_the_vm_is_taken_over() -> None:
    made = fetching()
    assert lines(made)[-4:] == [
        f"copy volume web/data from {URL}: 1MiB of it are data there, at most",
        f"copy volume web/root from {URL}, then take web over: 1MiB of it are data there, at most",
        "configure the guest on volume web/root: its files in the guest are those of another host"
        " or name",
        "start web: it ran before",
    ]
    root, data = len(made.steps) - 3, len(made.steps) - 4
    assert data in made.steps[root].needs
    assert after(made) == ON


def test_what_moved_has_started_once_it_is_ready() -> None:
    spec = vm("web", ready={"tcp": 80})
    made = plan_fetch(URL, offer_of(spec), spec, Observation(), FACTS, {}).unwrap()

    assert lines(made)[-1] == (
        "wait until web is ready (tcp 80, within 60 s): web counts as started once it is ready"
    )


def test_a_vm_that_was_off_stays_off() -> None:
    assert after(fetching(replace(OFFER, is_running=False))) == OFF


def test_until_it_is_taken_over_all_of_it_is_copied_again_and_from_then_on_nothing() -> None:
    made = fetching()
    for cut in range(len(made.steps)):
        left = after(made, cut=cut)
        is_given = cut > len(made.steps) - 3
        rest = fetching(replace(OFFER, is_given=is_given), left)
        assert after(rest, left) == ON
        copied = [line for line in lines(rest) if line.startswith("copy volume")]
        assert len(copied) == (0 if is_given else 2)


def test_what_came_over_is_only_started() -> None:
    given = replace(OFFER, is_given=True)
    assert lines(fetching(given, OFF)) == ["start web: it ran before"]
    assert lines(fetching(given, ON)) == []


def test_a_vm_that_both_define_is_refused() -> None:
    match plan_fetch(URL, OFFER, WEB, OFF, FACTS, {}):
        case Failure((problem,)):
            assert str(problem).startswith("web: there is a VM of this name")
        case other:
            raise AssertionError(other)


def test_volumes_are_not_copied_within_a_pool_that_both_hosts_have() -> None:
    offer = replace(OFFER, pools={"root": "3f0c", "data": ""})
    told = [
        "web.volumes[root].pool: 'default' is the pool 3f0c on both hosts: say `shared: true` of it"
        " on both, or give each host a pool of its own"
    ]
    for planning in (plan_fetch, plan_take_over):
        for identity in ("3f0c", "b194"):
            facts = replace(FACTS, pools={"default": PoolFacts(identity=identity)})
            made = planning(URL, offer, WEB, Observation(), facts, {})
            wrong = [str(each) for each in made.failure()] if isinstance(made, Failure) else []
            assert wrong == (told if identity == "3f0c" else [])


def test_all_that_keeps_a_vm_on_its_host_is_told() -> None:
    assert cannot_leave("web", OFF, is_declared=False) == ()
    assert [*map(str, cannot_leave("web", replace(OFF, locked=True), is_declared=True))] == [
        "web: is locked, and so stays where it is",
        "web: is declared here, which would recreate it: move its declaration to the target first",
    ]
    assert cannot_leave("web", replace(OFF, volumes=()), is_declared=False) != ()


def test_what_is_off_is_made_readable() -> None:
    closed = replace(OFF, volumes=tuple(replace(each, active=False) for each in OFF.volumes))
    assert lines(plan_to_read("web", closed).unwrap()) == [
        "activate volume web/data in pool default: it is to be read",
        "activate volume web/root in pool default: it is to be read",
    ]
    assert lines(plan_to_read("web", OFF).unwrap()) == []


def test_an_offer_survives_its_way() -> None:
    assert offer_from_plain(offer_to_plain(OFFER)) == Success(OFFER)
    assert isinstance(offer_from_plain({"mark": 1}), Failure)


LIVE = replace(OFFER, machine="pc-q35-7.2")


def taking_over(
    offer: Offer = LIVE, have: Observation | None = None, spec: VMSpec = WEB
) -> Checked[Plan]:
    return plan_take_over(URL, offer, spec, have or Observation(), FACTS, {})


def test_what_moves_as_it_runs_is_taken_over_in_one_step_into_volumes_that_are_reserved() -> None:
    made = taking_over().unwrap()
    assert lines(made)[-1] == (
        f"take web over from {URL} as it runs: 2MiB of its volumes and 1GiB of memory are copied, "
        "at most; it stands still for the last of it only, about a second"
    )
    assert [impact_of(step.action) for step in made.steps[-1:]] == [Impact.LIVE]
    assert {*range(len(made.steps) - 1)} == all_before(made, len(made.steps) - 1)
    assert after(made) == ON


def all_before(made: Plan, position: int) -> set[int]:
    """The steps without which this one is not taken."""
    needed = set(made.steps[position].needs)
    return needed.union(*(all_before(made, each) for each in needed))


def test_memory_without_a_limit_is_not_told_of() -> None:
    made = taking_over(spec=vm("web", volumes=[{"name": "root"}, {"name": "data", "mount": "/d"}]))
    assert "2MiB of its volumes are copied, at most" in lines(made.unwrap())[-1]


def test_what_came_here_and_was_not_whole_is_taken_over_again_but_not_copied_beside() -> None:
    half = after(taking_over().unwrap(), cut=-1)
    for power in (Power.STOPPED, Power.FROZEN, Power.RUNNING):
        left = replace(half, power=power)
        made = taking_over(have=left).unwrap()
        assert [type(step.action) for step in made.steps] == [TakeOver]
        assert after(made, left) == ON
    refused = plan_fetch(URL, OFFER, WEB, replace(half, power=Power.FROZEN), FACTS, {})
    assert "not whole: move it with `live`, or stop" in str(refused.failure()[0])


def test_what_was_taken_over_is_there_and_what_is_no_copy_is_not_taken_over() -> None:
    given = replace(LIVE, is_given=True)
    assert taking_over(given, ON).unwrap().is_empty
    for power, first in ((Power.FROZEN, "unfreeze web"), (Power.STOPPED, "start web")):
        left = replace(ON, power=power, in_effect=ON.in_effect if power is Power.FROZEN else None)
        made = taking_over(given, left).unwrap()
        assert [line.partition(":")[0] for line in lines(made)] == [first]
        assert after(made, left) == ON
    assert "there is a VM of this name" in str(taking_over(have=ON).failure()[0])
    takes = TakeOver(URL, MARK, "debian")
    assert "is no copy" in after_action(takes, ON).failure()
    half = after(taking_over().unwrap(), cut=-1)
    assert "it is stuck" in after_action(takes, replace(half, power=Power.STUCK)).failure()
    assert "not ready" in after_action(takes, replace(half, volumes=half.volumes[:1])).failure()


@pytest.mark.parametrize("power", [Power.FROZEN, Power.HELD, Power.RUNNING])
@pytest.mark.parametrize("target", [Target.OFF, Target.UNDEFINED, Target.DEPROVISIONED])
def test_what_came_and_is_not_whole_is_stopped_and_never_let_go_on(
    power: Power, target: Target
) -> None:
    half = replace(after(taking_over().unwrap(), cut=-1), power=power, in_effect=WEB)
    made = plan(Goal(name="web", target=target), half).unwrap()
    assert isinstance(made.steps[0].action, Stop)
    assert not any(isinstance(step.action, Unfreeze | Shutdown) for step in made.steps)
    assert after(made, half).power is Power.STOPPED
    assert after_action(Unfreeze(), half) == Failure(f"it is an unfinished copy of {half.copy_of}")


SHARED = HostFacts(
    pools={"default": PoolFacts(shared=True, identity="5b", elsewhere={"web": "a"})},
    memory_bytes=2**34,
)
ALONG = replace(
    OFFER,
    pools={"root": "5b", "data": "5b"},
    shared={each.name: each for each in OFF.volumes},
)
TAKEN = f"take web over from {URL} with web/root, web/data, where it is"
NOT_COPIED = f"{URL} has the same pool: nothing of that is copied"


def test_what_is_in_a_pool_of_both_hosts_is_taken_over_where_it_is() -> None:
    made = plan_fetch(URL, ALONG, WEB, Observation(), SHARED, {}).unwrap()
    assert lines(made)[1] == f"{TAKEN}: {NOT_COPIED}"
    assert [describe(step.action, "web") for step in made.steps] == [
        "define web",
        TAKEN,
        "configure the guest on volume web/root",
        "start web",
    ]
    assert [impact_of(step.action) for step in made.steps] == [Impact.NONE] * 4
    assert after(made) == ON
    cut = replace(after(made, cut=1), volumes=OFF.volumes)  # it was passed on, and nothing noted
    again = plan_fetch(URL, replace(ALONG, is_given=True), WEB, cut, SHARED, {}).unwrap()
    assert describe(again.steps[0].action, "web") == TAKEN
    assert after(again, cut) == ON
    taken = after(made, cut=2)
    rest = plan_fetch(URL, replace(ALONG, is_given=True), WEB, taken, SHARED, {}).unwrap()
    assert after(rest, taken) == ON


def test_what_is_taken_over_waits_for_what_is_copied() -> None:
    pools = {"root": "5b", "data": "5c"}
    for shared, copied in (("root", "data"), ("data", "root")):
        seen = {each.name: each for each in OFF.volumes if each.name == shared}
        spec = vm(
            "web",
            memory="1GiB",
            volumes=[
                {"name": "root", "pool": "default" if shared == "root" else "own"},
                {"name": "data", "mount": "/d", "pool": "default" if shared == "data" else "own"},
            ],
        )
        offer = replace(offer_of(spec), pools=pools | {shared: "5b", copied: "5c"}, shared=seen)
        facts = replace(SHARED, pools={**(SHARED.pools or {}), "own": PoolFacts(identity="5d")})
        made = plan_fetch(URL, offer, spec, Observation(), facts, {}).unwrap()
        told = [describe(step.action, "web") for step in made.steps]
        assert told[-4:-2] == [
            f"copy volume web/{copied} from {URL}",
            f"take web over from {URL} with web/{shared}, where it is",
        ]
        last = made.steps[-3].action
        assert isinstance(last, TakeVolumes)
        half = after(made, cut=len(made.steps) - 4)
        assert after_action(last, half) == Failure("a volume is not ready")
        assert after(made) == at(Target.RUNNING, spec)["web"]


def test_what_only_one_host_calls_shared_or_would_be_torn_apart_stays() -> None:
    unknown = replace(SHARED, pools={"default": PoolFacts(identity="5b")})
    found = plan_fetch(URL, ALONG, WEB, Observation(), unknown, {})
    why = "'default' is the pool 5b on both hosts: say `shared: true` of it on both, or give each"
    assert [str(each) for each in found.failure()] == [
        f"web.volumes[{name}].pool: {why} host a pool of its own" for name in ("root", "data")
    ]
    apart = vm(
        "web",
        memory="1GiB",
        volumes=[{"name": "root"}, {"name": "data", "mount": "/d", "pool": "own"}],
    )
    facts = replace(SHARED, pools={**(SHARED.pools or {}), "own": PoolFacts(identity="5d")})
    torn = plan_fetch(URL, ALONG, apart, Observation(), facts, {}).failure()
    assert [each.path for each in torn] == ["web.volumes[data].pool"]
    assert "is to leave a pool that others of the VM stay in" in str(torn[0])


def test_an_archive_is_not_read_beside_what_another_host_has_in_a_shared_pool() -> None:
    read = plan_import("/a.tar", OFFER.manifest, WEB, Observation(), SHARED, {})
    why = "'default' is shared, and a has web there: move it from there by ssh"
    assert [str(each).partition(" (")[0] for each in read.failure()] == [
        f"web.volumes[{name}].pool: {why}" for name in ("root", "data")
    ]


def test_a_live_move_takes_what_is_shared_along_unless_it_is_cached() -> None:
    live = replace(ALONG, machine="q35")
    made = plan_take_over(URL, live, WEB, Observation(), SHARED, {}).unwrap()
    assert [type(step.action) for step in made.steps][1:] == [TakeOver]
    assert "0B of its volumes" in lines(made)[-1]
    assert "(root, data stay where they are)" in lines(made)[-1]
    assert after(made) == ON
    cached = replace(live, cached=("data",))
    refused = plan_take_over(URL, cached, WEB, Observation(), SHARED, {}).failure()
    assert [each.path for each in refused] == ["web.hardware.disks.data.cache"]
    takes = TakeVolumes(URL, MARK, OFF.volumes)
    assert "is no copy" in after_action(takes, OFF).failure()
    assert "it is running" in after_action(takes, replace(ON, copy_of="x")).failure()
