"""Commands in the words of Salt's cmd module, for the inside of a VM."""

import pytest
from returns.result import Success

from geats_core.reading.checked import Problem, problems_of
from geats_core.requests.shell_requests import ShellCommand, parse_shell_command


@pytest.mark.parametrize(
    ("cmd", "options", "argv"),
    [
        ("ls *.conf", {}, ("/bin/sh", "-c", "ls *.conf")),
        ("ls $HOME", {"shell": "/bin/bash"}, ("/bin/bash", "-c", "ls $HOME")),
        ("ls 'a b'", {"python_shell": False}, ("ls", "a b")),
        (["ls", "*.conf", 5], {}, ("ls", "*.conf", "5")),
        (["ls"], {"python_shell": False, "shell": "/bin/bash"}, ("ls",)),
    ],
)
def test_a_line_is_for_a_shell_and_a_list_for_none(
    cmd: object, options: dict[str, object], argv: tuple[str, ...]
) -> None:
    assert parse_shell_command(cmd, options) == Success(ShellCommand(argv=argv))


def test_a_command_has_a_day_unless_told() -> None:
    assert parse_shell_command("true", {}).unwrap().timeout_s == 86_400


def test_every_option_has_its_place() -> None:
    options: dict[str, object] = {
        "runas": "ann",
        "cwd": "/srv",
        "env": {"A": 1},
        "timeout": 5,
        "ignore_retcode": True,
    }
    assert parse_shell_command(["true"], options) == Success(
        ShellCommand(
            argv=("true",),
            user="ann",
            cwd="/srv",
            env={"A": "1"},
            timeout_s=5,
            ignore_retcode=True,
        )
    )


def test_errors_can_come_among_the_output() -> None:
    words = ShellCommand(argv=("ls", "a b")).in_one_stream()
    assert words == ("/bin/sh", "-c", 'exec "$@" 2>&1', "/bin/sh", "ls", "a b")


def test_all_that_is_wrong_or_not_known_is_told_at_once() -> None:
    options: dict[str, object] = {
        "shell": "bash",
        "python_shell": "yes",
        "runas": "",
        "cwd": "x",
        "env": {"A": "secret\0"},
        "timeout": 0,
        "ignore_retcode": 1,
        "stdin": "x",
    }
    found = problems_of(parse_shell_command(5, options))
    assert {problem.path for problem in found} == {"cmd", "env.A", *options} - {"env"}
    assert (
        Problem(
            "stdin",
            "unknown key 'stdin' (there is: cwd, env, ignore_retcode, python_shell, runas, shell, "
            "timeout)",
        )
        in found
    )


def test_a_list_is_for_no_shell() -> None:
    assert problems_of(parse_shell_command(["ls"], {"python_shell": True})) == (
        Problem("cmd", "must be one line for a shell, or python_shell false"),
    )
