"""Two terminals connected: that of a caller, and one that stands for a guest's."""

import os
import pty
import select
import signal
import socket
import termios
import tty
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from geats_host.errors import HostError
from geats_host.streams import terminal
from geats_host.streams.pipes import Source, at_once
from geats_host.streams.terminal import Handover, Shown, Typed


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def a_terminal(stack: ExitStack) -> tuple[int, int]:
    """The master of a new terminal, and the terminal."""
    pair = pty.openpty()
    for each in pair:
        stack.callback(os.close, each)
    return pair


def handed(stack: ExitStack, stdin: int, given: int) -> list[Source]:
    ours, theirs = map(stack.enter_context, socket.socketpair())
    socket.send_fds(theirs, [b"."], [given])
    sources: list[Source] = []
    assert not Handover(ours.fileno(), stdin, stdin, stack, sources).read()
    return sources


def test_what_is_typed_goes_in_and_what_is_said_comes_out(stack: ExitStack) -> None:
    (person, caller), (master, guest) = a_terminal(stack), a_terminal(stack)
    tty.setraw(guest)
    termios.tcsetwinsize(caller, (33, 111))
    before, resized = termios.tcgetattr(caller), signal.getsignal(signal.SIGWINCH)
    with ExitStack() as connection:
        shown, typed = handed(connection, caller, master)
        assert termios.tcgetattr(caller) != before
        assert termios.tcgetwinsize(guest) == (33, 111)
        os.write(person, b"\x03ls\r")  # Ctrl-C is for the guest too
        assert (typed.read(), os.read(guest, 99)) == (True, b"\x03ls\r")
        os.write(guest, b"a\nb")
        select.select([shown.pipe], [], [], 9)
        assert (shown.read(), os.read(person, 99)) == (True, b"a\nb")
        termios.tcsetwinsize(caller, (20, 50))
        signal.raise_signal(signal.SIGWINCH)
        assert termios.tcgetwinsize(guest) == (20, 50)
    assert (termios.tcgetattr(caller), signal.getsignal(signal.SIGWINCH)) == (before, resized)


def test_what_was_said_at_last_is_shown(stack: ExitStack) -> None:
    person, caller = a_terminal(stack)
    master, guest = pty.openpty()
    stack.callback(os.close, master)
    shown, typed = handed(stack, caller, master)
    os.write(guest, b"bye")
    os.close(guest)
    shown.drain(at_once)
    typed.drain(at_once)
    assert (os.read(person, 99), shown.read()) == (b"bye", False)


def test_a_terminal_that_has_stalled_holds_up_nothing(stack: ExitStack) -> None:
    (person, caller), (master, guest) = a_terminal(stack), a_terminal(stack)
    tty.setraw(guest)
    with ExitStack() as connection:
        shown, typed = handed(connection, caller, master)
        assert isinstance(shown, Shown)
        said = b"".join(b"%06d" % number for number in range(20_000))
        sent = 0
        os.set_blocking(guest, False)
        for _ in range(100):  # nobody reads: all is full in the end
            with suppress(BlockingIOError):
                sent += os.write(guest, said[sent : sent + 4096])
            with suppress(BlockingIOError):
                assert shown.read()
            if shown.rest:
                break
        assert shown.rest
        os.write(person, b"x")
        assert (typed.read(), os.read(guest, 9)) == (True, b"x")
        shown.drain(at_once)  # which waits no longer than for last words
        os.set_blocking(person, False)
        seen = bytearray()
        for _ in range(200):
            with suppress(BlockingIOError):
                seen += os.read(person, 65_536)
            with suppress(BlockingIOError):
                shown.read()
            if len(seen) >= sent:
                break
        assert bytes(seen) == said[:sent]


def test_a_program_that_does_not_read_holds_up_nothing(stack: ExitStack) -> None:
    (person, caller), (master, guest) = a_terminal(stack), a_terminal(stack)
    tty.setraw(guest)
    with ExitStack() as connection:
        _, typed = handed(connection, caller, master)
        assert isinstance(typed, Typed)
        while not typed.rest:
            os.write(person, b"y" * 1024)
            assert typed.read()
        assert typed.read()  # returns, though nobody reads
        typed.drain(at_once)
        assert typed.rest == b""


def test_what_is_no_terminal_is_not_connected(stack: ExitStack) -> None:
    """A guest may send what it likes."""
    _, caller = a_terminal(stack)
    before = termios.tcgetattr(caller)
    with open(os.devnull) as other, pytest.raises(HostError, match=r"^the guest gives no terminal"):
        handed(stack, caller, other.fileno())
    assert termios.tcgetattr(caller) == before


def test_a_terminal_without_a_size_has_the_usual_one(stack: ExitStack) -> None:
    _, caller = a_terminal(stack)
    assert terminal.size(caller) == (24, 80)
    with open(os.devnull) as other:
        assert terminal.size(other.fileno()) == (24, 80)
