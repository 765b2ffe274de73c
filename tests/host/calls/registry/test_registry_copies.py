"""The registry is backed up, brought back, and looked at before all else."""

import json
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest
from click.testing import CliRunner

from geats_core.vm.observation import Power
from geats_host.calls import doctor, lifecycle
from geats_host.calls.registry import registry_copies
from geats_host.calls.registry.registry_health import troubles, unchecked
from geats_host.cli.main import cli
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import HostError, Refused
from geats_host.examining.findings import Finding, Health
from geats_host.host import Host
from geats_host.locks.operation_lock import operation_lock
from tests.memory_host import memory_config, memory_host

SQLITE = {"registry": "sqlite"}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host on which web01 and db01 run, and db01 is locked."""
    made = memory_host(tmp_path, SQLITE)
    for name in ("web01", "db01"):
        apply_plan(made, lifecycle.plan_to(made, name, "running"))
    apply_plan(made, lifecycle.plan_verb(made, "lock", "db01"))
    return made


@pytest.fixture
def raw(tmp_path: Path) -> dict[str, object]:
    return {**memory_config(tmp_path), **SQLITE}


@pytest.fixture
def copy(host: Host, tmp_path: Path) -> Path:
    return registry_copies.back_up(host, f"{tmp_path}/copy")


def file_of(directory: Path) -> Path:
    return directory / "state" / "registry.sqlite"


def test_a_lost_registry_is_brought_back_with_all_that_was_in_it(
    host: Host, raw: dict[str, object], copy: Path, tmp_path: Path
) -> None:
    assert copy.stat().st_mode & 0o777 == 0o600
    before, journal = host.observe_all(), list(host.journal("web01"))
    for part in file_of(tmp_path).parent.glob("registry.sqlite*"):
        part.unlink()
    assert host.observe("db01").locked
    would = registry_copies.restored(raw, f"{copy}", False, False)["would"]
    assert would == ["db01: is recorded", "web01: is recorded", "db01: is protected from deletion"]
    assert host.observe_all() == before
    assert list(host.journal("web01")) == journal


def test_nothing_is_replaced_without_leave_and_what_was_there_is_kept(
    host: Host, raw: dict[str, object], copy: Path, tmp_path: Path
) -> None:
    apply_plan(host, lifecycle.plan_verb(host, "unlock", "db01"))
    with pytest.raises(Refused, match="overwrite: the content of the registry would be replaced"):
        registry_copies.restored(raw, f"{copy}", False, False)
    assert not host.observe("db01").locked
    report = registry_copies.restored(raw, f"{copy}", True, False)
    assert report == {"path": f"{copy}", "would": ["db01: is protected from deletion"]}
    assert host.observe("db01").locked
    assert host.observe("db01").power is Power.RUNNING
    kept = tmp_path / "state" / "registry.sqlite.before-restore.backup"
    assert registry_copies.restoring(host.registry, f"{kept}").lines == (
        "db01: is no longer protected from deletion",
    )


def test_a_test_shows_what_would_be_and_changes_nothing(
    host: Host, raw: dict[str, object], copy: Path, tmp_path: Path
) -> None:
    other = lifecycle.plan_to(host, "web01", "running", {"driver": "memory", "template": "debian"})
    apply_plan(host, other)
    apply_plan(host, lifecycle.plan_to(host, "db01", "unlocked"))
    apply_plan(host, lifecycle.plan_to(host, "db01", "undefined"))
    before = file_of(tmp_path).read_bytes()
    report = registry_copies.restored(raw, f"{copy}", False, True)
    assert "db01: is recorded" in str(report["would"])
    assert "web01: memory changed" in str(report["would"])
    assert file_of(tmp_path).read_bytes() == before


def test_a_damaged_registry_is_replaced_and_kept(
    host: Host, raw: dict[str, object], copy: Path, tmp_path: Path
) -> None:
    file_of(tmp_path).write_bytes(b"nothing that SQLite knows" * 100)
    with pytest.raises(Refused, match="overwrite"):
        registry_copies.restored(raw, f"{copy}", False, False)
    would = registry_copies.restored(raw, f"{copy}", True, False)["would"]
    assert str(would).startswith("['replace a registry that cannot be read', 'db01: is recorded'")
    assert host.observe("db01").locked
    kept = tmp_path / "state" / "registry.sqlite.before-restore.backup"
    assert kept.read_bytes().startswith(b"nothing that SQLite knows")


def test_while_an_operation_on_a_vm_runs_nothing_is_brought_back(
    host: Host, raw: dict[str, object], copy: Path
) -> None:
    held = operation_lock(Path(host.config.run_dir), "db01")
    with held, pytest.raises(Refused, match="another operation"):
        registry_copies.restored(raw, f"{copy}", True, False)


def test_what_is_no_copy_is_refused(host: Host, copy: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database at all, but long enough to be one" * 30)
    with pytest.raises(Refused, match="is not a backup of a registry"):
        registry_copies.restoring(host.registry, f"{tmp_path}/text")
    with pytest.raises(Refused, match="there is no file"):
        registry_copies.restoring(host.registry, f"{tmp_path}/nothing")
    with closing(sqlite3.connect(copy)) as database:
        database.execute("pragma user_version = 99")
        database.execute("delete from note")
        database.commit()
    with pytest.raises(Refused, match="newer geats"):
        registry_copies.restoring(host.registry, f"{copy}")


def test_a_copy_takes_the_place_of_no_file(host: Host, copy: Path, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="there is something at"):
        registry_copies.back_up(host, f"{copy}")
    with pytest.raises(Refused, match="there is no directory"):
        registry_copies.back_up(host, f"{tmp_path}/nowhere/copy")
    empty = memory_host(tmp_path / "empty", SQLITE)
    with pytest.raises(Refused, match="nothing was ever written"):
        registry_copies.back_up(empty, f"{tmp_path}/other")
    with pytest.raises(Refused, match="of this kind is not copied"):
        registry_copies.back_up(memory_host(tmp_path), f"{tmp_path}/other")


def test_the_command_line_backs_up_shows_and_brings_back(
    host: Host, raw: dict[str, object], tmp_path: Path
) -> None:
    config = tmp_path / "geats.json"
    config.write_text(json.dumps({"geats": raw}))
    shared = ["--config", f"{config}", "registry"]
    wrote = CliRunner().invoke(cli, [*shared, "backup", f"{tmp_path}/copy"])
    assert wrote.output == f"written: {tmp_path}/copy\n"
    apply_plan(host, lifecycle.plan_verb(host, "unlock", "db01"))
    shown = CliRunner().invoke(cli, [*shared, "restore", f"{tmp_path}/copy", "--dry-run"])
    assert shown.output == "db01: is protected from deletion\n"
    assert not host.observe("db01").locked
    done = CliRunner().invoke(cli, [*shared, "restore", f"{tmp_path}/copy", "--overwrite"])
    assert (done.exit_code, done.output) == (0, shown.output)
    assert host.observe("db01").locked


def test_a_sound_registry_is_no_trouble(host: Host, raw: dict[str, object]) -> None:
    assert troubles(raw) == ()
    assert doctor.examine(raw)[0] == Finding("registry", Health.WELL, "can be read")
    assert lifecycle.REGISTRY not in lifecycle.validate(raw)


def test_a_damaged_registry_is_told_first_and_doctor_and_validate_go_on(
    host: Host, raw: dict[str, object], tmp_path: Path
) -> None:
    file_of(tmp_path).write_bytes(b"nothing that SQLite knows" * 100)
    first, *others = doctor.examine(raw)
    assert (first.what, first.health) == ("registry", Health.PROBLEM)
    assert "file is not a database" in first.found
    assert "geats registry restore FILE" in first.fix
    with pytest.raises(HostError, match="geats doctor says what to do"):
        host.observe_all()
    assert others
    found = lifecycle.validate(raw)
    assert next(iter(found)) == lifecycle.REGISTRY
    assert set(found) >= {"web01", "db01"}


def test_pages_that_are_damaged_are_found(host: Host, tmp_path: Path) -> None:
    with closing(sqlite3.connect(file_of(tmp_path))) as database:
        database.execute("pragma wal_checkpoint(truncate)")
    with file_of(tmp_path).open("r+b") as file:
        file.seek(4096 + 3)
        file.write(b"\xff" * 2000)
    with suppress(HostError):  # where not even the tables can be found any more
        assert host.registry.problems()


def test_a_definition_that_cannot_be_read_and_an_old_schema_are_told(
    host: Host, raw: dict[str, object], tmp_path: Path
) -> None:
    with closing(sqlite3.connect(file_of(tmp_path))) as database, database:
        database.execute("update definition set format = 99 where name = 'db01'")
    (trouble,) = troubles(raw)
    assert "the definition of db01 cannot be read: it was written by a newer" in trouble.found
    with closing(sqlite3.connect(file_of(tmp_path))) as database, database:
        database.executescript(
            "delete from definition; insert into definition values ('db01', '{}', 1);"
            "alter table definition drop column format; drop table note; pragma user_version = 2"
        )
    row, schema = troubles(raw)
    assert "template: is missing" in row.found
    assert (schema.found, schema.stops) == ("is of schema 2, and this geats writes 3", False)
    assert doctor.examine(raw)[1].health is Health.WARNING


def test_a_registry_that_is_missing_while_vms_are_there_is_told(
    host: Host, raw: dict[str, object], tmp_path: Path
) -> None:
    file_of(tmp_path).unlink()
    (trouble,) = troubles(raw)
    assert trouble.found == "is missing or empty, while VMs of geats are there: db01 and web01"
    assert trouble.fix.startswith("look at geats registry rebuild --dry-run, then geats registry")


def test_only_the_registry_of_a_right_configuration_is_looked_at(tmp_path: Path) -> None:
    assert troubles({"colour": "red"}) == ()
    assert troubles({"registry": "none such"}) == ()
    config = memory_host(tmp_path).config
    assert unchecked(config) is memory_host(tmp_path).registry
