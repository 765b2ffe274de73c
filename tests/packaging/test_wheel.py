"""The wheel is whole, and works with Salt in an environment that knows nothing of this checkout."""

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import yaml

REPO = Path(__file__).parents[2]
SOURCES = ("core", "host", "salt", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")
PILLAR = {
    "geats": {
        "registry": "memory",
        "drivers": {"memory": {}},
        "pools": {"default": {"type": "memory"}},
        "templates": {"debian": {"path": "/srv/templates/debian.tar.zst"}},
        "vms": {"web01": {"driver": "memory", "template": "debian", "memory": "512MiB"}},
    }
}
LISTED: dict[str, object] = {
    "web01": {
        "power": None,
        "to_run": False,
        "to_freeze": False,
        "copy_of": "",
        "declared": True,
        "defined": False,
        "locked": False,
        "pending": 0,
        "driver": None,
        "labels": {},
        "description": "",
        "groups": [],
        "addresses": [],
        "memory_bytes": None,
        "cpus": None,
        "disk_bytes": None,
        "memory_used_bytes": None,
        "cpu_time_s": None,
        "uptime_s": None,
        "problems": [],
        "ended": "",
    }
}


def run(argv: Sequence[str | Path]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@dataclass(frozen=True)
class Minion:
    """A masterless minion: a virtual environment, and a directory for everything it writes."""

    environment: Path
    root: Path

    def call(self, *words: str) -> object:
        """What ``salt-call`` returns for *words*."""
        salt_call = self.environment / "bin/salt-call"
        said = run([salt_call, "--local", "-c", self.root, "--out=json", "-l", "error", *words])
        return json.loads(said)["local"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy, so that nothing of an earlier build can slip in."""
    directory = tmp_path_factory.mktemp("wheel")
    source = directory / "source"
    source.mkdir()
    for name in SOURCES:
        if (REPO / name).is_dir():
            skipped = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(REPO / name, source / name, ignore=skipped)
        else:
            shutil.copy(REPO / name, source / name)
    run([sys.executable, "-m", "build", "--wheel", "--outdir", directory, source])
    (built,) = directory.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh virtual environment with the wheel and Salt."""
    directory = tmp_path_factory.mktemp("environment")
    run([sys.executable, "-m", "venv", directory])
    pip = (directory / "bin/python", "-m", "pip", "install", "--quiet", "--no-compile")
    run((*pip, f"{wheel}[salt]"))
    return directory


@pytest.fixture
def minion(environment: Path, tmp_path: Path) -> Minion:
    return Minion(environment, configured(tmp_path))


def configured(root: Path) -> Path:
    """Write the configuration of a masterless minion that keeps everything below *root*."""
    for name in ("pillar", "states"):
        (root / name).mkdir()
    config = {
        "id": "host1",
        "root_dir": str(root),
        "file_client": "local",
        "pillar_roots": {"base": [str(root / "pillar")]},
        "file_roots": {"base": [str(root / "states")]},
    }
    (root / "minion").write_text(yaml.safe_dump(config))
    (root / "pillar/top.sls").write_text(yaml.safe_dump({"base": {"*": ["geats"]}}))
    paths = {"state_dir": str(root / "state"), "run_dir": str(root / "run")}
    pillar = {"geats": PILLAR["geats"] | paths}
    (root / "pillar/geats.sls").write_text(yaml.safe_dump(pillar))
    return root


def python_files(directory: Path) -> set[Path]:
    return {path.relative_to(directory) for path in directory.rglob("*.py")}


def test_the_wheel_holds_every_module(wheel: Path) -> None:
    """A package that setup.cfg forgets goes unseen in a checkout, but not here."""
    salt = {
        Path("geats_salt", *("resources" if part == "_resources" else part for part in path.parts))
        for path in python_files(REPO / "salt")
    }
    wanted = python_files(REPO / "core") | python_files(REPO / "host") | salt
    with ZipFile(wheel) as archive:
        held = {Path(name) for name in archive.namelist()}
    assert wanted - held == set()
    assert {Path("geats_core/py.typed"), Path("geats_host/py.typed")} <= held


def test_the_wheel_holds_nothing_but_geats(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        held = {Path(name).parts[0] for name in archive.namelist()}
    packages = {name for name in held if not name.endswith(".dist-info")}
    assert packages == {"geats_core", "geats_host", "geats_salt"}


def test_salt_finds_the_installed_modules(minion: Minion) -> None:
    assert minion.call("geats.list", "verbose=True") == LISTED


def test_salt_finds_the_installed_states(minion: Minion) -> None:
    assert minion.call("sys.list_state_functions", "geats.running") == ["geats.running"]


def test_salt_finds_the_installed_modules_for_vms_that_are_targets(minion: Minion) -> None:
    pillar = yaml.safe_load((minion.root / "pillar/geats.sls").read_text())
    target = ("-r", "--tgt=T@geats:host1.web01", "--tgt-type=compound")
    (minion.root / "pillar/geats.sls").write_text(
        yaml.safe_dump(pillar | {"resources": {"geats": {}}})
    )
    assert minion.call(*target, "geats_vm.status", "verbose=True") == LISTED["web01"]
    assert minion.call(*target, "test.ping") is False


def test_salt_finds_the_installed_runner(environment: Path, minion: Minion) -> None:
    (minion.root / "master").write_text(yaml.safe_dump({"root_dir": str(minion.root)}))
    salt_run = environment / "bin/salt-run"
    assert "geats.rebalance:" in run([salt_run, "-c", minion.root, "-d", "geats"])


def test_the_modules_work_from_file_roots(minion: Minion) -> None:
    """Files that Salt syncs to a minion take the place of the installed ones."""
    for kind in ("_modules", "_states"):
        shutil.copytree(REPO / "salt" / kind, minion.root / "states" / kind)
    files = sorted(f"modules.{each.stem}" for each in (REPO / "salt/_modules").glob("*.py"))
    synced: Any = minion.call("saltutil.sync_modules")
    assert sorted(synced) == files
    assert minion.call("saltutil.sync_states") == ["states.geats"]
    assert minion.call("geats.list", "verbose=True") == LISTED
    assert minion.call("geats.strays") == {}


def test_the_command_needs_no_salt(environment: Path) -> None:
    assert "0.1.0" in run([environment / "bin/geats", "--version"])
