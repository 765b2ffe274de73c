"""The tables of the SQLite registry, as each version of geats wrote them, and who may read them.

Theory of operation
-------------------
The file says its schema in ``user_version``. Reading takes every schema up to this one's as it is,
and writes nothing at all. A file of a newer geats is read only where it says, in a note, that this
one may; it is never written.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from geats_host.errors import HostError

SCHEMA_VERSION = 3
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
MIGRATIONS = (
    FIRST_SCHEMA,
    "alter table journal add column origin text not null default '';",
    "create table note (kind text, key text, text text not null, primary key (kind, key)) strict;"
    f" insert into note values ('registry', 'oldest reader', '{OLDEST_READER}');",
)
STAND_INS = (  # for what each step above adds: an older file is read as if it were there, empty
    "",
    "create temp view journal as select *, '' as origin from main.journal;",
    "create temp table note (kind text, key text, text text);",
)
BUSY_TIMEOUT_S = 30


def opened_to_write(path: Path) -> sqlite3.Connection:
    """A connection to the database, which is made where it is not there."""
    if not path.exists():
        path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
        path.touch(mode=0o600)
    database = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, check_same_thread=False)
    try:
        if schema_of(database) != SCHEMA_VERSION:
            with _alone_in(path.parent):
                _migrate(database, path)
    except BaseException:
        database.close()
        raise
    return database


def opened_to_read(path: Path) -> sqlite3.Connection:
    """A connection to a database that is there, and is not changed: it reads as this schema."""
    database = sqlite3.connect(
        f"file:{quote(str(path))}?mode=ro",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        check_same_thread=False,
    )
    try:
        if not _readable(database):
            raise _newer(path, schema_of(database))
        database.execute("pragma temp_store = memory")
        database.executescript(" ".join(STAND_INS[schema_of(database) :]))
    except BaseException:
        database.close()
        raise
    return database


def schema_of(database: sqlite3.Connection) -> int:
    """The schema of what is there; 0 where there are no tables yet."""
    (version,) = database.execute("pragma user_version").fetchone()
    return int(version)


def _readable(database: sqlite3.Connection) -> bool:
    """Whether this geats may read it: all that are older, and what a newer one says it may."""
    if schema_of(database) <= SCHEMA_VERSION:
        return True
    try:
        row = database.execute(
            "select text from note where kind = 'registry' and key = 'oldest reader'"
        ).fetchone()
    except sqlite3.OperationalError:  # there are no notes: what is newer is not as this one is
        return False
    return row is not None and row[0].isdecimal() and int(row[0]) <= SCHEMA_VERSION


def _newer(path: Path, schema: int) -> HostError:
    return HostError(
        f"{path}: was written by a newer geats (schema {schema}, this one knows {SCHEMA_VERSION}):"
        " nothing was touched; install that geats again, or go back to a backup of the registry"
    )


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """One process at a time makes the tables.

    The lock is on the directory: closing the database's own file gives SQLite's locks up.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _migrate(database: sqlite3.Connection, path: Path) -> None:
    version = schema_of(database)
    if version == SCHEMA_VERSION:
        return
    if version > SCHEMA_VERSION:
        raise _newer(path, version)
    database.execute("pragma journal_mode = wal")
    database.executescript(
        f"begin immediate; {' '.join(MIGRATIONS[version:])}"
        f" pragma user_version = {SCHEMA_VERSION}; commit;"
    )
