"""A real Salt master and two real minions, on loopback, each minion a host of its own.

``salt`` is the master: ``salt.cmd("a", "geats.start", NAME)`` is ``salt a geats.start NAME``, and
``salt.run("geats.list")`` is ``salt-run geats.list``; both give all that was returned
(``verbose=True``), and raise on an error. ``salt.minions["a"]`` says where minion ``a`` keeps
things. All run in the namespaces of ``own_namespaces``, and the minions find geats through its
entry point, as after ``pip install``.
"""

import inspect
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from returns.result import Success
from salt.config import master_config, minion_config
from salt.utils.event import SaltEvent, get_event
from salt.version import __version_info__

from geats_host.calls import lifecycle
from geats_host.engine.apply_plan import apply_plan
from geats_host.host import Host
from tests.real.conftest import busybox_root, open_folder, sh
from tests.salt_modules.test_documented import functions

collect_ignore = [] if __version_info__ >= (3008,) else ["test_resources.py"]  # it has none before
REPO = Path(__file__).parents[3]
SCRIPTS = Path(sys.executable).parent
PATIENCE_S = 90
REACTION = "started.sls"  # what the master does when it is told that a VM was started
VERBOSE = {  # functions that are asked for all of their answer, as programs ask
    name for _, name, each in functions() if "verbose" in inspect.signature(each).parameters
}
SSH = """#!/bin/sh
# In the place of ssh(1): every host of these tests is this one, so the command runs here.
while [ "$1" != -- ]; do shift; done
exec sh -c "$3"
"""
NO_ANSWERS = ("ERROR:", "'geats.", "Minion did not return")  # salt(1) exits with 0 all the same


class SaltError(Exception):
    """What a minion or the master said instead of an answer."""


@dataclass
class Minion:
    """One minion: its processes, and the host that it looks after."""

    name: str
    directory: Path
    process: subprocess.Popen[bytes] | None = None
    more_vms: dict[str, object] = field(default_factory=dict)  # these two: see ``Master.declared``
    more: dict[str, object] = field(default_factory=dict)

    @property
    def vm(self) -> str:
        """The VM that its pillar declares; no two on this machine have one name."""
        return f"geats-test-salt-{self.name}"

    @property
    def bridge(self) -> str:
        return f"gtbr{self.name}"

    @property
    def geats(self) -> dict[str, Any]:
        """Its pillar, under ``geats``."""
        return {
            "state_dir": f"{self.directory}/state",
            "run_dir": f"{self.directory}/run",
            "drivers": {"lxc": {"path": f"{self.directory}/lxc", "settle": 0.2}},
            "pools": {"default": {"type": "directory", "path": f"{self.directory}/volumes"}},
            "templates": {"busybox": {"path": f"{self.directory}/root"}},
            "profiles": {"small": {"template": "busybox", "init": "busybox"}},
            "vms": {self.vm: {"profile": "small", "nics": [self._nic()]}, **self.more_vms},
            **self.more,
        }

    def _nic(self) -> dict[str, object]:
        return {
            "name": "eth0",
            "bridge": self.bridge,
            "addresses": [f"10.77.{ord(self.name)}.2/24"],
        }

    def power(self, name: str | None = None) -> str:
        """Of the VM, as this process sees it, whatever becomes of the minion's."""
        return str(Host.from_config(self.geats).observe(name or self.vm).power)

    def log(self) -> str:
        return (self.directory / "salt-minion.log").read_text()

    def start(self) -> None:
        self.process = _daemon("salt-minion", self.directory)

    def stop(self) -> None:
        """End it, and its jobs; and what tells a next one that it runs, as after a power cut."""
        _end(self.process)
        self.process = None
        for file in self.directory.glob("salt/var/run/process_responsibility_*.pid"):
            file.unlink()


@dataclass
class Master:
    """The master, and its minions by name."""

    directory: Path
    process: subprocess.Popen[bytes]
    minions: dict[str, Minion] = field(default_factory=dict)

    def cmd(self, target: str, function: str, *words: str) -> Any:
        """What the minion returns, or each of them by its name where *target* is a pattern."""
        return self.answer(self.begin(target, function, *words), target)

    def begin(
        self, target: str, function: str, *words: str, timeout_s: int = PATIENCE_S
    ) -> subprocess.Popen[str]:
        """Ask, and do not wait for the answer."""
        options = ["--out=json", "--static", "-t", str(timeout_s), "-l", "quiet"]
        kind = ["-C"] if "@" in target else ["-L"] if "," in target else []
        whole = ["verbose=True"] if function in VERBOSE else []
        return self._popen("salt", *options, *kind, target, function, *words, *whole)

    def answer(self, asked: subprocess.Popen[str], target: str) -> Any:
        """The answer to what was begun."""
        said = _said(asked)
        wrong = [answer for answer in said.values() if str(answer).startswith(NO_ANSWERS)]
        if wrong:
            raise SaltError("\n".join(wrong))
        return said if target not in self.minions else said[target]

    def run(self, function: str, *words: str) -> Any:
        """What the runner returns."""
        whole = ["verbose=True"] if function in {"geats.list", "geats.plan"} else []
        said = _said(self._popen("salt-run", "--out=json", "-l", "quiet", function, *words, *whole))
        if isinstance(said, str):
            raise SaltError(said)
        return said

    def _popen(self, program: str, *words: str) -> subprocess.Popen[str]:
        argv = [f"{SCRIPTS / program}", "-c", f"{self.directory}", *words]
        pipe = subprocess.PIPE
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True)

    def wait_for(self, *names: str) -> None:
        """Until these minions answer."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                asked = self.begin(",".join(names), "test.ping", timeout_s=2)
                if _said(asked) == dict.fromkeys(names, True):
                    return
            except (SaltError, ValueError):
                time.sleep(0.5)
        logs = [*self.directory.glob("*.log"), *self.directory.glob("*/*.log")]
        raise SaltError("\n".join(f"{log}: {log.read_text()[-2000:]}" for log in logs))

    @contextmanager
    def declared(
        self,
        minion: Minion,
        *names: str,
        pillar: Mapping[str, object] | None = None,
        **more: object,
    ) -> Iterator[None]:
        """While this lasts, there are these VMs, and *more* of geats or of all, in its pillar."""
        minion.more_vms = {name: {"profile": "small"} for name in names}
        minion.more = more
        self.write_pillar(minion, **(pillar or {}))
        self.cmd(minion.name, "saltutil.refresh_pillar", "wait=True")
        try:
            yield
        finally:
            remove_vms(minion)
            minion.more_vms, minion.more = {}, {}
            self.write_pillar(minion)
            self.cmd(minion.name, "saltutil.refresh_pillar", "wait=True")

    def write_pillar(self, minion: Minion, **more: object) -> None:
        """What the minion is told, from the next refresh on."""
        text = yaml.safe_dump({"geats": minion.geats, **more})
        (self.directory / f"pillar/{minion.name}.sls").write_text(text)


Events = list[tuple[str, dict[str, Any]]]


@contextmanager
def listening(salt_: Master, node: str) -> Iterator[SaltEvent]:
    """To the bus of the master, or of minion ``a``."""
    opts = {
        "master": lambda: master_config(f"{salt_.directory}/master"),
        "minion": lambda: minion_config(f"{salt_.minions['a'].directory}/minion"),
    }[node]()
    with get_event(node, opts=opts, listen=True) as bus:
        assert bus.connect_pub()
        yield bus


def heard(bus: SaltEvent, tag: str, count: int) -> Events:
    """So many events whose tags begin so."""
    found: Events = []
    deadline = time.monotonic() + PATIENCE_S
    while len(found) < count and time.monotonic() < deadline:
        event = bus.get_event(wait=5, tag=tag, full=True)
        if event is not None:
            found.append((event["tag"], event["data"]))
    return found


def _said(asked: subprocess.Popen[str]) -> Any:
    said, trouble = asked.communicate(timeout=PATIENCE_S + 10)
    if asked.returncode != 0:
        raise SaltError(f"{said}{trouble}")
    return json.loads(said)


def _end(process: subprocess.Popen[bytes] | None) -> None:
    """End it and all that it started, but for what is in a session of its own, as monitors are."""
    if process is None:
        return
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(5)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture(scope="session")
def salt(own_namespaces: None) -> Iterator[Master]:
    """The master, and minions ``a`` and ``b``; ``b`` has ``multiprocessing: False``."""
    with open_folder() as directory:
        _configure_master(directory)
        started = Master(directory, _daemon("salt-master", directory))
        try:
            for name, options in (("a", {}), ("b", {"multiprocessing": False})):
                started.minions[name] = minion = _minion(directory / name, name, options)
                started.write_pillar(minion)
                minion.start()
            started.wait_for("a", "b")
            yield started
        finally:
            for minion in started.minions.values():
                minion.stop()
                remove_vms(minion)
                sh("ip", "link", "delete", minion.bridge)
            _end(started.process)


def _configure_master(directory: Path) -> None:
    for name in ("pillar", "states", "more"):
        (directory / name).mkdir()
    for name in "ab":
        (directory / "more" / name).write_text("{}")
    top = {"base": {name: [name] for name in "ab"}}
    (directory / "pillar/top.sls").write_text(yaml.safe_dump(top))
    config = {
        "interface": "127.0.0.1",
        "root_dir": f"{directory}",
        "user": "root",
        "auto_accept": True,
        "worker_threads": 3,
        "file_roots": {"base": [f"{directory}/states"]},
        "pillar_roots": {"base": [f"{directory}/pillar"]},
        "fileserver_backend": ["roots", "minionfs"],
        "fileserver_list_cache_time": 0,  # what is new in file_roots is seen at once
        "file_recv": True,
        "ext_pillar": [{"cmd_yaml": f"cat {directory}/more/%s"}],  # of each minion, by its id
        "reactor": [{"geats/*/start": [f"{directory}/states/{REACTION}"]}],
    }
    (directory / "master").write_text(yaml.safe_dump(config))


def _minion(directory: Path, name: str, options: Mapping[str, object]) -> Minion:
    directory.mkdir(mode=0o711)
    (directory / "bin").mkdir()
    (directory / "bin/ssh").write_text(SSH)
    (directory / "bin/ssh").chmod(0o755)
    busybox_root(directory / "root")
    config = {
        "id": name,
        "master": "127.0.0.1",
        "root_dir": f"{directory}/salt",
        "user": "root",
        "return_retry_timer": 1,
        **options,
    }
    (directory / "minion").write_text(yaml.safe_dump(config))
    minion = Minion(name, directory)
    sh("ip", "link", "add", minion.bridge, "type", "bridge")
    sh("ip", "link", "set", minion.bridge, "up")
    return minion


def _daemon(program: str, directory: Path) -> subprocess.Popen[bytes]:
    with (directory / f"{program}.log").open("ab") as log:
        argv = [f"{SCRIPTS / program}", "-c", f"{directory}", "-l", "info"]
        env = {**os.environ, "PATH": f"{directory}/bin:{os.environ['PATH']}"}
        return subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True, env=env)


def remove_vms(minion: Minion) -> None:
    """Deprovision all that is there, in this process."""
    host = Host.from_config(minion.geats)
    for name, have in host.observe_all().items():
        if have.exists:
            made = lifecycle.plan_to(host, name, "deprovisioned", power_off="stop")
            assert isinstance(apply_plan(host, made), Success)
