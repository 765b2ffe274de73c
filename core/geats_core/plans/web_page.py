"""A plan as one page of HTML, to attach to a change request: it loads nothing and runs nothing.

What a browser may do with the page is said in it (Content-Security-Policy): to show its style. Each
text from outside is escaped in one place, ``_tag``.
"""

from collections.abc import Iterable, Mapping
from html import escape

from geats_core.planning.action_words import describe
from geats_core.planning.costs import Impact
from geats_core.planning.steps import Step
from geats_core.plans.explain import (
    THIS_HOST,
    notes,
    nothing_to_do,
    numbered,
    single,
    waits_for,
)
from geats_core.plans.glance import Line, Sign, glance, in_total, refused_lines
from geats_core.plans.layout import Arrow, Layout, Spot, layout
from geats_core.plans.plan_files import SavedPlan

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
STYLE = """
:root { color-scheme: light dark; --back: #fff; --text: #1c2024; --dim: #60646c; --line: #d9d9e0;
  --none: #218358; --live: #0d74ce; --restart: #ab6400; --data_loss: #ce2c31; }
@media (prefers-color-scheme: dark) { :root { --back: #111113; --text: #edeef0; --dim: #b0b4ba;
  --line: #3a3f47; --none: #3dd68c; --live: #70b8ff; --restart: #ffca16; --data_loss: #ff9592; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 60rem; background: var(--back); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
ul, ol { padding: 0; list-style: none; }
li { padding: .4rem .6rem; border-left: .25rem solid var(--of, var(--line)); margin-bottom: .3rem; }
li:target { outline: 2px solid var(--of); }
.none { --of: var(--none); } .live { --of: var(--live); }
.restart { --of: var(--restart); } .data_loss { --of: var(--data_loss); }
.sign, .impact { color: var(--of); font-weight: 700; }
.sign, .number { display: inline-block; min-width: 1.5rem; }
.number { margin-right: .4rem; }
.number { color: var(--dim); } .why { color: var(--dim); display: block; font-size: .9rem; }
.graph { overflow-x: auto; border: 1px solid var(--line); border-radius: .5rem; }
.graph:focus-visible, a:focus-visible { outline: 2px solid var(--live); }
svg { display: block; font: 12px system-ui, sans-serif; } svg text { fill: var(--text); }
svg rect { fill: var(--back); stroke: var(--of); stroke-width: 2; }
svg path { fill: none; stroke: var(--dim); stroke-width: 1.2; }
svg .after { stroke-dasharray: 4 3; }
svg .lane { stroke: var(--line); } svg #head path { fill: var(--dim); stroke: none; }
@media print { .graph { overflow: visible; } li { break-inside: avoid; } }
"""
SIGNS: Mapping[Impact, str] = {  # of steps, beside their colours
    Impact.NONE: "",
    Impact.LIVE: Sign.CHANGE,
    Impact.RESTART: Sign.RESTART,
    Impact.DATA_LOSS: Sign.DATA_LOSS,
}
COLUMN, LANE, BOX, HIGH, MARGIN = 60, 44, 40, 24, 12  # pixels
LETTER = 8  # at most, of the names of lanes


def web_page(made: SavedPlan, title: str) -> str:
    """The whole page: what happens to each VM, what waits for what, and every step once."""
    lines = glance(made)
    body = [
        _tag("h1", title),
        _tag("p", _summary(made, lines), "summary"),
        _list(map(_line, lines)),
        *_said("Refused", refused_lines(made)),
        *_said("Warnings", made.warnings),
        *_said("Stays as it is", notes(made.plan)),
        *_steps(made),
    ]
    head = [
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        _tag("title", title),
        f"<style>{STYLE}</style>",
    ]
    page = ["<!doctype html>", '<html lang="en">', *head, "<body>", *body, "</body>", "</html>"]
    return "".join(f"{line}\n" for line in page)


def _tag(name: str, text: object, kind: str = "", more: str = "") -> str:
    """An element with a *text*, which is escaped; *kind* is its class."""
    of_kind = f' class="{kind}"' if kind else ""
    return f"<{name}{of_kind}{more}>{escape(str(text))}</{name}>"


def _list(items: Iterable[str], name: str = "ul") -> str:
    return f"<{name}>\n" + "".join(f"{each}\n" for each in items) + f"</{name}>"


def _said(title: str, lines: Iterable[str]) -> Iterable[str]:
    """A list under a title, if there is something to say."""
    items = [_tag("li", line) for line in lines]
    return (_tag("h2", title), _list(items)) if items else ()


def _summary(made: SavedPlan, lines: Iterable[Line]) -> str:
    if made.plan.is_empty and not made.refused:
        return nothing_to_do(single(made.plan))
    return in_total(made, lines)


def _line(line: Line) -> str:
    words = f"{_tag('span', line.sign, 'sign')}{_tag('b', line.name)} {escape(line.words)}"
    return f'<li class="{line.impact}">{words}</li>'


def _steps(made: SavedPlan) -> Iterable[str]:
    if made.plan.is_empty:
        return
    yield _tag("h2", "What waits for what")
    yield f'<div class="graph" tabindex="0">\n{svg(made.plan.steps)}</div>'
    yield _tag("p", "Solid arrow: needs the step before. Dashed arrow: only comes after it.")
    yield _tag("h2", "Steps")
    yield _list((_step(number, step) for number, step in numbered(made.plan)), "ol")


def _step(number: int, step: Step) -> str:
    waits = waits_for(step)
    why = f"because {step.reason}{f'; {waits}' if waits else ''}"
    words = [
        _tag("span", number, "number"),
        escape(describe(step.action, step.vm)),
        "" if step.impact is Impact.NONE else f" {_tag('span', _cost(step), 'impact')}",
        _tag("span", why, "why"),
    ]
    return f'<li id="step-{number}" class="{step.impact}">{"".join(words)}</li>'


def _cost(step: Step) -> str:
    return f"{SIGNS[step.impact]} {str(step.impact).replace('_', ' ')}"


def svg(steps: tuple[Step, ...]) -> str:
    """The picture: a lane for each VM, a box for each step, with its number and the sign of its
    impact. For use inside a page with the style of this one."""
    placed = layout(steps)
    left = MARGIN + LETTER * max((len(name or THIS_HOST) for name in placed.lanes), default=0)
    width, height = left + COLUMN * placed.columns + MARGIN, LANE * len(placed.lanes)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" role="img">',
        _tag("title", "What waits for what: a lane for each VM, from left to right"),
        '<marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7"'
        ' orient="auto"><path d="M0 0 8 4 0 8z"/></marker>',
        *(_lane(at, name, width) for at, name in enumerate(placed.lanes)),
        *(_arrow(each, placed, left) for each in placed.arrows),
        *(
            _box(number, step, spot, left)
            for (number, step), spot in zip(enumerate(steps, start=1), placed.spots, strict=True)
        ),
        "</svg>",
    ]
    return "".join(f"{part}\n" for part in parts)


def _lane(at: int, name: str, width: int) -> str:
    border = f'<path class="lane" d="M0 {LANE * at}H{width}"/>' if at else ""
    place = f' x="{MARGIN}" y="{_middle(at)}" dominant-baseline="central"'
    return border + _tag("text", name or THIS_HOST, more=place)


def _box(number: int, step: Step, spot: Spot, left: int) -> str:
    x, y = left + COLUMN * spot.column + MARGIN, _middle(spot.lane)
    where = f'x="{x}" y="{y - HIGH // 2}" width="{BOX}" height="{HIGH}" rx="5"'
    words = f' x="{x + BOX // 2}" y="{y}" text-anchor="middle" dominant-baseline="central"'
    return (
        f'<a href="#step-{number}" class="{step.impact}">'
        f"{_tag('title', describe(step.action, step.vm))}<rect {where}/>"
        f"{_tag('text', f'{number}{SIGNS[step.impact]}', more=words)}</a>"
    )


def _arrow(arrow: Arrow, placed: Layout, left: int) -> str:
    start, end = placed.spots[arrow.start], placed.spots[arrow.end]
    x, to = (left + COLUMN * each.column + MARGIN for each in (start, end))
    y, to_y = _middle(start.lane), _middle(end.lane)
    gap = COLUMN - BOX
    if start.lane == end.lane and end.column > start.column + 1:  # below the boxes between them
        x, to, y, low = x + BOX // 2, to + BOX // 2, y + HIGH // 2, y + HIGH // 2 + gap * 2 // 3
        line = f"M{x} {y}C{x} {low} {to} {low} {to} {y}"
    else:
        bend = x + BOX + gap // 2
        line = f"M{x + BOX} {y}C{bend} {y} {to - gap} {to_y} {to} {to_y}"
    kind = "" if arrow.needed else ' class="after"'
    return f'<path{kind} d="{line}" marker-end="url(#head)"/>'


def _middle(lane: int) -> int:
    return LANE * lane + LANE // 2
