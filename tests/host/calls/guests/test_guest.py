"""Into VMs, and waiting for them, on a host that exists in memory only."""

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from geats_host.calls import lifecycle
from geats_host.calls.guests import files, programs, ssh, trees, waiting
from geats_host.calls.guests.waiting import Until, Waited
from geats_host.drivers import Info, Ran
from geats_host.drivers.memory import MemoryDriver
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import HostError, Refused
from geats_host.host import Host
from tests.memory_host import memory_host


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return memory_host(tmp_path)


def apply(host: Host, verb: str, name: str = "web01") -> None:
    apply_plan(host, lifecycle.plan_verb(host, verb, name))


def test_a_program_of_a_running_vm_is_run(host: Host) -> None:
    apply(host, "start")
    ran = programs.run_in(host, "web01", "echo 'a b' c", {"env": {"A": "1"}})
    assert ran == Ran(code=0, stdout=b"a b c\n")
    assert programs.run_in(host, "web01", ["env"], {"env": {"A": 1}}) == Ran(
        code=0, stdout=b"A=1\n"
    )
    assert programs.run_in(host, "web01", ["true"], {}).code == 0
    assert programs.run_in(host, "web01", ["false"], {}).code == 1
    said = b"apt: No such file or directory\n"
    assert programs.run_in(host, "web01", ["apt"], {}) == Ran(code=127, stderr=said)


@pytest.mark.parametrize(
    ("verbs", "power"),
    [((), "not defined"), (("define",), "stopped"), (("start", "freeze"), "frozen")],
)
def test_into_what_does_not_run_nothing_gets(
    host: Host, tmp_path: Path, verbs: tuple[str, ...], power: str
) -> None:
    for verb in verbs:
        apply(host, verb)
    source = tmp_path / "source"
    source.write_text("")
    said = f"^web01: is {power}, and must be running$"
    with pytest.raises(Refused, match=said):
        programs.run_in(host, "web01", "true", {})
    with pytest.raises(Refused, match=said):
        files.push(host, "web01", str(source), "/etc/a", {})
    with pytest.raises(Refused, match=said):
        files.pull(host, "web01", "/etc/a", str(tmp_path / "target"), {})
    with pytest.raises(Refused, match=said):
        files.write_file(host, "web01", "/etc/a", "", {})
    with pytest.raises(Refused, match=said):
        files.read_file(host, "web01", "/etc/a", {})
    with pytest.raises(Refused, match=said):
        trees.pull_tree(host, "web01", "/etc", str(tmp_path / "target"), {})
    with pytest.raises(Refused, match=said):
        trees.push_tree(host, "web01", str(tmp_path), "/etc/a", {})
    assert sorted(each.name for each in tmp_path.iterdir() if each.is_file()) == ["source"]


def test_a_file_goes_in_and_comes_back(host: Host, tmp_path: Path) -> None:
    apply(host, "start")
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"\xff\0")
    assert files.push(host, "web01", str(source), "/etc/a", {"mode": "0600"}) == 2
    target.symlink_to("/dev/null")
    assert files.pull(host, "web01", "/etc/a", str(target), {}) == 2
    assert (target.is_symlink(), target.read_bytes()) == (False, b"\xff\0")
    assert target.stat().st_mode & 0o777 == 0o600
    assert files.read_file(host, "web01", "/etc/a", {}) == b"\xff\0"


def test_a_driver_that_takes_files_only_says_so(host: Host, tmp_path: Path) -> None:
    apply(host, "start")
    source = tmp_path / "source"
    source.mkdir()
    with pytest.raises(Refused, match=r"^web01: takes files only, and no directories: copy single"):
        trees.push_tree(host, "web01", str(source), "/etc/a", {})
    files.write_file(host, "web01", "/etc/a", "", {})
    assert not trees.pull_tree(host, "web01", "/etc/a", str(tmp_path / "target"), {}).is_tree
    assert not (tmp_path / "target").exists()


def test_a_directory_with_a_volume_of_the_vm_in_it_is_not_copied_into_that(
    host: Host, tmp_path: Path
) -> None:
    apply(host, "start")
    (tmp_path / "link").symlink_to(tmp_path)
    for source in (tmp_path, tmp_path / "link"):
        with pytest.raises(Refused, match=r"^source: .* volume root of web01 is in it, at /"):
            trees.push_tree(host, "web01", str(source), "/etc/a", {})


def test_all_that_is_wrong_with_a_directory_is_told_at_once(host: Host, tmp_path: Path) -> None:
    with pytest.raises(Refused) as refused:
        trees.push_tree(host, "web01", "source", "a", {"mode": "0600", "tiemout": 3})
    said = [line.partition(":")[0] for line in refused.value.problems]
    assert said == ["source", "path", "tiemout", "mode"]
    with pytest.raises(Refused, match=r"^source: .* cannot be read: No such file or directory$"):
        trees.push_tree(host, "web01", str(tmp_path / "absent"), "/a", {})
    with pytest.raises(Refused, match=r"^target: must be in a directory, got "):
        trees.pull_tree(host, "web01", "/a", str(tmp_path / "absent/a"), {})


def test_content_is_written_as_it_is(host: Host) -> None:
    apply(host, "start")
    assert files.write_file(host, "web01", "/etc/motd", "grüezi\n", {}) == 8
    assert files.write_file(host, "web01", "/etc/raw", b"\xff", {}) == 1
    assert files.read_file(host, "web01", "/etc/motd", {}) == "grüezi\n".encode()
    apply(host, "undefine")
    apply(host, "start")
    with pytest.raises(HostError, match="No such file"):
        files.read_file(host, "web01", "/etc/motd", {})


def test_a_file_that_is_too_large_is_not_pulled_and_what_was_there_stays(
    host: Host, tmp_path: Path
) -> None:
    apply(host, "start")
    files.write_file(host, "web01", "/etc/a", "four", {})
    (tmp_path / "target").write_text("before")
    there = set(tmp_path.iterdir())
    with pytest.raises(HostError, match="is larger than 3 bytes"):
        files.pull(host, "web01", "/etc/a", str(tmp_path / "target"), {"max_size": "3B"})
    assert (tmp_path / "target").read_text() == "before"
    assert set(tmp_path.iterdir()) == there


def test_all_that_is_wrong_with_a_push_is_told_at_once(host: Host) -> None:
    with pytest.raises(Refused) as refused:
        files.push(host, "web01", "source", "a", {"mode": "x", "owner": "", "tiemout": 3})
    assert [line.partition(":")[0] for line in refused.value.problems] == [
        "source",
        "path",
        "mode",
        "owner",
        "tiemout",
    ]
    with pytest.raises(Refused, match=r"^source: is missing$"):
        files.push(host, "web01", None, "/a", {})


def test_only_regular_files_are_pushed(host: Host, tmp_path: Path) -> None:
    apply(host, "start")
    os.mkfifo(tmp_path / "fifo")
    for source in (tmp_path, tmp_path / "fifo"):
        with pytest.raises(Refused, match=r"^source: must be a regular file, got "):
            files.push(host, "web01", str(source), "/etc/a", {})
    with pytest.raises(Refused, match=r"^source: .* cannot be read: No such file or directory$"):
        files.push(host, "web01", str(tmp_path / "absent"), "/etc/a", {})


def test_a_file_is_pulled_to_a_file_only(host: Host, tmp_path: Path) -> None:
    apply(host, "start")
    for target in (tmp_path, tmp_path / "absent/a", "/"):
        with pytest.raises(Refused, match=r"^target: must be a file in a directory, got "):
            files.pull(host, "web01", "/etc/a", str(target), {})
    with pytest.raises(Refused) as refused:
        files.pull(host, "web01", "a", "b", {"max_size": "no"})
    said = [line.partition(":")[0] for line in refused.value.problems]
    assert said == ["target", "path", "max_size"]


@pytest.mark.parametrize("content", [None, 5, ["a"], {"a": 1}])
def test_content_that_is_no_text_is_refused(host: Host, content: object) -> None:
    with pytest.raises(Refused, match=r"^content: must be text, got a "):
        files.write_file(host, "web01", "/etc/a", content, {})


def test_content_that_cannot_be_encoded_is_refused_and_not_shown(host: Host) -> None:
    with pytest.raises(Refused, match=r"^content: contains characters that cannot .* UTF-8$"):
        files.write_file(host, "web01", "/etc/a", "hush\ud800", {})


def test_nothing_of_it_is_in_the_journal(host: Host) -> None:
    apply(host, "start")
    before = list(host.journal("web01"))
    programs.run_in(host, "web01", "true", {"env": {"SECRET": "hush"}})
    files.write_file(host, "web01", "/etc/a", "hush", {})
    assert list(host.journal("web01")) == before


def test_ssh_goes_to_the_first_address(host: Host) -> None:
    apply(host, "start")
    assert ssh.ssh_command(host, "web01", {}) == ["ssh", "--", "10.0.0.2"]
    options = {"user": "ann", "identity": "/root/.ssh/key", "port": 2222}
    words = ["ssh", "-l", "ann", "-i", "/root/.ssh/key", "-p", "2222", "--", "10.0.0.2"]
    assert ssh.ssh_command(host, "web01", options) == words
    apply(host, "stop")
    with pytest.raises(Refused, match=r"^web01: is stopped, and has no address now$"):
        ssh.ssh_command(host, "web01", {})
    with pytest.raises(Refused) as refused:
        ssh.ssh_command(host, "web01", {"user": "-oProxyCommand=x", "port": 0, "shell": 1})
    said = [line.partition(":")[0] for line in refused.value.problems]
    assert said == ["user", "port", "shell"]


def test_of_several_addresses_ssh_goes_to_the_first_that_answers(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(host, "start")
    rest = ("-N", "-L", "80:localhost:80")
    assert ssh.ssh_to(host, "web01", {}, rest) == ["ssh", "10.0.0.2", *rest]
    with socket.create_server(("127.0.0.1", 0)) as server:
        options = {"port": server.getsockname()[1]}
        found = Info(addresses=("-oProxyCommand=x", "::1%$(id)", "::1", "127.0.0.1"))
        monkeypatch.setattr(MemoryDriver, "info", lambda *_: found)
        assert ssh.ssh_to(host, "web01", options, ())[-1] == "127.0.0.1"
    with pytest.raises(Refused, match=r"^web01: nothing answers on port [0-9]+: ::1 \(.*\), 127"):
        ssh.ssh_to(host, "web01", options, ())


@pytest.mark.parametrize("verb", ["run_in", "read_file", "write_file", "ssh_command"])
def test_a_vm_that_nobody_knows_is_refused(host: Host, verb: str) -> None:
    calls: dict[str, Callable[[], object]] = {
        "run_in": lambda: programs.run_in(host, "web1", "true", {}),
        "read_file": lambda: files.read_file(host, "web1", "/a", {}),
        "write_file": lambda: files.write_file(host, "web1", "/a", "", {}),
        "ssh_command": lambda: ssh.ssh_command(host, "web1", {}),
    }
    with pytest.raises(Refused, match="did you mean 'web01'"):
        calls[verb]()


def waited(host: Host, until: object = None, command: object = None, **options: object) -> Waited:
    given: dict[str, object] = {"timeout": 1}
    return waiting.wait(host, "web01", until, command, given | options)


def test_what_is_so_already_is_not_waited_for(host: Host) -> None:
    apply(host, "start")
    for until, command, seen in (
        (None, None, "running"),
        ("running", None, "running"),
        ("ip", None, "10.0.0.2"),
        ("ready", None, "true exited with 0"),
        ("command", ["true"], "true exited with 0"),
        (None, "echo 'a b'", "echo 'a b' exited with 0: a b"),
    ):
        found = waited(host, until, command)
        assert (found.reached, found.seen) == (True, seen)
        assert found.took_s < 1


def test_what_does_not_come_is_told_with_what_was_seen_last(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    for until, command, seen in (
        ("running", None, "not defined"),
        ("ip", None, "not defined"),
        ("ready", None, "not defined"),
        (None, "true", "not defined"),
    ):
        found = waited(host, until, command)
        assert (found.reached, found.seen) == (False, seen)
    apply(host, "start")
    assert waited(host, "stopped").seen == "running"
    assert waited(host, None, "false").seen == "false exited with 1"
    monkeypatch.setattr(MemoryDriver, "info", lambda *_: Info())
    found = waited(host, "ip")
    assert (found.seen, found.took_s >= 1) == ("running, without an address", True)
    said = f"web01: waited {found.took_s:.3g} s for ip in vain; seen last: {found.seen}"
    assert waiting.told("web01", found) == said


def test_a_command_that_cannot_be_run_yet_is_tried_again(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(host, "start")
    answers: list[object] = [HostError("no such user"), Ran(code=None), Ran(code=3), Ran(code=0)]

    def answer(*_: object) -> Ran:
        match answers.pop(0):
            case HostError() as error:
                raise error
            case Ran() as ran:
                return ran
            case other:
                raise AssertionError(other)

    monkeypatch.setattr(MemoryDriver, "exec", answer)
    found = waited(host, None, ["nc", "-z", "db 01", 5432])
    assert (found.until, found.reached) == (Until.COMMAND, True)
    assert found.seen == "nc -z 'db 01' 5432 exited with 0"
    assert waiting.told("web01", found).endswith(f" s for command; seen last: {found.seen}")
    for left, seen in (
        (HostError("no such user"), "no such user"),
        (Ran(code=None), "x had not ended"),
    ):
        answers[:] = [left] * 99
        assert waited(host, None, ["x"]).seen == seen


def test_it_is_seen_when_it_comes(host: Host) -> None:
    later = threading.Timer(0.2, lambda: apply(host, "start"))
    later.start()
    found = waited(host, "running", timeout=20)
    later.join()
    assert (found.reached, found.seen, 0.1 < found.took_s < 20) == (True, "running", True)
    apply(host, "deprovision")
    assert waited(host, "stopped").seen == "not defined"


def test_all_that_is_wrong_with_a_wait_is_told_at_once(host: Host) -> None:
    with pytest.raises(Refused) as refused:
        waited(host, "stoped", "'", timeout=0, user="")
    assert [line.partition(":")[0] for line in refused.value.problems] == [
        "until",
        "timeout",
        "user",
        "command",
    ]
    with pytest.raises(Refused, match=r"^command: is missing$"):
        waited(host, "command")
    with pytest.raises(Refused, match=r"^until: must be 'command' with a command, got 'ip'$"):
        waited(host, "ip", "true")
