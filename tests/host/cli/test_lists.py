"""Lists: what fits a terminal, what is whole in a pipe, and other formats."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from geats_host.cli import lists
from geats_host.drivers import Info
from geats_host.drivers.memory import MemoryDriver
from geats_host.errors import HostError
from tests.host.cli.conftest import Geats

HEAD = (
    "VM     power    addresses    memory_used  memory  uptime  pending  cpus  disk  driver"
    "  declared  defined  locked"
)
WEB = (
    "web01  running  10.0.0.2/24  –            512MiB  –       no       –     –     memory"
    "  yes       yes      no"
)


@pytest.fixture
def running(geats: Geats) -> Geats:
    assert geats("start", "web01")[0] == 0
    return geats


@pytest.mark.parametrize(
    ("widths", "room", "count"),
    [
        ((5, 5, 5), None, 3),
        ((5, 5, 5), 19, 3),
        ((5, 5, 5), 18, 2),
        ((5, 5, 5), 5, 1),
        ((5, 5, 5), 4, 1),
    ],
)
def test_columns_are_left_out_from_the_end(
    widths: Sequence[int], room: int | None, count: int
) -> None:
    assert lists.fitting(widths, room) == count


def test_in_a_pipe_nothing_is_left_out_and_no_line_is_wrapped(running: Geats) -> None:
    assert running("list", "web*")[1].splitlines() == [HEAD, WEB]


def test_a_narrow_terminal_says_what_it_does_not_show(
    running: Geats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "_width", lambda: 45)
    assert running("list", "web*")[1].splitlines() == [
        "VM     power    addresses    memory_used",
        "web01  running  10.0.0.2/24  –",
        "(too narrow for: memory, uptime, pending, cpus, disk, driver, declared, defined, locked;"
        " --columns shows them)",
    ]
    whole = running("list", "web*", "--columns", "vm,driver,declared,defined,locked,power")[1]
    assert whole.splitlines()[1] == "web01  memory  yes       yes      no      running"


def test_programs_get_sizes_in_bytes(running: Geats) -> None:
    chosen = ("--columns", "vm,memory,addresses,declared")
    assert running("list", "web*", "--format", "csv", *chosen)[1].splitlines() == [
        "VM,memory_bytes,addresses,declared",
        "web01,536870912,10.0.0.2/24,yes",
    ]
    rows = [{"VM": "web01", "memory_bytes": 2**29}]
    for form in (["--format", "yaml"], ["--format", "json"], ["--json"]):
        told = running("list", "web*", *form, "--columns", "vm,memory")[1]
        assert yaml.safe_load(told) == rows
    everything = running("list", "--format", "yaml")[1]
    assert yaml.safe_load(everything) == yaml.safe_load(running("--json", "list")[1])


def test_a_column_that_there_is_not_is_refused(geats: Geats) -> None:
    code, out, err = geats("pools", "--columns", "name,sise")
    assert (code, out) == (2, "")
    assert err.startswith("refused: --columns: unknown column 'sise', did you mean 'size'?")


@pytest.mark.parametrize(
    "command",
    [
        *("list", "status", "journal", "events", "pools", "volumes", "drivers", "strays"),
        *("pending", "diff", "validate", "templates list", "templates prune --dry-run"),
        *("snapshots web01", "prune-exports --last 1 --dry-run", "doctor"),
    ],
)
def test_each_list_has_all_formats(running: Geats, command: str) -> None:
    for form in lists.FORMATS:
        code, out, _ = running(*command.split(), "--format", form)
        assert (code in (0, 1), bool(out)) == (True, True), form


def test_what_a_check_finds_is_a_list_too(geats: Geats) -> None:
    columns = ("--columns", "name,path,message")
    code, out, _ = geats("templates", "verify", "--format", "csv", *columns)
    head, row = out.splitlines()
    assert (code, head) == (2, "name,path,message")
    assert row.startswith("debian,templates.debian.path,")
    shown = geats("templates", "verify")
    assert (shown[0], shown[1].splitlines()[0].split(" ")[0]) == (2, "templates.debian.path:")


def test_what_to_copy_is_on_a_line_of_its_own(geats: Geats) -> None:
    found = {row["what"]: row for row in yaml.safe_load(geats("--json", "doctor")[1])}
    lines = geats("doctor")[1].splitlines()
    fixes = [row["fix"] for row in found.values() if row["fix"]]
    assert fixes
    assert {*fixes} <= {line.strip() for line in lines}


def test_a_list_is_shown_again_until_somebody_ends_it(
    running: Geats, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", sleep)
    code, out, _ = running("list", "web*", "--watch")
    assert (code, slept, out.splitlines().count(WEB)) == (0, [2.0, 2.0], 2)


def test_labels_are_shown_if_there_are_any_and_select(geats: Geats, config: Path) -> None:
    raw = yaml.safe_load(config.read_text())
    raw["geats"]["vms"]["db01"] |= {"labels": {"owner": "ada"}, "description": "of the shop"}
    config.write_text(yaml.safe_dump(raw))

    assert [*json.loads(geats("--json", "list", "--label", "owner=ada")[1])] == ["db01"]
    assert geats("list", "--label", "owner=bob")[1] == "No VM matches. There is: db01, web01.\n"
    assert geats("start", "db01")[0] == 0
    told = geats("list", "--label", "owner", "--format", "csv")[1].splitlines()
    assert told[0].endswith("locked,labels,description")
    assert told[1].endswith(",no,owner: ada,of the shop")
    assert "labels" not in geats("list", "web*")[1]
    assert geats("list", "--label", "=ada")[2] == (
        "refused: label[0]: must be a label such as owner=ada or owner, got '=ada'\n"
    )


def test_each_list_can_be_watched(running: Geats, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) % 2 == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", sleep)
    commands = ("pools", "volumes", "diff", "journal")
    for command in commands:
        code, out, _ = running(command, "--watch", "0.5")
        lines = out.splitlines()
        assert (code, lines.count(lines[0])) == (0, 2), out
    assert slept == [0.5, 0.5] * len(commands)


def test_what_changes_the_host_is_done_once(running: Geats) -> None:
    assert running("volumes", "--watch", "0.1", "remove", "web01", "root")[0] == 2
    assert running("units", "--watch")[0] == 2


def test_a_vm_that_is_on_shows_what_it_uses(
    running: Geats, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = Info(addresses=("10.0.0.2", "10.9.9.9"), memory_used_bytes=3 << 20, uptime_s=90_000)
    monkeypatch.setattr(MemoryDriver, "info", lambda *_: used)
    columns = ("--columns", "vm,addresses,memory_used,uptime")
    assert running("list", *columns)[1].splitlines() == [
        "VM     addresses              memory_used  uptime",
        "db01   –                      –            –",
        "web01  10.0.0.2/24, 10.9.9.9  3MiB         1d 1h",
    ]
    assert running("status", *columns)[1].splitlines()[2].endswith("3MiB         1d 1h")
    rows = running("list", "web*", "--format", "csv", *columns)[1].splitlines()
    assert rows[1] == "web01,10.0.0.2/24 10.9.9.9,3145728,90000"


def test_a_vm_whose_use_is_not_known_is_listed(
    running: Geats, monkeypatch: pytest.MonkeyPatch
) -> None:
    def info(*_: object) -> Info:
        raise HostError("its agent is deaf")

    monkeypatch.setattr(MemoryDriver, "info", info)
    assert running("list", "web*")[1].splitlines() == [HEAD, WEB]


def test_what_becomes_an_empty_list_differs_from_what_nobody_said() -> None:
    (row,) = lists.changed_rows({"web01": {"includes": {"old": [], "new": None}}})
    assert [lists.word_of(key, value) for key, value in row.items()] == [
        "web01",
        "includes",
        "none",
        "–",
    ]
    assert lists.word_of("addresses", []) == "–"
