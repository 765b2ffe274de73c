"""What Salt makes of `names`, and of its other words, in states and in what states are given."""

import inspect
import re
from typing import Any

import pytest
from salt.exceptions import CommandExecutionError

from geats_core.declared.pillar_schema import pillar_schema
from geats_host.for_salt.aggregation import RESERVED
from tests.salt_modules.test_documented import functions

SALTS = RESERVED | {"names"}
HOSTS = ("undefined", "deprovisioned", "stopped", "running")


def powers(modules):
    return {name: each["power"] for name, each in modules["geats.list"]().items()}


@pytest.fixture
def two_run(modules):
    """Both VMs of the pillar run."""
    modules["geats.apply_host"](test=False)


@pytest.mark.parametrize("target", HOSTS)
@pytest.mark.parametrize(
    "sls",
    [
        "all: {geats.host: [{names: [web01]}, {target: TARGET}]}",
        "all: {geats.host: [{names: [web01, db01]}, {target: TARGET}]}",
        "all: {geats.host: [{names: [{web01: [{target: TARGET}]}]}]}",
        "all: {geats.host: [{names: [gone]}, {target: TARGET}]}",
        "all: {geats.host: [{name: others}, {target: TARGET}]}",
        "web01: {geats.host: [{names: [web01]}, {target: TARGET}]}",
        "web01: {geats.host: [{target: TARGET}]}",
        "all: {geats.host: [{vms: []}, {target: TARGET}]}",
        "all: {geats.host: [{vms: ''}, {target: TARGET}]}",
    ],
)
def test_a_state_of_the_host_that_names_a_vm_some_other_way_is_refused_and_changes_nothing(
    minion, modules, two_run, sls, target
):
    returned = minion.apply(sls.replace("TARGET", target))
    assert {each["result"] for each in returned.values()} == {False}
    assert all("vms" in each["comment"] for each in returned.values())
    assert [each["changes"] for each in returned.values()] == [{}] * len(returned)
    assert powers(modules) == {"web01": "running", "db01": "running"}


def test_a_name_that_no_vm_can_have_concerns_no_state_of_another(minion, geats_config):
    good = {"web01.example.com": {"profile": "small"}, "db_1": {"profile": "small"}}
    geats_config["vms"] = good | {"a b": {}} | {7: {}}
    minion.says("here", {"geats": geats_config})
    returned = minion.apply("\n".join(f"{name}: {{geats.running: []}}" for name in (*good, "a b")))
    refused = {name for name, each in returned.items() if each["result"] is False}
    assert refused == {"a b"}
    assert all(returned[name]["changes"] for name in good)


def test_a_stray_is_known_by_its_name_too(minion, modules, two_run, geats_config):
    del geats_config["vms"]["db01"]
    minion.says("here", {"geats": geats_config})
    returned = minion.apply("db01: {geats.host: [{restart: never}]}")["db01"]
    assert returned["result"] is False
    assert returned["comment"] == (
        "name: 'db01' is the name of a VM, and this is about all VMs of the host: say vms: "
        "[db01] to mean that VM, or use another id"
    )


@pytest.mark.parametrize("state_id", ["web01", "only web01"])
def test_a_state_of_the_host_is_about_the_vms_that_it_is_given(
    minion, modules, two_run, testmode, state_id
):
    returned = minion.apply(f"{state_id}: {{geats.host: [{{vms: [web01]}}, {{target: stopped}}]}}")
    assert list(returned[state_id]["changes"]) == ["web01"]
    assert powers(modules) == {"web01": "running" if testmode else "stopped", "db01": "running"}


def test_a_state_of_one_vm_goes_with_names_as_any_of_salt(minion, modules, testmode):
    returned = minion.apply("both: {geats.running: [{names: [web01, db01]}]}")
    assert {name: each["result"] for name, each in returned.items()} == dict.fromkeys(
        ("web01", "db01"), None if testmode else True
    )
    wanted = None if testmode else "running"
    assert powers(modules) == {"web01": wanted, "db01": wanted}


def test_each_of_the_names_may_have_words_of_its_own(minion, modules):
    spec = "{driver: memory}, {template: debian}, {verbose: true}"
    returned = minion.apply(
        f"both: {{geats.running: [{{names: [a: [{{memory: 1GiB}}], b: []]}}, {spec}]}}"
    )
    memory = {name: each["changes"].get("memory", {}).get("new") for name, each in returned.items()}
    assert memory == {"a": "1GiB", "b": None}


def test_names_that_are_states_of_one_run_become_one_plan(minion, modules, testmode):
    minion.options["state_aggregate"] = ["geats"]
    returned = minion.apply("both: {geats.running: [{names: [web01, db01]}]}")
    assert [each["result"] for each in returned.values()] == [None if testmode else True] * 2


@pytest.mark.parametrize(
    "state",
    [
        "snapshot_present: [{names: [web01, db01]}, {snapshot: monday}]",
        "snapshots_kept: [{names: [web01, db01]}, {last: 1}]",
        "locked: [{names: [web01, db01]}]",
        "stopped: [{names: [web01, db01]}]",
        "undefined: [{names: [web01, db01]}]",
    ],
)
def test_every_other_state_goes_with_names(minion, two_run, state):
    returned = minion.apply(f"both: {{geats.{state}}}")
    assert set(returned) == {"web01", "db01"}
    assert [each["comment"] for each in returned.values() if each["result"] is False] == []


def test_templates_are_ready_by_their_names(minion):
    returned = minion.apply("both: {geats.template_present: [{names: [debian, alpine]}]}")
    assert set(returned) == {"debian", "alpine"}
    assert "unknown template 'alpine'" in returned["alpine"]["comment"]


def test_the_former_word_is_refused_with_the_one_that_it_is_now(modules):
    for function in ("plan_host", "apply_host", "list", "overview"):
        with pytest.raises(CommandExecutionError, match="names: is called 'vms' now"):
            modules[f"geats.{function}"](names=["web01"])


def arguments():
    """Of each function of ours that is called from a state: its own, or one of `module.run`."""
    for kind, name, function in functions():
        if kind in ("modules", "runners", "states"):
            given = list(inspect.signature(function).parameters)
            yield pytest.param(given[1:] if kind == "states" else given, id=f"{kind}-{name}")


@pytest.mark.parametrize("given", list(arguments()))
def test_no_argument_is_a_word_that_salt_takes_for_itself(given):
    assert set(given) & (SALTS - {"name"}) == set()


def test_no_key_of_a_vm_is_a_word_that_salt_takes_for_itself(state):
    """States of a VM take its keys beside Salt's own arguments."""
    assert "unknown key 'nonsense'" in state("geats.running", "here", nonsense=1)["comment"]
    schema: Any = pillar_schema()
    words = set(schema["definitions"]["vm"]["properties"])
    assert words >= {"template", "memory", "after"}
    assert words & SALTS == set()


def test_no_policy_is_a_word_that_salt_takes_for_itself(state):
    comment = state("geats.host", "here", nonsense=1)["comment"]
    (known,) = re.findall(r"unknown key 'nonsense' \(there is: (.*)\)", comment)
    words = set(known.split(", "))
    assert words >= {"target", "restart", "max_impact"}
    assert words & SALTS == set()


def test_off_is_a_target_though_yaml_reads_it_as_a_boolean(minion, modules, two_run, testmode):
    applied = minion.apply("web01 off: {geats.host: [{vms: [web01]}, {target: off}]}")["web01 off"]
    assert applied["result"] is (None if testmode else True), applied["comment"]
    assert powers(modules)["web01"] == ("running" if testmode else "stopped")
