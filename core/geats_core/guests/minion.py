"""The Salt minion of a guest: whose it is, what it is called, and what its files say."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping

from returns.result import Failure, Success

from geats_core.reading import fields
from geats_core.reading.checked import Checked, Problem, problem, shown
from geats_core.reading.fields import Reader, each, of_mapping, printable
from geats_core.reading.schemas import ANYTHING, any_of, by_name, list_of, taking
from geats_core.reading.values import dataclass

HEADER = "# written by geats\n"
CONF = "etc/salt/minion.d/99-geats.conf"
PRIVATE_KEY = "etc/salt/pki/minion/minion.pem"
PUBLIC_KEY = "etc/salt/pki/minion/minion.pub"
MASTERS_KEY = "etc/salt/pki/minion/minion_master.pub"
PROGRAMS = (
    *("usr/bin/salt-minion", "usr/local/bin/salt-minion", "opt/saltstack/salt/salt-minion"),
    "usr/sbin/salt-minion",
)
PACKAGE = "salt-minion"
LACKING = (
    "minion: there is no salt-minion in its guest: install it in its template, or with"
    " hardware.guest: cloud-init say minion: {install: true}"
)
OPTION = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
OWN = ("master", "id")
NO_CONFIG = "{}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Minion:
    """``masters`` are tried in their order. An empty ``id`` is the name of the VM. ``config`` is
    what else its configuration says, as one line of JSON. With ``install``, cloud-init installs it.
    """

    masters: tuple[str, ...]
    id: str = ""
    config: str = NO_CONFIG
    install: bool = False


_option = fields.matching(OPTION, "an option of salt-minion")
_id = fields.matching(
    re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}"),
    "the id of a minion: letters, digits, '.', '_' and '-'",
)
_master = fields.matching(
    re.compile(r"[A-Za-z0-9:\[][A-Za-z0-9.:\[\]_-]{0,252}"), "the name or address of a master"
)
_several = each(_master)


@taking(any_of(_master.schema(), list_of(_master.schema())))
def _masters(path: str, raw: object) -> Checked[tuple[str, ...]]:
    """One, or a list."""
    match _several(path, [raw] if isinstance(raw, str) else raw):
        case Success(()):
            return problem(path, "is empty: name at least one")
        case found:
            return found


@taking(by_name(_option.schema(), ANYTHING))
def _config(path: str, raw: object) -> Checked[str]:
    """Options by their names; their values may be whatever JSON can say."""
    if not isinstance(raw, Mapping):
        return problem(path, f"must be a mapping of options of salt-minion, got a {kind_of(raw)}")
    wrong = tuple(_wrong_options(path, raw))
    if wrong:
        return Failure(wrong)
    try:
        return Success(json.dumps(raw, sort_keys=True, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        return problem(path, "must be plain data, as JSON has it")


def _wrong_options(path: str, raw: Iterable[object]) -> Iterator[Problem]:
    for key in raw:
        at = f"{path}.{printable(key)}"
        if not isinstance(key, str) or not OPTION.fullmatch(key):
            yield Problem(at, f"must be an option of salt-minion, got {shown(key)}")
        elif key in OWN:
            yield Problem(at, f"is said as minion.{key}")


def kind_of(raw: object) -> str:
    """What *raw* is, without showing it."""
    return type(raw).__name__


@of_mapping
def read_minion(read: Reader) -> Checked[Minion]:
    """The key ``minion`` of a VM."""
    return read.done(
        Minion(
            masters=read.need("master", _masters, ()),
            id=read.take("id", _id, ""),
            config=read.take("config", _config, NO_CONFIG),
            install=read.take("install", fields.boolean, False),
        )
    )


def minion_to_plain(minion: Minion) -> dict[str, object]:
    """As people write it."""
    master = minion.masters[0] if len(minion.masters) == 1 else [*minion.masters]
    said: dict[str, object] = {
        "master": master,
        "id": minion.id,
        "config": json.loads(minion.config),
        "install": minion.install,
    }
    return {key: value for key, value in said.items() if value}


def minion_id(minion: Minion, vm: str) -> str:
    """What its master calls it."""
    return minion.id or vm


def minion_conf(minion: Minion, vm: str) -> str:
    """Its configuration: JSON, which is YAML too."""
    said = minion_to_plain(minion)
    config: dict[str, object] = {"master": said["master"], "id": minion_id(minion, vm)}
    return HEADER + json.dumps(config | json.loads(minion.config), indent=1) + "\n"


def conf_mode(minion: Minion) -> int:
    """Who may read its configuration in the guest: what people say there may be secret."""
    return 0o644 if minion.config == NO_CONFIG else 0o600


def conf_keeps_keys(was: str, conf: str) -> bool:
    """Whether keys of a guest stay, whose file of geats *was* this: with the id, not otherwise.

    A minion that geats has not told anything so far keeps those that it has.
    """
    return not was or _said(was, "id") == _said(conf, "id")


def conf_keeps_master(was: str, conf: str) -> bool:
    """Whether the key of its master is still that of the right one."""
    return not was or _said(was, "master") == _said(conf, "master")


def _said(conf: str, key: str) -> object:
    """What such a file says; nothing if it is of somebody else."""
    try:
        found = json.loads(conf.removeprefix(HEADER))
    except (ValueError, RecursionError):
        return None
    return found.get(key) if isinstance(found, dict) else None


def not_installed(minion: Minion | None) -> Iterator[Problem]:
    """What nobody does in a guest that cloud-init does not configure."""
    if minion is not None and minion.install:
        why = "only cloud-init installs it: say hardware.guest: cloud-init, or use a template"
        yield Problem("minion.install", f"{why} that has salt-minion")
