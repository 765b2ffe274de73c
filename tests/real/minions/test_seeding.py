"""A Salt minion whose configuration and keys geats wrote into a guest, and the real master.

The guest is off, and its minion runs on this host, on the tree of the guest: the template has no
Python.
"""

import subprocess
import time
from pathlib import Path

from tests.real.conftest import busybox_root
from tests.real.minions.conftest import PATIENCE_S, Master, Minion

NAME = "geats-test-salt-seeded"


def template(folder: Path) -> Path:
    """A root that has a salt-minion, or says so."""
    busybox_root(folder)
    program = folder / "usr/bin/salt-minion"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return folder


def test_a_seeded_minion_is_accepted_before_it_starts_and_hears_its_master(salt: Master) -> None:
    host = salt.minions["a"]
    said = {"return_retry_timer": 1}
    vm = {
        "template": "seeded",
        "init": "busybox",
        "minion": {"master": "127.0.0.1", "config": said},
    }
    templates = {"seeded": {"path": f"{template(host.directory / 'seeded')}"}}
    with salt.declared(host, templates=templates, vms={NAME: vm}):
        salt.cmd("a", "geats.provision", NAME)
        (written,) = host.directory.glob(f"volumes/**/{NAME}*/**/99-geats.conf")
        etc = written.parents[1]
        (etc / "minion").write_text(
            f"root_dir: {etc.parents[1]}\nsock_dir: {host.directory}/s\nuser: root\n"
        )

        shown = salt.run("geats.accept", NAME, "a", "test=True")
        accepted = salt.run("geats.accept", NAME, "a")
        assert (accepted["id"], accepted["new"]) == (NAME, True)
        assert accepted["fingerprint"] == shown["fingerprint"]
        assert salt.run("geats.accept", NAME, "a")["new"] is False

        guest = Minion(NAME, etc)
        try:
            guest.start()
            answered_to(salt, guest)
            log = (salt.directory / "salt-master.log").read_text()
            assert f"Authentication accepted from {NAME}" in log
        finally:
            guest.stop()
            forget = ["salt-key", "-c", f"{salt.directory}", "--yes", "--delete", NAME]
            subprocess.run(forget, check=True, capture_output=True, timeout=PATIENCE_S)


def answered_to(salt: Master, guest: Minion) -> None:
    """Wait until the guest's minion did what this master asked it to."""
    deadline = time.monotonic() + PATIENCE_S
    while "return_data: True" not in guest.log():
        assert time.monotonic() < deadline, guest.log()[-4000:]
        salt.begin(NAME, "test.ping", timeout_s=1).communicate(timeout=PATIENCE_S)
