"""The default registry: one SQLite file, durable at each step."""

import fcntl
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from returns.result import Failure, Success

from geats_core.parse import parse_vm, to_plain
from geats_core.spec import VMSpec
from geats_host.errors import HostError
from geats_host.registry import Entry, Outcome

SCHEMA_VERSION = 1
SCHEMA = """
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
BUSY_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class SqliteRegistry:
    """Opens the file for each call, so that threads and processes can share it."""

    path: Path

    def definitions(self) -> Mapping[str, VMSpec]:
        with self._transaction() as database:
            rows = database.execute("select name, spec from definition order by name").fetchall()
        return {name: self._spec(name, text) for name, text in rows}

    def record(self, spec: VMSpec) -> None:
        text = json.dumps(to_plain(spec), sort_keys=True)
        with self._transaction() as database:
            database.execute("insert or replace into definition values (?, ?)", (spec.name, text))

    def forget(self, name: str) -> None:
        with self._transaction() as database:
            database.execute("delete from definition where name = ?", (name,))
            database.execute("delete from lock where name = ?", (name,))

    def locked(self) -> frozenset[str]:
        with self._transaction() as database:
            return frozenset(name for (name,) in database.execute("select name from lock"))

    def set_locked(self, name: str, *, locked: bool) -> None:
        statement = (
            "insert or ignore into lock values (?)" if locked else "delete from lock where name = ?"
        )
        with self._transaction() as database:
            database.execute(statement, (name,))

    def write(self, entry: Entry) -> None:
        with self._transaction() as database:
            database.execute(
                "insert into journal (time_s, vm, action, outcome, detail) values (?, ?, ?, ?, ?)",
                (entry.time_s, entry.vm, entry.action, entry.outcome, entry.detail),
            )

    def journal(self, name: str, limit: int = 50) -> Sequence[Entry]:
        with self._transaction() as database:
            rows = database.execute(
                "select time_s, vm, action, outcome, detail from journal "
                "where vm = ? order by id desc limit ?",
                (name, limit),
            ).fetchall()
        return [
            Entry(time_s=time_s, vm=vm, action=action, outcome=Outcome(outcome), detail=detail)
            for time_s, vm, action, outcome, detail in reversed(rows)
        ]

    def _spec(self, name: str, text: str) -> VMSpec:
        match parse_vm(name, json.loads(text)):
            case Success(spec):
                return spec
            case Failure(problems):
                said = "; ".join(map(str, problems))
                raise HostError(f"{self.path}: the definition of {name} is not valid: {said}")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """A connection whose changes are kept all together, or not at all."""
        try:
            with closing(sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S)) as database, database:
                database.execute("pragma synchronous = full")
                yield database
        except sqlite3.Error as error:
            raise HostError(f"{self.path}: {error}") from None


def open_registry(state_dir: Path) -> SqliteRegistry:
    """The registry in *state_dir*, made there if there is none yet."""
    path = state_dir / "registry.sqlite"
    try:
        state_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        with open(path, "rb") as file, closing(sqlite3.connect(path)) as database:
            fcntl.flock(file, fcntl.LOCK_EX)  # one process at a time makes the tables
            _migrate(database, path)
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}") from None
    except sqlite3.Error as error:
        raise HostError(f"{path}: {error}") from None
    return SqliteRegistry(path)


def _migrate(database: sqlite3.Connection, path: Path) -> None:
    (version,) = database.execute("pragma user_version").fetchone()
    if version == SCHEMA_VERSION:
        return
    if version > SCHEMA_VERSION:
        raise HostError(f"{path}: was written by a newer geats (schema {version})")
    database.execute("pragma journal_mode = wal")
    database.executescript(
        f"begin immediate; {SCHEMA} pragma user_version = {SCHEMA_VERSION}; commit;"
    )
