"""A plan at a glance: a line a VM, and one for the host."""

from dataclasses import replace

import pytest

from geats_core import (
    DataLoss,
    Goal,
    HostFacts,
    HostPlan,
    Problem,
    Target,
    VMSpec,
    saved,
)
from geats_core.planning.actions import (
    Action,
    DeleteSnapshot,
    DestroyVolume,
    ForgetVolume,
    Hold,
    RollbackVolume,
    Unfreeze,
    UpgradeRegistry,
)
from geats_core.planning.costs import Impact
from geats_core.planning.spec_changes import Change
from geats_core.planning.steps import Plan, Step
from geats_core.planning.verbs import VERBS, goal_of
from geats_core.plans.field_changes import differences_of
from geats_core.plans.glance import Line, changes_in_brief, glance, in_lines, in_total
from geats_core.plans.plan_files import of_verb
from tests.core.hosts import LXC, Hosts, at, nic, planned, vm

DATA: dict[str, object] = {
    "volumes": [{"name": "root"}, {"name": "data", "mount": "/srv", "size": "10GiB"}]
}
FACTS = HostFacts(drivers=LXC)

SSH_KEY = f"AAAA{'Ab0/' * 90}gh+/1234"


def seen(plan: HostPlan, there: Hosts) -> list[str]:
    made = saved(plan, there)
    lines = glance(made)
    return [*map(words, lines), in_total(made, lines)]


def words(line: Line) -> str:
    return f"{line.sign} {line.name}  {line.words}"


def to(target: Target, spec: VMSpec, there: Hosts) -> list[str]:
    goal = Goal(name=spec.name, target=target, spec=spec, data_loss=DataLoss.ALLOWED)
    return seen(planned([goal], there, FACTS), there)


def asked(verb: str, there: Hosts) -> list[str]:
    ((name, have),) = there.items()
    goal = goal_of(VERBS[verb], name, have.recorded, have).unwrap()
    return seen(planned([replace(goal, data_loss=DataLoss.ALLOWED)], there, FACTS), there)


RUNNING = at(Target.RUNNING, vm("web", **DATA))
OFF = at(Target.PROVISIONED, vm("web", **DATA))


def test_a_new_vm_is_created() -> None:
    assert to(Target.RUNNING, vm("web"), {}) == ["+ web  create, 7 steps", "1 to create"]


def test_only_the_part_that_differs_is_named() -> None:
    old = vm("web", nics=[*nic("10.0.0.5"), {"name": "eth1", "bridge": "br1"}])
    new = vm("web", nics=[*nic("10.0.0.6"), {"name": "eth1", "bridge": "br1"}])
    assert to(Target.RUNNING, new, at(Target.RUNNING, old)) == [
        "! web  nics.eth0.addresses 10.0.0.5/24 → 10.0.0.6/24, restart",
        "1 to restart",
    ]


def test_a_live_change_says_so() -> None:
    old, new = vm("web", memory="512MiB"), vm("web", memory="1GiB")
    assert to(Target.RUNNING, new, at(Target.RUNNING, old)) == [
        "~ web  memory 512MiB → 1GiB, live",
        "1 live",
    ]


def test_of_many_fields_the_first_are_named() -> None:
    new = vm("web", memory="1GiB", cpus=2, processes=99, hostname="other", **DATA)
    (line, _) = to(Target.PROVISIONED, new, OFF)
    assert line == (
        "~ web  hostname web → other, memory (not set) → 1GiB, cpus (not set) → 2, 1 more field"
    )


@pytest.mark.parametrize(
    ("verb", "there", "lines"),
    [
        ("start", OFF, ["~ web  start", "1 to start"]),
        ("shutdown", RUNNING, ["! web  power off", "1 to power off"]),
        ("reboot", RUNNING, ["! web  restart", "1 to restart"]),
        ("freeze", RUNNING, ["~ web  freeze, live", "1 live"]),
        ("lock", OFF, ["~ web  lock", "1 to change"]),
        ("undefine", OFF, ["~ web  undefine", "1 to destroy"]),
        (
            "deprovision",
            RUNNING,
            ["- web  deprovision, DATA LOSS: 2 volumes, 10GiB", "1 to destroy"],
        ),
        (
            "reinit",
            OFF,
            ["- web  add a volume, install the template, DATA LOSS: 1 volume", "1 with data loss"],
        ),
    ],
)
def test_each_verb_at_a_glance(verb: str, there: Hosts, lines: list[str]) -> None:
    assert asked(verb, there) == lines


def test_what_is_lost_is_counted_by_kind() -> None:
    actions: list[Action] = [
        DestroyVolume("default", "gone"),
        DestroyVolume("default", "data"),
        ForgetVolume("default", "lost"),
        ForgetVolume("default", "more"),
        RollbackVolume("default", "root", "monday"),
        DeleteSnapshot("default", "root", "monday"),
    ]
    steps = tuple(Step(vm="web", action=each, reason="x") for each in actions)
    lines = seen(HostPlan(steps=steps), OFF)
    assert lines == [
        "- web  6 steps, DATA LOSS: 2 volumes, 2 missing volumes, 1 rolled back volume, "
        "1 snapshot, 10GiB",
        "1 with data loss",
    ]


def test_a_volume_that_nobody_wants_any_more_is_counted() -> None:
    assert (
        to(Target.RUNNING, vm("web"), OFF)[-1] == "1 to start; 1 volume no longer wanted (web/data)"
    )


def test_what_is_about_the_host_comes_first_and_counts_as_no_vm() -> None:
    step = Step(vm="", action=UpgradeRegistry(2, 3), reason="it is old")
    assert seen(HostPlan(steps=(step,)), {}) == [
        "~ this host  upgrade the registry from schema 2 to 3, and keep a copy of it",
        "",
    ]


def test_vms_that_are_refused_are_counted() -> None:
    plan = planned([Goal(name="web", target=Target.RUNNING, spec=vm("web"))], {})
    made = replace(saved(plan, {}), refused={"app": (Problem("app.memory", "is wrong"),)})
    lines = glance(made)
    assert [*map(words, lines), in_total(made, lines)] == [
        "+ web  create, 7 steps",
        "1 to create, 1 refused",
    ]


def test_a_vm_that_is_frozen_for_a_moment_says_that_alone() -> None:
    steps = tuple(Step(vm="web", action=each, reason="x") for each in (Hold(), Unfreeze()))
    assert seen(HostPlan(steps=steps), RUNNING)[0] == "~ web  freeze for a moment, live"


def test_a_whole_plan_in_lines_is_as_wide_as_its_longest_name() -> None:
    both = [Goal(name=n, target=Target.RUNNING, spec=vm(n)) for n in ("web", "mailer")]
    made = saved(planned(both, {}), {}, warnings=("the disk is nearly full",))
    assert in_lines(made) == [
        "+ mailer  create, 7 steps",
        "+ web     create, 7 steps",
        "2 to create",
        "the disk is nearly full",
    ]
    there = {name: at(Target.RUNNING, vm(name))[name] for name in ("web", "mailer")}
    assert in_lines(saved(planned(both, there), there)) == [
        "every VM is as described: nothing to do"
    ]
    assert in_lines(saved(planned(both[:1], there), there)) == [
        "web is as described: nothing to do",
        "stray: mailer is running, its description is gone (policy: report)",
    ]


def test_the_plan_of_a_verb_says_nothing_of_what_is_declared() -> None:
    there = at(Target.RUNNING, vm("web"))
    made = of_verb(saved(HostPlan(plans=(Plan(name="web"),)), there))
    assert in_lines(made) == ["web is so already: nothing to do"]
    absent = replace(made, warnings=("web is not there: nothing to do",))
    assert in_lines(absent) == ["web is not there: nothing to do"]


def test_changes_in_brief_are_the_parts_that_differ_or_else_the_line() -> None:
    old, new = vm("web", nics=nic("10.0.0.5")), vm("web", nics=nic("10.0.0.6"))
    goals = [Goal(name=each.name, target=Target.RUNNING, spec=each) for each in (new, vm("mail"))]
    made = saved(planned(goals, at(Target.RUNNING, old)), at(Target.RUNNING, old))
    upgrade = Step(vm="", action=UpgradeRegistry(2, 3), reason="it is old")
    whole = replace(made, plan=replace(made.plan, steps=(upgrade, upgrade, *made.plan.steps)))
    upgraded = "upgrade the registry from schema 2 to 3, and keep a copy of it"
    assert changes_in_brief(whole) == {
        "this host": f"{upgraded}; {upgraded}",
        "mail": "create, 7 steps",
        "web": {
            "nics.eth0.addresses": {"old": ["10.0.0.5/24"], "new": ["10.0.0.6/24"]},
            "steps": "define, shutdown, configure_guest, start",
        },
    }
    assert changes_in_brief(replace(made, plan=replace(made.plan, steps=()))) == {}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (None, 5, ["f (not set) → 5"]),
        (5, None, ["f 5 → (not set)"]),
        (["a", "b"], ["a", "c"], ["f b → c"]),
        (["a"], ["a", "c"], ["f added c"]),
        (["a", "b"], ["b", "a"], ["f a, b → b, a"]),
        (["a"], [], ["f removed a"]),
        ([], [{"name": "e", "mac": "x"}], ["f.e added (e x)"]),
        ([{"name": "e"}], [], ["f.e removed"]),
        (None, {"ada": {"sudo": True}, "bob": {}}, ["f added ada, bob"]),
        (None, {"owner": "ada", "role": "web"}, ["f added {owner: ada, role: web}"]),
        ({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}, ["f.b 2 → 3", "f.c (not set) → 4"]),
        (None, ["a"], ["f (not set) → a"]),
        (None, [f"ssh-rsa {SSH_KEY} ada@x"], ["f (not set) → ssh-rsa …gh+/1234 ada@x"]),
        (None, "/AAAA/AAAA", ["f (not set) → /AAAA/AAAA"]),
        ([{"x": 1}], [{"x": 2}], ["f 1 → 2"]),
    ],
)
def test_the_parts_that_differ(old: object, new: object, said: list[str]) -> None:
    assert list(map(str, differences_of(Change("f", old, new, Impact.NONE)))) == said
