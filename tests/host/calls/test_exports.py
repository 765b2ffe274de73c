"""Archives in the folder of exports go by rules, and nothing else does."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from geats_core.vm.parse import parse_vm
from geats_host.archives import vm_archives
from geats_host.calls import exports
from geats_host.cli.main import cli
from geats_host.errors import Refused
from geats_host.host import Host
from tests.memory_host import memory_config, memory_host


def archive(
    host: Host, vm: str, day: int, of: str | None = None, suffix: str = "", year: int = 2020
) -> Path:
    """An archive of *of*, under the name that an export of *vm* at that day has."""
    folder = vm_archives.folder_of(host.config)
    folder.mkdir(parents=True, exist_ok=True)
    at = datetime(year, 11, day, tzinfo=UTC)
    path = folder / f"{vm}-{at:%Y-%m-%d-%H%M%S}{suffix}.geats.tar"
    spec = parse_vm(of or vm, {"template": "debian"}).unwrap()
    vm_archives.write(path, spec, "debian", {"root": None}, int(at.timestamp()))
    return path


def test_of_each_vm_the_archives_go_that_no_rule_keeps_and_nothing_else(tmp_path: Path) -> None:
    host = memory_host(tmp_path, {"policy": {"exports": {"last": 1}}})
    old, new = archive(host, "web01", 1), archive(host, "web01", 2, suffix="-2")
    other = archive(host, "db01", 1)
    others = [archive(host, "mail", 1, of="db02"), archive(host, "mail", 2, of="db02")]
    for name in (
        "web01-2026-11-01-000000.geats.tar.part",
        "web01-2026-99-99-000000.geats.tar",
        "x",
    ):
        (other.parent / name).write_text("not of geats")
    (other.parent / "web01-2026-11-03-000000.geats.tar").symlink_to(other)
    os.mkfifo(other.parent / "web01-2026-11-04-000000.geats.tar")
    before = set(other.parent.iterdir())
    told = exports.pruned(host, {}, dry_run=True)
    assert [(row["archive"], row["action"], row["reason"]) for row in told] == [
        (f"{other}", "keep", "last 1 of 1"),
        (f"{new}", "keep", "last 1 of 1"),
        (f"{old}", "delete", "no rule keeps it"),
    ]
    assert set(other.parent.iterdir()) == before
    assert exports.pruned(host, {}, dry_run=False) == told
    assert set(other.parent.iterdir()) == before - {old}
    assert all(path.exists() for path in others)


def test_an_archive_that_is_dated_in_the_future_takes_the_place_of_no_other(
    tmp_path: Path,
) -> None:
    host = memory_host(tmp_path)
    old, new, later = (
        archive(host, "web01", 1),
        archive(host, "web01", 2),
        archive(host, "web01", 1, year=9000),
    )
    told = exports.pruned(host, {"last": 1}, dry_run=False)
    assert [(row["archive"], row["reason"]) for row in told] == [
        (f"{later}", "in the future 9000-11-01"),
        (f"{new}", "last 1 of 1"),
        (f"{old}", "no rule keeps it"),
    ]
    assert later.exists()


def test_what_a_killed_export_left_goes_with_the_next_one_of_that_vm(tmp_path: Path) -> None:
    host = memory_host(tmp_path)
    folder = archive(host, "web01", 1).parent
    left = folder / ".web01-2020-11-02-000000.geats.tar.new"
    others = [
        folder / f".{name}.new"
        for name in (
            "web01-a-2020-11-02-000000.geats.tar",
            "db01-2020-11-02-000000.geats.tar",
            "web01-mine.geats.tar",
        )
    ]
    for each in (left, *others):
        each.write_text("cut")
    spec = parse_vm("web01", {"template": "debian"}).unwrap()
    vm_archives.write(folder / "mine.tar", spec, "debian", {"root": None}, 0)
    assert left.exists()  # one with a path is no other export of it
    archive(host, "web01", 3)
    assert not left.exists()
    assert all(each.exists() for each in others)


def test_without_a_rule_nothing_goes(tmp_path: Path) -> None:
    host = memory_host(tmp_path)
    assert exports.pruned(host, {"last": 1}, dry_run=False) == []
    with pytest.raises(Refused, match="say how many to keep"):
        exports.pruned(host, {}, dry_run=False)
    with pytest.raises(Refused, match="would keep no snapshot"):
        exports.pruned(host, {"last": 0}, dry_run=False)


def test_the_command_line_takes_rules_of_its_own(tmp_path: Path) -> None:
    host = memory_host(tmp_path)
    paths = [archive(host, "web01", day) for day in (1, 2, 3)]
    config = tmp_path / "geats.json"
    config.write_text(json.dumps({"geats": memory_config(tmp_path)}))
    call = ["--config", f"{config}", "--json", "prune-exports", "--last", "2"]
    shown = CliRunner().invoke(cli, [*call, "--dry-run"])
    assert [row["action"] for row in json.loads(shown.output)] == ["keep", "keep", "delete"]
    assert paths[0].exists()
    assert CliRunner().invoke(cli, call).output == shown.output
    assert [path.exists() for path in paths] == [False, True, True]
