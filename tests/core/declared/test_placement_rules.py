"""How people write the rules by which VMs are placed."""

from geats_core import Rules, Strategy, parse_rules


def test_rules_are_read() -> None:
    raw = {"strategy": "pack", "together": [["a", "b"]], "apart": [["a", "c"]], "reserve": 0.2}
    raw |= {"together_by": ["tenant"], "apart_by": ["role"]}
    assert parse_rules(raw).unwrap() == Rules(
        strategy=Strategy.PACK,
        together=(frozenset({"a", "b"}),),
        apart=(frozenset({"a", "c"}),),
        together_by=("tenant",),
        apart_by=("role",),
        reserve=0.2,
    )
    assert parse_rules({}).unwrap() == Rules()


def test_all_that_is_wrong_is_told_at_once() -> None:
    raw = {"strategy": "heap", "together": [["a"], "b"], "apart": [["A b"]], "reserve": 1, "x": 1}
    raw["apart_by"] = ["a b"]
    problems = [str(each) for each in parse_rules(raw).failure()]
    assert [each.partition(": ")[0] for each in problems] == [
        "strategy",
        "together[0]",
        "together[1]",
        "apart[0][0]",
        "apart_by[0]",
        "reserve",
        "x",
    ]
    assert problems[1] == "together[0]: must name two VMs at least"
    assert problems[5] == "reserve: must be a share from 0 to below 1, got 1"
    assert str(parse_rules({"reserve": True}).failure()[0]).endswith("got true")
