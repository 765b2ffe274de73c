"""Logs of VMs, which guests write, shown and followed."""

from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from geats_core.requests.guest_requests import Command
from geats_host.calls import lifecycle
from geats_host.calls.guests import logs
from geats_host.calls.guests.logs import Followed, Logs
from geats_host.drivers import Ran
from geats_host.drivers.libvirt.options import read_options
from geats_host.drivers.memory import MemoryDriver
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import HostError, Refused
from geats_host.host import Host
from geats_host.streams.safe_text import safe
from tests.memory_host import memory_host


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """One whose driver has logs."""
    host = memory_host(tmp_path)
    memory(host).log_files |= {"console": tmp_path / "console.log", "lxc": tmp_path / "log"}
    apply_plan(host, lifecycle.plan_verb(host, "start", "web01"))
    return host


def memory(host: Host) -> MemoryDriver:
    driver = host.driver("web01")
    assert isinstance(driver, MemoryDriver)
    return driver


def shown(host: Host, source: str | None = None, **options: object) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    wanted = logs.logs(host, "web01", source, options)
    logs.show(host, "web01", wanted, lambda *line: found.append(line))
    return found


@pytest.mark.parametrize(
    ("said", "is_shown"),
    [
        (b"\x1b[0;32m  OK  \x1b[0m started\r", "  OK   started"),
        (b"\x1b]0;title\x07a\x1b]8;;http://x\x1b\\b", "ab"),
        (b"\x1b[2J\x1b[H\x1bc\x1bPq\x1b\\gone", "gone"),
        (b"a\tb\x07\x08\x7f", "a\tb\\x07\\x08\\x7f"),
        (b"\xff\xc3\xbc\xe2\x80\xae\xc2\x9b", "\\xffü\\u202e\\x9b"),
        (b"50 %\r100 %", "50 %\\r100 %"),
    ],
)
def test_what_a_terminal_obeys_is_not_shown(said: bytes, is_shown: str) -> None:
    assert safe(said) == is_shown


def test_the_newest_lines_of_each_file_are_shown(host: Host, tmp_path: Path) -> None:
    assert shown(host) == []
    (tmp_path / "console.log").write_bytes(b"one\ntwo\nlogin: ")
    (tmp_path / "log").write_bytes(b"oh\n")
    assert shown(host, lines=2) == [("console", "two"), ("console", "login: "), ("lxc", "oh")]
    assert shown(host, "lxc") == [("lxc", "oh")]
    assert logs.last_said(host, "web01") == ["one", "two", "login: "]


def test_a_file_that_is_followed_may_grow_and_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "log"
    file = Followed(path)
    assert list(file.new_lines()) == []
    path.write_bytes(b"one\ntw")
    assert list(file.new_lines()) == ["one", "tw"]
    with path.open("ab") as opened:
        opened.write(b"o\nthr")
    assert list(file.new_lines()) == ["o"]
    path.rename(tmp_path / "log.1")
    assert list(file.new_lines()) == []
    path.write_bytes(b"four\n")
    assert list(file.new_lines()) == ["four"]
    path.write_bytes(b"5\n")
    assert list(file.new_lines()) == ["5"]


def test_of_a_large_file_the_end_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MOST_BYTES", 8)
    (tmp_path / "log").write_bytes(b"".join(b"%d\n" % n for n in range(10)))
    assert list(Followed(tmp_path / "log").new_lines()) == ["6", "7", "8", "9"]


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="symbolic links"):
        list(Followed(tmp_path / "log").new_lines())


def test_what_is_added_is_shown_until_somebody_ends_it(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, found = count(), []

    def sleep(_: float) -> None:
        if next(looks) == 2:
            raise KeyboardInterrupt
        with (tmp_path / "console.log").open("a") as console:
            console.write("more\n")

    (tmp_path / "console.log").write_text("first\n")
    monkeypatch.setattr("time.sleep", sleep)
    wanted = logs.logs(host, "web01", None, {"lines": 1})
    with pytest.raises(KeyboardInterrupt):
        logs.show(host, "web01", wanted, lambda *line: found.append(line), follow=True)
    assert found == [("console", "first"), ("console", "more"), ("console", "more")]


def init_says(ran: Ran) -> Callable[..., Ran]:
    return lambda *_: ran


def test_the_init_of_a_guest_is_asked_in_the_guest(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MemoryDriver, "exec", init_says(Ran(code=0, stdout=b"\x1b[1ma\nb")))
    assert shown(host, "init") == [("init", "a"), ("init", "b")]
    monkeypatch.setattr(MemoryDriver, "exec", init_says(Ran(code=127, stderr=b"no journalctl\n")))
    with pytest.raises(HostError, match=r"^web01: its init cannot be asked .* \(exit code 127\)$"):
        shown(host, "init")
    with pytest.raises(Refused, match=r"^web01: its init cannot be followed"):
        logs.show(host, "web01", Logs({}, init=True, lines=1), lambda *_: None, follow=True)
    apply_plan(host, lifecycle.plan_verb(host, "stop", "web01"))
    with pytest.raises(Refused, match=r"^web01: is stopped, and must be running$"):
        shown(host, "init")


def test_a_guest_that_says_more_than_asked_for_or_never_ends_keeps_nobody(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Command] = []

    def floods(_: object, __: str, command: Command) -> Ran:
        asked.append(command)
        return Ran(code=None, stdout=b"a\n" * 9 + b"b" * 20)

    monkeypatch.setattr(logs, "LONGEST_LINE", 9)
    monkeypatch.setattr(MemoryDriver, "exec", floods)
    found: list[str] = []
    wanted = logs.logs(host, "web01", "init", {"lines": 3})
    with pytest.raises(HostError, match=r"^web01: its init did not tell its log within 60 s$"):
        logs.show(host, "web01", wanted, lambda *line: found.append(line[1]))
    assert found == ["b" * 9, "b" * 9, "bb"]
    assert [each.timeout_s for each in asked] == [logs.WITHIN_S]


def test_a_log_that_there_is_not_is_refused(host: Host) -> None:
    with pytest.raises(Refused, match=r"unknown log 'qemu' \(there is: console, init, lxc\)"):
        shown(host, "qemu")
    memory(host).log_files.clear()
    with pytest.raises(Refused, match="nothing is kept of its console: set console_log"):
        shown(host, "console")
    with pytest.raises(Refused, match=r"unknown log 'file' \(there is: init\)"):
        shown(host)
    assert logs.last_said(host, "web01") == []
    with pytest.raises(Refused, match=r"^lines: "):
        shown(host, lines=0)


@pytest.mark.parametrize(
    ("uri", "folder"),
    [
        ("qemu:///system", "/var/log/libvirt/qemu"),
        ("qemu:///embed?root=/srv/x", "/srv/x/log/qemu"),
        ("qemu+ssh://other/system", None),
        ("qemu:///session", None),
    ],
)
def test_qemu_has_its_log_where_libvirt_puts_it(uri: str, folder: str | None) -> None:
    found = read_options("kvm", {"uri": uri}, Path("/nowhere")).log_folder
    assert found == (None if folder is None else Path(folder))
