"""Devices of the host: keys, lines and rules, what may be had of them, and what changes live."""

from dataclasses import replace

import pytest
from returns.result import Failure, Success

from geats_core import (
    DriverFacts,
    EntryCost,
    Goal,
    HostFacts,
    Impact,
    Observation,
    Power,
    Stage,
    Target,
    VMSpec,
    VolumeSeen,
    parse_vm,
    plan,
    to_plain,
)
from geats_core.containers.devices import (
    Device,
    Nodes,
    device_lines,
    device_rules,
    rule_changes,
)
from geats_core.planning.actions import Define, SetDevices
from geats_core.plans.explain import notes
from geats_core.vm.guest_files import guest_digest
from geats_core.vm.lxc_config import (
    LxcFacts,
    denies_devices,
    read_lxc_config,
    render_lxc_config,
    with_device_rules,
)

TUN = Device(name="tun", source="/dev/net/tun", mount="/dev/net/tun")
GPU = Device(name="gpu", source="/dev/dri", mount="/dev/gpu", access="r", optional=True)
SEEN = {
    "tun": Nodes(("c 10:200",)),
    "gpu": Nodes(("c 226:0", "c 226:128"), is_directory=True),
    "fuse": Nodes(("c 10:229",)),
}
RAW = {"gpu": {"source": "/dev/dri", "mount": "/dev/gpu", "access": "r", "optional": True}}


def web(devices: object, **keys: object) -> VMSpec:
    return parse_vm("web", {"template": "t", "devices": devices, **keys}).unwrap()


def test_devices_are_read_and_written_back() -> None:
    spec = web({"tun": "/dev/net/tun", **RAW})
    assert spec.devices == (GPU, TUN)
    assert to_plain(spec)["devices"] == {"tun": {"source": "/dev/net/tun"}, **RAW}
    assert parse_vm("web", to_plain(spec)).unwrap() == spec


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"devices": {"a": "/etc/passwd"}}, "devices.a.source: must be a path below /dev"),
        ({"devices": {"a": "/dev/../etc"}}, "devices.a.source: must be a path below /dev"),
        ({"devices": {"a": {"source": "/dev/a", "access": "rx"}}}, "must be some of the letters"),
        ({"devices": {"a": {"source": "/dev/a", "access": 7}}}, "some of the letters rwm, got 7"),
        (
            {"devices": {"a": "/dev/a", "b": {"source": "/dev/b", "mount": "/dev/a"}}},
            "devices.b.mount: '/dev/a' is within what devices.a mounts",
        ),
        (
            {"devices": {"a": "/dev/x/a"}, "binds": {"x": {"source": "/dev/x", "mount": "/dev/x"}}},
            "devices.a.mount: '/dev/x/a' is within what binds.x mounts",
        ),
    ],
)
def test_what_is_wrong_with_devices_is_told(keys: dict[str, object], problem: str) -> None:
    match parse_vm("web", {"template": "t", **keys}):
        case Failure(problems):
            assert any(problem in str(each) for each in problems)
        case Success():
            pytest.fail(problem)


def test_a_guest_that_may_open_nothing_else_is_allowed_each_by_its_number() -> None:
    assert [*device_lines((TUN, GPU), SEEN, denied=True)] == [
        "lxc.cgroup.devices.allow = c 10:200 rwm",
        "lxc.cgroup.devices.allow = c 226:0 r",
        "lxc.cgroup.devices.allow = c 226:128 r",
        "lxc.cgroup2.devices.allow = c 10:200 rwm",
        "lxc.cgroup2.devices.allow = c 226:0 r",
        "lxc.cgroup2.devices.allow = c 226:128 r",
        "lxc.mount.entry = /dev/net/tun dev/net/tun none bind,create=file 0 0",
        "lxc.mount.entry = /dev/dri dev/gpu none bind,create=dir,optional 0 0",
    ]


def test_a_guest_that_may_open_all_is_denied_what_its_access_lacks() -> None:
    rules = [[*device_rules((TUN, GPU), SEEN, denied=False, cgroup2=v2)] for v2 in (False, True)]
    lacks = [("devices.deny", "c 226:0 w"), ("devices.deny", "c 226:128 w")]
    assert rules == [lacks, [("devices.allow", "a"), *lacks]]
    assert [*device_rules((TUN,), SEEN, denied=False, cgroup2=True)] == []


def test_what_is_not_there_or_allowed_to_all_has_no_rule() -> None:
    fuse = replace(TUN, name="fuse", source="/dev/fuse")
    for denied in (False, True):
        assert [
            *device_rules((fuse, replace(GPU, name="x")), SEEN, denied=denied, cgroup2=False)
        ] == []
    assert [*device_lines((replace(TUN, name="x"),), {}, denied=True)] == [
        "lxc.mount.entry = /dev/net/tun dev/net/tun none bind,create=file 0 0"
    ]


def test_lines_are_for_guests_that_include_what_denies_all_devices() -> None:
    tun = {"tun": "/dev/net/tun"}
    facts = LxcFacts(volume_paths={"root": "/p"}, devices=SEEN)
    for keys, denies in (
        ({"privileged": True}, True),
        ({"privileged": True, "includes": []}, False),
        ({}, False),
    ):
        spec = web(tun, **keys)
        assert denies_devices(spec) is denies
        allows = "lxc.cgroup.devices.allow = c 10:200 rwm\n"
        assert (allows in render_lxc_config(spec, facts)) is denies


def test_only_devices_that_the_host_lets_vms_have_are_had() -> None:
    for allowed, refused in ((None, False), ({"/dev/net"}, False), ({"/dev/fuse"}, True)):
        facts = HostFacts(device_sources=None if allowed is None else frozenset(allowed))
        goal = Goal(name="web", target=Target.DEFINED, spec=web({"tun": "/dev/net/tun"}))
        match plan(goal, Observation(), facts):
            case Failure(problems):
                assert refused
                assert [str(each) for each in problems] == [
                    "web.devices.tun.source: '/dev/net/tun' is not within what device_sources "
                    "allows (/dev/fuse)"
                ]
            case Success(made):
                assert not refused
                assert "! web.devices.tun: the guest can use /dev/net/tun of the host" in notes(
                    made
                )


def test_devices_come_go_and_get_other_rights_while_a_vm_is_on() -> None:
    entries = {"devices": EntryCost(live=frozenset({"access"}), ordered=False)}
    facts = HostFacts(drivers={"lxc": DriverFacts(entries=entries)})
    tun = {"tun": "/dev/net/tun"}
    before, more = web(tun), web({"a": "/dev/a", "tun": {"source": "/dev/net/tun", "access": "r"}})
    moved = web({"tun": {"source": "/dev/net/tun", "mount": "/dev/b"}})
    root = VolumeSeen(
        name="root",
        pool="default",
        stage=Stage.INSTALLED,
        active=True,
        template="t",
        guest=guest_digest(before),
    )
    have = Observation(
        recorded=before, defined=before, in_effect=before, power=Power.RUNNING, volumes=(root,)
    )
    made = plan(Goal(name="web", target=Target.RUNNING, spec=more), have, facts).unwrap()
    assert [type(step.action) for step in made.steps] == [Define, SetDevices]
    assert made.impact is Impact.LIVE
    assert made.steps[1].action == SetDevices(more, ("attach device a", "change device tun"))
    made = plan(Goal(name="web", target=Target.RUNNING, spec=moved), have, facts).unwrap()
    assert made.impact is Impact.RESTART


def test_a_device_that_goes_takes_nothing_from_another_of_the_same_number() -> None:
    both, one = ("devices.allow", "c 10:1 rwm"), ("devices.allow", "c 10:1 r")
    other, every = ("devices.allow", "c 9:1 rwm"), ("devices.allow", "a")
    without = ("devices.deny", "c 10:1 w")

    assert [*rule_changes([both, one, other], [one, other])] == [
        ("devices.deny", "c 10:1 rwm"),
        one,
    ]
    assert [*rule_changes([both, both], [both])] == []
    assert [*rule_changes([one], [one, both])] == [both]
    assert [*rule_changes([every, without], [])] == [("devices.allow", "c 10:1 w")]
    assert [*rule_changes([], [every, without])] == [every, without]
    assert [*rule_changes([every, without, one], [every, one])] == [
        ("devices.allow", "c 10:1 w"),
        one,
    ]


def body(config: str) -> list[str]:
    return [line for line in config.split("\n") if not line.startswith("# geats-wrote")]


def test_rules_are_those_of_the_numbers_that_devices_have_now() -> None:
    spec = web({"tun": "/dev/net/tun", **RAW}, privileged=True, memory="1GiB")
    keep = ("lxc.cgroup2.devices.allow = c 10:200 rwm", "lxc.cgroup2.devices.allow = c 1:11 r")
    now = {**SEEN, "tun": Nodes(("c 10:55",)), "gpu": Nodes((), is_directory=True)}

    def config(seen: dict[str, Nodes]) -> str:
        return render_lxc_config(
            spec, LxcFacts(volume_paths={"root": "/r"}, devices=seen), keep=keep
        )

    text = with_device_rules(config(SEEN), spec, now)
    assert body(text) == body(config(now))
    assert read_lxc_config(text, "web") == read_lxc_config(config(now), "web")
    assert read_lxc_config(text, "web").spec == spec
    assert with_device_rules(text, spec, now) == text
    assert with_device_rules(config({}), spec, SEEN).count("226:128") == 2
    none = with_device_rules(text, spec, {})
    assert read_lxc_config(none, "web").spec == spec
    assert read_lxc_config(none, "web").by_hand == keep
    assert "10:55" not in none
    assert with_device_rules("lxc.arch = x\n", spec, now) == "lxc.arch = x\n"
