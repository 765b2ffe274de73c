"""VMs as targets of Salt's own: which are offered, under which ids, and which jobs are for them."""

import pytest
from returns.result import Success

from geats_core.reading.checked import Problem, problems_of
from geats_core.requests.salt_resources import arguments, is_meant, offered, parse_offer, vm_of

ID = "a.example.web01"


def job(kind: str, target: object, *, host_is_meant: bool = False) -> dict[str, object]:
    """What Salt says of a job that reaches a VM."""
    return {
        "__pub_tgt_type": kind,
        "__pub_tgt": target,
        "__pub_minion_is_target": host_is_meant,
        "__pub_jid": "1",
    }


def test_an_id_is_that_of_the_minion_and_the_name_of_the_vm() -> None:
    assert offered("a.example", {"web01", "db01"}, ("*",)) == ["a.example.db01", ID]
    assert vm_of("a.example", ID) == "web01"


def test_the_ids_of_two_hosts_differ_whatever_dots_are_in_their_names() -> None:
    one, other = offered("host", ["a.web01"], ("*",)), offered("host.a", ["web01"], ("*",))
    assert (one, other) == (["host.a+web01"], ["host.a.web01"])
    assert (vm_of("host", *one), vm_of("host.a", *other)) == ("a.web01", "web01")


def test_the_pillar_may_offer_some_vms_only() -> None:
    assert parse_offer("resources.geats", None) == Success(("*",))
    assert parse_offer("resources.geats", {}) == Success(("*",))
    patterns = parse_offer("resources.geats", {"vms": ["web*", "db01"]})
    assert patterns == Success(("web*", "db01"))
    assert offered("a", ["web01", "db01", "mail"], patterns.unwrap()) == ["a.db01", "a.web01"]
    assert offered("a", ["web01"], ()) == []


def test_what_is_wrong_with_the_offer_is_told_with_its_path() -> None:
    assert problems_of(parse_offer("resources.geats", {"vms": "web*", "vm": 1})) == (
        Problem("resources.geats.vms", "must be a list, got 'web*'"),
        Problem("resources.geats.vm", "unknown key 'vm', did you mean 'vms'? (there is: vms)"),
    )
    assert problems_of(parse_offer("resources.geats", True)) == (
        Problem("resources.geats", "must be a mapping, got true"),
    )


@pytest.mark.parametrize(
    "asked",
    [
        {},
        job("compound", f"T@geats:{ID}"),
        job("list", [ID, "b"]),
        job("grain", "geats:vm:web01"),
        job("grain_pcre", "geats:vm:web.*"),
        job("glob", ID),
        job("glob", "*", host_is_meant=True),
        job("pcre", "a.*", host_is_meant=True),
        job("pillar", "role:web", host_is_meant=True),
    ],
    ids=lambda asked: f"{asked.get('__pub_tgt_type')}-{asked.get('__pub_tgt')}",
)
def test_a_job_for_a_vm_or_its_host_is_meant(asked: dict[str, object]) -> None:
    assert is_meant(asked)


@pytest.mark.parametrize(
    ("kind", "target"),
    [("glob", "b*"), ("glob", "?"), ("glob", "[b]"), ("pcre", "b"), ("pillar", "role:web")],
)
def test_a_job_for_other_hosts_is_not_meant(kind: str, target: str) -> None:
    assert not is_meant(job(kind, target))


def test_what_salt_adds_is_no_argument() -> None:
    assert arguments({**job("glob", ID), "timeout": 5, "__kwarg__": True}) == {"timeout": 5}
