"""What people see: a line or two for each VM that changes, and one if there is nothing to do."""

import pytest
import salt.config
import salt.output
from salt.exceptions import CommandExecutionError

from geats_host.drivers import Info
from geats_host.drivers.memory import MemoryDriver

MOST_A_VM = 3  # lines of Salt's default outputter
HEAD = 2  # of a minion: its name, and a rule below it
CREATED = ["+ db01   create, 7 steps", "+ web01  create, 7 steps", "2 to create"]
RUNS = "every VM is as described: nothing to do"


@pytest.fixture
def testmode():
    return False


@pytest.fixture
def brief(modules):
    return modules.brief


def printed(answer):
    """The lines that ``salt`` prints for one minion."""
    opts = {**salt.config.minion_config(None), "color": False}
    return str(salt.output.out_format({"minion1": answer}, "nested", opts)).splitlines()


def test_a_plan_is_a_line_for_each_vm_and_so_is_what_was_done(brief):
    planned = brief["geats.plan_host"]()
    assert planned == brief["geats.apply_host"](test=True) == CREATED
    assert brief["geats.apply_host"]() == planned
    assert brief["geats.plan_host"]() == brief["geats.apply_host"]() == [RUNS]
    assert printed([RUNS]) == ["minion1:", f"    - {RUNS}"]


def test_a_verb_says_what_it_did_to_its_vm(brief):
    assert brief["geats.start"]("web01", test=True) == ["+ web01  create, 7 steps"]
    assert brief["geats.start"]("web01") == ["+ web01  create, 7 steps"]
    assert brief["geats.start"]("web01") == ["web01 is so already: nothing to do"]
    assert brief["geats.reboot"]("web01") == ["! web01  restart"]
    assert brief["geats.snapshot"]("web01", "monday") == [
        "~ web01  freeze for a moment, snapshot, live"
    ]
    assert brief["geats.keep_snapshots"]("web01", last=1, test=True) == [
        "web01 is as described: nothing to do"
    ]


def test_the_status_and_the_list_take_two_lines_a_vm(brief):
    brief["geats.apply_host"]()
    brief["geats.lock"]("db01")
    listed, status = brief["geats.list"](), brief["geats.status"]()
    assert listed == {"web01": "running, 10.0.0.2/24", "db01": "running, locked"}
    assert status["web01"] == "running, 10.0.0.2/24, memory 512MiB"
    assert {*status} == {"web01", "db01", "this host"}
    assert len(printed(status)) <= HEAD + MOST_A_VM * len(status)


def test_a_vm_that_is_on_tells_how_much_memory_it_uses(brief, monkeypatch):
    monkeypatch.setattr(MemoryDriver, "info", lambda *_: Info(memory_used_bytes=3 << 20))
    brief["geats.start"]("web01")
    assert brief["geats.status"]()["web01"] == "running, 10.0.0.2/24, memory 3MiB of 512MiB"


def test_what_is_empty_is_not_told_of_a_vm(brief):
    brief["geats.start"]("db01")
    told, whole = (brief["geats.info"]("db01", verbose=each) for each in (False, True))
    assert whole["copy_of"] == ""
    assert told == {key: told[key] for key in whole if key in told}
    assert not {"copy_of", "problems", "addresses", "pending"} & {*told}
    assert "nics" in whole["definition"]
    assert "nics" not in told["definition"]


def test_a_vm_of_another_host_is_no_error_in_a_plan(brief):
    assert brief["geats.plan"]("web1") == ["web1 is not on this host, did you mean 'web01'?"]
    whole = brief["geats.plan"]("mail", verbose=True)
    assert (whole["steps"], whole["absent"]) == ([], "mail is not on this host")
    with pytest.raises(CommandExecutionError, match="unknown VM 'mail'"):
        brief["geats.start"]("mail")
    with pytest.raises(CommandExecutionError, match="unknown target 'runing'"):
        brief["geats.plan"]("web01", "runing")


def test_an_error_is_told_with_what_is_done_with_the_others(brief, opts):
    opts["pillar"]["geats"]["vms"]["web01"]["template"] = "nowhere"
    for test in (True, False):
        with pytest.raises(CommandExecutionError) as error:
            brief["geats.apply_host"](test=test)
        first, *others = str(error.value).splitlines()
        assert first.startswith("web01.template: unknown template 'nowhere'")
        assert others == ["+ db01  create, 7 steps", "1 to create, 1 refused"]


def test_several_vms_are_told_as_a_host_is(brief):
    assert brief["geats.apply_several"]({"db01": {}, "web01": {}}, test=True) == CREATED
    with pytest.raises(CommandExecutionError, match="must be a mapping"):
        brief["geats.apply_several"](["db01"])


def test_a_group_is_started_as_one_and_is_no_error_on_other_hosts(brief, opts):
    vms = opts["pillar"]["geats"]["vms"]
    for vm in vms.values():
        vm["autostart"] = {"groups": ["shop"]}
    assert brief["geats.group"]("start", "shop", test=True) == CREATED
    brief["geats.group"]("start", "shop")
    assert [*brief["geats.list"](group="shop", power="running")] == ["db01", "web01"]
    assert brief["geats.list"](group="office") == {}
    brief["geats.group"]("stop", "shop")
    assert [*brief["geats.list"](power="stopped")] == ["db01", "web01"]
    assert brief["geats.group"]("start", "mail") == "no VM of this host is in the group 'mail'"
    with pytest.raises(CommandExecutionError, match="unknown verb 'begin'"):
        brief["geats.group"]("begin", "shop")


def test_changes_of_states_are_the_parts_that_differ(minion, state, geats_config):
    created = state("geats.running", "web01", verbose=False)["changes"]
    assert created == {"web01": "create, 7 steps"}
    vm = {**geats_config["vms"]["web01"], "memory": "1GiB"}
    minion.says("here", {"geats": {**geats_config, "vms": {"web01": vm}}})
    live = {"memory": {"old": "512MiB", "new": "1GiB"}, "steps": "define, set_limits"}
    minion.options["test"] = True
    assert minion.apply("web01: {geats.running: []}")["web01"]["changes"] == live
    assert minion.apply("all: {geats.host: []}")["all"]["changes"] == {"web01": live}
    whole = state("geats.host", "all")["changes"]["web01"]
    assert whole["memory"] == live["memory"]
    assert [step.partition(" because ")[0] for step in whole["steps"]] == [
        "define web01",
        "set the limits of web01: memory 1GiB, cpus no limit",
    ]
    assert state("geats.running", "web01")["changes"] == whole
