"""Jobs of a real master on real minions, with real containers."""

import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

import pytest
import yaml

from geats_host.for_salt.loader import PACKAGES
from tests.real.conftest import sh
from tests.real.minions.conftest import REPO, Master, SaltError, remove_vms


@pytest.fixture(autouse=True)
def nothing_runs(salt: Master) -> Iterator[None]:
    """Each test begins with no VM."""
    yield
    for minion in salt.minions.values():
        remove_vms(minion)


def test_a_vm_of_the_pillar_starts_and_outlives_the_job_and_the_minion(salt: Master) -> None:
    a = salt.minions["a"]
    report = salt.cmd("a", "geats.start", a.vm)
    assert (report["error"], a.power()) == (None, "running")
    assert salt.cmd("a", "geats.start", a.vm)["changes"] == {}
    a.stop()
    assert a.power() == "running"
    a.start()
    salt.wait_for("a")
    assert salt.cmd("a", "geats.list")[a.vm]["power"] == "running"


def test_states_show_their_plan_and_then_apply_it_on_all_minions(salt: Master) -> None:
    states = salt.directory / "states"
    (states / "vms.sls").write_text(
        "{% for name in pillar['geats']['vms'] %}\n{{ name }}:\n  geats.running: []\n{% endfor %}\n"
    )
    shown = salt.cmd("*", "state.apply", "vms", "test=True")
    assert {name: minion.power() for name, minion in salt.minions.items()} == {
        "a": "stopped",
        "b": "stopped",
    }
    done = salt.cmd("*", "state.apply", "vms")
    for name, minion in salt.minions.items():
        (would,), (did,) = shown[name].values(), done[name].values()
        assert (would["result"], did["result"]) == (None, True)
        assert would["changes"] == did["changes"]
        assert minion.power() == "running"
    (again,) = salt.cmd("a", "state.apply", "vms").values()
    assert (again["result"], again["changes"]) == (True, {})


def test_of_two_jobs_on_one_vm_one_waits_or_is_told_who_holds_it(salt: Master) -> None:
    a = salt.minions["a"]
    both = [salt.begin("a", "geats.start", a.vm) for _ in range(2)]
    refusals: list[str] = []
    started = 0
    for asked in both:
        try:
            started += bool(salt.answer(asked, "a")["changes"])
        except SaltError as refused:
            refusals.append(str(refused))
    assert (started, a.power()) == (1, "running")
    assert all("operation" in each or "plan again" in each for each in refusals)


def test_a_job_that_is_killed_leaves_what_the_next_run_repairs(salt: Master) -> None:
    """It waits for a guest that does not listen, and holds the VM's lock meanwhile."""
    a = salt.minions["a"]
    init = a.directory / "root/sbin/init"
    listens = init.read_text()
    init.write_text("#!/bin/sh\ntrap '' USR1 PWR\nwhile :; do sleep 0.1; done\n")
    salt.cmd("a", "geats.start", a.vm)
    init.write_text(listens)
    asked = salt.begin("a", "geats.shutdown", a.vm)
    jid = _job(salt, "geats.shutdown")
    with pytest.raises(SaltError, match="operation"):
        salt.cmd("a", "geats.stop", a.vm)
    salt.cmd("a", "saltutil.kill_job", jid)
    asked.kill()
    asked.communicate()
    assert (a.power(), _asking(a.vm)) == ("running", [])
    assert salt.cmd("a", "geats.apply", a.vm, "stopped", "power_off=stop")["error"] is None
    assert a.power() == "stopped"


def _asking(vm: str) -> list[bytes]:
    """The processes that ask the guest of that name to power off; others ask theirs."""
    found: list[bytes] = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            found.append((process / "cmdline").read_bytes())
    return [each for each in found if b"child.py\0shutdown" in each and vm.encode() in each]


def _job(salt: Master, function: str) -> str:
    """The id of the job that runs it, once it waits for the guest."""
    for _ in range(100):
        running = salt.cmd("a", "saltutil.running")
        found = [job["jid"] for job in running if job["fun"] == function]
        if found:
            time.sleep(1)
            return str(found[0])
        time.sleep(0.2)
    raise AssertionError(f"{function} does not run")


def files(kind: str) -> Iterator[Path]:
    """Our modules of that kind."""
    return (REPO / f"salt/_{kind}").glob("*.py")


def test_modules_of_the_file_roots_take_the_place_of_the_installed_ones(salt: Master) -> None:
    """And new ones are used at once, by the same minion processes."""
    roots = salt.directory / "states"
    kinds = sorted({*PACKAGES} - {"resources", "runners"})  # these are the master's
    for kind in kinds:
        shutil.copytree(REPO / f"salt/_{kind}", roots / f"_{kind}")
    try:
        synced = salt.cmd("*", "saltutil.sync_all")
        assert {name: sorted(chain(*each.values())) for name, each in synced.items()} == {
            name: sorted(f"{kind}.{each.stem}" for kind in kinds for each in files(kind))
            for name in ("a", "b")
        }
        for words in ("first", "second"):
            with (roots / "_modules/geats.py").open("a") as module:
                module.write(f"\n\ndef words():\n    return {words!r}\n")
            salt.cmd("*", "saltutil.sync_all")
            assert salt.cmd("*", "geats.words") == {"a": words, "b": words}
        listed = salt.cmd("*", "geats.list")
        assert {name: [*vms] for name, vms in listed.items()} == {
            name: [minion.vm] for name, minion in salt.minions.items()
        }
    finally:
        for kind in kinds:
            shutil.rmtree(roots / f"_{kind}")
        salt.cmd("*", "saltutil.sync_all")


def test_a_container_that_runs_already_is_adopted_as_it_runs(salt: Master) -> None:
    a = salt.minions["a"]
    name, lxcpath = "geats-test-salt-adopt", a.directory / "lxc"
    shutil.copytree(a.directory / "root", lxcpath / name / "rootfs", symlinks=True)
    lines = (
        "lxc.include = /usr/share/lxc/config/common.conf",
        f"lxc.rootfs.path = dir:{lxcpath / name}/rootfs",
        f"lxc.uts.name = {name}",
        "lxc.apparmor.profile = unconfined",
        "lxc.signal.halt = SIGUSR1",
    )
    (lxcpath / name / "config").write_text("\n".join((*lines, "")))
    sh("lxc-start", "-P", f"{lxcpath}", "-n", name)
    pid = int(sh("lxc-info", "-P", f"{lxcpath}", "-n", name, "-pH"))
    shown = salt.cmd("a", "geats.adopt", name, "template=busybox", "test=True")
    done = salt.cmd("a", "geats.adopt", name, "template=busybox")
    assert done["changes"] == shown["changes"] != {}
    info = salt.cmd("a", "geats.info", name)
    assert (info["pid"], info["power"], info["defined"]) == (pid, "running", True)
    assert salt.cmd("a", "geats.reboot", name)["error"] is None
    assert salt.cmd("a", "geats.info", name)["pid"] != pid


def test_the_runner_sees_all_hosts(salt: Master) -> None:
    a, b = salt.minions["a"], salt.minions["b"]
    salt.cmd("b", "geats.start", b.vm)
    listed = salt.run("geats.list")
    assert {host: [*vms] for host, vms in listed["hosts"].items()} == {"a": [a.vm], "b": [b.vm]}
    found = salt.run("geats.find", "10.77.98.2")["hosts"]
    assert found["b"][b.vm]["power"] == "running"
    assert salt.run("geats.duplicates") == {"duplicates": [], "problems": {}}
    spec = yaml.safe_dump({"template": "busybox", "init": "busybox"}, default_flow_style=True)
    placed = salt.run("geats.place", "geats-test-new", f"spec={spec.strip()}")
    assert placed["host"] in ("a", "b")


def test_a_vm_moves_to_the_other_host_with_its_data(salt: Master) -> None:
    a, b = salt.minions["a"], salt.minions["b"]
    name = "geats-test-salt-move"
    spec = "spec={template: busybox, init: busybox}"
    salt.cmd("a", "geats.start", name, spec)
    salt.cmd("a", "geats.write_file", name, "/tmp/note", "kept")
    shown = salt.run("geats.migrate", name, "b", "test=True")
    assert (shown["source"], shown["problems"], a.power(name)) == ("a", [], "running")
    moved = salt.run("geats.migrate", name, "b")
    assert (moved["counts"], moved["failed"], moved["left"]) == ("b", None, [])
    assert moved["done"] == shown["would"]
    assert (a.power(name), b.power(name)) == ("stopped", "running")
    assert salt.cmd("b", "geats.read_file", name, "/tmp/note") == "kept"
    assert name not in salt.cmd("a", "geats.list")
    assert not list((a.directory / "state/exports").glob("*"))
    assert not list((salt.directory / "var/cache/salt/master/minions/a/files").rglob("*.tar*"))
    salt.cmd("b", "geats.apply", name, "deprovisioned", "power_off=stop")


def test_a_vm_moves_directly_from_host_to_host_and_a_move_that_was_interrupted_goes_on(
    salt: Master,
) -> None:
    """The master only says so; the target fetches it by ssh, which is cut the first time."""
    a, b = salt.minions["a"], salt.minions["b"]
    name, via = "geats-test-salt-direct", "via=ssh://root@127.0.0.1"
    salt.cmd("a", "geats.start", name, "spec={template: busybox, init: busybox}")
    salt.cmd("a", "geats.write_file", name, "/tmp/note", "kept")
    ssh = b.directory / "bin/ssh"
    whole = ssh.read_text()
    ssh.write_text(whole.replace('exec sh -c "$3"', 'sh -c "$3" | head -c 20000'))
    with pytest.raises(SaltError, match="the connection ended before all was there"):
        salt.run("geats.migrate", name, "b", via)
    ssh.write_text(whole)
    assert (a.power(name), b.power(name)) == ("running", "stopped")
    moved = salt.run("geats.migrate", name, "b", via)
    assert (moved["counts"], moved["failed"], moved["left"]) == ("b", None, [])
    assert (a.power(name), b.power(name)) == ("stopped", "running")
    assert salt.cmd("b", "geats.read_file", name, "/tmp/note") == "kept"
    assert name not in salt.cmd("a", "geats.list")
    assert salt.cmd("b", "geats.apply", name)["changes"] == {}
    salt.cmd("b", "geats.apply", name, "deprovisioned", "power_off=stop")
