"""A disk that fails while the files of one VM are read is the trouble of that VM alone."""

import errno
import os
from pathlib import Path

import pytest

from geats_core import parse_vm
from geats_host.drivers import Place
from geats_host.drivers.lxc.driver import LxcDriver, open_driver
from geats_host.drivers.lxc.kernel import payload


@pytest.fixture
def driver(tmp_path: Path) -> LxcDriver:
    opened = open_driver({"path": f"{tmp_path}/lxc"}, tmp_path)
    for name in ("web01", "db01"):
        spec = parse_vm(name, {"template": "debian", "privileged": True}).unwrap()
        opened.define(spec, {"root": Place(tmp_path / name)})
    return opened


def fail(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Let the disk fail below that file."""
    really = os.open

    def opened(file: str | Path, *args: int, **options: int) -> int:
        if str(file) == str(path):
            raise OSError(errno.EIO, os.strerror(errno.EIO), f"{file}")
        return really(file, *args, **options)

    monkeypatch.setattr(os, "open", opened)


def test_the_others_are_seen_as_they_are(
    driver: LxcDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = driver.observe()
    config = driver.options.path / "web01" / "config"
    fail(monkeypatch, config)
    monkeypatch.setattr(payload, "names", lambda: frozenset({"web01"}))  # as after a monitor's end
    seen = driver.observe()
    assert seen["db01"] == before["db01"]
    assert seen["web01"].unreliable == f"{config}: Input/output error"
    assert not seen["web01"].foreign
