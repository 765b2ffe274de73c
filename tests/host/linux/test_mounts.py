"""What is mounted anywhere is looked at seldom, and never too early."""

import io
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from geats_host.linux import mounts
from geats_host.linux.mounts import Mount, mounts_everywhere, one_look

LINE = b"30 1 0:%d / /%d rw - tmpfs none rw\n"


@pytest.fixture
def mounted(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What a look sees; each look adds a mount that the next one sees."""
    there: list[bytes] = []

    def everywhere() -> Iterator[tuple[int, bytes]]:
        now = b"".join(there)
        there.append(LINE % (len(there), len(there)))
        yield 1, now

    monkeypatch.setattr(mounts, "_everywhere", everywhere)
    return there


def test_each_call_looks_again(mounted: list[bytes]) -> None:
    assert [len(list(mounts_everywhere())) for _ in range(3)] == [0, 1, 2]


def test_a_check_of_many_volumes_looks_once(mounted: list[bytes]) -> None:
    with one_look():
        assert [len(list(mounts_everywhere())) for _ in range(3)] == [0, 0, 0]
    assert len(list(mounts_everywhere())) == 1


def test_who_asks_during_a_look_gets_the_next_one_with_all_others(
    mounted: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look under way may have passed by what was mounted before they asked."""
    begun, go_on = Event(), Event()
    quick = mounts._everywhere

    def slow() -> Iterator[tuple[int, bytes]]:
        found = list(quick())
        begun.set()
        assert go_on.wait(60)
        yield from found

    monkeypatch.setattr(mounts, "_everywhere", slow)
    with ThreadPoolExecutor(9) as workers:
        first = workers.submit(lambda: list(mounts_everywhere()))
        assert begun.wait(60)
        later = [workers.submit(lambda: list(mounts_everywhere())) for _ in range(8)]
        while mounts._shared.asked - mounts._shared.served < 9:
            time.sleep(0.001)
        go_on.set()
    assert len(first.result()) == 0
    assert {len(each.result()) for each in later} == {1}
    assert len(mounted) == 2
    assert mounts._shared.seen == ()


def test_a_look_that_fails_is_nobodys_answer(
    mounted: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> Iterator[tuple[int, bytes]]:
        raise PermissionError

    with monkeypatch.context() as patched:
        patched.setattr(mounts, "_everywhere", broken)
        with pytest.raises(PermissionError):
            list(mounts_everywhere())
    assert len(list(mounts_everywhere())) == 0


def test_only_mounts_of_one_filesystem_are_told_if_it_is_named(mounted: list[bytes]) -> None:
    """Also where the number of another stands in the line of a mount."""
    for number in (1, 2, 1):
        mounted.append(LINE % (number, number))
    mounted.append(b"31 1 0:2 / /a rw - tmpfs 0:1 rw\n31 1 0:11 / / rw - tmpfs none rw\n")
    assert [mount.number for _, mount in mounts_everywhere("0:1")] == ["0:1", "0:1"]


def test_what_the_kernel_escapes_is_read_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    line = rb"30 1 0:1 /a\040b /c\134040\011 rw,x shared:1 - fuse.x so\012u ro"
    monkeypatch.setattr(mounts, "_everywhere", lambda: [(7, line)])
    found = Mount("/c\\040\t", "fuse.x", "/a b", "so\nu", "0:1", "ro")
    assert list(mounts_everywhere()) == [(7, found)]


def test_a_guest_can_mount_where_a_name_has_a_carriage_return(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The kernel writes that as it is, and it ends no line."""
    text = b"30 1 0:1 / /a\r\x0c\x85b rw - tmpfs none rw\n31 1 0:1 / /c rw - tmpfs none rw\n"
    monkeypatch.setattr(mounts, "_everywhere", lambda: [(7, text)])
    points = ["/a\r\x0c\udc85b", "/c"]
    for number in ("", "0:1"):
        assert [mount.point for _, mount in mounts_everywhere(number)] == points
    assert [mount.point for mount in mounts.parsed(io.BytesIO(text))] == points
