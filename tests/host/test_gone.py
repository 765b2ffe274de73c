"""VMs that leave a host by their names, and those that stay although nothing describes them."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from returns.result import Success

from geats_core import Goal, Target
from geats_core.planning.action_words import describe
from geats_host.calls import inventory, lifecycle
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import Refused
from geats_host.host import Host
from geats_host.planning.facts import record
from geats_host.planning.from_values import plan_recorded
from geats_host.planning.goals import Wishes, wishes
from geats_host.planning.plans import plan_boot, plan_wishes
from tests.memory_host import memory_host

AS_DESCRIBED = Wishes(Goal(name="", target=Target.RUNNING))
SMALL: Mapping[object, object] = {"driver": "memory", "template": "debian"}
BOTH = {"web01": SMALL, "db01": {**SMALL, "autostart": True}}


def host(directory: Path, vms: Mapping[str, object], **change: object) -> Host:
    return memory_host(directory, {"registry": "sqlite", "vms": vms, **change})


def runs(directory: Path) -> None:
    made = host(directory, BOTH)
    assert isinstance(apply_plan(made, plan_wishes(made, AS_DESCRIBED)), Success)


ONLY_WEB = {"web01": SMALL}


def test_a_locked_vm_stays_and_keeps_no_other_from_its_plan(tmp_path: Path) -> None:
    runs(tmp_path)
    both = host(tmp_path, BOTH)
    apply_plan(both, lifecycle.plan_verb(both, "lock", "db01"))
    less = host(tmp_path, {"web01": {**SMALL, "memory": "1GiB"}}, gone={"db01": "deprovisioned"})

    made = plan_wishes(less, AS_DESCRIBED)

    assert [step.vm for step in made.plan.steps] == ["web01", "web01"]
    assert made.warnings == ("db01: is locked, and so cannot be deprovisioned",)


def test_a_vm_that_is_to_be_gone_is_no_stray(tmp_path: Path) -> None:
    runs(tmp_path)
    less = host(tmp_path, ONLY_WEB, gone={"db01": "stopped"})
    apply_plan(less, plan_wishes(less, AS_DESCRIBED))

    assert plan_wishes(less, AS_DESCRIBED).plan.strays == ()
    assert inventory.strays_report(less) == {}
    assert inventory.overview_report(less)["strays"] == []


def test_a_vm_that_is_to_be_gone_stays_off_when_the_host_starts(tmp_path: Path) -> None:
    runs(tmp_path)
    less = host(tmp_path, ONLY_WEB, gone={"db01": "stopped"})
    apply_plan(less, plan_wishes(less, AS_DESCRIBED))

    assert plan_boot(less).plan.is_empty
    assert not plan_boot(host(tmp_path, ONLY_WEB)).plan.is_empty


def test_a_vm_that_was_never_here_is_gone(tmp_path: Path) -> None:
    for end in ("stopped", "undefined", "deprovisioned"):
        made = plan_wishes(host(tmp_path, {}, gone={"ghost": end}), AS_DESCRIBED)
        assert (made.plan.steps, made.warnings) == ((), ())


def test_a_wish_for_something_else_takes_nobody_away(tmp_path: Path) -> None:
    runs(tmp_path)
    less = host(tmp_path, ONLY_WEB, gone={"db01": "deprovisioned"})

    for target in ("defined", "locked", "provisioned"):
        made = plan_wishes(less, wishes({"target": target}))
        assert "db01" not in {step.vm for step in made.plan.steps}


def test_one_vm_is_taken_away_where_it_is_named_as_well(tmp_path: Path) -> None:
    runs(tmp_path)
    less = host(tmp_path, ONLY_WEB, gone={"db01": "stopped"})

    made = plan_wishes(less, wishes({}, ("db01",)))

    assert [describe(step.action, step.vm) for step in made.plan.steps] == [
        "shut down db01 (power off after 60 s)"
    ]
    assert plan_wishes(less, wishes({}, ("web01",))).plan.is_empty


def test_a_vm_that_is_to_be_gone_is_not_described_as_well(tmp_path: Path) -> None:
    runs(tmp_path)
    less = host(tmp_path, ONLY_WEB, gone={"db01": "stopped"})

    for raw in (None, SMALL):
        with pytest.raises(Refused, match="db01: is to be stopped: remove it from gone first"):
            lifecycle.plan_to(less, "db01", raw=raw)
    assert lifecycle.plan_verb(less, "stop", "db01").plan.steps


def test_a_host_elsewhere_is_planned_by_the_same_rules(tmp_path: Path) -> None:
    runs(tmp_path)
    recorded = record(host(tmp_path, BOTH))
    less = host(tmp_path, ONLY_WEB, gone={"db01": "stopped"}).config

    made = plan_recorded(AS_DESCRIBED, less, recorded)

    assert [step.vm for step in made.plan.steps] == ["db01"]
    both = host(tmp_path, BOTH).config
    with pytest.raises(Refused, match="nobody named"):
        plan_recorded(wishes({"target": "off"}), both, recorded)
    assert plan_recorded(wishes({"target": "off", "at_most": 2}), both, recorded).plan.steps


def test_a_wish_for_too_many_is_refused_for_all_and_not_done_for_a_few(tmp_path: Path) -> None:
    runs(tmp_path)
    more = {**BOTH, "bad": {"driver": "memory"}}

    for vms in (BOTH, more):
        with pytest.raises(Refused) as refused:
            plan_wishes(host(tmp_path, vms), wishes({"target": "off"}))
        assert refused.value.problems == (
            "vms: 2 of 2 VMs would be off although nobody named them (web01 and db01), and "
            "at_most 1 may be: name the VMs that you mean, or write at_most: 2",
        )


def test_the_words_of_a_wish_are_all_looked_at() -> None:
    with pytest.raises(Refused) as refused:
        wishes({"target": "of", "at_most": "many"})
    assert [problem.partition(":")[0] for problem in refused.value.problems] == [
        "target",
        "at_most",
    ]
    assert wishes({"at_most": 4}).at_most == 4
    assert wishes({}, ("web01",)).names == ("web01",)
