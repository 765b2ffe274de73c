"""Lifecycle verbs on the command line: of one VM, of several, of all; and what asks first."""

import os
import pty
import sys
from pathlib import Path

import pytest
import yaml

from geats_host.drivers.memory import MemoryDriver
from geats_host.errors import HostError
from tests.host.cli.conftest import Geats, answer

END = b"\0"  # of what a terminal showed


def powers(geats: Geats) -> dict[str, str | None]:
    listed = answer(geats, "list")
    assert isinstance(listed, dict)
    return {name: row["power"] for name, row in listed.items()}


def test_a_verb_is_for_one_vm_for_several_or_for_all(geats: Geats) -> None:
    assert geats("start", "web01", "db01")[0] == 0
    assert powers(geats) == {"db01": "running", "web01": "running"}
    assert geats("stop", "--all")[0] == 0
    assert powers(geats) == {"db01": "stopped", "web01": "stopped"}
    for wrong in ((), ("web01", "--all")):
        code, _, err = geats("start", *wrong)
        assert (code, "name one VM or several, or give --all or --group" in err) == (2, True)


def test_a_verb_with_nothing_to_do_says_nothing_of_what_is_declared(geats: Geats) -> None:
    geats("start", "web01", "db01")
    assert geats("start", "web01")[1] == "web01 is so already: nothing to do\n"
    assert geats("start", "--all")[1] == "every VM is so already: nothing to do\n"
    assert geats("define", "web01")[1] == "web01 is as described: nothing to do\n"
    gone = "warning: web09 is not there: nothing to do\n"
    assert geats("undefine", "web09")[:2] == (0, gone)


def test_one_that_is_refused_stops_no_other(geats: Geats) -> None:
    code, out, _ = geats("start", "web01", "nobody", "db01")
    assert (code, "unknown VM 'nobody'" in out) == (2, True)
    assert powers(geats) == {"db01": "running", "web01": "running"}


def test_all_are_those_that_the_verb_can_be_for(geats: Geats) -> None:
    geats("define", "db01")
    assert geats("shutdown", "--all")[0] == 0  # web01 is not defined, and so not refused
    assert powers(geats)["web01"] is None
    assert geats("provision", "--all")[0] == 0
    assert powers(geats) == {"db01": "stopped", "web01": "stopped"}


def test_a_verb_dearer_than_allowed_is_refused(geats: Geats) -> None:
    geats("start", "--all")
    code, _, err = geats("shutdown", "web01", "--max-impact", "live")
    assert (code, "live is the most that is allowed" in err) == (2, True)
    code, out, _ = geats("shutdown", "--all", "--max-impact", "live")
    assert (code, out.count("live is the most that is allowed")) == (2, 2)
    assert set(powers(geats).values()) == {"running"}


def on_a_terminal(geats: Geats, says: str, *arguments: str) -> tuple[int, str]:
    """The exit code and the output of ``geats``, whose user types *says* on a terminal."""
    mine, its = pty.openpty()
    os.write(mine, says.encode())
    with (
        open(its, closefd=False) as reads,
        open(its, "w", closefd=False) as writes,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(sys, "stdin", reads)
        patch.setattr(sys, "stdout", writes)
        code, _, _ = geats(*arguments)
    os.write(its, END)
    shown = b""
    while not shown.endswith(END):
        shown += os.read(mine, 4096)
    os.close(mine)
    os.close(its)
    return code, shown.decode()


def test_a_person_is_asked_before_data_is_lost(geats: Geats) -> None:
    geats("start", "web01")
    code, shown = on_a_terminal(geats, "n\n", "deprovision", "web01")
    assert (code, "DATA LOSS: 1 volume" in shown, "Apply this plan? [y/N]" in shown) == (
        2,
        True,
        True,
    )
    assert powers(geats)["web01"] == "running"
    assert on_a_terminal(geats, "y\n", "deprovision", "web01")[0] == 0
    assert powers(geats)["web01"] is None


def test_nobody_is_asked_about_what_costs_nothing_or_with_yes(geats: Geats) -> None:
    for call in (("apply",), ("apply", "--to", "stopped", "--at-most", "2", "--yes")):
        code, shown = on_a_terminal(geats, "", *call)
        assert (code, "Apply this plan?" in shown) == (0, False)
    assert set(powers(geats).values()) == {"stopped"}


@pytest.mark.parametrize("words", [("start",), ("apply",)])
def test_all_that_was_said_of_a_start_that_failed_is_shown_if_it_is_asked_for(
    geats: Geats, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    def cannot(_driver: MemoryDriver, name: str) -> None:
        raise HostError(f"start of {name} failed: there is no init")

    (tmp_path / "log").write_text("no init\ncleaning up \x1b[2J\n")
    (tmp_path / "console").write_text("of the guest\n")
    files = {"lxc": tmp_path / "log", "console": tmp_path / "console"}
    monkeypatch.setattr(MemoryDriver, "start", cannot)
    monkeypatch.setattr(MemoryDriver, "logs", lambda *_: files)
    geats("provision", "web01")

    brief, full = geats(*words, "web01"), geats(*words, "web01", "-v")

    assert (brief[0], full[0]) == (1, 1)
    assert "there is no init" in brief[2]
    assert full[2] == f"{brief[2]}web01 | no init\nweb01 | cleaning up \n"


def test_a_verb_is_for_the_vms_of_a_group_of_autostart(geats: Geats, config: Path) -> None:
    said = yaml.safe_load(config.read_text())
    said["geats"]["vms"]["web01"]["autostart"] = {"groups": ["shop"]}
    config.write_text(yaml.safe_dump(said))
    assert geats("start", "--group", "shop")[0] == 0
    assert powers(geats) == {"db01": None, "web01": "running"}
    assert geats("start", "db01")[0] == 0
    assert geats("stop", "--group", "shop")[0] == 0
    assert powers(geats) == {"db01": "running", "web01": "stopped"}
    code, out, err = geats("stop", "--group", "shops")
    assert (code, "unknown group 'shops'" in f"{out}{err}") == (2, True)
    assert geats("start", "web01", "--group", "shop")[0] == 2
