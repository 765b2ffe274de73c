"""The users of a guest in its files: passwd, shadow, group and gshadow, sudoers, authorized_keys.

Theory of operation. What is found in a guest is of the guest, and stays: users, groups and lines
that nobody described are not touched, nor are lines that make no sense. A user who is described and
not there is made, as useradd(8) does. What geats gave is listed in a file of its own, MADE; of a
user whose description lacks that now, it is taken away again: the password is locked, the keys and
sudo go. The user and the user's files stay.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace

from returns.result import Failure, Success

from geats_core.guests.users import ROOT_USER, USER, Sudo, User
from geats_core.reading.checked import Checked, Problem
from geats_core.reading.values import dataclass

HEADER = "# written by geats\n"
PASSWD, SHADOW, GROUP, GSHADOW = "etc/passwd", "etc/shadow", "etc/group", "etc/gshadow"
ACCOUNTS = (PASSWD, SHADOW, GROUP, GSHADOW)
SUDOERS = "etc/sudoers.d/90-geats"
MADE = "var/lib/geats-guest/users"  # a line for each: the name, and what geats gave the user
PASSWORD = "password"
LOCKED = "!"
SHELL = "/bin/sh"
FIRST_ID, LAST_ID = 1000, 60_000  # of people, see login.defs(5)
FIRST_SYSTEM_ID, LAST_SYSTEM_ID = 100, 999
BEGIN, END = "# geats: keys from here", "# geats: keys up to here"
RULES: Mapping[Sudo, str] = {
    Sudo.YES: "ALL=(ALL:ALL) NOPASSWD: ALL",
    Sudo.ASKED: "ALL=(ALL:ALL) ALL",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Whose home is where, and which keys are wanted there.

    The home of a user who ``is_gone`` from the description is never made.
    """

    name: str
    uid: int
    gid: int
    home: str
    keys: tuple[str, ...]
    is_gone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """What is to be written: files by their paths, and the homes of ``logins``."""

    files: Mapping[str, str]
    logins: tuple[Login, ...]


@dataclasses.dataclass(slots=True)
class _Tables:
    """The files as rows of fields, and every problem on the way.

    Of rows with the same name the first counts; a guest may have as many as it likes.
    """

    rows: dict[str, list[list[str]]]
    problems: list[Problem] = field(default_factory=list)
    named: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    def row(self, path: str, name: str) -> list[str] | None:
        if path not in self.named:
            self.named[path] = {row[0]: row for row in reversed(self.rows.get(path, []))}
        return self.named[path].get(name)

    def add(self, path: str, row: list[str]) -> None:
        self.rows[path].append(row)
        self.named.pop(path, None)

    def ids(self, path: str) -> set[int]:
        return {int(row[2]) for row in self.rows.get(path, []) if len(row) > 2 and is_id(row[2])}

    def free(self, first: int, last: int, *paths: str) -> int | None:
        taken = set[int]().union(*map(self.ids, paths))
        return next((each for each in range(first, last + 1) if each not in taken), None)

    def files(self) -> dict[str, str]:
        return {
            path: "".join(f"{':'.join(row)}\n" for row in rows) for path, rows in self.rows.items()
        }


def with_roots(users: Sequence[User], keys: Sequence[str]) -> tuple[User, ...]:
    """The *users*, with *keys* beside those that root has."""
    if not keys:
        return tuple(users)
    root = next((user for user in users if user.name == ROOT_USER), User(name=ROOT_USER))
    both = tuple(dict.fromkeys((*root.ssh_keys, *keys)))
    others = [user for user in users if user.name != ROOT_USER]
    return replace(root, ssh_keys=both), *others


def accounts(found: Mapping[str, str], made: str, users: Sequence[User]) -> Checked[Accounts]:
    """What makes the *users* those of a guest in which *found* are those of ACCOUNTS.

    *made* is what MADE says there: which users had something of geats so far.
    """
    rows = {path: [line.split(":") for line in _lines(text)] for path, text in found.items()}
    tables = _Tables(rows)
    for path in (PASSWD, SHADOW, GROUP):
        if users and path not in found:
            tables.problems.append(Problem("users", f"there is no file /{path} in its guest"))
    if tables.problems:
        return Failure(tuple(tables.problems))
    had = _given(made)
    described = {user.name for user in users}
    for user in users:
        _put(tables, user, had.get(user.name, ""))
    gone = [name for name in had if name not in described]
    for name in gone:
        _set_password(tables, name, "", had[name])
    found_logins = [
        *(_login(tables, name, (), is_gone=True) for name in gone),
        *(_login(tables, user.name, user.ssh_keys) for user in users),
    ]
    if tables.problems:
        return Failure(tuple(tables.problems))
    logins = tuple(filter(None, found_logins))
    files = {path: text for path, text in tables.files().items() if text != found[path]}
    return Success(Accounts(files=files, logins=logins))


def is_id(text: str) -> bool:
    """Whether *text* is an id as passwd(5) has it."""
    return text.isascii() and text.isdigit() and len(text) <= 10


def made_by(users: Iterable[User], before: str = "") -> str:
    """What MADE says once a guest has these; and on the way there, with what it said *before*."""
    said = [*_lines(before)] + [
        f"{user.name} {PASSWORD}" if user.password else user.name for user in users
    ]
    return "".join(f"{line}\n" for line in dict.fromkeys(said))


def sudoers(users: Iterable[User]) -> str:
    """See sudoers(5); empty if none of *users* has it."""
    rules = [f"{user.name} {RULES[user.sudo]}\n" for user in users if user.sudo in RULES]
    return HEADER + "".join(rules) if rules else ""


def with_keys(text: str, keys: Sequence[str]) -> str:
    """*text* of authorized_keys(5) with these as what geats wrote; other lines stay."""
    lines, ours = [], False
    for line in _lines(text):
        ours = line == BEGIN or (ours and line != END)
        if not ours and line != END:
            lines.append(line)
    lines += [BEGIN, *keys, END] if keys else []
    return "".join(f"{line}\n" for line in lines)


def _lines(text: str) -> list[str]:
    """Those between line feeds: others, such as a vertical tab, are within a line."""
    return text.removesuffix("\n").split("\n") if text else []


def _given(made: str) -> dict[str, str]:
    """What users had of geats by their names, as the guest has it: it may say anything.

    After an interruption a user is there twice; a password was given if one of the lines says so.
    """
    given: dict[str, str] = {}
    for line in _lines(made):
        name, _, what = line.partition(" ")
        if USER.fullmatch(name):
            given[name] = given.get(name) or what
    return given


def _put(tables: _Tables, user: User, had: str) -> None:
    row = tables.row(PASSWD, user.name)
    if row is None:
        _add(tables, user)
    else:
        _change(tables, user, row)
        _set_password(tables, user.name, user.password, had)
    for group in user.groups:
        _join(tables, user.name, group)


def _add(tables: _Tables, user: User) -> None:
    at = f"users.{user.name}"
    if user.name == ROOT_USER:
        tables.problems.append(Problem(at, f"there is no {ROOT_USER} in its guest"))
        return
    own = tables.row(GROUP, user.name)
    uid = user.uid or tables.free(FIRST_ID, LAST_ID, PASSWD, GROUP)
    if uid is None or uid in tables.ids(PASSWD):
        why = f"{user.uid} is that of another user" if uid else "there is no free id"
        tables.problems.append(Problem(f"{at}.uid", f"{why} in its guest"))
        return
    if own is None:
        gid = uid if uid not in tables.ids(GROUP) else tables.free(FIRST_ID, LAST_ID, GROUP) or uid
        _add_group(tables, user.name, gid)
    else:
        gid = int(own[2]) if len(own) > 2 and is_id(own[2]) else uid
    shell = user.shell or SHELL
    fields = [user.name, "x", f"{uid}", f"{gid}", "", f"/home/{user.name}", shell]
    tables.add(PASSWD, fields)
    shadow = [user.name, user.password or LOCKED, "", "0", "99999", "7", "", "", ""]
    tables.rows[SHADOW] = [r for r in tables.rows[SHADOW] if r[0] != user.name]
    tables.add(SHADOW, shadow)


def _change(tables: _Tables, user: User, row: list[str]) -> None:
    if user.uid is not None and (len(row) < 7 or row[2] != f"{user.uid}"):
        why = "another id in its guest, to which files belong: leave uid out, or recreate it"
        tables.problems.append(Problem(f"users.{user.name}.uid", f"{user.name} has {why}"))
    if user.shell and len(row) >= 7:
        row[6] = user.shell


def _set_password(tables: _Tables, name: str, password: str, had: str) -> None:
    """Lock what geats gave; a password of somebody else stays, if there is no other."""
    row = tables.row(SHADOW, name)
    if not password and had != PASSWORD:
        return
    if row is not None and len(row) > 1:
        row[1] = password or LOCKED
    elif password:
        tables.add(SHADOW, [name, password, "", "0", "99999", "7", "", "", ""])
    if password and (user := tables.row(PASSWD, name)) is not None and len(user) > 1:
        user[1] = "x"


def _join(tables: _Tables, name: str, group: str) -> None:
    if tables.row(GROUP, group) is None:
        gid = tables.free(FIRST_SYSTEM_ID, LAST_SYSTEM_ID, PASSWD, GROUP)
        if gid is None:
            why = f"there is no free id for the group {group} in its guest"
            tables.problems.append(Problem(f"users.{name}.groups", why))
            return
        _add_group(tables, group, gid)
    for path in (GROUP, GSHADOW):
        row = tables.row(path, group)
        if row is not None and len(row) == 4 and name not in row[3].split(","):
            row[3] = ",".join([*filter(None, row[3].split(",")), name])


def _add_group(tables: _Tables, name: str, gid: int) -> None:
    tables.add(GROUP, [name, "x", f"{gid}", ""])
    if GSHADOW in tables.rows and tables.row(GSHADOW, name) is None:
        tables.add(GSHADOW, [name, LOCKED, "", ""])


def _login(
    tables: _Tables, name: str, keys: tuple[str, ...], *, is_gone: bool = False
) -> Login | None:
    row = tables.row(PASSWD, name)
    if row is None or len(row) < 7 or not _is_sound(row):
        if keys and not tables.problems:
            why = f"its line in /{PASSWD} of the guest says no id or no home: mend it there"
            tables.problems.append(Problem(f"users.{name}.ssh_keys", why))
        return None
    uid, gid, home = int(row[2]), int(row[3]), row[5].strip("/")
    return Login(name=name, uid=uid, gid=gid, home=home, keys=keys, is_gone=is_gone)


def _is_sound(row: Sequence[str]) -> bool:
    return is_id(row[2]) and is_id(row[3]) and "\0" not in row[5]
