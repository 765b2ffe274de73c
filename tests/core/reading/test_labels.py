"""Labels and descriptions: read, chosen by, and without any effect."""

import pytest

from geats_core import Goal, Impact, Observation, Power, Target, changes, explain, parse_vm, plan
from geats_core.reading.labels import Labelled, alike, labelled

SMALL: dict[object, object] = {"template": "debian"}


def test_labels_and_a_description_are_read_in_order_of_their_names() -> None:
    said = {"role": "web", "example.org/tenant": 7}
    spec = parse_vm("web01", {**SMALL, "labels": said, "description": "the shop"}).unwrap()
    assert spec.labels == (("example.org/tenant", "7"), ("role", "web"))
    assert spec.description == "the shop"


def test_a_profile_and_the_vm_may_both_have_some() -> None:
    profiles: dict[str, dict[object, object]] = {
        "web": {**SMALL, "labels": {"role": "web", "owner": "bob"}}
    }
    spec = parse_vm("web01", {"profile": "web", "labels": {"owner": "ada"}}, profiles).unwrap()
    assert spec.labels == (("owner", "ada"), ("role", "web"))


def test_what_is_wrong_with_labels_is_told_at_once() -> None:
    raw = {**SMALL, "labels": {"a b": "x", "ok": ["y"], 5: "z"}, "description": "two\nlines"}
    words = "a label's name of up to 63 letters, digits, '-', '_', '.' and '/'"
    assert list(map(str, parse_vm("web01", raw).failure())) == [
        f"labels.a b: must be {words}, got 'a b'",
        f"labels.5: must be {words}, got 5",
        "labels.ok: must be one line of printable text, got a list",
        "description: must be one line of printable text, got 'two\\nlines'",
    ]


@pytest.mark.parametrize(
    ("raw", "read"),
    [
        ("owner=ada", Labelled("owner", "ada")),
        ("owner", Labelled("owner")),
        ("owner=", Labelled("owner", "")),
        ("owner=a=b", Labelled("owner", "a=b")),
    ],
)
def test_a_label_to_choose_by_has_a_value_or_any(raw: str, read: Labelled) -> None:
    assert labelled("label", raw).unwrap() == read


def test_vms_are_alike_by_the_value_of_a_label() -> None:
    vms = [("a", (("role", "web"),)), ("b", (("role", "web"),)), ("c", ()), ("d", (("role", ""),))]
    assert alike("role", vms) == {"web": frozenset({"a", "b"}), "": frozenset({"d"})}


def test_other_labels_cost_a_vm_that_runs_nothing() -> None:
    old = parse_vm("web01", SMALL).unwrap()
    new = parse_vm("web01", {**SMALL, "labels": {"a": "b"}, "description": "x"}).unwrap()
    have = Observation(recorded=old, defined=old, in_effect=old, power=Power.RUNNING)
    assert [(each.field, each.impact) for each in changes(old, new)] == [
        ("labels", Impact.NONE),
        ("description", Impact.NONE),
    ]
    made = plan(Goal(name="web01", target=Target.DEFINED, spec=new), have).unwrap()
    assert explain(made) == (
        "1. define web01 because labels changed (not set) → {a: b}; "
        "description changed (not set) → x (impact: none)"
    )
