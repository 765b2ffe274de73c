"""Users, time zone and minion of a guest as cloud-init takes them: keys of its cloud-config."""

from collections.abc import Sequence

from geats_core.guests.accounts import RULES, with_roots
from geats_core.guests.minion import CONF, PACKAGE, Minion, conf_mode, minion_conf
from geats_core.guests.users import ROOT_USER, User

DEFAULT_USER = "default"  # of the image: it stays beside those that are described


def cloud_config(
    vm: str, timezone: str, users: Sequence[User], ssh_keys: Sequence[str], minion: Minion | None
) -> dict[object, object]:
    """The keys for a VM of that name; none for what is not described."""
    said: dict[object, object] = {"timezone": timezone} if timezone else {}
    wanted = with_roots(users, ssh_keys)
    if wanted:
        said["users"] = [DEFAULT_USER, *map(_user, wanted)]
    if any(user.name == ROOT_USER and user.ssh_keys for user in wanted):
        said["disable_root"] = False
    if minion is not None:
        said["write_files"] = [
            {
                "path": f"/{CONF}",
                "content": minion_conf(minion, vm),
                "permissions": f"{conf_mode(minion):04o}",
            }
        ]
        if minion.install:
            said["packages"] = [PACKAGE]
    return said


def _user(user: User) -> dict[str, object]:
    """See cc_users_groups of cloud-init, which locks a password unless it is told not to."""
    keeps = bool(user.password) or user.name == ROOT_USER
    said: dict[str, object] = {
        "uid": user.uid,
        "groups": ",".join(user.groups),
        "shell": user.shell,
        "sudo": RULES.get(user.sudo),
        "hashed_passwd": user.password,
        "ssh_authorized_keys": [*user.ssh_keys],
    }
    given = {key: value for key, value in said.items() if value}
    return {"name": user.name, "lock_passwd": not keeps, **given}
