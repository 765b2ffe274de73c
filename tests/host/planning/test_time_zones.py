"""Time zones that nobody knows: refused before a VM is shut down for them."""

from dataclasses import replace
from pathlib import Path

import pytest

from geats_core.planning.actions import ConfigureGuest
from geats_core.planning.steps import Step
from geats_core.vm.observation import Observation, Power, Stage, VolumeSeen
from geats_core.vm.parse import parse_vm
from geats_host.guest_trees import guest_accounts
from geats_host.planning import time_zones
from geats_host.plugins.opened import Opened
from geats_host.storage import Pool, VolumeId
from geats_host.storage.directory import DirectoryPool

NEW, WRONG = "America/Coyhaique", "Europe/Amsterdm"
ROOT = VolumeSeen(name="root", pool="p", stage=Stage.INSTALLED, active=True)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of a guest that knows a new zone, on a host that knows only one."""
    monkeypatch.setattr(guest_accounts, "host_zones", lambda: tmp_path / "of_host")
    (tmp_path / "of_host").mkdir()
    (tmp_path / "of_host/UTC").touch()
    root = DirectoryPool(tmp_path / "pool", 0).path(VolumeId("web", "root"))
    zone = root / guest_accounts.ZONES / NEW
    zone.parent.mkdir(parents=True)
    zone.touch()
    return tmp_path


def wrong(tree: Path, zone: str, have: Observation) -> list[str]:
    """What is said of a VM with this zone."""
    spec = parse_vm("web", {"template": "t", "timezone": zone}).unwrap()
    steps = [Step(vm="web", action=ConfigureGuest("p", "root", spec), reason="")]
    pools: Opened[Pool] = Opened("pool", {"p": lambda: DirectoryPool(tree / "pool", 0)})
    return [f"{each}" for each in time_zones.problems(steps, {"web": have}, pools)]


def test_a_zone_is_known_to_the_guest_or_to_the_host(tree: Path) -> None:
    there = Observation(power=Power.RUNNING, volumes=(ROOT,))
    said = [
        f"web.timezone: neither the guest nor this host knows {WRONG!r}:"
        " correct it, or update tzdata"
    ]
    assert wrong(tree, NEW, there) == []
    assert wrong(tree, "UTC", there) == []
    assert wrong(tree, WRONG, there) == said
    assert wrong(tree, WRONG, Observation()) == said
    away = replace(there, volumes=(replace(ROOT, active=False),))
    assert wrong(tree, WRONG, away) == said


def test_what_cannot_be_known_is_not_refused(tree: Path) -> None:
    spec = parse_vm("web", {"template": "t", "timezone": WRONG}).unwrap()
    assert wrong(tree, WRONG, Observation(recorded=spec)) == []
    (tree / "of_host/UTC").unlink()
    assert wrong(tree, WRONG, Observation()) == []
    there = Observation(power=Power.RUNNING, volumes=(ROOT,))
    assert len(wrong(tree, WRONG, there)) == 1
