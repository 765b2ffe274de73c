"""Filesystems at rest, by an agent that is a function here."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from geats_host.drivers.libvirt.guests import quiescing
from geats_host.errors import HostError


class Guest:
    """Its filesystems; what ``fails`` says how often it does not do what it is asked."""

    def __init__(self, **fails: int) -> None:
        self.frozen, self.fails = False, fails

    def __call__(self, command: str, arguments: Mapping[str, object], within_s: float) -> object:
        what = command.removeprefix("guest-fsfreeze-")
        if self.fails.get(what, 0):
            self.fails[what] -= 1
            raise HostError(f"no {what}")
        if what != "status":
            self.frozen = what == "freeze"
            return 1
        return "frozen" if self.frozen else "thawed"


def test_they_are_at_rest_until_they_go_on(tmp_path: Path) -> None:
    guest = Guest()
    quiescing.quiesce(tmp_path, guest)
    assert (guest.frozen, quiescing.is_quiesced(tmp_path)) == (True, True)
    quiescing.thaw(tmp_path, guest)
    assert (guest.frozen, quiescing.is_quiesced(tmp_path)) == (False, False)


def test_of_a_guest_that_does_not_answer_nothing_is_noted(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="no status"):
        quiescing.quiesce(tmp_path, Guest(status=1))
    assert not quiescing.is_quiesced(tmp_path)


def test_one_that_may_have_frozen_them_is_noted(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="no freeze"):
        quiescing.quiesce(tmp_path, Guest(freeze=1))
    assert quiescing.is_quiesced(tmp_path)


def test_what_another_program_froze_stays_so(tmp_path: Path) -> None:
    guest = Guest()
    guest.frozen = True
    quiescing.quiesce(tmp_path, guest)
    assert not quiescing.is_quiesced(tmp_path)


@pytest.mark.parametrize("times", [1, 2])
def test_a_guest_is_asked_again_to_let_them_go_on(tmp_path: Path, times: int) -> None:
    guest = Guest(thaw=times)
    quiescing.quiesce(tmp_path, guest)
    quiescing.thaw(tmp_path, guest)
    assert (guest.frozen, quiescing.is_quiesced(tmp_path)) == (False, False)


def test_if_it_never_does_that_is_an_error_and_known_the_next_time(tmp_path: Path) -> None:
    guest = Guest(thaw=quiescing.TRIES)
    quiescing.quiesce(tmp_path, guest)
    with pytest.raises(HostError, match="no thaw"):
        quiescing.thaw(tmp_path, guest)
    quiescing.quiesce(tmp_path, guest)
    assert quiescing.is_quiesced(tmp_path)
    quiescing.thaw(tmp_path, guest)
    assert (guest.frozen, quiescing.is_quiesced(tmp_path)) == (False, False)
