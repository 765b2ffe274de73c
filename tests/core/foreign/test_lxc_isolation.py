"""What an old container says of its isolation: in keys, or in lines that stay."""

import pytest

from geats_core.foreign.lxc_import import import_lxc
from geats_core.foreign.lxc_isolation import isolation_of
from geats_core.foreign.lxc_lines import Line


def lines(*texts: str) -> list[Line]:
    """A line that begins with ``+`` is included."""
    found: list[Line] = []
    for text in texts:
        key, _, value = text.removeprefix("+").partition(" =")
        found.append(Line(f"lxc.{key}", value.strip(), key, "site" * text.startswith("+")))
    return found


@pytest.mark.parametrize(
    ("texts", "keys"),
    [
        (["apparmor.profile = unconfined"], {"apparmor": "unconfined"}),
        (["seccomp.profile =", "seccomp.profile = /a"], {"seccomp": "/a"}),
        (["+seccomp.profile = /a", "seccomp.profile ="], {"seccomp": "none"}),
        (["selinux.context = a:b:c"], {"selinux": "a:b:c"}),
        (
            ["no_new_privs = 1", "keyring.session = 0"],
            {"no_new_privileges": True, "keyring": False},
        ),
        (["proc.oom_score_adj = -7"], {"oom_score": "-7"}),
        (
            ["sysctl.net.a = 1", "sysctl.net.b = 2", "prlimit.core = 0"],
            {"sysctls": {"net.a": "1", "net.b": "2"}, "rlimits": {"core": "0"}},
        ),
        (
            ["+mount.auto = proc sys", "mount.auto = sys:rw cgroup-full"],
            {"mount_auto": ["proc", "sys:rw", "cgroup-full"]},
        ),
        (["+mount.auto = proc", "mount.auto ="], {"mount_auto": []}),
        (["+cap.drop = sys_time", "cap.drop = kill"], {"capabilities": {"drop": ["kill"]}}),
        (
            ["+cap.drop = sys_time", "cap.drop =", "cap.keep = kill"],
            {"capabilities": {"keep": ["kill"]}},
        ),
    ],
)
def test_what_says_just_the_same_is_a_key(texts: list[str], keys: dict[str, object]) -> None:
    found, went = isolation_of(lines(*texts))
    assert found == keys
    assert len(went) == len([each for each in texts if not each.startswith("+")])


@pytest.mark.parametrize(
    "texts",
    [
        ["no_new_privs = 2"],
        ["apparmor.profile ="],
        ["sysctl.vm.swappiness = 1"],
        ["prlimit =", "prlimit.core = 0"],  # in its place by hand, it would unset the key
        ["mount.auto = shmounts"],
        ["+cap.drop = sys_time", "cap.drop =", "cap.drop = kill"],  # more than LXC's own is kept
        ["+cap.keep = kill", "cap.drop = chown"],
        ["cap.drop = none"],
        ["+cap.drop = kill", "cap.drop = kill"],  # as it is without
        ["+mount.auto = sys", "mount.auto = sys"],
        ["apparmor.profile = generated"],
        ["hook.start = /bin/true", "uts.name = a"],
    ],
)
def test_what_does_not_stays_in_its_lines(texts: list[str]) -> None:
    found, went = isolation_of(lines(*texts))
    assert (found, went) == ({}, {})


def test_a_line_that_another_takes_back_goes_nowhere() -> None:
    said = lines("seccomp.profile = /a", "+seccomp.profile = /b")
    assert isolation_of(said) == ({}, {id(said[0]): ""})
    said = lines("seccomp.profile = /a", "seccomp.profile = x")
    assert isolation_of(said) == ({}, {id(said[0]): ""})


def test_each_line_says_where_it_went() -> None:
    text = (
        "lxc.rootfs.path = dir:/r\nlxc.uts.name = a\nlxc.seccomp.profile = /a\n"
        "lxc.apparmor.allow_nesting = 1\nlxc.seccomp.profile =\n"
    )
    made = import_lxc({"f": ("a", text)})
    assert made.geats["vms"]["a"] == {  # type: ignore[index]
        "privileged": True,
        "includes": [],
        "template": "a-root",
        "hostname": "a",
        "nesting": True,
        "seccomp": "none",
    }
    notes = [(note.to, note.why) for note in made.notes if "seccomp" in note.key]
    assert notes == [(None, "a later line takes it back"), ("vms.a.seccomp", "")]
