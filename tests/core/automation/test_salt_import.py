"""What Salt 3006's lxc was given becomes VMs: each argument is carried, or told of."""

from typing import Any

import pytest

from geats_core.automation.salt_import import import_salt_lxc
from geats_core.foreign.notes import Imported

PILLAR: dict[str, object] = {
    "lxc.container_profile": {
        "debian": {
            **{"template": "download", "backing": "lvm", "vgname": "lxc", "size": "5G"},
            "options": {"dist": "debian", "release": "bookworm", "arch": "amd64"},
        }
    },
    "lxc.network_profile.web": {
        "eth0": {"link": "br0", "type": "veth", "flags": "up", "mtu": 9000, "queue": 5},
        "eth1": {"link": "br1", "disable": True},
    },
}
ADDRESS = {"ipv4": "10.0.3.7/24", "gateway": "10.0.3.1"}
PRESENT: list[dict[str, object]] = [
    {"profile": "debian", "network_profile": "web", "running": True, "password": "canary"},
    {
        "nic_opts": {
            "eth0": {"ipv4": "10.0.3.7/24", "gateway": "10.0.3.1", "mac": "02:00:00:00:00:07"}
        }
    },
    {"memory": 512, "cpu": 2, "autostart": False, "cpushare": 512, "users": ["ann"]},
    {"dnsservers": ["10.0.3.1"], "searchdomains": "example.org, example.net"},
]
STATES: dict[str, object] = {
    "web01": {"lxc.present": PRESENT},
    "it runs": {"lxc.running": [{"name": "web01"}]},
    "old": {"lxc.absent": []},
    "a file": {"file.managed": [{"name": "/srv/a"}]},
}


def imported(**documents: object) -> Imported:
    return import_salt_lxc(documents)


def one(*arguments: object, **documents: object) -> Imported:
    return imported(
        states={"a": {"lxc.present": [{"clone_from": "base"}, *arguments]}}, **documents
    )


def part(made: Imported, key: str) -> Any:
    """What the pillar has under a key."""
    return made.geats[key]


def problems(made: Imported) -> list[str]:
    return [str(each) for each in made.problems]


def notes(made: Imported) -> dict[str, str]:
    return {note.key: note.to or f"left: {note.why}" for note in made.notes}


def test_a_state_with_its_profiles_becomes_a_vm() -> None:
    made = imported(pillar=PILLAR, states=STATES)
    image = {"url": "https://images.linuxcontainers.org", "alias": "debian/bookworm"}
    assert made.problems == ()
    assert made.geats == {
        "templates": {"web01-root": {"simplestreams": {**image, "arch": "amd64"}}},
        "vms": {
            "web01": {
                "template": "web01-root",
                "memory": "512MiB",
                "cpus": 2,
                "cpu_weight": 50,
                "autostart": False,
                "volumes": [{"name": "root", "size": "5GiB"}],
                "dns": {"nameservers": ["10.0.3.1"], "search": ["example.org", "example.net"]},
                "nics": [
                    {
                        **{"name": "eth0", "bridge": "br0", "mac": "02:00:00:00:00:07"},
                        **{"addresses": ["10.0.3.7/24"], "gateways": ["10.0.3.1"], "mtu": 9000},
                    }
                ],
            }
        },
    }


def test_each_argument_is_told_of_once_and_no_secret_is() -> None:
    made = imported(pillar=PILLAR, states=STATES)
    told = [(note.file, note.key) for note in made.notes]
    assert len({*told}) == len(told)
    assert "canary" not in str(made.notes)
    keys = {key for _, key in told}
    assert keys == {
        *("profile", "network_profile", "nic_opts", "memory", "cpu", "size", "autostart", "users"),
        *("dnsservers", "searchdomains", "template", "options", "backing", "vgname", "running"),
        *("password", "cpushare", "network_profile.eth0.mtu", "absent"),
        "network_profile.eth0.queue",
    }


def test_states_as_show_sls_prints_them_are_read() -> None:
    shown = {"local": {"web": {"lxc": [{"name": "w1"}, {"clone_from": "base"}, "present"]}}}
    made = imported(shown=shown)
    assert made.problems == ()
    assert made.geats == {
        "templates": {"w1-root": {"path": "/var/lib/lxc/base/rootfs"}},
        "vms": {"w1": {"template": "w1-root"}},
    }


def test_a_map_of_salt_cloud_has_containers_of_a_profile() -> None:
    profile = {
        **{"provider": "host", "lxc_profile": "debian", "bridge": "br0", "gateway": "10.0.3.1"},
        **{"minion": {"master": "salt"}, "memory": 0, "size": "1000"},
    }
    second = {"ip": "10.0.3.8", "mac": "02:00:00:00:00:08"}
    more = [{"ip": "10.0.4.8", "netmask": 16, "mac": "02:00:00:00:00:09"}, 7, {"link": "br1"}]
    names = ["c1", {"c2": {**second, "additional_ips": more}}, 7.5, []]
    made = imported(
        cloud={"small": profile}, pillar=PILLAR, all_={"small": names, "other": [{"x": {}}]}
    )
    assert (made.problems, [*part(made, "vms")]) == ((), ["c1", "c2", "7.5"])
    assert [*part(made, "templates")] == ["c1-root", "c2-root", "7-5-c4495d-root"]
    assert "nics" not in part(made, "vms")["c1"]
    assert [nic.get("addresses") for nic in part(made, "vms")["c2"]["nics"]] == [
        ["10.0.3.8/24"],
        ["10.0.4.8/16"],
        None,
    ]
    assert part(made, "vms")["c1"]["minion"] == {"master": "salt"}


def test_a_minion_and_hashed_passwords_are_carried() -> None:
    """The rest of what Salt did in a new guest is told."""
    arguments: list[dict[str, object]] = [
        {"clone_from": "base", "config": {"id": "w1.example.org", "log_level": "info", "a b": 1}},
        {"master": "10.0.0.1", "master_port": 4510, "approve_key": True, "install": True},
        {"password": "$6$salt$canary", "password_encrypted": True, "users": ["root", "ann"]},
    ]
    made = imported(states={"w1": {"lxc.present": arguments}})
    assert made.problems == ()
    web = part(made, "vms")["w1"]
    assert web["minion"] == {
        "master": "10.0.0.1",
        "id": "w1.example.org",
        "config": {"log_level": "info", "master_port": "4510"},
    }
    assert web["users"] == {key: {"password": "$6$salt$canary"} for key in ("root", "ann")}
    told = notes(made)
    assert "canary" not in str(made.notes)
    assert told["approve_key"].startswith("left: geats makes keys in the guest")
    assert told["install"].startswith("left: the template has salt-minion")
    alone: list[dict[str, object]] = [{"clone_from": "base"}, {"password": "$6$s$h"}]
    asked = [*alone, {"password_encrypted": "yes"}]
    for said, users in ((alone, None), (asked, {"root": {"password": "$6$s$h"}})):
        made = imported(states={"w1": {"lxc.present": said}})
        assert part(made, "vms")["w1"].get("users") == users


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ([], "a: must be a mapping, as pillars and states are"),
        ({"a": "{{ pillar }}"}, "a: needs rendering, as it has variables: 'salt-call"),
        ({"a": {"file.managed": []}}, "a: says nothing of containers of LXC"),
        ({"a": {"lxc.present": "x"}}, "vms.a: template: say by hand what the template"),
        ({"a": {"lxc.edited_conf": []}}, "a: says nothing of containers of LXC"),
        ({"a": {"lxc": [7, "present"], 5: 6}}, "vms.a: template: say by hand what the template"),
    ],
)
def test_what_says_nothing_is_a_problem_of_that_file(raw: object, problem: str) -> None:
    found = problems(imported(a=raw))
    assert [each.startswith(problem) for each in found[:1]] == [True], found


def test_profiles_alone_are_no_containers() -> None:
    assert problems(imported(pillar=PILLAR)) == [
        "lxc: there are profiles, and no container: give states as well"
    ]
    assert imported().geats == {}


def test_profiles_of_old_names_and_inline_ones_are_read() -> None:
    old = {"lxc.profile": {"p": {"memory": 64}}, "lxc.nic": {"n": {"eth0": {"link": "br0"}}}}
    made = one({"profile": "p", "network_profile": "n"}, old=old)
    assert part(made, "vms")["a"]["memory"] == "64MiB"
    made = one({"profile": {"memory": 32}, "network_profile": {"eth0": {"link": "br9"}}})
    vm = part(made, "vms")["a"]
    assert (vm["memory"], vm["nics"]) == ("32MiB", [{"name": "eth0", "bridge": "br9"}])


def test_profiles_that_no_file_has_are_problems() -> None:
    made = one({"profile": "p", "network_profile": "n"})
    assert problems(made) == [
        "vms.a: profile: names a container_profile that no file has",
        "vms.a: network_profile: names a network_profile that no file has",
    ]


@pytest.mark.parametrize(
    ("nic", "problem"),
    [
        ({"link": "br0", "type": "none"}, "geats has no such NIC: say its type, and what it is"),
        ({"type": "veth"}, "geats has no such NIC: say its type, and what it is"),
        ({"link": "br0", "ipv4": "10.0.3.7"}, "10.0.3.7 needs a prefix, such as 10.0.3.7/24"),
    ],
)
def test_a_nic_that_cannot_be_had_is_a_problem(nic: dict[str, object], problem: str) -> None:
    made = one({"network_profile": {"eth0": nic}})
    assert problems(made)[0].startswith(f"vms.a: network_profile.eth0: {problem}")


def test_nics_are_of_the_types_that_lxc_has() -> None:
    nics = {"eth0": {"link": "lan0", "type": "macvlan"}, "eth1": {"link": "lan1", "type": "phys"}}
    made = one({"network_profile": nics})
    assert (made.problems, part(made, "vms")["a"]["nics"]) == (
        (),
        [
            {"name": "eth0", "type": "macvlan", "parent": "lan0"},
            {"name": "eth1", "type": "physical", "parent": "lan1"},
        ],
    )


def test_what_a_root_is_made_of() -> None:
    def of(**arguments: object) -> Imported:
        return imported(states={"a": {"lxc.present": [arguments]}})

    assert part(of(image="/srv/a.tar.gz"), "templates") == {"a-root": {"path": "/srv/a.tar.gz"}}
    cloned = part(of(clone_from="base", path="/srv/lxc"), "templates")
    assert cloned == {"a-root": {"path": "/srv/lxc/base/rootfs"}}
    assert problems(of(image="salt://a.tgz"))[0].startswith("vms.a: image: say by hand what")
    assert problems(of(template="ubuntu"))[0].startswith("vms.a: template: say by hand what")
    ubuntu = of(template="ubuntu", options={"release": "noble", "variant": "cloud"})
    assert part(ubuntu, "templates")["a-root"]["simplestreams"]["alias"] == "ubuntu/noble/cloud"


def test_names_that_no_vm_can_have_and_one_gateway() -> None:
    nics = {
        "eth0": {"link": "b", "gateway": "10.0.0.1"},
        "eth1": {"link": "b", "gateway": "10.0.0.2"},
    }
    made = imported(s={"A b": {"lxc.present": [{"clone_from": "x", "network_profile": nics}]}})
    vm = part(made, "vms")["container"]
    assert [nic.get("gateways") for nic in vm["nics"]] == [["10.0.0.1"], None]
    assert notes(one({"gateway": "auto"}))["gateway"] == "left: is found by the host's own network"


def test_power_is_what_states_ask_for() -> None:
    def power(*states: str, **present: object) -> object:
        named = {f"{each} it": {f"lxc.{each}": [{"name": "a"}]} for each in states}
        made = imported(s={"a": {"lxc.present": [{"clone_from": "x"}, present]}, **named})
        return part(made, "vms")["a"].get("power")

    assert [power(), power(running=True), power("running")] == [None] * 3
    assert [power(running=False), power("stopped"), power("stopped", "frozen")] == [
        *("stopped", "stopped", "frozen")
    ]
    assert part(imported(s={"a": {"lxc.stopped": []}}), "vms")["a"]["power"] == "stopped"


def test_which_cpus_and_what_share() -> None:
    made = one({"cpuset": "0-1", "cpushare": 1})
    vm = part(made, "vms")["a"]
    assert (vm["cpuset"], vm["cpu_weight"]) == ("0-1", 1)
