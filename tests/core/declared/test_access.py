"""Who may ask the agent of a host for what."""

from geats_core import parse_config
from geats_core.declared.access import Access, Right, parse_access


def test_groups_have_the_rights_that_are_listed() -> None:
    raw = {"allow": {"operators": ["read", "apply"], "monitoring": ["read"], "nobody": []}}
    read = parse_access("agent", raw).unwrap()
    assert read.of_groups(["operators", "users"]) == {Right.READ, Right.APPLY}
    assert read.of_groups(["monitoring", "nobody"]) == {Right.READ}
    assert read.of_groups(["users"]) == frozenset()
    assert parse_config({"agent": raw}).unwrap().agent == read
    assert parse_config({}).unwrap().agent == Access()


def test_what_is_wrong_is_told_at_once() -> None:
    raw = {"allow": {"a b": ["read"], "ops": ["root"]}, "listen": 1}
    assert [str(each) for each in parse_config({"agent": raw}).failure()] == [
        "agent.allow.a b: must be the name of a unix group, such as operators, got 'a b'",
        "agent.allow.ops[0]: unknown right 'root' (there is: apply, data_loss, read)",
        "agent.listen: unknown key 'listen' (there is: allow)",
    ]
