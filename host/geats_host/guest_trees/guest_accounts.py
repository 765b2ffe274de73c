"""The users and the time zone of a guest, written into its tree, which may be hostile.

Theory of operation. What the guest's root alone can write, as ``/etc``, is written as other files
are. A home is its user's, who may have put links there: below it none is followed, and what is
there already keeps its owner. A user could otherwise have keys written into the home of another.

So what one user does to a home could keep a whole VM from starting. It does not: the answer says
which keys are not written, and LEFT in the guest lets them be written before a later start.
"""

import errno
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from returns.result import Failure

from geats_core.guests.accounts import (
    ACCOUNTS,
    MADE,
    SUDOERS,
    Accounts,
    Login,
    accounts,
    made_by,
    sudoers,
    with_keys,
    with_roots,
)
from geats_core.guests.users import HIGHEST_UID, User
from geats_core.vm.spec import VMSpec
from geats_host.errors import HostError
from geats_host.guest_trees.guest_files import (
    DIRECTORY,
    LONGEST_READ,
    RESOLVE_NO_SYMLINKS,
    is_guest_folder,
    is_there,
    link_guest_file,
    openat2,
    put_file,
    read_guest_file,
    remove_guest_files,
    rewrite_guest_file,
    write_guest_files,
)
from geats_host.linux.descriptors import closing

LOCALTIME, TIMEZONE, ZONES = "etc/localtime", "etc/timezone", "usr/share/zoneinfo"
SKELETON = "etc/skel"
LEFT = "var/lib/geats-guest/left"  # a line for each user whose home could not be written
SSH, AUTHORIZED = ".ssh", "authorized_keys"
MOST_SKELETONS = 64  # files


def configure_accounts(rootfs: Path, spec: VMSpec, *, owner: int) -> tuple[str, ...]:
    """Let the guest have the users and keys of *spec*; *owner* is the id of its root.

    The answer says whose homes could not be written, and what to do.
    """
    users = with_roots(spec.users, spec.ssh_keys)
    made = read_guest_file(rootfs, MADE) or ""
    if not users and not made:
        return ()
    wanted = _wanted(rootfs, spec, users, made)
    write_guest_files(rootfs, {MADE: made_by(users, made)}, mode=0o600, owner=owner)
    for path, text in wanted.files.items():
        rewrite_guest_file(rootfs, path, text, owner=owner)
    _allow(rootfs, users, owner)
    return _with_homes(rootfs, users, wanted.logins, owner)


def finish_accounts(rootfs: Path, spec: VMSpec, *, owner: int) -> tuple[str, ...]:
    """Before a start, try again the homes that ``configure_accounts`` left; answers as that does.

    Passwords stay as they are by now. Whatever is wrong with accounts keeps no VM from starting, as
    without LEFT.
    """
    if not is_there(rootfs, LEFT):
        return ()
    users = with_roots(spec.users, spec.ssh_keys)
    try:
        late = (read_guest_file(rootfs, LEFT) or "").splitlines()
        wanted = _wanted(rootfs, spec, users, read_guest_file(rootfs, MADE) or "")
        logins = [login for login in wanted.logins if login.name in late]
        return _with_homes(rootfs, users, logins, owner)
    except HostError as error:
        return (f"{error}; ssh_keys that were left out are not written, until a start after that",)


def _wanted(rootfs: Path, spec: VMSpec, users: Sequence[User], made: str) -> Accounts:
    found = {path: text for path in ACCOUNTS if (text := read_guest_file(rootfs, path)) is not None}
    wanted = accounts(found, made, users)
    if isinstance(wanted, Failure):
        raise HostError(f"{spec.name}: {'; '.join(map(str, wanted.failure()))}")
    return wanted.unwrap()


def _with_homes(
    rootfs: Path, users: Sequence[User], logins: Iterable[Login], owner: int
) -> tuple[str, ...]:
    """Write homes, and remember who is known, also who is gone and still has keys."""
    left = _prepare_homes(rootfs, logins, owner)
    known = made_by(users, "".join(f"{name}\n" for name in left))
    write_guest_files(rootfs, {MADE: known}, mode=0o600, owner=owner)
    return tuple(left.values())


def guest_knows_zone(rootfs: Path, zone: str) -> bool:
    """Whether the guest has a file of that zone."""
    path = f"{ZONES}/{zone}"
    return is_there(rootfs, path) and not is_guest_folder(rootfs, path)


def host_knows_zone(zone: str) -> bool:
    """Whether the host has a file of that zone."""
    return (host_zones() / zone).is_file()


def host_zones() -> Path:
    """Where the host has its files of zones."""
    return Path("/", ZONES)


def set_timezone(rootfs: Path, zone: str, *, owner: int) -> None:
    """Let the guest's clock show the time of *zone*: by its own files, or by that of the host."""
    if guest_knows_zone(rootfs, zone):
        link_guest_file(rootfs, LOCALTIME, f"/{ZONES}/{zone}", owner=owner)
    else:
        try:
            text = (host_zones() / zone).read_bytes().decode(errors="surrogateescape")
        except OSError:
            raise HostError(f"timezone: neither the guest nor the host knows {zone!r}") from None
        write_guest_files(rootfs, {LOCALTIME: text}, owner=owner)
    write_guest_files(rootfs, {TIMEZONE: f"{zone}\n"}, owner=owner)


def _allow(rootfs: Path, users: Iterable[User], owner: int) -> None:
    rules = sudoers(users)
    if rules:
        write_guest_files(rootfs, {SUDOERS: rules}, mode=0o440, owner=owner)
    else:
        remove_guest_files(rootfs, [SUDOERS])


def _prepare_homes(rootfs: Path, logins: Iterable[Login], owner: int) -> Mapping[str, str]:
    """One that cannot be written keeps neither the others nor the VM from being as wanted.

    The answer says of each user whose home that is what is left out, and why.
    """
    left: dict[str, str] = {}
    for login in logins:
        try:
            _prepare_home(rootfs, login, owner)
        except HostError as error:
            what = "its ssh_keys stay there" if login.is_gone else "its ssh_keys are not written"
            left[login.name] = f"{error}; {what}, until a start after that"
    if left:
        write_guest_files(rootfs, {LEFT: "".join(f"{each}\n" for each in left)}, owner=owner)
    else:
        remove_guest_files(rootfs, [LEFT])
    return left


def _prepare_home(rootfs: Path, login: Login, owner: int) -> None:
    """Make the home if it is not there, and write the keys; both are the user's."""
    if max(login.uid, login.gid) > HIGHEST_UID:
        if login.is_gone:
            return
        raise HostError(f"users.{login.name}: has an id above {HIGHEST_UID} in its guest")
    uid, gid = owner + login.uid, owner + login.gid
    try:
        with closing(os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)) as root:
            home = _home(root, login, uid, gid, owner)
            if home is not None:
                with closing(home):
                    _write_keys(home, login, uid, gid)
    except OSError as error:
        why = "is a symbolic link" if error.errno == errno.ELOOP else error.strerror
        raise HostError(
            f"users.{login.name}: the home in the guest, or .ssh in it: {why}: make it a directory"
        ) from None


def _home(root: int, login: Login, uid: int, gid: int, owner: int) -> int | None:
    """The home, open; None if it is not there, and nothing is wanted there."""
    try:
        return openat2(root, login.home or ".", DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        if login.is_gone or not (login.keys or login.home.startswith("home/")):
            return None
    folder, _, name = login.home.rpartition("/")
    with closing(_parent(root, folder, owner)) as parent:
        home = _made(parent, name, 0o750, uid, gid)
    for file, content in _skeleton(root):
        put_file(home, file, content, 0o644, uid, gid)
    return home


def _parent(root: int, folder: str, owner: int) -> int:
    """Where homes are: made if it is one directory that is not there, as ``/home`` may be."""
    try:
        return openat2(root, folder or ".", DIRECTORY)
    except FileNotFoundError:
        if "/" in folder:  # mkdir(2) would follow links of the guest, and from the root of the host
            raise
        with closing(openat2(root, ".", DIRECTORY)) as top:
            return _made(top, folder, 0o755, owner, owner)


def _made(parent: int, name: str, mode: int, uid: int, gid: int) -> int:
    os.mkdir(name, 0o700, dir_fd=parent)
    made = openat2(parent, name, DIRECTORY, RESOLVE_NO_SYMLINKS)
    os.fchown(made, uid, gid)
    os.fchmod(made, mode)  # whatever the umask
    return made


def _skeleton(root: int) -> Iterable[tuple[str, bytes]]:
    """The files that a new user gets; what else is there is left out."""
    try:
        folder = openat2(root, SKELETON, DIRECTORY)
    except OSError:
        return
    with closing(folder):
        for name in sorted(os.listdir(folder))[:MOST_SKELETONS]:
            content = _content(folder, name)
            if content is not None:
                yield name, content


def _content(folder: int, name: str, links: int | None = None) -> bytes | None:
    """What a regular file contains; None if it is anything else, or too long.

    One of several names of a file may be that of a file which its user cannot read.
    """
    try:
        found = openat2(folder, name, os.O_RDONLY | os.O_NONBLOCK, RESOLVE_NO_SYMLINKS)
    except OSError:
        return None
    with closing(found):
        seen = os.fstat(found)
        if not stat.S_ISREG(seen.st_mode) or seen.st_size > LONGEST_READ:
            return None
        if links not in (None, seen.st_nlink):
            return None
        return os.read(found, LONGEST_READ)


def _write_keys(home: int, login: Login, uid: int, gid: int) -> None:
    try:
        folder = openat2(home, SSH, DIRECTORY, RESOLVE_NO_SYMLINKS)
    except FileNotFoundError:
        if not login.keys:
            return
        folder = _made(home, SSH, 0o700, uid, gid)
    with closing(folder):
        before = (_content(folder, AUTHORIZED, links=1) or b"").decode(errors="surrogateescape")
        text = with_keys(before, login.keys)
        if text != before:
            put_file(folder, AUTHORIZED, text.encode(errors="surrogateescape"), 0o600, uid, gid)
