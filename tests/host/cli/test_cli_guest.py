"""The commands that reach into VMs, and those that list some of them."""

import re
import sys
from pathlib import Path

import pytest

from geats_core.requests.guest_requests import LONGEST_S, Command
from geats_host.drivers import Ran, Streams
from geats_host.drivers.memory import MemoryDriver, open_driver
from geats_host.host import Host
from tests.host.cli.conftest import Geats, answer


@pytest.fixture
def running(geats: Geats) -> Geats:
    assert geats("start", "web01")[0] == 0
    return geats


def test_a_program_says_what_it_says_and_its_exit_code_is_that_of_geats(running: Geats) -> None:
    assert running("exec", "web01", "--", "echo", "-n", "a  b") == (0, "-n a  b\n", "")
    assert running("exec", "web01", "false") == (1, "", "")
    code, out, err = running("exec", "web01", "--user", "ann", "--", "ls", "-l")
    assert (code, out, err) == (127, "", "ls: No such file or directory\n")
    assert running("exec", "web01")[0] == 2


def test_variables_come_from_the_line_or_from_the_environment(
    running: Geats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "hush")
    words = ("--env", "A=b=c", "--env", "TOKEN", "--env", "NONE_SUCH")
    assert running("exec", "web01", *words, "env")[1] == "A=b=c\nNONE_SUCH=\nTOKEN=hush\n"


def test_a_program_whose_time_is_up_ends_with_124(
    running: Geats, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = Ran(code=None, stdout=b"begun\n", stderr=b"oh\n", truncated=True)
    monkeypatch.setattr(MemoryDriver, "exec", lambda *_: ran)
    code, out, err = running("exec", "web01", "sleep", "9")
    assert (code, out) == (124, "begun\n")
    assert err == (
        "oh\nthere was more output than is kept\n"
        "web01: the program was killed because its time was up\n"
    )


def test_a_terminal_is_given_to_programs_of_containers_only(
    running: Geats, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "web01: is a machine that gives no terminal to a program: use 'geats console web01'"
    assert running("shell", "web01") == (2, "", f"refused: {said} or 'geats ssh web01'\n")
    assert running("exec", "-t", "web01", "true")[2] == (
        "refused: a terminal is wanted, but the input is none\n"
    )
    monkeypatch.setattr("os.isatty", lambda _: True)
    assert running("exec", "-t", "web01", "true")[2].startswith(f"refused: {said}")


def test_a_login_shell_knows_the_terminal(running: Geats, monkeypatch: pytest.MonkeyPatch) -> None:
    called = []

    class OfContainers:
        def on_terminal(self, *given: object) -> int:
            called.append(given)
            return 7

    monkeypatch.setattr(Host, "running", lambda *_: OfContainers())
    monkeypatch.setattr("os.isatty", lambda _: True)
    monkeypatch.setenv("TERM", "vt100")
    monkeypatch.delenv("COLORTERM", raising=False)
    assert running("shell", "web01", "--user", "ann") == (7, "", "")
    command = Command(argv=(), user="ann", env={"TERM": "vt100"}, timeout_s=LONGEST_S)
    assert called == [("web01", command, Streams(), None)]


def test_a_report_of_a_program_is_json(running: Geats) -> None:
    assert answer(running, "exec", "web01", "echo", "a") == {
        "code": 0,
        "stdout": "a\n",
        "stderr": "",
        "truncated": False,
        "timed_out": False,
    }


def test_files_go_in_and_come_back(
    running: Geats, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("source").write_bytes(b"\xff")
    assert running("push", "web01", "source", "/etc/a", "--mode", "0600") == (0, "", "")
    assert running("pull", "web01", "/etc/a", "target") == (0, "", "")
    assert Path("target").read_bytes() == b"\xff"
    assert answer(running, "push", "web01", "source", "/etc/a") == {
        "path": "/etc/a",
        "size_bytes": 1,
    }
    code, _, err = running("push", "web01", "absent", "etc", "--mode", "x")
    assert (code, [line.split(":")[1] for line in err.splitlines()]) == (2, [" path", " mode"])
    code, _, err = running("pull", "web01", "/etc/b", "target")
    assert (code, err) == (1, "failed: cannot read /etc/b of web01: No such file or directory\n")


def test_waiting_ends_with_1_where_it_was_in_vain(running: Geats) -> None:
    code, out, _ = running("wait", "web01", "--until", "ip")
    assert code == 0
    assert re.fullmatch(r"web01: waited [0-9.e-]+ s for ip; seen last: 10\.0\.0\.2\n", out)
    assert running("wait", "web01", "--", "true")[0] == 0
    code, out, _ = running("wait", "db01", "--timeout", "1")
    assert code == 1
    said = r"db01: waited [0-9.]+ s for running in vain; seen last: not defined\n"
    assert re.fullmatch(said, out)
    assert running("wait", "web01", "--until", "there")[0] == 2


def test_into_a_vm_that_is_off_nothing_gets(geats: Geats) -> None:
    said = "refused: web01: is not defined, and must be running\n"
    assert geats("exec", "web01", "true") == (2, "", said)


def names(geats: Geats, *arguments: str) -> list[object]:
    listed = answer(geats, *arguments)
    assert isinstance(listed, dict)
    return list(listed)


def test_a_list_shows_the_vms_that_are_asked_for(running: Geats) -> None:
    assert names(running, "list", "web*", "db*") == ["db01", "web01"]
    assert names(running, "list", "--power", "none", "--undefined") == ["db01"]
    assert names(running, "list", "--driver", "memory", "--unlocked") == ["web01"]
    assert running("list", "--undeclared")[:2] == (0, "No VM matches. There is: db01, web01.\n")
    code, _, err = running("list", "--driver", "lxd")
    assert (code, err) == (2, "refused: driver[0]: unknown driver 'lxd' (there is: memory)\n")


def test_logs_are_shown_with_what_each_line_is_of(running: Geats, tmp_path: Path) -> None:
    driver = open_driver({}, tmp_path / "state")
    assert running("logs", "web01", "--source", "lxc")[0] == 2
    driver.log_files |= {"console": tmp_path / "console.log", "lxc": tmp_path / "log"}
    assert running("logs", "web01") == (0, "", "web01: there are no logs yet\n")
    (tmp_path / "console.log").write_bytes(b"\x1b[1mhello\n")
    assert running("logs", "web01") == (0, "hello\n", "")
    (tmp_path / "log").write_bytes(b"oh\n")
    assert running("logs", "web01")[1] == "console | hello\nlxc     | oh\n"
    assert answer(running, "logs", "web01", "--source", "lxc") == {"source": "lxc", "line": "oh"}


def test_ssh_takes_the_place_of_geats(running: Geats, monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[list[str]] = []

    def execvp(_: str, argv: list[str]) -> None:
        became.append(argv)
        sys.exit(0)

    monkeypatch.setattr("os.execvp", execvp)
    assert running("ssh", "ann@web01", "-p", "23", "--", "-v", "uptime")[0] == 0
    assert became == [["ssh", "-l", "ann", "-p", "23", "10.0.0.2", "-v", "uptime"]]
    assert running("ssh", "@web01")[0] == 2


def test_the_public_key_of_a_minion_is_shown(running: Geats, tmp_path: Path) -> None:
    key = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"
    (tmp_path / "pub").write_text(f"{key}\n")
    path = "/etc/salt/pki/minion/minion.pub"
    code, _, err = running("minion-key", "web01")
    assert (code, "give the VM a `minion`, and apply" in err) == (1, True)
    running("push", "web01", str(tmp_path / "pub"), path)
    code, out, _ = running("minion-key", "web01")
    assert (code, out.splitlines()[1:]) == (0, key.splitlines())
    said = out.splitlines()[0].split()
    fingerprint = {"id": said[0], "key": key, "fingerprint": said[1]}
    assert answer(running, "minion-key", "web01") == fingerprint
