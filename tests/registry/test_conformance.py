"""Every registry keeps what it was given: one suite for all of them."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from geats_core.parse import parse_vm
from geats_core.spec import VMSpec
from geats_host.errors import HostError
from geats_host.registry import Entry, Outcome, Registry, memory, sqlite


def spec(name: str, memory_size: str = "1GiB") -> VMSpec:
    return parse_vm(name, {"template": "debian", "memory": memory_size}).unwrap()


@pytest.fixture(params=[memory.open_registry, sqlite.open_registry], ids=["memory", "sqlite"])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Registry]:
    opener: Callable[[Path], Registry] = request.param
    return lambda: opener(tmp_path / "state")


def test_a_definition_is_kept_replaced_and_forgotten(reopen: Callable[[], Registry]) -> None:
    reopen().record(spec("web01"))
    reopen().record(spec("web01", "2GiB"))
    reopen().record(spec("db01"))
    assert reopen().definitions() == {"web01": spec("web01", "2GiB"), "db01": spec("db01")}
    reopen().forget("web01")
    reopen().forget("web01")
    assert set(reopen().definitions()) == {"db01"}


def test_a_lock_is_kept_until_it_is_lifted(reopen: Callable[[], Registry]) -> None:
    reopen().set_locked("web01", locked=True)
    reopen().set_locked("web01", locked=True)
    assert reopen().locked() == {"web01"}
    reopen().set_locked("web01", locked=False)
    assert reopen().locked() == frozenset()


def test_a_forgotten_vm_leaves_no_lock_for_the_next_of_its_name(
    reopen: Callable[[], Registry],
) -> None:
    reopen().set_locked("web01", locked=True)
    reopen().forget("web01")
    assert reopen().locked() == frozenset()


def test_the_journal_gives_the_newest_entries_of_one_vm_oldest_first(
    reopen: Callable[[], Registry],
) -> None:
    entries = [
        Entry(time_s=float(n), vm=vm, action=f"step {n}", outcome=Outcome.DONE, origin="me")
        for n, vm in enumerate(["web01", "db01", "web01", "web01"])
    ]
    for entry in entries:
        reopen().write(entry)
    assert list(reopen().journal("web01", limit=2)) == [entries[2], entries[3]]


def test_what_many_threads_write_at_once_is_all_there(reopen: Callable[[], Registry]) -> None:
    entries = [
        Entry(time_s=float(n), vm=f"vm{n % 4}", action="start", outcome=Outcome.DONE)
        for n in range(64)
    ]
    registry = reopen()
    with registry.kept_open(), ThreadPoolExecutor(16) as threads:
        list(threads.map(registry.write, entries))
        there = [each for n in range(4) for each in reopen().journal(f"vm{n}", limit=64)]
    assert sorted(there, key=lambda each: each.time_s) == entries


def test_an_entry_is_in_the_file_once_it_is_written(tmp_path: Path) -> None:
    """Not only when the file is no longer kept open."""
    registry = sqlite.open_registry(tmp_path)
    entry = Entry(time_s=1.0, vm="web01", action="start", outcome=Outcome.INTENT)
    with registry.kept_open():
        registry.write(entry)
        assert list(sqlite.open_registry(tmp_path).journal("web01")) == [entry]


def test_an_entry_that_could_not_be_written_keeps_no_other_out(tmp_path: Path) -> None:
    registry = sqlite.open_registry(tmp_path)
    registry.set_locked("web01", locked=True)
    good = Entry(time_s=1.0, vm="web01", action="start", outcome=Outcome.DONE)
    with sqlite3.connect(tmp_path / "registry.sqlite") as database:
        database.execute("alter table journal rename to aside")
    with registry.kept_open(), pytest.raises(HostError, match="no such table"):
        registry.write(replace(good, action="lost"))
    with sqlite3.connect(tmp_path / "registry.sqlite") as database:
        database.execute("alter table aside rename to journal")
    registry.write(good)
    assert list(registry.journal("web01")) == [good]


def test_who_keeps_it_open_no_longer_takes_it_from_nobody(tmp_path: Path) -> None:
    """Several plans may be applied at once, and each ends when it ends."""
    registry = sqlite.open_registry(tmp_path)
    with registry.kept_open():
        with registry.kept_open():
            registry.record(spec("web01"))
        registry.record(spec("db01"))
    registry.record(spec("mail"))
    assert set(registry.definitions()) == {"web01", "db01", "mail"}


def test_where_nothing_can_be_kept_open_the_write_says_so(tmp_path: Path) -> None:
    (tmp_path / "registry.sqlite").write_bytes(b"not a database at all" * 100)
    registry = sqlite.SqliteRegistry(tmp_path / "registry.sqlite")
    entry = Entry(time_s=1.0, vm="web01", action="start", outcome=Outcome.DONE)
    with registry.kept_open(), pytest.raises(HostError, match="file is not a database"):
        registry.write(entry)


def test_a_registry_of_a_newer_geats_is_refused(tmp_path: Path) -> None:
    sqlite.open_registry(tmp_path)
    with sqlite3.connect(tmp_path / "registry.sqlite") as database:
        database.execute("pragma user_version = 99")
    with pytest.raises(HostError, match="newer geats"):
        sqlite.open_registry(tmp_path)


def test_a_broken_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "registry.sqlite").write_bytes(b"not a database at all" * 100)
    with pytest.raises(HostError, match=r"registry\.sqlite: file is not a database"):
        sqlite.open_registry(tmp_path)


def test_a_definition_that_is_not_valid_is_an_error_that_names_it(tmp_path: Path) -> None:
    registry = sqlite.open_registry(tmp_path)
    registry.set_locked("web01", locked=True)
    with sqlite3.connect(tmp_path / "registry.sqlite") as database:
        database.execute("""insert into definition values ('web01', '{"colour": "red"}')""")
    with pytest.raises(HostError, match="the definition of web01 is not valid"):
        registry.definitions()


def test_two_processes_open_a_new_registry_at_once(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from geats_host.registry.sqlite import *;"
        "open_registry(Path(sys.argv[1])).set_locked(sys.argv[2], locked=True)"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), f"vm{n}"]) for n in range(4)
    ]
    assert [child.wait() for child in children] == [0, 0, 0, 0]
    assert sqlite.open_registry(tmp_path).locked() == {f"vm{n}" for n in range(4)}


def test_only_that_a_step_is_done_waits_for_the_next_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a step changes may be on disk before its DONE is, but never before its INTENT."""
    asked: list[str] = []

    def traced(path: Path, timeout: float, *, check_same_thread: bool) -> sqlite3.Connection:
        database = sqlite3.Connection(path, timeout, check_same_thread=check_same_thread)
        database.set_trace_callback(asked.append)
        return database

    registry = sqlite.open_registry(tmp_path)
    monkeypatch.setattr(sqlite3, "connect", traced)
    for outcome in Outcome:
        registry.write(Entry(time_s=1.0, vm="web01", action="start", outcome=outcome))
    registry.record(spec("web01"))
    said = [each.rpartition(" ")[2] for each in asked if "synchronous" in each]
    assert said == ["full", "normal", "full", "full"]


def test_a_registry_of_an_older_geats_keeps_its_journal(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "registry.sqlite") as database:
        database.executescript(f"{sqlite.FIRST_SCHEMA} pragma user_version = 1;")
        database.execute(
            "insert into journal (time_s, vm, action, outcome, detail)"
            " values (1.0, 'web01', 'start', 'done', 'why')"
        )
    old = Entry(time_s=1.0, vm="web01", action="start", outcome=Outcome.DONE, detail="why")
    registry = sqlite.open_registry(tmp_path)
    new = replace(old, origin="somebody")
    registry.write(new)
    assert list(registry.journal("web01")) == [old, new]
