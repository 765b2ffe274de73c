"""Signals that ask to end, passed on to a program."""

import math
import signal
import threading

import pytest

from geats_host.streams.interruptions import passed_on


def test_the_first_signal_goes_to_the_program_and_the_second_ends_this_process() -> None:
    told: list[int] = []
    before = signal.getsignal(signal.SIGTERM)
    with passed_on(told.append) as came:
        assert (came.number, came.until) == (0, math.inf)
        signal.raise_signal(signal.SIGTERM)
        assert (told, came.number, came.until < math.inf) == ([15], 15, True)
        with pytest.raises(SystemExit, match=r"^143$"):
            signal.raise_signal(signal.SIGTERM)
    assert (told, signal.getsignal(signal.SIGTERM)) == ([15], before)


def test_in_another_thread_there_are_no_signals_to_pass_on() -> None:
    came: list[int] = []

    def work() -> None:
        with passed_on(came.append) as interruption:
            came.append(interruption.number)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert came == [0]


def test_a_signal_that_is_ignored_stays_so() -> None:
    """As with nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with passed_on(lambda _: None) as came:
            signal.raise_signal(signal.SIGHUP)
            assert came.number == 0
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
