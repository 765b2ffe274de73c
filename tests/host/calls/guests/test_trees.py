"""Directories that go into guests and come out, with a guest that says what it likes."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from geats_core.requests.guest_requests import FileToRead, FileToWrite
from geats_host.calls.guests import reached, trees
from geats_host.calls.guests.reached import Off
from geats_host.drivers import Copied
from geats_host.errors import HostError, Refused
from geats_host.host import Host
from tests.memory_host import memory_host


class Hostile:
    """A guest that gives this stream, and breaks off what it is given."""

    def __init__(self, stream: bytes) -> None:
        self.stream = stream

    def write_file(self, file: FileToWrite, source: int) -> None:
        raise AssertionError

    def read_file(self, file: FileToRead, target: int) -> None:
        raise AssertionError

    def pack(self, path: str, target: int, timeout_s: int) -> Copied:
        try:
            os.write(target, self.stream)
        except BrokenPipeError:
            raise HostError("broken pipe") from None
        return Copied()

    def unpack(self, file: FileToWrite, source: int) -> Copied:
        assert os.read(source, 9)
        return Copied(wrong=("theirs",))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return memory_host(tmp_path)


def against(monkeypatch: pytest.MonkeyPatch, *lines: dict[str, object]) -> None:
    stream = b"".join(json.dumps(line).encode() + b"\n" for line in lines)

    @contextmanager
    def reached(_: Host, __: str) -> Iterator[Hostile]:
        yield Hostile(stream)

    monkeypatch.setattr(trees, "reached", reached)


def folder(path: str) -> dict[str, object]:
    return {"path": path, "kind": "dir", "mode": 0o755, "mtime": 0}


def test_a_name_that_a_terminal_obeys_is_not_shown_as_it_is(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    against(monkeypatch, folder("\x1b[2J/a"), {"kind": "end"})
    done = trees.pull_tree(host, "web01", "/a", str(tmp_path / "target"), {})
    assert done.wrong == ("'\\x1b[2J/a: No such file or directory'",)
    assert (tmp_path / "target").stat().st_mode & 0o777 == 0o700


def test_a_copy_that_breaks_off_or_leads_out_is_an_error(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = str(tmp_path / "target")
    against(monkeypatch, folder("a"))
    with pytest.raises(HostError, match=r"/target: the copy broke off$"):
        trees.pull_tree(host, "web01", "/a", target, {})
    against(monkeypatch, folder("../a"))
    with pytest.raises(HostError, match=r"/target: a path in the copy leads elsewhere$"):
        trees.pull_tree(host, "web01", "/a", target, {})
    against(monkeypatch, {"kind": "end"})
    (tmp_path / "file").touch()
    with pytest.raises(HostError, match=r"/file: .*File exists"):
        trees.pull_tree(host, "web01", "/a", str(tmp_path / "file"), {})


def test_of_very_many_complaints_the_first_are_told_and_the_number_of_others(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trees, "MOST_COMPLAINTS", 2)
    against(monkeypatch, *(folder(f"absent/{n}") for n in range(5)), {"kind": "end"})
    done = trees.pull_tree(host, "web01", "/a", str(tmp_path / "target"), {})
    said = (*(f"absent/{n}: No such file or directory" for n in range(2)),)
    assert done.wrong == (*said, "and 3 more were not copied")


def test_whatever_is_wrong_with_a_copy_it_is_told(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise OverflowError("too far")

    against(monkeypatch, {"kind": "end"})
    monkeypatch.setattr("geats_host.drivers.lxc.scripts.tree_stream.unpack", fails)
    with pytest.raises(HostError, match=r"/target: too far$"):
        trees.pull_tree(host, "web01", "/a", str(tmp_path / "target"), {})


def test_a_guest_that_takes_no_more_keeps_nobody_waiting(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    against(monkeypatch)
    (tmp_path / "source").mkdir()
    (tmp_path / "source/large").write_bytes(bytes(3_000_000))
    done = trees.push_tree(host, "web01", str(tmp_path / "source"), "/a", {})
    assert done.wrong == ("theirs",)


def test_what_is_on_another_volume_is_not_reached_while_the_vm_is_off(tmp_path: Path) -> None:
    off = Off("web01", tmp_path, 0, ("/srv",))
    for path in ("/srv", "/srv/a", "/x/../srv/a", "//srv/a"):
        with pytest.raises(Refused, match=r"^web01: is off, and /srv is on another volume: start"):
            off.pack(path, 1, 9)
    for path in ("/", "/var", "/var/lib/"):
        with pytest.raises(Refused, match=r"^web01: is off, and /var/lib/x is on another volume"):
            Off("web01", tmp_path, 0, ("/var/lib/x",)).pack(path, 1, 9)


def child_that(monkeypatch: pytest.MonkeyPatch, folder: Path, does: str) -> Off:
    (folder / "child.py").write_text(f"import json, os, time\n{does}\n")
    monkeypatch.setattr(reached, "SCRIPT", folder / "child.py")
    return Off("web01", folder, 0, ("/var/lib/x",))


def test_a_child_that_takes_too_long_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = tmp_path / "late"
    off = child_that(monkeypatch, tmp_path, f"time.sleep(3); open({str(late)!r}, 'w')")
    with pytest.raises(HostError, match=r"^web01: it took more than 1 s$"):
        off.pack("/etc", 2, 1)
    assert not late.exists()


def test_a_child_answers_more_than_a_pipe_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = "json.dumps({'wrong': 'x' * 4000})"
    off = child_that(monkeypatch, tmp_path, f"for _ in range(50): print({line})")
    assert off.pack("/var/li", 2, 60).wrong == ("x" * 4000,) * 50
