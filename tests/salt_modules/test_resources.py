"""VMs as targets of their own, through Salt's real loaders."""

from collections.abc import Iterator

import pytest
import salt.loader
from salt.exceptions import CommandExecutionError
from salt.loader.context import resource_ctxvar

STRAY = {"__pub_tgt_type": "glob", "__pub_tgt": "b*", "__pub_minion_is_target": False}


@pytest.fixture
def testmode():
    return False


@pytest.fixture
def opts(opts):
    return {**opts, "id": "a"}


@pytest.fixture
def connection(opts, modules):
    return salt.loader.resource(opts, functions=modules, context=modules.pack["__context__"])


@pytest.fixture
def web01(opts, connection) -> Iterator[salt.loader.LazyLoader]:
    """What there is for web01."""
    token = resource_ctxvar.set({"id": "a.web01", "type": "geats"})
    yield salt.loader.resource_modules(
        opts, "geats", resource_funcs=connection, context=connection.pack["__context__"]
    )
    resource_ctxvar.reset(token)


@pytest.fixture
def running(web01):
    web01["geats_vm.start"]()
    return web01


def discovered(opts, offer=None):
    """What Salt finds, which loads no module of the host's for it."""
    pillar = {**opts["pillar"], "resources": {"geats": offer}}
    return salt.loader.resource(opts)["geats.discover"]({**opts, "pillar": pillar})


def test_declared_and_defined_vms_are_offered(opts, modules):
    assert discovered(opts) == ["a.db01", "a.web01"]
    modules["geats.define"]("mail", {"driver": "memory", "template": "debian"})
    assert discovered(opts, {}) == ["a.db01", "a.mail", "a.web01"]
    assert discovered(opts, {"vms": ["[mw]*"]}) == ["a.mail", "a.web01"]


def test_the_pillar_wins_over_the_minions_configuration(opts):
    mail = {"driver": "memory", "template": "debian"}
    assert discovered({**opts, "geats": {"registry": "none", "vms": {"mail": mail}}}) == [
        "a.db01",
        "a.mail",
        "a.web01",
    ]


def test_an_offer_or_a_configuration_that_is_wrong_is_refused(opts):
    with pytest.raises(CommandExecutionError, match=r"^resources\.geats\.vms: must be a list"):
        discovered(opts, {"vms": 5})
    with pytest.raises(CommandExecutionError, match=r"^geats\.vms: must be a mapping"):
        discovered({**opts, "pillar": {"geats": {"vms": 5}}})


def test_a_vm_can_be_found_by_its_name_on_any_host(web01, connection):
    assert connection["geats.grains"]() == {"geats": {"host": "a", "vm": "web01"}}


def test_a_vm_can_be_found_by_its_labels(opts, web01, connection, modules):
    geats = opts["pillar"]["geats"]
    spec = {"driver": "memory", "template": "debian"}
    modules["geats.define"]("web01", {**spec, "labels": {"owner": "ada"}})
    geats["vms"]["web01"] = {**spec, "labels": {"owner": "bob"}}
    assert connection["geats.grains"]()["geats"]["labels"] == {"owner": "bob"}
    geats["vms"]["web01"] = {**spec, "labels": 5}
    assert connection["geats.grains"]() == {"geats": {"host": "a", "vm": "web01"}}
    del geats["vms"]["web01"]
    assert connection["geats.grains"]()["geats"]["labels"] == {"owner": "ada"}


def test_only_what_is_for_a_single_vm_is_there(web01):
    web01["test.ping"]()
    kinds = {name.partition(".")[0] for name in web01}
    assert kinds == {"cmd", "geats_vm", "test"}
    assert sorted(name for name in web01 if name.startswith("geats_vm")) == [
        "geats_vm.delete_snapshot",
        "geats_vm.exec",
        "geats_vm.freeze",
        "geats_vm.info",
        "geats_vm.journal",
        "geats_vm.read_file",
        "geats_vm.reboot",
        "geats_vm.restore",
        "geats_vm.shutdown",
        "geats_vm.snapshot",
        "geats_vm.snapshots",
        "geats_vm.start",
        "geats_vm.status",
        "geats_vm.stop",
        "geats_vm.unfreeze",
        "geats_vm.wait",
        "geats_vm.write_file",
    ]


@pytest.mark.parametrize(
    ("verb", "power"),
    [("freeze", "frozen"), ("stop", "stopped"), ("shutdown", "stopped"), ("reboot", "running")],
)
def test_a_vm_is_brought_where_it_is_told_to(running, modules, verb, power):
    assert running["geats_vm.info"]()["power"] == "running"
    would = running[f"geats_vm.{verb}"](test=True)
    assert running["geats_vm.status"](verbose=True)["power"] == "running"
    assert running[f"geats_vm.{verb}"]()["changes"] == would["changes"]
    assert running["geats_vm.status"](verbose=True) == modules["geats.list"]()["web01"]
    assert running["geats_vm.status"](verbose=True)["power"] == power


def test_a_frozen_vm_goes_on(running):
    running["geats_vm.freeze"]()
    running["geats_vm.unfreeze"]()
    assert running["geats_vm.status"](verbose=True)["power"] == "running"
    assert running["geats_vm.journal"](limit=1)[0]["action"] == "unfreeze web01"


def test_a_ping_is_whether_the_vm_runs(web01):
    assert web01["test.ping"]() is False
    web01["geats_vm.start"]()
    assert web01["test.ping"]() is True


def test_nothing_is_known_of_a_vm_that_is_gone(web01):
    token = resource_ctxvar.set({"id": "a.gone", "type": "geats"})
    try:
        assert (web01["geats_vm.status"](verbose=True), web01["test.ping"]()) == (None, False)
        with pytest.raises(CommandExecutionError, match=r"^name: unknown VM 'gone'"):
            web01["geats_vm.info"]()
    finally:
        resource_ctxvar.reset(token)


def test_snapshots_come_and_go(running):
    running["geats_vm.snapshot"]("before")
    assert [each["name"] for each in running["geats_vm.snapshots"]()] == ["before"]
    assert running["geats_vm.snapshots"](last=1, __pub_jid="1")[0]["kept_by"] == ["last 1 of 1"]
    restored = running["geats_vm.restore"]("before", allow_data_loss=True, test=True)
    assert restored["steps"]
    running["geats_vm.restore"]("before", allow_data_loss=True)
    running["geats_vm.delete_snapshot"]("before")
    assert running["geats_vm.snapshots"]() == []


def test_programs_run_and_files_go_in_the_vm(running):
    ran = {"code": 1, "stdout": "", "stderr": "", "truncated": False, "timed_out": False}
    assert running["geats_vm.exec"]("false", user="ann", cwd="/tmp", timeout=5) == ran
    assert running.pack["__context__"]["retcode"] == 1
    assert running["geats_vm.write_file"]("/etc/motd", "hi\n")["size_bytes"] == 3
    assert running["geats_vm.read_file"]("/etc/motd") == "hi\n"
    assert running["geats_vm.wait"]("ip", timeout=5)["seen"] == "10.0.0.2"


def test_commands_are_run_without_a_shell_where_they_are_lists(running):
    """What a shell makes of lines is tested with real containers."""
    assert running["cmd.run_stdout"](["echo", "a", "*"], __pub_jid="1") == "a *"
    assert running["cmd.run_stdout"]("echo 'a b'", python_shell=False) == "a b"
    assert running["cmd.run_stdout"](["env"], env={"A": 1}) == "A=1"
    assert running["cmd.run_all"](["nothing"]) == {
        "retcode": 127,
        "stdout": "",
        "stderr": "nothing: No such file or directory",
    }
    assert running["cmd.retcode"](["false"]) == 1
    assert running.pack["__context__"]["retcode"] == 1
    assert running["cmd.retcode"](["false"], ignore_retcode=True) == 1
    assert running.pack["__context__"]["retcode"] == 0


def test_options_that_are_not_known_are_refused(running):
    with pytest.raises(CommandExecutionError) as refused:
        running["cmd.run"]("true", stdin="x", runas="", __pub_jid="1")
    assert [line.partition(":")[0] for line in str(refused.value).splitlines()] == [
        "runas",
        "stdin",
    ]


@pytest.mark.parametrize(
    ("function", "arguments"),
    [("geats_vm.stop", ()), ("geats_vm.status", ()), ("cmd.run", ("true",)), ("test.ping", ())],
)
def test_a_job_for_other_hosts_does_nothing_and_is_not_answered(running, function, arguments):
    """Salt 3008 brings each that is not for certain ids or grains to all resources of all hosts."""
    assert running[function](*arguments, **STRAY) == {"__no_return__": True}
    assert running["geats_vm.status"](verbose=True)["power"] == "running"
