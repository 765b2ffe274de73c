"""Every registry keeps what it was given: one suite for all of them."""

import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from geats_core.planning.actions import UpgradeRegistry
from geats_core.reading import file_formats
from geats_core.vm.parse import parse_vm, to_text
from geats_core.vm.spec import VMSpec
from geats_host.errors import HostError
from geats_host.registry import Entry, Outcome, schema, sqlite
from geats_host.registry.changes import Change, Sync
from geats_host.testing.registry_conformance import RegistryConformance


def spec(name: str, memory_size: str = "1GiB") -> VMSpec:
    return parse_vm(name, {"template": "debian", "memory": memory_size}).unwrap()


class TestMemory(RegistryConformance):
    opener = "geats_host.registry.memory:open_registry"
    shared_by_processes = False


class TestSqlite(RegistryConformance):
    opener = "geats_host.registry.sqlite:open_registry"


def test_an_entry_is_in_the_file_once_it_is_written(tmp_path: Path) -> None:
    """Not only when the file is no longer kept open."""
    registry = sqlite.open_registry({}, tmp_path)
    entry = Entry(time_s=1.0, vm="web01", action="start", outcome=Outcome.INTENT)
    with registry.kept_open():
        registry.write(entry)
        assert list(sqlite.open_registry({}, tmp_path).journal("web01")) == [entry]


def test_an_entry_that_could_not_be_written_keeps_no_other_out(tmp_path: Path) -> None:
    registry = sqlite.open_registry({}, tmp_path)
    registry.set_locked("web01", locked=True)
    good = Entry(time_s=1.0, vm="web01", action="start", outcome=Outcome.DONE)
    with closing(sqlite3.connect(tmp_path / "registry.sqlite")) as database, database:
        database.execute("alter table journal rename to aside")
    with registry.kept_open(), pytest.raises(HostError, match="no such table"):
        registry.write(replace(good, action="lost"))
    with closing(sqlite3.connect(tmp_path / "registry.sqlite")) as database, database:
        database.execute("alter table aside rename to journal")
    registry.write(good)
    assert list(registry.journal("web01")) == [good]


def test_who_keeps_it_open_no_longer_takes_it_from_nobody(tmp_path: Path) -> None:
    """Several plans may be applied at once, and each ends when it ends."""
    registry = sqlite.open_registry({}, tmp_path)
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


def test_a_registry_of_a_newer_geats_is_refused_and_not_touched(tmp_path: Path) -> None:
    sqlite.open_registry({}, tmp_path).set_locked("web01", locked=True)
    with closing(sqlite3.connect(tmp_path / "registry.sqlite")) as database:
        database.executescript("drop table note; pragma user_version = 99")
    before = (tmp_path / "registry.sqlite").read_bytes()
    with pytest.raises(HostError, match=r"newer geats \(format 99, and this one knows 3\)"):
        sqlite.open_registry({}, tmp_path)
    assert (tmp_path / "registry.sqlite").read_bytes() == before


@pytest.mark.parametrize("oldest_reader", ["4", "soon"])
def test_a_newer_geats_says_that_this_one_cannot_read_its_registry(
    tmp_path: Path, oldest_reader: str
) -> None:
    sqlite.open_registry({}, tmp_path).note("registry", "oldest reader", oldest_reader)
    with closing(sqlite3.connect(tmp_path / "registry.sqlite")) as database:
        database.execute("pragma user_version = 99")
    with pytest.raises(HostError, match="newer geats"):
        sqlite.open_registry({}, tmp_path)


def test_a_newer_geats_says_that_this_one_can_read_its_registry_but_never_write(
    tmp_path: Path,
) -> None:
    sqlite.open_registry({}, tmp_path).set_locked("web01", locked=True)
    with closing(sqlite3.connect(tmp_path / "registry.sqlite")) as database:
        database.execute("pragma user_version = 99")
    assert sqlite.open_registry({}, tmp_path).locked() == {"web01"}
    with pytest.raises(HostError, match="newer geats"):
        sqlite.open_registry({}, tmp_path).set_locked("web01", locked=False)


def test_a_broken_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "registry.sqlite").write_bytes(b"not a database at all" * 100)
    with pytest.raises(HostError, match=r"registry\.sqlite: file is not a database"):
        sqlite.open_registry({}, tmp_path)


def test_a_definition_that_cannot_be_read_concerns_its_vm_alone(tmp_path: Path) -> None:
    registry = sqlite.open_registry({}, tmp_path)
    registry.record(spec("db01"))
    registry.record(spec("mail"))
    with closing(sqlite3.connect(tmp_path / "registry.sqlite")) as database, database:
        database.execute("""insert into definition values ('web01', '{"colour": "red"}', 1)""")
        database.execute("insert into definition values ('web02', 'not JSON', 1)")
        database.execute("update definition set format = 99 where name = 'mail'")
    assert registry.definitions() == {"db01": spec("db01")}
    why = registry.unreadable()
    assert set(why) == {"web01", "web02", "mail"}
    assert "unknown key 'colour'" in why["web01"]
    assert why["web02"] == "must be JSON"
    assert why["mail"] == (
        f"it was written by a newer geats (format 99, and this one knows {file_formats.SPEC})"
    )
    registry.record(spec("web01"))
    registry.forget("web02")
    assert set(registry.unreadable()) == {"mail"}


def test_two_processes_open_a_new_registry_at_once(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from geats_host.registry.sqlite import *;"
        "open_registry({}, Path(sys.argv[1])).set_locked(sys.argv[2], locked=True)"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), f"vm{n}"]) for n in range(4)
    ]
    assert [child.wait() for child in children] == [0, 0, 0, 0]
    assert sqlite.open_registry({}, tmp_path).locked() == {f"vm{n}" for n in range(4)}


def test_only_that_a_step_is_done_waits_for_the_next_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a step changes may be on disk before its DONE is, but never before its INTENT."""
    asked: list[str] = []

    def traced(path: Path, timeout: float, *, check_same_thread: bool) -> sqlite3.Connection:
        database = sqlite3.Connection(path, timeout=timeout, check_same_thread=check_same_thread)
        database.set_trace_callback(asked.append)
        return database

    registry = sqlite.open_registry({}, tmp_path)
    monkeypatch.setattr(sqlite3, "connect", traced)
    for outcome in Outcome:
        registry.write(Entry(time_s=1.0, vm="web01", action="start", outcome=outcome))
    registry.record(spec("web01"))
    said = [each.rpartition(" ")[2] for each in asked if "synchronous" in each]
    assert said == ["full", "normal", "full", "full"]


def test_what_threads_want_to_write_meanwhile_is_one_transaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = sqlite.open_registry({}, tmp_path)
    registry.note("kind", "first", "the tables are made")
    changed: list[int] = []
    make = sqlite.SqliteRegistry._make

    def counted(registry: sqlite.SqliteRegistry, changes: Sequence[Any]) -> None:
        changed.append(len(changes))
        make(registry, changes)

    monkeypatch.setattr(sqlite.SqliteRegistry, "_make", counted)
    done = noted_at_once(registry, {f"key{n}": "text" for n in range(8)})

    assert [each.exception() for each in done] == [None] * 8
    assert changed == [8]
    assert len(registry.notes("kind")) == 9


def test_a_change_that_cannot_be_made_is_told_to_who_wants_it_only(tmp_path: Path) -> None:
    registry = sqlite.open_registry({}, tmp_path)
    wrong: Any = object()
    done = noted_at_once(registry, {"a": "text", "wrong": wrong, "b": "text"})

    assert [type(each.exception()) for each in done] == [type(None), HostError, type(None)]
    assert registry.notes("kind") == {"a": "text", "b": "text"}
    assert registry.queue.waiting == []


def test_text_that_cannot_be_encoded_keeps_no_other_thread_from_writing(tmp_path: Path) -> None:
    """Such as the name of a file, in an error: that is none of SQLite's."""
    registry = sqlite.open_registry({}, tmp_path)
    done = noted_at_once(registry, {"a": "text", "wrong": "\udcff", "b": "text", "c": "text"})

    failed = [each.exception() for each in done]
    assert [type(each) for each in failed if each] == [UnicodeEncodeError]
    assert registry.notes("kind") == dict.fromkeys("abc", "text")
    assert registry.queue.waiting == []


def test_who_is_interrupted_as_it_waits_wants_nothing_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = sqlite.open_registry({}, tmp_path)
    other = Change(lambda _: None, Sync.NOW)
    registry.queue.entered(other)

    def interrupted(*_: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(registry.queue.moved, "wait_for", interrupted)
        with pytest.raises(KeyboardInterrupt):
            registry.note("kind", "mine", "text")
    assert (registry.queue.waiting, registry.queue.under_way) == ([other], other)
    registry.queue.left(other, (other,))
    registry.note("kind", "later", "text")
    assert registry.notes("kind") == {"later": "text"}


def noted_at_once(registry: sqlite.SqliteRegistry, notes: Mapping[str, str]) -> list[Future[None]]:
    """Each note by a thread of its own, while another one writes."""
    with ThreadPoolExecutor(len(notes)) as threads:
        other = Change(lambda _: None, Sync.NOW)
        assert registry.queue.entered(other) == (other,)
        done = [threads.submit(registry.note, "kind", *each) for each in notes.items()]
        while len(registry.queue.waiting) <= len(notes):
            time.sleep(0.001)
        registry.queue.left(other, ())
        wait(done)
    return done


@pytest.mark.parametrize("version", range(1, file_formats.REGISTRY))
def test_reading_a_registry_of_an_older_geats_does_not_change_it(
    tmp_path: Path, version: int
) -> None:
    path = older(tmp_path, version)
    before = path.read_bytes()
    registry = sqlite.open_registry({}, tmp_path)
    assert list(registry.journal("web01")) == [OLD]
    assert registry.definitions() == {"web01": spec("web01")}
    assert registry.locked() == {"web01"}
    assert registry.notes("pool") == {}
    assert path.read_bytes() == before


def test_an_empty_file_is_a_registry_in_which_nothing_was_written(tmp_path: Path) -> None:
    (tmp_path / "registry.sqlite").touch()
    assert sqlite.open_registry({}, tmp_path).definitions() == {}
    assert (tmp_path / "registry.sqlite").read_bytes() == b""


@pytest.mark.parametrize("version", range(1, file_formats.REGISTRY))
def test_nothing_is_written_to_a_registry_of_an_older_geats_before_it_is_upgraded(
    tmp_path: Path, version: int
) -> None:
    path = older(tmp_path, version)
    before = path.read_bytes()
    registry = sqlite.open_registry({}, tmp_path)
    with registry.kept_open(), pytest.raises(HostError, match=r"an older geats .* plan again"):
        registry.write(OLD)
    registry.forget_note("pool", "fast")  # there is none
    assert path.read_bytes() == before


@pytest.mark.parametrize("version", range(1, file_formats.REGISTRY))
def test_an_upgrade_keeps_a_copy_of_what_was_there_and_all_that_is_in_it(
    tmp_path: Path, version: int
) -> None:
    path = older(tmp_path, version)
    registry = sqlite.open_registry({}, tmp_path)
    upgrade = UpgradeRegistry(version, file_formats.REGISTRY)
    assert registry.outdated() == upgrade
    registry.upgrade(upgrade)
    registry.upgrade(upgrade)
    assert registry.outdated() is None
    registry.note("pool", "fast", "here")
    new = replace(OLD, origin="somebody")
    registry.write(new)
    assert list(registry.journal("web01")) == [OLD, new]
    assert registry.definitions() == {"web01": spec("web01")}
    assert registry.locked() == {"web01"}
    copy = tmp_path / f"registry.sqlite.schema-{version}.backup"
    assert copy.stat().st_mode & 0o777 == 0o600
    path.with_name("registry.sqlite-wal").unlink(missing_ok=True)
    copy.rename(path)
    assert sqlite.open_registry({}, tmp_path).outdated() == upgrade
    assert list(sqlite.open_registry({}, tmp_path).journal("web01")) == [OLD]


def test_a_second_upgrade_from_one_schema_keeps_the_copy_of_the_first(tmp_path: Path) -> None:
    for _ in range(2):
        older(tmp_path, 2)
        sqlite.open_registry({}, tmp_path).upgrade(UpgradeRegistry(2, file_formats.REGISTRY))
        for leftover in ("", "-wal", "-shm"):
            (tmp_path / f"registry.sqlite{leftover}").unlink(missing_ok=True)
    copies = sorted(each.name for each in tmp_path.glob("*.backup"))
    assert copies == ["registry.sqlite.schema-2.1.backup", "registry.sqlite.schema-2.backup"]


def test_an_upgrade_that_was_planned_for_another_schema_changes_nothing(tmp_path: Path) -> None:
    path = older(tmp_path, 2)
    before = path.read_bytes()
    with pytest.raises(HostError, match="an older geats"):
        sqlite.open_registry({}, tmp_path).upgrade(UpgradeRegistry(1, file_formats.REGISTRY))
    assert path.read_bytes() == before


def test_an_upgrade_whose_copy_does_not_fit_changes_nothing(tmp_path: Path) -> None:
    path = older(tmp_path, 2)
    before = path.read_bytes()
    (tmp_path / ".registry.sqlite.schema-2.backup.new").mkdir()
    with pytest.raises(HostError, match=r"registry\.sqlite: "):
        sqlite.open_registry({}, tmp_path).upgrade(UpgradeRegistry(2, file_formats.REGISTRY))
    assert path.read_bytes() == before


OLD = Entry(time_s=1.0, vm="web01", action="start", outcome=Outcome.DONE, detail="why")


def older(state_dir: Path, version: int) -> Path:
    """A registry of an older geats, with a VM, its lock and its journal."""
    path = state_dir / "registry.sqlite"
    with closing(sqlite3.connect(path)) as database, database:
        tables = " ".join(schema.UPGRADES[:version])
        database.executescript(f"{tables} pragma user_version = {version};")
        database.execute("insert into lock values ('web01')")
        database.execute(
            "insert into definition (name, spec) values ('web01', ?)", (to_text(spec("web01")),)
        )
        database.execute(
            "insert into journal (time_s, vm, action, outcome, detail)"
            " values (1.0, 'web01', 'start', 'done', 'why')"
        )
    return path
