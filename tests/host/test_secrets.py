"""A canary in the metadata of a VM is in the guest's own files, and appears nowhere else."""

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from geats_core import explain, parse_vm, to_json
from geats_core.jobs import renames
from geats_core.planning.spec_changes import changes
from geats_core.plans.codec import encode
from geats_core.plans.explain import host_plan_to_plain, short_notes, table, why
from geats_core.plans.observation_changes import host_differences
from geats_core.plans.plan_files import SavedPlan
from geats_core.reading.checked import problems_to_plain
from geats_core.vm.secrets import shown_spec
from geats_host.calls import inventory, lifecycle, reports
from geats_host.drivers.memory import MemoryDriver
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import Refused
from geats_host.host import Host
from geats_host.inputs import configuration
from geats_host.planning.facts import record
from geats_host.planning.goals import Wishes, wanted
from geats_host.planning.plans import candidate, plan_wishes
from geats_host.watching import history
from tests.memory_host import memory_config

CANARY = "canary-7f3a"
OTHER = "canary-9b1c"
SECRETS = (CANARY, OTHER)


def config(directory: Path, secret: object) -> dict[str, object]:
    small = {
        "driver": "memory",
        "template": "debian",
        "metadata": {"TOKEN": secret},
        "environment": {"TOKEN": secret},
        "users": {"ada": {"password": f"$6$salt${secret}"}},
        "minion": {"master": "salt", "config": {"token": secret, "deep": {"er": [secret]}}},
    }
    profiles = {"small": small}
    return {**memory_config(directory), "registry": "sqlite", "profiles": profiles}


def host(directory: Path, secret: object) -> Host:
    return Host.from_config(config(directory, secret))


def said(host: Host) -> Iterator[object]:
    """Everything that can be seen of a host while VMs are brought up on it."""
    made = plan_wishes(host, Wishes(wanted({"restart": "never"})))
    yield from said_of(made)
    yield reports.apply_host_report(made, apply_plan(host, made))
    yield inventory.list_report(host)
    yield inventory.info_report(host, "web01")
    yield inventory.status_report(host)
    yield history.journal_report(host, "web01")
    yield inventory.pending_report(host)
    yield encode(candidate(host))


def said_of(made: SavedPlan) -> Iterator[object]:
    """Everything that can be seen of a plan."""
    yield explain(made.plan)
    yield table(made.plan)
    yield host_plan_to_plain(made.plan)
    yield why(made.plan, "web01")
    yield reports.host_plan_report(made)
    yield short_notes(made.plan)


def test_no_secret_is_in_a_plan_a_report_or_the_journal(tmp_path: Path) -> None:
    """When a VM is made, and when its secret changes."""
    shown = [*said(host(tmp_path, CANARY)), *said(host(tmp_path, OTHER))]
    for each in shown:
        assert not any(secret in f"{each} {each!r}" for secret in SECRETS), each
    assert "metadata changed {TOKEN: (hidden)} → {TOKEN: (hidden, and another one)}" in str(shown)


def test_no_secret_of_a_line_by_hand_is_told(tmp_path: Path) -> None:
    here = host(tmp_path, "x")
    apply_plan(here, plan_wishes(here, Wishes(wanted({})))).unwrap()
    driver = here.drivers["memory"]
    assert isinstance(driver, MemoryDriver)
    shown: list[object] = []
    for secret in SECRETS:
        before = here.observe_all()
        lines = (
            f"lxc.environment = TOKEN={secret} web01",
            f"lxc.hook.stop = /bin/x {secret}",
            f"<devices><graphics passwd='{secret}'/></devices>",
        )
        driver.vms["web01"] = replace(driver.vms["web01"], by_hand=lines)
        removing = plan_wishes(here, Wishes(wanted({"by_hand": "removed"})))
        shown += [
            *said(here),
            *said_of(removing),
            renames.notes("web01", "web02", here.observe_all(), None),
            host_differences(before, here.observe_all()),
        ]
    for each in shown:
        assert not any(canary in f"{each} {each!r}" for canary in SECRETS), each
    assert "lxc.environment = TOKEN=(hidden)" in f"{shown}"
    assert "what is hidden is otherwise" in f"{shown[-1]}"


def test_no_secret_of_a_raw_line_is_told() -> None:
    now = parse_vm("web", {"template": "d", "raw": [f"lxc.time.password = {CANARY}"]}).unwrap()
    then = replace(now, raw=(f"lxc.time.password = {OTHER}", "lxc.time.offset.boot = 1s"))
    new = replace(now, raw=())
    for each in (shown_spec(now), changes(then, now), changes(new, now), changes(now, new)):
        assert not any(secret in f"{each}" for secret in SECRETS), each
    assert "lxc.time.password = (hidden, and another one)" in f"{changes(then, now)[0]}"


def test_what_must_make_the_vm_again_holds_the_secret(tmp_path: Path) -> None:
    here = host(tmp_path, CANARY)
    made = plan_wishes(here, Wishes(wanted({})))
    apply_plan(here, made).unwrap()
    assert dict(here.registry.definitions()["web01"].metadata) == {"TOKEN": CANARY}
    assert CANARY in to_json(made)
    assert CANARY in to_json(record(here))


def test_the_files_that_hold_secrets_are_for_root_alone(tmp_path: Path) -> None:
    here = host(tmp_path, CANARY)
    apply_plan(here, plan_wishes(here, Wishes(wanted({})))).unwrap()
    holding = [
        path
        for path in (tmp_path / "state").rglob("*")
        if path.is_file() and CANARY.encode() in path.read_bytes()
    ]
    assert holding
    assert {stat.S_IMODE(os.stat(path).st_mode) for path in holding} == {0o600}


@pytest.mark.parametrize(
    "metadata",
    [{"TOKEN": f"{CANARY}\n"}, {"TOKEN": CANARY * 1000}, {"TOKEN": [CANARY]}, CANARY, [CANARY]],
    ids=["line", "long", "list", "text", "list of text"],
)
def test_no_secret_is_in_a_problem(metadata: object) -> None:
    problems = parse_vm("web", {"template": "d", "metadata": metadata}).failure()
    assert problems
    assert CANARY not in str(problems)


def test_a_wrong_secret_is_told_by_its_length() -> None:
    [problem] = parse_vm("web", {"template": "d", "metadata": {"A": "a\nb"}}).failure()
    assert str(problem) == (
        "metadata.A: must be one line of printable text, got a text of 3 characters"
    )


@pytest.mark.parametrize("text", ["geats: {A: canary-7f3a", "geats: canary-7f3a: x", "a: \x00"])
def test_no_line_of_a_file_that_is_no_yaml_is_told(tmp_path: Path, text: str) -> None:
    file = tmp_path / "geats.yaml"
    file.write_text(text)
    with pytest.raises(Refused) as refused:
        configuration.from_file(file)
    assert CANARY not in str(refused.value)
    assert "is not valid YAML: " in str(refused.value)


def test_validation_tells_no_secret(tmp_path: Path) -> None:
    report = lifecycle.validate(config(tmp_path, f"{CANARY}\n"), None)
    assert CANARY not in json.dumps(problems_to_plain(report))
    assert report["web01"]
