"""The picture of a run of the benchmarks has a bar for each ratio that they print."""

import runpy
from pathlib import Path
from xml.etree import ElementTree

SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "docs/benchmark_picture.py"))
RUN = """\
One VM, in ms; medians of 3 runs, and geats beside the other two, pair by pair

| pool | first VM | next VM | by hand | and synced | destroy | by hand | ten VMs take |
|---|---|---|---|---|---|---|---|
| btrfs | 792 | 123 (× 18.0 and 8.4) | 6 | 13 | 61 (× 34.2) | 2 | 142 MiB |

Ten VMs from one template to running, in ms; medians of 3 runs

| pool | by hand, in parallel | geats, in process | `geats apply` | LXD, ten clients |
|---|---|---|---|---|
| btrfs | 242 | 1075 (× 4.6) | 2007 (× 8.3) | 5508 (× 2.0 of `geats apply`) |
python -c pass           17 ms of the processor (× 1.0)
geats list              111 ms of the processor (× 6.5)
1024 MiB, in ms; medians of 2 runs

| what | by hand | geats | ratio |
|---|---|---|---|
| export | 2918 | 2518 | × 0.8 |
"""


def test_each_ratio_has_a_name() -> None:
    assert [tuple(each) for each in SCRIPT["measured"](RUN)] == [
        ("next VM on btrfs", 8.4),
        ("ten VMs on btrfs, in process", 4.6),
        ("ten VMs on btrfs, `geats apply`", 8.3),
        ("geats list, beside `python -c pass`", 6.5),
        ("export of 1024 MiB", 0.8),
    ]


def test_the_bars_are_on_a_scale_that_has_room_for_all() -> None:
    svg = ElementTree.fromstring(SCRIPT["picture"](RUN.replace("× 0.8", "× 900")))
    bars = [each for each in svg.iter("{http://www.w3.org/2000/svg}rect") if each.get("y")]
    ends = [int(bar.attrib["x"]) + int(bar.attrib["width"]) for bar in bars]
    assert len(bars) == 5
    assert max(ends) <= 720
