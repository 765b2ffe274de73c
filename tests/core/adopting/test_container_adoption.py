"""What the config of a container that something else made becomes, and what is refused."""

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256

import pytest
from returns.result import Failure, Success

from geats_core import (
    Checked,
    DriverFacts,
    HostFacts,
    Observation,
    Plan,
    PoolFacts,
    Power,
    Stage,
    VMSpec,
    VolumeSeen,
    explain,
    follow,
    parse_vm,
    plan,
    to_plain,
)
from geats_core.adopting.container_adoption import FoundVM, RootSeen, plan_adopt, read_found
from geats_core.containers.own_ids import OwnIds
from geats_core.foreign.lxc_lines import OnHost, root_of
from geats_core.planning.actions import Adopt, AdoptVolume, Lock, SetLimits
from geats_core.planning.goal import Goal, Target
from geats_core.planning.model import after
from geats_core.vm.guest_files import guest_digest
from geats_core.vm.lxc_config import COMMON
from tests.core.hosts import LXC

FILE = "/lxc/web/config"
TREE = "/lxc/web/rootfs"
CONFIG = f"""\
# by hand
lxc.include = /usr/share/lxc/config/common.conf
lxc.include = /usr/share/lxc/config/debian.common.conf
lxc.include = /usr/share/lxc/config/nesting.conf
lxc.uts.name = web
lxc.rootfs.path = dir:{TREE}
lxc.apparmor.profile = generated
lxc.signal.halt = SIGRTMIN+3
lxc.cap.drop = sys_time
lxc.net.0.type = veth
lxc.net.0.link = br0
lxc.net.0.flags = up
lxc.net.0.hwaddr = 00:16:3e:00:00:02
lxc.net.0.veth.ipv4.route = 10.9.0.0/16
lxc.net.0.ipv4.address = 10.0.0.2/24
lxc.cgroup2.memory.max = 1073741824
lxc.cgroup2.pids.max = max
lxc.start.auto = 1
lxc.mount.entry = /etc/localtime etc/localtime none bind,create=file 0 0
lxc.hook.start = /bin/true
"""
STANDARD = "lxc.cap.drop=sys_time\nlxc.mount.auto = proc\n"
DEBIAN, NESTING = (COMMON.replace("common", each) for each in ("debian.common", "nesting"))
HOST = OnHost(
    standard=STANDARD,
    includes={
        COMMON: ((COMMON, STANDARD),),
        DEBIAN: ((DEBIAN, f"lxc.include = {COMMON}\n"),),
        NESTING: ((NESTING, "lxc.mount.entry = proc dev/.lxc/proc proc create=dir 0 0\n"),),
    },
)
KEPT = (
    "lxc.apparmor.profile = generated",
    "lxc.cap.drop = sys_time",
    "lxc.net.0.veth.ipv4.route = 10.9.0.0/16",
    "lxc.mount.entry = /etc/localtime etc/localtime none bind,create=file 0 0",
    "lxc.hook.start = /bin/true",
)
NIC = {
    "name": "eth0",
    "bridge": "br0",
    "mac": "00:16:3e:00:00:02",
    "addresses": ["10.0.0.2/24"],
}
NO_PROFILE = "lxc.apparmor.profile ="  # liblxc's default, in place of the one that geats writes
SAID: Mapping[str, object] = {
    "privileged": True,
    "hostname": "web",
    "init": "systemd",
    "includes": [COMMON, DEBIAN, NESTING],
    "memory": 1 << 30,
    "nics": [NIC],
    "autostart": {"enabled": True},
}
FACTS = HostFacts(
    drivers=LXC,
    pools={"default": PoolFacts(), "fast": PoolFacts()},
    templates=frozenset({"debian"}),
)
ROOT = RootSeen(owner=0, volume="/pool/web/root/rootfs", others={})
OFF = Observation(foreign=True)
ON = replace(OFF, power=Power.RUNNING)


def vm(**changed: object) -> VMSpec:
    return parse_vm("web", {**SAID, "template": "debian", **changed}).unwrap()


def found(text: str = CONFIG) -> FoundVM:
    return read_found("web", FILE, text, HOST).unwrap()


def adopted(
    want: VMSpec | None = None,
    have: Observation = ON,
    root: RootSeen = ROOT,
    text: str = CONFIG,
    **others: VMSpec,
) -> Checked[Plan]:
    return plan_adopt(found(text), want or vm(), root, have, FACTS, others)


def lines(made: Checked[Plan] | Checked[FoundVM]) -> list[str]:
    """The steps without their impact; or the problems."""
    match made:
        case Success(Plan() as made_plan):
            return [line.partition(" (impact")[0] for line in explain(made_plan).splitlines()]
        case Success(other):
            return [str(other)]
        case Failure(problems):
            return [str(each) for each in problems]


def test_a_config_becomes_a_vm_and_the_lines_that_stay() -> None:
    assert found() == FoundVM(
        name="web",
        file=FILE,
        vm={
            "privileged": True,
            "hostname": "web",
            "init": "systemd",
            "includes": [COMMON, DEBIAN, NESTING],
            "memory": "1GiB",
            "nics": [NIC],
            "autostart": {"enabled": True},
        },
        root=TREE,
        keep=KEPT,
        sha256=sha256(CONFIG.encode()).hexdigest(),
    )
    assert root_of(CONFIG) == TREE
    assert root_of("") == ""


def test_the_lines_that_stay_are_those_of_interfaces_that_the_vm_has() -> None:
    assert found().kept(vm()) == KEPT
    assert found().kept(vm(nics=[])) == tuple(line for line in KEPT if "route" not in line)


def test_one_that_runs_as_it_is_described_is_adopted_with_nothing_pending() -> None:
    made = adopted().unwrap()
    volume = AdoptVolume("default", "root", None, TREE, "debian", guest_digest(vm()))
    assert [step.action for step in made.steps] == [
        volume,
        Adopt(vm(), vm(), KEPT, found().sha256),
    ]
    assert [step.needs for step in made.steps] == [(), (0,)]
    assert (made.changes, made.pending, made.by_hand) == ((), (), KEPT)
    then = follow(made, ON).unwrap()
    assert then == Observation(
        recorded=vm(),
        defined=vm(),
        in_effect=vm(),
        power=Power.RUNNING,
        volumes=(
            VolumeSeen(
                name="root",
                pool="default",
                stage=Stage.INSTALLED,
                active=True,
                template="debian",
                guest=guest_digest(vm()),
            ),
        ),
        by_hand=KEPT,
    )
    assert (
        plan(Goal(name="web", target=Target.RUNNING, spec=vm()), then, FACTS).unwrap().steps == ()
    )


def test_one_that_is_off_is_adopted_under_another_name() -> None:
    theirs = replace(found(), called="my box")
    made = plan_adopt(theirs, vm(), ROOT, Observation(), FACTS, {}).unwrap()
    assert lines(Success(made))[:2] == [
        f"1. adopt {TREE} where it is, as volume web/root in pool default because it is the root "
        "filesystem of the container",
        "2. adopt 'my box' as web: its config is written by geats from now on because something "
        "else made it, and an adoption was asked for (it starts with the host by `geats boot` from "
        "then on, and not by lxc-autostart)",
    ]
    then = follow(made, Observation()).unwrap()
    assert (then.recorded, then.defined, then.by_hand) == (vm(), vm(), KEPT)
    cut = replace(then, recorded=None)
    there = replace(ROOT, volume=TREE)  # adopted by the first step
    assert len(plan_adopt(theirs, vm(), there, cut, FACTS, {}).unwrap().steps) == 1
    adopt = made.steps[-1].action
    for seen in (
        replace(then, recorded=vm(memory="2GiB")),
        OFF,
        replace(then, power=Power.RUNNING),
    ):
        assert after(adopt, seen) == Failure("there is another VM of its new name")
    for seen in (OFF, replace(then, defined=vm(memory="2GiB"))):
        why = "web: there is a VM of that name: 'my box' needs another"
        assert why in lines(plan_adopt(theirs, vm(), ROOT, seen, FACTS, {}))


def test_one_that_is_off_is_adopted_and_has_nothing_pending() -> None:
    made = adopted(vm(hostname="other"), OFF).unwrap()
    assert [change.field for change in made.changes] == ["hostname"]
    assert made.pending == ()
    then = follow(made, OFF).unwrap()
    assert (then.power, then.in_effect) == (Power.STOPPED, None)


def test_what_is_described_otherwise_is_pending_but_limits_change_at_once() -> None:
    want = vm(hostname="other", memory="512MiB", after=["db"], privileged=False)
    made = adopted(want).unwrap()
    assert [change.field for change in made.changes] == [
        *("hostname", "privileged", "memory", "after"),
    ]
    assert [change.field for change in made.pending] == ["hostname", "privileged"]
    assert (made.changes[0].old, made.changes[0].new) == ("web", "other")
    assert [step.action for step in made.steps] == [
        AdoptVolume("default", "root", None, TREE, "debian", guest_digest(vm())),
        Adopt(want, vm(), KEPT, found().sha256),
        SetLimits(want.limits),
    ]
    assert [step.needs for step in made.steps] == [(), (0,), (1,)]


def test_one_that_was_locked_stays_locked() -> None:
    locked = replace(found(), locked_by="/srv/web/rootfs.locked")
    made = plan_adopt(locked, vm(), ROOT, OFF, FACTS, {}).unwrap()
    [*_, last] = made.steps
    assert (last.action, last.reason) == (
        Lock(),
        "/srv/web/rootfs.locked is there: it was locked before",
    )


def test_an_adoption_that_was_cut_goes_on_where_it_was() -> None:
    made = adopted().unwrap()
    first = follow(replace(made, steps=made.steps[:1]), ON).unwrap()
    adopted_there = replace(ROOT, volume=TREE)
    rest = adopted(have=first, root=adopted_there).unwrap()
    assert [step.action for step in rest.steps] == [made.steps[1].action]
    allocated = VolumeSeen(name="root", pool="default", stage=Stage.ALLOCATED)
    assert lines(adopted(have=replace(ON, volumes=(allocated,)))) == lines(Success(made))
    assert lines(adopted(have=replace(ON, recorded=vm()))) == lines(Success(made))


def test_a_volume_that_is_elsewhere_already_is_in_the_way() -> None:
    seen = VolumeSeen(name="root", pool="default", stage=Stage.INSTALLED, template="debian")
    assert lines(adopted(have=replace(ON, volumes=(seen,)))) == [
        "web.volumes[root].pool: there is a volume of this VM already, at /pool/web/root/rootfs"
    ]
    assert lines(adopted(have=replace(ON, volumes=(seen,)), root=replace(ROOT, volume=TREE))) == [
        "web: cannot adopt web as it is: its config is written by geats from now on: its root "
        "volume is not ready"
    ]


@pytest.mark.parametrize(
    ("root", "text", "problems"),
    [
        (
            replace(ROOT, owner=None),
            CONFIG,
            [f"there is no directory '{TREE}', or a link leads to it"],
        ),
        (
            replace(ROOT, owner=100_000),
            CONFIG,
            [
                "its files have ids of a guest, from 100000 on: make a template of it by"
                f" `lxc-usernsexec -m b:0:100000:65536 -- tar -C {TREE} -cf - . > NEW.tar`,"
                " for a new VM"
            ],
        ),
        (
            replace(ROOT, mounted=f"{TREE}/srv"),
            CONFIG,
            [f"'{TREE}/srv' is mounted, so it could not be removed"],
        ),
        (
            replace(
                ROOT,
                others={
                    "db": f"overlay:{TREE}:/up",
                    "a": f"{TREE}/x",
                    "b": "",
                    "c": "/lxc/web/rootfs2",
                },
            ),
            CONFIG,
            [f"'{TREE}' is used by a as well", f"'{TREE}' is used by db as well"],
        ),
        (
            replace(ROOT, others={"db": "/lxc/web"}),
            CONFIG,
            [f"'{TREE}' is used by db as well"],
        ),
        (
            ROOT,
            "lxc.rootfs.path = /pool",
            ["'/pool' contains more than the files of the guest"],
        ),
        (ROOT, "lxc.rootfs.path = /lxc", ["'/lxc' contains more than the files of the guest"]),
    ],
)
def test_a_tree_that_cannot_be_a_volume_is_refused(
    root: RootSeen, text: str, problems: list[str]
) -> None:
    assert lines(adopted(root=root, text=text)) == [
        f"{FILE}: lxc.rootfs.path: {problem}" for problem in problems
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        *(
            (
                f"lxc.rootfs.path = {path}",
                f"lxc.rootfs.path: must be a directory by its plain path, got '{path}': "
                "geats import-lxc makes a template of it instead",
            )
            for path in ("rootfs", "/a/../b", "/a/", "//a", "/")
        ),
        (
            "lxc.rootfs.path = loop:/srv/a.img",
            "lxc.rootfs.path: must be a directory: it is an image in a file (loop:): copy its files"
            " into a directory, and give that",
        ),
        (
            "lxc.rootfs.path = overlay:/a:/b",
            "lxc.rootfs.path: must be a directory: it is a layer on another directory (overlay:):"
            " copy its files into a directory, and give that",
        ),
        (
            "lxc.ephemeral = 1",
            "lxc.ephemeral: would have it destroyed once it is off: take the line out",
        ),
        ("lxc.cgroup2 =", "lxc.cgroup2: unsets all that geats writes: unset the single keys"),
        ("lxc.include = /gone.conf", "lxc.include: '/gone.conf' is not there, or cannot be read"),
        (
            "lxc.net.0.type = none\nlxc.net.1.type = veth",
            "lxc.net.0.type: the guest is to have the network of the host, beside NICs: take one of"
            " the two out",
        ),
    ],
)
def test_a_config_of_what_geats_cannot_have_is_refused(line: str, problem: str) -> None:
    text = f"lxc.rootfs.path = {TREE}\n{line}"
    assert lines(read_found("web", FILE, text, HOST)) == [f"{FILE}: {problem}"]


def test_a_config_without_a_root_filesystem_is_refused() -> None:
    assert lines(read_found("web", FILE, "")) == [
        f"{FILE}: lxc.rootfs.path: must be a directory by its plain path, got '': "
        "geats import-lxc makes a template of it instead"
    ]


def test_a_line_that_cannot_be_kept_is_refused() -> None:
    text = f"lxc.rootfs.path = {TREE}\nlxc.environment = J\ufffdrgen\n"
    assert lines(read_found("web", FILE, text)) == [
        f"{FILE}: cannot be kept as it is: 'lxc.environment = J\ufffdrgen'"
    ]


def test_other_volumes_are_made_when_it_starts_and_lines_of_no_interface_go() -> None:
    volumes = [{"name": "data", "mount": "/data"}, {"name": "root", "size": "1GiB"}]
    want = vm(volumes=volumes, nics=[], driver="other")
    facts = replace(FACTS, drivers={"other": DriverFacts()})
    made = plan_adopt(found(), want, ROOT, ON, facts, {}).unwrap()
    assert [step.action for step in made.steps] == [
        AdoptVolume("default", "root", 1 << 30, TREE, "debian", guest_digest(vm())),
        Adopt(
            want,
            vm(volumes=volumes[1:], driver="other"),
            tuple(line for line in KEPT if "route" not in line),
            found().sha256,
        ),
    ]
    assert [change.field for change in made.pending] == ["volumes", "nics"]


def test_the_root_filesystem_is_no_line_to_keep_even_where_its_ids_are_shifted() -> None:
    assert found(f"lxc.idmap = u 0 100000 65536\nlxc.rootfs.path = {TREE}").keep == (NO_PROFILE,)


def test_no_network_and_shifted_ids_that_the_kernel_maps_are_what_geats_has_too() -> None:
    text = f"""\
lxc.rootfs.path = {TREE}
lxc.rootfs.options = idmap=container
lxc.idmap = u 0 100000 65536
lxc.idmap = g 0 100000 65536
lxc.net.0.type = empty
lxc.net.0.flags = up
"""
    ids = [{"guest": 0, "host": 100000, "count": 65536}]
    assert (found(text).vm, found(text).keep) == ({"includes": [], "idmap": ids}, (NO_PROFILE,))
    assert lines(adopted(vm(privileged=False, nics=[]), text=text))


def test_other_options_of_the_root_filesystem_are_kept_only_where_the_vm_is_privileged() -> None:
    text = f"lxc.rootfs.path = {TREE}\nlxc.rootfs.options = discard\n"
    assert adopted(text=text).unwrap().by_hand == ("lxc.rootfs.options = discard", NO_PROFILE)
    assert lines(adopted(vm(privileged=False), text=text)) == [
        f"{FILE}: lxc.rootfs.options: would take the place of idmap=container, which an "
        "unprivileged VM needs"
    ]


def test_every_reason_is_given_at_once() -> None:
    want = vm(volumes=[{"name": "root", "pool": "fast"}])
    have = Observation(power=Power.STUCK, foreign=True)
    text = CONFIG.replace("web\n", "a b\n")
    said = lines(adopted(want, have, replace(ROOT, owner=None, volume=None), text=text, db=vm()))
    assert said == [
        "web: its monitor does not answer: end that first",
        f"{FILE}: lxc.rootfs.path: there is no directory '{TREE}', or a link leads to it",
        "web.volumes[root].pool: 'fast' cannot have a directory where it is: a pool of the type "
        "directory can",
        "web.nics[eth0].mac: the MAC address 00:16:3e:00:00:02 is also that of db.nics[eth0].mac",
        "web.nics[eth0].addresses: the address 10.0.0.2 is also that of db.nics[eth0].addresses",
        f"{FILE}: hostname: must be a domain name, got 'a b'",
    ]


def test_a_vm_of_geats_is_not_adopted() -> None:
    assert lines(adopted(have=Observation(recorded=vm(), defined=vm()))) == [
        "web: is managed by geats already"
    ]


def test_what_the_planner_refuses_is_refused() -> None:
    assert lines(adopted(vm(template="alpine"))) == [
        "web.template: unknown template 'alpine' (there is: debian)"
    ]
    unknown_pool = vm(volumes=[{"name": "root", "pool": "gone"}])
    assert lines(adopted(unknown_pool, root=replace(ROOT, volume=None))) == [
        "web.volumes[root].pool: unknown pool 'gone' (there is: default, fast)"
    ]


def test_that_lxc_does_not_start_it_with_the_host_any_more_is_said() -> None:
    assert adopted().unwrap().steps[1].reason == (
        "something else made it, and an adoption was asked for (it starts with the host by"
        " `geats boot` from then on, and not by lxc-autostart)"
    )
    off = CONFIG.replace("lxc.start.auto = 1", "lxc.start.auto = 0")
    assert adopted(text=off).unwrap().steps[1].reason == (
        "something else made it, and an adoption was asked for"
    )
    unnamed = "".join(line for line in off.splitlines(True) if "uts.name" not in line)
    assert adopted(text=unnamed).unwrap().steps[1].reason == (
        "something else made it, and an adoption was asked for (its hostname is web, as its config"
        " says none)"
    )


def test_a_container_keeps_its_ids_where_those_of_the_vm_are_allocated() -> None:
    """Or gets others, which is a change that waits for its restart."""
    text = f"""\
lxc.rootfs.path = {TREE}
lxc.rootfs.options = idmap=container
lxc.idmap = u 0 700000 65536
lxc.idmap = g 0 700000 65536
"""
    want = parse_vm("web", {"template": "debian", "includes": [], "idmap": "auto"}).unwrap()
    kept = adopted(want, text=text).unwrap()
    assert [step.action.spec.own_ids for step in kept.steps if isinstance(step.action, Adopt)] == [
        OwnIds(first=700_000)
    ]
    assert "idmap" not in {each.field for each in kept.changes}

    more = parse_vm("web", {**to_plain(want), "idmap": {"count": 9}}).unwrap()
    db = parse_vm("db", {"template": "debian", "idmap": {"first": 1_000_000}}).unwrap()
    other = adopted(more, text=text, db=db).unwrap()
    assert "idmap" in {each.field for each in other.changes}
    (action,) = (step.action for step in other.steps if isinstance(step.action, Adopt))
    assert action.spec.own_ids == OwnIds(first=1_065_536, count=9)

    too_many = parse_vm("web", {**to_plain(want), "idmap": {"count": 2 * 10**9}}).unwrap()
    assert [each.partition(":")[0] for each in lines(adopted(too_many, text=text))] == ["web.idmap"]
