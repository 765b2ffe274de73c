"""The suite that all locks pass, for pytest; for locks of your own as well.

A test module of yours says how they are opened, and inherits all tests::

    from geats_host.testing.lock_conformance import LockConformance

    class TestMyLocks(LockConformance):
        opener = "my_package.locks:open_locks"

The suite needs pytest, from the extra ``test``.
"""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from threading import Event, Thread
from typing import TypeAlias

import pytest

from geats_core.hostwide.reservations import Reservation
from geats_core.vm.parse import parse_vm
from geats_host.errors import Refused
from geats_host.locks import Locks

Reopen: TypeAlias = Callable[[], Locks]
WANTED = Reservation(spec=parse_vm("web01", {"template": "debian"}).unwrap(), runs=True)
HOLDS = """
import sys
from importlib import import_module
from pathlib import Path
from geats_host.testing.lock_conformance import WANTED
module, _, function = sys.argv[1].partition(":")
locks = getattr(import_module(module), function)({}, Path(sys.argv[2]))
with locks.operation("web01"):
    with locks.deciding():
        kept = locks.reserved({"web01": WANTED})
        kept.__enter__()
    print("holds", flush=True)
    sys.stdin.read()
"""


class LockConformance:
    """See the module. ``options`` are those that the locks are opened with.

    Locks that are not ``shared_by_processes`` are only useful for tests.
    """

    opener: str
    options: Mapping[object, object] = {}
    shared_by_processes = True

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Reopen:
        """Open the same locks again."""
        module, _, function = self.opener.partition(":")
        return lambda: getattr(import_module(module), function)(self.options, tmp_path / "run")

    def test_one_vm_is_locked_once_and_another_one_is_free(self, reopen: Reopen) -> None:
        with (
            reopen().operation("web01"),
            reopen().operation("db01"),
            pytest.raises(Refused, match="web01"),
            reopen().operation("web01"),
        ):
            pytest.fail("it was locked twice")
        with reopen().operation("web01"):
            pass

    def test_a_lock_ends_with_an_error(self, reopen: Reopen) -> None:
        with pytest.raises(ZeroDivisionError), reopen().operation("web01"):
            raise ZeroDivisionError
        with reopen().operation("web01"):
            pass

    def test_own_work_is_not_that_of_another(self, reopen: Reopen) -> None:
        reopen().wait_for_orphans(None)
        assert reopen().at_work("web01") == ""
        with reopen().operation("web01"):
            assert reopen().at_work("web01") == ""
            reopen().wait_for_orphans("web01")

    def test_whoever_decides_is_alone(self, reopen: Reopen) -> None:
        begun, decided = Event(), Event()

        def decide() -> None:
            begun.set()
            with reopen().deciding():
                decided.set()

        other = Thread(target=decide)
        with reopen().deciding():
            other.start()
            assert begun.wait(60)
            assert not decided.wait(0.1)
        other.join(60)
        assert decided.is_set()

    def test_what_is_reserved_is_seen_until_it_ends(self, reopen: Reopen) -> None:
        with reopen().deciding():
            assert reopen().reservations() == {}
            kept = reopen().reserved({"web01": WANTED})
            kept.__enter__()
        with reopen().deciding():
            assert reopen().reservations() == {"web01": WANTED}
        kept.__exit__(None, None, None)
        with reopen().deciding():
            assert reopen().reservations() == {}

    def test_what_another_process_holds_ends_with_it_however_that_ends(
        self, reopen: Reopen, tmp_path: Path
    ) -> None:
        if not self.shared_by_processes:
            return
        with _held(self.opener, tmp_path / "run") as other:
            assert reopen().at_work("web01") != ""
            with pytest.raises(Refused, match="web01"), reopen().operation("web01"):
                pytest.fail("it was locked twice")
            with reopen().deciding():
                assert reopen().reservations() == {"web01": WANTED}
            other.send_signal(signal.SIGKILL)
            other.wait()
        reopen().wait_for_orphans(None)
        assert reopen().at_work("web01") == ""
        with reopen().operation("web01"), reopen().deciding():
            assert reopen().reservations() == {}


@contextmanager
def _held(opener: str, run_dir: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds what a plan that is applied does."""
    argv = [sys.executable, "-c", HOLDS, opener, f"{run_dir}"]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "holds\n"
            yield other
        finally:
            other.kill()
