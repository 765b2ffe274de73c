"""What the configuration of an image says of its program, also if it is hostile."""

import json
import subprocess

import pytest
from returns.result import Failure, Success

from geats_core.containers.programs import WhatRuns
from geats_core.oci.images import parse_config_of
from geats_core.oci.programs import ImageProgram, parse_image_program, with_ids

PASSWD = "root:x:0:0::/root:/bin/sh\nbroken\nnginx:x:101:102::/srv:/bin/sh\nbad:x:x:y::/:\n"
GROUP = "root:x:0:\nwww:x:33:\n"


def image(**said: object) -> ImageProgram:
    text = json.dumps({"architecture": "amd64", "config": said}).encode()
    return parse_image_program("c", text).unwrap()


def refused(**said: object) -> list[str]:
    match parse_image_program("c", json.dumps({"config": said}).encode()):
        case Failure(problems):
            return [str(each) for each in problems]
        case Success():
            return []


def test_all_that_an_image_can_say_is_taken() -> None:
    found = image(
        Entrypoint=["/entry"],
        Cmd=["-x"],
        Env=["B=1", "A=x=y", "B=2"],
        User="nginx",
        WorkingDir="/srv/",
        StopSignal="3",
        Labels={"a": "b"},
    )
    assert found.user == "nginx"
    assert found.runs == WhatRuns(
        command=("/entry", "-x"),
        environment=(("A", "x=y"), ("B", "2")),
        cwd="/srv",
        stop_signal="SIGQUIT",
    )


@pytest.mark.parametrize("text", [b"{}", b'{"config": null}', b'{"config": {"Cmd": null}}'])
def test_an_image_may_say_nothing(text: bytes) -> None:
    assert parse_image_program("c", text) == Success(ImageProgram(runs=WhatRuns()))


def test_the_root_as_directory_is_none() -> None:
    assert image(WorkingDir="/").runs.cwd == image(WorkingDir="").runs.cwd == ""


@pytest.mark.parametrize("shell", [["sh"], ["bash"], ["busybox", "sh"]])
def test_a_command_that_lxc_would_divide_is_run_by_the_guests_shell(shell: list[str]) -> None:
    words = ["printf", "%s|", "daemon off;", "it's", "", '$HOME `x` \\ "q"', " two  blanks "]
    command = image(Cmd=words).runs.command
    assert command[:2] == ("/bin/sh", "-c")
    assert not any(each.isspace() for each in command[2])
    done = subprocess.run([*shell, *command[1:]], capture_output=True, text=True, check=True)
    assert done.stdout == "".join(f"{word}|" for word in words[2:])


def test_what_cannot_be_run_is_refused_and_no_value_is_told() -> None:
    assert refused(Cmd=["sh", "a\nb"]) == [
        "c.config.Cmd[1]: must be one line of printable text, got 'a\\nb'"
    ]
    assert refused(Entrypoint="sh", Env=["A=sec\nret"], User=[]) == [
        "c.config.Entrypoint: must be a list, got 'sh'",
        "c.config.User: must be one line of printable text, got a list",
        "c.config.Env[0]: must be one line of printable text, got a text of 9 characters",
    ]
    assert refused(WorkingDir="srv", StopSignal="what ever") == [
        "c.config.cwd: must be an absolute path without '..', got 'srv'",
        "c.config.stop_signal: must be the name of a signal such as SIGTERM, got 'SIGWHAT EVER'",
    ]
    assert "A-B" in refused(Env=["A-B=secret"])[0]
    assert "secret" not in refused(Env=["A-B=secret"])[0]
    assert parse_image_program("c", b"[").failure()[0].message == "must be JSON"


@pytest.mark.parametrize(
    ("user", "ids"),
    [
        ("", (None, None)),
        ("nginx", (101, 102)),
        ("101", (101, 102)),
        ("7", (7, 0)),
        ("nginx:www", (101, 33)),
        ("7:8", (7, 8)),
        ("root", (0, 0)),
    ],
)
def test_users_are_looked_up_in_the_files_of_the_image(
    user: str, ids: tuple[int | None, int | None]
) -> None:
    found = with_ids("c", image(User=user), PASSWD, GROUP).unwrap()
    assert (found.user, found.group) == ids


@pytest.mark.parametrize(
    ("user", "problem"),
    [
        ("who", "c: /etc/passwd of the image has no user 'who'"),
        ("bad", "c: /etc/passwd of the image has no user 'bad'"),
        ("nginx:who", "c: /etc/group of the image has no group 'who'"),
        ("99999999999", "c: /etc/passwd of the image has no user '99999999999'"),
    ],
)
def test_a_user_that_is_not_there_is_refused(user: str, problem: str) -> None:
    found = with_ids("c", image(User=user), PASSWD, GROUP)
    assert [str(each) for each in found.failure()] == [problem]


def test_a_user_whose_group_is_no_number_is_refused() -> None:
    found = with_ids("c", image(User="odd"), "odd:x:5:y::/:\n", "")
    assert [str(each) for each in found.failure()] == [
        "c: /etc/group of the image has no group of 'odd'"
    ]


def test_a_manifest_names_its_configuration() -> None:
    digest = f"sha256:{'a' * 64}"
    entry = {"mediaType": "x/y", "digest": digest, "size": 2}
    assert parse_config_of("m", json.dumps({"config": entry}).encode()).unwrap().digest == digest
    assert "config: is missing" in str(parse_config_of("m", b"{}").failure()[0])
