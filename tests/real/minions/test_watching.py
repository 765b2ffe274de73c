"""Who is told of what happens to VMs: listeners on the buses of a real minion and a real master."""

import os
import signal
import time
from collections.abc import Iterator

import pytest

from tests.real.minions.conftest import (
    PATIENCE_S,
    REACTION,
    Master,
    heard,
    listening,
    remove_vms,
)


@pytest.fixture(autouse=True)
def nothing_runs(salt: Master) -> Iterator[None]:
    """Each test begins with no VM."""
    yield
    remove_vms(salt.minions["a"])


def test_each_step_is_told_on_the_minions_bus(salt: Master) -> None:
    vm = salt.minions["a"].vm
    with listening(salt, "minion") as bus:
        report = salt.cmd("a", "geats.start", vm)
        events = heard(bus, f"geats/{vm}/", len(report["done"]))
    assert [data["action"] for _, data in events] == [step["text"] for step in report["done"]]
    tag, last = events[-1]
    assert tag == f"geats/{vm}/start"
    assert (
        last.items()
        >= {
            "vm": vm,
            "step": "start",
            "action": f"start {vm}",
            "reason": f"{vm} should be running",
            "impact": "none",
            "outcome": "done",
            "error": None,
        }.items()
    )
    assert last["took_s"] > 0
    assert "geats.start" in last["origin"]


def test_a_step_that_fails_is_told_and_why(salt: Master) -> None:
    a = salt.minions["a"]
    init = a.directory / "root/sbin/init"
    text = init.read_text()
    init.write_text("#!/bin/sh\nexit 1\n")
    try:
        with listening(salt, "minion") as bus:
            salt.answer(salt.begin("a", "geats.provision", a.vm), "a")
            answer = salt.begin("a", "geats.start", a.vm)
            ((_, data),) = heard(bus, f"geats/{a.vm}/start", 1)
            answer.communicate()
    finally:
        init.write_text(text)
    assert data["outcome"] == "failed"
    assert data["error"]


def test_the_master_is_told_where_the_pillar_says_so(salt: Master) -> None:
    a = salt.minions["a"]
    with salt.declared(a, events="master"), listening(salt, "master") as bus:
        salt.cmd("a", "geats.start", a.vm)
        ((_, data),) = heard(bus, f"geats/{a.vm}/start", 1)
    assert (data["id"], data["data"]["outcome"]) == ("a", "done")


def test_a_reactor_of_the_master_follows(salt: Master) -> None:
    """Minion ``b`` notes which VM was started on ``a``."""
    a, b = salt.minions["a"], salt.minions["b"]
    states = salt.directory / "states"
    (states / "noted.sls").write_text(
        f"{b.directory}/{{{{ pillar['started'] }}}}:\n  file.managed:\n    - contents: started\n"
    )
    pillar = "{started: {{ data['data']['vm'] }}}"
    args = f"[{{mods: noted}}, {{pillar: {pillar}}}]"
    (states / REACTION).write_text(
        f"note it: {{local.state.apply: [{{tgt: b}}, {{args: {args}}}]}}"
    )
    with salt.declared(a, events="master"):
        salt.cmd("a", "geats.start", a.vm)
        deadline = time.monotonic() + PATIENCE_S
        while not (b.directory / a.vm).exists() and time.monotonic() < deadline:
            time.sleep(0.1)
    assert (b.directory / a.vm).read_text() == "started\n"
    (states / REACTION).unlink()


def test_the_beacon_tells_the_master_of_a_stray_and_that_a_vm_is_off(salt: Master) -> None:
    a = salt.minions["a"]
    beacons = {"geats": [{"interval": 1}, {"pool_space": False}]}
    stray = "geats-test-salt-stray"
    salt.cmd("a", "geats.start", a.vm)
    salt.cmd("a", "geats.define", stray, "spec={template: busybox, init: busybox}")
    with listening(salt, "master") as bus, salt.declared(a, pillar={"beacons": beacons}):
        ((_, first),) = heard(bus, "salt/beacon/a/geats/", 1)
        os.kill(salt.cmd("a", "geats.info", a.vm)["pid"], signal.SIGKILL)  # its init
        ((tag, then),) = heard(bus, "salt/beacon/a/geats/state/", 1)
    assert (first["vm"], first["stray"]) == (stray, True)
    assert tag == f"salt/beacon/a/geats/state/{a.vm}"
    assert (then["from"], then["to"]) == ("running", "stopped")


def test_a_grain_says_what_geats_is_there(salt: Master) -> None:
    grain = salt.cmd("a", "grains.get", "geats")
    assert grain["drivers"] == ["lxc"]
    assert grain["pools"] == {"default": "directory"}
    assert set(grain) == {"version", "drivers", "pools", "liblxc"}
    assert salt.cmd("*", "grains.get", "geats:liblxc")["b"] == grain["liblxc"]
