"""VMs of one profile restart a few at a time, on a host in memory."""

from pathlib import Path

import pytest
from returns.result import Failure

from geats_core.planning.actions import AwaitReady, Start
from geats_core.plans.plan_files import SavedPlan, plan_from_json, to_json
from geats_host.calls.lifecycle import plan_verb
from geats_host.calls.reports import failure_text
from geats_host.drivers.memory import MemoryDriver
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import Refused
from geats_host.host import Host
from geats_host.planning.goals import wishes
from geats_host.planning.plans import plan_boot, plan_wishes
from tests.memory_host import memory_config

NAMES = ("web1", "web2", "web3", "web4")


def config(directory: Path, hostname: str = "one", **policy: object) -> dict[str, object]:
    profile = {
        "driver": "memory",
        "template": "debian",
        "hostname": hostname,
        "ready": {"tcp": 80, "timeout": "1s"},
    }
    return {
        **memory_config(directory),
        "profiles": {"web": profile},
        "vms": {name: {"profile": "web"} for name in NAMES},
        "policy": policy,
    }


def driver(host: Host) -> MemoryDriver:
    found = host.drivers["memory"]
    assert isinstance(found, MemoryDriver)
    return found


def planned(
    directory: Path, hostname: str, policy: object = 2, at_once: object = None
) -> tuple[Host, SavedPlan]:
    host = Host.from_config(config(directory, hostname, at_once=policy))
    return host, plan_wishes(host, wishes({} if at_once is None else {"at_once": at_once}))


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """A host on which all of them run, and are ready."""
    host = Host.from_config(config(tmp_path))
    driver(host).listening = dict.fromkeys([(name, 80) for name in NAMES], b"")
    applied = apply_plan(host, plan_wishes(host, wishes({})))
    assert not isinstance(applied, Failure)
    return tmp_path


def gates(made: SavedPlan) -> list[str]:
    return [step.reason.partition(":")[0] for step in made.plan.steps if not step.vm]


def test_the_policy_says_how_many_of_a_profile_restart_at_once(there: Path) -> None:
    assert gates(planned(there, "two")[1]) == ["profile web, wave 1 of 2"]
    assert gates(planned(there, "two", policy="25%")[1]) == [
        f"profile web, wave {wave} of 4" for wave in (1, 2, 3)
    ]


def test_vms_of_one_label_stand_in_for_each_other(tmp_path: Path) -> None:
    def host_of(hostname: str) -> Host:
        raw = config(tmp_path, hostname, at_once=1, by="label:role")
        roles = {"web1": "web", "web2": "web", "web3": "db"}
        vms = {name: {"profile": "web", "labels": {"role": role}} for name, role in roles.items()}
        return Host.from_config({**raw, "vms": {**vms, "web4": {"profile": "web"}}})

    host = host_of("one")
    driver(host).listening = dict.fromkeys([(name, 80) for name in NAMES], b"")
    assert not isinstance(apply_plan(host, plan_wishes(host, wishes({}))), Failure)

    assert gates(plan_wishes(host_of("two"), wishes({}))) == ["label role=web, wave 1 of 2"]
    with pytest.raises(Refused, match=r"policy\.by: must be a label's name"):
        Host.from_config(config(tmp_path, "two", by="label:a b"))


def test_who_asks_may_say_another_number(there: Path) -> None:
    assert gates(planned(there, "two", at_once=3)[1]) == ["profile web, wave 1 of 2"]
    assert gates(planned(there, "two", at_once="100%")[1]) == []
    with pytest.raises(Refused, match=r"at_once: must be a number of VMs from 1, or a part"):
        planned(there, "two", at_once="few")


def test_a_rollout_stops_at_the_first_that_is_not_ready_and_stays_so(there: Path) -> None:
    host, made = planned(there, "two")
    del driver(host).listening["web2", 80]

    text = failure_text(apply_plan(host, made).failure())

    assert text.splitlines()[0] == "web2 is not ready: after 1 s: port 80: Connection refused"
    assert text.splitlines()[-1] == "left as before: web3, web4, because web2 is not ready"
    host, again = planned(there, "two")
    text = failure_text(apply_plan(host, again).failure())
    assert text.splitlines()[-1] == "left as before: web3, web4, because web2 is not ready"
    assert [step.vm for step in again.plan.steps if isinstance(step.action, Start)] == [
        "web3",
        "web4",
    ]

    driver(host).listening["web2", 80] = b""
    assert not isinstance(apply_plan(host, planned(there, "two")[1]), Failure)
    assert planned(there, "two")[1].plan.is_empty  # and nothing is probed


def test_one_that_is_refused_stands_in_and_must_be_ready(there: Path) -> None:
    refused = {**config(there, "two", at_once=2)}
    vms = {name: {"profile": "web"} for name in NAMES}
    refused["vms"] = {**vms, "web4": {"profile": "web", "after": ["nobody"]}}
    host = Host.from_config(refused)

    made = plan_wishes(host, wishes({}))

    assert list(made.refused) == ["web4"]
    assert (made.plan.steps[0].vm, type(made.plan.steps[0].action)) == ("web4", AwaitReady)
    assert not isinstance(apply_plan(host, made), Failure)


def test_the_start_of_the_host_probes_nothing_that_no_other_comes_after(tmp_path: Path) -> None:
    raw = {**config(tmp_path), "vms": {"web1": {"profile": "web", "autostart": True}}}
    host = Host.from_config(raw)
    assert not isinstance(apply_plan(host, plan_verb(host, "define", "web1")), Failure)

    kinds = [type(step.action) for step in plan_boot(host).plan.steps]

    assert kinds[-1] is Start
    assert AwaitReady not in kinds


def test_a_plan_with_waves_is_saved_and_read(there: Path) -> None:
    host, made = planned(there, "two")

    assert plan_from_json(to_json(made)).unwrap() == made
    del driver(host).listening["web2", 80]
    apply_plan(host, made)
    host, checking = planned(there, "two")
    assert plan_from_json(to_json(checking)).unwrap() == checking
