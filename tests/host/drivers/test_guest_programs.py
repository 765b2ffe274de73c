"""Programs and files by an agent that is a function here: an honest one, and some that are not."""

import json
import sys
import tempfile
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from geats_core.requests.guest_requests import Command, FileToRead, FileToWrite
from geats_host.drivers import OUTPUT_BYTES, Ran
from geats_host.drivers.libvirt.guests import agent
from geats_host.drivers.libvirt.guests import programs as guest_programs
from geats_host.errors import HostError

TRUE = Command(argv=("true",))
MANY = 1000


class Guest:
    """An agent that answers each command as *said* has it: a value, or a list of them in turn."""

    def __init__(self, **said: object) -> None:
        self.said = {key.replace("_", "-"): value for key, value in said.items()}
        self.asked: list[tuple[str, Mapping[str, object]]] = []

    def __call__(self, command: str, arguments: Mapping[str, object], within_s: float) -> object:
        assert 0 < within_s <= guest_programs.ANSWERS_S
        self.asked.append((command, arguments))
        assert len(self.asked) < MANY, "it asks without an end"
        said = self.said.get(command, {})
        answer = said.pop(0) if isinstance(said, list) else said
        if isinstance(answer, HostError):
            raise answer
        return answer


def ended(code: int = 0, out: bytes = b"", err: bytes = b"") -> dict[str, object]:
    said = {"out-data": b64encode(out).decode(), "err-data": b64encode(err).decode()}
    return {"exited": True, "exitcode": code, **said}


def running(*said: object) -> Guest:
    return Guest(guest_exec={"pid": 5}, guest_exec_status=list(said))


def test_a_program_is_asked_for_until_it_has_ended() -> None:
    guest = running({"exited": False}, ended(3, b"out", b"err"))
    command = Command(argv=("a", "b c"), user="me", cwd="/x", env={"A": "1"}, timeout_s=9)
    assert guest_programs.run(guest, command) == Ran(code=3, stdout=b"out", stderr=b"err")
    (_, asked), *later = guest.asked
    assert asked["path"] == "/bin/sh"
    assert asked["env"] == [f"PATH={guest_programs.PATH}", "A=1"]
    script, *words = list(asked["arg"])[1:]  # type: ignore[call-overload]
    assert (script, words) == (
        guest_programs.RUN,
        ["sh", "me", "/x", "9", f"{OUTPUT_BYTES + 1}", "a", "b c"],
    )
    assert later == [("guest-exec-status", {"pid": 5})] * 2


def test_a_program_with_input_has_no_limit_of_time_and_a_group_of_its_own() -> None:
    guest = running({"exited": False}, ended(3, b"out"))
    ran = guest_programs.stream(guest, TRUE, b"\xff", None, lambda: 0)
    assert ran == Ran(code=3, stdout=b"out")
    _, asked = guest.asked[0]
    assert asked["input-data"] == b64encode(b"\xff").decode()
    most = f"{OUTPUT_BYTES + 1}"
    script = ["-c", guest_programs.APART, "/bin/sh", "-c", guest_programs.RUN, "sh"]
    assert asked["arg"] == [*script, "0", "/", "0", most, "true"]


def test_one_that_is_to_end_is_killed_and_so_is_one_that_nobody_waits_for() -> None:
    guest = running({"exited": False})
    assert guest_programs.stream(guest, TRUE, b"", 9, lambda: 15) == Ran(code=None)
    assert "kill -s KILL -- -5" in f"{guest.asked[-1][1]}"
    guest = running({"exited": "malformed"})
    with pytest.raises(HostError, match="malformed"):
        guest_programs.stream(guest, TRUE, b"", None, lambda: 0)
    assert "kill -s KILL -- -5" in f"{guest.asked[-1][1]}"


def test_words_of_our_script_are_an_error_with_input_too() -> None:
    said = ended(126, err=b"geats: me: there is no such user\n")
    with pytest.raises(HostError, match=r"^me: there is no such user$"):
        guest_programs.stream(running(said), TRUE, b"", None, lambda: 0)


def test_one_that_a_signal_ended_says_so() -> None:
    assert guest_programs.run(running({"exited": True, "signal": 9}), TRUE) == Ran(code=137)


def test_a_program_that_never_ends_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest_programs, "ENDED_S", -1000)
    guest = running({"exited": False})
    assert guest_programs.run(guest, TRUE) == Ran(code=None)
    _, arguments = guest.asked[-1]
    assert arguments["arg"] == ["-c", "kill -s KILL -- -5 2>/dev/null || kill -s KILL 5"]


@pytest.mark.parametrize(
    "said",
    [
        *({}, [], None, 7, "x", {"exited": 1}, {"exited": True}, {"exited": "true"}),
        {"exited": True, "exitcode": -1},
        {"exited": True, "exitcode": 2**70},
        {"exited": True, "exitcode": "0"},
        {"exited": True, "signal": 2**40},
        {**ended(), "err-data": 5},
        {**ended(), "err-data": "no base64!"},
    ],
)
def test_an_answer_of_another_shape_is_an_error(said: object) -> None:
    with pytest.raises(HostError, match="malformed"):
        guest_programs.run(running(said), TRUE)


@pytest.mark.parametrize("said", [{}, {"pid": "5"}, {"pid": -1}, {"pid": None}, [5]])
def test_a_pid_that_is_none_is_an_error(said: object) -> None:
    with pytest.raises(HostError, match="malformed"):
        guest_programs.run(Guest(guest_exec=said), TRUE)


def test_of_what_a_guest_says_against_our_wish_the_beginning_is_kept() -> None:
    ran = guest_programs.run(running(ended(out=bytes(OUTPUT_BYTES + 9))), TRUE)
    assert (len(ran.stdout), ran.truncated) == (OUTPUT_BYTES, True)


def test_words_of_a_guest_say_nothing_to_a_terminal() -> None:
    said = ended(126, err=b"geats: \x1b]0;title\x07bad\x1b[2J")
    with pytest.raises(HostError) as failed:
        guest_programs.run(running(said), TRUE)
    assert str(failed.value).isprintable()


def test_words_of_our_script_are_an_error() -> None:
    said = ended(126, err=b"geats: me: there is no such user\n")
    with pytest.raises(HostError, match=r"^me: there is no such user$"):
        guest_programs.run(running(said), TRUE)


@pytest.fixture
def target() -> Iterator[int]:
    with tempfile.TemporaryFile() as file:
        yield file.fileno()


def reading(size: bytes, *chunks: object, handle: object = 1000) -> Guest:
    return Guest(
        guest_exec={"pid": 5},
        guest_exec_status=ended(out=size),
        guest_file_open=handle,
        guest_file_read=list(chunks),
    )


def chunk(content: bytes, *, eof: bool = False) -> dict[str, object]:
    return {"count": len(content), "buf-b64": b64encode(content).decode(), "eof": eof}


def test_a_file_comes_in_chunks(target: int) -> None:
    guest = reading(b"5\n", chunk(b"abc"), chunk(b"de", eof=True))
    guest_programs.read(guest, FileToRead(path="/f"), target)
    with open(target, "rb", closefd=False) as file:
        file.seek(0)
        assert file.read() == b"abcde"
    assert guest.asked[-1] == ("guest-file-close", {"handle": 1000})


@pytest.mark.parametrize("size", [b"101\n", b"", b"-1", b"x", b"9" * 5000])
def test_a_file_that_is_too_large_is_not_read(target: int, size: bytes) -> None:
    guest = reading(size)
    with pytest.raises(HostError, match="is larger than 100 bytes"):
        guest_programs.read(guest, FileToRead(path="/f", max_bytes=100), target)
    assert "guest-file-open" not in dict(guest.asked)


def test_a_file_that_grows_is_not_read_to_an_end_that_it_has_not(target: int) -> None:
    guest = reading(b"5", *[chunk(b"x" * 60)] * 3)
    with pytest.raises(HostError, match="is larger than 100 bytes"):
        guest_programs.read(guest, FileToRead(path="/f", max_bytes=100), target)
    assert guest.asked[-1] == ("guest-file-close", {"handle": 1000})


def test_a_file_of_endless_nothing_is_not_read_for_ever(
    target: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter(range(MANY))
    monkeypatch.setattr("time.monotonic", lambda: next(ticks))
    guest = reading(b"5", *[chunk(b"")] * MANY)
    with pytest.raises(HostError, match="is not copied in time"):
        guest_programs.read(guest, FileToRead(path="/f", timeout_s=50), target)


@pytest.mark.parametrize(
    "said", [{}, [], {"eof": 1, "buf-b64": ""}, {"eof": True, "buf-b64": "?"}, {"buf-b64": ""}]
)
def test_a_chunk_of_another_shape_is_an_error(target: int, said: object) -> None:
    with pytest.raises(HostError, match="malformed"):
        guest_programs.read(reading(b"5", said), FileToRead(path="/f"), target)


def test_a_handle_that_is_none_is_an_error(target: int) -> None:
    with pytest.raises(HostError, match="malformed"):
        guest_programs.read(reading(b"5", handle="x"), FileToRead(path="/f"), target)


@pytest.mark.parametrize("count", [{"count": 2}, {}, {"count": "5"}, HostError("no space")])
def test_a_file_that_is_not_written_whole_is_removed(target: int, count: object) -> None:
    guest = Guest(
        guest_exec={"pid": 5},
        guest_exec_status=[ended(out=b"/x/.geats-1\n"), ended()],
        guest_file_open=7,
        guest_file_write=count,
    )
    with open(target, "wb", closefd=False) as file:
        file.write(b"12345")
        file.flush()
        file.seek(0)
    with pytest.raises(HostError):
        guest_programs.write(guest, FileToWrite(path="/x/f"), target)
    removing = [arguments for command, arguments in guest.asked if command == "guest-exec"][-1]
    assert removing["arg"] == ["-c", guest_programs.REMOVE, "sh", "/x/.geats-1"]


def test_a_script_that_fails_without_a_word_is_an_error() -> None:
    with pytest.raises(HostError, match="exit code 9"):
        guest_programs.write(running(ended(9)), FileToWrite(path="/x/f"), 0)


@pytest.mark.parametrize("text", ["", "x", "[]", "{}", "[" * 100_000, "1" * 5000, '{"error": 1}'])
def test_what_is_no_answer_is_an_error(text: str) -> None:
    with pytest.raises(HostError, match="malformed"):
        agent.returned(text)


def test_words_of_a_guest_are_short_and_printable() -> None:
    with pytest.raises(HostError) as raised:
        agent.returned("\x1b[31m" * 1000)
    assert len(str(raised.value)) < 10 * agent.WORDS
    assert str(raised.value).isprintable()


CHILD = """
import json, sys, time
print(json.dumps({"answer": ""}), flush=True)
sys.stdin.readline()
for line in sys.stdin:
    %s
"""
Child = Callable[[str], list[str]]


def child(tmp_path: Path, does: str) -> list[str]:
    script = tmp_path / "child.py"
    script.write_text(CHILD % does)
    return [sys.executable, f"{script}"]


def asked(argv: list[str], within_s: float = 20.0) -> object:
    with agent.connected(argv, "test:///default", "vm", 20) as reached:
        return reached.ask("guest-ping", {"a": 1}, within_s)


def test_what_is_asked_goes_to_the_child_and_comes_back(tmp_path: Path) -> None:
    does = 'print(json.dumps({"answer": json.dumps({"return": json.loads(line)})}), flush=True)'
    assert asked(child(tmp_path, does)) == {
        "ask": json.dumps({"execute": "guest-ping", "arguments": {"a": 1}}),
        "within_s": 20.0,
    }


@pytest.mark.parametrize(
    ("lacks", "said"),
    [("agent", "install qemu-guest-agent there"), ("channel", "hardware.agent"), ("", "^why$")],
)
def test_why_there_is_no_answer_is_told(tmp_path: Path, lacks: str, said: str) -> None:
    answer = {"failed": "why", "lacks": lacks}
    with pytest.raises(HostError, match=said):
        asked(child(tmp_path, f"print(json.dumps({answer}), flush=True)"))


def test_a_child_that_says_nothing_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent, "MORE_S", 0.0)
    with pytest.raises(HostError, match="does not answer in time"):
        asked(child(tmp_path, "time.sleep(1000)"), 0.1)


@pytest.mark.parametrize(
    "does", ["sys.exit()", "print('x' * 300, end='', flush=True); time.sleep(100)"]
)
def test_a_child_that_says_no_line_is_an_error(
    tmp_path: Path, does: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent, "LONGEST", 200)
    with pytest.raises(HostError):
        asked(child(tmp_path, does))
