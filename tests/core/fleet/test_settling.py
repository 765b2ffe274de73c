"""Which host holds what is held for a VM, if the records of a fleet and of its hosts differ."""

from geats_core.declared.policy import Claims, HostPolicy
from geats_core.fleet.claiming import Holder
from geats_core.fleet.settling import HostClaims, rightful, unclaimed_on, unsettled
from geats_core.vm.observation import Observation, Power
from geats_core.vm.parse import parse_vm

KEYS: tuple[str, ...] = ("name-web01", "address-10.0.0.5")
AT_A = Holder(vm="web01", host="a")
GRANTED: dict[str, Holder] = dict.fromkeys(KEYS, AT_A)
HOLDS = HostClaims(held={"web01": KEYS})
ON = HostClaims(held={"web01": KEYS}, on={"web01": KEYS}, defined=frozenset({"web01"}))
DEFINES = HostClaims(held={"web01": KEYS}, defined=frozenset({"web01"}))
NOTHING = HostClaims()


def words(granted_to: set[str], **hosts: HostClaims) -> str:
    return str(rightful("web01", granted_to, hosts).failure()[0])


def right(granted_to: set[str], **hosts: HostClaims) -> str:
    return rightful("web01", granted_to, hosts).unwrap()


def test_records_that_agree_are_settled() -> None:
    assert [*unsettled(GRANTED, {"a": ON, "b": NOTHING})] == []
    assert [*unsettled(GRANTED, {"b": NOTHING})] == []  # who is silent says nothing else
    assert [*unsettled({}, {})] == []


def test_records_that_differ_are_not() -> None:
    assert [*unsettled(GRANTED, {"a": NOTHING})] == ["web01"]
    assert [*unsettled(GRANTED, {"a": ON, "b": HOLDS})] == ["web01"]
    assert [*unsettled({}, {"a": HOLDS})] == ["web01"]
    in_part = {**GRANTED, KEYS[0]: Holder(vm="web01", host="b")}
    assert [*unsettled(in_part, {"a": HOLDS})] == ["web01"]


def test_the_host_that_has_the_vm_on_holds_it_else_the_one_that_defines_it() -> None:
    assert right({"a"}, a=DEFINES, b=ON) == "b"
    assert right({"a"}, a=HOLDS, b=DEFINES) == "b"
    assert right({"a"}, a=HOLDS, b=HOLDS, c=HostClaims(on={"web01": KEYS})) == "a"
    assert right({"a"}, a=DEFINES, b=DEFINES) == "a"
    assert right(set(), a=HOLDS, b=NOTHING) == "a"


def test_nobody_can_say_it_without_a_host_that_may_have_it_or_if_two_have() -> None:
    assert words({"a"}, b=ON) == (
        "web01: a may have it, and was not heard: nothing that is held changes"
    )
    assert words({"a"}, a=ON, b=ON) == "web01: is on on a and b: stop it on one"
    assert words(set(), a=HOLDS, b=HOLDS) == (
        "web01: is held on a and b: `salt-run geats.claim web01 HOST` says for which"
    )


def test_a_host_says_what_it_holds_and_what_its_vms_use() -> None:
    spec = parse_vm("web01", {"template": "debian"}).unwrap()
    on = Observation(recorded=spec, defined=spec, in_effect=spec, power=Power.RUNNING)
    copy = Observation(recorded=spec, defined=spec, copy_of="web01 on a")
    vms = {"web01": on, "web02": copy}
    said = HostClaims.seen({"web01": ()}, vms, HostPolicy(claims=Claims.REQUIRED))
    assert said == HostClaims(
        held={"web01": ()},
        on={"web01": ("name-web01",)},
        defined=frozenset({"web01"}),
        required=True,
    )
    assert said.without() == {"web01": ("name-web01",)}
    assert HostClaims.seen({"web01": ("name-web01",)}, vms, HostPolicy()).without() == {}


def test_what_a_vm_that_is_on_has_unclaimed_is_told_where_claims_are_required() -> None:
    needs = HostClaims(on={"web01": KEYS}, required=True)
    assert unclaimed_on({}, {"a": needs, "b": ON}) == {"a": {"web01": [*KEYS]}}
    assert unclaimed_on(GRANTED, {"a": needs}) == {}
    assert unclaimed_on(GRANTED, {"b": needs}) == {"b": {"web01": [*KEYS]}}
