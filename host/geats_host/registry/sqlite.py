"""The default registry: one SQLite file, durable at each step."""

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from returns.result import Failure, Success

from geats_core.reading import file_formats
from geats_core.reading.mappings import Raw
from geats_core.reading.values import dataclass
from geats_core.vm.spec import VMSpec
from geats_host.errors import HostError, no_options
from geats_host.lazy import later
from geats_host.registry import Entry, Outcome
from geats_host.registry.changes import Change, Make, Queue, Sync
from geats_host.registry.schema import (
    copy_to,
    give_reserve,
    keep_reserve,
    opened_to_read,
    opened_to_write,
    restore_from,
    schema_of,
    upgrade_schema,
)

if TYPE_CHECKING:
    from geats_core.planning import actions
    from geats_core.vm import parse
else:
    actions = later("geats_core.planning.actions")
    parse = later("geats_core.vm.parse")

ADVICE = "geats doctor says what to do"  # where the file is damaged
TURN = Lock()  # of this process's threads: SQLite itself waits by sleeping, and not in turn


@dataclass(frozen=True, slots=True)
class SqliteRegistry:
    """Opens the file for each call, so that processes can share it; or once, where it is kept open.

    What threads want to write while another one writes is written together next: one transaction,
    and one sync, serve them all. That a step is done need not be on disk before the next one
    begins, whose intent comes after it.
    """

    path: Path
    queue: Queue = field(default_factory=Queue, compare=False, repr=False)
    kept: list[sqlite3.Connection] = field(default_factory=list, compare=False, repr=False)
    read: list[sqlite3.Connection] = field(default_factory=list, compare=False, repr=False)

    def problems(self) -> Sequence[str]:
        if not self.path.exists():
            return ()
        with self._errors_named(), TURN, self._connection(opened_to_read) as database:
            found = database.execute("pragma integrity_check").fetchall()
        return [f"{self.path}: {line}" for (line,) in found if line != "ok"]

    def is_there(self) -> bool:
        return self.path.exists()

    def back_up(self, path: Path) -> None:
        with self._errors_named(), TURN, closing(opened_to_read(self.path)) as database:
            copy_to(database, path)

    def at(self, path: Path) -> "SqliteRegistry":
        return SqliteRegistry(path)

    def restore(self, path: Path) -> None:
        with self._errors_named(), TURN:
            restore_from(path, self.path)

    def outdated(self) -> "actions.UpgradeRegistry | None":
        if not self.path.exists():
            return None
        with self._errors_named(), TURN, self._connection(opened_to_read) as database:
            found = schema_of(database)
        return (
            actions.UpgradeRegistry(found, file_formats.REGISTRY)
            if 0 < found < file_formats.REGISTRY
            else None
        )

    def upgrade(self, upgrade: "actions.UpgradeRegistry") -> None:
        with self._errors_named(), TURN:
            upgrade_schema(self.path, upgrade.found)

    def definitions(self) -> Mapping[str, VMSpec]:
        return {name: spec for name, spec in self._specs() if isinstance(spec, VMSpec)}

    def unreadable(self) -> Mapping[str, str]:
        return {name: why for name, why in self._specs() if isinstance(why, str)}

    def record(self, spec: VMSpec) -> None:
        row = (spec.name, parse.to_text(spec), file_formats.SPEC)
        statement = "insert or replace into definition values (?, ?, ?)"
        self._change(lambda database: database.execute(statement, row))

    def forget(self, name: str) -> None:
        self._delete(("definition", "lock"), "name = ?", (name,))

    def locked(self) -> frozenset[str]:
        return frozenset(name for (name,) in self._read("select name from lock"))

    def set_locked(self, name: str, *, locked: bool) -> None:
        if locked:
            statement = "insert or ignore into lock values (?)"
            self._change(lambda database: database.execute(statement, (name,)))
        else:
            self._delete(("lock",), "name = ?", (name,))

    def notes(self, kind: str) -> Mapping[str, str]:
        return dict(self._read("select key, text from note where kind = ? order by key", (kind,)))

    def note(self, kind: str, key: str, text: str) -> None:
        statement = "insert or replace into note values (?, ?, ?)"
        self._change(lambda database: database.execute(statement, (kind, key, text)))

    def forget_note(self, kind: str, key: str) -> None:
        self._delete(("note",), "kind = ? and key = ?", (kind, key))

    def write(self, entry: Entry) -> None:
        row = (entry.time_s, entry.vm, entry.action, entry.outcome, entry.detail, entry.origin)
        statement = (
            "insert into journal (time_s, vm, action, outcome, detail, origin)"
            " values (?, ?, ?, ?, ?, ?)"
        )
        self._change(
            lambda database: database.execute(statement, row),
            Sync.WITH_THE_NEXT if entry.outcome is Outcome.DONE else Sync.NOW,
        )

    def journal(
        self, name: str | None, limit: int = 50, *, since_s: float = 0.0, after: int = 0
    ) -> Sequence[Entry]:
        of_vm, names = ("", ()) if name is None else ("vm = ? and ", (name,))
        rows = self._read(
            "select time_s, vm, action, outcome, detail, origin, id from journal"
            f" where {of_vm}time_s >= ? and id > ? order by id desc limit ?",
            (*names, since_s, after, limit),
        )
        return [
            Entry(
                time_s=time_s,
                vm=vm,
                action=action,
                outcome=Outcome(outcome),
                detail=detail,
                origin=origin,
                number=number,
            )
            for time_s, vm, action, outcome, detail, origin, number in reversed(rows)
        ]

    def prune(self, before_s: float, entries: int) -> None:
        """Costs nothing if there is nothing to forget: entries are numbered in their order."""
        with self._transaction(Sync.WITH_THE_NEXT) as database:
            database.execute(
                "delete from journal where id <= (select max(id) from journal) - ?"
                " or id < coalesce((select id from journal where time_s >= ? order by id limit 1),"
                " (select max(id) + 1 from journal))",
                (entries, before_s),
            )

    @contextmanager
    def read_at_once(self) -> Iterator[None]:
        """Read with one connection, which is no other's to write with."""
        with ExitStack() as stack:
            if not (self.read or self.kept) and self.path.exists():
                with self._errors_named(), TURN:
                    database = opened_to_read(self.path)
                self.read.append(database)
                stack.callback(self._give_up, self.read, database)
            yield

    @contextmanager
    def kept_open(self) -> Iterator[None]:
        """Use one connection for all; SQLite also empties its log with the last one that closes.

        If the file cannot be opened, the next write raises the error.
        """
        with ExitStack() as stack:
            with suppress(HostError, OSError, sqlite3.Error), TURN:
                database = opened_to_write(self.path)
                self.kept.append(database)
                stack.callback(self._give_up, self.kept, database)
            yield

    def _give_up(self, among: list[sqlite3.Connection], database: sqlite3.Connection) -> None:
        """No other thread is in the midst of using it, nor will be."""
        with TURN:
            among.remove(database)
            database.close()

    def _specs(self) -> Iterator[tuple[str, VMSpec | str]]:
        """The content of each row; or why it cannot be read."""
        for name, text, format_ in self._read("select name, spec, format from definition"):
            yield name, _spec(name, text, format_)

    def _read(self, statement: str, arguments: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        """The rows; none if nothing was ever written."""
        if not self.path.exists():
            return []
        with self._errors_named(), TURN, self._connection(opened_to_read) as database:
            if schema_of(database) == 0:
                return []
            return database.execute(statement, arguments).fetchall()

    @contextmanager
    def _transaction(self, sync: Sync = Sync.NOW) -> Iterator[sqlite3.Connection]:
        """A connection whose changes are kept all together, or not at all."""
        with self._errors_named(), TURN, self._connection(opened_to_write) as database, database:
            database.execute(f"pragma synchronous = {sync}")
            yield database
        keep_reserve(self.path)

    def _delete(self, tables: Sequence[str], where: str, arguments: tuple[str, ...]) -> None:
        """Delete these rows of all the tables together; if there are none, nothing is written."""
        found = [
            each for each in tables if self._read(f"select 1 from {each} where {where}", arguments)
        ]

        def delete(database: sqlite3.Connection) -> None:
            for table in found:
                database.execute(f"delete from {table} where {where}", arguments)

        if found:
            self._change(delete)

    def _change(self, make: Make, sync: Sync = Sync.NOW) -> None:
        """Make a change, together with those that other threads want to make by now."""
        mine, made = Change(make, sync), tuple[Change, ...]()
        try:
            together = self.queue.entered(mine)
            if together:  # else another thread has made it
                made = self._made(mine, together)
        finally:
            self.queue.left(mine, made)

    def _made(self, mine: Change, together: Sequence[Change]) -> tuple[Change, ...]:
        """Make them all; or else *mine*: others may be to blame, and each finds out by itself."""
        try:
            self._make(together)
        except Exception:  # as of text that cannot be encoded, which SQLite does not see
            if len(together) == 1:
                raise
            self._make((mine,))
            return (mine,)
        return tuple(together)

    def _make(self, changes: Sequence[Change]) -> None:
        """All or none; if the disk is full, with the room that was kept for that."""
        sync = Sync.NOW if any(each.sync is Sync.NOW for each in changes) else Sync.WITH_THE_NEXT
        for has_room in (False, True):
            try:
                with self._transaction(sync) as database:
                    for each in changes:
                        each.make(database)
                return
            except HostError:
                if has_room or not give_reserve(self.path):
                    raise

    @contextmanager
    def _errors_named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise HostError(f"{self.path}: {error.strerror}") from None
        except sqlite3.Error as error:
            denied = self.path.exists() and not os.access(self.path, os.R_OK)
            damaged = f" ({ADVICE})" if type(error) is sqlite3.DatabaseError else ""
            why = "permission denied" if denied else f"{error}{damaged}"
            raise HostError(f"{self.path}: {why}") from None

    @contextmanager
    def _connection(
        self, opened: Callable[[Path], sqlite3.Connection]
    ) -> Iterator[sqlite3.Connection]:
        """The one that is kept open, or one that is opened for now."""
        there = self.kept or (self.read if opened is opened_to_read else [])
        if there:
            yield there[-1]
            return
        with closing(opened(self.path)) as database:
            yield database


def _spec(name: str, text: str, format_: int) -> VMSpec | str:
    why = file_formats.newer(format_, file_formats.SPEC)
    if why:
        return f"it {why}"
    match parse.parse_text(name, text):
        case Success(spec):
            return spec
        case Failure(problems):
            return "; ".join(f"{each}" if each.path else each.message for each in problems)


def file_in(state_dir: Path) -> Path:
    """Where the registry is."""
    return state_dir / "registry.sqlite"


def open_registry(options: Raw, state_dir: Path) -> SqliteRegistry:
    """The registry in *state_dir*, made there with the first thing that is written. No options."""
    no_options(options)
    registry = SqliteRegistry(file_in(state_dir))
    registry.locked()  # fails if what is there is not usable
    return registry
