"""What goes through pipes, kept or passed on."""

import fcntl
import math
import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from geats_host.streams import pipes
from geats_host.streams.pipes import Captured, Passed, at_once, fed_from, pipe, write_all


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_of_what_is_kept_the_beginning_stays(stack: ExitStack) -> None:
    read, write = pipe(stack, stack)
    os.set_blocking(read, False)
    os.write(write, b"abcdef")
    kept = Captured(read, 4)
    assert (kept.read(), bytes(kept.data), kept.more) == (True, b"abcd", True)
    with pytest.raises(BlockingIOError):
        kept.read()


def test_what_is_passed_on_is_all_of_it_and_byte_for_byte(stack: ExitStack) -> None:
    (read, write), (shown, target) = pipe(stack), pipe(stack, stack)
    os.set_blocking(read, False)
    passed = Passed(read, target)
    os.write(write, b"\xff\0\r\n")
    os.close(write)
    passed.drain(at_once)
    assert (os.read(shown, 99), passed.read()) == (b"\xff\0\r\n", False)


def test_a_program_sees_that_nobody_reads_what_it_says(stack: ExitStack) -> None:
    (read, write), (shown, target) = pipe(stack, stack), os.pipe()
    stack.callback(os.close, target)
    os.close(shown)
    os.write(write, b"unread")
    assert not Passed(read, target).read()
    with pytest.raises(BrokenPipeError):
        os.write(write, b"more")


def test_input_is_fed_to_its_end(stack: ExitStack) -> None:
    (source, typed) = pipe(stack)
    fed = fed_from(source, stack)
    os.write(typed, bytes(40_000))
    os.close(typed)
    with open(fed, "rb", closefd=False) as opened:
        assert opened.read() == bytes(40_000)


def test_a_target_that_wants_no_waiting_gets_all_the_same(stack: ExitStack) -> None:
    read, write = pipe(stack)
    os.set_blocking(write, False)
    got: list[bytes] = []

    def reading() -> None:
        with open(read, "rb", closefd=False) as opened:
            got.append(opened.read())

    reader = threading.Thread(target=reading)
    reader.start()
    write_all(write, bytes(300_000))
    os.close(write)
    reader.join()
    assert got == [bytes(300_000)]


def test_a_caller_that_reads_nothing_blocks_nobody(stack: ExitStack) -> None:
    (read, write), (shown, target) = pipe(stack, stack), pipe(stack, stack)
    os.set_blocking(read, False)
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 1 << 20)
    said = os.urandom(300_000)
    os.write(write, said)
    passed, got = Passed(read, target), b""
    while not passed.rest:
        assert passed.read()
    passed.drain(at_once)
    assert passed.rest
    while passed.rest or len(got) < len(said):
        got += os.read(shown, 1 << 20)
        with suppress(BlockingIOError):
            passed.read()
    assert got == said


def test_what_comes_at_last_waits_for_a_slow_caller(stack: ExitStack) -> None:
    (read, write), (shown, target) = pipe(stack), pipe(stack)
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 1 << 20)
    said = os.urandom(300_000)
    os.write(write, said)
    os.close(write)
    got: list[bytes] = []

    def reading() -> None:
        time.sleep(3 * pipes.ROOM_S)
        with open(shown, "rb", closefd=False) as opened:
            got.append(opened.read())

    reader = threading.Thread(target=reading)
    reader.start()
    Passed(read, target).drain(lambda: math.inf)
    os.close(target)
    reader.join()
    assert got == [said]
