"""Who may log in to a guest, and its time zone: values, as people write them.

A password is a hash, as crypt(5) has it, and never shown: problems do not quote it either.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum

from returns.result import Success

from geats_core.reading import fields
from geats_core.reading.checked import Checked, Problem, problem
from geats_core.reading.fields import Reader, each, of_mapping
from geats_core.reading.schemas import any_of, taking, words
from geats_core.reading.values import dataclass

ROOT_USER = "root"
HIGHEST_UID = 65_533  # 65534 is nobody, and most guests have 65536 ids
USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
ZONE = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")
HASH = re.compile(r"\$[a-z0-9]+(\$[A-Za-z0-9./=,+-]*)+")
KINDS = r"ssh-(rsa|dss|ed25519)|ecdsa-sha2-nistp[0-9]+|sk-[a-z0-9-]+@openssh\.com"
SSH_KEY = re.compile(rf"(\S.* )?({KINDS}) [A-Za-z0-9+/]+=*( .*)?")
NOT_SHOWN = "a hash of a password such as openssl passwd -6 makes, or mkpasswd: it is not shown"
NO_KEYS: tuple[str, ...] = ()
OWN_NOT = ("uid", "groups", "sudo")  # root has all that


class Sudo(StrEnum):
    """Whether a user may become root by sudo, and is asked for the password first."""

    NO = "no"
    ASKED = "asked"
    YES = "yes"


SUDO: Mapping[object, Sudo] = {False: Sudo.NO, True: Sudo.YES}


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """One user of a guest; what is empty is as the guest has it, or as a new user has it there.

    ``password`` is a hash; a new user without one logs in by key only.
    """

    name: str
    uid: int | None = None
    groups: tuple[str, ...] = ()
    shell: str = ""
    sudo: Sudo = Sudo.NO
    password: str = ""
    ssh_keys: tuple[str, ...] = ()


user_name = fields.matching(
    USER, "1 to 32 lower-case letters, digits, '_' and '-' that begin with a letter"
)
_uid = fields.or_none(fields.whole_number(1, HIGHEST_UID))


@taking({"type": "string", "pattern": rf"^({HASH.pattern})$", "description": NOT_SHOWN})
def _password(path: str, raw: object) -> Checked[str]:
    if isinstance(raw, str) and HASH.fullmatch(raw):
        return Success(raw)
    return problem(path, f"must be {NOT_SHOWN}")


@taking({"type": "string", "description": "a line of authorized_keys"})
def ssh_key(path: str, raw: object) -> Checked[str]:
    """A line of authorized_keys(5); whoever gives something else may have given a secret."""
    if isinstance(raw, str) and raw.isprintable() and SSH_KEY.fullmatch(raw.strip()):
        return Success(raw.strip())
    return problem(path, "must be a public key such as ssh-ed25519 AAAA..., in one line")


@taking(any_of({"type": "boolean"}, words([str(choice) for choice in Sudo])))
def _sudo(path: str, raw: object) -> Checked[Sudo]:
    if isinstance(raw, bool):
        return Success(SUDO[raw])
    return _sudo_word(path, raw)


_sudo_word = fields.one_of("way of sudo", Sudo)
_groups = each(user_name)
ssh_keys = each(ssh_key)
timezone = fields.matching(ZONE, "the name of a time zone such as Europe/Amsterdam")


@of_mapping
def _user(read: Reader) -> Checked[User]:
    return read.done(
        User(
            name="",
            uid=read.take("uid", _uid, None),
            groups=read.take("groups", _groups, ()),
            shell=read.take("shell", fields.mount, ""),
            sudo=read.take("sudo", _sudo, Sudo.NO),
            password=read.take("password", _password, ""),
            ssh_keys=read.take("ssh_keys", ssh_keys, NO_KEYS),
        )
    )


_named = fields.unseen(fields.named(fields.unseen(_user), user_name))


@taking(_named.schema())
def users(path: str, raw: object) -> Checked[tuple[User, ...]]:
    """A mapping of their names to what each is."""
    match _named(path, raw):
        case Success(found):
            return Success(tuple(replace(user, name=name) for name, user in sorted(found.items())))
        case refused:
            return refused


def users_to_plain(found: Iterable[User]) -> dict[str, object]:
    """As people write them, by their names."""
    return {user.name: _to_plain(user) for user in found}


def _to_plain(user: User) -> dict[str, object]:
    said: dict[str, object] = {
        "uid": user.uid,
        "groups": [*user.groups],
        "shell": user.shell,
        "sudo": user.sudo is Sudo.YES or (user.sudo is Sudo.ASKED and str(user.sudo)),
        "password": user.password,
        "ssh_keys": [*user.ssh_keys],
    }
    return {key: value for key, value in said.items() if value}


def user_problems(found: Sequence[User]) -> Iterator[Problem]:
    """What is wrong with users together, and with root among them."""
    for user in found:
        others = [each.name for each in found if each.uid == user.uid and each.name < user.name]
        if user.uid is not None and others:
            yield Problem(f"users.{user.name}.uid", f"is that of {others[0]} as well")
        for key in OWN_NOT if user.name == ROOT_USER else ():
            if _to_plain(user).get(key):
                yield Problem(f"users.{ROOT_USER}.{key}", "is not for root, who may do all")
