"""Tasks of Ansible's lxc_container become VMs: each option is carried, or told of."""

from typing import Any

import pytest

from geats_core.automation.ansible_import import import_ansible, texts_of_lxc
from geats_core.foreign.lxc_lines import OnHost
from geats_core.foreign.notes import Imported

CONFIG = [
    "lxc.cgroup2.memory.max = 512M",
    "lxc.net.0.type = veth",
    "lxc.net.0.link = br0",
    "lxc.net.0.flags = up",
    "lxc.idmap = u 0 100000 65536",
    "lxc.idmap = g 0 100000 65536",
]
OPTIONS: dict[str, object] = {
    **{"name": "app01", "template": "download", "state": "started", "fs_size": "5G"},
    **{"template_options": "--dist debian -r bookworm --arch=amd64", "container_config": CONFIG},
    **{"backing_store": "lvm", "vg_name": "lxc", "container_command": "canary", "strange": []},
}
IMAGE = {"url": "https://images.linuxcontainers.org", "alias": "debian/bookworm", "arch": "amd64"}


def task(**options: object) -> dict[str, object]:
    return {"name": "a task", "community.general.lxc_container": options}


def imported(*tasks: object) -> Imported:
    return import_ansible({"play": [{"hosts": "all", "tasks": [*tasks]}]})


def part(made: Imported, key: str) -> Any:
    """What the pillar has under a key."""
    return made.geats[key]


def problems(made: Imported) -> list[str]:
    return [str(each) for each in made.problems]


def test_a_task_becomes_a_vm() -> None:
    made = imported(task(**OPTIONS))
    assert made.problems == ()
    assert made.geats == {
        "templates": {"app01-root": {"simplestreams": IMAGE}},
        "vms": {
            "app01": {
                "template": "app01-root",
                "idmap": [{"guest": 0, "host": 100000, "count": 65536}],
                "memory": "512M",
                "nics": [{"name": "eth0", "bridge": "br0"}],
                "volumes": [{"name": "root", "size": "5GiB"}],
            }
        },
    }


def test_each_option_is_told_of_once_and_no_value_is() -> None:
    made = imported(task(**OPTIONS))
    keys = [note.key for note in made.notes if not note.key.startswith("lxc.")]
    assert sorted(keys) == sorted(OPTIONS)
    assert "canary" not in str(made.notes)


def test_tasks_are_found_in_blocks_and_of_the_old_name() -> None:
    free = {"lxc_container": "name=c state=started bad", "args": {"template": "debian"}}
    deep: object = task(name="deep")
    for _ in range(20):
        deep = [deep]
    made = import_ansible(
        {
            "tasks": [
                {"block": [task(name="a")], "rescue": [{"lxc_container": {"name": "b"}}]},
                free,
                deep,
                {"debug": {"msg": "x"}},
            ]
        }
    )
    assert [*part(made, "vms")] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "each",
    [
        task(name="{{ item }}"),
        {**task(name="a"), "loop": [1]},
        task(name="a", container_config=["{%"]),
    ],
)
def test_what_needs_rendering_is_told_and_the_others_are_read(each: object) -> None:
    made = imported(each, task(name="b"))
    assert [*part(made, "vms")] == ["b"]
    assert problems(made)[0].startswith("play: needs rendering: [0].tasks[0] has variables or a")


def test_a_container_that_is_not_wanted_becomes_no_vm() -> None:
    made = imported(task(name="a", state="absent"), task(state="clone"))
    assert made.geats == {}
    assert [(note.file, note.key) for note in made.notes] == [
        ("play: a", "state"),
        ("play: [0].tasks[1]", "state"),
    ]


def test_a_file_without_such_tasks_is_a_problem() -> None:
    assert problems(import_ansible({"a": "x", "b": [task(name="c")]}))[0] == (
        "a: has no task of community.general.lxc_container"
    )


@pytest.mark.parametrize("options", ["-d debian", "'", "-r", "--release=bad/one"])
def test_a_template_that_no_image_stands_for_is_a_problem(options: str) -> None:
    made = imported(task(name="a", template="download", template_options=options))
    assert problems(made) == [
        "vms.a: template: say by hand what the template is made of: no image of a server stands"
        " for it"
    ]
    assert {note.key for note in made.notes} >= {"nics", "idmap"}


@pytest.mark.parametrize(
    "config",
    [
        "lxc.cgroup2.pids.max = 9",
        {"lxc.cgroup2.pids.max": 9},
        [{"lxc.cgroup2.pids.max": 9}],
        ["lxc.cgroup2.pids.max=9"],
    ],
)
def test_lines_are_read_however_they_are_listed(config: object) -> None:
    made = imported(task(name="a", container_config=config))
    assert part(made, "vms")["a"]["processes"] == 9
    assert texts_of_lxc({"p": [task(container_config=config)]})[0].startswith("lxc.cgroup2.pids")
    assert texts_of_lxc({"p": [task(name="a")]}) == ("",)


def test_lines_can_bind_directories_of_the_host() -> None:
    entry = "lxc.mount.entry = /srv/a srv none bind 0 0"
    tasks = {"play": [task(**OPTIONS | {"container_config": [entry]})]}
    made = import_ansible(tasks, OnHost(kinds={"/srv/a": True}))
    assert made.problems == ()
    assert made.geats["bind_sources"] == ["/srv/a"]


def test_devices_of_the_host_are_allowed() -> None:
    entry = "lxc.mount.entry = /dev/fuse dev/fuse none bind,create=file 0 0"
    rule = "lxc.cgroup2.devices.allow = c 10:229 rwm"
    tasks = {"play": [task(**OPTIONS | {"container_config": [rule, entry]})]}
    made = import_ansible(tasks, OnHost(kinds={"/dev/fuse": False}))
    assert (made.problems, made.geats["device_sources"]) == ((), ["/dev/fuse"])


def test_what_nobody_would_write_is_told_as_well() -> None:
    made = imported(task(name=2**70, fs_size="big", container_config=7, template_options={"r": 1}))
    assert [*part(made, "vms")] == ["container"]
    assert "volumes" not in part(made, "vms")["container"]
    left = {note.key for note in made.notes if note.to is None}
    assert left >= {"fs_size", "template_options"}


def test_power_is_the_state() -> None:
    states = ("started", "stopped", "frozen")
    made = imported(*(task(name=each, template="debian", state=each) for each in states))
    assert [part(made, "vms")[each].get("power") for each in states] == [None, *states[1:]]


@pytest.mark.parametrize(
    ("quoted", "image"),
    [
        ("template=download template_options='-d debian -r bookworm -a amd64'", IMAGE),
        ("template=download template_options='-d debian", None),
    ],
)
def test_arguments_in_one_line_may_be_in_quotes(quoted: str, image: object) -> None:
    made = imported({"lxc_container": f"name=app01 {quoted}"})
    templates = {"app01-root": {"simplestreams": image}} if image else None
    assert made.geats.get("templates") == templates
