"""What keeps a container apart from its host: keys, lines of LXC, and what a plan warns of."""

from dataclasses import replace

import pytest

from geats_core import Goal, HostFacts, Observation, Power, Target, parse_vm, plan, to_plain
from geats_core.containers.isolation import Capabilities, Isolation, field_of, isolation_lines
from geats_core.declared.config import parse_config
from geats_core.hostwide.host_planner import HostPlan
from geats_core.planning.actions import Define
from geats_core.planning.steps import Plan, Step
from geats_core.plans.explain import notes, short_notes
from geats_core.vm.lxc_config import LxcFacts, render_lxc_config
from tests.core.containers.one_vm import said, web

FACTS = LxcFacts(volume_paths={"root": "/p"})
ALL: dict[str, object] = {
    "nesting": True,
    "mount_auto": ["proc:rw", "cgroup:mixed:force"],
    "capabilities": {"drop": ["net_raw", "mknod"]},
    "apparmor": "mine",
    "seccomp": "/etc/lxc//my.seccomp",
    "selinux": "system_u:system_r:lxc_t:s0:c1,c2",
    "no_new_privileges": True,
    "sysctls": {"net.ipv4.ip_forward": 1, "kernel.shmmax": "100"},
    "rlimits": {"nofile": "1024:65536", "core": 0, "nproc": "7:7", "memlock": "unlimited"},
    "oom_score": -500,
    "keyring": False,
}


def test_each_key_has_its_lines() -> None:
    assert [*isolation_lines(web(**ALL).isolation)] == [
        "lxc.mount.auto =",
        "lxc.mount.auto = proc:rw",
        "lxc.mount.auto = cgroup:mixed:force",
        "lxc.mount.entry = proc dev/.lxc/proc proc create=dir,optional 0 0",
        "lxc.mount.entry = sys dev/.lxc/sys sysfs create=dir,optional 0 0",
        "lxc.cap.drop = mknod net_raw",
        "lxc.seccomp.profile = /etc/lxc/my.seccomp",
        "lxc.selinux.context = system_u:system_r:lxc_t:s0:c1,c2",
        "lxc.no_new_privs = 1",
        "lxc.sysctl.kernel.shmmax = 100",
        "lxc.sysctl.net.ipv4.ip_forward = 1",
        "lxc.prlimit.core = 0",
        "lxc.prlimit.memlock = unlimited",
        "lxc.prlimit.nofile = 1024:65536",
        "lxc.prlimit.nproc = 7",
        "lxc.proc.oom_score_adj = -500",
        "lxc.keyring.session = 0",
    ]


def test_what_is_said_of_isolation_is_written_back_and_nothing_else() -> None:
    assert web(**ALL) == parse_vm("web", to_plain(web(**ALL))).unwrap()
    assert not to_plain(web()).keys() & ALL.keys()
    assert [*isolation_lines(Isolation())] == []


def test_only_what_is_kept_is_not_dropped() -> None:
    for keep, words in ((["chown", "kill"], "chown kill"), ([], "none")):
        spec = web(capabilities={"keep": keep})
        assert [*isolation_lines(spec.isolation)] == ["lxc.cap.drop =", f"lxc.cap.keep = {words}"]
        assert parse_vm("web", to_plain(spec)).unwrap() == spec
    assert [*isolation_lines(web(seccomp="none").isolation)] == ["lxc.seccomp.profile = "]


@pytest.mark.parametrize(
    ("keys", "apparmor", "lines"),
    [
        ({"nesting": True, "privileged": True}, True, ["profile = generated", "allow_nesting = 1"]),
        ({"nesting": True, "privileged": True}, False, ["profile = unconfined"]),
        ({"apparmor": "mine"}, False, ["profile = mine"]),
        ({"apparmor": "unconfined"}, True, ["profile = unconfined", "allow_nesting = 1"]),
        ({"privileged": True}, True, ["profile = generated"]),
    ],
)
def test_a_profile_is_what_is_said_or_what_the_host_has(
    keys: dict[str, object], apparmor: bool, lines: list[str]
) -> None:
    text = render_lxc_config(web(**keys), replace(FACTS, apparmor=apparmor))
    found = [line for line in text.splitlines() if line.startswith("lxc.apparmor.")]
    assert found == [f"lxc.apparmor.{line}" for line in lines]


def test_a_key_of_lxc_has_its_key_of_a_vm() -> None:
    keys = ("prlimit.nofile", "sysctl.net.a.b", "cap.keep", "hook.start", "sysctl")
    found = [field_of(f"lxc.{key}") for key in keys]
    assert found == ["rlimits", "sysctls", "capabilities", "", "sysctls"]


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"sysctls": {"vm.swappiness": 1}}, "is of the whole host, and not of one guest"),
        ({"sysctls": {"net": 1, 3: 1}}, "sysctls.net: must be a name such as net.ipv4.ip_forward"),
        ({"sysctls": []}, "sysctls: must be a mapping, got a list"),
        ({"rlimits": {"nofile": "x"}}, "rlimits.nofile: must be a number, 'unlimited', or a soft"),
        ({"rlimits": {"nofile": True}}, "got true"),
        ({"rlimits": {"nofile": "2:1"}}, "rlimits.nofile: its soft limit is above its hard one"),
        ({"rlimits": {"nofile": "unlimited:9"}}, "its soft limit is above its hard one"),
        ({"rlimits": {"files": 1}}, "unknown limit 'files'"),
        ({"capabilities": {"drop": ["CAP_CHOWN"]}}, "unknown capability 'CAP_CHOWN'"),
        ({"capabilities": {"drop": ["chown"], "keep": []}}, "cannot be said with drop"),
        ({"mount_auto": ["proc:ro"]}, "unknown mount of liblxc 'proc:ro'"),
        ({"seccomp": "my.seccomp"}, "seccomp: must be an absolute path"),
        ({"apparmor": "a\nlxc.hook.start = /x"}, "apparmor: must be 'generated', 'unconfined'"),
        ({"selinux": "unconfined"}, "selinux: must be a context such as"),
        (
            {"host_network": True, "privileged": True, "nics": [{"name": "eth0", "bridge": "b"}]},
            "host_network: is in place of nics: leave one of the two out",
        ),
        ({"oom_score": 1001}, "oom_score: must be a whole number from -1000 to 1000"),
    ],
)
def test_what_is_wrong_says_where_and_what(keys: dict[str, object], problem: str) -> None:
    assert any(problem in each for each in said(**keys))


OPENED = {
    "nesting": "the guest can mount proc and sysfs, and so reaches more of the kernel",
    "apparmor": "AppArmor keeps the guest from nothing",
    "seccomp": "the guest can use every system call",
    "oom_score": "if memory is short, processes of the host are ended before the guest's",
    "keyring": "the guest sees the keys of who starts it",
}
OPEN = ALL | {"apparmor": "unconfined", "seccomp": "none"}


def warned(made: Plan) -> list[str]:
    assert [each for each in notes(made) if each[0] == "!"] == [
        each for each in short_notes(HostPlan(plans=(made,), steps=made.steps)) if each[0] == "!"
    ]
    return [each for each in notes(made) if each[0] == "!"]


def test_a_plan_says_what_a_guest_can_do_from_then_on() -> None:
    made = plan(Goal(name="web", target=Target.DEFINED, spec=web(**OPEN)), Observation()).unwrap()
    assert warned(made) == [f"! web.{key}: {what}" for key, what in OPENED.items()]


def test_root_of_a_privileged_guest_can_more() -> None:
    keys: dict[str, object] = OPEN | {
        "privileged": True,
        "capabilities": {"keep": ["sys_time", "chown"]},
        "sysctls": {"net.ipv4.ip_forward": 1, "user.max_user_namespaces": 9},
        "apparmor": "unchanged",
    }
    of_root = {
        "nesting": "root of the guest can change settings of the host's kernel",
        "mount_auto": "root of the guest can change the host by what is mounted as proc:rw",
        "capabilities": "root of the guest has sys_time on the host",
        "sysctls": "user.max_user_namespaces is then so for the whole host",
    }
    made = plan(Goal(name="web", target=Target.DEFINED, spec=web(**keys)), Observation()).unwrap()
    wanted = of_root | {key: what for key, what in OPENED.items() if key != "nesting"}
    assert warned(made) == [f"! web.{key}: {what}" for key, what in wanted.items()]


def test_a_plan_warns_of_what_it_changes_and_not_again_of_the_rest() -> None:
    before = web(**ALL)
    have = Observation(recorded=before, defined=before, in_effect=before, power=Power.RUNNING)
    cases: list[tuple[dict[str, object], list[str]]] = [
        ({"memory": "1GiB"}, []),
        ({"seccomp": "none"}, ["seccomp"]),
    ]
    for more, keys in cases:
        goal = Goal(name="web", target=Target.DEFINED, spec=web(**(ALL | more)))
        assert warned(plan(goal, have).unwrap()) == [f"! web.{key}: {OPENED[key]}" for key in keys]
    step = Step(vm="web", action=Define(before), reason="a line by hand should be removed")
    assert len(warned(Plan(name="web", steps=(step,)))) == 3


def test_capabilities_are_what_is_said_of_them() -> None:
    assert web(**ALL).isolation.capabilities == Capabilities(drop=("mknod", "net_raw"))


def test_the_network_of_the_host_is_refused_unless_the_host_allows_it() -> None:
    spec = web(host_network=True, privileged=True)
    assert parse_vm("web", to_plain(spec)).unwrap() == spec
    assert [*isolation_lines(spec.isolation)] == ["lxc.net.0.type = none"]
    assert not parse_config({}).unwrap().policy.host_network
    assert parse_config({"policy": {"host_network": True}}).unwrap().policy.host_network
    goal = Goal(name="web", target=Target.DEFINED, spec=spec)
    for allowed in (None, True):
        made = plan(goal, Observation(), HostFacts(host_network=allowed)).unwrap()
        (line,) = [each for each in notes(made) if each.startswith("! web.host_network: ")]
        assert "all interfaces, addresses and ports of the host" in line
    alone = Goal(name="web", target=Target.DEFINED, spec=web(host_network=True))
    (unprivileged,) = plan(alone, Observation(), HostFacts(host_network=True)).failure()
    assert f"{unprivileged}".startswith("web.host_network: needs privileged: true, as the kernel")
    refused = plan(goal, Observation(), HostFacts(host_network=False)).failure()
    assert [f"{each}" for each in refused] == [
        "web.host_network: is refused unless the configuration of the host says"
        " policy: {host_network: true}"
    ]
