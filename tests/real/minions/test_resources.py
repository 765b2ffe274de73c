"""VMs as targets of their own, of a real master, in real containers."""

import shutil
import time
from collections.abc import Iterator, Mapping

import pytest

from tests.real.minions.conftest import REPO, Master, SaltError, remove_vms

TRIES = 60


@pytest.fixture(scope="module")
def offered(salt: Master) -> Iterator[Master]:
    """The pillars of both minions ask for it, and the VM of each runs."""
    for name, minion in salt.minions.items():
        salt.cmd(name, "geats.start", minion.vm)
    offer(salt, {"geats": None}, f"a.{salt.minions['a'].vm}", f"b.{salt.minions['b'].vm}")
    yield salt
    offer(salt, {})
    for minion in salt.minions.values():
        remove_vms(minion)


def offer(salt: Master, resources: Mapping[str, object], *ids: str) -> None:
    """Write it to both pillars; done when these are the targets that the master knows."""
    for minion in salt.minions.values():
        salt.write_pillar(minion, **({"resources": dict(resources)} if resources else {}))
    salt.cmd("a,b", "saltutil.refresh_pillar", "wait=True")
    until_known(salt, *ids)


def until_known(salt: Master, *ids: str) -> None:
    """Wait until these are the targets that the master knows."""
    for _ in range(TRIES):
        if known_ids(salt) == set(ids):
            return
        time.sleep(0.5)
    raise AssertionError(known_ids(salt))


def known_ids(salt: Master) -> set[str]:
    return {srn.removeprefix("geats:") for srn in salt.run("resource.list_grains")}


def vm_id(salt: Master, name: str) -> str:
    return f"{name}.{salt.minions[name].vm}"


def test_no_vm_is_a_target_unless_the_pillar_says_so(salt: Master) -> None:
    assert known_ids(salt) == set()
    assert salt.cmd("*", "test.ping") == {"a": True, "b": True}


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_vm_answers_for_itself(offered: Master, name: str) -> None:
    """Of two minions, one runs jobs in threads."""
    vm, itself = offered.minions[name].vm, vm_id(offered, name)
    info = offered.cmd(f"T@geats:{itself}", "geats_vm.info")[itself]
    assert (info["name"], info["power"]) == (vm, "running")
    assert offered.cmd(f"T@geats:{itself}", "cmd.run", "uname -n") == {itself: vm}
    assert offered.cmd(f"G@geats:vm:{vm}", "test.ping") == {itself: True}
    assert offered.cmd(itself, "test.ping") == {itself: True}


def test_shells_of_the_vm_run_lines(offered: Master) -> None:
    itself = vm_id(offered, "a")
    target = f"T@geats:{itself}"
    line = "cmd=cd /etc; echo $PWD $A; echo b >&2; exit 3"
    options = (line, "env={A: 5}", "ignore_retcode=True")
    assert offered.cmd(target, "cmd.run", *options) == {itself: "/etc 5\nb"}
    assert offered.cmd(target, "cmd.run_stdout", *options) == {itself: "/etc 5"}
    ran = {"retcode": 3, "stdout": "/etc 5", "stderr": "b"}
    assert offered.cmd(target, "cmd.run_all", *options) == {itself: ran}
    assert offered.cmd(target, "cmd.retcode", *options) == {itself: 3}
    assert offered.cmd(target, "cmd.run", "[pwd]", "cwd=/tmp") == {itself: "/tmp"}
    user = offered.cmd(target, "cmd.run_stdout", "busybox id -u", "runas=1000")
    assert user == {itself: "1000"}


def test_a_command_that_takes_too_long_or_says_too_much_is_an_error(offered: Master) -> None:
    target = f"T@geats:{vm_id(offered, 'a')}"
    with pytest.raises(SaltError, match="ERROR: timeout: killed after 1 s"):
        offered.cmd(target, "cmd.run", "sleep 60", "timeout=1")
    with pytest.raises(SaltError, match="ERROR: the output is of more than 1 MiB; the command exi"):
        offered.cmd(target, "cmd.run", "cat /bin/busybox /bin/busybox")


def test_an_option_that_is_not_known_is_an_error(offered: Master) -> None:
    with pytest.raises(SaltError, match="ERROR: stdin: unknown key 'stdin'"):
        offered.cmd(f"T@geats:{vm_id(offered, 'a')}", "cmd.run", "cat", "stdin=x")


def test_all_minions_means_all_vms_too_unless_it_is_a_compound_target(offered: Master) -> None:
    everything = {"a": True, "b": True, vm_id(offered, "a"): True, vm_id(offered, "b"): True}
    assert offered.cmd("*", "test.ping") == everything
    assert offered.cmd("* and not G@id:c", "test.ping") == {"a": True, "b": True}


def test_states_of_a_compound_target_are_applied_where_it_says(offered: Master) -> None:
    """Those of a wildcard are not: Salt 3008 applies them on every host that has such VMs."""
    (offered.directory / "states/nothing.sls").write_text("nothing:\n  test.nop: []\n")
    done = offered.cmd("b* and not G@id:c", "state.apply", "nothing")
    (state,) = done["b"].values()
    assert ({*done}, state["result"]) == ({"b"}, True)


def test_a_target_of_other_hosts_harms_no_vm(offered: Master) -> None:
    """Salt 3008 brings it to all of them. (``salt --static`` asks first who is there.)"""
    a, b = offered.minions["a"], offered.minions["b"]
    answers = offered.cmd("b*", "geats_vm.freeze")
    assert {*answers} == {"b", vm_id(offered, "b")}
    for _ in range(TRIES):
        if f"{vm_id(offered, 'a')}: a job is not for it" in a.log():
            break
        time.sleep(0.5)
    else:
        raise AssertionError(a.log())
    assert (a.power(), b.power()) == ("running", "frozen")
    offered.cmd("T@geats", "geats_vm.unfreeze")
    assert (a.power(), b.power()) == ("running", "running")


def test_vms_that_come_and_go_are_known_after_a_refresh(offered: Master) -> None:
    ids = (vm_id(offered, "a"), vm_id(offered, "b"))
    spec = "spec={template: busybox, init: busybox}"
    offered.cmd("a", "geats.start", "geats-test-salt-new", spec)
    assert known_ids(offered) == set(ids)
    offered.cmd("a", "saltutil.refresh_resources")
    until_known(offered, *ids, "a.geats-test-salt-new")
    target = "T@geats:a.geats-test-salt-new"
    assert offered.cmd(target, "test.ping") == {"a.geats-test-salt-new": True}
    offered.cmd("a", "geats.apply", "geats-test-salt-new", "deprovisioned", "power_off=stop")
    assert offered.cmd(target, "test.ping") == {"a.geats-test-salt-new": False}
    offered.cmd("a", "saltutil.refresh_resources")
    until_known(offered, *ids)


def test_a_runner_asks_hosts_and_no_vms(offered: Master) -> None:
    listed = offered.run("geats.list")
    assert ({*listed["hosts"]}, listed["problems"]) == ({"a", "b"}, {})


def test_modules_of_the_file_roots_take_the_place_of_the_installed_ones(offered: Master) -> None:
    roots = offered.directory / "states/_resources"
    shutil.copytree(REPO / "salt/_resources", roots)
    target, itself = f"T@geats:{vm_id(offered, 'b')}", vm_id(offered, "b")
    try:
        with (roots / "geats/modules/geats_vm.py").open("a") as module:
            module.write("\n\ndef words():\n    return 'of the file roots'\n")
        synced = offered.cmd("b", "saltutil.sync_resources")
        assert {each for each in synced if "__pycache__" not in each} == {
            "resources.geats.__init__",
            *(f"resources.geats.modules.{each}" for each in ("cmd", "geats_vm", "test")),
        }
        assert offered.cmd(target, "geats_vm.words") == {itself: "of the file roots"}
        assert offered.cmd(target, "test.ping") == {itself: True}
    finally:
        shutil.rmtree(roots)
        offered.cmd("b", "saltutil.sync_resources")
    assert offered.cmd(target, "test.ping") == {itself: True}
