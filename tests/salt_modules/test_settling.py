"""Claims after a runner was killed, and of VMs that were on before claims were required."""

import pytest

from geats_host.for_salt.claims import BANK, OF_VMS, Claims
from tests import problems
from tests.salt_modules.masters import Master

REQUIRED = {"policy": {"claims": "required"}}
NIC = {"name": "eth0", "bridge": "br0", "addresses": ["10.0.0.5/24"]}
VM = {"driver": "memory", "template": "debian", "nics": [NIC]}
KEYS = ["name-web01", "address-10.0.0.5"]


@pytest.fixture
def testmode():
    return False


@pytest.fixture
def master(opts, tmp_path):
    """``a`` has claimed web01, and has it on; ``b`` declares nothing."""
    pillars = {"a": {**REQUIRED, "vms": {"web01": VM}}, "b": {**REQUIRED, "vms": {}}}
    made = Master(opts, tmp_path, **pillars)
    made.runner["geats.claim"]("web01", "a")
    made["a"]["geats.start"]("web01")
    return made


def holders(found):
    return {at["host"] for at in found["claims"].values()}


def held(master, host):
    return "web01" in master[host]["geats.claimed"]()


def half_moved(master):
    """As a runner leaves it that is killed once the target knows what it will hold."""
    master["b"]["geats.claimed"](dict(master["a"]["geats.claimed"]()))


def arrived(master):
    """The same, but the VM is on ``b`` already."""
    half_moved(master)
    master["b"]["geats.start"]("web01", spec=VM)
    master["a"]["geats.stop"]("web01")
    master["a"]["geats.undefine"]("web01")


def test_nothing_is_to_settle_as_long_as_all_agree(master):
    found = master.runner["geats.claims"]()
    assert (found["settled"], found["unclaimed"], found["problems"]) == ({}, {}, [])
    assert holders(found) == {"a"}


def test_what_a_move_left_with_both_is_held_where_the_vm_is(master):
    half_moved(master)
    look = master.runner["geats.claims"]
    assert look(test=True)["settled"] == {"web01": "a"}
    assert held(master, "b")
    found = look("web01")
    assert (found["settled"], holders(found), held(master, "b")) == ({"web01": "a"}, {"a"}, False)
    arrived(master)
    found = look()
    assert (found["settled"], holders(found), held(master, "a")) == ({"web01": "b"}, {"b"}, False)
    assert look()["settled"] == {}


def test_a_move_that_is_under_way_is_not_settled(master, opts):
    half_moved(master)
    with Claims(opts).working_on("web01"):
        found = master.runner["geats.claims"]()
        assert "another operation is under way" in problems.lines(found["problems"])[0]
        again = master.runner["geats.claim"]("web01", "a")
        assert "another operation is under way" in problems.lines(again["problems"])[0]
    assert (found["settled"], held(master, "b")) == ({}, True)


def test_nothing_is_settled_without_a_host_that_may_have_the_vm(master):
    half_moved(master)
    master.silent = {"a"}
    found = master.runner["geats.claims"]()
    assert found["settled"] == {}
    assert problems.lines(found["problems"]) == [
        "a: did not answer",
        "web01: a may have it, and was not heard: nothing that is held changes",
    ]
    assert (held(master, "b"), holders(found)) == (True, {"a"})


def test_a_host_that_was_not_told_what_it_holds_is_told(master, opts):
    master["a"]["geats.stop"]("web01")
    master["a"]["geats.claimed"]({"web01": []})
    assert master.runner["geats.claims"]()["settled"] == {"web01": "a"}
    assert held(master, "a")


def test_a_host_that_was_lost_gives_back_what_another_vm_got_since(master):
    run = master.runner
    master["a"]["geats.stop"]("web01")
    run["geats.release"]("web01", fenced=True)
    master["b"]["geats.define"]("web02", spec=VM)
    assert run["geats.claim"]("web02", "b")["problems"] == []
    assert run["geats.claims"]()["settled"] == {"web01": "a"}
    assert "address-10.0.0.5" not in master["a"]["geats.claimed"]()["web01"]
    assert run["geats.claims"]()["settled"] == {}


def test_a_vm_that_is_on_with_what_another_one_got_since_is_told(master):
    run = master.runner
    run["geats.release"]("web01", fenced=True)
    master["b"]["geats.define"]("web02", spec=VM)
    run["geats.claim"]("web02", "b")
    found = run["geats.claims"]()
    assert "address-10.0.0.5 is held by b for web02" in problems.lines(found["problems"])[0]
    assert "address-10.0.0.5" in found["unclaimed"]["a"]["web01"]


def test_what_is_held_for_a_vm_is_found_again(master, opts):
    claims = Claims(opts)
    before = claims.of("web01")
    assert {*KEYS} <= before.keys()
    claims.cache.flush(OF_VMS, "web01")
    assert claims.of("web01") == {}
    master.runner["geats.claims"]()
    assert claims.of("web01") == before


def test_only_what_is_held_for_a_vm_is_read_for_it(master, opts, monkeypatch):
    claims = Claims(opts)
    for number in range(20):
        claims.cache.store(BANK, f"name-vm{number}", {"vm": f"vm{number}", "host": "c"})
    read, holder = [], Claims.holder

    def reading(self, key):
        read.append(key)
        return holder(self, key)

    monkeypatch.setattr(Claims, "holder", reading)
    assert claims.of("web01").keys() == {*read}


def test_a_vm_that_is_on_without_claims_is_told_and_claimed_by_one_command(opts, tmp_path):
    master = Master(opts, tmp_path, a={"vms": {"web01": VM}}, b={"vms": {}})
    run = master.runner
    master["a"]["geats.start"]("web01")
    assert run["geats.claims"]()["unclaimed"] == {}
    master["a"].pack["__pillar__"]["geats"] |= REQUIRED
    missing = run["geats.claims"]()["unclaimed"]["a"]["web01"]
    assert {*KEYS} <= {*missing}
    findings = master["a"]["geats.doctor"]()
    [told] = [each for each in findings if each["what"] == "claims"]
    assert told["found"].startswith("web01 is on, and this host does not hold name-web01, ")
    assert "geats.claim_running" in told["fix"]

    assert {*KEYS} <= {*run["geats.claim_running"](test=True)["claimed"]["a"]["web01"]}
    assert (run["geats.claims"]()["claims"], master.events) == ({}, [])
    assert {*KEYS} <= {*run["geats.claim_running"]()["claimed"]["a"]["web01"]}
    assert [tag for tag, _ in master.events] == ["geats/claim"]
    assert run["geats.claims"]()["unclaimed"] == {}
    assert "claims" not in {each["what"] for each in master["a"]["geats.doctor"]()}


def test_what_others_hold_is_not_claimed_and_stops_no_other_vm(opts, tmp_path):
    here = {**REQUIRED, "vms": {"web03": {**VM, "nics": []}}}
    pillars = {"a": {"vms": {"web01": VM}}, "b": {**REQUIRED, "vms": {"web02": VM}}, "c": here}
    master = Master(opts, tmp_path, **pillars)
    run = master.runner
    master["a"]["geats.start"]("web01")
    run["geats.claim"]("web02", "b")
    master["a"].pack["__pillar__"]["geats"] |= REQUIRED
    run["geats.claim"]("web03", "c")
    master["c"]["geats.start"]("web03")
    run["geats.release"]("web03", fenced=True)
    for test in (True, False):
        made = run["geats.claim_running"](test=test)
        assert made["claimed"].keys() == {"c"}
        assert "address-10.0.0.5 is held by b" in problems.lines(made["problems"])[0]


def test_a_host_of_another_version_is_a_problem(master):
    master["b"]["geats.claims"] = lambda: {"held": 3}
    found = master.runner["geats.claims"]()
    assert "b: is of another version of geats: held:" in problems.lines(found["problems"])[0]
