"""What programs ask an agent for, and its answers."""

from typing import Any

import pytest

from geats_host.drivers.memory import MemoryDriver
from geats_host.errors import HostError
from tests.host.agent.conftest import HOST, Agent, Client, Error

NEW = {"driver": "memory", "template": "debian", "memory": "1GiB", "labels": {"owner": "ada"}}


def fault(client: Client, method: str, **parameters: object) -> Error:
    """The error that a call is answered with."""
    with pytest.raises(Error) as raised:
        client.call(method, **parameters)
    return raised.value


def apply_fault(client: Client, **parameters: object) -> Error:
    with pytest.raises(Error) as raised:
        client.apply(**parameters)
    return raised.value


def test_the_interface_describes_itself(root: Client) -> None:
    assert root.call("org.varlink.service.GetInfo")["interfaces"] == [HOST, "org.varlink.service"]
    told = root.call("org.varlink.service.GetInterfaceDescription", interface=HOST)["description"]
    assert "method Apply(names: ?[]string" in told
    assert "error Busy (vm: string, holder: string)" in told
    assert "[string][" not in told  # which varlink knows, and systemd cannot read


def test_the_host_and_its_vms_are_told(root: Client) -> None:
    host = root.call("GetHost")["host"]
    assert (host["drivers"]["memory"]["problem"], host["unavailable"]) == (None, {})
    assert {"model", "flags", "count", "percent"} <= host["cpu"].keys()
    assert root.call("GetSchema")["schema"]["definitions"]["vm"]
    assert [*root.call("List")["vms"]] == ["db01", "web01"]
    assert [*root.call("List", filter={"vms": ["web*"]})["vms"]] == ["web01"]
    assert root.call("Info", name="web01")["vm"]["declared"] is True
    assert fault(root, "Info", name="nobody").name == "NotFound"
    assert fault(root, "List", filter=[1]).parameters["problems"][0]["path"] == "filter"
    assert root.call("Validate") == {"problems": {"db01": [], "web01": []}}
    wrong = root.call("Validate", name="x", spec={**NEW, "template": "no"})["problems"]["x"]
    assert [(each["code"], each["path"]) for each in wrong] == [("unknown", "x.template")]


def test_a_plan_is_made_and_carried_out_if_it_is_still_the_same(root: Client) -> None:
    wish: dict[str, Any] = {"names": ["new01"], "spec": NEW}
    planned = root.call("Plan", **wish)
    assert planned == root.call("Plan", **wish)  # what is the same has the same fingerprint
    told = [*root.stream("Apply", **wish, fingerprint=planned["fingerprint"])]

    assert told[0]["plan"] == planned["plan"]
    assert [each["step"]["outcome"] for each in told[1:3]] == ["intent", "done"]
    assert told[-1]["result"]["vms"]["new01"]["failed"] is None
    row = root.call("List")["vms"]["new01"]
    assert (row["power"], row["labels"]) == ("running", {"owner": "ada"})
    moved = apply_fault(root, **wish, fingerprint=planned["fingerprint"])
    assert (moved.name, moved.parameters["problems"][0]["code"]) == ("Moved", "changed")


def test_verbs_and_policies_are_those_of_the_command_line(root: Client) -> None:
    assert root.apply(names=["web01"], verb="start")["vms"]["web01"]["done"]
    assert root.apply(names=["web01", "db01"], verb="define")["vms"].keys() == {"web01", "db01"}
    assert root.apply(names=["web01"], policies={"target": "stopped"})["refused"] == {}
    assert root.call("List")["vms"]["web01"]["power"] == "stopped"
    assert "not there" in root.apply(names=["nobody"], verb="undefine")["warnings"][0]
    wrong = fault(root, "Plan", verb="strat", names=["web01"])
    assert wrong.parameters["problems"][0]["message"].startswith("unknown verb 'strat'")
    both = fault(root, "Plan", verb="start", policies={"target": "off", "restart": "never"})
    assert [each["path"] for each in both.parameters["problems"]] == [
        "names",
        "policies.restart",
        "policies.target",
    ]
    assert fault(root, "Plan", spec=NEW).parameters["problems"][0]["path"] == "spec"
    assert fault(root, "Plan", names=["a b"]).parameters["problems"][0]["path"] == "names[0]"
    assert fault(root, "Plan", policies=3).parameters["problems"][0]["path"] == "policies"
    assert fault(root, "Plan", names="web01").name == "org.varlink.service.InvalidParameter"


def test_another_operation_on_the_vm_is_told_and_waited_for(agent: Agent, root: Client) -> None:
    with agent.host.locks.operation("web01"):
        busy = apply_fault(root, names=["web01"], verb="start")
        assert busy.name == "Busy"
        assert (busy.parameters["vm"], bool(busy.parameters["holder"])) == ("web01", True)
        root.send("Apply", more=True, names=["web01"], verb="start", wait=60)
        root.reply()
    while "result" not in (reply := root.reply()["parameters"]):
        pass
    assert reply["result"]["vms"]["web01"]["failed"] is None


def test_a_program_runs_in_a_vm(root: Client) -> None:
    root.apply(names=["web01"], verb="start")
    assert root.call("Exec", name="web01", argv=["echo", "a", "b"])["stdout"] == "a b\n"
    done = root.call("Exec", name="web01", argv=["env"], options={"env": {"A": "1"}})
    assert "A=1" in done["stdout"]
    assert fault(root, "Exec", name="db01", argv=["true"]).name == "Refused"
    assert fault(root, "Exec", name="web01", argv=[], options={"user": "a b"}).name == "Refused"


def test_the_journal_has_numbers_and_who_asked(root: Client) -> None:
    root.apply(names=["web01"], verb="define")
    entries = root.call("Journal")["entries"]
    assert [entry["number"] for entry in entries] == [*range(1, len(entries) + 1)]
    assert entries[-1]["origin"] == "agent, called by user0"
    assert root.call("Journal", after=entries[-1]["number"]) == {"entries": []}
    assert len(root.call("Journal", limit=1, name="web01")["entries"]) == 1


def test_a_step_that_fails_is_told_with_what_was_done_and_what_not(
    root: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise HostError("no such luck")

    monkeypatch.setattr(MemoryDriver, "start", fail)
    failed = apply_fault(root, names=["web01"], verb="start")
    assert failed.name == "Failed"
    assert failed.parameters["step"]["do"] == "Start"
    assert "no such luck" in failed.parameters["error"]
    assert {each["do"] for each in failed.parameters["done"]} >= {"Define", "InstallTemplate"}
    assert failed.parameters["not_tried"] == []
    monkeypatch.setattr(MemoryDriver, "observe", fail)
    assert root.call("Info", name="web01")["vm"]["problems"]


def test_a_wrong_configuration_is_refused_to_root_and_still_looked_at(
    agent: Agent, root: Client
) -> None:
    agent.configure(lambda raw: raw.update(polciy={}))
    assert [*root.call("List")["vms"]] == ["db01", "web01"]
    assert "polciy" in fault(root, "Plan").parameters["problems"][0]["path"]


@pytest.mark.parametrize(("after", "is_told"), [(10**30, False), (-(10**30), True)])
def test_numbers_that_no_step_can_have_are_before_or_after_all(
    agent: Agent, root: Client, after: int, is_told: bool
) -> None:
    """SQLite takes no such numbers."""
    agent.configure(lambda raw: raw.update(registry={"type": "sqlite"}))
    root.apply(names=["web01"], verb="define")
    assert bool(root.call("Journal", after=after)["entries"]) is is_told
    if is_told:
        replies = root.stream("Watch", since=after)
        assert "overview" in next(replies)
        assert next(replies)["event"]["what"] == "step"
