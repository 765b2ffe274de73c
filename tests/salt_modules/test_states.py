"""Each state, in test mode and for real: what test mode shows is what the run does."""

import re
from pathlib import Path

import msgpack
import pytest

from geats_host.calls import units
from geats_host.drivers.memory import MemoryDriver, open_driver
from geats_host.errors import HostError
from geats_host.inputs import configuration


def power(modules, name="web01"):
    return modules["geats.list"]().get(name, {}).get("power")


def test_running_provisions_and_starts_and_then_rests(state, modules, testmode):
    first = state("geats.running", "web01")
    assert first["result"] is (None if testmode else True), first["comment"]
    assert len(first["changes"]["steps"]) == 7
    assert first["changes"]["memory"] == {"old": None, "new": "512MiB"}
    assert power(modules) == (None if testmode else "running")

    if not testmode:
        second = state("geats.running", "web01")
        assert (second["result"], second["changes"]) == (True, {})
        assert second["comment"] == "web01 is running, as described"


def test_the_changes_are_the_same_in_test_mode_as_in_the_run(state, modules):
    shown = modules["geats.apply"]("web01", test=True)["changes"]
    assert modules["geats.apply"]("web01", test=False)["changes"] == shown


def test_a_spec_may_stand_in_the_state_itself(state, modules, testmode):
    ret = state("geats.running", "mail", driver="memory", template="debian", memory="64MiB")
    assert ret["result"] is (None if testmode else True), ret["comment"]
    assert ret["changes"]["memory"] == {"old": None, "new": "64MiB"}


def test_a_bad_spec_fails_with_every_problem(state):
    ret = state("geats.running", "mail", memory="10 bananas", colour="red")
    assert ret["result"] is False
    assert ret["changes"] == {}
    paths = {line.partition(":")[0] for line in ret["comment"].splitlines()}
    assert paths == {"mail.template", "mail.memory", "mail.colour"}


def test_part_of_a_spec_is_not_added_to_that_of_the_pillar(state):
    ret = state("geats.running", "web01", memory="1GiB")
    assert ret["result"] is False
    assert ret["comment"].splitlines() == [
        "web01.template: is missing",
        "web01: these arguments are all of it: vms.web01 is not added to them",
    ]


@pytest.mark.parametrize(
    ("word", "wanted"),
    [("stopped", "stopped"), ("frozen", "frozen"), ("defined", "stopped")],
)
def test_each_state_of_being_is_reached_once(state, modules, testmode, word, wanted):
    first = state(f"geats.{word}", "web01")
    assert first["result"] is (None if testmode else True), first["comment"]
    if not testmode:
        assert power(modules) == wanted
        assert state(f"geats.{word}", "web01")["changes"] == {}


@pytest.mark.parametrize("word", ["undefined", "deprovisioned"])
def test_what_is_gone_stays_gone(state, modules, testmode, word):
    assert state(f"geats.{word}", "web01")["changes"] == {}
    modules["geats.apply"]("web01", test=False)
    ret = state(f"geats.{word}", "web01")
    assert ret["result"] is (None if testmode else True), ret["comment"]
    assert modules["geats.list"]()["web01"]["defined"] is testmode


def test_a_locked_vm_is_not_deprovisioned_until_it_is_unlocked(state, modules):
    modules["geats.apply"]("web01", test=False)
    modules["geats.lock"]("web01", test=False)
    ret = state("geats.deprovisioned", "web01")
    assert (ret["result"], ret["changes"]) == (False, {})
    assert "locked" in ret["comment"]
    modules["geats.unlock"]("web01", test=False)
    assert state("geats.deprovisioned", "web01")["result"] is not False


def test_locked_and_unlocked_are_reached_once(state, modules, testmode):
    modules["geats.apply"]("web01", test=False)
    for word, locked in (("locked", True), ("unlocked", False)):
        first = state(f"geats.{word}", "web01")
        if not testmode:
            assert first["result"] is True
            assert modules["geats.list"]()["web01"]["locked"] is locked
            assert state(f"geats.{word}", "web01")["changes"] == {}


def test_with_restart_never_a_change_is_written_and_stays_pending(state, modules, testmode):
    modules["geats.apply"]("web01", test=False)
    spec = {
        "driver": "memory",
        "template": "debian",
        "memory": "1GiB",
        "hostname": "www",
        "nics": [{"name": "eth0", "bridge": "br0", "addresses": ["10.0.0.2/24"]}],
    }
    ret = state("geats.running", "web01", restart="never", **spec)
    assert ret["result"] is (None if testmode else True)
    assert "pending until web01 restarts: hostname web01 → www" in ret["comment"]
    assert not any("shut down" in step for step in ret["changes"]["steps"])
    assert any("set the limits" in step for step in ret["changes"]["steps"])


def test_a_change_dearer_than_allowed_fails_and_changes_nothing(state, modules):
    modules["geats.apply"]("web01", test=False)
    spec = {"driver": "memory", "template": "debian", "hostname": "www"}
    ret = state("geats.running", "web01", max_impact="live", **spec)
    assert (ret["result"], ret["changes"]) == (False, {})
    assert "live is the most that is allowed" in ret["comment"]


def test_the_comment_says_what_the_steps_cost(state, modules, testmode):
    modules["geats.apply"]("web01", test=False)
    was = {"driver": "memory", "template": "debian", "memory": "512MiB"}
    ret = state("geats.running", "web01", **was, hostname="www")
    first = ret["comment"].splitlines()[0]
    assert first.startswith(f"web01 {'would be' if testmode else 'is now'} running, in ")
    assert first.endswith(" steps (impact: restart)")


def test_the_comment_of_a_host_says_what_the_steps_cost(state, modules, testmode):
    modules["geats.start"]("web01", test=False)
    modules["geats.start"]("db01", test=False)
    comment = state("geats.host", "here", target="off", at_most=2)["comment"]
    would = "would become" if testmode else "became"
    assert comment == f"2 VMs {would} as described, in 2 steps (impact: restart)"


def test_with_restart_always_any_change_restarts(state, modules):
    modules["geats.apply"]("web01", test=False)
    spec = {"driver": "memory", "template": "debian", "memory": "1GiB"}
    ret = state("geats.running", "web01", restart="always", **spec)
    assert any("shut down" in step for step in ret["changes"]["steps"])


def test_answers_are_plain_data(state, modules):
    modules["geats.apply"]("web01", test=False)
    for answer in (
        state("geats.running", "web01"),
        modules["geats.list"](),
        modules["geats.status"](),
        modules["geats.info"]("web01"),
        modules["geats.plan"]("web01", target="deprovisioned"),
        modules["geats.journal"]("web01"),
    ):
        assert msgpack.unpackb(msgpack.packb(answer)) == answer


def test_a_snapshot_is_present_once(state, modules, testmode):
    modules["geats.apply"]("web01", test=False)
    first = state("geats.snapshot_present", "web01", snapshot="monday")
    assert first["result"] is (None if testmode else True), first["comment"]
    assert len(first["changes"]["steps"]) == 3
    assert [each["name"] for each in modules["geats.snapshots"]("web01")] == (
        [] if testmode else ["monday"]
    )
    if not testmode:
        second = state("geats.snapshot_present", "web01", snapshot="monday")
        assert (second["result"], second["changes"]) == (True, {})


def test_a_snapshot_that_cannot_be_is_false(state):
    ret = state("geats.snapshot_present", "web01", snapshot="not/a/name")
    assert (ret["result"], ret["changes"]) == (False, {})
    assert ret["comment"].startswith("snapshot: must be 1 to 63 lower-case")


def test_snapshots_that_no_rule_keeps_go_and_why_the_rest_stays_is_told(state, modules, testmode):
    modules["geats.apply"]("web01", test=False)
    for name in ("auto-1", "auto-2", "by-hand"):
        modules["geats.snapshot"]("web01", name, test=False)
    ret = state("geats.snapshots_kept", "web01", prefix="auto-", last=1)
    assert ret["result"] is (None if testmode else True), ret["comment"]
    assert ret["changes"]["steps"] == [
        "delete snapshot auto-1 of volume web01/root because no rule keeps it (impact: data_loss)"
    ]
    assert ret["comment"].splitlines()[1:] == [
        "auto-2 stays: last 1 of 1",
        "auto-1 would go" if testmode else "auto-1 is gone",
    ]
    left = [each["name"] for each in modules["geats.snapshots"]("web01")]
    assert left == ["auto-1", "auto-2", "by-hand"][0 if testmode else 1 :]


def test_one_state_brings_the_whole_host_to_its_pillar(state, modules, testmode):
    first = state("geats.host", "here")
    assert first["result"] is (None if testmode else True), first["comment"]
    assert set(first["changes"]) == {"web01", "db01"}
    shown = modules["geats.apply_host"](test=True)["changes"]
    if testmode:
        assert first["changes"] == shown
        assert first["comment"] == "2 VMs would become as described, in 14 steps"
        assert power(modules) is None
    else:
        assert first["comment"] == "2 VMs became as described, in 14 steps"
        assert (power(modules), power(modules, "db01")) == ("running", "running")
        second = state("geats.host", "here")
        assert (second["result"], second["changes"]) == (True, {})
        assert second["comment"] == "all VMs are as described"
    msgpack.packb(first)


def test_the_state_of_a_host_takes_vms_and_policies(state, modules, testmode):
    ret = state("geats.host", "here", vms=["db01"], target="provisioned")
    assert [*ret["changes"]] == ["db01"]
    wrong = state("geats.host", "here", vms=["bd01"], restart="maybe")
    assert (wrong["result"], wrong["changes"]) == (False, {})
    assert "unknown restart policy 'maybe'" in wrong["comment"]


def test_a_vm_that_fails_keeps_no_other_from_its_state(state, modules, testmode, monkeypatch):
    def broken(self, name):
        if name == "web01":
            raise HostError("no power")
        start(self, name)

    start = MemoryDriver.start
    monkeypatch.setattr(MemoryDriver, "start", broken)
    ret = state("geats.host", "here")
    if testmode:
        assert ret["result"] is None
        return
    assert ret["result"] is False
    assert "could not start web01: no power" in ret["comment"]
    assert set(ret["changes"]) == {"web01", "db01"}
    assert power(modules, "db01") == "running"


def test_strays_are_told_in_the_comment(state, modules, testmode):
    modules["geats.apply"]("old", spec={"driver": "memory", "template": "debian"}, test=False)
    comment = state("geats.host", "here")["comment"]
    assert "stray: old is running, its description is gone (policy: report)" in comment


WATCHING = """
changed: {test.succeed_with_changes: []}
web01: {geats.STATE: [{watch: [{test: changed}]}]}
"""


def test_what_a_vm_watches_restarts_it_once(minion, modules, testmode):
    modules["geats.apply"]("web01", test=False)
    ret = minion.apply(WATCHING.replace("STATE", "running"))["web01"]
    assert ret["result"] is (None if testmode else True)
    assert ret["changes"] == {"web01": "restart"}
    shutdowns = [each for each in modules["geats.journal"]("web01") if "shut" in each["action"]]
    assert bool(shutdowns) is not testmode


def test_a_state_with_nothing_to_restart_watches_in_vain(minion, modules):
    modules["geats.apply"]("web01", "stopped", test=False)
    ret = minion.apply(WATCHING.replace("STATE", "stopped"))["web01"]
    assert (ret["result"], ret["changes"]) == (True, {})
    assert ret["comment"] == (
        "geats.stopped has nothing to restart when something that it watches changes"
    )


def test_a_restart_that_is_refused_is_a_failure(minion, modules, monkeypatch):
    def fails(self, name):
        raise HostError("no power")

    modules["geats.apply"]("web01", test=False)
    monkeypatch.setattr(MemoryDriver, "start", fails)
    ret = minion.apply(WATCHING.replace("STATE", "running"))["web01"]
    assert ret["result"] in (None, False)
    assert ret["result"] is None or "could not start web01: no power" in ret["comment"]


def test_units_are_shown_in_test_mode_and_there_after_the_run(
    state, modules, testmode, tmp_path, monkeypatch
):
    for folder in ("etc/systemd/system", "run/systemd/system"):
        (tmp_path / folder).mkdir(parents=True)
    told = []
    monkeypatch.setattr(units, "FOLDER", f"{tmp_path}/etc/systemd/system")
    monkeypatch.setattr(units, "RUNS", f"{tmp_path}/run/systemd/system")

    def systemctl(argv, **_):
        told.append(argv[1:])
        return "active\n"

    monkeypatch.setattr(units, "run", systemctl)
    first = state("geats.units", "units")
    assert first["result"] is (None if testmode else True), first["comment"]
    assert len(first["changes"]["units"]) == 4
    assert (["enable", "geats.service"] in told) is not testmode
    file = tmp_path / "etc/systemd/system/geats.service"
    assert file.exists() is not testmode
    if not testmode:
        (saved,) = re.findall(r"--config (\S+) boot", file.read_text())
        assert configuration.from_file(Path(saved))
        state("geats.units", "units", remove=True)
        assert not file.exists()


def test_a_guest_that_had_to_be_powered_off_is_told(state, modules, tmp_path, testmode):
    note = "web01: it did not shut down within 60 s, and was powered off"
    modules["geats.start"]("web01", test=False)
    open_driver({}, tmp_path / "state").deaf.add("web01")
    assert modules["geats.shutdown"]("web01", test=False)["notes"] == [note]
    modules["geats.start"]("web01", test=False)
    ret = state("geats.stopped", "web01")
    assert (note in ret["comment"].splitlines()) is not testmode
    if not testmode:
        modules["geats.start"]("web01", test=False)
    ret = state("geats.host", "off", vms=["web01"], target="off")
    assert (note in ret["comment"].splitlines()) is not testmode
