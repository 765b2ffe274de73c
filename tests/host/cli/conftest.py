"""The command line, called on a host that exists in memory only."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from geats_host.cli.main import main
from tests.memory_host import memory_config

Geats = Callable[..., tuple[int, str, str]]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "geats.yaml"
    file.write_text(yaml.safe_dump({"geats": memory_config(tmp_path)}))
    return file


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Geats:
    """``geats`` with these arguments: its exit code, output and errors."""

    def geats(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["geats", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        return int(ended.value.code or 0), out, err

    return geats


@pytest.fixture
def geats(config: Path, call: Geats) -> Geats:
    """The same, with the configuration of that host."""
    return lambda *arguments: call("--config", str(config), *arguments)


def answer(geats: Geats, *arguments: str) -> object:
    """What a call that succeeds answers in JSON."""
    code, out, err = geats("--json", *arguments)
    assert (code, err) == (0, "")
    parsed: object = json.loads(out)
    return parsed
