"""What the tables for those who move in call geats, it has."""

import ast
import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from geats_core.declared.config import parse_config
from geats_core.domains.machine_keys import KEYS
from geats_host.cli.main import cli
from tests.core.proxmox.guests import CONTAINER, MACHINE, STORAGES

REPO = Path(__file__).parents[2]
PAGE = REPO / "docs/how-to/moving-in.md"


def test_every_function_and_state_that_the_tables_name_is_one() -> None:
    named = set(re.findall(r"geats\.([a-z_]+)", PAGE.read_text())) - {"yaml", "conf"}
    there = {
        found.name.removesuffix("_")
        for file in REPO.glob("salt/_*/geats*.py")
        for found in ast.parse(file.read_text()).body
        if isinstance(found, ast.FunctionDef)
    }
    assert named - there == set()
    assert len(named) > 20


def test_every_key_of_hardware_that_the_tables_name_is_one() -> None:
    named = set(re.findall(r"hardware\.([a-z_]+)", PAGE.read_text()))
    assert named - KEYS.keys() == set()
    assert len(named) > 15


@pytest.mark.parametrize("folder", ["lxc", "qemu-server"])
def test_the_guests_of_the_page_are_read_as_it_says(folder: str, tmp_path: Path) -> None:
    """Its command, on guests that have every setting of its tables."""
    text = {"lxc": CONTAINER, "qemu-server": MACHINE}[folder]
    file, storages = tmp_path / folder / "101.conf", tmp_path / "storage.cfg"
    file.parent.mkdir()
    file.write_text(text)
    storages.write_text(STORAGES)
    done = CliRunner().invoke(cli, ["import-proxmox", "--storage", f"{storages}", f"{file}"])
    assert (done.exit_code, done.stderr) == (0, "")
    assert parse_config(yaml.safe_load(done.stdout)["geats"]).unwrap().vms.keys() <= {"db01", "www"}
