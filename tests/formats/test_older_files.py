"""What every older version wrote is read, and as it was meant."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from geats_core.jobs.manifests import manifest_from_json
from geats_core.planning.actions import UpgradeRegistry
from geats_core.plans.plan_files import plan_from_json, recorded_from_json
from geats_core.reading import file_formats
from geats_core.vm.lxc_config import read_lxc_config
from geats_core.vm.observation import Stage
from geats_core.vm.parse import parse_vm
from geats_host.guest_trees.folders import open_directory
from geats_host.registry import Entry, Outcome, sqlite
from geats_host.storage import VolumeId
from geats_host.storage.marks import read_marks

HERE = Path(__file__).parent
SCHEMAS = {"2b4724a": 1, "235d779": 1, "5673170": 2, "9caa880": 2, "38423b3": 2}
SPEC = parse_vm(
    "web01",
    {
        "template": "debian",
        "init": "systemd",  # the default of these versions
        "memory": "512MiB",
        "volumes": [
            {"name": "root", "size": "2GiB"},
            {"name": "data", "mount": "/data", "size": "1GiB"},
        ],
        "nics": [{"name": "eth0", "bridge": "br0", "addresses": ["10.0.0.2/24"]}],
    },
).unwrap()


def every(file: str) -> pytest.MarkDecorator:
    """All files of that name."""
    paths = sorted(HERE.glob(f"*/{file}"))
    return pytest.mark.parametrize("path", paths, ids=[path.parent.name for path in paths])


def test_the_files_of_every_version_are_there() -> None:
    assert {path.parent.name for path in HERE.glob("*/registry.sql")} == set(SCHEMAS)


@every("registry.sql")
def test_a_registry_is_read_and_upgraded(path: Path, tmp_path: Path) -> None:
    version = path.parent.name
    with closing(sqlite3.connect(tmp_path / "registry.sqlite")) as database:
        database.executescript(path.read_text())
    registry = sqlite.open_registry({}, tmp_path)
    upgrade = UpgradeRegistry(SCHEMAS[version], file_formats.REGISTRY)
    origin = "me" if SCHEMAS[version] > 1 else ""
    journal = [
        Entry(time_s=1.5, vm="web01", action="start web01", outcome=Outcome.INTENT, detail="why"),
        Entry(time_s=2.5, vm="web01", action="start web01", outcome=Outcome.DONE, origin=origin),
    ]
    for _ in range(2):
        assert registry.definitions() == {"web01": SPEC}
        assert registry.unreadable() == {}
        assert registry.locked() == {"web01"}
        assert list(registry.journal("web01")) == journal
        assert registry.problems() == []
        registry.upgrade(upgrade)
    assert registry.outdated() is None


@every("config")
def test_a_config_is_read(path: Path) -> None:
    """One of before there was a list of lines is known to be of geats, and is written again."""
    read = read_lxc_config(path.read_text(), "web01")
    assert (read.foreign, read.unreadable) == (False, "")
    assert read.spec == (None if path.parent.name == "2b4724a" else SPEC)


@every("geats.json")
def test_marks_are_read(path: Path) -> None:
    with open_directory(path.parent) as at:
        seen = read_marks(at, VolumeId("web01", "root"))
    assert seen is not None
    assert (seen.stage, seen.active, seen.size_bytes) == (Stage.INSTALLED, True, 2 << 30)
    assert (seen.template, seen.guest, seen.unreadable) == ("debian", "f", "")


@every("recorded.json")
def test_a_recorded_host_is_read(path: Path) -> None:
    read = recorded_from_json(path.read_text()).unwrap()
    assert read.observations["web01"].recorded == SPEC
    assert read.facts.templates == frozenset({"debian"})


@every("plan.json")
def test_a_plan_whose_fingerprint_does_not_cover_it_has_to_be_made_again(path: Path) -> None:
    (problem,) = plan_from_json(path.read_text()).failure()
    assert str(problem).startswith("version: is 1, of an older geats")


@every("manifest.json")
def test_an_archive_is_read(path: Path) -> None:
    manifest = manifest_from_json("a.tar", path.read_text()).unwrap()
    assert (manifest.spec, manifest.template) == (SPEC, "debian")
