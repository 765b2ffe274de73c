"""Plans as pictures."""

from dataclasses import replace

from geats_core import Goal, HostPlan, Plan, Target, dot, halt_goals, mermaid, plan
from geats_core.planning.actions import Start
from geats_core.planning.costs import Impact
from geats_core.planning.steps import Step
from geats_core.plans.diagrams import COLOURS
from tests.core.hosts import at, goals, planned, vm

DB, WEB = vm("db"), vm("web", after=["db"])


def halt() -> HostPlan:
    there = at(Target.RUNNING, DB, WEB)
    return planned(halt_goals(there), there)


def test_a_plan_is_a_flowchart_for_mermaid() -> None:
    assert mermaid(halt()) == (
        "flowchart TD\n"
        '    s1["1. shut down web (power off after 60 s)"]:::restart\n'
        '    s2["2. shut down db (power off after 60 s)"]:::restart\n'
        "    s1 -.-> s2\n"
        "    classDef none fill:#e8f5e9\n"
        "    classDef live fill:#e0f7fa\n"
        "    classDef restart fill:#fff8e1\n"
        "    classDef data_loss fill:#ffebee\n"
    )


def test_a_plan_is_a_graph_for_dot() -> None:
    assert dot(halt()) == (
        "digraph plan {\n"
        '    node [shape=box, style="rounded,filled"];\n'
        '    s1 [label="1. shut down web (power off after 60 s)", fillcolor="#fff8e1"];\n'
        '    s2 [label="2. shut down db (power off after 60 s)", fillcolor="#fff8e1"];\n'
        "    s1 -> s2 [style=dashed];\n"
        "}\n"
    )


def test_the_plan_of_one_vm_is_a_picture_too() -> None:
    made = plan(Goal(name="web", target=Target.OFF), at(Target.RUNNING, WEB)["web"]).unwrap()

    assert mermaid(made).splitlines()[1] == (
        '    s1["1. shut down web (power off after 60 s)"]:::restart'
    )


def test_what_a_step_needs_has_a_solid_arrow() -> None:
    there = at(Target.STOPPED, DB, WEB)
    made = planned(goals(Target.RUNNING, WEB, DB), there)

    assert "    s1 --> s2" in mermaid(made).splitlines()
    assert "    s1 -> s2;" in dot(made).splitlines()


def test_an_empty_plan_is_an_empty_picture() -> None:
    assert [line for line in mermaid(HostPlan()).splitlines() if "classDef" not in line] == [
        "flowchart TD"
    ]
    assert dot(HostPlan()).splitlines()[-1] == "}"


def test_no_name_breaks_out_of_its_label() -> None:
    step = Step(vm='a"]\\<b>#1', action=Start(), reason="a test")
    made = replace(Plan(name="a"), steps=(step,))

    assert mermaid(made).splitlines()[1] == ('    s1["1. start a#quot;]\\#lt;b#gt;#35;1"]:::none')
    assert '[label="1. start a\\"]\\\\<b>#1", ' in dot(made)


def test_every_impact_has_a_colour_of_its_own() -> None:
    assert COLOURS.keys() == set(Impact)
    assert len(set(COLOURS.values())) == len(Impact)
