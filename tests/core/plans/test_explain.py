"""A plan in words, and as plain data."""

from dataclasses import replace
from typing import Any, get_args

import pytest
from returns.result import Success

from geats_core import (
    Action,
    Goal,
    HostFacts,
    HostPlan,
    Observation,
    Plan,
    Power,
    Restart,
    Stray,
    Strays,
    Target,
    explain,
    halt_goals,
    host_plan_to_plain,
    parse_vm,
    plan,
    plan_to_plain,
    table,
    why,
)
from geats_core.plans.codec import names_of
from geats_core.plans.explain import notes
from tests.core.hosts import LXC, at, goals, nic, planned, vm

OLD = vm("web", nics=nic("10.0.0.2", mac="02:00:00:00:00:01"), after=["db"])
NEW = vm("web", nics=nic("10.0.0.3", mac="02:00:00:00:00:01"), after=["db"])
DB = vm("db", nics=nic("10.0.0.3"))
NICS = (
    "nics changed [eth0 br0 02:00:00:00:00:01 10.0.0.2/24] → "
    "[eth0 br0 02:00:00:00:00:01 10.0.0.3/24]"
)


def moved() -> HostPlan:
    """web takes the address of db, which stops."""
    there = at(Target.RUNNING, DB, OLD)
    return planned([*goals(Target.RUNNING, NEW), Goal(name="db", target=Target.OFF)], there)


def test_a_host_plan_as_text_says_what_each_step_waits_for() -> None:
    assert explain(moved()) == (
        f"1. define web because {NICS} (impact: none)\n"
        f"2. shut down web (power off after 60 s) because {NICS} (impact: restart), needs 1\n"
        "3. configure the guest on volume web/root because its files in the guest are not as "
        "described (impact: none), needs 2\n"
        "4. shut down db (power off after 60 s) because db should be off (impact: restart), "
        "after 2\n"
        "5. start web because web should be running (impact: none), needs 2, 4, after 3"
    )


def test_a_plan_as_a_table() -> None:
    assert table(moved()) == (
        "| # | step | because | impact | waits for |\n"
        "| --- | --- | --- | --- | --- |\n"
        f"| 1 | define web | {NICS} | none | – |\n"
        f"| 2 | shut down web (power off after 60 s) | {NICS} | restart | needs 1 |\n"
        "| 3 | configure the guest on volume web/root | its files in the guest are not as "
        "described | none | needs 2 |\n"
        "| 4 | shut down db (power off after 60 s) | db should be off | restart | after 2 |\n"
        "| 5 | start web | web should be running | none | needs 2, 4, after 3 |\n"
    )


def test_no_cell_breaks_its_table() -> None:
    step = replace(moved().steps[0], reason="a|b\\|c")

    assert table(Plan(name="web", steps=(step,))).splitlines()[2] == (
        "| 1 | define web | a\\|b\\\\\\|c | none | – |"
    )


def test_why_a_vm_restarts() -> None:
    assert why(moved(), "Restart web") == Success(
        "step 2 of 5: shut down web (power off after 60 s)\n"
        f"  because {NICS}\n"
        f"  {NICS} (impact of this change: restart)\n"
        "  impact: restart\n"
        "  needs step 1: define web\n"
        "  is needed by step 3: configure the guest on volume web/root\n"
        "  comes before step 4: shut down db (power off after 60 s)\n"
        "  is needed by step 5: start web"
    )


def test_why_tells_of_every_step_that_is_meant() -> None:
    told = why(moved(), "restart").unwrap()

    assert [line.partition(":")[0] for line in told.split("\n\n")] == [
        "step 2 of 5",
        "step 4 of 5",
    ]
    assert why(moved(), "start web").unwrap() == (
        "step 5 of 5: start web\n"
        "  because web should be running\n"
        "  impact: none\n"
        "  needs step 2: shut down web (power off after 60 s)\n"
        "  needs step 4: shut down db (power off after 60 s)\n"
        "  comes after step 3: configure the guest on volume web/root"
    )


def test_why_names_the_steps_that_there_are() -> None:
    there = at(Target.RUNNING, DB)
    off = planned(halt_goals(there), there)
    words = "(step 1: shut down db (power off after 60 s))"

    for question in ("restart app", ""):
        assert [str(each) for each in why(off, question).failure()] == [
            f"question: no step is named by {question!r} {words}"
        ]
    assert [each.message for each in why(HostPlan(), "restart").failure()] == [
        "no step is named by 'restart' (no VM is affected: nothing to do)"
    ]
    many = replace(off, steps=off.steps * 22)
    (refused,) = why(many, "restart app").failure()
    assert refused.message.endswith("; step 20: shut down db (power off after 60 s); and 2 more)")


def test_what_stays_as_it_is_is_told_below() -> None:
    there = at(Target.RUNNING, OLD, DB)
    there["web"] = replace(there["web"], by_hand=("lxc.tty.max = 2",))
    goal = Goal(name="web", target=Target.RUNNING, spec=OLD, restart=Restart.NEVER)
    stray = Stray(name="db", power=Power.RUNNING, defined=True, policy=Strays.REPORT)
    told = [
        "kept in web, added by hand: lxc.tty.max = 2",
        "stray: db is running, its description is gone (policy: report)",
    ]

    made = planned([goal], there)
    assert explain(made).splitlines() == notes(made) == told
    pending = replace(goal, spec=vm("web", privileged=True, nics=nic("10.0.0.2"), after=["db"]))
    alone = plan(pending, replace(there["web"], by_hand=())).unwrap()
    assert notes(alone)[0].startswith("pending until web restarts: ")
    foreign = HostPlan(strays=(replace(stray, defined=False),))
    assert explain(foreign) == "stray: db is running, it was never described (policy: report)"


def test_an_empty_host_plan_says_so() -> None:
    assert explain(HostPlan()) == "no VM is affected: nothing to do"
    both = HostPlan(plans=(Plan(name="db"), Plan(name="web")))
    assert explain(both) == "every VM is as described: nothing to do"
    assert explain(Plan(name="web")) == "web is as described: nothing to do"


def test_a_host_plan_is_plain_data() -> None:
    there = at(Target.RUNNING, DB, OLD)
    made = planned([Goal(name="db", target=Target.OFF)], there)
    step = {
        "do": "Shutdown",
        "timeout_s": 60,
        "then": "off",
        "vm": "db",
        "text": "shut down db (power off after 60 s)",
        "reason": "db should be off",
        "impact": "restart",
        "changes": {},
        "needs": [],
        "after": [],
    }

    assert host_plan_to_plain(made) == {
        "impact": "restart",
        "steps": [step],
        "vms": {
            "db": {
                "name": "db",
                "impact": "restart",
                "steps": [step],
                "changes": {},
                "pending": {},
                "by_hand": [],
                "wins": {},
            }
        },
        "strays": {
            "web": {"power": "running", "defined": True, "policy": "report", "left_alone": ""}
        },
    }


def test_a_plan_is_plain_data() -> None:
    old, new = (
        parse_vm("web", {"template": "debian", "memory": size}).unwrap()
        for size in ("1KiB", "2KiB")
    )
    have = Observation(recorded=old, defined=old)
    planned = plan(Goal(name="web", target=Target.DEFINED, spec=new), have, HostFacts(drivers=LXC))

    assert planned.map(plan_to_plain) == Success(
        {
            "name": "web",
            "impact": "none",
            "steps": [
                {
                    "do": "Define",
                    "keep": [],
                    "copy_of": "",
                    "then": "off",
                    "vm": "web",
                    "text": "define web",
                    "reason": "memory changed 1KiB → 2KiB",
                    "impact": "none",
                    "changes": {"memory": {"old": "1KiB", "new": "2KiB", "impact": "live"}},
                    "needs": [],
                    "after": [],
                }
            ],
            "changes": {"memory": {"old": "1KiB", "new": "2KiB"}},
            "pending": {},
            "by_hand": [],
            "wins": {},
        }
    )


@pytest.mark.parametrize("kind", get_args(Action))
def test_no_part_of_an_action_is_called_as_a_part_of_its_step(kind: Any) -> None:
    of_step = {"do", "vm", "text", "reason", "impact", "changes", "needs", "after"}
    assert of_step & set(names_of(kind)) == set()
