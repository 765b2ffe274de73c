"""Which plugin a name in the configuration means."""

import json
import sys
from pathlib import Path

import pytest

from geats_host.drivers.memory import open_driver as own_memory
from geats_host.plugins.entry_points import driver_plugin

ENTRY_POINTS = "[geats.drivers]\nmemory = json:dumps\nbhyve = json:loads\n"


@pytest.fixture(autouse=True)
def other_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is found after geats, with two drivers."""
    folder = tmp_path / "other-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])


def test_a_driver_of_another_package_is_found_by_its_name() -> None:
    found: object = driver_plugin("geats.drivers.bhyve", "bhyve")

    assert found is json.loads


def test_another_package_cannot_take_the_name_of_a_driver_of_ours() -> None:
    assert driver_plugin("geats.drivers.memory", "memory") is own_memory
