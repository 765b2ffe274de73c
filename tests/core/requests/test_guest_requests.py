"""What may be asked of the inside of a VM, and in which words the rest is refused."""

import pytest
from returns.result import Success

from geats_core.requests.guest_requests import (
    Command,
    FileToRead,
    FileToWrite,
    parse_command,
    parse_file_to_read,
    parse_file_to_write,
)


def said(checked: object) -> list[str]:
    """The problems, as lines."""
    assert not isinstance(checked, Success)
    return [str(problem) for problem in checked.failure()]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("raw", "argv"),
    [
        (["sh", "-c", "echo a\necho b"], ("sh", "-c", "echo a\necho b")),
        (("sleep", 1, 0.5, ""), ("sleep", "1", "0.5", "")),
        ("echo 'two words' \"$HOME\" é", ("echo", "two words", "$HOME", "é")),
    ],
)
def test_a_command_is_a_list_of_words_or_a_line_of_them(raw: object, argv: object) -> None:
    assert parse_command(raw, {}) == Success(Command(argv=argv))  # type: ignore[arg-type]


def test_a_command_has_a_user_a_directory_an_environment_and_a_time() -> None:
    options: dict[str, object] = {
        "user": "www-data",
        "cwd": "/srv",
        "env": {"A": 1, "_b": "x\ny"},
        "timeout": 86_400,
    }
    assert parse_command("true", options) == Success(
        Command(
            argv=("true",),
            user="www-data",
            cwd="/srv",
            env={"A": "1", "_b": "x\ny"},
            timeout_s=86_400,
        )
    )


@pytest.mark.parametrize(
    ("raw", "user"),
    [(0, 0), ("0", 0), (2**32 - 2, 2**32 - 2), ("1000", 1000), ("a.b-c_1$", "a.b-c_1$")],
)
def test_users_have_names_or_ids(raw: object, user: object) -> None:
    assert parse_command("true", {"user": raw}).unwrap().user == user


@pytest.mark.parametrize(
    "raw", [-1, 2**32 - 1, "4294967295", "12345678901", True, 1.5, "", "a b", "-x", "x" * 40, []]
)
def test_what_is_no_user_is_refused(raw: object) -> None:
    (line,) = said(parse_command("true", {"user": raw}))
    assert line.startswith("user: must be a name or an id from 0 to 4294967294, got ")


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        ("", "command: must begin with a program"),
        ([], "command: must begin with a program"),
        (["", "x"], "command: must begin with a program"),
        ("echo 'open", "command: cannot be split into words: no closing quotation"),
        (5, "command: must be a list of words, or one line, got 5"),
        (None, "command: must be a list of words, or one line, got null"),
        (["a", True], "command[1]: must be text without zero bytes, got a bool"),
        (["a\0b"], "command[0]: must be text without zero bytes, got a str"),
        (["\ud800"], "command[0]: must be text without zero bytes, got a str"),
        (["a", 2**256], "command[1]: must be text without zero bytes, got a int"),
        (["a", ["b"]], "command[1]: must be text without zero bytes, got a list"),
    ],
)
def test_what_is_no_command_is_refused(raw: object, line: str) -> None:
    assert said(parse_command(raw, {})) == [line]


def test_everything_that_is_wrong_is_told_at_once() -> None:
    options: dict[str, object] = {"cwd": "srv", "env": ["A=1"], "timeout": 0, "shell": True}
    assert said(parse_command([1, None], options)) == [
        "command[1]: must be text without zero bytes, got a NoneType",
        "cwd: must be an absolute path in the guest, got 'srv'",
        "env: must be a mapping, got a list",
        "timeout: must be a whole number from 1 to 86400, got 0",
        "shell: unknown key 'shell' (there is: cwd, env, timeout, user)",
    ]


def test_no_value_of_an_environment_is_ever_shown() -> None:
    options: dict[str, object] = {
        "env": {"A": "hush\0", "B": [b"hush"], "2x": "hush", 3: "hush", "C": "hush"}
    }
    assert said(parse_command("true", options)) == [
        "env.A: must be text without zero bytes, got a str",
        "env.B: must be text without zero bytes, got a list",
        "env: the key must be a name of letters, digits and underscores, got '2x'",
        "env: the key must be a name of letters, digits and underscores, got 3",
    ]
    assert "hush" not in repr(parse_command("true", {"env": {"C": "hush"}}))


@pytest.mark.parametrize("raw", ["0640", "640", 640])
def test_a_mode_is_octal_digits_even_where_yaml_made_them_a_number(raw: object) -> None:
    wanted = FileToWrite(path="/etc/a", mode=0o640, owner="root", group=5, timeout_s=9)
    options: dict[str, object] = {"mode": raw, "owner": "root", "group": "5", "timeout": 9}
    assert parse_file_to_write("/etc/a", options) == Success(wanted)


@pytest.mark.parametrize("raw", ["rw-r--r--", "0o644", "9", "888", 64, 648, -644, 77777, True, []])
def test_what_is_no_mode_is_refused(raw: object) -> None:
    (line,) = said(parse_file_to_write("/etc/a", {"mode": raw}))
    assert line.startswith("mode: must be octal digits such as 0644, got ")


def test_a_file_has_defaults() -> None:
    assert parse_file_to_write("/a", {}) == Success(FileToWrite(path="/a"))
    assert parse_file_to_read("/a", {}) == Success(FileToRead(path="/a"))
    wanted = FileToRead(path="/a", max_bytes=1 << 30, timeout_s=3)
    assert parse_file_to_read("/a", {"max_size": "1GiB", "timeout": 3}) == Success(wanted)


@pytest.mark.parametrize("raw", ["", "a", "a/b", None, 5, "/a\0", "/\ud800"])
def test_a_path_of_a_guest_is_absolute(raw: object) -> None:
    for parse in (parse_file_to_read, parse_file_to_write):
        (line,) = said(parse(raw, {}))
        assert line.startswith("path: must be an absolute path in the guest, got ")


@pytest.mark.parametrize("raw", ["/", "/a/", "/a/.", "/a/.."])
def test_a_path_of_a_file_ends_with_its_name(raw: object) -> None:
    for parse in (parse_file_to_read, parse_file_to_write):
        assert said(parse(raw, {})) == [f"path: must be the path of a file, got {raw!r}"]
