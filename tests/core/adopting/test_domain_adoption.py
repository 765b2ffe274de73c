"""A domain that something else made, adopted: the plan, and what is refused."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from geats_core import Checked, HostFacts, Observation, Plan, PoolFacts, Power, VMSpec, follow
from geats_core.adopting.domain_adoption import (
    FORGETS,
    NO_AUTOSTART,
    DomainText,
    plan_adopt_domain,
    read_domain_text,
)
from geats_core.adopting.found_domains import described
from geats_core.domains.machine_keys import driver_facts
from geats_core.planning.actions import Adopt, AdoptVolume, SetLimits
from geats_core.planning.plugin_facts import Offer
from geats_core.vm.observation import Stage, VolumeSeen
from geats_core.vm.parse import parse_vm
from tests.core.domains.test_domain_import import DISK, small

DATA = DISK.replace("'/r'", "'/d'").replace("vda", "vdb")
FOREIGN = Observation(foreign=True, power=Power.RUNNING)
FACTS = HostFacts(
    pools={name: PoolFacts(offers=Offer.FILE) for name in ("default", "files")},
    drivers={"qemu": driver_facts("qemu:///system", "qemu")},
)
SIZES = {"/r": 1 << 30, "/d": 2 << 30}


def text(within: str = "<vcpu>1</vcpu>", devices: str = DISK + DATA, **more: object) -> DomainText:
    found = small(within, devices)
    return replace(DomainText(xml=found, live=found), **more)  # type: ignore[arg-type]


def wanted(of: DomainText, **keys: object) -> VMSpec:
    """What the domain is, and these keys."""
    found, _ = read_domain_text("web", of, SIZES).unwrap()
    pools = dict.fromkeys(found.disks, "files")
    return parse_vm("web", {**described(found, pools, "image"), **keys}).unwrap()


def planned(
    of: DomainText,
    want: VMSpec | None = None,
    *,
    have: Observation = FOREIGN,
    unfit: Mapping[str, str] | None = None,
) -> Checked[Plan]:
    found, live = read_domain_text("web", of, SIZES).unwrap()
    return plan_adopt_domain(found, live, want or wanted(of), unfit or {}, have, FACTS, {})


def refused(of: DomainText, want: VMSpec | None = None, **more: Mapping[str, str]) -> list[str]:
    return [f"{each}" for each in planned(of, want, **more).failure()]  # type: ignore[arg-type]


def test_each_disk_becomes_a_volume_and_then_the_domain_is_defined() -> None:
    made = planned(text()).unwrap()
    root, data, adopt = (step.action for step in made.steps)
    assert isinstance(root, AdoptVolume)
    assert isinstance(adopt, Adopt)
    assert (root.pool, root.size_bytes, root.tree, root.template) == (
        *("files", 1 << 30, "/r"),
        "image",
    )
    assert data == AdoptVolume("files", "vdb", 2 << 30, "/d", "", "")
    then = follow(made, FOREIGN).unwrap()
    assert then.recorded == then.defined == then.in_effect == wanted(text())
    assert then.by_hand == adopt.keep
    assert {seen.name: (seen.stage, seen.template) for seen in then.volumes} == {
        "root": (Stage.INSTALLED, "image"),
        "vdb": (Stage.FORMATTED, None),
    }


def test_what_is_done_already_is_not_done_again() -> None:
    root = VolumeSeen(
        name="root", pool="files", stage=Stage.INSTALLED, active=True, template="image", guest="x"
    )
    made = planned(text(), have=replace_volumes(root)).unwrap()
    assert [type(step.action) for step in made.steps] == [AdoptVolume, Adopt]
    cut = VolumeSeen(name="root", pool="files", stage=Stage.ALLOCATED)
    made = planned(text(), have=replace_volumes(cut)).unwrap()
    assert [type(step.action) for step in made.steps] == [AdoptVolume, AdoptVolume, Adopt]


def replace_volumes(*volumes: VolumeSeen) -> Observation:
    return Observation(foreign=True, power=Power.RUNNING, volumes=volumes)


def test_what_is_described_otherwise_is_done_live_or_pending() -> None:
    want = wanted(text(), memory="512MiB", hostname="other")
    made = planned(text(), want).unwrap()
    assert [type(step.action) for step in made.steps][-1] is SetLimits
    assert "hostname" in {change.field for change in made.pending}


def test_what_the_description_says_takes_the_place_of_what_was_kept() -> None:
    screen = text(devices=DISK + DATA + "<graphics type='sdl'/><sound model='ich9'/>")
    hardware: dict[str, object] = {"display": "vnc", "guest": "none", "rng": False, "agent": False}
    want = wanted(screen, hardware={**hardware, "hotplug_ports": 0})
    step = next(s for s in planned(screen, want).unwrap().steps if isinstance(s.action, Adopt))
    assert isinstance(step.action, Adopt)
    assert "the description takes its place" in step.reason
    assert not any("graphics" in each for each in step.action.keep)
    assert any("sound" in each for each in step.action.keep)


def test_autostart_becomes_that_of_geats_and_a_password_is_told_of() -> None:
    of = text(autostart=True, has_secret=True)
    found, _ = read_domain_text("web", of, SIZES).unwrap()
    assert found.vm["autostart"] is True
    assert {NO_AUTOSTART, FORGETS} < {*found.told}
    plain, runs = read_domain_text("web", replace(text(), live=""), SIZES).unwrap()
    assert runs is plain
    bare = Observation(foreign=True)
    without = small("<vcpu>1</vcpu><os><boot dev='hd'/></os>", DISK)
    made = planned(replace(text(), xml=without, live=""), have=bare).unwrap()
    assert isinstance(made.steps[-1].action, Adopt)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"is_persistent": False}, "is transient"),
        ({"is_saved": True}, "managedsave-remove web"),
        ({"snapshots": 2}, "has 2 snapshots of libvirt"),
        ({"checkpoints": 1}, "has 1 checkpoints of libvirt"),
        ({"live": "<x/>"}, "must be a <domain>"),
    ],
)
def test_what_geats_would_not_know_of_is_refused(more: Mapping[str, object], why: str) -> None:
    (problem,) = read_domain_text("web", replace(text(), **more), SIZES).failure()  # type: ignore[arg-type]
    assert why in f"{problem}"


def test_a_disk_that_is_not_described_or_cannot_stay_is_refused() -> None:
    only_root = [{"name": "root", "pool": "files"}]
    (why,) = refused(text(), wanted(text(), volumes=only_root))
    assert why.startswith("web.volumes[vdb]: the domain has the disk /d, so describe")
    (why,) = refused(text(), unfit={"vdb": "is elsewhere"})
    assert why == "web.volumes[vdb].pool: is elsewhere"
    other = small("<vcpu>1</vcpu>", DISK + DATA.replace("'/d'", "'/e'"))
    (why,) = refused(text(live=other))
    assert "it runs with /d, and is defined otherwise" in why
    one = small("<vcpu>1</vcpu>", DISK)
    assert any("defined otherwise" in each for each in refused(text(xml=one), wanted(text())))


def test_a_domain_of_geats_is_not_adopted() -> None:
    (problem,) = planned(text(), have=Observation(power=Power.RUNNING)).failure()
    assert "is managed by geats already" in f"{problem}"


def test_what_it_runs_with_must_be_a_vm_too() -> None:
    assert refused(text(), replace(wanted(text()), template=""))
    live = small("<vcpu>1</vcpu>", DISK + DATA + NIC.format("zz"))
    found = small("<vcpu>1</vcpu>", DISK + DATA + NIC.format("02"))
    problems = read_domain_text("web", text(xml=found, live=live), SIZES).failure()
    assert any("mac" in f"{each}" for each in problems)


NIC = (
    "<interface type='bridge'><mac address='{0}:00:00:00:00:01'/><source bridge='b'/>"
    "<model type='virtio'/></interface>"
)
