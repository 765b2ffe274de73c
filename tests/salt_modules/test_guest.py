"""The execution functions that reach into VMs, through Salt's real loader."""

import inspect

import msgpack
import pytest
from salt.exceptions import CommandExecutionError

FUNCTIONS = (
    "exec",
    "push",
    "write_file",
    "pull",
    "read_file",
    "wait",
    "logs",
    "console_command",
    "ssh_command",
)


@pytest.fixture
def testmode():
    return False


@pytest.fixture
def running(modules):
    modules["geats.start"]("web01")
    return modules


def test_a_program_is_run_and_its_exit_code_is_salts(running):
    ran = {"code": 0, "stdout": "a b\n", "stderr": "", "truncated": False, "timed_out": False}
    assert running["geats.exec"]("web01", "echo 'a b'", user="ann", cwd="/tmp", timeout=5) == ran
    assert running["geats.exec"]("web01", ["env"], env={"A": 1})["stdout"] == "A=1\n"
    assert running["geats.exec"]("web01", "false")["code"] == 1
    assert running.pack["__context__"]["retcode"] == 1


def test_a_file_goes_in_and_comes_back(running, tmp_path):
    (tmp_path / "source").write_bytes(b"\xffa")
    pushed = running["geats.push"]("web01", str(tmp_path / "source"), "/etc/a", mode=640)
    assert pushed == {"path": "/etc/a", "size_bytes": 2}
    assert running["geats.read_file"]("web01", "/etc/a") == "\ufffda"
    target = str(tmp_path / "target")
    pulled = running["geats.pull"]("web01", "/etc/a", target)
    assert pulled == {"target": target, "size_bytes": 2}
    assert (tmp_path / "target").read_bytes() == b"\xffa"
    written = running["geats.write_file"]("web01", "/etc/motd", "hello\n")
    assert written == {"path": "/etc/motd", "size_bytes": 6}
    assert running["geats.read_file"]("web01", "/etc/motd", max_size="6B") == "hello\n"


def test_a_directory_is_for_containers_and_goes_where_it_is_wanted(running, tmp_path):
    (tmp_path / "source").write_bytes(b"a")
    pushed = running["geats.push"]("web01", str(tmp_path / "source"), "/etc/")
    assert pushed == {"path": "/etc/source", "size_bytes": 1}
    (tmp_path / "folder").mkdir()
    pulled = running["geats.pull"]("web01", "/etc/source", str(tmp_path / "folder"))
    assert pulled == {"target": str(tmp_path / "folder/source"), "size_bytes": 1}
    with pytest.raises(CommandExecutionError, match="takes files only, and no directories"):
        running["geats.push"]("web01", str(tmp_path / "folder"), "/etc/")


def test_logs_are_lines_of_text(running):
    said = "unknown log 'file' .there is: init."
    with pytest.raises(CommandExecutionError, match=said):
        running["geats.logs"]("web01")


def test_waiting_says_how_long_it_took(running):
    report = running["geats.wait"]("web01", "ip", timeout=5)
    assert report.pop("took_s") < 1
    assert report == {"name": "web01", "until": "ip", "reached": True, "seen": "10.0.0.2"}
    assert running["geats.wait"]("web01", command="true")["until"] == "command"


def test_waiting_in_vain_is_an_error_with_what_was_seen_last(running):
    said = r"^web01: waited [0-9.]+ s for command in vain; seen last: false exited with 1\."
    with pytest.raises(CommandExecutionError, match=said) as error:
        running["geats.wait"]("web01", command="false", timeout=1)
    assert (error.value.info or {})["reached"] is False


def test_the_way_to_a_vm_is_told(running):
    words = ["ssh", "-l", "ann", "-i", "/key", "-p", "22", "--", "10.0.0.2"]
    assert running["geats.ssh_command"]("web01", user="ann", identity="/key", port=22) == words
    with pytest.raises(CommandExecutionError, match="exists in memory only, and has no console"):
        running["geats.console_command"]("web01")


@pytest.mark.parametrize(
    ("function", "arguments", "paths"),
    [
        ("exec", {"command": True, "user": "", "cwd": "x", "env": 5, "timeout": 0}, 5),
        (
            "push",
            {"source": "x", "path": "x", "mode": 9, "owner": "", "group": "", "timeout": 0},
            6,
        ),
        ("pull", {"path": "x", "target": "x", "max_size": 0, "timeout": 0}, 4),
        ("write_file", {"path": "x", "content": 5, "mode": 9}, 3),
        ("read_file", {"path": "x", "max_size": "x", "timeout": "x"}, 3),
        ("logs", {"source": "x"}, 1),
        ("wait", {"until": "x", "command": 5, "timeout": 0, "user": ""}, 4),
        ("ssh_command", {"user": "", "identity": "x", "port": 0}, 3),
    ],
)
def test_all_that_is_wrong_is_told_in_one_message(modules, function, arguments, paths):
    with pytest.raises(CommandExecutionError) as refused:
        modules[f"geats.{function}"]("web01", **arguments)
    said = [line.partition(":")[0] for line in refused.value.message.splitlines()]
    named = [name for names in said for name in names.split(", ")]
    assert set(named) == set(arguments)
    assert len(named) == paths


@pytest.mark.parametrize("function", FUNCTIONS)
def test_each_is_documented_with_an_example(modules, function):
    assert f"geats.{function} web01" in (inspect.getdoc(modules[f"geats.{function}"]) or "")


def test_a_list_shows_the_vms_that_are_asked_for(running):
    names = running["geats.list"]
    assert set(names("web*")) == {"web01"}
    assert set(names(["db*", "web*"], power=["running", "none"])) == {"web01", "db01"}
    assert set(names(power="none", defined=False, locked=False, declared=True)) == {"db01"}
    assert set(names(driver="memory")) == {"web01"}
    assert names(declared=False) == {}
    with pytest.raises(CommandExecutionError, match=r"^power\[0\]: unknown power 'runing'"):
        names(power="runing")


def test_answers_are_plain_data(running):
    for report in (
        running["geats.exec"]("web01", "true"),
        running["geats.wait"]("web01"),
        running["geats.ssh_command"]("web01"),
    ):
        assert msgpack.unpackb(msgpack.packb(report)) == report
