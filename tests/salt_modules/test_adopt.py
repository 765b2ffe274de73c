"""A container that something else made, adopted through Salt; it is off."""

import pytest
from salt.exceptions import CommandExecutionError

from tests.memory_host import memory_config

VM = {"template": "debian", "privileged": True, "hostname": "new", "init": "systemd"}


@pytest.fixture
def container(tmp_path):
    folder = tmp_path / "lxc/old01"
    (folder / "rootfs/etc").mkdir(parents=True)
    text = f"lxc.rootfs.path = dir:{folder}/rootfs\nlxc.uts.name = old\nlxc.hook.start = /x\n"
    (folder / "config").write_text(text)
    return folder


@pytest.fixture
def geats_config(tmp_path):
    return {
        **memory_config(tmp_path),
        "drivers": {"lxc": {"path": f"{tmp_path}/lxc"}},
        "pools": {"default": {"type": "directory", "path": f"{tmp_path}/pool"}},
        "registry": "sqlite",
        "vms": {"new01": VM},
    }


def changed(container):
    return [
        f"adopt {container}/rootfs where it is, as volume old01/root in pool default because it is"
        " the root filesystem of the container (impact: none)",
        "adopt old01 as it is: its config is written by geats from now on because something "
        "else made it, and an adoption was asked for (impact: none)",
    ]


def test_what_would_be_done_is_what_is_done(modules, container, testmode):
    answer = modules["geats.adopt"]("old01", spec=VM)
    assert answer["changes"] == {
        "hostname": {"old": "old", "new": "new"},
        "includes": {"old": [], "new": None},
        "init": {"old": "auto", "new": "systemd"},
        "steps": changed(container),
    }
    assert answer["description"] is None
    assert (container / "config.before-geats").exists() != testmode
    assert modules["geats.list"]("old01")["old01"]["defined"] != testmode


def test_what_nothing_describes_is_taken_as_it_is(modules, container, testmode):
    answer = modules["geats.adopt"]("old01", template="debian")
    described = {"privileged": True, "includes": [], "hostname": "old", "template": "debian"}
    assert answer["description"] == described
    assert answer["changes"] == {"steps": changed(container)}
    if not testmode:
        plan = modules["geats.plan"]("old01", "defined", spec=described)
        kept = ["lxc.hook.start = /x", "lxc.apparmor.profile ="]
        assert (plan["steps"], plan["by_hand"]) == ([], kept)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"name": "old01"}, "template: is missing: nothing describes old01"),
        ({"name": "old01", "template": "suse"}, "unknown template 'suse'"),
        (
            {"name": "old01", "spec": VM, "template": "debian"},
            "template: old01 is described: its template is 'debian'",
        ),
        ({"name": "old01", "spec": {"template": "debian", "memory": "x"}}, "old01.memory: must be"),
        (
            {"name": "old01", "spec": {**VM, "driver": "memory"}},
            "old01.driver: it is run by 'lxc', got 'memory'",
        ),
        ({"name": "new01"}, "unknown container or domain 'new01'"),
        ({"name": "../x"}, "name: must be"),
    ],
)
def test_what_cannot_be_adopted_is_refused(modules, container, given, why):
    before = sorted(container.iterdir())
    with pytest.raises(CommandExecutionError, match=why):
        modules["geats.adopt"](**given)
    assert sorted(container.iterdir()) == before
