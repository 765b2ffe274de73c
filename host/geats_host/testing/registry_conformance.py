"""The suite that every registry passes, for pytest; for a registry of your own as well.

A test module of yours says how the registry is opened, and inherits all tests::

    from geats_host.testing.registry_conformance import RegistryConformance

    class TestMyRegistry(RegistryConformance):
        opener = "my_package.registry:open_registry"

Several threads and processes use a registry at the same time, and what it wrote survives a process
that is killed: both are tested, but not that it survives a power failure. The suite needs pytest.
"""

import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import TypeAlias

import pytest

from geats_core.planning.actions import UpgradeRegistry
from geats_core.reading import file_formats
from geats_core.vm.parse import parse_vm
from geats_core.vm.spec import VMSpec
from geats_host.registry import Entry, Outcome, Registry

Reopen: TypeAlias = Callable[[], Registry]
WRITERS = 4  # processes that write at once
OPEN = """
import os, signal, sys
from importlib import import_module
from pathlib import Path
from geats_host.registry import Entry, Outcome
module, _, function = sys.argv[1].partition(":")
registry = getattr(import_module(module), function)({}, Path(sys.argv[2]))
"""
LOCKS = f"{OPEN}for each in sys.argv[3:]: registry.set_locked(each, locked=True)"
IS_KILLED = f"""{OPEN}
registry.write(Entry(time_s=1.0, vm="web01", action="start", outcome=Outcome.INTENT))
registry.set_locked("web01", locked=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def spec(name: str, memory_size: str = "1GiB") -> VMSpec:
    """A VM, of which only the name and the memory differ."""
    return parse_vm(name, {"template": "debian", "memory": memory_size}).unwrap()


class RegistryConformance:
    """See the module. ``options`` are those that the registry is opened with.

    One that is not ``shared_by_processes`` is only useful for tests.
    """

    opener: str
    options: Mapping[object, object] = {}
    shared_by_processes = True

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Reopen:
        """Open the same registry again."""
        module, _, function = self.opener.partition(":")
        return lambda: getattr(import_module(module), function)(self.options, tmp_path / "state")

    def test_a_definition_is_kept_replaced_and_forgotten(self, reopen: Reopen) -> None:
        reopen().record(spec("web01"))
        reopen().record(spec("web01", "2GiB"))
        reopen().record(spec("db01"))
        assert reopen().definitions() == {"web01": spec("web01", "2GiB"), "db01": spec("db01")}
        reopen().forget("web01")
        reopen().forget("web01")
        assert set(reopen().definitions()) == {"db01"}

    def test_what_this_geats_writes_needs_no_upgrade(self, reopen: Reopen) -> None:
        assert reopen().outdated() is None
        reopen().set_locked("web01", locked=True)
        assert reopen().outdated() is None
        reopen().upgrade(UpgradeRegistry(file_formats.REGISTRY - 1, file_formats.REGISTRY))
        assert reopen().locked() == {"web01"}

    def test_a_lock_is_kept_until_it_is_lifted(self, reopen: Reopen) -> None:
        reopen().set_locked("web01", locked=True)
        reopen().set_locked("web01", locked=True)
        assert reopen().locked() == {"web01"}
        reopen().set_locked("web01", locked=False)
        assert reopen().locked() == frozenset()

    def test_a_forgotten_vm_leaves_no_lock_for_the_next_of_its_name(
        self,
        reopen: Reopen,
    ) -> None:
        reopen().set_locked("web01", locked=True)
        reopen().forget("web01")
        assert reopen().locked() == frozenset()

    def test_a_note_is_kept_replaced_and_forgotten(self, reopen: Reopen) -> None:
        reopen().note("pool", "fast", "here")
        reopen().note("pool", "fast", "there")
        reopen().note("pool", "big", "elsewhere")
        reopen().note("driver", "fast", "not a pool")
        assert list(reopen().notes("pool").items()) == [("big", "elsewhere"), ("fast", "there")]
        reopen().forget_note("pool", "fast")
        reopen().forget_note("pool", "fast")
        assert reopen().notes("pool") == {"big": "elsewhere"}
        assert reopen().notes("driver") == {"fast": "not a pool"}
        assert reopen().notes("nothing") == {}

    def test_forgetting_what_is_not_there_writes_nothing(
        self, reopen: Reopen, tmp_path: Path
    ) -> None:
        reopen().forget("web01")
        reopen().set_locked("web01", locked=False)
        reopen().forget_note("pool", "fast")
        assert not (tmp_path / "state").exists()

    def test_the_journal_gives_the_newest_entries_of_one_vm_oldest_first(
        self,
        reopen: Reopen,
    ) -> None:
        entries = [
            Entry(time_s=float(n), vm=vm, action=f"step {n}", outcome=Outcome.DONE, origin="me")
            for n, vm in enumerate(["web01", "db01", "web01", "web01"])
        ]
        for entry in entries:
            reopen().write(entry)
        assert list(reopen().journal("web01", limit=2)) == [entries[2], entries[3]]

    def test_the_journal_gives_the_entries_of_all_after_a_time_or_after_another_entry(
        self,
        reopen: Reopen,
    ) -> None:
        assert list(reopen().journal(None)) == []
        entries = [
            Entry(time_s=float(n), vm=vm, action=f"step {n}", outcome=Outcome.DONE, detail="x")
            for n, vm in enumerate(["web01", "", "db01", "web01"])
        ]
        for entry in entries:
            reopen().write(entry)
        there = reopen().journal(None)
        assert list(there) == entries
        assert 0 < there[0].number < there[1].number < there[2].number < there[3].number
        assert list(reopen().journal(None, limit=2)) == entries[2:]
        assert list(reopen().journal(None, since_s=1.0)) == entries[1:]
        assert list(reopen().journal("web01", since_s=1.0)) == entries[3:]
        assert list(reopen().journal(None, after=there[1].number)) == entries[2:]
        assert list(reopen().journal("", after=there[1].number)) == []

    @pytest.mark.parametrize(
        ("before_s", "entries", "left"),
        [
            (0, 10, [0, 1, 2, 3, 4]),
            (3, 10, [3, 4]),
            (0, 2, [3, 4]),
            (3, 1, [4]),
            (9, 9, []),
            (9, 0, []),
        ],
    )
    def test_the_journal_forgets_what_is_old_and_what_is_too_much(
        self, reopen: Reopen, before_s: float, entries: int, left: list[int]
    ) -> None:
        reopen().prune(before_s, entries)
        written = [
            Entry(time_s=float(n), vm="web01", action="start", outcome=Outcome.INTENT)
            for n in range(5)
        ]
        for entry in written:
            reopen().write(entry)
        reopen().prune(before_s, entries)
        reopen().prune(before_s, entries)
        assert list(reopen().journal("web01")) == [written[n] for n in left]

    def test_what_many_threads_write_at_once_is_all_there(self, reopen: Reopen) -> None:
        entries = [
            Entry(time_s=float(n), vm=f"vm{n % 4}", action="start", outcome=Outcome.DONE)
            for n in range(64)
        ]
        registry = reopen()
        with registry.kept_open(), ThreadPoolExecutor(16) as threads:
            list(threads.map(registry.write, entries))
            there = [each for n in range(4) for each in reopen().journal(f"vm{n}", limit=64)]
        assert sorted(there, key=lambda each: each.time_s) == entries

    def test_what_is_written_between_many_reads_is_read(self, reopen: Reopen) -> None:
        registry, first, second = reopen(), spec("web01"), spec("db01")
        registry.record(first)
        with registry.read_at_once(), registry.read_at_once():
            assert registry.definitions() == {"web01": first}
            registry.record(second)
            reopen().set_locked("db01", locked=True)
            assert registry.definitions() == {"web01": first, "db01": second}
            assert registry.locked() == {"db01"}
        assert reopen().definitions() == registry.definitions()

    def test_every_definition_that_this_geats_writes_can_be_read(
        self,
        reopen: Reopen,
    ) -> None:
        reopen().record(spec("web01"))
        assert reopen().unreadable() == {}

    def test_a_registry_of_nothing_is_sound_and_empty(self, reopen: Reopen) -> None:
        registry = reopen()
        assert (list(registry.problems()), registry.definitions(), registry.unreadable()) == (
            [],
            {},
            {},
        )
        assert (registry.locked(), registry.notes("x"), list(registry.journal("web01"))) == (
            frozenset(),
            {},
            [],
        )

    def test_what_many_processes_write_at_once_is_all_there(
        self, reopen: Reopen, tmp_path: Path
    ) -> None:
        if not self.shared_by_processes:
            return
        names = [[f"vm{n}-{m}" for m in range(4)] for n in range(WRITERS)]
        argv = [sys.executable, "-c", LOCKS, self.opener, f"{tmp_path / 'state'}"]
        writers = [subprocess.Popen([*argv, *some]) for some in names]
        assert [each.wait() for each in writers] == [0] * WRITERS
        assert reopen().locked() == {each for some in names for each in some}

    def test_what_was_written_survives_a_process_that_is_killed(
        self, reopen: Reopen, tmp_path: Path
    ) -> None:
        if not self.shared_by_processes:
            return
        argv = [sys.executable, "-c", IS_KILLED, self.opener, f"{tmp_path / 'state'}"]
        assert subprocess.run(argv, check=False).returncode == -signal.SIGKILL
        assert [each.outcome for each in reopen().journal("web01")] == [Outcome.INTENT]
        assert reopen().locked() == {"web01"}
