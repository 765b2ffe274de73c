"""A machine remembers where its VMs are: what a configuration has lost is neither made nor gone."""

import json
import logging
import os
import stat
from pathlib import Path

import pytest

from geats_core.planning.costs import Impact
from geats_core.planning.goal import Goal, Target
from geats_host.calls import lifecycle
from geats_host.drivers.memory import MemoryDriver
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import HostError, Refused
from geats_host.host import Host
from geats_host.observing import known_places
from geats_host.planning.goals import Wishes
from geats_host.planning.plans import plan_wishes
from tests.memory_host import memory_host


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What this machine remembers: of one test only, and whoever runs it."""
    path = tmp_path / "machine/host.json"
    monkeypatch.setenv(known_places.VARIABLE, str(path))
    monkeypatch.setattr(known_places, "ROOT", os.geteuid())
    return path


@pytest.fixture
def there(tmp_path: Path) -> Host:
    """A host on which web01 runs."""
    host = memory_host(tmp_path)
    run(host, "web01")
    return host


def run(host: Host, name: str) -> None:
    apply_plan(host, lifecycle.plan_to(host, name)).unwrap()


def lost(tmp_path: Path, **change: object) -> Host:
    """The same machine, whose configuration no longer says where that is."""
    return memory_host(tmp_path, {"state_dir": str(tmp_path / "lost"), **change})


def places(file: Path) -> list[str]:
    return [Path(each["state_dir"]).name for each in json.loads(file.read_text())["places"]]


@pytest.mark.parametrize("registry", ["memory", "sqlite"])
@pytest.mark.parametrize("target", Target)
def test_a_vm_that_is_elsewhere_is_neither_made_again_nor_gone(
    tmp_path: Path, there: Host, target: Target, registry: str
) -> None:
    host = lost(tmp_path, registry=registry)
    where = f"with state_dir: {tmp_path}/state and drivers: {{memory: {{}}}}, and this conf"
    with pytest.raises(Refused, match="web01: is on this host already") as refused:
        lifecycle.plan_to(host, "web01", target)
    assert where in str(refused.value)


@pytest.mark.parametrize("target", [Target.OFF, Target.DEPROVISIONED, Target.RUNNING])
def test_one_that_is_elsewhere_is_refused_where_all_of_the_host_is_wanted(
    tmp_path: Path, there: Host, target: Target
) -> None:
    with pytest.raises(Refused, match="web01: is on this host already"):
        plan_wishes(
            lost(tmp_path, vms={"web01": {"profile": "small"}}),
            Wishes(Goal(name="", target=target)),
        )


@pytest.mark.parametrize("end", ["stopped", "undefined", "deprovisioned"])
def test_one_that_is_elsewhere_is_not_said_to_be_gone(
    tmp_path: Path, there: Host, end: str
) -> None:
    host = lost(tmp_path, vms={}, gone={"web01": end})
    made = plan_wishes(host, Wishes(Goal(name="", target=Target.RUNNING)))
    assert (made.plan.is_empty, len(made.warnings)) == (True, 1)
    assert made.warnings[0].startswith("web01: is on this host already")
    with pytest.raises(Refused, match="web01: is on this host already"):
        lifecycle.plan_to(lost(tmp_path, vms={}), "web01", end.replace("stopped", "undefined"))


def test_another_vm_is_not_made_where_web01_would_be_left_behind(
    tmp_path: Path, there: Host, file: Path
) -> None:
    host = lost(tmp_path)
    with pytest.raises(Refused, match=r"db01.driver: drivers.memory is now .*/lost.* was .*/state"):
        lifecycle.plan_to(host, "db01")
    assert places(file) == ["state"]


def test_with_leave_other_vms_go_on_and_both_places_are_remembered(
    tmp_path: Path, there: Host, file: Path
) -> None:
    host = lost(tmp_path)
    planned = lifecycle.plan_to(host, "db01", allow_data_loss=True)
    assert (planned.plan.impact, planned.plan.steps[0].vm) == (Impact.DATA_LOSS, "")
    apply_plan(host, planned).unwrap()

    assert places(file) == ["lost", "state"]
    more = lost(tmp_path, vms={"db02": {"profile": "small"}})
    assert lifecycle.plan_to(more, "db02").plan.impact is Impact.NONE
    with pytest.raises(Refused, match="web01: is on this host already"):
        lifecycle.plan_to(host, "web01")
    assert lifecycle.plan_to(there, "web01").plan.is_empty


def test_what_is_no_longer_there_stands_in_nobodys_way(
    tmp_path: Path, there: Host, file: Path
) -> None:
    apply_plan(
        there, lifecycle.plan_to(there, "web01", "deprovisioned", allow_data_loss=True)
    ).unwrap()
    host = lost(tmp_path)
    run(host, "web01")
    assert places(file) == ["lost"]


def test_what_cannot_be_looked_at_is_kept_in_mind(
    tmp_path: Path, there: Host, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = there.drivers["memory"]

    def observe(self: MemoryDriver, only: str | None = None) -> object:
        if self is driver:
            raise HostError("no answer")
        return dict(self.vms)

    monkeypatch.setattr(MemoryDriver, "observe", observe)
    host = lost(tmp_path)
    apply_plan(host, lifecycle.plan_to(host, "db01", allow_data_loss=True)).unwrap()
    assert places(file) == ["lost", "state"]


def test_a_plan_that_is_only_made_is_not_remembered(tmp_path: Path, file: Path) -> None:
    lifecycle.plan_to(memory_host(tmp_path), "web01")
    assert not file.parent.exists()


def test_the_file_is_for_root_only_and_says_its_format(there: Host, file: Path) -> None:
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text())["format"] == 1


def test_guests_can_pass_through_the_folder_of_the_file(there: Host, file: Path) -> None:
    """It is made before all else on a new host, and is the ``state_dir`` of most."""
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o711


def test_who_is_not_root_notes_nothing(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_places, "ROOT", os.geteuid() + 1)
    run(memory_host(tmp_path), "web01")
    assert not file.exists()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "must be JSON"),
        ('{"format": 9, "places": []}', "was written by a newer geats"),
        ('{"format": 1, "places": [1]}', "places"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_left_alone_and_stops_nobody(
    tmp_path: Path, file: Path, text: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    file.parent.mkdir()
    file.write_text(text)
    with caplog.at_level(logging.WARNING):
        run(memory_host(tmp_path), "web01")
    assert file.read_text() == text
    assert f"{file}" in caplog.text
    assert why in caplog.text


def test_a_place_that_cannot_be_written_to_is_told_and_stops_nobody(
    tmp_path: Path, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file.mkdir(parents=True)
    file.parent.joinpath("host.json.new").mkdir()
    with caplog.at_level(logging.WARNING):
        run(memory_host(tmp_path), "web01")
    assert f"{file}: " in caplog.text


def test_a_host_that_is_to_remember_nothing_does_not(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(known_places.VARIABLE, "")
    for host in (memory_host(tmp_path), lost(tmp_path)):
        run(host, "web01")
    assert not file.parent.exists()


def test_a_place_is_described_by_what_differs() -> None:
    old = known_places.Place("/a", "lxc", {"path": "/srv/lxc", "python": "python3"})
    new = known_places.Place("/a", "lxc", {"path": "/srv/vms", "python": "python3", "prefix": 1})
    assert new.beside(old) == 'with drivers: {lxc: {"path": "/srv/vms", "prefix": 1}}'
    assert old.beside(new) == 'with drivers: {lxc: {"path": "/srv/lxc", "prefix": null}}'
    assert known_places.Place("/b", "lxc", old.options).beside(old) == "with state_dir: /b"
