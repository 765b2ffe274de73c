"""Volumes that VMs share, on a host in memory: plans for one VM, and for the host's start."""

from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest

from geats_core.hostwide.host_planner import boot_goals
from geats_core.vm.observation import Observation
from geats_host.calls import lifecycle
from geats_host.engine.apply_plan import apply_plan
from geats_host.host import Host
from geats_host.planning.goals import Wishes, wanted
from geats_host.planning.plans import plan_each, plan_halt, plan_wishes
from tests.memory_host import memory_config, memory_host
from tests.problems import in_words

MEDIA = {"name": "media", "mount": "/media", "shared": True}
OWNER: dict[str, object] = {"profile": "small", "volumes": [{"name": "root"}, MEDIA]}
READER: dict[str, object] = {
    "profile": "small",
    "shared_volumes": {"films": {"vm": "nas", "volume": "media", "mount": "/f"}},
}
VMS: dict[str, dict[str, object]] = {
    "app": READER,
    "nas": OWNER,
    "web": READER,
    "huge": {"profile": "small"},
}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host on which all of them run, and are to after its next start."""
    vms = {name: {**vm, "autostart": True} for name, vm in VMS.items()}
    host = memory_host(tmp_path, {"vms": vms})
    planned = plan_wishes(host, Wishes(wanted({"target": "running"})))
    apply_plan(host, planned).unwrap()
    return host


def restarted(host: Host) -> dict[str, Observation]:
    """What there is once the host itself has started again."""
    off = plan_halt(host)
    apply_plan(host, off).unwrap()
    return {
        name: replace(have, volumes=tuple(replace(volume, active=False) for volume in have.volumes))
        for name, have in host.observe_all().items()
    }


def started(host: Host, seen: dict[str, Observation]) -> tuple[set[str], tuple[str, ...]]:
    """Which VMs would start, and why the others would not."""
    made = plan_each(host, boot_goals(seen), seen)
    why = tuple(map(str, chain.from_iterable(made.refused.values())))
    return {plan.name for plan in made.plan.plans}, why


def test_who_mounts_what_is_not_there_is_left_out_when_the_host_starts(host: Host) -> None:
    seen = restarted(host)
    assert started(host, seen) == ({"app", "nas", "web", "huge"}, ())
    del seen["nas"]
    kept, warnings = started(host, seen)
    assert kept == {"huge"}
    assert warnings == tuple(
        f"{name}.shared_volumes.films: nas is not defined, or will not be"
        for name in ("app", "web")
    )


def test_who_mounts_a_volume_starts_whatever_else_cannot(host: Host) -> None:
    """Although it comes before the owner, and the plan for all of them is refused."""
    seen = restarted(host)
    huge = seen["huge"].recorded
    assert huge is not None
    seen["huge"] = replace(seen["huge"], recorded=replace(huge, template="gone"))
    kept, warnings = started(host, seen)
    assert kept == {"app", "nas", "web"}
    assert {warning.partition(":")[0] for warning in warnings} == {"huge.template"}


def test_validation_takes_declared_vms_as_if_they_were_there(tmp_path: Path) -> None:
    def wrong(**vms: object) -> dict[str, list[str]]:
        return in_words(lifecycle.validate({**memory_config(tmp_path), "vms": vms}))

    assert wrong(nas=OWNER, web=READER) == {"nas": [], "web": []}
    assert wrong(web=READER) == {
        "web": [],
        lifecycle.TOGETHER: ["web.shared_volumes.films: nas is not defined, or will not be"],
    }
