"""The Salt minion of a guest."""

import json
from typing import cast

import pytest
from returns.result import Failure, Success

from geats_core import VMSpec, parse_vm
from geats_core.guests.cloud_config import cloud_config
from geats_core.guests.minion import (
    HEADER,
    Minion,
    conf_keeps_keys,
    conf_keeps_master,
    minion_conf,
    not_installed,
)
from geats_core.guests.users import Sudo, User
from geats_core.jobs.copies import copied
from geats_core.vm.parse import to_plain
from geats_core.vm.secrets import shown_spec, without_secrets

CONFIG = {"log_level": "info", "grains": {"role": "web"}}


def web(minion: object) -> VMSpec:
    """A VM with that minion."""
    return parse_vm("web01", {"template": "t", "minion": minion}).unwrap()


def test_a_minion_is_called_as_its_vm_and_its_file_is_yaml() -> None:
    spec = web({"master": "salt.example.org", "config": CONFIG})
    assert spec.minion is not None
    assert json.loads(minion_conf(spec.minion, "web01").removeprefix(HEADER)) == {
        "master": "salt.example.org",
        "id": "web01",
        **CONFIG,
    }
    assert parse_vm("web01", to_plain(spec)) == Success(spec)


def test_a_minion_may_have_several_masters_and_an_id_of_its_own() -> None:
    said = {"master": ["a", "2001:db8::1"], "id": "web01.example.org", "install": True}
    minion = Minion(masters=("a", "2001:db8::1"), id="web01.example.org", install=True)
    assert web(said).minion == minion
    assert to_plain(web(said))["minion"] == said
    assert json.loads(minion_conf(minion, "x").removeprefix(HEADER)) == {
        "master": ["a", "2001:db8::1"],
        "id": "web01.example.org",
    }
    assert web("none").minion is None


def test_its_configuration_may_be_secret() -> None:
    spec = web({"master": "a", "config": {"proxy_password": "hush"}})
    assert shown_spec(spec)["minion"] == {"master": "a", "config": {"proxy_password": "(hidden)"}}
    assert "hush" not in str(without_secrets(spec))
    assert without_secrets(parse_vm("a", {"template": "t"}).unwrap()).minion is None


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({}, "minion.master: is missing"),
        ({"master": []}, "minion.master: is empty: name at least one"),
        ({"master": ["a b"]}, "minion.master[0]: must be the name or address of a master"),
        ({"master": "a", "id": "a/b"}, "minion.id: must be the id of a minion"),
        ({"master": "a", "config": "hush"}, "minion.config: must be a mapping of options"),
        ({"master": "a", "config": {"id": "b"}}, "minion.config.id: is said as minion.id"),
        ("hush", "minion: must be a mapping; what it is instead is not shown"),
        ({"master": "a", "config": {"a b": 1}}, "minion.config.a b: must be an option of salt"),
        ({"master": "a", "config": {1: 1}}, "minion.config.1: must be an option of salt-minion"),
        ({"master": "a", "config": {"a": object()}}, "minion.config: must be plain data"),
    ],
)
def test_what_is_wrong_is_said(said: object, problem: str) -> None:
    match parse_vm("web01", {"template": "t", "minion": said}):
        case Failure((found,)):
            assert str(found).startswith(problem)
            assert "hush" not in str(found)
        case other:
            pytest.fail(str(other))


def test_keys_stay_with_the_id_and_that_of_the_master_with_the_master() -> None:
    a, b = Minion(masters=("a",), id="x"), Minion(masters=("b",), id="x")
    was, conf = minion_conf(a, "v"), minion_conf(b, "v")
    assert (conf_keeps_keys(was, conf), conf_keeps_master(was, conf)) == (True, False)
    other = minion_conf(Minion(masters=("a",)), "v")
    assert (conf_keeps_keys(was, other), conf_keeps_master(was, other)) == (False, True)
    assert (conf_keeps_keys("", conf), conf_keeps_master("", conf)) == (True, True)
    for odd in ("{", "[]"):
        assert not conf_keeps_keys(odd, conf)


def test_only_cloud_init_installs_it() -> None:
    (found,) = not_installed(Minion(masters=("a",), install=True))
    assert found.path == "minion.install"
    assert [*not_installed(Minion(masters=("a",))), *not_installed(None)] == []


def test_the_minion_of_a_copy_is_another_one_whatever_that_of_the_vm_is_called() -> None:
    spec = web({"master": "a", "id": "web.example.org"})
    copy = copied(spec, "web02", {}).unwrap()
    assert copy.minion == Minion(masters=("a",))
    confs = [minion_conf(each.minion, each.name) for each in (spec, copy) if each.minion]
    assert not conf_keeps_keys(*confs)
    assert copied(spec, spec.name, {}).unwrap().minion == spec.minion


def test_cloud_init_is_told_the_same() -> None:
    users = [User(name="ada", uid=7, groups=("a", "b"), sudo=Sudo.YES, password="$6$a$b")]
    minion = Minion(masters=("salt",), install=True)
    assert cloud_config("web01", "UTC", users, ("ssh-rsa A",), minion) == {
        "timezone": "UTC",
        "users": [
            "default",
            {"name": "root", "lock_passwd": False, "ssh_authorized_keys": ["ssh-rsa A"]},
            {
                "name": "ada",
                "lock_passwd": False,
                "uid": 7,
                "groups": "a,b",
                "sudo": "ALL=(ALL:ALL) NOPASSWD: ALL",
                "hashed_passwd": "$6$a$b",
            },
        ],
        "disable_root": False,
        "write_files": [
            {
                "path": "/etc/salt/minion.d/99-geats.conf",
                "content": minion_conf(minion, "web01"),
                "permissions": "0644",
            }
        ],
        "packages": ["salt-minion"],
    }
    assert cloud_config("web01", "", (), (), None) == {}
    own = cloud_config("web01", "", [User(name="ada")], (), Minion(masters=("salt",)))
    assert own["users"] == ["default", {"name": "ada", "lock_passwd": True}]
    assert "packages" not in own
    assert "disable_root" not in own
    secret = Minion(masters=("salt",), config='{"proxy_password": "hush"}')
    (file,) = cast(list[dict[str, object]], cloud_config("web", "", (), (), secret)["write_files"])
    assert file["permissions"] == "0600"
