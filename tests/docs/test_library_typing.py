"""Users of geats_core see the type of everything that they use."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import geats_core

CORE = Path(geats_core.__file__).parents[1]
USER = Path(__file__).with_name("library_user.py")


def pyright(*arguments: str, cwd: Path) -> dict[str, object]:
    """What pyright finds where geats_core is an installed package, not a part of the project."""
    argv = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--outputjson"]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # else it finds another Python
    environment = {**os.environ, "PYTHONPATH": str(CORE), "PATH": path}
    done = subprocess.run(
        [*argv, *arguments], capture_output=True, text=True, cwd=cwd, env=environment
    )
    assert done.stdout, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_a_user_in_strict_mode_sees_no_unknown_type(tmp_path: Path) -> None:
    shutil.copy(USER, tmp_path)
    (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}')
    found = pyright("--project", str(tmp_path), cwd=tmp_path)
    summary = found["summary"]
    assert isinstance(summary, dict)
    assert (found["generalDiagnostics"], summary["filesAnalyzed"]) == ([], 1)


def test_no_name_of_the_package_is_of_unknown_type(tmp_path: Path) -> None:
    """Whether they are public or not; types of other packages are theirs."""
    found = pyright("--verifytypes", "geats_core", "--ignoreexternal", cwd=tmp_path)
    completeness = found["typeCompleteness"]
    assert isinstance(completeness, dict)
    counts = completeness["exportedSymbolCounts"]
    assert counts["withUnknownType"] == 0
    assert counts["withKnownType"] > len(geats_core.__all__)


def test_the_user_uses_every_public_name() -> None:
    text = USER.read_text()
    body = text[text.index("\n)\n") :]
    assert {name for name in geats_core.__all__ if not re.search(rf"\b{name}\b", body)} == set()


def test_the_program_of_the_user_runs() -> None:
    environment = {**os.environ, "PYTHONPATH": str(CORE)}
    done = subprocess.run([sys.executable, USER], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert "roll volume web01/root back to snapshot before" in done.stdout
