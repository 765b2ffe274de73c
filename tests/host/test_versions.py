"""A host whose registry another geats wrote: looked at as it is, and upgraded by a plan alone."""

import sqlite3
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from returns.result import Failure, Success

from geats_core.planning.actions import Action, UpgradeRegistry
from geats_core.planning.goal import Goal, Target
from geats_core.planning.steps import Step
from geats_core.plans.plan_files import SavedPlan
from geats_core.reading import file_formats
from geats_core.vm.observation import Power, VolumeMissing
from geats_core.vm.parse import parse_vm, to_text
from geats_host.calls import inventory, lifecycle, reports
from geats_host.calls.several_vms import plan_several
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import HostError, Refused
from geats_host.host import Host
from geats_host.planning.goals import Wishes
from geats_host.planning.plans import plan_boot, plan_halt, plan_wishes
from geats_host.registry import Entry, Outcome, schema
from tests.memory_host import memory_host

UPGRADE = UpgradeRegistry(2, file_formats.REGISTRY)
DB01 = parse_vm("db01", {"driver": "memory", "template": "debian", "autostart": True}).unwrap()


@pytest.fixture
def old_host(tmp_path: Path) -> Host:
    """A host with a registry of schema 2, in which db01 is defined."""
    path = tmp_path / "state" / "registry.sqlite"
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(f"{' '.join(schema.UPGRADES[:2])} pragma user_version = 2;")
        database.execute("insert into definition values ('db01', ?)", (to_text(DB01),))
    return memory_host(tmp_path, {"registry": "sqlite"})


def actions(steps: Iterable[Step]) -> list[Action]:
    return [step.action for step in steps]


PLANS: dict[str, Callable[[Host], SavedPlan]] = {
    "a verb": lambda host: lifecycle.plan_verb(host, "provision", "web01"),
    "a target": lambda host: lifecycle.plan_to(host, "db01", "running"),
    "the host": lambda host: plan_wishes(host, Wishes(Goal(name="", target=Target.DEFINED))),
    "several": lambda host: plan_several(host, {"web01": {}, "db01": {}}),
    "the boot": lambda host: plan_boot(host),
}


@pytest.mark.parametrize("make", PLANS.values(), ids=PLANS)
def test_every_plan_upgrades_the_registry_before_anything_else(
    old_host: Host, make: Callable[[Host], SavedPlan]
) -> None:
    made = make(old_host)
    assert actions(made.plan.steps).count(UPGRADE) == 1
    assert made.plan.steps[0].action == UPGRADE
    assert all(step.needs for step in made.plan.steps[1:])
    assert all(each.steps[0].action == UPGRADE for each in made.plan.plans if each.steps)
    assert apply_plan(old_host, made) == Success(made.plan.steps)
    assert old_host.registry.outdated() is None
    assert UPGRADE not in actions(make(old_host).plan.steps)


def test_looking_at_a_host_and_a_plan_that_does_nothing_leave_the_registry_as_it_is(
    old_host: Host, tmp_path: Path
) -> None:
    path = tmp_path / "state" / "registry.sqlite"
    before = path.read_bytes()
    inventory.list_report(old_host)
    list(old_host.journal("db01"))
    assert lifecycle.plan_to(old_host, "db01", "unlocked").plan.is_empty
    lifecycle.plan_to(old_host, "db01", "running")
    assert path.read_bytes() == before


def test_what_was_done_for_a_vm_tells_of_the_upgrade_as_its_preview_did(old_host: Host) -> None:
    planned = lifecycle.plan_verb(old_host, "provision", "db01")
    report = reports.apply_report(planned.of_vm, apply_plan(old_host, planned))
    assert report["changes"] == reports.would_change(planned.of_vm)
    assert "upgrade the registry" in reports.plan_report(planned.of_vm)["text"][0]  # type: ignore[index]


def test_what_was_done_for_several_vms_tells_of_the_upgrade_as_its_preview_did(
    old_host: Host,
) -> None:
    several = plan_several(old_host, {"web01": {}, "db01": {}})
    would = reports.would_several_report(several)
    done = reports.several_report(several, apply_plan(old_host, several))
    for name in ("web01", "db01"):
        assert done[name]["changes"] == would[name]["changes"]
        assert "upgrade the registry" in str(would[name]["changes"])


def test_where_the_upgrade_fails_nothing_is_touched_and_every_vm_says_why(
    old_host: Host, tmp_path: Path
) -> None:
    (tmp_path / "state" / ".registry.sqlite.schema-2.backup.new").mkdir()
    planned = lifecycle.plan_to(old_host, "db01", "running")
    applied = apply_plan(old_host, planned)
    assert isinstance(applied, Failure)
    assert actions(each.step for each in applied.failure().not_tried) == actions(
        planned.plan.steps[1:]
    )
    report = reports.apply_report(planned.of_vm, applied)
    assert "registry.sqlite" in str(report["error"])
    assert old_host.observe("db01").power is Power.STOPPED
    assert old_host.registry.outdated() == UPGRADE


def test_a_plan_without_the_upgrade_touches_nothing(old_host: Host) -> None:
    made = lifecycle.plan_to(old_host, "db01", "running")
    steps = tuple(replace(step, needs=()) for step in made.plan.steps[1:])
    bare = replace(made, plan=replace(made.plan, steps=steps))
    applied = apply_plan(old_host, bare)
    assert isinstance(applied, Failure)
    assert "plan again" in applied.failure().failed[0].error
    assert applied.failure().done == ()


def test_the_journal_keeps_what_the_policy_says(tmp_path: Path) -> None:
    host = memory_host(tmp_path, {"policy": {"journal": {"entries": 100, "days": 1}}})
    old = Entry(time_s=0.0, vm="web01", action="start", outcome=Outcome.DONE)
    for n in range(200):
        host.registry.write(replace(old, time_s=float(n) if n < 50 else time.time()))
    apply_plan(host, lifecycle.plan_to(host, "web01", "running"))
    kept = list(host.journal("web01", 500))
    assert len(kept) == 100
    assert kept[-1].action == "start web01"


def test_a_host_whose_registry_is_of_a_newer_geats_is_not_opened(
    old_host: Host, tmp_path: Path
) -> None:
    path = tmp_path / "state" / "registry.sqlite"
    with closing(sqlite3.connect(path)) as database:
        database.execute("pragma user_version = 99")
    with pytest.raises(HostError, match="newer geats"):
        memory_host(tmp_path, {"registry": "sqlite"})


@pytest.fixture
def half_read(tmp_path: Path) -> Host:
    """A host on which web01 runs, and the row of db01, which runs too, has a key of the future."""
    host = memory_host(tmp_path, {"registry": "sqlite"})
    for name in ("web01", "db01"):
        apply_plan(host, lifecycle.plan_to(host, name, "running"))
    with closing(sqlite3.connect(tmp_path / "state" / "registry.sqlite")) as database, database:
        database.execute("update definition set spec = '{\"colour\": 1}' where name = 'db01'")
    return host


def test_a_row_that_cannot_be_read_stops_no_other_vm(half_read: Host) -> None:
    assert apply_plan(half_read, lifecycle.plan_verb(half_read, "stop", "web01")).value_or(None)
    assert half_read.observe("web01").power is Power.STOPPED


def test_a_row_that_cannot_be_read_is_shown_and_refused_with_the_reason(half_read: Host) -> None:
    rows = inventory.list_report(half_read)
    assert rows["web01"]["problems"] == []
    assert rows["db01"]["defined"] is True
    assert "unknown key 'colour'" in str(rows["db01"]["problems"])
    with pytest.raises(
        Refused, match="db01: its definition cannot be relied on: template: is missing"
    ):
        lifecycle.plan_verb(half_read, "deprovision", "db01")


def test_a_vm_whose_row_cannot_be_read_is_powered_off_with_the_host(half_read: Host) -> None:
    made = plan_halt(half_read)
    assert apply_plan(half_read, made) == Success(made.plan.steps)
    assert half_read.observe("db01").power is Power.STOPPED
    boot = plan_boot(half_read)
    assert [each.name for each in boot.plan.plans] == []


def test_a_row_that_cannot_be_read_is_written_anew_by_define(half_read: Host) -> None:
    apply_plan(half_read, lifecycle.plan_verb(half_read, "define", "db01"))
    assert half_read.observe("db01").unreliable == ""
    assert lifecycle.plan_to(half_read, "db01", "running").plan.is_empty


def journaled(host: Host, *actions: str) -> None:
    """What an older geats wrote into its journal for db01."""
    with closing(sqlite3.connect(Path(host.config.state_dir) / "registry.sqlite")) as old, old:
        for action in actions:
            for outcome in ("intent", "done"):
                old.execute(
                    "insert into journal (time_s, vm, action, outcome, detail)"
                    " values (0, 'db01', ?, ?, '')",
                    (action, outcome),
                )


INSTALLED = "install template debian on volume db01/root"
DESTROYED = "destroy volume db01/root in pool default"
GONE = VolumeMissing(name="root", pool="default", template="debian")


@pytest.mark.parametrize(
    ("journal", "missing"),
    [
        ([INSTALLED], (GONE,)),
        ([INSTALLED, DESTROYED], ()),
        ([INSTALLED, DESTROYED, INSTALLED], (GONE,)),
        (["install template debian on volume db01/root2"], ()),
        (["define db01"], ()),
    ],
)
def test_what_an_older_geats_filled_is_missed_where_only_its_journal_tells(
    old_host: Host, journal: list[str], missing: tuple[VolumeMissing, ...]
) -> None:
    """Of a VM that was off while its disk was not mounted, at the first plan of this geats."""
    journaled(old_host, *journal)
    assert old_host.observe("db01").missing == missing
    lock = lifecycle.plan_verb(old_host, "lock", "db01")
    assert apply_plan(old_host, lock) == Success(lock.plan.steps)
    assert old_host.registry.outdated() is None
    assert old_host.observe("db01").missing == missing
