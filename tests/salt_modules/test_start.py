"""What geats costs a process of Salt that does not call it."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml


@pytest.mark.parametrize(("function", "imported"), [("test.ping", False), ("geats.list", True)])
def test_salt_imports_geats_when_it_is_called_and_not_before(
    tmp_path: Path, function: str, imported: bool
) -> None:
    paths = {"state_dir": str(tmp_path / "state"), "run_dir": str(tmp_path / "run")}
    geats = {"registry": "memory", "drivers": {"memory": {}}, "pools": {}, **paths}
    config = {"id": "host1", "root_dir": str(tmp_path), "file_client": "local", "geats": geats}
    (tmp_path / "minion").write_text(yaml.safe_dump(config))
    salt_call = str(Path(sys.executable).parent / "salt-call")
    argv = [sys.executable, "-X", "importtime", salt_call, "--local", "-c"]
    done = subprocess.run(
        [*argv, str(tmp_path), function], capture_output=True, text=True, cwd="/", timeout=120
    )
    assert done.returncode == 0, done.stdout
    assert (" geats_core\n" in done.stderr) is imported
