"""A plan in words, and as plain data."""

from returns.result import Success

from geats_core import Goal, Observation, Target, parse_vm, plan, plan_to_plain


def test_a_plan_is_plain_data() -> None:
    old, new = (
        parse_vm("web", {"template": "debian", "memory": size}).unwrap() for size in (1024, 2048)
    )
    have = Observation(recorded=old, defined=old)
    planned = plan(Goal(name="web", target=Target.DEFINED, spec=new), have)

    assert planned.map(plan_to_plain) == Success(
        {
            "name": "web",
            "impact": "none",
            "steps": [
                {
                    "vm": "web",
                    "action": "define web",
                    "reason": "memory changed 1KiB → 2KiB",
                    "impact": "none",
                    "changes": {"memory": {"old": "1KiB", "new": "2KiB", "impact": "live"}},
                    "needs": [],
                }
            ],
            "changes": {"memory": {"old": "1KiB", "new": "2KiB"}},
            "pending": {},
            "by_hand": [],
        }
    )
