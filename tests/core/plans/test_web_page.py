"""A plan as a page: what it says, and that no name breaks out of its place."""

from dataclasses import replace

from geats_core import DataLoss, Goal, HostPlan, Target, saved
from geats_core.planning.actions import Start
from geats_core.planning.steps import Plan, Step
from geats_core.plans.layout import Arrow, Spot, layout
from geats_core.plans.plan_files import SavedPlan
from geats_core.plans.web_page import svg, web_page
from geats_core.reading.checked import Code, Problem
from tests.core.hosts import at, goals, planned, vm

DB, WEB, OLD = vm("db"), vm("web", after=["db"]), vm("old")


def made() -> SavedPlan:
    """Two VMs are created, one after the other, and one is deprovisioned."""
    there = at(Target.RUNNING, OLD)
    gone = Goal(name="old", target=Target.DEPROVISIONED, data_loss=DataLoss.ALLOWED)
    return saved(planned([*goals(Target.RUNNING, DB, WEB), gone], there), there)


def test_a_page_says_the_whole_first_and_then_every_step_once() -> None:
    told = web_page(made(), "Plan for host-a")

    assert '<p class="summary">2 to create, 1 to destroy</p>' in told
    lines = told.partition("</ul>")[0].splitlines()[-3:]
    assert lines == [
        '<li class="none"><span class="sign">+</span><b>db</b> create, 7 steps</li>',
        '<li class="data_loss"><span class="sign">-</span><b>old</b> deprovision, '
        "DATA LOSS: 1 volume</li>",
        '<li class="none"><span class="sign">+</span><b>web</b> create, 7 steps</li>',
    ]
    count = len(made().plan.steps)
    for number in range(1, count + 1):
        assert told.count(f'<li id="step-{number}" ') == 1
        assert told.count(f'<a href="#step-{number}" ') == 1
    assert told.count("<li id=") == count
    assert '<span class="impact">- data loss</span>' in told


def test_a_page_loads_and_runs_nothing() -> None:
    told = web_page(made(), "Plan")

    assert "default-src 'none'; style-src 'unsafe-inline'" in told
    namespace = 'xmlns="http://www.w3.org/2000/svg"'
    assert "http" not in told.replace(namespace, "").replace("http-equiv", "")
    assert "<script" not in told


def test_what_is_refused_warned_of_and_kept_is_told() -> None:
    plan = replace(made().plan, plans=(Plan(name="mail", by_hand=("lxc.a = <b>",)),))
    refused = {"mail": (Problem("mail", "is <locked>", Code.LOCKED),)}
    told = web_page(replace(made(), plan=plan, refused=refused, warnings=("a & b",)), "Plan")

    for title, line in (
        ("Refused", "mail: is &lt;locked&gt;"),
        ("Warnings", "a &amp; b"),
        ("Stays as it is", "kept in mail, added by hand: lxc.a = &lt;b&gt;"),
    ):
        assert f"<h2>{title}</h2>\n<ul>\n<li>{line}</li>\n</ul>" in told


def test_an_empty_plan_says_so() -> None:
    told = web_page(SavedPlan(plan=HostPlan(), observations={}), "Plan <of> a")

    assert "<title>Plan &lt;of&gt; a</title>" in told
    assert '<p class="summary">no VM is affected: nothing to do</p>' in told
    assert "<svg" not in told


def test_a_plan_of_refusals_only_counts_them() -> None:
    refused = {"mail": (Problem("", "is locked", Code.LOCKED),)}
    told = web_page(SavedPlan(plan=HostPlan(), observations={}, refused=refused), "Plan")

    assert '<p class="summary">1 refused</p>' in told
    assert "<li>mail: is locked</li>" in told


def test_steps_stand_in_lanes_to_the_right_of_what_they_wait_for() -> None:
    steps = (
        Step(vm="", action=Start(), reason="a"),
        Step(vm="a", action=Start(), reason="a", needs=(0,)),
        Step(vm="a", action=Start(), reason="a", after=(0,)),
        Step(vm="b", action=Start(), reason="a", needs=(2,)),
    )
    found = layout(steps)

    assert found.lanes == ("", "a", "b")
    assert found.spots == (Spot(0, 0), Spot(1, 1), Spot(1, 2), Spot(2, 3))
    assert found.arrows == (
        Arrow(0, 1, needed=True),
        Arrow(0, 2, needed=False),
        Arrow(2, 3, needed=True),
    )
    assert (found.columns, layout(()).columns) == (4, 0)


def test_arrows_are_solid_or_dashed_and_go_below_what_is_between() -> None:
    steps = (
        Step(vm="", action=Start(), reason="a"),
        Step(vm="", action=Start(), reason="a", after=(0,)),
        Step(vm="", action=Start(), reason="a", needs=(0,)),
    )
    arrows = [line for line in svg(steps).splitlines() if "marker-end" in line]

    assert arrows == [
        '<path class="after" d="M136 22C146 22 136 22 156 22" marker-end="url(#head)"/>',
        '<path d="M116 34C116 47 236 47 236 34" marker-end="url(#head)"/>',
    ]
    assert ">this host</text>" in svg(steps)
