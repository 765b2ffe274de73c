"""The picture of a run of the benchmarks: a bar for each ratio to the same done by hand.

It is drawn from what ``script/bench`` has printed, which is kept in ``explanation/benchmarks.txt``.
"""

import re
from collections.abc import Iterator, Sequence
from html import escape
from math import log
from typing import NamedTuple

HEADING = re.compile(r"(.*), in ms; medians of \d+ runs.*")
RATIO = re.compile(r"× ([0-9.]+)")
STARTS = re.compile(r"(geats \S+) +\d+ ms of the processor \(× ([0-9.]+)\)")
COMMAND, ALONE, AT_ONCE = "The start of a command", "One VM", "Ten VMs from one template to running"
LEFT, RIGHT, TOP, LINE, BAR = 330, 690, 40, 26, 14
SMALLEST, LARGEST = 0.5, 64.0
TICKS = (0.5, 1, 2, 4, 8, 16, 32, 64)


class Measured(NamedTuple):
    """What was done, and how many times as long geats took as the tools that it uses."""

    what: str
    ratio: float


def measured(text: str) -> list[Measured]:
    """The ratios in what the benchmarks printed, in its order."""
    return [each for lines in _tables(text) for each in _of_table(*lines)]


def _tables(text: str) -> Iterator[tuple[str, Sequence[str]]]:
    heading, rows = "", list[str]()
    for line in [*text.splitlines(), ""]:
        if found := HEADING.fullmatch(line):
            heading = found[1]
        elif line.startswith("|"):
            rows.append(line)
        elif started := STARTS.match(line):
            yield COMMAND, [f"| {started[1]}, beside `python -c pass` | × {started[2]} |"]
        elif rows:
            yield heading, rows[2:]
            heading, rows = "", []


def _of_table(heading: str, rows: Sequence[str]) -> Iterator[Measured]:
    for row in rows:
        name, *cells = (cell.strip() for cell in row.strip("|").split("|"))
        ratios = [RATIO.search(cell) for cell in cells]
        if heading == ALONE:
            synced = re.search(r"and ([0-9.]+)\)", cells[1])
            if synced:
                yield Measured(f"next VM on {name}", float(synced[1]))
        elif heading == AT_ONCE:
            for word, found in zip(("in process", "`geats apply`"), ratios[1:3], strict=True):
                if found:
                    yield Measured(f"ten VMs on {name}, {word}", float(found[1]))
        elif ratios[-1]:
            what = name if heading == COMMAND else f"{name} of {heading or 'QEMU'}"
            yield Measured(what, float(ratios[-1][1]))


def picture(text: str) -> str:
    """An SVG, in which one line is what takes as long by hand."""
    rows = measured(text)
    bottom = TOP + LINE * len(rows)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 {bottom + 30}"'
        ' font-family="sans-serif" font-size="13" role="img">',
        "<title>How many times as long as by hand</title>",
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="18" fill="#333333">times as long as by hand (less is better)</text>',
        *(_tick(tick, bottom) for tick in TICKS),
        *(_bar(TOP + LINE * number, each) for number, each in enumerate(rows)),
        "</svg>\n",
    ]
    return "\n".join(lines)


def _at(ratio: float) -> int:
    """How far to the right; each tick is twice the one before."""
    part = log(min(max(ratio, SMALLEST), LARGEST) / SMALLEST) / log(LARGEST / SMALLEST)
    return round(LEFT + part * (RIGHT - LEFT))


def _tick(ratio: float, bottom: int) -> str:
    x, colour = _at(ratio), "#333333" if ratio == 1 else "#dddddd"
    return (
        f'<line x1="{x}" y1="{TOP - 8}" x2="{x}" y2="{bottom}" stroke="{colour}"/>'
        f'<text x="{x}" y="{bottom + 18}" fill="#666666" text-anchor="middle">{ratio:g}</text>'
    )


def _bar(y: int, each: Measured) -> str:
    start, end = sorted((_at(1), _at(each.ratio)))
    colour = "#2a7f3f" if each.ratio <= 1 else "#3465a4"
    what = escape(each.what.replace("`", ""))
    return (
        f'<text x="{LEFT - 12}" y="{y + BAR - 2}" fill="#333333" text-anchor="end">{what}</text>'
        f'<rect x="{start}" y="{y}" width="{max(end - start, 1)}" height="{BAR}" fill="{colour}"/>'
        f'<text x="{max(end, _at(1)) + 6}" y="{y + BAR - 2}" fill="#333333">'
        f"× {each.ratio:g}</text>"
    )
