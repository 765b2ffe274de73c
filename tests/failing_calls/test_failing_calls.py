"""A short round of ``script/faults``: it says what is wrong after each call that fails."""

from pathlib import Path

import pytest

from tests.failing_calls.library import preloaded


def test_all_is_done_while_the_clock_jumps_by_years(tmp_path: Path) -> None:
    operations = ("make", "clone", "export", "import")
    some = ("--pools", "plain", "--errors", "clock", "--operations", *operations)
    done = preloaded(tmp_path, "tests.failing_calls", *some, timeout_s=300)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("error", ["ENOSPC", "EROFS", "EIO"])
def test_what_fails_is_said_and_the_same_again_brings_it_to_its_end(
    tmp_path: Path, error: str
) -> None:
    some = ("--pools", "plain", "--errors", error, "--at-most", "1", "--seed", "1")
    operations = ("--operations", "make", "clone", "export", "undefine")
    done = preloaded(tmp_path, "tests.failing_calls", *some, *operations, timeout_s=300)
    assert done.returncode == 0, done.stdout + done.stderr
