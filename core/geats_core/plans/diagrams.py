"""A plan as a picture: what waits for what, for Mermaid and for Graphviz (DOT).

A solid arrow leads to a step that needs another, a dashed one to a step that only comes after it.
"""

from geats_core.planning.action_words import describe
from geats_core.planning.costs import Impact
from geats_core.plans.explain import AnyPlan, numbered

COLOURS = {
    Impact.NONE: "#e8f5e9",
    Impact.LIVE: "#e0f7fa",
    Impact.RESTART: "#fff8e1",
    Impact.DATA_LOSS: "#ffebee",
}


def mermaid(plan: AnyPlan) -> str:
    """A flowchart in Mermaid: a box a step, coloured by its impact."""
    lines = ["flowchart TD"]
    for position, step in numbered(plan):
        text = f"{position}. {describe(step.action, step.vm)}"
        lines.append(f'    s{position}["{_mermaid_text(text)}"]:::{step.impact}')
        lines += [f"    s{earlier + 1} --> s{position}" for earlier in step.needs]
        lines += [f"    s{earlier + 1} -.-> s{position}" for earlier in step.after]
    lines += [f"    classDef {impact} fill:{colour}" for impact, colour in COLOURS.items()]
    return "".join(f"{line}\n" for line in lines)


def _mermaid_text(text: str) -> str:
    """See Mermaid's "entity codes to escape characters"."""
    for character, code in (("#", "#35;"), ('"', "#quot;"), ("<", "#lt;"), (">", "#gt;")):
        text = text.replace(character, code)
    return text


def dot(plan: AnyPlan) -> str:
    """A directed graph in the DOT language of Graphviz."""
    lines = ["digraph plan {", '    node [shape=box, style="rounded,filled"];']
    for position, step in numbered(plan):
        text = f"{position}. {describe(step.action, step.vm)}"
        label = text.replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'    s{position} [label="{label}", fillcolor="{COLOURS[step.impact]}"];')
        lines += [f"    s{earlier + 1} -> s{position};" for earlier in step.needs]
        lines += [f"    s{earlier + 1} -> s{position} [style=dashed];" for earlier in step.after]
    return "".join(f"{line}\n" for line in [*lines, "}"])
