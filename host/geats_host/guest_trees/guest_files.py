"""Files that the host writes into a guest's tree, without ever following the guest out of it."""

import ctypes
import errno
import os
import re
import secrets
import stat
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from geats_host.errors import HostError
from geats_host.linux.descriptors import closing

SYS_OPENAT2 = 437
RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_IN_ROOT = 0x02, 0x04, 0x10
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
LONGEST_READ = 1 << 20  # bytes
# Of what is not there, is a link, a socket, or a device without a driver.
NO_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.ENODEV)
TEMPORARY = re.compile(r"\.geats-[0-9a-f]{16}")

_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    """``struct open_how``, see openat2(2)."""

    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


def write_guest_files(
    rootfs: Path,
    files: Mapping[str, str],
    *,
    mode: int = 0o644,
    owner: int = 0,
    private: Container[str] = (),
) -> None:
    """Write each file of *files* (by its path relative to *rootfs*) whole.

    *owner* is the id of the guest's root, user and group, as the tree shows it to the host. What is
    *private*, only that one may read. All are durable once this returns; until then, each is the
    old one or the new one.

    Symbolic links on the way lead where they lead for the guest, within *rootfs*. Missing parent
    directories are made. Whatever the last name was, a link or a FIFO too, is replaced; a directory
    is not: ``HostError``.
    """
    with _open_root(rootfs) as root, ExitStack() as stack:
        changed: dict[tuple[int, int], int] = {}  # each directory once, however many files it has
        for path, content in files.items():
            with _host_errors(rootfs, path):
                *folders, name = _names(path)
                parent = stack.enter_context(closing(_open_parent(root, folders, owner)))
                text = content.encode(errors="surrogateescape")
                _put(parent, name, text, 0o600 if path in private else mode, owner, owner)
                seen = os.fstat(parent)
                changed[seen.st_dev, seen.st_ino] = parent
        with _host_errors(rootfs, "."):
            for parent in changed.values():
                os.fsync(parent)


def rewrite_guest_file(rootfs: Path, path: str, content: str, *, owner: int) -> None:
    """Write the file whole, which keeps its permissions, its user and its group.

    One that is no regular file is replaced, as *owner*'s, whom alone it lets read it.
    """
    with _open_root(rootfs) as root, _host_errors(rootfs, path):
        names = _names(path)
        with closing(_open_parent(root, names[:-1], owner)) as parent:
            seen = _stat(parent, names[-1])
            regular = seen is not None and stat.S_ISREG(seen.st_mode)
            mode, uid, gid = 0o600, owner, owner
            if seen is not None and regular:
                mode, uid, gid = stat.S_IMODE(seen.st_mode), seen.st_uid, seen.st_gid
            put_file(parent, names[-1], content.encode(errors="surrogateescape"), mode, uid, gid)


def _stat(parent: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return None


def link_guest_file(rootfs: Path, path: str, target: str, *, owner: int) -> None:
    """Let *path* be a symbolic link to *target*, whatever it was; not if it is a directory."""
    with _open_root(rootfs) as root, _host_errors(rootfs, path):
        names = _names(path)
        with closing(_open_parent(root, names[:-1], owner)) as parent:
            temporary = f".geats-{secrets.token_hex(8)}"
            os.symlink(target, temporary, dir_fd=parent)
            try:
                os.chown(temporary, owner, owner, dir_fd=parent, follow_symlinks=False)
                os.rename(temporary, names[-1], src_dir_fd=parent, dst_dir_fd=parent)
            except BaseException:
                os.unlink(temporary, dir_fd=parent)
                raise
            os.fsync(parent)


def remove_guest_files(rootfs: Path, paths: Iterable[str]) -> None:
    """Remove each that is there; a symbolic link is removed, and nothing that it leads to."""
    for path in paths:
        *folders, name = _names(path)
        with (
            _open_root(rootfs) as root,
            _host_errors(rootfs, path),
            suppress(FileNotFoundError),
            closing(openat2(root, "/".join(folders) or ".", DIRECTORY)) as parent,
        ):
            os.unlink(name, dir_fd=parent)


def is_guest_file(rootfs: Path, path: str) -> bool:
    """Whether *path* within *rootfs* is a regular file (a symbolic link to one is not)."""
    return stat.S_ISREG(_mode(rootfs, path))


def is_guest_folder(rootfs: Path, path: str) -> bool:
    """Whether *path* within *rootfs* is a directory (a symbolic link to one is not)."""
    return stat.S_ISDIR(_mode(rootfs, path))


def is_there(rootfs: Path, path: str) -> bool:
    """Whether there is anything at *path* within *rootfs*, whatever it is."""
    return _mode(rootfs, path) != 0


def _mode(rootfs: Path, path: str) -> int:
    """The type and permissions of what is there, a link too; 0 if there is nothing."""
    with _open_root(rootfs) as root, _host_errors(rootfs, path):
        try:
            found = openat2(root, "/".join(_names(path)), os.O_PATH | os.O_NOFOLLOW)
        except (FileNotFoundError, NotADirectoryError):
            return 0
        with closing(found):
            return os.fstat(found).st_mode


def read_guest_file(rootfs: Path, path: str) -> str | None:
    """The text of a regular file; None if there is none, or if it is longer than LONGEST_READ.

    What is not UTF-8 in it comes back as it was, if it is written with ``write_guest_files``.
    """
    with _open_root(rootfs) as root, _host_errors(rootfs, path):
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
            found = openat2(root, "/".join(_names(path)), flags)
        except OSError as error:
            if error.errno in NO_FILE:
                return None
            raise
        with closing(found):
            seen = os.fstat(found)
            if not stat.S_ISREG(seen.st_mode) or seen.st_size > LONGEST_READ:
                return None
            return os.read(found, LONGEST_READ).decode(errors="surrogateescape")


def passes_link(rootfs: Path, path: str) -> bool:
    """Whether a symbolic link stands on the way to *path* within *rootfs*, or at its end."""
    with _open_root(rootfs) as root, _host_errors(rootfs, path):
        try:
            os.close(openat2(root, "/".join(_names(path)), os.O_PATH, RESOLVE_NO_SYMLINKS))
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            return True
    return False


def openat2(root: int, path: str, flags: int, resolve: int = 0) -> int:
    """Open *path* as a process would whose root directory is *root*; raises OSError."""
    resolve |= RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
    how = _OpenHow(flags | os.O_CLOEXEC, 0, resolve)
    size = ctypes.c_size_t(ctypes.sizeof(how))
    name = os.fsencode(path)
    found: int = _libc.syscall(SYS_OPENAT2, root, name, ctypes.byref(how), size)
    if found < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), path)
    return found


def put_file(parent: int, name: str, content: bytes, mode: int, uid: int, gid: int) -> None:
    """Write a file whole in the open directory *parent*, durably; raises OSError."""
    _put(parent, name, content, mode, uid, gid)
    os.fsync(parent)


def _put(parent: int, name: str, content: bytes, mode: int, uid: int, gid: int) -> None:
    """The same, but that a power cut may bring the old one back until *parent* is synced."""
    for left in filter(TEMPORARY.fullmatch, os.listdir(parent)):  # by a write that was interrupted
        with suppress(OSError):  # the guest may have made anything of that name
            os.unlink(left, dir_fd=parent)
    temporary = f".geats-{secrets.token_hex(8)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600, dir_fd=parent)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchown(descriptor, uid, gid)
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=parent)
        raise


def _open_parent(root: int, names: list[str], owner: int) -> int:
    """The directory *names*; each path is looked up from *root*, where its links count from."""
    parent = openat2(root, ".", DIRECTORY)
    for index, name in enumerate(names):
        with closing(parent):
            path = "/".join(names[: index + 1])
            try:
                parent = openat2(root, path, DIRECTORY)
            except FileNotFoundError:
                parent = _make_directory(parent, name, owner)
    return parent


def _make_directory(parent: int, name: str, owner: int) -> int:
    os.mkdir(name, 0o755, dir_fd=parent)
    made = os.open(name, DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
    os.fchown(made, owner, owner)
    os.fchmod(made, 0o755)  # whatever the umask
    os.fsync(parent)
    return made


def _names(path: str) -> list[str]:
    names = path.split("/")
    if any(name in ("", ".", "..") or "\0" in name for name in names):
        raise HostError(f"{path!r} is not a plain path relative to the guest's root")
    return names


@contextmanager
def _open_root(rootfs: Path) -> Iterator[int]:
    with _host_errors(rootfs, "."):
        root = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with closing(root):
        yield root


@contextmanager
def _host_errors(rootfs: Path, path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise HostError(f"{rootfs / path}: {error.strerror}") from None
