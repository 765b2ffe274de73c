"""A container that something else made, adopted from the command line; it is off."""

import json
from pathlib import Path

import pytest
import yaml

from tests.host.cli.conftest import Geats
from tests.memory_host import memory_config


@pytest.fixture
def container(tmp_path: Path) -> Path:
    """The directory of a container, in the lxcpath of geats."""
    folder = tmp_path / "lxc/old01"
    (folder / "rootfs/etc").mkdir(parents=True)
    text = f"lxc.rootfs.path = dir:{folder}/rootfs\nlxc.uts.name = old\nlxc.hook.start = /x\n"
    (folder / "config").write_text(text)
    return folder


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "geats.yaml"
    changed = {
        "drivers": {"memory": {}, "lxc": {"path": f"{tmp_path}/lxc"}},
        "pools": {"default": {"type": "directory", "path": f"{tmp_path}/pool"}},
        "registry": "sqlite",
        "vms": {},
    }
    file.write_text(yaml.safe_dump({"geats": {**memory_config(tmp_path), **changed}}))
    return file


def test_it_is_shown_then_adopted_and_its_description_is_told(
    geats: Geats, container: Path
) -> None:
    before = (container / "config").read_text()
    code, out, err = geats("adopt", "old01", "--template", "debian", "--dry-run")
    assert (code, err) == (0, "")
    assert "kept in old01, added by hand: lxc.hook.start = /x" in out
    assert (container / "config").read_text() == before

    code, out, err = geats("adopt", "old01", "--template", "debian")
    assert (code, err) == (0, "")
    described = {"privileged": True, "includes": [], "hostname": "old", "template": "debian"}
    assert yaml.safe_load(out[out.index("# Nothing describes") :]) == {
        "geats": {"vms": {"old01": described}}
    }
    assert (container / "config.before-geats").read_text() == before
    row = json.loads(geats("--json", "list")[1])["old01"]
    assert (row["power"], row["defined"], row["declared"]) == ("stopped", True, False)
    actions = [each["action"] for each in json.loads(geats("--json", "journal", "old01")[1])]
    assert actions[-1] == "adopt old01 as it is: its config is written by geats from now on"


def test_what_cannot_be_adopted_is_refused(geats: Geats, container: Path) -> None:
    code, out, err = geats("adopt", "old01")
    assert (code, out) == (2, "")
    assert "refused: template: is missing: nothing describes old01" in err
    code, out, err = geats("adopt", "old1")
    assert (code, out) == (2, "")
    assert "unknown container or domain 'old1', did you mean 'old01'?" in err
    (container / "config").unlink()
    (container / "config").mkdir()
    assert geats("adopt", "old01", "--template", "debian")[0] == 2
