"""Programs that run as a container starts and ends, and lines of LXC in a description."""

import pytest
from returns.result import Failure, Success

from geats_core import Goal, HostFacts, Observation, Target, VMSpec, parse_vm, plan, to_plain
from geats_core.containers.hooks import Hook, HookKind
from geats_core.declared.config import parse_config
from geats_core.foreign.lxc_import import import_lxc
from geats_core.plans.explain import notes
from geats_core.vm.lxc_config import LxcFacts, render_lxc_config
from tests.core.containers.one_vm import web

HOOKS = {"post-stop": ["/etc/geats/a", "/etc/geats/b"], "pre-start": "/etc/geats/a", "start": "/x"}
NAS, BOOT = "lxc.hook.mount = /x", "lxc.time.offset.boot = 1h"


def text(spec: VMSpec) -> list[str]:
    return render_lxc_config(spec, LxcFacts(volume_paths={"root": "/p"})).splitlines()


def planned(facts: HostFacts, **keys: object) -> tuple[list[str], list[str]]:
    """What is refused, and what a plan warns of."""
    goal = Goal(name="web", target=Target.DEFINED, spec=web(**keys))
    match plan(goal, Observation(), facts):
        case Failure(problems):
            return [str(each) for each in problems], []
        case Success(made):
            return [], [each for each in notes(made) if each[0] == "!"]


def test_programs_run_in_the_order_of_a_start_and_of_their_list() -> None:
    spec = web(hooks=HOOKS)
    assert spec.hooks[0] == Hook(kind=HookKind.PRE_START, program="/etc/geats/a")
    assert [line for line in text(spec) if "hook" in line and line[0] != "#"] == [
        "lxc.hook.pre-start = /etc/geats/a",
        "lxc.hook.start = /x",
        "lxc.hook.post-stop = /etc/geats/a",
        "lxc.hook.post-stop = /etc/geats/b",
    ]
    assert parse_vm("web", to_plain(spec)).unwrap() == spec


def test_a_plan_says_what_runs_on_the_host_and_the_host_says_what_may() -> None:
    told = [
        "! web.hooks.pre-start: /etc/geats/a runs as root of the host, before each start",
        "! web.hooks.post-stop: /etc/geats/a runs as root of the host, after each stop",
        "! web.hooks.post-stop: /etc/geats/b runs as root of the host, after each stop",
    ]
    assert planned(HostFacts(), hooks=HOOKS) == ([], told)
    assert planned(HostFacts(hook_directories=frozenset({"/etc/geats"})), hooks=HOOKS) == ([], told)
    refused, _ = planned(HostFacts(hook_directories=frozenset()), hooks=HOOKS)
    none = "is not within what hook_directories allows (there is none)"
    assert refused == [
        f"web.hooks.pre-start: '/etc/geats/a' {none}",
        f"web.hooks.post-stop: '/etc/geats/a' {none}",
        f"web.hooks.post-stop: '/etc/geats/b' {none}",
    ]


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"hooks": {"clone": "/a"}}, "unknown kind of hook 'clone'"),
        ({"hooks": {"stop": "a"}}, "hooks.stop[0]: must be the plain path of a program"),
        ({"hooks": {"stop": ["/a; reboot"]}}, "hooks.stop[0]: must be the plain path of a program"),
        ({"raw": ["tty.max = 4"]}, "raw[0]: must be a line such as 'lxc.pty.max = 4'"),
        ({"raw": ["lxc.pty.max = 4\nlxc.include = /x"]}, "raw[0]: must be a line such as"),
        ({"raw": ["lxc.pty.max ="]}, "raw[0]: lxc.pty.max needs a value"),
        ({"raw": ["lxc.pty.max = ''"]}, "raw[0]: lxc.pty.max needs a value"),
        ({"raw": ['lxc.hook = ""']}, "raw[0]: lxc.hook needs a value"),
        ({"raw": ["lxc.init.cmd = /x"]}, "has a key of its own: say 'command'"),
        ({"raw": ["lxc.tty.max = 4"]}, "has a key of its own: say 'ttys'"),
        ({"raw": ["lxc.environment = A=b"]}, "has a key of its own: say 'environment'"),
        ({"raw": ["lxc.prlimit.core = 0"]}, "has a key of its own: say 'rlimits'"),
        ({"raw": ["lxc.net.0.link = br0"]}, "has a key of its own: say 'nics'"),
        ({"raw": ["lxc.cgroup2.memory.high = 1"]}, "has a key of its own: say 'cgroup'"),
    ],
)
def test_what_is_wrong_is_told(keys: dict[str, object], problem: str) -> None:
    found = parse_vm("web", {"template": "t", **keys})
    assert isinstance(found, Failure)
    assert any(problem in str(each) for each in found.failure())


def test_lines_are_written_last_of_what_geats_writes() -> None:
    spec = web(raw=["lxc.time.offset.boot=1h", "lxc.pty.max = 2"])
    assert spec.raw == (BOOT, "lxc.pty.max = 2")
    assert text(spec)[-2:] == [BOOT, "lxc.pty.max = 2"]
    assert parse_vm("web", to_plain(spec)).unwrap() == spec


@pytest.mark.parametrize(
    ("patterns", "line", "taken"),
    [
        (None, BOOT, True),
        ([], BOOT, False),
        (["lxc.time.*"], BOOT, True),
        (["lxc.*"], BOOT, True),
        (["lxc.*"], NAS, False),
        (["lxc.hook.*"], NAS, True),
        (["lxc.*"], "lxc.mount.entry = /etc etc none bind 0 0", False),
        (["lxc.*"], "lxc.include = /x", False),
    ],
)
def test_a_host_takes_lines_of_keys_that_its_policy_names(
    patterns: list[str] | None, line: str, taken: bool
) -> None:
    facts = HostFacts(raw_lines=None if patterns is None else frozenset(patterns))
    refused, told = planned(facts, raw=[line])
    if taken:
        assert refused == []
        assert told == [
            f"! web.raw: liblxc is told {line!r}, which geats does not understand",
        ]
    else:
        there = ", ".join(patterns or ()) or "there is none"
        assert refused == [f"web.raw[0]: {line!r} is no line that policy.raw_lines takes ({there})"]


def test_a_policy_has_patterns_of_keys_of_lxc() -> None:
    assert parse_config({"policy": {"raw_lines": ["lxc.a.*"]}}).unwrap().policy.raw_lines == (
        "lxc.a.*",
    )
    assert "a pattern of keys of LXC" in str(parse_config({"policy": {"raw_lines": ["*"]}}))


def test_hooks_of_an_old_container_are_hooks_of_the_new_vm() -> None:
    old = (
        "lxc.rootfs.path = dir:/r\nlxc.hook.pre-start = /opt/a\nlxc.hook.pre-start = /opt/b\n"
        "lxc.hook.stop = /opt/c with words\nlxc.hook.clone = /opt/d\n"
    )
    made = import_lxc({"f": ("a", old)})
    assert made.geats["vms"]["a"]["hooks"] == {  # type: ignore[index]
        "pre-start": ["/opt/a", "/opt/b"]
    }
    assert made.geats["hook_directories"] == ["/opt"]
    versioned = import_lxc({"f": ("a", f"{old}lxc.hook.version = 1\n")})
    assert "hook_directories" not in versioned.geats
