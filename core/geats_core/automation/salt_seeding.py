"""How Salt 3006 seeded a container: its minion, and a password for some users."""

from collections.abc import Mapping

from geats_core.automation.arguments import Arguments
from geats_core.foreign.notes import Plain
from geats_core.foreign.settings import YES, text_of
from geats_core.guests.minion import OPTION, OWN
from geats_core.guests.users import HASH, ROOT_USER

NO_HASH = "is no hash of a password: say users, each with the hash of one"
IN_TEMPLATE = "the template has salt-minion, or cloud-init installs it: minion.install"
BY_GEATS = "geats makes keys in the guest, and `salt-run geats.accept` accepts them"
SEEDED: Mapping[str, str] = {
    **dict.fromkeys(("approve_key", "priv_key", "pub_key"), BY_GEATS),
    **dict.fromkeys(("install", "force_install", "unconditional_install"), IN_TEMPLATE),
    **dict.fromkeys(("password", "password_encrypted", "users"), NO_HASH),
    "seed": "a VM with minion is seeded",
}
CONFIGS = ("config", "minion")  # of lxc.init, and of salt-cloud


def seeding(arguments: Arguments, vm: Plain) -> None:
    """Put ``minion`` and ``users`` into *vm*, and note what went there."""
    _minion(arguments, vm)
    _passwords(arguments, vm)


def _minion(arguments: Arguments, vm: Plain) -> None:
    settings = arguments.settings
    said = {text_of(k): v for key in CONFIGS for k, v in arguments.map_of(key).items()}
    master = said.get("master") or settings.get("master")
    if not master:
        return
    if settings.get("master_port"):
        said["master_port"] = settings.get("master_port")
    config = {key: v for key, v in said.items() if key not in OWN and OPTION.fullmatch(key)}
    vm["minion"] = {
        "master": master,
        **({"id": said["id"]} if said.get("id") else {}),
        **({"config": config} if config else {}),
    }
    for key in (*CONFIGS, "master", "master_port"):
        arguments.went(key, "minion")


def _passwords(arguments: Arguments, vm: Plain) -> None:
    """A password that is a hash is that of the users; what is none is said nowhere."""
    password = arguments.settings.get("password")
    encrypted = arguments.settings.get("password_encrypted").lower() in YES
    if not encrypted or not HASH.fullmatch(password):
        return
    names = arguments.list_of("users") or [ROOT_USER]
    vm["users"] = {name: {"password": password} for name in names}
    for key in ("password", "password_encrypted", "users"):
        arguments.went(key, "users")
