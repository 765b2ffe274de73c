"""Why there is no plan: every reason, with the path of what it is about."""

from dataclasses import replace
from typing import Any

import pytest
from returns.result import Success

from geats_core import (
    DataLoss,
    DriverFacts,
    Goal,
    HostFacts,
    Impact,
    NoStart,
    Observation,
    Offer,
    PoolFacts,
    Power,
    Restart,
    Stage,
    Target,
    VMSpec,
    VolumeSeen,
    parse_vm,
    plan,
)
from geats_core.planning.actions import AllocateVolume, GrowVolume
from geats_core.vm.guest_files import guest_digest
from geats_core.vm.spec import Nic, RootKind
from tests.core.hosts import at

ROOT = {"name": "root", "pool": "fast", "size": "10GiB"}
DATA = {"name": "data", "mount": "/data", "pool": "fast", "size": "10GiB"}


def web(*volumes: object, **changed: object) -> VMSpec:
    raw = {"template": "debian", "volumes": list(volumes) or [ROOT, DATA]}
    return parse_vm("web", raw | changed).unwrap()


WEB = web()
TRANSIENT = web(transient=True)
OFF = at(Target.STOPPED, WEB)["web"]
ON = at(Target.RUNNING, WEB)["web"]
NOTHING_KNOWN = HostFacts(drivers={}, pools={})


def reasons(goal: Goal, have: Observation, facts: HostFacts | None = None) -> list[str]:
    return [str(each) for each in plan(goal, have, facts).failure()]


def goal(target: Target, spec: VMSpec | None = None, **policy: object) -> Goal:
    return replace(Goal(name="web", target=target, spec=spec), **policy)  # type: ignore[arg-type]


@pytest.mark.parametrize("target", Target)
def test_a_vm_that_geats_did_not_make_is_left_alone(target: Target) -> None:
    foreign = Observation(power=Power.RUNNING, foreign=True)

    assert reasons(goal(target, WEB), foreign) == [
        "web: there is a VM of this name on the host that geats did not make: it is left alone "
        "until it is adopted"
    ]


def test_a_vm_that_geats_did_not_make_is_powered_off_with_leave() -> None:
    foreign = Observation(power=Power.RUNNING, foreign=True)
    off = plan(goal(Target.OFF, foreign=True), foreign).unwrap()

    assert [step.reason for step in off.steps] == ["web should be off"]


BOUND = web(binds={"media": {"source": "/srv/media/films", "mount": "/media"}})


@pytest.mark.parametrize(
    ("allowed", "listed"),
    [
        ([], "there is none"),
        (["/srv/b", "/srv/media/film", "/srv/a"], "/srv/a, /srv/b, /srv/media/film"),
    ],
)
def test_what_is_bound_must_be_within_what_the_host_allows(allowed: list[str], listed: str) -> None:
    facts = HostFacts(bind_sources=frozenset(allowed))

    assert reasons(goal(Target.DEFINED, BOUND), OFF, facts) == [
        "web.binds.media.source: '/srv/media/films' is not within what bind_sources allows"
        f" ({listed})"
    ]


@pytest.mark.parametrize("allowed", [None, {"/srv/media"}, {"/srv/media/films", "/x"}])
def test_what_is_within_what_the_host_allows_is_bound(allowed: set[str] | None) -> None:
    facts = HostFacts(bind_sources=None if allowed is None else frozenset(allowed))
    made = plan(goal(Target.RUNNING, BOUND), ON, facts).unwrap()

    assert made.impact is Impact.RESTART
    assert made.steps[0].reason == "binds changed [] → [media /srv/media/films /media read_only]"


DRIVER = "web.driver: unknown driver 'lxc' (there is none)"
POOLS = [
    "web.volumes[root].pool: unknown pool 'fast' (there is none)",
    "web.volumes[data].pool: unknown pool 'fast' (there is none)",
]


@pytest.mark.parametrize(
    ("target", "spec", "why"),
    [
        (Target.OFF, WEB, [DRIVER]),
        (Target.OFF, TRANSIENT, [DRIVER]),
        (Target.UNDEFINED, WEB, [DRIVER]),
        (Target.UNDEFINED, TRANSIENT, [DRIVER, *POOLS]),
        (Target.DEPROVISIONED, WEB, [DRIVER, *POOLS]),
    ],
)
def test_a_vm_is_taken_away_only_with_all_that_it_takes(
    target: Target, spec: VMSpec, why: list[str]
) -> None:
    """The driver always; the pools where volumes go."""
    have = at(Target.STOPPED, spec)["web"]

    assert reasons(goal(target), have, NOTHING_KNOWN) == why


def test_a_goal_without_a_spec_says_what_is_missing() -> None:
    assert reasons(goal(Target.RUNNING), Observation()) == [
        "web: is not defined, and nothing describes it"
    ]


def test_no_volume_shrinks_and_those_without_a_size_are_no_hindrance() -> None:
    small = {**DATA, "size": "1GiB"}
    unsized = {key: value for key, value in ROOT.items() if key != "size"}

    assert reasons(goal(Target.STOPPED, web(unsized, small)), OFF) == [
        "web.volumes[data].size: a volume cannot shrink from 10GiB to 1GiB"
    ]
    unmeasured = replace(OFF, volumes=tuple(replace(v, size_bytes=None) for v in OFF.volumes))
    assert isinstance(plan(goal(Target.STOPPED, web(ROOT, small)), unmeasured), Success)
    assert isinstance(plan(goal(Target.STOPPED, web(unsized, DATA)), OFF), Success)


def test_a_new_volume_is_as_large_as_its_pool_needs() -> None:
    facts = HostFacts(pools={"default": PoolFacts(least_bytes=300 * 2**20)})
    small = parse_vm("web", {"template": "debian", "volumes": [{"name": "root", "size": "1MiB"}]})
    goal = Goal(name="web", target=Target.RUNNING, spec=small.unwrap())
    (problem,) = plan(goal, Observation(), facts).failure()
    assert str(problem) == (
        "web.volumes[root].size: must be at least 300MiB in the pool 'default', got 1MiB"
    )
    there = VolumeSeen(name="root", pool="default", stage=Stage.FORMATTED, size_bytes=2**20)
    assert isinstance(plan(goal, Observation(volumes=(there,)), facts), Success)


def test_a_reinit_may_shrink_the_root_and_nothing_else() -> None:
    smaller = web({**ROOT, "size": "1GiB"}, {**DATA, "size": "1GiB"})

    assert reasons(goal(Target.REINITIALISED, smaller), OFF) == [
        "web.volumes[data].size: a volume cannot shrink from 10GiB to 1GiB"
    ]


def test_a_data_volume_moves_to_another_pool_only_with_leave_to_lose_data() -> None:
    moved = web(ROOT, {**DATA, "pool": "slow"})
    why = "web.volumes[data].pool: changing it from fast to slow loses the data on the volume data"

    assert reasons(goal(Target.STOPPED, moved), OFF) == [f"{why}: allow data loss"]
    assert reasons(goal(Target.REINITIALISED, moved), OFF) == [f"{why}: allow data loss"]
    assert reasons(goal(Target.STOPPED, moved), replace(OFF, locked=True)) == [
        "web.volumes[data].pool: cannot change from fast to slow: the VM is locked"
    ]
    assert isinstance(plan(goal(Target.STOPPED, moved, data_loss=DataLoss.ALLOWED), OFF), Success)


def test_a_reinit_needs_no_further_leave_for_the_root() -> None:
    assert isinstance(plan(goal(Target.REINITIALISED, web(template="alpine")), OFF), Success)


def test_a_root_in_another_pool_does_not_hide_what_else_would_be_lost() -> None:
    old_root = VolumeSeen(name="root", pool="attic", stage=Stage.INSTALLED, template="debian")
    have = replace(OFF, volumes=(old_root, *OFF.volumes))
    moved = web(ROOT, {**DATA, "pool": "slow"})

    assert reasons(goal(Target.REINITIALISED, moved), have) == [
        "web.volumes[data].pool: changing it from fast to slow loses the data on the volume data: "
        "allow data loss"
    ]


def test_a_volume_that_the_spec_no_longer_names_is_left_where_it_is() -> None:
    assert [v.name for v in OFF.volumes] == ["data", "root"]
    planned = plan(goal(Target.STOPPED, web(ROOT), data_loss=DataLoss.ALLOWED), OFF).unwrap()

    assert [step.impact for step in planned.steps] == [Impact.NONE]


def test_every_step_above_the_greatest_impact_is_named() -> None:
    allowed = goal(Target.DEPROVISIONED, max_impact=Impact.LIVE)

    assert reasons(allowed, at(Target.RUNNING, web(ROOT))["web"]) == [
        "web: step 1, shut down web (power off after 60 s), because web should be deprovisioned, "
        "has impact restart, and live is the most that is allowed",
        "web: step 2, destroy volume web/root in pool fast, because web should be "
        "deprovisioned, has impact data_loss, and live is the most that is allowed",
    ]


def test_a_stuck_monitor_is_in_the_way_only_of_what_has_to_run() -> None:
    stuck = replace(ON, power=Power.STUCK)
    why = "web.restart: its monitor is stuck, and repairing it would restart the VM"

    for target in (Target.RUNNING, Target.FROZEN):
        assert reasons(goal(target, WEB, restart=Restart.NEVER), stuck) == [why]
    assert plan(goal(Target.PROVISIONED, WEB, restart=Restart.NEVER), stuck).unwrap().is_empty
    assert plan(goal(Target.RUNNING, WEB, restart=Restart.NEVER), ON).unwrap().is_empty


def test_a_privileged_vm_stays_out_of_pools_for_others() -> None:
    facts = HostFacts(pools={"fast": PoolFacts(shifted_by=100_000)})

    assert reasons(goal(Target.STOPPED, web(ROOT, privileged=True)), Observation(), facts) == [
        "web.volumes[root].pool: the pool 'fast' is for unprivileged VMs only, and the VM is "
        "privileged"
    ]
    assert isinstance(plan(goal(Target.STOPPED, web(ROOT)), Observation(), facts), Success)


@pytest.mark.parametrize("target", Target)
def test_a_vm_that_another_host_has_in_a_shared_pool_is_not_made_a_second_time(
    target: Target,
) -> None:
    facts = HostFacts(pools={"fast": PoolFacts(shared=True, elsewhere={"web": "host-b"})})
    said = (
        "'fast' is shared, and host-b has web there: move it here (salt-run geats.migrate, "
        "geats fetch), or give this VM another name"
    )
    made = target.takes_spec and target is not Target.DEFINED
    found = plan(goal(target, web(ROOT)), Observation(recorded=web(ROOT)), facts)
    problems = [] if isinstance(found, Success) else [str(each) for each in found.failure()]
    assert (f"web.volumes[root].pool: {said}" in problems) == made
    assert isinstance(plan(goal(Target.RUNNING, WEB), ON, facts), Success)


def test_nothing_is_done_for_a_start_that_the_host_does_not_allow() -> None:
    no = NoStart(why="AppArmor has no parser: install it", unless="lxc.apparmor.profile")
    facts = HostFacts(drivers={"lxc": DriverFacts(no_start=no)})
    said = "web.driver: the driver 'lxc' can start no VM now: AppArmor has no parser: install it"
    assert reasons(goal(Target.RUNNING, WEB), Observation(), facts) == [said]
    changed = web(privileged=True)
    assert reasons(goal(Target.RUNNING, changed), ON, facts) == [said]
    for target in (Target.STOPPED, Target.PROVISIONED, Target.DEFINED):
        assert isinstance(plan(goal(target, WEB), Observation(), facts), Success)


def test_a_vm_with_a_profile_by_hand_starts_without_the_parser() -> None:
    no = NoStart(why="AppArmor has no parser", unless="lxc.apparmor.profile")
    facts = HostFacts(drivers={"lxc": DriverFacts(no_start=no)})
    have = Observation(by_hand=("lxc.apparmor.profile = unconfined",))
    assert isinstance(plan(goal(Target.RUNNING, WEB), have, facts), Success)


def test_if_no_line_by_hand_lets_it_start_none_does() -> None:
    facts = HostFacts(drivers={"lxc": DriverFacts(no_start=NoStart(why="there is no hardware"))})
    have = Observation(by_hand=("lxc.apparmor.profile = unconfined",))
    said = "web.driver: the driver 'lxc' can start no VM now: there is no hardware"
    assert reasons(goal(Target.RUNNING, WEB), have, facts) == [said]


DIRECTORY = frozenset({Offer.DIRECTORY})
SHARING = web(ROOT, shared_volumes={"films": {"vm": "nas", "pool": "slow", "mount": "/films"}})


def able(
    roots: frozenset[Offer] | None, volumes: frozenset[Offer] | None, **offers: Offer | None
) -> HostFacts:
    pools = {name: PoolFacts(offers=offer) for name, offer in offers.items()}
    return HostFacts(drivers={"lxc": DriverFacts(roots=roots, volumes=volumes)}, pools=pools)


@pytest.mark.parametrize("target", [Target.RUNNING, Target.PROVISIONED, Target.DEFINED])
@pytest.mark.parametrize("offer", [Offer.FILE, Offer.BLOCK_DEVICE])
def test_a_root_that_the_driver_cannot_start_from_is_refused_before_anything_is_made(
    target: Target, offer: Offer
) -> None:
    pool = f"offers a {offer}: use a pool of the type filesystem on it"
    assert reasons(goal(target, WEB), Observation(), able(DIRECTORY, DIRECTORY, fast=offer)) == [
        f"web.volumes[data].pool: the driver 'lxc' needs a directory, and pool 'fast' {pool}",
        f"web.volumes[root].pool: the driver 'lxc' needs a directory, and pool 'fast' {pool}",
    ]


def test_what_a_driver_needs_is_told_of_each_volume() -> None:
    disks = frozenset({Offer.FILE, Offer.BLOCK_DEVICE})
    facts = able(disks, frozenset(), fast=Offer.DIRECTORY, slow=Offer.NOTHING)
    assert reasons(goal(Target.RUNNING, SHARING), Observation(), facts) == [
        "web.volumes[root].pool: the driver 'lxc' needs a block device or a file, and pool 'fast' "
        "offers a directory",
        "web.shared_volumes.films.pool: the driver 'lxc' needs a volume of no kind, and pool "
        "'slow' offers nothing that can contain files",
    ]


@pytest.mark.parametrize(
    "facts",
    [
        able(DIRECTORY, DIRECTORY, fast=Offer.DIRECTORY),
        able(DIRECTORY, DIRECTORY, fast=None),
        able(None, None, fast=Offer.FILE),
        able(frozenset({Offer.FILE}), None, fast=Offer.FILE),
    ],
)
def test_what_a_driver_takes_and_what_is_not_known_is_no_reason(facts: HostFacts) -> None:
    assert isinstance(plan(goal(Target.RUNNING, WEB), Observation(), facts), Success)


@pytest.mark.parametrize("target", Target)
def test_nothing_is_done_to_a_name_that_two_drivers_have(target: Target) -> None:
    have = Observation(recorded=WEB, defined=WEB, drivers=("lxc", "memory"))

    (found,) = plan(Goal(name="web", target=target, spec=WEB), have).failure()
    assert str(found).startswith("web: the drivers 'lxc' and 'memory' each have a VM of this name")


def disk_host(driver: DriverFacts, offers: Offer | None = Offer.FILE) -> HostFacts:
    """One with a tree and two disk images, of which one is of 2 GiB."""
    return HostFacts(
        drivers={"lxc": driver},
        pools={"fast": PoolFacts(offers=offers), "slow": PoolFacts()},
        templates=frozenset({"debian", "image", "later"}),
        disks={"image": 2 * 2**30, "later": None},
    )


MACHINES = DriverFacts(root_kind=RootKind.DISK, guests_mount=True, whole_cpus=True)
CONTAINERS = DriverFacts(root_kind=RootKind.TREE, guests_mount=False)


def rooted(template: str, size: str | None = None, **keys: object) -> VMSpec:
    sized = {} if size is None else {"size": size}
    return web({"name": "root", "pool": "fast", **sized}, template=template, **keys)


def test_a_template_is_of_the_kind_that_its_driver_needs() -> None:
    disk, tree = disk_host(MACHINES), disk_host(CONTAINERS, Offer.DIRECTORY)
    assert reasons(goal(Target.RUNNING, rooted("debian")), Observation(), disk) == [
        "web.template: the driver 'lxc' needs a disk image, and the template 'debian' is a tree of"
        " files"
    ]
    assert reasons(goal(Target.DEFINED, rooted("image")), Observation(), tree) == [
        "web.template: the driver 'lxc' needs a tree of files, and the template 'image' is a disk"
        " image"
    ]
    for facts, template in ((disk, "image"), (disk, "later"), (tree, "debian")):
        made = plan(goal(Target.RUNNING, rooted(template)), Observation(), facts)
        assert isinstance(made, Success)


@pytest.mark.parametrize(
    ("template", "offers"),
    [("debian", Offer.FILE), ("debian", Offer.QCOW2), ("image", Offer.DIRECTORY)],
)
def test_where_the_driver_does_not_say_the_pool_tells_what_fits(
    template: str, offers: Offer
) -> None:
    (found,) = reasons(
        goal(Target.RUNNING, rooted(template)), Observation(), disk_host(DriverFacts(), offers)
    )
    assert found.startswith(f"web.template: the pool 'fast' of the root offers a {offers}, and")


def room_for(root: VMSpec, have: Observation, **pool: Any) -> list[object]:
    """Which steps give the root its size, in a pool of that kind."""
    facts = replace(disk_host(MACHINES), pools={"fast": PoolFacts(offers=Offer.FILE, **pool)})
    steps = plan(goal(Target.RUNNING, root), have, facts).unwrap().steps
    return [each.action for each in steps if isinstance(each.action, AllocateVolume | GrowVolume)]


def test_a_root_without_a_size_is_as_large_as_its_image_needs() -> None:
    where, gib = ("fast", "root"), 2**30
    for root, default_bytes, size_bytes in (
        (rooted("image"), gib, 2 * gib),
        (rooted("image"), 4 * gib, 4 * gib),
        (rooted("image"), None, None),  # nobody knows how large it would be
        (rooted("later"), gib, None),  # nobody knows how large it has to be
        (rooted("image", "3GiB"), gib, 3 * gib),
    ):
        made = room_for(root, Observation(), default_bytes=default_bytes)
        assert made == [AllocateVolume(*where, size_bytes)]


def test_a_root_grows_for_an_image_that_was_not_known_when_it_was_made() -> None:
    made = VolumeSeen(name="root", pool="fast", stage=Stage.FORMATTED, size_bytes=2**30)
    filled = replace(made, stage=Stage.INSTALLED, template="image")
    for seen, grown in (
        (made, [GrowVolume("fast", "root", 2 * 2**30)]),
        (replace(made, size_bytes=3 * 2**30), []),
        (replace(made, size_bytes=None), [GrowVolume("fast", "root", 2 * 2**30)]),
        (filled, []),
    ):
        have = Observation(recorded=rooted("image"), volumes=(seen,))
        assert room_for(rooted("image"), have, default_bytes=2**30) == grown


def test_a_device_that_is_smaller_than_the_image_is_refused() -> None:
    def device(size_bytes: int) -> HostFacts:
        pool = PoolFacts(offers=Offer.BLOCK_DEVICE, enforces_size=False, size_bytes=size_bytes)
        return replace(disk_host(MACHINES), pools={"fast": pool})

    wanted = goal(Target.DEFINED, rooted("image"))
    assert reasons(wanted, Observation(), device(2**30)) == [
        "web.volumes[root].pool: the pool 'fast' has 1GiB, and the template 'image' needs 2GiB"
    ]
    assert isinstance(plan(wanted, Observation(), device(2 * 2**30)), Success)


@pytest.mark.parametrize("offers", [Offer.NOTHING, None])
@pytest.mark.parametrize("template", ["debian", "image"])
def test_what_is_in_memory_only_takes_any_template(template: str, offers: Offer | None) -> None:
    facts = disk_host(DriverFacts(), offers)
    made = plan(goal(Target.RUNNING, rooted(template)), Observation(), facts)
    assert isinstance(made, Success)


def test_a_root_is_not_smaller_than_its_image() -> None:
    facts = disk_host(MACHINES)
    assert reasons(goal(Target.RUNNING, rooted("image", "1GiB")), Observation(), facts) == [
        "web.volumes[root].size: must be at least 2GiB, the size of the template 'image', got 1GiB"
    ]
    for want in (rooted("image", "2GiB"), rooted("image"), rooted("later", "1GiB")):
        assert isinstance(plan(goal(Target.RUNNING, want), Observation(), facts), Success)


def test_a_root_that_is_there_is_none_to_install() -> None:
    """It was adopted, or its template is another one since: only a reinit would need that."""
    want = rooted("debian", "1GiB")
    root = VolumeSeen(
        name="root",
        pool="fast",
        stage=Stage.INSTALLED,
        active=True,
        size_bytes=2**30,
        template="debian",
        guest=guest_digest(want),
    )
    have = Observation(recorded=want, defined=want, volumes=(root,))
    facts = disk_host(MACHINES)
    assert isinstance(plan(goal(Target.RUNNING, want), have, facts), Success)
    assert reasons(goal(Target.REINITIALISED, want), have, facts)


def test_a_volume_without_a_mount_is_for_guests_that_mount_themselves() -> None:
    bare = {"name": "data", "pool": "slow"}
    want = web({"name": "root", "pool": "fast"}, bare, template="debian")
    said = (
        "web.volumes[data].mount: is missing: guests of the driver 'lxc' mount nothing themselves"
    )
    tree = disk_host(CONTAINERS, Offer.DIRECTORY)
    assert reasons(goal(Target.RUNNING, want), Observation(), tree) == [said]
    image = replace(want, template="image")
    for facts in (disk_host(MACHINES), HostFacts()):
        assert isinstance(plan(goal(Target.RUNNING, image), Observation(), facts), Success)


def test_a_part_of_a_cpu_is_for_drivers_that_have_that() -> None:
    facts = disk_host(MACHINES)
    assert reasons(goal(Target.RUNNING, rooted("image", cpus=1.5)), Observation(), facts) == [
        "web.cpus: must be a whole number for the driver 'lxc', got 1.5"
    ]
    for want, host in ((rooted("image", cpus=2), facts), (rooted("image", cpus=1.5), HostFacts())):
        assert isinstance(plan(goal(Target.RUNNING, want), Observation(), host), Success)


def test_a_nic_without_a_bridge_is_for_drivers_that_connect_it_elsewhere() -> None:
    want = replace(web(template="debian"), nics=(Nic(name="eth0", bridge="", mac=""),))

    def wanted(keys: dict[str, object] | None) -> HostFacts:
        return HostFacts(drivers={"lxc": DriverFacts(keys=keys)}, bridges=frozenset())

    running = goal(Target.RUNNING, want)
    assert reasons(running, Observation(), wanted({})) == ["web.nics[eth0].bridge: is missing"]
    assert isinstance(plan(running, Observation(), wanted({"nics": {}})), Success)
    assert isinstance(plan(running, Observation(), wanted(None)), Success)
