"""The tables of the SQLite registry, as each version of geats wrote them, and who may read them.

Theory of operation
-------------------
The file says its schema in ``user_version``. Reading takes every schema up to this one's as it is,
and writes nothing at all. An older one is brought up to date only by a step of a plan, which keeps
a copy; until then, whatever would be written is refused. A file of a newer geats is read only where
it says, in a note, that this one may; it is never written. Each definition has a format of its own,
so that one which is newer than this geats concerns its VM alone.
"""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from itertools import count
from pathlib import Path
from urllib.parse import quote

from geats_core.reading import file_formats
from geats_host.errors import HostError
from geats_host.linux.private_directories import make_passage
from geats_host.locks import file_locks

OLDEST_READER = 3  # a geats that knows this schema, or a later one, reads what this one writes
FIRST_SCHEMA = """
create table definition (name text primary key, spec text not null) strict;
create table lock (name text primary key) strict;
create table journal (
    id integer primary key,
    time_s real not null,
    vm text not null,
    action text not null,
    outcome text not null,
    detail text not null
) strict;
create index journal_vm on journal (vm, id);
"""
UPGRADES = (
    FIRST_SCHEMA,
    "alter table journal add column origin text not null default '';",
    "alter table definition add column format integer not null default 1;"
    " create table note (kind text, key text, text text not null, primary key (kind, key)) strict;"
    f" insert into note values ('registry', 'oldest reader', '{OLDEST_READER}');",
)
STAND_INS = (  # for what each step above adds: an older file is read as if it were there, empty
    "",
    "create temp view journal as select *, '' as origin from main.journal;",
    "create temp view definition as select *, 1 as format from main.definition;"
    " create temp table note (kind text, key text, text text);",
)
BUSY_TIMEOUT_S = 30
IN_MEMORY = ("/dev/shm", "/run")  # filesystems that are never on the disk that is full
RESERVE_BYTES = 1 << 20  # kept beside the database, for what is to be written on a full disk
LOCK = "registry.lock"
BROKEN = ("SQLITE_PROTOCOL", "SQLITE_CANTOPEN", "SQLITE_IOERR")  # nobody who writes is in the way
SLOW_S, REST_S = 1.0, 30.0
_broken_until: dict[Path, float] = {}


def opened_to_write(path: Path) -> sqlite3.Connection:
    """A connection to the database, which is made where it is not there."""
    if not is_usable(path):
        raise HostError(f"{path}: cannot be used, as was found a moment ago: disk I/O error")
    if not path.exists():
        make_passage(path.parent)
        path.touch(mode=0o600)
    database = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, check_same_thread=False)
    try:
        with _known_if_broken(path):
            found = schema_of(database)
        if found == 0:
            with _alone_in(path.parent):
                _bring_up_to_date(database)
        _check_current(database, path)
    except BaseException:
        database.close()
        raise
    return database


def keep_reserve(path: Path) -> None:
    """Keep room for what must still be written once the disk is full; not if it is by now."""
    reserve = _reserve_of(path)
    if reserve.exists():
        return
    with suppress(OSError):
        descriptor = os.open(reserve, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, RESERVE_BYTES)
        except OSError:
            reserve.unlink()
        finally:
            os.close(descriptor)


def give_reserve(path: Path) -> bool:
    """Give the room up to who needs it now; whether there was any."""
    try:
        _reserve_of(path).unlink()
    except OSError:
        return False
    return True


def _reserve_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.reserve")


def upgrade_schema(path: Path, found: int) -> None:
    """Bring a database of schema *found* up to date, once a copy of it is on the disk."""
    with _alone_in(path.parent), closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)) as database:
        now = schema_of(database)
        if now == found:
            copy_to(database, _free_name(path, f"schema-{found}"))
            _bring_up_to_date(database)
        _check_current(database, path)


def copy_to(database: sqlite3.Connection, path: Path) -> None:
    """Write all that is in a database to a file that only root can read; whole, or not at all."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    with closing(sqlite3.connect(new)) as copy:
        database.backup(copy)
        copy.execute("pragma journal_mode = delete")
    for suffix in ("-wal", "-shm"):  # SQLite does not say where it cannot remove them
        new.with_name(f"{new.name}{suffix}").unlink(missing_ok=True)
    new.rename(path)
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def restore_from(copy: Path, path: Path) -> None:
    """Let the database at *path* be what the *copy* is, and keep what it was, readable or not.

    The copy is put in place whole. It is of its own schema then, and no lines of a log go with it.
    """
    make_passage(path.parent)
    with _alone_in(path.parent), closing(opened_to_read(copy)) as database:
        if path.exists():
            _set_aside(path)
        copy_to(database, path)


def _set_aside(path: Path) -> None:
    """Keep a database beside itself, also one that is damaged; its log is part of it."""
    kept = _free_name(path, "before-restore")
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(f"{path.name}{suffix}")
        if part.exists():
            part.rename(kept.with_name(f"{kept.name}{suffix}"))


def _free_name(path: Path, word: str) -> Path:
    """What a copy is called: no earlier one is lost."""
    names = (f"{path.name}.{word}{f'.{number}' if number else ''}.backup" for number in count())
    return next(each for each in map(path.with_name, names) if not each.exists())


def opened_to_read(path: Path) -> sqlite3.Connection:
    """A connection to a database that is there, and is not changed: it reads as this schema.

    With its log, SQLite reads no file beside which it cannot write: if the disk is full or
    read-only, a copy in memory is read, of what the file and its log contain.
    """
    database = _connected_to_read(path) if is_usable(path) else _in_memory(path)
    try:
        with _known_if_broken(path):
            schema_of(database)
    except sqlite3.OperationalError:
        database.close()
        if not os.access(path, os.R_OK):
            raise
        database = _in_memory(path)
    except BaseException:
        database.close()
        raise
    try:
        version = schema_of(database)
        if version != file_formats.REGISTRY:
            _make_readable(database, version, path)
    except BaseException:
        database.close()
        raise
    return database


def _make_readable(database: sqlite3.Connection, version: int, path: Path) -> None:
    """Let an older schema read as this one."""
    if not _readable(database):
        raise _newer(path, version)
    database.execute("pragma temp_store = memory")
    database.executescript(" ".join(STAND_INS[version:]))


def is_usable(path: Path) -> bool:
    """Whether SQLite has not just given a database up, after it had tried for long."""
    return time.monotonic() >= _broken_until.get(path, 0.0)


@contextmanager
def _known_if_broken(path: Path) -> Iterator[None]:
    """SQLite repeats some operations for 10 s after errors of the disk: the next call need not.

    One that fails at once, as on a full disk, is tried each time.
    """
    began = time.monotonic()
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorname in BROKEN and time.monotonic() - began > SLOW_S:
            _broken_until[path] = time.monotonic() + REST_S
        raise


def _connected_to_read(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(
        f"file:{quote(str(path))}?mode=ro",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        check_same_thread=False,
    )


def _in_memory(path: Path) -> sqlite3.Connection:
    """What a database and its log hold, if nothing can be written beside them."""
    import shutil  # seldom needed, and they take long to load
    import tempfile

    memory = sqlite3.connect(":memory:", check_same_thread=False)
    place = next((each for each in IN_MEMORY if os.access(each, os.W_OK)), None)
    with tempfile.TemporaryDirectory(prefix="geats-", dir=place) as directory:
        copy = Path(directory) / path.name
        for suffix in ("", "-wal"):
            part = path.with_name(f"{path.name}{suffix}")
            if part.exists():
                shutil.copyfile(part, copy.with_name(part.name))
        try:
            with closing(sqlite3.connect(copy)) as database:
                database.backup(memory)
                memory.execute(f"pragma user_version = {schema_of(database)}")
        except BaseException:
            memory.close()
            raise
    return memory


def schema_of(database: sqlite3.Connection) -> int:
    """The schema of what is there; 0 if there are no tables yet."""
    (version,) = database.execute("pragma user_version").fetchone()
    return int(version)


def _readable(database: sqlite3.Connection) -> bool:
    """Whether this geats may read it: all that are older, and what a newer one says it may."""
    if schema_of(database) <= file_formats.REGISTRY:
        return True
    try:
        row = database.execute(
            "select text from note where kind = 'registry' and key = 'oldest reader'"
        ).fetchone()
    except sqlite3.OperationalError:  # there are no notes: what is newer is not as this one is
        return False
    return row is not None and row[0].isdecimal() and int(row[0]) <= file_formats.REGISTRY


def _newer(path: Path, schema: int) -> HostError:
    return HostError(
        f"{path}: {file_formats.newer(schema, file_formats.REGISTRY)}: nothing was touched; install"
        " that geats again, or go back to a backup of the registry"
    )


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """One process at a time makes the tables.

    The lock is on a file of its own, which others cannot open as they can the directory: closing
    the database's own file gives SQLite's locks up.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(directory / LOCK, flags, 0o600)
    try:
        file_locks.take(descriptor, f"{directory}")
        yield
    finally:
        os.close(descriptor)


def _bring_up_to_date(database: sqlite3.Connection) -> None:
    version = schema_of(database)
    if version == file_formats.REGISTRY:
        return
    database.execute("pragma journal_mode = wal")
    database.executescript(
        f"begin immediate; {' '.join(UPGRADES[version:])}"
        f" pragma user_version = {file_formats.REGISTRY}; commit;"
    )


def _check_current(database: sqlite3.Connection, path: Path) -> None:
    """Nothing is written if an older geats wrote it, or a newer one."""
    version = schema_of(database)
    if version > file_formats.REGISTRY:
        raise _newer(path, version)
    if version < file_formats.REGISTRY:
        raise HostError(
            f"{path}: was written by an older geats (schema {version}, and this one writes"
            f" {file_formats.REGISTRY}): plan again, and the plan will upgrade it first"
        )
