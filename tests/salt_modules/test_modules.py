"""The execution functions, through Salt's real loader."""

import inspect
import json
import os
from pathlib import Path

import msgpack
import pytest
import salt.payload
from salt.exceptions import CommandExecutionError

from geats_core.declared.pillar_schema import pillar_schema
from geats_core.first_geats.definitions import PRIVILEGED
from geats_core.planning.verbs import VERBS
from geats_core.plans.plan_files import recorded_from_json
from geats_core.vm.observation import Power
from geats_host.drivers.memory import MemoryDriver
from geats_host.errors import HostError
from tests.problems import lines


@pytest.fixture
def testmode():
    return False


def power(modules, name="web01"):
    return modules["geats.list"]()[name]["power"]


def test_start_on_a_vm_of_the_pillar_just_works(modules):
    report = modules["geats.start"]("web01")
    assert (report["failed"], report["error"]) == (None, None)
    assert power(modules) == "running"
    assert modules["geats.start"]("web01")["changes"] == {}


def test_what_is_shown_declares_the_vms_that_are_defined(modules, geats_config):
    assert modules["geats.show"]() == {"vms": {}}
    modules["geats.define"]("web01")
    told = modules["geats.show"]()
    assert told == modules["geats.show"]("web01") == modules["geats.show"](["web01"])
    with pytest.raises(CommandExecutionError, match="db01: is not defined"):
        modules["geats.show"]("web01,db01")
    geats_config["vms"] = modules["geats.show"](secrets=True)["vms"]
    assert modules["geats.diff"]()["vms"] == {}


def test_start_on_a_vm_of_the_registry_just_works(modules, opts):
    modules["geats.provision"]("web01")
    del opts["pillar"]["geats"]["vms"]["web01"]
    modules["geats.start"]("web01")
    assert power(modules) == "running"


def test_the_verbs_walk_through_a_whole_life(modules):
    for verb, wanted in (
        ("define", "stopped"),
        ("provision", "stopped"),
        ("start", "running"),
        ("freeze", "frozen"),
        ("unfreeze", "running"),
        ("reboot", "running"),
        ("reinit", "running"),
        ("shutdown", "stopped"),
        ("start", "running"),
        ("stop", "stopped"),
        ("undefine", None),
    ):
        assert modules[f"geats.{verb}"]("web01")["error"] is None, verb
        assert power(modules) == wanted, verb
    modules["geats.deprovision"]("web01")
    assert modules["geats.info"]("web01")["volumes"] == []


def test_every_verb_of_the_table_is_a_function_with_an_example(modules):
    others = ("list", "info", "status", "doctor", "validate", "plan", "apply", "journal", "observe")
    for verb in (*VERBS, *others, "plan_host", "apply_host"):
        assert "CLI Example:" in (inspect.getdoc(modules.brief[f"geats.{verb}"]) or "")


def test_an_unknown_vm_is_refused_with_what_there_is(modules):
    with pytest.raises(CommandExecutionError) as refused:
        modules["geats.start"]("web1")
    said = "name: unknown VM 'web1', did you mean 'web01'? (there is: db01, web01)"
    assert refused.value.message == said


@pytest.mark.parametrize("name", ["../x", "a b", "-x", "x" * 200, "x\ny", "", None])
def test_hostile_names_are_refused(modules, name):
    for call in ("start", "apply", "info", "deprovision"):
        with pytest.raises(CommandExecutionError, match="must be 1 to 63"):
            modules[f"geats.{call}"](name)


@pytest.mark.parametrize(
    ("argument", "word"),
    [
        ("target", "runing"),
        ("restart", "always?"),
        ("power_off", "kill"),
        ("allow_data_loss", "x"),
        ("by_hand", "lost"),
        ("max_impact", "pain"),
    ],
)
def test_an_unknown_word_is_refused_with_what_there_is(modules, argument, word):
    with pytest.raises(CommandExecutionError, match=rf"^{argument}: ") as refused:
        modules["geats.plan"]("web01", **{argument: word})
    assert repr(word) in refused.value.message


def test_unknown_driver_pool_and_template_are_all_named_at_once(modules):
    spec = {
        "driver": "lxd",
        "template": "debain",
        "volumes": [{"name": "root", "pool": "fats"}],
    }
    found = modules["geats.validate"]("web01", spec)
    assert {each["code"] for each in found["web01"]} == {"unknown"}
    assert lines(found["web01"]) == [
        "web01.driver: unknown driver 'lxd' (there is: memory)",
        "web01.template: unknown template 'debain', did you mean 'debian'? (there is: debian)",
        "web01.volumes[root].pool: unknown pool 'fats' (there is: default)",
    ]


def test_validate_without_a_name_looks_at_every_declared_vm(modules, geats_config):
    geats_config["vms"]["bad"] = {"memory": 0}
    found = modules["geats.validate"]()
    assert set(found) == {"web01", "db01", "bad"}
    assert found["web01"] == []
    assert [each["path"] for each in found["bad"]] == ["bad.template", "bad.memory"]


def test_one_wrong_vm_harms_no_other(modules, geats_config):
    geats_config["vms"]["bad"] = {"memory": 0}
    assert modules["geats.start"]("web01")["error"] is None


def test_a_vm_whose_pillar_went_wrong_can_still_be_stopped_and_taken_away(modules, geats_config):
    modules["geats.start"]("web01")
    geats_config["vms"]["web01"] = {"memory": "10 bananas"}
    for verb in ("lock", "unlock", "reboot", "freeze", "unfreeze", "stop", "deprovision"):
        assert modules[f"geats.{verb}"]("web01")["error"] is None
    assert modules["geats.apply"]("web01", target="deprovisioned")["changes"] == {}


def test_validate_sees_vms_behind_a_wrong_configuration(modules, geats_config):
    geats_config |= {"registri": "x", "vms": {"bad": {"template": "debian", "memory": 0}}}
    found = modules["geats.validate"]()
    assert [each["path"] for problems in found.values() for each in problems] == [
        "geats.registri",
        "bad.memory",
    ]


def test_a_wrong_configuration_names_every_problem(modules, geats_config):
    geats_config |= {"pools": {"default": {"type": "directry"}}, "registri": "x"}
    with pytest.raises(CommandExecutionError, match="did you mean 'registry'"):
        modules["geats.list"]()


def test_the_journal_tells_what_was_done(modules):
    modules["geats.define"]("web01")
    entries = modules["geats.journal"]("web01")
    assert [(entry["action"], entry["outcome"]) for entry in entries] == [
        ("define web01", "intent"),
        ("define web01", "done"),
    ]


def test_status_has_every_vm_and_the_host(modules):
    modules["geats.start"]("web01")
    status = modules["geats.status"]()
    assert status["vms"]["web01"]["definition"]["memory"] == "512MiB"
    assert status["vms"]["db01"]["definition"] is None
    assert set(status["host"]) == {"memory", "swap", "load", "cpu"}


def test_a_plan_changes_nothing(modules):
    before = modules["geats.list"]()
    assert modules["geats.plan"]("web01")["steps"]
    assert modules["geats.list"]() == before


def test_a_whole_host_is_planned_and_applied(modules):
    planned = modules["geats.plan_host"]()
    assert set(planned["vms"]) == {"web01", "db01"}
    shown = modules["geats.apply_host"](test=True)["changes"]
    assert power(modules) is None
    report = modules["geats.apply_host"]()
    assert {name: vm["changes"] for name, vm in report["vms"].items()} == shown
    assert (power(modules), power(modules, "db01")) == ("running", "running")
    assert modules["geats.plan_host"]()["steps"] == []


def test_what_would_change_on_a_host_is_what_then_changes_pauses_and_all(modules, opts):
    vms = opts["pillar"]["geats"]["vms"]
    vms["db01"]["autostart"] = {"priority": 1, "delay": 1}
    shown = modules["geats.apply_host"](test=True)["changes"]
    assert "wait 1 s because db01 is given that time" in shown["db01"]["steps"][-1]
    report = modules["geats.apply_host"]()
    assert {name: vm["changes"] for name, vm in report["vms"].items()} == shown
    vms["web01"]["hostname"], vms["db01"]["hostname"] = "www", "sql"
    shown = modules["geats.apply_host"](test=True)["changes"]
    report = modules["geats.apply_host"]()
    assert {name: vm["changes"] for name, vm in report["vms"].items()} == shown


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (5, "vms: must be a list"),
        ({"web01": None}, "vms: must be a list"),
        ([["web01"]], r"vms\[0\]: must be 1 to 63"),
        ([], "vms: is empty: leave it out"),
        ("", r"vms\[0\]: must be 1 to 63"),
    ],
)
def test_what_is_no_list_of_names_is_refused(modules, names, said):
    for call in ("plan_host", "apply_host"):
        with pytest.raises(CommandExecutionError, match=said):
            modules[f"geats.{call}"](names)


@pytest.mark.parametrize("limit", [0, -1, "many", [5], True])
def test_what_is_no_number_of_entries_is_refused(modules, limit):
    with pytest.raises(CommandExecutionError, match="limit: must be"):
        modules["geats.journal"]("web01", limit)


@pytest.mark.parametrize("names", ["web01", ["web01"]])
def test_of_a_host_only_some_vms_are_meant(modules, names):
    assert set(modules["geats.apply_host"](names)["vms"]) == {"web01"}
    assert (power(modules), power(modules, "db01")) == ("running", None)
    with pytest.raises(CommandExecutionError, match="live is the most that is allowed"):
        modules["geats.apply_host"](names, target="rebooted", max_impact="live")
    stopped = modules["geats.apply_host"](names, target="off")
    assert stopped["vms"]["web01"]["error"] is None


def test_a_vm_that_fails_is_told_with_what_was_done(modules, monkeypatch):
    def fails(driver, name):
        raise HostError("no init")

    monkeypatch.setattr(MemoryDriver, "start", fails)
    with pytest.raises(CommandExecutionError, match="could not start") as error:
        modules["geats.apply_host"]("web01")
    info = error.value.info or {}
    assert info["vms"]["web01"]["error"] == "no init"


def test_bad_words_for_a_host_are_refused_all_at_once(modules):
    with pytest.raises(CommandExecutionError) as refused:
        modules["geats.plan_host"](restart="maybe", targte="running")
    assert [line.partition(":")[0] for line in refused.value.message.splitlines()] == [
        "restart",
        "targte",
    ]


def test_what_is_observed_can_be_planned_from_elsewhere(modules):
    modules["geats.start"]("web01")
    recorded = modules["geats.observe"]()
    assert msgpack.unpackb(msgpack.packb(recorded)) == recorded
    read = recorded_from_json(json.dumps(recorded)).unwrap()
    assert read.observations["web01"].power is Power.RUNNING


def test_the_doctor_answers_with_plain_data(modules):
    findings = modules["geats.doctor"]()
    assert msgpack.unpackb(msgpack.packb(findings)) == findings
    assert {"what": "user", "health": "well", "found": "user id 0", "fix": ""} in findings


def test_a_vm_goes_back_to_a_snapshot_with_leave_to_lose_data(modules):
    modules["geats.start"]("web01")
    modules["geats.snapshot"]("web01", "monday")
    with pytest.raises(CommandExecutionError, match="loses what was written since"):
        modules["geats.restore"]("web01", "monday")
    report = modules["geats.restore"]("web01", "monday", allow_data_loss=True)
    assert [step["text"] for step in report["done"]] == [
        "shut down web01 (power off after 60 s)",
        "roll volume web01/root back to snapshot monday",
        "start web01",
    ]
    modules["geats.delete_snapshot"]("web01", "monday")
    assert modules["geats.snapshots"]("web01", last=1) == []
    assert modules["geats.keep_snapshots"]("web01", last=1, test=True)["changes"] == {}


def test_the_schema_is_plain_data(modules):
    schema = modules["geats.schema"]()
    assert schema == pillar_schema()
    assert msgpack.unpackb(msgpack.packb(schema)) == schema


def test_files_of_the_first_geats_become_a_pillar(modules, tmp_path):
    file = tmp_path / "web.yaml"
    file.write_text("{name: web, description: x, template: debian}")
    report = modules["geats.import_legacy"](str(file))
    assert report == {
        "pillar": {
            "geats": {
                "templates": {"debian": {"path": "/var/lib/lxc/templates/debian.tar.gz"}},
                "vms": {
                    "web": {
                        "template": "debian",
                        "description": "x",
                        "privileged": True,
                        "memory": "1024MiB",
                    }
                },
            }
        },
        "carried": [
            {"file": str(file), "key": key, "to": to, "note": note}
            for key, to, note in (
                ("name", "vms.web", ""),
                ("template", "vms.web.template", "declared as templates.debian"),
                ("description", "vms.web.description", ""),
                ("(privileged)", "vms.web.privileged", PRIVILEGED),
                ("ram", "vms.web.memory", "was not given: the default then"),
            )
        ],
        "left": [],
        "problems": [],
    }
    [missing] = modules["geats.import_legacy"]([str(tmp_path / "nowhere")])["problems"]
    assert missing["message"] == f"{tmp_path}/nowhere: No such file or directory"


def test_pools_volumes_drivers_strays_and_what_is_pending_are_plain_data(modules):
    modules["geats.start"]("web01")
    reports = {
        name: modules[f"geats.{name}"]()
        for name in ("pools", "volumes", "drivers", "pending", "strays")
    }
    assert msgpack.unpackb(msgpack.packb(reports)) == reports
    assert reports["drivers"] == {"memory": {"vms": ["web01"], "bridges": None, "problem": None}}
    assert (reports["pending"], reports["strays"]) == ({}, {})


def test_the_journal_says_which_job_it_was(modules, opts):
    """Among the files of jobs: of another process, cut short, and ours."""
    proc = Path(opts["cachedir"], "proc")
    proc.mkdir()
    other = {"jid": "20261123000000000001", "pid": 1, "fun": "test.ping", "user": "eve"}
    ours = {"jid": "20261123000000000003", "pid": os.getpid(), "fun": "state.apply", "user": "ada"}
    (proc / "20261123000000000001").write_bytes(salt.payload.dumps(other) or b"")
    (proc / "20261123000000000002").write_bytes(b"")
    (proc / "20261123000000000003").write_bytes(salt.payload.dumps(ours) or b"")
    modules["geats.start"]("web01")
    job = "salt, job 20261123000000000003 (state.apply) of ada"
    assert {entry["origin"] for entry in modules["geats.journal"]("web01")} == {job}
    modules["geats.stop"]("web01")


def test_without_a_job_the_journal_says_that_it_was_salt(modules):
    modules["geats.start"]("web01")
    assert {entry["origin"] for entry in modules["geats.journal"]("web01")} == {"salt"}


def test_containers_of_lxc_become_a_pillar(modules, tmp_path):
    file = tmp_path / "web" / "config"
    file.parent.mkdir()
    file.write_text("lxc.uts.name = web\n")
    report = modules["geats.import_lxc"](str(file))
    assert report["pillar"] == {
        "geats": {"vms": {"web": {"privileged": True, "includes": [], "hostname": "web"}}}
    }
    assert lines(report["problems"]) == ["vms.web.template: is missing"]


def test_domains_of_libvirt_become_a_pillar(modules, tmp_path):
    file = tmp_path / "web.xml"
    file.write_text("<domain type='kvm'><name>web</name><memory>1048576</memory></domain>")
    report = modules["geats.import_libvirt"](str(file))
    vm = report["pillar"]["geats"]["vms"]["web"]
    assert (vm["driver"], vm["memory"]) == ("kvm", "1GiB")
    assert lines(report["problems"]) == [
        "vms.web.volumes: must contain a volume named 'root'",
        "vms.web.template: is missing",
    ]


def test_guests_of_proxmox_become_a_pillar(modules, tmp_path):
    file = tmp_path / "101.conf"
    file.write_text("rootfs: local:101/vm-101-disk-0.raw,size=1G\n")
    report = modules["geats.import_proxmox"](str(file))
    vm = report["pillar"]["geats"]["vms"]["vm-101"]
    assert vm["volumes"] == [{"name": "root", "size": "1GiB"}]
    assert report["problems"] == []


def test_what_the_registry_lost_is_recorded_again_and_shown_first(modules, geats_config):
    modules["geats.start"]("web01")
    modules["geats.lock"]("web01")
    before = modules["geats.list"]()
    geats_config["registry"] = "sqlite"  # which has nothing of it
    shown = modules["geats.rebuild_registry"](test=True)
    assert [step["text"] for step in shown["steps"]] == ["define web01"]
    assert modules["geats.list"]() != before
    assert modules["geats.rebuild_registry"]()["vms"]["web01"]["failed"] is None
    assert modules["geats.list"]() == before
    assert modules["geats.rebuild_registry"]()["vms"] == {}
