"""Children that call libvirt, with one in its place that hangs, dies and tells who it is."""

import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from geats_host.drivers.libvirt import children
from geats_host.drivers.libvirt.children import Children, children_of
from geats_host.drivers.libvirt.daemon import CHILD
from geats_host.errors import HostError
from geats_host.linux.processes import ends_within

LIBVIRT = """
import os, time

class libvirtError(Exception):
    pass

class Host:
    def __init__(self, uri):
        self.uri = uri
    def name(self):
        return str(os.getpid())
    def listAllNetworks(self, flags):
        return [self]
    def close(self):
        pass

def open(uri):
    if uri == "fail":
        raise libvirtError("it says why")
    if uri == "die":
        raise SystemExit("it has a bug")
    if uri.startswith("hang"):
        os.close(os.open(uri.partition(":")[2], os.O_CREAT)) if ":" in uri else None
        time.sleep(600)
    if uri == "slow":
        time.sleep(0.3)
    return Host(uri)

def registerErrorHandler(*_):
    pass

def __getattr__(name):
    return 1
"""
FORK = multiprocessing.get_context("fork")


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Children]:
    (tmp_path / "libvirt.py").write_text(LIBVIRT)
    found = children_of([sys.executable, "-I", "-S", str(CHILD), str(tmp_path)])
    yield found
    found.end_idle()


def request(uri: str = "") -> str:
    return json.dumps({"uri": uri, "do": "networks", "more": "é" * 100_000})


def ask(asked: Children, uri: str = "", timeout_s: float = 60, *, waits: bool = True) -> int:
    """The process that answers."""
    (pid,) = json.loads(asked.ask(request(uri), timeout_s, waits=waits))["active"]
    return int(pid)


def test_one_child_answers_several_requests_and_tells_what_fails(asked: Children) -> None:
    first = ask(asked)
    assert json.loads(asked.ask(request("fail"), 60)) == {"failed": "it says why"}
    assert ask(asked) == first
    asked.end_idle()
    assert ends_within(first, 0)
    assert ask(asked) != first


def test_a_child_that_hangs_is_killed_and_keeps_nobody(asked: Children, tmp_path: Path) -> None:
    first = ask(asked)
    with ThreadPoolExecutor(2 * children.AT_ONCE) as threads:
        hanging = [
            threads.submit(asked.ask, request(f"hang:{tmp_path}/{number}"), 6)
            for number in range(children.AT_ONCE)
        ]
        while len([*tmp_path.glob("[0-9]")]) < children.AT_ONCE and not hanging[0].done():
            time.sleep(0.01)
        others = {ask(asked), ask(asked)}
        assert len(others) == 1  # once there is one more, that is enough
        assert first not in others
        for each in hanging:
            with pytest.raises(HostError, match="did not end within 6 s"):
                each.result()
    assert ends_within(first, 0)


def test_few_children_answer_many_requests_at_once(
    asked: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "PATIENCE_S", 60)  # however busy the machine is
    with ThreadPoolExecutor(8) as threads:
        assert len({*threads.map(lambda _: ask(asked), range(8))}) <= children.AT_ONCE
    with ThreadPoolExecutor(4) as threads:  # but none waits for what is known to take long
        pids = {*threads.map(lambda _: ask(asked, "slow", waits=False), range(4))}
    assert len(pids) == 4


def test_a_child_that_ends_says_why_and_another_takes_its_place(asked: Children) -> None:
    first = ask(asked)
    with pytest.raises(HostError, match="failed with exit code 1: it has a bug"):
        asked.ask(request("die"), 60)
    os.kill(second := ask(asked), signal.SIGKILL)
    assert ends_within(first, 0)
    while asked.idle[0].is_there():
        time.sleep(0.01)
    assert ask(asked) != second


def test_a_child_ends_with_its_process_whatever_it_does(asked: Children, tmp_path: Path) -> None:
    began = tmp_path / "began"
    parent = FORK.Process(target=partial(_hangs, asked.argv, began, tmp_path / "pid"))
    parent.start()
    while not began.exists():
        time.sleep(0.01)
    assert parent.pid is not None
    os.kill(parent.pid, signal.SIGKILL)
    parent.join()
    assert ends_within(int((tmp_path / "pid").read_text()), 30)


def _hangs(argv: tuple[str, ...], began: Path, told: Path) -> None:
    """Have a child of its own hang: it has none of the process that it was forked from."""
    assert not children._OF_ALL
    asked = children_of(argv)
    told.write_text(f"{ask(asked)}")
    asked.ask(request(f"hang:{began}"), 600)


def test_a_python_that_cannot_be_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="cannot be run: No such file"):
        children_of([f"{tmp_path}/python"]).ask("{}", 1)
    assert children_of([f"{tmp_path}/python"]).at_work == 0
