"""Fleets of other programs, by the command line: whole directories, and a plan of them."""

import json
from pathlib import Path

import pytest
import yaml

from tests.core.automation.test_ansible_import import CONFIG as LINES
from tests.core.automation.test_salt_import import PILLAR, STATES
from tests.core.incus.fleet import INSTANCE, PROFILE
from tests.host.cli.conftest import Geats

TASK = {
    "name": "app01",
    "template": "debian",
    "template_options": "-r bookworm",
    "container_config": LINES,
}
FLEETS: dict[str, dict[str, object]] = {
    "import-incus": {"fleet.json": [INSTANCE], "profiles.json": [PROFILE]},
    "import-salt-lxc": {"pillar.yaml": PILLAR, "below/states.sls": STATES},
    "import-ansible": {"play.yml": [{"hosts": "all", "tasks": [{"lxc_container": TASK}]}]},
}
HOST = {
    "registry": "memory",
    "drivers": {"lxc": {"type": "memory"}},
    "pools": {"default": {"type": "memory"}},
}


@pytest.fixture
def fleet(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    folder = tmp_path / "fleet"
    for name, document in FLEETS[request.param].items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(document))
    return folder


@pytest.mark.parametrize(
    ("command", "fleet"), [(each, each) for each in FLEETS], indirect=["fleet"]
)
def test_a_fleet_is_planned_as_it_is_imported(
    call: Geats, fleet: Path, tmp_path: Path, command: str
) -> None:
    code, out, err = call(command, f"{fleet}")
    assert (code, err) == (0, "")
    paths = {"state_dir": f"{tmp_path}/state", "run_dir": f"{tmp_path}/run"}
    made = yaml.safe_load(out)["geats"]
    (tmp_path / "geats.yaml").write_text(yaml.safe_dump({"geats": HOST | paths | made}))
    code, out, err = call("--json", "--config", f"{tmp_path}/geats.yaml", "plan")
    plan = json.loads(out)
    assert (code, plan["refused"]) == (0, {})
    assert {each["vm"] for each in plan["steps"]} == made["vms"].keys()


@pytest.mark.parametrize("command", [*FLEETS, "import-lxc", "import-proxmox", "import-libvirt"])
def test_files_that_are_wrong_are_told_of_and_stop_no_other(
    call: Geats, tmp_path: Path, command: str
) -> None:
    empty, wrong = tmp_path / "empty", tmp_path / "wrong.yml"
    empty.mkdir()
    wrong.write_text("{% for each in all %}: [")
    code, out, err = call(command, f"{empty}", f"{tmp_path}/gone", f"{wrong}")
    told = [line for line in out.splitlines() if line.startswith("# still wrong: ")]
    assert (code, err, len(told)) == (2, "", 3)
    assert "empty: has no file that is named like" in told[0]
    assert "gone: No such file or directory" in told[1]
    assert "wrong.yml" in told[2]
    if command in FLEETS:
        assert told[2].endswith("it needs rendering, as it has variables")
