"""A state directory that is full or read-only: all is shown, and what makes room is done."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn

import pytest

from geats_core.vm.observation import Power
from geats_host.calls import inventory, lifecycle
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import HostError
from geats_host.host import Host
from geats_host.planning.facts import record
from geats_host.planning.plans import candidate
from geats_host.registry import schema
from geats_host.watching import history
from tests.memory_host import memory_config

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a filesystem")
SHOWING = (
    inventory.list_report,
    inventory.status_report,
    inventory.pools_report,
    inventory.volumes_report,
    inventory.drivers_report,
    inventory.pending_report,
    inventory.strays_report,
    inventory.overview_report,
    lambda host: inventory.info_report(host, "web01"),
    lambda host: history.journal_report(host, "web01", 5),
    record,
    candidate,
)
MAKING_ROOM = ("stop", "deprovision")


def mounted(directory: Path) -> Path:
    """A small filesystem on which a host keeps its state."""
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(directory)], check=True)
    return directory


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """Two VMs that run, on a host whose state is on a small filesystem."""
    state = mounted(tmp_path / "state")
    try:
        host = Host.from_config({**memory_config(tmp_path), "registry": "sqlite"})
        for name in ("web01", "db01"):
            apply_plan(host, lifecycle.plan_to(host, name)).unwrap()
        yield host
    finally:
        subprocess.run(["umount", str(state)], check=True)


def fill(state: Path) -> None:
    """Leave no byte on it."""
    with (state / "filler").open("wb", buffering=0) as file:
        size = 1 << 16
        while size:
            try:
                file.write(b"x" * size)
            except OSError:
                size //= 2


def read_only(state: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(state)], check=True)


WAYS = {"full": fill, "read-only": read_only}


def powers(host: Host) -> Mapping[str, Power]:
    return {name: have.power for name, have in host.observe_all().items()}


@needs_root
@pytest.mark.parametrize("way", WAYS)
def test_everything_is_shown_where_nothing_can_be_written(
    host: Host, tmp_path: Path, way: str
) -> None:
    shown = [_steady(show(host)) for show in SHOWING]
    WAYS[way](tmp_path / "state")
    assert [_steady(show(host)) for show in SHOWING] == shown
    raw = {**memory_config(tmp_path), "registry": "sqlite"}
    assert lifecycle.validate(raw, "web01") == {"web01": ()}


def _steady(report: object) -> object:
    """What does not change with time: not the load of the machine."""
    return {**report, "host": None} if isinstance(report, dict) and "host" in report else report


@needs_root
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("verb", ["stop", "shutdown", "freeze"])
def test_a_vm_is_powered_off_and_frozen_where_nothing_can_be_written(
    host: Host, tmp_path: Path, way: str, verb: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state" / ".registry.sqlite.reserve").unlink()
    WAYS[way](tmp_path / "state")
    apply_plan(host, lifecycle.plan_verb(host, verb, "web01")).unwrap()
    expected = Power.FROZEN if verb == "freeze" else Power.STOPPED
    assert powers(host) == {"web01": expected, "db01": Power.RUNNING}
    assert "the journal could not be written" in caplog.text


@needs_root
def test_a_vm_is_deprovisioned_on_a_full_disk_with_the_room_that_is_kept(
    host: Host, tmp_path: Path
) -> None:
    fill(tmp_path / "state")
    apply_plan(host, lifecycle.plan_verb(host, "deprovision", "web01")).unwrap()
    assert powers(host) == {"db01": Power.RUNNING}
    (tmp_path / "state" / "filler").unlink()
    apply_plan(host, lifecycle.plan_verb(host, "stop", "db01")).unwrap()
    assert (tmp_path / "state" / ".registry.sqlite.reserve").stat().st_size == 1 << 20


@needs_root
@pytest.mark.parametrize("verb", ["stop", "deprovision"])
def test_a_full_run_directory_keeps_nothing_from_being_powered_off(
    tmp_path: Path, verb: str
) -> None:
    run = mounted(tmp_path / "run")
    try:
        host = Host.from_config(memory_config(tmp_path))
        apply_plan(host, lifecycle.plan_to(host, "web01")).unwrap()
        fill(run)
        apply_plan(host, lifecycle.plan_verb(host, verb, "web01")).unwrap()
        with pytest.raises(HostError, match=r"run/reservations/.*: No space left on device"):
            apply_plan(host, lifecycle.plan_verb(host, "start", "db01"))
        (run / "filler").unlink()
        apply_plan(host, lifecycle.plan_verb(host, "start", "db01")).unwrap()
    finally:
        subprocess.run(["umount", str(run)], check=True)


@needs_root
def test_a_database_that_sqlite_tried_in_vain_for_long_is_left_alone_for_a_while(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "SLOW_S", -1.0)  # whatever fails took long
    read_only(tmp_path / "state")
    known = record(host)

    def tried(_: Path) -> NoReturn:
        raise AssertionError("SQLite tries again")

    monkeypatch.setattr(schema, "_connected_to_read", tried)
    assert record(host) == known
    apply_plan(host, lifecycle.plan_verb(host, "stop", "web01")).unwrap()
    interrupted = apply_plan(host, lifecycle.plan_verb(host, "start", "web01")).failure()
    assert "cannot be used, as was found a moment ago" in interrupted.failed[0].error


@needs_root
def test_what_takes_room_is_refused_with_the_reason(host: Host, tmp_path: Path) -> None:
    apply_plan(host, lifecycle.plan_verb(host, "stop", "web01")).unwrap()
    read_only(tmp_path / "state")
    interrupted = apply_plan(host, lifecycle.plan_verb(host, "start", "web01")).failure()
    assert "registry.sqlite: " in interrupted.failed[0].error
