"""A real container is powered off to be started again, and who did it is killed meanwhile."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from geats_core.vm.observation import Power
from geats_host.cli.main import cli
from geats_host.drivers.lxc.driver import LxcDriver
from geats_host.host import Host

NAME = "geats-test-again"


@pytest.fixture
def config(own_namespaces: None, busybox_rootfs: Path, tmp_path: Path) -> Iterator[Path]:
    """The file of a host on which the VM runs; it is gone afterwards."""
    file = tmp_path / "geats.yaml"
    raw = {
        "state_dir": f"{tmp_path}/state",
        "run_dir": f"{tmp_path}/run",
        "drivers": {"lxc": {"settle": 0.1, "path": f"{tmp_path}/lxc"}},
        "pools": {"default": {"type": "directory", "path": f"{tmp_path}/pool"}},
        "templates": {"busybox": {"path": str(busybox_rootfs)}},
        "vms": {NAME: {"template": "busybox", "init": "busybox", "shutdown_timeout": 1}},
    }
    file.write_text(yaml.safe_dump({"geats": raw}))
    assert geats(file, "start", NAME) == 0
    yield file
    geats(file, "deprovision", NAME)


def geats(config: Path, *argv: str, kill: bool = False) -> int:
    """Run a command in a process of its own, which is to be killed before it starts the VM."""
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            if kill:
                setattr(LxcDriver, "start", _die)  # noqa: B010  # it is another kind of function
            cli.main([*argv, "--config", str(config)], "geats", standalone_mode=True)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _die(driver: LxcDriver, name: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def seen(config: Path) -> tuple[Power, bool]:
    have = Host.from_config(yaml.safe_load(config.read_text())["geats"]).observe(NAME)
    return have.power, have.to_run


@pytest.mark.parametrize("verb", ["reboot", "reinit"])
@pytest.mark.parametrize("then", ["the same", "apply", "boot"])
def test_it_runs_again_whatever_is_asked_next(config: Path, verb: str, then: str) -> None:
    assert geats(config, verb, NAME, kill=True) == -signal.SIGKILL
    assert seen(config) == (Power.STOPPED, True)

    argv = {"the same": (verb, NAME), "apply": ("apply", NAME), "boot": ("boot",)}[then]
    assert geats(config, *argv) == 0
    assert seen(config) == (Power.RUNNING, False)


def test_it_stays_off_where_that_is_asked_next(config: Path) -> None:
    assert geats(config, "reboot", NAME, kill=True) == -signal.SIGKILL

    assert geats(config, "stop", NAME) == 0
    assert seen(config) == (Power.STOPPED, False)
