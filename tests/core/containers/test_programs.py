"""Containers whose process 1 is a program, and what any process 1 is given."""

from dataclasses import replace

import pytest
from returns.result import Success

from geats_core import changes, parse_vm, to_plain
from geats_core.containers.programs import KEYS, program_lines
from geats_core.deciding.planner import plan
from geats_core.foreign.lxc_import import import_lxc
from geats_core.planning.goal import Goal, Target
from geats_core.planning.host_facts import HostFacts
from geats_core.vm.by_hand import winning
from geats_core.vm.lxc_config import LxcFacts, render_lxc_config
from geats_core.vm.observation import Observation
from geats_core.vm.secrets import declaration, shown_spec, without_secrets
from tests.core.containers.one_vm import said, web

APP: dict[str, object] = {
    "init": "none",
    "command": ["/bin/sh", "-c", "'x", '"'],
    "user": 33,
    "group": 34,
    "cwd": "/srv",
    "stop_signal": "SIGINT",
    "environment": {"B": "1", "A": "x=y z"},
    "ttys": 0,
}


def test_each_key_has_its_lines() -> None:
    assert [*program_lines(web(**APP).program)] == [
        """lxc.init.cmd = /bin/sh -c 'x \"""",
        "lxc.init.uid = 33",
        "lxc.init.gid = 34",
        "lxc.init.cwd = /srv",
        "lxc.environment = A=x=y z",
        "lxc.environment = B=1",
        "lxc.tty.max = 0",
    ]
    text = render_lxc_config(web(**APP), LxcFacts(volume_paths={"root": "/p"}))
    assert "lxc.signal.halt = SIGINT\n" in text
    bare = render_lxc_config(
        web(init="none", command="/app"), LxcFacts(volume_paths={"root": "/p"})
    )
    assert "lxc.signal.halt = SIGTERM\n" in bare


def test_what_is_said_of_programs_is_written_back_and_nothing_else() -> None:
    assert web(**APP) == parse_vm("web", to_plain(web(**APP))).unwrap()
    assert not to_plain(web()).keys() & {*KEYS}
    assert [*program_lines(web().program)] == []
    assert web(init="none", command="/bin/app --x 1").program.command == ("/bin/app", "--x", "1")


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        (
            {"init": "none", "command": ["app"]},
            "command: must begin with the absolute path of a program, without blanks or quotes, "
            "got 'app'",
        ),
        (
            {"init": "none", "command": ["/app", "a b"]},
            "command[1]: must not have blanks, at which liblxc splits it, nor be empty, got 'a b': "
            "put it in a script",
        ),
        (
            {"init": "none", "command": ["/app", ""]},
            "command[1]: must not have blanks, at which liblxc splits it, nor be empty, got '': "
            "put it in a script",
        ),
        ({"environment": "secret"}, "environment: must be a mapping of names to text"),
        ({"ttys": -1}, "ttys: must be a whole number from 0 to 255, got -1"),
    ],
)
def test_a_wrong_program_is_refused(keys: dict[str, object], problem: str) -> None:
    assert said(**keys) == [problem]


def test_a_line_feed_gets_nowhere_near_a_config() -> None:
    evil = "x\nlxc.hook.pre-start = /evil"

    assert said(init="none", command=["/app", evil])
    assert said(init="none", command=[])[0] == "command: is empty"
    found = said(environment={"A": evil, evil: "x"})
    assert len(found) == 2
    assert not any("evil" in each for each in found if each.startswith("environment.A"))


def test_a_program_that_is_left_out_is_told_once() -> None:
    assert said(init="none", command=5) == ["command: must be a list, got 5"]


def test_variables_are_hidden_wherever_a_spec_is_shown() -> None:
    spec = web(environment={"A": "hush"}, metadata={"B": "hush"})
    (change,) = changes(web(), web(environment={"A": "hush"}))

    assert shown_spec(spec)["environment"] == {"A": "(hidden)"}
    assert declaration(spec)["environment"] == {"A": "(hidden)"}
    assert declaration(spec, shows_secrets=True)["environment"] == {"A": "hush"}
    assert "environment" not in declaration(web())
    assert without_secrets(spec) == web()
    assert "hush" not in f"{change}"


def test_a_line_by_hand_wins_over_a_command() -> None:
    lines = ["lxc.init.cmd = /other", "lxc.init.uid = 33", "lxc.init.gid = 5"]

    assert winning(lines, web(**APP)) == (
        ("lxc.init.cmd = /other", "command"),
        ("lxc.init.gid = 5", "group"),
    )
    assert winning(["lxc.signal.halt = SIGTERM"], web(**APP)) == (
        ("lxc.signal.halt = SIGTERM", "init"),
    )


CONFIG = """\
lxc.rootfs.path = dir:/srv/app
lxc.uts.name = app
lxc.init.cmd = /bin/sh  /srv/run 'x
lxc.init.uid = 0
lxc.init.cwd = /srv
lxc.environment = PATH=/bin:/sbin
lxc.environment = PORT=8080
lxc.signal.halt = term
lxc.tty.max = 1
"""


def imported(text: str) -> dict[str, object]:
    match import_lxc({"app/config": ("app", text)}).geats["vms"]:
        case {"app": dict() as vm}:
            return {key: value for key, value in vm.items() if key in (*KEYS, "init")}
        case _:
            return {}


def test_an_application_container_is_read_from_its_config() -> None:
    assert imported(CONFIG) == {
        "init": "none",
        "command": ["/bin/sh", "/srv/run", "'x"],
        "user": 0,
        "cwd": "/srv",
        "stop_signal": "SIGTERM",
        "environment": {"PATH": "/bin:/sbin", "PORT": "8080"},
        "ttys": 1,
    }


def test_what_a_later_line_takes_back_is_left_out() -> None:
    assert imported(f"{CONFIG}lxc.init.uid = 7\n")["user"] == 7


@pytest.mark.parametrize(
    "line",
    [
        "lxc.init.cmd = app",
        "lxc.init.cmd =",
        "lxc.environment =",
        "lxc.environment = NAME",
        "lxc.environment = 1=2",
        "lxc.tty.max = many",
        "lxc.tty.max = 4",
    ],
)
def test_what_no_key_says_just_the_same_goes_into_none(line: str) -> None:
    assert imported(f"lxc.rootfs.path = dir:/srv/app\nlxc.uts.name = app\n{line}\n") == {}


def test_an_init_by_its_path_and_a_user_are_no_application_container() -> None:
    lines = "lxc.init.cmd = /lib/systemd/systemd --unit=x\nlxc.init.uid = 5\n"

    assert imported(f"lxc.rootfs.path = dir:/srv/app\nlxc.uts.name = app\n{lines}") == {
        "command": ["/lib/systemd/systemd", "--unit=x"],
        "user": 5,
    }


def test_a_signal_is_read_by_its_number_and_one_that_none_knows_stays_with_all_of_it() -> None:
    assert imported(CONFIG.replace("term", "2"))["stop_signal"] == "SIGINT"
    assert "command" not in imported(CONFIG.replace("term", "999"))


IMAGE: dict[str, object] = {
    "command": ["/bin/app"],
    "user": 5,
    "group": 6,
    "cwd": "/data",
    "stop_signal": "SIGQUIT",
    "environment": {"A": "image", "PATH": "/bin"},
}


def test_what_is_said_of_the_vm_wins_over_its_image_key_by_key() -> None:
    image = web(init="none", from_image=IMAGE)
    assert image.runs == web(init="none", **IMAGE).program
    own = web(**APP, from_image=IMAGE)
    assert own.runs.command == own.program.command
    assert (own.runs.user, own.runs.group) == (33, 34)
    assert own.runs.stop_signal == "SIGINT"
    assert dict(own.runs.environment) == {"A": "x=y z", "B": "1", "PATH": "/bin"}
    as_other = web(init="none", user=7, from_image=IMAGE).runs
    assert (as_other.user, as_other.group) == (7, None)  # a group belongs to its user
    assert (as_other.cwd, as_other.command) == ("/data", ("/bin/app",))


def test_what_an_image_said_is_shown_without_its_variables_and_read_back() -> None:
    spec = web(init="none", from_image=IMAGE)
    assert parse_vm("web", to_plain(spec)) == Success(spec)
    shown = shown_spec(spec)["from_image"]
    assert isinstance(shown, dict)
    assert {*shown["environment"].values()} == {"(hidden)"}
    assert without_secrets(spec).runs.environment == ()
    assert declaration(spec, shows_secrets=True)["from_image"] == to_plain(spec)["from_image"]
    assert web(init="none", command="/app", from_image={}).from_image is not None
    assert [*said(from_image={"ttys": 1})] == [
        "from_image.ttys: unknown key 'ttys' (there is: command, cwd, environment, group, "
        "stop_signal, user)"
    ]


def test_a_vm_without_an_init_or_a_command_is_refused() -> None:
    goal = Goal(name="web", target=Target.RUNNING, spec=web(init="none"))
    facts = HostFacts()
    assert [str(each) for each in plan(goal, Observation(), facts).failure()] == [
        "web.command: is missing: init: none needs what runs in its place, and the template 't' "
        "is no image of the OCI that says it"
    ]
    made = plan(replace(goal, spec=web(init="none", from_image=IMAGE)), Observation(), facts)
    reasons = [step.reason for step in made.unwrap().steps]
    assert reasons[0] == (
        "web is not defined (it runs /bin/app as user 5 in /data, with A, PATH of its image)"
    )


@pytest.mark.parametrize(
    ("size", "key"),
    [("1MB", "1MiB"), ("256 KB", "256KiB"), ("8388608", "8MiB"), ("auto", None), ("1 TB", None)],
)
def test_the_size_of_a_console_is_imported(size: str, key: str | None) -> None:
    config = f"lxc.rootfs.path = /srv/web\nlxc.console.size = {size}\n"
    assert imported(config).get("console_log") == key
