"""VMs that the master moves to other hosts: a host is emptied, loads are levelled, one is lost."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.real.minions.conftest import Master, SaltError, remove_vms

REQUIRED = {"claims": "required"}
SPEC = "spec={template: busybox, init: busybox, memory: 4GiB}"  # so much that two are a load
NAMES = ("geats-test-salt-first", "geats-test-salt-second")
LOST = "geats-test-salt-lost"


@pytest.fixture
def fleet(salt: Master) -> Iterator[Master]:
    """Both hosts without VMs; neither starts one without its claims."""
    with ExitStack() as declared:
        for minion in salt.minions.values():
            declared.enter_context(salt.declared(minion, policy=REQUIRED, vms={}))
        yield salt


def holders(fleet: Master, name: str) -> set[str]:
    """The hosts that hold claims for a VM; ``b`` may be off, and is not asked."""
    return {each["host"] for each in fleet.run("geats.claims", name, "tgt=a")["claims"].values()}


def test_a_host_is_emptied_and_loads_are_levelled(fleet: Master) -> None:
    a, b = fleet.minions["a"], fleet.minions["b"]
    for name in NAMES:
        fleet.run("geats.create", name, SPEC, "tgt=a")
        fleet.cmd("a", "geats.write_file", name, "/tmp/note", f"of {name}")
    shown = fleet.run("geats.evacuate", "a", "test=True")
    assert {(move["vm"], move["target"]) for move in shown["moves"]} == {(n, "b") for n in NAMES}
    assert {a.power(name) for name in NAMES} == {"running"}

    emptied = fleet.run("geats.evacuate", "a")
    assert ({*emptied["moved"]}, emptied["left"], emptied["problems"]) == ({*NAMES}, {}, [])
    for name in NAMES:
        assert (a.power(name), b.power(name)) == ("stopped", "running")
        assert fleet.cmd("b", "geats.read_file", name, "/tmp/note") == f"of {name}"
        assert holders(fleet, name) == {"b"}

    assert fleet.run("geats.rebalance")["moves"]
    assert {b.power(name) for name in NAMES} == {"running"}
    [moved] = fleet.run("geats.rebalance", "test=False")["moved"]
    [stays] = {*NAMES} - {moved}
    assert (a.power(moved), b.power(moved), b.power(stays)) == ("running", "stopped", "running")
    assert (holders(fleet, moved), holders(fleet, stays)) == ({"a"}, {"b"})
    for name, host in ((moved, "a"), (stays, "b")):
        fleet.cmd(host, "geats.apply", name, "deprovisioned", "power_off=stop")
        fleet.run("geats.release", name)


def test_a_vm_of_a_lost_host_starts_elsewhere_from_its_export(fleet: Master) -> None:
    a, b = fleet.minions["a"], fleet.minions["b"]
    fleet.run("geats.create", LOST, SPEC, "tgt=b")
    fleet.cmd("b", "geats.write_file", LOST, "/tmp/note", "kept")
    fleet.cmd("b", "geats.export", LOST)
    exports = [minion.directory / "state/exports" for minion in (b, a)]
    shutil.copytree(exports[0], exports[1], dirs_exist_ok=True)
    try:
        with pytest.raises(SaltError, match="answers"):
            fleet.run("geats.recover", "b", "fenced=True")
        b.stop()
        remove_vms(b)
        found = fleet.run("geats.recover", "b", "fenced=True")
        assert (found["recovered"][LOST]["host"], a.power(LOST)) == ("a", "running")
        assert fleet.cmd("a", "geats.read_file", LOST, "/tmp/note") == "kept"
        assert holders(fleet, LOST) == {"a"}
    finally:
        if b.process is None:
            b.start()
        fleet.wait_for("a", "b")
        for folder in exports:
            shutil.rmtree(folder)
    fleet.cmd("a", "geats.apply", LOST, "deprovisioned", "power_off=stop")
    fleet.run("geats.release", LOST)
