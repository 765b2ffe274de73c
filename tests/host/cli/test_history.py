"""``geats events``, on a host in memory."""

from functools import partial

import pytest

from geats_host.registry import Entry, Outcome
from geats_host.watching import history
from tests.host.cli.conftest import Geats


def test_what_ends_between_the_list_and_what_follows_is_shown_once(
    geats: Geats, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert geats("define", "web01")[0] == 0
    whole = history.events_report

    def meanwhile(host: object, *given: object) -> object:
        listed = whole(host, *given)  # type: ignore[arg-type]
        entry = Entry(time_s=0.0, vm="web01", action="start web01", outcome=Outcome.DONE)
        host.registry.write(entry)  # type: ignore[attr-defined]
        return listed

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(history, "events_report", meanwhile)
    monkeypatch.setattr(history, "follow", partial(history.follow, sleep=interrupt))
    _, out, _ = geats("events", "--follow", "--since", "1h")
    events = [line.split("  ")[2].partition(" (")[0] for line in out.splitlines()]
    assert events == ["define web01", "start web01"]
