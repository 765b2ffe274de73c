"""Law 8, *named*: silence is no order.

A host runs what a configuration describes. Then any part of the configuration is lost, or has no
value any more. No plan that follows takes anything from a VM that nobody named and whose own
description did not change; and where it did change, the steps say so.
"""

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from returns.result import Success

from geats_core import (
    Asked,
    Goal,
    HostConfig,
    HostFacts,
    HostPlan,
    Observation,
    PoolFacts,
    Power,
    Recorded,
    Step,
    Target,
    VMSpec,
    after,
    boot_goals,
    parse_config,
    parse_vm,
    plan,
    plan_host,
)
from geats_core.planning.actions import (
    DestroyVolume,
    Freeze,
    Repair,
    Shutdown,
    Stop,
    Undefine,
    Unlock,
)
from geats_core.vm.spec import PowerWish
from geats_host.errors import Refused
from geats_host.planning.from_values import plan_recorded
from geats_host.planning.goals import Wishes, goal_by_name, wishes
from tests.property.strategies import situation_pairs
from tests.property.test_host_laws import Situation, as_left, situations

NAMES = ["a", "b", "c", "d"]
AS_DESCRIBED = (Target.RUNNING, Target.PROVISIONED, Target.DEFINED, Target.LOCKED)
FACTS = HostFacts(pools={"default": PoolFacts(), "fast": PoolFacts()})
TAKES = (Shutdown, Stop, Freeze, Undefine, Unlock, DestroyVolume)
Raw = dict[str, Any]

many = settings(
    max_examples=1000,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

nics = st.builds(
    lambda number, bridge: {
        "name": f"eth{number}",
        "bridge": bridge,
        "addresses": [f"10.0.{number}.2/24"],
    },
    st.integers(0, 9),
    st.sampled_from(["br0", "br1"]),
)
vms: st.SearchStrategy[Raw] = st.fixed_dictionaries(
    {"profile": st.sampled_from(["small", ["small"], ["small", "large"]])},
    optional={
        "memory": st.sampled_from(["1GiB", "2GiB", "none"]),
        "cpus": st.sampled_from([1, "0.5"]),
        "privileged": st.just(True),
        "template": st.sampled_from(["debian", "alpine"]),
        "volumes": st.just([{"name": "root", "pool": "fast"}, {"name": "d", "mount": "/d"}]),
        "autostart": st.sampled_from([True, {"priority": 5}]),
        "transient": st.just(True),
        "metadata": st.just({"ROLE": "web"}),
    },
)
words: st.SearchStrategy[Any] = st.sampled_from(["stop", "stop", {"a": "stop", "*": "report"}])
ends = st.sampled_from(["stopped", "undefined", "deprovisioned"])


@dataclass(frozen=True)
class Lost:
    """A configuration, the host that runs it, and what is left of the configuration."""

    before: HostConfig
    there: Mapping[str, Observation]
    left: object

    @property
    def after(self) -> HostConfig | None:
        return parse_config(self.left).value_or(None)


@st.composite
def configurations(draw: st.DrawFn) -> Raw:
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    described = draw(st.integers(1, len(names)))
    raw: Raw = {
        "policy": {"strays": draw(words), "at_most": draw(st.sampled_from([0, 1, 2, 9]))},
        "pools": {name: {"type": "memory", "path": f"/{name}"} for name in ("default", "fast")},
        "templates": {name: {"path": f"/{name}"} for name in ("debian", "alpine")},
        "profiles": {
            "small": {"template": "debian", "memory": "512MiB", "cpus": 2},
            "large": {"memory": "4GiB", "init": "systemd", "hostname": "large"},
        },
        "vms": {name: draw(vms) for name in names[:described]},
        "gone": {name: draw(ends) for name in names[described:]},
    }
    for number, name in enumerate(raw["vms"]):
        if draw(st.booleans()):
            nic = draw(nics)
            raw["vms"][name]["nics"] = [{**nic, "addresses": [f"10.0.{number}.2/24"]}]
    return raw


def places(raw: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something can be lost."""
    pairs: list[tuple[Any, object]] = []
    if isinstance(raw, dict):
        pairs = list(raw.items())
    elif isinstance(raw, list):
        pairs = list(enumerate(raw))
    for key, value in pairs:
        yield (*path, key)
        yield from places(value, (*path, key))


GONE = object()
empties = st.sampled_from([*[GONE] * 10, None, "", [], {}, False])


@st.composite
def lessened(draw: st.DrawFn, raw: Raw) -> object:
    """What is left of it."""
    left: Any = deepcopy(raw)
    for _ in range(draw(st.integers(1, 3))):
        found = list(places(left))
        if not found or draw(st.integers(0, 15)) == 0:
            return draw(st.sampled_from([None, {}, [], "", False]))
        *above, key = draw(st.sampled_from(found))
        holder = left
        for each in above:
            holder = holder[each]
        value = draw(empties)
        if value is GONE:
            del holder[key]
        else:
            holder[key] = value
    return left


@st.composite
def losses(draw: st.DrawFn) -> Lost:
    raw = draw(configurations())
    before = parse_config(raw).unwrap()
    there: dict[str, Observation] = {}
    for name in before.vms:
        power = draw(st.sampled_from([Target.RUNNING] * 4 + [Target.FROZEN, Target.STOPPED]))
        spec = described(before, name)
        assert spec is not None
        there[name] = replace(as_left(power, spec), locked=draw(st.integers(0, 4)) == 0)
    for name in before.gone:
        spec = parse_vm(name, {"template": "debian"}).unwrap()
        there[name] = replace(as_left(Target.RUNNING, spec), locked=draw(st.booleans()))
    for number in range(draw(st.integers(0, 2))):
        there[f"foreign{number}"] = Observation(power=Power.RUNNING, foreign=True)
    return Lost(before, there, draw(lessened(raw)))


def described(config: HostConfig, name: str) -> VMSpec | None:
    if name not in config.vms:
        return None
    return parse_vm(name, config.vms[name], config.profiles).value_or(None)


def assert_nothing_is_taken(lost: Lost, config: HostConfig, steps: tuple[Step, ...]) -> None:
    """From whom nobody named, but for what the description of that VM itself asks for."""
    foreign = {step.vm for step in steps if lost.there.get(step.vm, Observation()).foreign}
    assert len(foreign) <= config.policy.at_most
    if foreign:
        event("a stray is stopped")
        ours = [name for name, have in lost.there.items() if not have.foreign]
        assert 2 * len([name for name in ours if name in config.known]) >= len(ours)
    for name, have in lost.there.items():
        want, own = described(config, name), [step for step in steps if step.vm == name]
        end = state_after(own, have)
        if name in config.gone:
            event("gone, but locked" if have.locked else "gone")
            assert not have.locked or (end.recorded, end.volumes) == (have.recorded, have.volumes)
            continue
        if want is None or want == have.recorded:
            event("not described any more" if want is None else "as described")
            assert not any(isinstance(step.action, TAKES) for step in own) or have.foreign
            assert have.foreign or is_no_lower(have, end)
        else:
            event("described otherwise")
            assert is_no_lower(have, end)
            for step in own:
                if isinstance(step.action, (*TAKES, Repair)):
                    assert step.changes
                    assert all(change.old != change.new for change in step.changes)


def state_after(steps: list[Step], have: Observation) -> Observation:
    for step in steps:
        have = after(step.action, have).unwrap()
    return have


def is_no_lower(have: Observation, end: Observation) -> bool:
    """Whether the VM is on where it was, and still known."""
    was_on, is_on = have.power is not Power.STOPPED, end.power is not Power.STOPPED
    kept = {(each.pool, each.name) for each in have.volumes}
    return (
        is_on >= was_on
        and (end.recorded is not None) >= (have.recorded is not None)
        and kept <= {(each.pool, each.name) for each in end.volumes}
    )


@many
@given(losses())
def test_a_host_whose_configuration_says_less_takes_nothing_away(lost: Lost) -> None:
    config = lost.after
    if config is None:
        event("refused as a whole")
        return
    recorded = Recorded(observations=lost.there, facts=FACTS)
    try:
        made = plan_recorded(wishes({}), config, recorded)
    except Refused:
        event("refused")
        return
    assert_nothing_is_taken(lost, config, made.plan.steps)


@many
@given(losses(), st.sampled_from(["always", "never", "if_needed"]))
def test_leave_to_lose_data_is_for_a_changed_description_only(lost: Lost, restart: str) -> None:
    config = lost.after
    if config is None:
        return
    wish = wishes({"allow_data_loss": True, "restart": restart})
    try:
        made = plan_recorded(wish, config, Recorded(observations=lost.there, facts=FACTS))
    except Refused:
        return
    for step in made.plan.steps:
        if isinstance(step.action, DestroyVolume) and step.vm not in config.gone:
            event("a volume is recreated")
            assert step.changes
            assert described(config, step.vm) != lost.there[step.vm].recorded


@many
@given(losses(), st.sampled_from(NAMES))
def test_one_vm_whose_configuration_says_less_loses_nothing(lost: Lost, name: str) -> None:
    config = lost.after
    if config is None:
        return
    have = lost.there.get(name, Observation())
    try:
        goal = goal_by_name(Goal(name="", target=Target.RUNNING), name, config, lost.there)
    except Refused:
        return
    match plan(goal, have, replace(FACTS, declared=config.known)):
        case Success(made):
            assert_nothing_is_taken(lost, config, made.steps)
        case _:
            pass  # it was refused


@many
@given(losses())
def test_a_start_of_the_host_takes_nothing_away(lost: Lost) -> None:
    match plan_host(
        boot_goals(lost.there), lost.there, replace(FACTS, declared=frozenset(lost.there))
    ):
        case Success(made):
            assert_nothing_is_taken(lost, lost.before, made.steps)
        case _:
            pass  # it was refused


@many
@given(losses(), st.sampled_from(Target), st.sampled_from([None, 0, 1, 2, 3]))
def test_a_wish_for_all_takes_from_as_many_as_may_be(
    lost: Lost, target: Target, at_most: int | None
) -> None:
    """From none at all where less than half of the host is described."""
    config = lost.after
    if config is None:
        return
    wish = Wishes(Goal(name="", target=target), at_most=at_most)
    try:
        made = plan_recorded(wish, config, Recorded(observations=lost.there, facts=FACTS))
    except Refused:
        return
    bound = config.policy.at_most if at_most is None else at_most
    if target not in (Target.RUNNING, Target.DECLARED):  # which look at gone
        assert_bounded(lost.there, config, made.plan, bound)


def assert_bounded(
    there: Mapping[str, Observation], config: HostConfig, made: HostPlan, bound: int
) -> None:
    taken = {
        step.vm
        for step in made.steps
        if isinstance(step.action, TAKES) and not step.changes and not there[step.vm].foreign
    }
    event(f"from {len(taken)}")
    assert len(taken) <= bound
    ours = [name for name, have in there.items() if not have.foreign]
    if 2 * len([name for name in ours if name in config.known]) < len(ours):
        assert not taken


@settings(parent=many, max_examples=500)
@given(situations)
def test_on_any_host_only_so_many_lose_anything_unnamed(situation: Situation) -> None:
    """Whatever state its VMs are in: stuck, half made, with volumes missing."""
    goals = {goal.name: replace(goal, asked=Asked.SWEPT) for goal in situation.goals}
    made = plan_host(goals.values(), situation.there, situation.facts, situation.policy)
    taken = {step.vm for step in made.value_or(HostPlan()).steps if takes_unasked(step)}
    strays = taken - goals.keys()
    assert all(goals[name].target not in AS_DESCRIBED for name in taken - strays)
    assert max(len(strays), len(taken - strays)) <= situation.policy.at_most
    assert not any(situation.there[name].was_described for name in strays)


@settings(parent=many, max_examples=500)
@given(
    situations,
    st.sampled_from(
        [
            lambda spec: replace(spec, power=PowerWish.STOPPED),
            lambda spec: replace(spec, enabled=False),
        ]
    ),
    st.integers(0, 3),
)
def test_a_line_in_every_description_powers_off_only_so_many(
    situation: Situation, says: Callable[[VMSpec], VMSpec], at_most: int
) -> None:
    goals = [
        replace(
            each,
            asked=Asked.SWEPT,
            target=Target.DECLARED,
            spec=each.spec and says(each.spec),
        )
        for each in situation.goals
    ]
    policy = replace(situation.policy, at_most=at_most, strays=())
    made = plan_host(goals, situation.there, situation.facts, policy).value_or(HostPlan())
    off = {step.vm for step in made.steps if isinstance(step.action, (Shutdown, Stop))}
    event(f"{len(off)} are powered off")
    assert len(off) <= at_most


@settings(parent=many, max_examples=2000)
@given(situation_pairs())
def test_no_plan_of_one_vm_takes_what_was_not_asked_for(
    situation: tuple[Goal, Observation],
) -> None:
    goal, have = situation
    made = plan(replace(goal, asked=Asked.SWEPT), have).value_or(None)
    if made is None:
        event("refused")
        return
    assert not any(map(takes_unasked, made.steps))
    named_ = plan(replace(goal, asked=Asked.NAMED), have).unwrap()
    assert made == named_


def takes_unasked(step: Step) -> bool:
    guest = step.reason == "its guest is not configured as described"
    return isinstance(step.action, TAKES) and not step.changes and not guest


@many
@given(losses())
def test_nothing_that_has_no_value_is_a_description(lost: Lost) -> None:
    config = lost.after
    if config is None:
        return
    for name, raw in config.vms.items():
        if has_no_value(raw):
            event("a VM with a key that has no value")
            assert described(config, name) is None


def has_no_value(raw: object) -> bool:
    match raw:
        case dict():
            return any(map(has_no_value, raw.values()))
        case list():
            return any(map(has_no_value, raw))
        case _:
            return raw is None
