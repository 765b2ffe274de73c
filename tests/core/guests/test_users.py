"""Users, keys and the time zone of a guest, as people write them."""

import pytest
from returns.result import Failure, Success

from geats_core import VMSpec, parse_vm
from geats_core.deciding.abilities import impossible
from geats_core.guests.users import Sudo, User
from geats_core.planning.goal import Goal, Target
from geats_core.planning.host_facts import HostFacts
from geats_core.planning.plugin_facts import DriverFacts
from geats_core.vm.guest_files import guest_digest
from geats_core.vm.observation import Observation
from geats_core.vm.parse import to_plain
from geats_core.vm.secrets import declaration, shown_change, shown_spec, without_secrets
from geats_core.vm.spec import RootKind

KEY = "ssh-ed25519 AAAAC3Nz ada@laptop"
HASH = "$6$salt$hashed"


def web(**keys: object) -> VMSpec:
    """A VM with these keys."""
    return parse_vm("web", {"template": "t", **keys}).unwrap()


def wrong(**keys: object) -> list[str]:
    """What is wrong with a VM that has these keys."""
    match parse_vm("web", {"template": "t", **keys}):
        case Failure(problems):
            return [*map(str, problems)]
        case _:
            return []


def test_users_are_read_by_their_names() -> None:
    said = {
        "bob": {"sudo": "asked"},
        "ada": {
            "uid": 1000,
            "groups": ["adm"],
            "shell": "/bin/bash",
            "sudo": True,
            "password": HASH,
            "ssh_keys": [f" {KEY} ", f'command="/bin/a b" {KEY}'],
        },
        "eve": {"uid": "none", "sudo": False},
    }
    spec = web(users=said, ssh_keys=[KEY], timezone="Europe/Amsterdam")
    ada = User(
        name="ada",
        uid=1000,
        groups=("adm",),
        shell="/bin/bash",
        sudo=Sudo.YES,
        password=HASH,
        ssh_keys=(KEY, f'command="/bin/a b" {KEY}'),
    )
    assert spec.users == (ada, User(name="bob", sudo=Sudo.ASKED), User(name="eve"))
    assert (spec.ssh_keys, spec.timezone) == ((KEY,), "Europe/Amsterdam")
    assert parse_vm("web", to_plain(spec)) == Success(spec)


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"users": {"Ada": {}}}, "users.Ada: must be 1 to 32 lower-case"),
        ({"users": {"ada": {"uid": 0}}}, "users.ada.uid: must be a whole number from 1 to 65533"),
        ({"users": {"ada": {"uid": 65534}}}, "users.ada.uid: must be a whole number"),
        ({"users": {"ada": {"shell": "/bin/a:b"}}}, "users.ada.shell: must be an absolute path"),
        ({"users": {"ada": {"groups": ["a:b"]}}}, "users.ada.groups[0]: must be 1 to 32"),
        ({"users": {"ada": {"sudo": "all"}}}, "users.ada.sudo: unknown way of sudo 'all'"),
        ({"users": {"ada": {"ssh_keys": ["AAAA"]}}}, "users.ada.ssh_keys[0]: must be a public key"),
        ({"users": {"root": {"uid": 5}}}, "users.root.uid: is not for root, who may do all"),
        ({"users": {"root": {"sudo": True}}}, "users.root.sudo: is not for root, who may do all"),
        ({"users": {"a": {"uid": 9}, "b": {"uid": 9}}}, "users.b.uid: is that of a as well"),
        ({"ssh_keys": [f"{KEY}\nx"]}, "ssh_keys[0]: must be a public key"),
        ({"timezone": "../etc/shadow"}, "timezone: must be the name of a time zone"),
    ],
)
def test_what_is_wrong_is_said(keys: dict[str, object], problem: str) -> None:
    (found,) = wrong(**keys)
    assert found.startswith(problem)


@pytest.mark.parametrize("secret", ["hunter2", "a:b", "$6$x$y\nroot::0", 7, ["hunter2"]])
def test_a_password_that_is_no_hash_is_refused_and_not_shown(secret: object) -> None:
    (found,) = wrong(users={"ada": {"password": secret}})
    assert found.startswith("users.ada.password: must be a hash of a password")
    assert "hunter2" not in found


def test_a_user_must_have_an_id_that_the_guest_has() -> None:
    ranges = [{"guest": 0, "host": 200_000, "count": 1000}]
    assert wrong(users={"ada": {"uid": 999}, "bob": {}}, idmap=ranges) == []
    (found,) = wrong(users={"ada": {"uid": 1000}}, idmap=ranges)
    assert found == "users.ada.uid: 1000 is in no range of idmap"
    users = [{**ranges[0], "ids": "users"}, {**ranges[0], "ids": "groups", "count": 999}]
    (found,) = wrong(users={"ada": {"uid": 999}}, idmap=users)
    assert found == "users.ada.uid: 999 is in no range of idmap"


def test_a_password_is_never_shown() -> None:
    spec = web(users={"ada": {"password": HASH, "uid": 7}})
    hidden = {"ada": {"password": "(hidden)", "uid": 7}}
    assert shown_spec(spec)["users"] == declaration(spec)["users"] == hidden
    assert declaration(spec, shows_secrets=True)["users"] == {"ada": {"password": HASH, "uid": 7}}
    assert without_secrets(spec).users == (User(name="ada", uid=7),)
    old, new = to_plain(spec)["users"], {"ada": {"password": "$6$a$b"}, "bob": {"password": HASH}}
    assert shown_change("users", old, new) == (
        hidden,
        {"ada": {"password": "(hidden, and another one)"}, "bob": {"password": "(hidden)"}},
    )


def test_a_guest_is_configured_again_if_its_users_change_and_not_if_there_are_none() -> None:
    told: list[dict[str, object]] = [
        {},
        {"timezone": "UTC"},
        {"ssh_keys": [KEY]},
        {"users": {"ada": {}}},
        {"users": {"ada": {"password": HASH}}},
        {"minion": {"master": "salt"}},
    ]
    digests = [guest_digest(web(**each)) for each in told]
    assert len({*digests}) == len(digests)
    assert digests[0] == "879c4de270573ed1"  # as before there were users


@pytest.mark.parametrize("secret", ["$6$salt$hush", ["hush"], 1])
def test_what_is_no_mapping_may_be_a_password_and_is_not_shown(secret: object) -> None:
    for users in (secret, {"ada": secret}):
        (found,) = parse_vm("web", {"template": "t", "users": users}).failure()
        assert found.path in ("users", "users.ada")
        assert "must be a mapping" in found.message
        assert "hush" not in found.message


def test_keys_are_refused_for_homes_that_are_mounted_in_a_container() -> None:
    key = "ssh-ed25519 AAAA"
    said: dict[str, object] = {
        "template": "t",
        "volumes": [{"name": "root"}, {"name": "home", "mount": "/home"}],
        "tmpfs": {"/root": "1MiB", "/home2": "1MiB"},
        "ssh_keys": [key],
        "users": {"ada": {"ssh_keys": [key]}, "bob": {"password": "$6$a$b"}},
    }

    def problems(kind: RootKind | None, **more: object) -> list[str]:
        spec = parse_vm("web", {**said, **more}).unwrap()
        goal = Goal(name="web", target=Target.DEFINED, spec=spec)
        facts = HostFacts(drivers={"lxc": DriverFacts(root_kind=kind)})
        return [*map(str, impossible(goal, spec, Observation(), facts))]

    why = "where geats writes no keys: let hardware.guest: cloud-init do it, or put them there"
    assert problems(RootKind.TREE) == [
        f"users.ada.ssh_keys: /home/ada is in what volumes[home].mount mounts, {why}",
        f"ssh_keys: /root is in what tmpfs./root mounts, {why}",
    ]
    assert problems(RootKind.TREE, hardware={"guest": "cloud-init"}) == []
    assert problems(RootKind.DISK) == problems(None) == []
