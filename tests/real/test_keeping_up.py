"""A container whose program ends is seen, told and started again; one that was stopped is not."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from returns.result import Success

from geats_host.calls import inventory, lifecycle
from geats_host.calls.guests import keeping_up
from geats_host.engine.apply_plan import apply_plan
from tests.real.owner import Owner

NAME = "geats-test-kept"
ENDS = "while [ ! -e /end ]; do sleep 0.1; done; read code < /end; rm /end; exit $code"


class OfOne(Owner):
    """Someone who runs one program in a container."""

    def declare(self, restart: str) -> None:
        self.vms[NAME] = {
            "template": "busybox",
            "init": "none",
            "command": ["/bin/ends"],
            "restart": restart,
            "shutdown_timeout": 1,
        }

    def to(self, target: str) -> None:
        """Bring it there; how a step was done may be noted."""
        opened = self.host
        planned = lifecycle.plan_to(opened, NAME, target)
        assert isinstance(apply_plan(opened, planned), Success)

    def end(self, code: int) -> None:
        """Let the program exit, and wait for it."""
        (found,) = (self.directory / "pool").glob(f"**/{NAME}/root/**/bin/ends")
        (found.parent.parent / "end").write_text(f"{code}\n")
        deadline = time.monotonic() + 20
        while self.row["power"] != "stopped":
            assert time.monotonic() < deadline
            time.sleep(0.1)

    @property
    def row(self) -> dict[str, object]:
        return inventory.list_report(self.host)[NAME]


@pytest.fixture
def owner(own_namespaces: None, busybox_rootfs: Path, tmp_path: Path) -> Iterator[OfOne]:
    program = tmp_path / "root/bin/ends"
    program.write_text(f"#!/bin/sh\n{ENDS}\n")
    program.chmod(0o755)
    someone = OfOne(tmp_path)
    someone.declare("on-failure")
    yield someone
    someone.to("deprovisioned")


def test_a_program_that_fails_is_started_again_and_one_that_ends_well_is_not(owner: OfOne) -> None:
    owner.to("running")
    owner.end(3)
    assert str(owner.row["ended"]).startswith("exited (3), restarts ")

    deadline = time.monotonic() + 20
    while not (told := keeping_up.keep_up(owner.host)):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert told == [{"vm": NAME, "why": "it exited (3) by itself"}]
    assert owner.row["power"] == "running"

    owner.end(3)
    assert str(owner.row["ended"]).startswith("exited (3), restarts in ")  # after 2 s now
    owner.to("running")
    owner.end(0)
    assert owner.row["ended"] == "exited (0)"
    owner.declare("always")
    owner.to("defined")
    assert str(owner.row["ended"]).startswith("exited (0), restarts ")


def test_a_guest_that_was_stopped_stays_off(owner: OfOne) -> None:
    owner.to("running")
    owner.to("stopped")
    assert owner.row["ended"] == ""
    assert keeping_up.keep_up(owner.host) == []


def test_with_which_code_a_job_ended_is_known_though_nobody_starts_it_again(owner: OfOne) -> None:
    owner.declare("no")
    for code in (0, 7):
        owner.to("running")
        owner.end(code)
        assert inventory.info_report(owner.host, NAME)["exit_code"] == code
    assert keeping_up.keep_up(owner.host) == []
