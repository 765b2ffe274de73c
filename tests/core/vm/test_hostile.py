"""Values of any kind, as YAML, JSON or a pillar may have them: a reader tells, and never raises."""

import pytest
from returns.result import Failure

from geats_core import parse_vm

HUGE = 10**5000  # of more digits than Python writes as text


@pytest.mark.parametrize(
    "keys",
    [
        {"cgroup": {HUGE: "1"}},
        {"hardware": {HUGE: "1"}},
        {"hardware": {"a": HUGE}},
        {"hugepages": {HUGE: "1GiB"}},
        {"rlimits": {"nofile": HUGE}},
        {"rlimits": {HUGE: 1}},
        {"sysctls": {HUGE: "1"}},
        {"io": [{"device": HUGE}]},
        {"devices": {HUGE: HUGE}},
        {"tmpfs": {HUGE: HUGE}},
        {"hooks": {HUGE: HUGE}},
        {"environment": {HUGE: HUGE}},
        {"command": [HUGE]},
    ],
)
def test_a_number_without_end_is_refused_where_it_stands(keys: dict[str, object]) -> None:
    found = parse_vm("web", {"template": "t", **keys})
    assert isinstance(found, Failure)
    assert all(each.path.startswith(next(iter(keys))) for each in found.failure())
