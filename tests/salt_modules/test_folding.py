"""Many states of one run, as Salt itself runs them: in one plan, where nothing keeps them apart."""

from collections import Counter

import pytest
from salt.version import __version_info__

from geats_host.drivers.memory import MemoryDriver
from geats_host.engine import locked_plan
from geats_host.errors import HostError
from geats_host.host import Host

MEMORY = "{driver: memory}, {template: debian}"


@pytest.fixture(autouse=True)
def looks(monkeypatch):
    """How often the host was looked at, and in which plans VMs were changed together."""
    counted: Counter[object] = Counter()
    observe, locked = Host.observe_all, locked_plan.locked

    def observed(host):
        counted["looks"] += 1
        return observe(host)

    def applied(host, planned):
        counted[tuple(plan.name for plan in planned.plan.plans)] += 1
        return locked(host, planned)

    monkeypatch.setattr(Host, "observe_all", observed)
    monkeypatch.setattr(locked_plan, "locked", applied)
    return counted


@pytest.fixture
def run(minion):
    """Run states, as ``state.apply`` does; the answer is by the names of states, in their order."""

    def runs(sls, **options):
        minion.options = {**minion.options, "state_aggregate": ["geats"], **options}
        return minion.apply(sls)

    return runs


def vms(*names, extra=""):
    return "\n".join(f"{name}: {{geats.running: [{MEMORY}{extra}]}}" for name in names)


def plans(looks):
    return {key for key in looks if isinstance(key, tuple)}


def test_many_states_make_one_plan_and_each_reports_its_own(run, looks, testmode):
    returned = run(vms("a", "b", "c"))
    assert [each["result"] for each in returned.values()] == [None if testmode else True] * 3
    for name, each in returned.items():
        assert each["changes"] == {name: "create, 7 steps"}
    if not testmode:
        assert plans(looks) == {("a", "b", "c")}
        looks.clear()
        again = run(vms("a", "b", "c"))
        assert [(each["result"], each["changes"]) for each in again.values()] == [(True, {})] * 3
    assert looks["looks"] == 1


def test_each_state_is_what_it_is_without_aggregation(run, looks, testmode, modules):
    together = run(vms("a", "b"))
    for name in together:
        modules["geats.apply"](name, "deprovisioned", test=False)
    looks.clear()
    alone = run(vms("a", "b"), state_aggregate=False)
    assert plans(looks) == (set() if testmode else {("a",), ("b",)})
    told = ("name", "result", "comment", "changes")
    assert [[each[key] for key in told] for each in together.values()] == [
        [each[key] for key in told] for each in alone.values()
    ]


def test_targets_and_policies_are_those_of_each_state(run, looks, modules, testmode):
    returned = run(
        f"a: {{geats.running: [{MEMORY}]}}\n"
        f"b: {{geats.stopped: [{MEMORY}]}}\n"
        f"c: {{geats.frozen: [{MEMORY}, {{restart: never}}]}}\n"
        "db01: {geats.defined: []}\n"
    )
    assert {each["result"] for each in returned.values()} == {None if testmode else True}
    assert looks["looks"] == (1 if testmode else 2)  # the plan is applied if it still holds
    if testmode:
        return
    assert plans(looks) == {("a", "b", "c", "db01")}
    assert {name: each["power"] for name, each in modules["geats.list"]().items()} == {
        "a": "running",
        "b": "stopped",
        "c": "frozen",
        "db01": "stopped",
        "web01": None,
    }


def test_one_that_is_refused_keeps_no_other_from_its_plan(run, looks, testmode):
    returned = run(f"a: {{geats.running: [{MEMORY}, {{memory: 10 bananas}}]}}\n{vms('b', 'c')}")
    assert returned["a"]["result"] is False
    assert "a.memory" in returned["a"]["comment"]
    assert [returned[name]["result"] for name in "bc"] == [None if testmode else True] * 2
    assert looks["looks"] == (1 if testmode else 2)  # the plan is applied if it still holds


def test_one_that_fails_says_so_itself(run, looks, testmode, monkeypatch):
    start = MemoryDriver.start

    def fails(driver, name, *args, **words):
        if name == "b":
            raise HostError("no such luck")
        return start(driver, name, *args, **words)

    monkeypatch.setattr(MemoryDriver, "start", fails)
    returned = run(vms("a", "b", "c"))
    if testmode:
        assert [each["result"] for each in returned.values()] == [None] * 3
        return
    assert {name: each["result"] for name, each in returned.items()} == {
        "a": True,
        "b": False,
        "c": True,
    }
    assert returned["b"]["comment"].startswith("could not start b: no such luck\ndone before: ")
    assert returned["b"]["changes"] == {"b": "create, 6 steps"}


@pytest.mark.parametrize(
    "held",
    [
        "{onlyif: 'true'}",
        "{unless: 'false'}",
        "{check_cmd: ['true']}",
        "{retry: {attempts: 2, interval: 1}}",
        "{failhard: true}",
        "{require: [{test: later}]}",
        "{require: [later]}",
        "{watch: [{test: later}]}",
        "{onchanges: [{test: first}]}",
        "{onfail: [{test: first}]}",
        "{prereq: [{test: later}]}",
        "{hostname: '__slot__:salt:test.echo(b)'}",
    ],
)
def test_a_state_that_something_holds_back_has_a_plan_of_its_own(run, looks, testmode, held):
    run(
        "first: {test.nop: []}\n"
        f"{vms('a')}\n{vms('b', extra=f', {held}')}\n{vms('c')}\nlater: {{test.nop: []}}\n"
    )
    if not testmode:
        assert plans(looks) - {("b",)} == {("a", "c")}


def test_a_state_with_what_it_requires_done_goes_with_the_others(run, looks, testmode):
    run(
        f"first: {{test.nop: []}}\n{vms('a')}\n"
        f"{vms('b', extra=', {require: [{test: first}]}')}\n"
        f"{vms('c', extra=', {watch: [{test: fi*}, {id: first}]}, {listen: [{test: first}]}')}"
    )
    assert plans(looks) == (set() if testmode else {("a", "b", "c")})


def test_a_state_whose_requisite_failed_is_not_done_with_the_others(run, looks, testmode, modules):
    returned = run(
        f"wrong: {{test.fail_without_changes: []}}\n{vms('a', 'c')}\n"
        f"{vms('b', extra=', {require: [{test: wrong}]}')}"
    )
    assert returned["b"]["result"] is False
    assert "b" not in modules["geats.list"]()
    assert plans(looks) == (set() if testmode else {("a", "c")})


def test_salt_takes_a_requisite_on_one_vm_for_all_that_go_with_it(run, testmode):
    after = "follows: {test.nop: [{require: [{geats: a}]}]}"
    wrong = f"b: {{geats.running: [{MEMORY}, {{memory: 10 bananas}}]}}"
    alone = vms("a", extra=", {aggregate: false}")
    together = run(f"{vms('a')}\n{wrong}\n{after}")
    apart = run(f"{alone}\n{wrong}\n{after}")
    failed = {name for name, each in together.items() if each["result"] is False}
    assert failed == ({"b", "follows"} if __version_info__ >= (3008,) else {"b"})
    assert {name for name, each in apart.items() if each["result"] is False} == {"b"}


def test_salt_takes_a_change_of_one_vm_for_one_of_all_that_go_with_it(run, testmode):
    after = "follows: {test.succeed_with_changes: [{onchanges: [{geats: gone}]}]}"
    together = run(f"gone: {{geats.undefined: []}}\n{vms('a')}\n{after}")
    apart = run(f"gone: {{geats.undefined: [{{aggregate: false}}]}}\n{vms('b')}\n{after}")
    changed = {name for name, each in together.items() if each["changes"]}
    assert changed == ({"a", "follows"} if __version_info__ >= (3008,) else {"a"})
    assert {name for name, each in apart.items() if each["changes"]} == {"b"}


def test_what_a_run_asks_twice_of_a_vm_is_done_in_the_order_of_the_run(run, modules, testmode):
    run(
        f"{vms('a')}\n"
        f"first: {{geats.stopped: [{{name: b}}, {MEMORY}]}}\n"
        f"then: {{geats.frozen: [{{name: b}}, {MEMORY}]}}\n"
    )
    if not testmode:
        assert modules["geats.list"]()["b"]["power"] == "frozen"


def test_a_watch_restarts_a_vm_that_was_as_it_should_be(run, looks, testmode, modules):
    modules["geats.apply"]("web01", test=False)
    modules["geats.apply"]("db01", test=False)
    returned = run(
        "changed: {test.succeed_with_changes: []}\n"
        "db01: {geats.running: []}\n"
        "web01: {geats.running: [{watch: [{test: changed}]}]}\n"
    )
    assert "restarted, because something that it watches changed" in returned["web01"]["comment"]
    assert returned["db01"]["changes"] == {}


def test_where_the_plan_cannot_be_applied_each_state_goes_by_itself(
    run, looks, testmode, monkeypatch
):
    locked = locked_plan.locked

    def together_never(host, planned):
        if len(planned.plan.plans) > 1:
            raise HostError("the VM c is locked by another job")
        return locked(host, planned)

    monkeypatch.setattr(locked_plan, "locked", together_never)
    returned = run(vms("a", "b", "c"))
    assert [each["result"] for each in returned.values()] == [None if testmode else True] * 3


@pytest.mark.parametrize("aggregate", ["", ", {aggregate: true}"])
def test_states_that_are_not_folded_run_as_ever(run, looks, testmode, modules, aggregate):
    modules["geats.apply"]("db01", test=False)
    returned = run(
        f"{vms('a', 'b')}\n"
        f"db01: {{geats.snapshot_present: [{{snapshot: monday}}{aggregate}]}}\n"
        f"kept: {{geats.snapshots_kept: [{{name: db01}}, {{last: 1}}{aggregate}]}}\n"
        f"all: {{geats.host: [{{vms: [db01]}}{aggregate}]}}\n"
        f"shut: {{geats.locked: [{{name: db01}}{aggregate}]}}\n"
        f"debian: {{geats.template_present: [{{refresh: false}}{aggregate}]}}\n"
    )
    assert "template" in returned.pop("debian")["comment"]  # whose file is nowhere, on this host
    wrong = {name: each["comment"] for name, each in returned.items() if each["result"] is False}
    assert wrong == {}


def test_failhard_for_all_folds_nothing(run, looks, testmode):
    run(vms("a", "b"), failhard=True)
    assert plans(looks) == (set() if testmode else {("a",), ("b",)})


def test_a_changed_vm_says_where_its_values_come_from(run):
    returned = run("web01: {geats.running: []}\na: {geats.running: [{profile: small}]}")
    assert returned["web01"]["comment"].splitlines()[-1] == (
        "from profiles.small: driver, template; from vms.web01: memory, nics; everything else "
        "has its default"
    )
    assert returned["a"]["comment"].splitlines()[-1] == (
        "from profiles.small: driver, template; everything else has its default"
    )
