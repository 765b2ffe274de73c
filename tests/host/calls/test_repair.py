"""``geats repair``: what interrupted operations left is shown, then ended; and no more goes."""

import errno
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from click.testing import CliRunner

from geats_core.planning.actions import RemoveLeftover
from geats_core.planning.goal import Goal, Target
from geats_core.planning.plugin_facts import Leftover
from geats_core.plans.explain import explain_step
from geats_core.plans.plan_files import SavedPlan, plan_from_json, to_json
from geats_core.vm.observation import UNFINISHED_COPY, Observation, Power, Stage
from geats_host.archives import export_clones, vm_archives
from geats_host.calls import repair, reports
from geats_host.cli.main import cli
from geats_host.drivers.memory import MemoryDriver
from geats_host.engine import interrupted
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import Refused
from geats_host.host import Host
from geats_host.locks.operation_lock import operation_lock
from geats_host.planning.plans import plan_vm
from geats_host.storage import TEMPLATES, VolumeId
from geats_host.watching import history
from tests.memory_host import memory_config, memory_host

NEW = ".web01-2020-11-02-000000.geats.tar.new"
HOLDING = """
import sys
from pathlib import Path
from geats_host.locks.operation_lock import operation_lock
with operation_lock(Path(sys.argv[1]), sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
"""


def driver_of(host: Host) -> MemoryDriver:
    return cast(MemoryDriver, host.drivers["memory"])


def powered(host: Host, name: str, power: Power) -> None:
    driver = driver_of(host)
    driver.vms[name] = replace(driver.vms[name], power=power)


def running(host: Host, name: str) -> None:
    spec = host.declared(name)
    assert spec is not None
    apply_plan(host, plan_vm(host, Goal(name=name, target=Target.RUNNING, spec=spec))).unwrap()


def words(made: SavedPlan) -> list[str]:
    return [explain_step(step) for step in made.plan.steps]


def half_exported(host: Host, name: str = NEW) -> Path:
    folder = vm_archives.folder_of(host.config)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("half")
    return folder / name


def half_made(host: Host, volume: VolumeId, stage: Stage, template: str | None = None) -> None:
    """A volume that an interrupted operation left in the default pool."""
    pool = host.pools["default"]
    pool.allocate(volume, None)
    if stage > Stage.ALLOCATED:
        pool.format(volume)
        pool.activate(volume)
        pool.mark(volume, replace(pool.observe(volume)[volume], stage=stage, template=template))


@contextmanager
def somebody_at_work(host: Host, name: str) -> Iterator[int]:
    argv = [sys.executable, "-c", HOLDING, host.config.run_dir, name]
    with subprocess.Popen(argv, stdin=-1, stdout=-1, text=True) as other:
        assert other.stdout
        assert other.stdin
        assert other.stdout.readline() == "held\n"
        yield other.pid
        other.stdin.close()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    pool = {"type": "directory", "path": f"{tmp_path}/pool", "guest_group": 1}
    memory = {"type": "memory", "path": f"{tmp_path}/volumes"}
    return memory_host(tmp_path, {"pools": {"default": memory, "files": pool}})


def test_nothing_is_left_over_on_a_host_on_which_all_came_to_its_end(host: Host) -> None:
    running(host, "web01")
    made = repair.plan(host)
    assert made.plan.is_empty
    assert made.warnings == ()


def test_all_that_is_left_over_is_in_one_plan_and_goes(host: Host) -> None:
    for name in ("web01", "db01"):
        running(host, name)
    powered(host, "web01", Power.HELD)
    powered(host, "db01", Power.STUCK)
    half_made(host, VolumeId("gone", "root"), Stage.ALLOCATED)
    half_made(host, VolumeId("copy", "root"), Stage.FILLING, UNFINISHED_COPY)
    clone = export_clones.clone_of(VolumeId("web01", "root"))
    half_made(host, clone, Stage.FILLING)
    archive = half_exported(host)
    host.pools["files"].allocate(VolumeId(TEMPLATES, "abc"), None)
    made = repair.plan(host)
    empty = "its creation or destruction was interrupted, and it is empty"
    unused = "a copy to it was interrupted, and nobody ever used it"
    assert sorted(words(made)) == sorted(
        [
            f"remove the file {archive} because an export was killed before the archive was whole"
            " (impact: none)",
            f"remove the clone {clone.volume} of default because an export that was killed read it"
            " (impact: none)",
            "remove the half-unpacked template abc of files because it was not completely "
            "unpacked: whatever needs it starts again (impact: none)",
            "unfreeze web01 because an interrupted operation left it frozen (impact: live)",
            "repair db01: end its stuck monitor because its monitor does not answer, or is gone"
            " (impact: restart)",
            "start db01 because it was on (impact: none)",
            f"destroy volume gone/root in pool default because {empty} (impact: data_loss)",
            f"destroy volume copy/root in pool default because {unused} (impact: data_loss)",
            f"undefine copy because {unused} (impact: none)",
        ]
    )
    assert plan_from_json(to_json(made)).unwrap() == made
    report = reports.apply_host_report(made, apply_plan(host, made))
    assert json.loads(json.dumps(report)) == report
    assert sorted(report) == ["host", "notes", "refused", "vms", "warnings"]
    seen = host.observe_all()
    assert {name: have.power for name, have in seen.items()} == {
        "web01": Power.RUNNING,
        "db01": Power.RUNNING,
    }
    assert clone not in host.pools["default"].observe()
    assert host.pools["files"].observe() == {}
    assert not archive.exists()
    assert repair.plan(host).plan.is_empty


def test_what_cannot_be_removed_keeps_nothing_else_from_it(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    running(host, "web01")
    archive = half_exported(host)
    half_made(host, VolumeId("gone", "root"), Stage.ALLOCATED)

    def unlink(path: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "unlink", unlink)
    failed = apply_plan(host, repair.plan(host)).failure()
    assert [(each.step.vm, each.error) for each in failed.failed] == [
        ("web01", f"{archive}: Read-only file system")
    ]
    assert failed.not_tried == ()
    assert set(host.observe_all()) == {"web01"}


def test_what_is_not_there_any_more_is_removed_already(host: Host) -> None:
    archive = half_exported(host)
    made = repair.plan(host)
    archive.unlink()
    archive.mkdir()
    apply_plan(host, made).unwrap()
    assert archive.is_dir()


def test_what_a_step_names_is_removed_only_if_it_is_left_over(host: Host, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    for kind in Leftover:
        interrupted.Removal(host).remove("web01", RemoveLeftover(kind, f"{precious}", "default"))
    assert precious.read_text() == "mine"


def test_what_was_left_of_the_vms_that_are_named_goes_alone(host: Host) -> None:
    for name in ("web01", "db01"):
        running(host, name)
        powered(host, name, Power.HELD)
    archive = half_exported(host)
    half_exported(host, NEW.replace("web01", "db01"))
    host.pools["files"].allocate(VolumeId(TEMPLATES, "abc"), None)
    made = repair.plan(host, ["web01"])
    assert {step.vm for step in made.plan.steps} == {"web01"}
    assert RemoveLeftover(Leftover.FILE, f"{archive}") in [s.action for s in made.plan.steps]
    apply_plan(host, made).unwrap()
    assert host.observe("db01").power is Power.HELD
    assert len(repair.plan(host).plan.steps) == 3
    for name in ("wob01", ""):
        with pytest.raises(Refused, match=f"names: unknown VM '{name}'"):
            repair.plan(host, [name])


def test_what_a_locked_vm_keeps_is_said(host: Host) -> None:
    half_made(host, VolumeId("copy", "root"), Stage.FILLING, UNFINISHED_COPY)
    host.pools["default"].set_locked(VolumeId("copy", "root"), locked=True)
    half_made(host, VolumeId("gone", "root"), Stage.ALLOCATED)
    host.registry.set_locked("gone", locked=True)
    made = repair.plan(host)
    assert made.plan.is_empty
    assert made.warnings == (
        "copy: the unfinished copy stays, as the VM is locked: unlock it first"
        " (root in pool default)",
        "gone: the empty volume stays, as the VM is locked: unlock it first (root in pool default)",
    )


def test_the_host_is_not_looked_at_again_for_each_thing_that_goes(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    archives = [half_exported(host, NEW.replace("-11-", f"-{month:02}-")) for month in range(1, 13)]
    made = repair.plan(host)
    looks = 0
    everything = interrupted.everything

    def counted(host: Host, seen: Mapping[str, Observation]) -> interrupted.LeftByStep:
        nonlocal looks
        looks += 1
        return everything(host, seen)

    monkeypatch.setattr(interrupted, "TRUE_FOR_S", 3600.0)
    monkeypatch.setattr(interrupted, "everything", counted)
    apply_plan(host, made).unwrap()
    assert looks == 1
    assert not any(archive.exists() for archive in archives)


def test_what_concerns_the_whole_host_is_in_its_journal(host: Host) -> None:
    host.pools["files"].allocate(VolumeId(TEMPLATES, "abc"), None)
    apply_plan(host, repair.plan(host)).unwrap()
    assert [
        (entry["action"], entry["outcome"]) for entry in history.journal_report(host, None)
    ] == [
        ("remove the half-unpacked template abc of files", "intent"),
        ("remove the half-unpacked template abc of files", "done"),
    ]


def test_what_somebody_works_on_is_left_to_them(host: Host) -> None:
    running(host, "web01")
    powered(host, "web01", Power.HELD)
    archive = half_exported(host)
    other = half_exported(host, NEW.replace("web01", "db01"))
    with somebody_at_work(host, "web01") as pid:
        made = repair.plan(host)
        assert [step.action for step in made.plan.steps] == [
            RemoveLeftover(Leftover.FILE, f"{other}")
        ]
        assert made.warnings == (f"web01 is left as it is: process {pid} works on it",)
        apply_plan(host, made).unwrap()
    assert archive.exists()
    with operation_lock(Path(host.config.run_dir), "web01"):  # our own work is no other's
        assert len(repair.plan(host).plan.steps) == 2


def test_the_part_of_an_archive_that_has_a_path_is_known_by_the_journal(
    host: Host, tmp_path: Path
) -> None:
    running(host, "web01")
    part, link = tmp_path / ".a b.tar.new", tmp_path / ".linked.tar.new"
    part.write_text("half")
    link.symlink_to(part)
    assert repair.plan(host).plan.is_empty
    *_, last = host.registry.journal("web01")
    for path in (tmp_path / "a b.tar", tmp_path / "linked.tar"):
        host.registry.write(replace(last, action=f"export web01 to {path}"))
    made = repair.plan(host)
    assert [step.action for step in made.plan.steps] == [RemoveLeftover(Leftover.FILE, f"{part}")]
    apply_plan(host, made).unwrap()
    assert not part.exists()
    assert link.is_symlink()


def test_what_geats_did_not_make_in_the_folder_of_exports_stays(host: Host) -> None:
    names = (".web01.tar.new", "web01-2020-11-02-000000.geats.tar.new", ".x.new", NEW[:-4])
    paths = [half_exported(host, name) for name in names]
    (paths[0].parent / NEW).symlink_to(paths[0])
    assert repair.plan(host).plan.is_empty


def test_a_template_that_is_unpacked_just_now_is_not_left_over(host: Host) -> None:
    host.pools["files"].allocate(VolumeId(TEMPLATES, "abc"), None)
    with host.store.locked("abc") as lock:
        lock.hold()
        assert repair.plan(host).plan.is_empty
    made = repair.plan(host)
    assert len(made.plan.steps) == 1
    with host.store.locked("abc") as lock:  # it is used by then
        lock.hold()
        apply_plan(host, made).unwrap()  # and so not left over any more
    assert len(host.pools["files"].observe()) == 1


def test_what_a_process_left_of_a_download_goes(host: Host) -> None:
    left = host.store.root / "scratch" / "0123"
    left.mkdir(parents=True)
    (left / "half").write_text("")
    made = repair.plan(host)
    assert [step.action for step in made.plan.steps] == [RemoveLeftover(Leftover.FILE, f"{left}")]
    apply_plan(host, made).unwrap()
    assert not left.exists()


def test_the_command_shows_it_first_then_does_it_then_says_that_nothing_is_left(
    tmp_path: Path,
) -> None:
    config = tmp_path / "geats.json"
    config.write_text(json.dumps({"geats": memory_config(tmp_path)}))
    host = memory_host(tmp_path)
    archive = half_exported(host)
    call = ["--config", f"{config}"]
    shown = CliRunner().invoke(cli, [*call, "--json", "repair", "--dry-run"])
    plain = json.loads(shown.output)
    assert [step["text"] for step in plain["steps"]] == [f"remove the file {archive}"]
    assert archive.exists()
    assert CliRunner().invoke(cli, [*call, "repair"]).exit_code == 0
    assert not archive.exists()
    done = CliRunner().invoke(cli, [*call, "repair"])
    assert (done.exit_code, done.output) == (0, "nothing is left over\n")
