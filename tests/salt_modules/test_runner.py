"""The runner, through Salt's real loader, on two minions that are hosts in memory only."""

import msgpack
import psutil
import pytest
from salt.exceptions import CommandExecutionError

from tests.problems import lines
from tests.salt_modules.masters import A_MACHINE, A_VM, Master

DB = {"db01": {"profile": "small", "memory": "1GiB"}}
WEB = {
    "driver": "memory",
    "template": "debian",
    "nics": [{"name": "eth0", "bridge": "br0", "addresses": ["10.0.0.2/24"]}],
}

APART = {"code": "refused", "path": "web02", "message": "must be apart from web01"}


@pytest.fixture
def testmode():
    return False


@pytest.fixture
def master(opts, tmp_path):
    """``a`` has web01 and db01 in its pillar, ``b`` another db02."""
    return Master(opts, tmp_path, a={}, b={"vms": {"db02": {"profile": "small"}}})


def test_every_host_lists_its_vms(master):
    master["a"]["geats.start"]("web01")
    listed = master.runner["geats.list"]()
    assert {host: [*vms] for host, vms in listed["hosts"].items()} == {
        "a": ["db01", "web01"],
        "b": ["db02"],
    }
    assert listed["hosts"]["a"] == master["a"]["geats.list"]()
    assert (listed["problems"], "retcode" in listed, master.context) == ({}, False, {})
    assert [*master.runner["geats.list"]("b")["hosts"]] == ["b"]


def test_virtual_machines_are_listed_found_and_placed_beside_containers(opts, tmp_path):
    master = Master(opts, tmp_path, a=A_MACHINE, b=A_MACHINE | {"vms": {}})
    master["a"]["geats.start"]("vm01")
    run = master.runner
    listed = run["geats.list"]()
    assert "running" in f"{listed['hosts']['a']['vm01']}"
    assert run["geats.find"]("vm*")["hosts"]["a"]["vm01"]["power"] == "running"
    assert (listed["problems"], run["geats.duplicates"]()["problems"]) == ({}, {})
    placed = run["geats.place"]("vm02", A_MACHINE["vms"]["vm01"])
    assert "b" in f"{placed}"
    assert "retcode" not in placed


def test_minions_that_fail_or_are_silent_are_named_and_what_is_no_host_left_out(master, opts):
    master.minions |= {"bare": {}, "a.web01": A_VM}
    master.silent = {"b"}
    listed = master.runner["geats.list"]()
    assert [*listed["hosts"]] == ["a"]
    assert listed["problems"] == {"b": "did not answer"}
    assert (listed["retcode"], master.context["retcode"]) == (1, 1)


def test_what_is_wrong_with_a_pillar_is_told_by_the_minion(opts, tmp_path):
    master = Master(opts, tmp_path, a={"pools": 3}, b={})
    listed = master.runner["geats.duplicates"]()
    assert listed["problems"] == {"a": "geats.pools: must be a mapping, got 3"}


def test_vms_are_found_by_name_address_and_mac(master):
    master["a"]["geats.start"]("web01")
    find = master.runner["geats.find"]
    found = find("web*")["hosts"]
    assert [*found] == ["a"]
    assert found["a"]["web01"]["power"] == "running"
    (mac,) = found["a"]["web01"]["macs"]
    assert find("10.0.0.2")["hosts"] == find(mac.upper())["hosts"] == found
    assert find("db*")["hosts"]["b"]["db02"]["power"] == "absent"
    assert find("nobody")["hosts"] == {}


def test_vms_are_found_by_label(opts, tmp_path):
    labelled = {"vms": {"w1": WEB | {"labels": {"owner": "ada"}}, "w2": WEB | {"nics": []}}}
    master = Master(opts, tmp_path, a=labelled, b={})
    found = master.runner["geats.find"]("owner=ada")["hosts"]
    assert [(host, *vms) for host, vms in found.items()] == [("a", "w1")]
    assert found["a"]["w1"]["labels"] == {"owner": "ada"}
    assert master.runner["geats.find"]("owner=bob")["hosts"] == {}
    listed = master.runner["geats.list"](label="owner")["hosts"]
    assert [*listed["a"]] == ["w1"]
    assert "owner=ada" in f"{listed['a']['w1']}"


def test_what_two_hosts_have_is_told_with_both_owners(opts, tmp_path):
    master = Master(opts, tmp_path, a={"vms": {"w1": WEB}}, b={"vms": {"w2": WEB}})
    master["b"]["geats.provision"]("w2")
    assert master.runner["geats.duplicates"]() == {
        "duplicates": [
            {
                "what": "the address",
                "value": "10.0.0.2",
                "owners": ["a.w1.nics[eth0].addresses", "b.w2.nics[eth0].addresses"],
            }
        ],
        "problems": {},
    }


def test_the_plans_of_all_hosts(master):
    lines = master.runner["geats.plan"]()["hosts"]
    assert lines["b"][0] == "+ db02  create, 7 steps"
    plans = master.runner["geats.plan"](verbose=True)["hosts"]
    assert plans == {h: master[h]["geats.plan_host"](verbose=True) for h in ("a", "b")}
    assert plans["b"]["steps"] != []


def test_a_vm_is_placed_apart_from_another(master):
    place = master.runner["geats.place"]
    spec = {"driver": "memory", "template": "debian"}
    found = place("web02", spec, apart=[["web01", "web02"]])
    assert (found["host"], found["refused"]) == ("b", {"a": [APART]})
    together = place(
        "web02", {"driver": "memory", "template": "debian"}, together=[["web02", "web01"]]
    )
    assert together["host"] == "a"


def test_refusals_are_told_whole_and_set_the_return_code(master):
    place = master.runner["geats.place"]
    wrong = place("web02", {"memory": "lots", "template": "x"})
    assert wrong["retcode"] == 1
    assert [each["path"] for each in wrong["problems"]] == ["web02.memory"]
    rules = place("web02", {"template": "x"}, strategy="heap", reserve=2)["problems"]
    assert [each["path"] for each in rules] == ["strategy", "reserve"]
    nowhere = place("web02", {"driver": "memory", "template": "x"})["problems"]
    assert [each["path"].partition(".")[0] for each in nowhere] == ["a", "b"]


def test_a_host_is_emptied_by_moves_that_come_with_their_commands(master):
    master["a"]["geats.start"]("web01")
    moves = master.runner["geats.drain"]("a")["moves"]
    assert {move["vm"]: move["target"] for move in moves} == {"db01": "b", "web01": "b"}
    assert moves[0]["command"] == f"salt-run geats.migrate {moves[0]['vm']} b source=a"
    assert lines(master.runner["geats.drain"]("c")["problems"]) == [
        "host: unknown host 'c' (there is: a, b)"
    ]


def test_loads_are_levelled(opts, tmp_path):
    big = {"driver": "memory", "template": "debian"}
    total = psutil.virtual_memory().total
    vms = {name: {**big, "memory": total // 3} for name in ("x", "y")}
    master = Master(opts, tmp_path, a={"vms": vms}, b={"vms": {}})
    (move,) = master.runner["geats.rebalance"]()["moves"]
    assert (move["vm"], move["source"], move["target"]) == ("x", "a", "b")


def test_a_master_that_passes_no_files_on_moves_nothing(master):
    report = master.runner["geats.migrate"]("web01", "b")
    assert (lines(report["problems"]), report["retcode"]) == (
        [
            "file_recv: must be true in the master's configuration",
            "fileserver_backend: must list minionfs in the master's configuration",
        ],
        1,
    )
    assert master.asked == []


@pytest.fixture
def passes_files_on(opts):
    opts |= {"file_recv": True, "fileserver_backend": ["roots", "minionfs"]}
    opts |= {"file_recv_max_size": 100}


def test_a_move_is_shown_before_it_is_made(passes_files_on, opts, tmp_path):
    master = Master(opts, tmp_path, a={}, b={"vms": {}})
    spec = {"driver": "memory", "template": "debian"}
    master["a"]["geats.start"]("mail", spec)
    shown = master.runner["geats.migrate"]("mail", "b", test=True)
    assert shown["would"] == [
        "shutdown",
        "export",
        "copy",
        "import",
        "hand over",
        "accept",
        "start",
        "remove",
    ]
    assert (shown["source"], shown["problems"]) == ("a", [])
    master["a"]["geats.start"]("web01")
    declared = master.runner["geats.migrate"]("web01", "b")["problems"]
    assert lines(declared) == [
        "web01: is declared on a, which would recreate it: move its declaration to the target first"
    ]


def test_a_move_is_shown_while_the_source_still_declares_the_vm(passes_files_on, opts, tmp_path):
    master = Master(opts, tmp_path, a={}, b={"vms": {}})
    master["a"]["geats.start"]("web01")
    shown = master.runner["geats.migrate"]("web01", "b", test=True)
    first, *phases = shown["would"]
    assert first == (
        "first, by you: move the declaration of web01 from the pillar of a to that of b"
    )
    assert (phases[0], phases[-1], shown["problems"]) == ("shutdown", "remove", [])


def test_a_host_that_was_told_makes_no_twin_of_a_vm_of_another(opts, tmp_path):
    vms = {name: {"driver": "memory", "template": "debian"} for name in ("mail", "app")}
    master = Master(opts, tmp_path, a={"vms": {}}, b={"vms": vms})
    master["a"]["geats.start"]("mail", vms["mail"])
    assert master.runner["geats.tell"]() == {"told": {"a": 0, "b": 1}, "problems": {}}
    assert master["b"]["geats.elsewhere"]() == {"mail": "a"}
    with pytest.raises(CommandExecutionError) as error:
        master["b"]["geats.apply_host"]()
    told, *others = str(error.value).splitlines()
    assert "`salt-run geats.migrate mail b source=a`" in told
    assert others == ["+ app  create, 7 steps", "1 to create, 1 refused"]
    assert master["b"]["geats.elsewhere"]({}, test=True) == {}
    assert master["b"]["geats.elsewhere"]() == {"mail": "a"}
    with pytest.raises(CommandExecutionError, match=r"vms\.mail: "):
        master["b"]["geats.elsewhere"]({"mail": []})
    master["a"]["geats.deprovision"]("mail")
    assert master.runner["geats.tell"]()["told"] == {"a": 1, "b": 0}
    assert master["b"]["geats.apply_host"]() == ["+ mail  create, 7 steps"]
    master.silent = {"b"}
    assert master.runner["geats.tell"]()["problems"] == {"b": "did not answer"}


def test_while_a_host_is_silent_it_could_be_the_source(passes_files_on, opts, tmp_path):
    master = Master(opts, tmp_path, a={}, b={"vms": {}}, c={"vms": {}})
    master["a"]["geats.start"]("mail", {"driver": "memory", "template": "debian"})
    master.silent = {"c"}
    migrate = master.runner["geats.migrate"]
    assert lines(migrate("mail", "b", test=True)["problems"]) == [
        "c: did not answer",
        "source: must say which, while not all hosts answer",
    ]
    assert migrate("mail", "b", source="a", test=True)["problems"] == []


def test_answers_are_plain_data(master):
    for function in ("list", "duplicates", "plan", "rebalance"):
        msgpack.packb(master.runner[f"geats.{function}"]())
