"""Specs, observations, goals and raw data: well-formed by construction, from small universes."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from ipaddress import IPv6Address, ip_address, ip_interface, ip_network
from itertools import product
from typing import TypeVar

from hypothesis import strategies as st

from geats_core import (
    LIVE_LIMITS,
    ByHand,
    Cost,
    DataLoss,
    DriverFacts,
    EntryCost,
    Goal,
    HostFacts,
    Impact,
    NoStart,
    Observation,
    Offer,
    PoolFacts,
    Power,
    PowerOff,
    Restart,
    Stage,
    Target,
    VMSpec,
    VolumeMissing,
    VolumeSeen,
)
from geats_core.containers.cgroups import CgroupLimits, IoLimit
from geats_core.containers.devices import Device, Nodes
from geats_core.containers.guest_networks import Manager
from geats_core.containers.hooks import Hook, HookKind
from geats_core.containers.isolation import Capabilities, Isolation
from geats_core.containers.nics import Ipv6, Link, NicType, Rate, Route
from geats_core.containers.programs import Program, WhatRuns
from geats_core.containers.tmpfs import Tmpfs
from geats_core.guests.minion import Minion
from geats_core.guests.users import Sudo, User
from geats_core.planning.actions import Moved, UpgradeRegistry
from geats_core.planning.costs import LIVE_DNS
from geats_core.vm.guest_files import guest_digest
from geats_core.vm.idmap import unmapped
from geats_core.vm.lxc_config import LxcFacts
from geats_core.vm.observation import UNFINISHED_COPY, ForeignNic, Renaming, volumes_in_order
from geats_core.vm.readiness import CommandProbe, HttpProbe, Ready, TcpProbe
from geats_core.vm.spec import (
    ROOT,
    Autostart,
    Bind,
    Dns,
    IdRange,
    Ids,
    Init,
    Limits,
    Nic,
    OwnIds,
    PowerWish,
    Restarts,
    RootKind,
    SharedVolume,
    Volume,
)

STATES = [each for each in Target if each is not Target.DECLARED]  # that is one of the others
POOLS = ["fast", "slow"]
TEMPLATES = ["debian", "alpine"]
SIZES = [1, 512, 2**20, 3 * 2**29]
MAYBE_SIZES = [*[None] * len(SIZES), *SIZES]

pools = st.sampled_from(POOLS)
sizes = st.sampled_from(MAYBE_SIZES)
T = TypeVar("T")


def mixed(make: Callable[..., T], **choices: Sequence[object]) -> st.SearchStrategy[T]:
    """One of each of the *choices*: as ``st.builds``, but in one draw, which is far quicker."""
    every = [dict(zip(choices, each, strict=True)) for each in product(*choices.values())]
    return st.sampled_from(every).map(lambda values: make(**values))


def seldom(usual: st.SearchStrategy[T], other: st.SearchStrategy[T]) -> st.SearchStrategy[T]:
    """One of *other* now and then: it takes long to draw, and few laws are about it."""
    return st.one_of(usual, usual, usual, other)


io_limits = mixed(
    IoLimit,
    device=["8:0", "253:1"],
    read=MAYBE_SIZES,
    write=MAYBE_SIZES,
    read_ops=[None, 100],
    write_ops=[50, 60],
)
cgroup_limits = st.builds(
    CgroupLimits,
    cpuset=st.sampled_from(["", "0", "0-3,8"]),
    cpu_weight=st.sampled_from([None, 1, 100, 10_000]),
    swap_bytes=st.sampled_from([None, 0, 2**20]),
    soft_memory_bytes=sizes,
    hugepages=st.sampled_from([(), (("1GiB", 2**30),), (("1GiB", 2**30), ("2MiB", 2**21))]),
    io_weight=st.sampled_from([None, 1, 10_000]),
    io=st.just(()) | io_limits.map(lambda each: (each,)),
    v1=st.sampled_from([(), (("memory.swappiness", "0"),)]),
    v2=st.sampled_from([(), (("memory.oom.group", "1"),)]),
)
limits = st.builds(
    lambda some, cgroup: replace(some, cgroup=cgroup),
    mixed(
        Limits,
        memory_bytes=MAYBE_SIZES,
        cpus=[None, 0.01, 1.5, 2.0],
        processes=[None, 1, 100],
    ),
    seldom(st.just(CgroupLimits()), cgroup_limits),
)
addresses = st.sampled_from(["10.0.0.2/24", "10.0.0.3/24", "fd00::2/64"]).map(ip_interface)
gateways = st.sampled_from(["10.0.0.1", "fd00::1"]).map(ip_address)
routes = st.builds(
    Route,
    to=st.sampled_from(["10.9.0.0/16", "10.8.0.0/16"]).map(ip_network),
    via=st.sampled_from(["10.0.0.1", "10.0.0.254"]).map(ip_address),
)
tokens = st.sampled_from(["::5", "::6:7"]).map(IPv6Address)
plain_nics = st.builds(
    Nic,
    name=st.sampled_from(["eth0", "eth1"]),
    bridge=st.sampled_from(["br0", "br1"]),
    mac=st.sampled_from(["02:00:00:00:00:01", "02:00:00:00:00:02"]),
    addresses=st.lists(addresses, max_size=2, unique=True).map(tuple),
    gateways=st.lists(gateways, max_size=2, unique=True).map(tuple),
)
bridged_nics = st.builds(
    replace,
    plain_nics,
    host_name=st.sampled_from(["", "", "vweb"]),
    vlan=st.sampled_from([None, None, 7]),
    trunk=st.sampled_from([(), (), (8, 9)]),
    mtu=st.sampled_from([None, None, 1400]),
    rate=st.sampled_from([Rate(), Rate(), Rate(in_bytes=2**20), Rate(out_bytes=1000)]),
    link=st.sampled_from(Link),
    routes=st.just(()) | routes.map(lambda route: (route,)),
    dhcp=st.sampled_from([False, False, True]),
    ipv6=st.just(Ipv6()) | st.builds(Ipv6, ra=st.booleans(), token=st.none() | tokens),
)
other_nics = st.builds(
    lambda nic, changes: replace(nic, **{"bridge": "", "trunk": (), "vlan": None, **changes}),
    bridged_nics,
    st.sampled_from(
        [
            {"type": NicType.VETH},
            {"type": NicType.ROUTED, "parent": "enp1s0"},
            *(
                {"host_name": "", "rate": Rate(), "link": Link.UP, "parent": "enp1s0", **changes}
                for changes in (
                    {"type": NicType.MACVLAN, "mode": "bridge"},
                    {"type": NicType.MACVLAN, "mode": "passthru"},
                    {"type": NicType.IPVLAN, "mode": "l2", "mac": ""},
                    {"type": NicType.VLAN, "vlan": 7},
                    {"type": NicType.PHYSICAL, "mac": ""},
                )
            ),
        ]
    ),
)
nics = seldom(plain_nics, bridged_nics | other_nics)
nic_tuples = st.just(()) | nics.map(lambda nic: (nic,))
data_volumes = mixed(
    Volume,
    name=["data"],
    pool=POOLS,
    mount=["/data", "/srv/x", "/data", "/srv/x", ""],
    size_bytes=MAYBE_SIZES,
    read_only=[False, True],
    shared=[False, True],
)
root_volumes = mixed(Volume, name=[ROOT], pool=POOLS, mount=["/"], size_bytes=MAYBE_SIZES)
volume_tuples = st.tuples(root_volumes) | st.tuples(root_volumes, data_volumes)
binds = mixed(
    lambda kind, optional, read_only, source, mount: Bind(
        name="media",
        source=source,
        mount=mount,
        read_only=read_only,
        recursive=kind[0],
        optional=optional,
        file=kind[1],
        slave=optional and not read_only and not kind[1],
    ),
    kind=[(False, False), (True, False), (False, True)],
    optional=[False, True],
    read_only=[False, True],
    source=["/srv/media", "/srv/a \\b"],
    mount=["/media", "/srv/x/media"],
)
shared_volumes = mixed(
    SharedVolume,
    name=["films"],
    vm=["nas"],
    volume=["films", "media"],
    pool=POOLS,
    mount=["/films"],
    read_only=[False, True],
)
dnses = st.builds(
    Dns,
    nameservers=st.lists(gateways, max_size=2).map(tuple),
    search=st.lists(st.sampled_from(["example.org", "lan"]), max_size=2).map(tuple),
)
printable_texts = st.text(max_size=8).map(
    lambda text: "".join(character for character in text if character.isprintable())
)
metadata = st.dictionaries(
    st.sampled_from(["NAME", "name", "bridge", "mount", "IPADDRESS", "x"]),
    printable_texts | st.sampled_from(["$(reboot)", "'; rm -rf /", "a b", '"', "\\"]),
    max_size=3,
).map(lambda pairs: tuple(sorted(pairs.items())))
labels = st.dictionaries(
    st.sampled_from(["owner", "example.org/tenant", "name"]),
    printable_texts | st.sampled_from(["ada", "a=b", "$(reboot)"]),
    max_size=2,
).map(lambda pairs: tuple(sorted(pairs.items())))
probes = st.sampled_from(
    [
        CommandProbe(("true",)),
        CommandProbe(("systemctl", "is-active", "a b")),
        *(TcpProbe(22), TcpProbe(80)),
        *(HttpProbe(80, "/"), HttpProbe(8080, "/"), HttpProbe(80, "/health", 204)),
    ]
)
readies = st.builds(Ready, probe=probes, timeout_s=st.sampled_from([1, 60]))
roots = IdRange(guest=0, host=200_000, count=1000)
idmaps = st.sampled_from(
    [
        (),
        (replace(roots, host=300_000, count=65_536),),
        (roots, IdRange(guest=1000, host=1000, count=1)),
        (roots, IdRange(guest=2000, host=1001, count=2)),
        (roots, IdRange(guest=2000, host=1001, count=2, ids=Ids.USERS)),
        (replace(roots, ids=Ids.USERS), replace(roots, host=400_000, ids=Ids.GROUPS)),
    ]
)
own_ids = mixed(
    OwnIds,  # which are allocated: see test_own_ids_laws
    count=[65_536, 1000],
    first=[200_000, 300_000],
    through=[
        (),
        (IdRange(guest=1000, host=1000, count=1),),
        (IdRange(guest=1000, host=1001, count=2, ids=Ids.USERS),),
        (IdRange(guest=500, host=1001, count=2, ids=Ids.GROUPS),),
    ],
)
capabilities = st.builds(
    Capabilities,
    drop=st.sampled_from([(), ("net_raw",), ("mknod", "sys_boot")]),
    keep=st.sampled_from([None, None, (), ("chown", "sys_time")]),
).map(lambda each: each if each.keep is None else Capabilities(keep=each.keep))
isolations = st.builds(
    Isolation,
    nesting=st.booleans(),
    mount_auto=st.sampled_from([None, None, (), ("proc:rw", "sys")]),
    capabilities=capabilities,
    apparmor=st.sampled_from(["", "generated", "unconfined", "lxc-container-default"]),
    seccomp=st.sampled_from(["", "none", "/etc/lxc/a b.seccomp"]),
    selinux=st.sampled_from(["", "system_u:system_r:lxc_t:s0:c1,c2"]),
    no_new_privileges=st.booleans(),
    sysctls=st.sampled_from([(), (("net.ipv4.ip_forward", "1"),)]),
    rlimits=st.sampled_from([(), (("nofile", "1024:unlimited"),)]),
    oom_score=st.sampled_from([0, -1, 500]),
    keyring=st.booleans(),
    host_network=st.sampled_from([False, False, True]),
)
devices = mixed(
    Device,
    name=["tun", "gpu"],
    source=["/dev/net/tun", "/dev/dri"],
    mount=["/dev/net/tun", "/dev/gpu"],
    access=["rwm", "r"],
    optional=[False, True],
)
tmpfs = mixed(
    Tmpfs, mount=["/tmp", "/dev/shm"], size_bytes=MAYBE_SIZES, mode=["1777", "755", "007"]
)
ENVIRONMENTS = [(), (("A", "x"),), (("A", "y 'z"), ("PATH", "/bin"))]
TTYS = [None, 0, 4]
without_init = mixed(
    Program,
    command=[("/bin/sh", "-c", "'b$c"), ("/srv/app",), ("/srv/app", '"')],
    user=[None, 0, 1000],
    group=[None, 0, 1000],
    cwd=["", "/srv"],
    stop_signal=["", "SIGINT"],
    environment=ENVIRONMENTS,
    ttys=TTYS,
)
of_images = mixed(
    WhatRuns,
    command=[(), ("/srv/app",), ("/bin/sh", "-c", "exec${IFS}app")],
    user=[None, 33],
    group=[None, 33],
    cwd=["", "/srv"],
    stop_signal=["", "SIGQUIT"],
    environment=ENVIRONMENTS,
)
with_init = mixed(
    Program, environment=ENVIRONMENTS, ttys=TTYS, console_log=[None, 1 << 20, 8 << 20]
)


def asking(spec: VMSpec) -> VMSpec:
    """The same, with somebody who does in the guest what only the guest can do."""
    asks = any(nic.is_asked_for for nic in spec.nics) and spec.guest_network is Manager.NONE
    return replace(spec, guest_network=Manager.AUTO) if asks else spec


def mapped(spec: VMSpec) -> VMSpec:
    """The same, without ids of users that no range has, and with one network."""
    lacking = {problem.path.split(".")[1] for problem in unmapped(spec)}
    kept = tuple(replace(u, uid=None) if u.name in lacking else u for u in spec.users)
    alone = not spec.nics and spec.isolation.host_network
    apart = replace(spec.isolation, host_network=alone)
    return replace(spec, users=kept, isolation=apart)


users = mixed(
    User,
    name=["ada", "bob"],
    uid=[None, 1000, 2000],
    groups=[(), ("adm", "games")],
    shell=["", "/bin/bash"],
    sudo=list(Sudo),
    password=["", "$6$salt$hash", "$y$j9T$salt$other"],
    ssh_keys=[(), ("ssh-ed25519 AAAA ada",)],
)
minions = mixed(
    Minion,
    masters=[("salt",), ("salt", "2001:db8::1")],
    id=["", "web.example.org"],
    config=["{}", '{"log_level": "info"}', '{"log_level": "debug"}'],
    install=[False, True],
)
hooks = mixed(Hook, kind=list(HookKind), program=["/etc/geats/a", "/etc/geats/b"])
# In groups, as all of these together would be too many to list.
most_of_a_spec: st.SearchStrategy[tuple[dict[str, object], ...]] = st.tuples(
    mixed(
        dict,
        template=TEMPLATES,
        hostname=["web", "web.example.org"],
        timezone=["", "", "Europe/Amsterdam"],
        ssh_keys=[(), (), ("ssh-ed25519 AAAA root@x",)],
        privileged=[False, True],
        transient=[False, True],
        shutdown_timeout_s=[1, 60],
        raw=[(), (), ("lxc.time.offset.boot = 1h",)],
    ),
    mixed(
        dict,
        init=[each for each in Init if each is not Init.NONE],
        includes=[None, None, (), ("/etc/lxc/site.conf", "/srv/a b.d/")],
        power=[*[PowerWish.RUNNING] * 5, *PowerWish],
        restart=[*[Restarts.NO] * 3, *Restarts],
    ),
    mixed(
        dict,
        after=[(), ("db",), ("db", "app")],
        guest_network=[*[Manager.NONE] * 3, *Manager],
        hardware=[*[()] * 6, (("tpm", "true"),), (("disks", '{"data": "scsi"}'),)],
        description=["", "the shop", "'; rm -rf /"],
    ),
)
specs = st.builds(
    lambda groups, **others: VMSpec(
        name="web", driver="lxc", **{key: group[key] for group in groups for key in group}, **others
    ),
    most_of_a_spec,
    volumes=volume_tuples,
    binds=st.just(()) | binds.map(lambda bind: (bind,)),
    shared_volumes=st.just(()) | shared_volumes.map(lambda shared: (shared,)),
    limits=limits,
    nics=nic_tuples,
    dns=st.just(Dns()) | dnses,
    metadata=st.just(()) | metadata,
    users=seldom(st.just(()), st.tuples(users)),
    minion=seldom(st.none(), minions),
    program=seldom(st.just(Program()), with_init | without_init),
    idmap=idmaps,
    own_ids=seldom(st.none(), own_ids),
    isolation=seldom(st.just(Isolation()), isolations),
    devices=seldom(st.just(()), st.tuples(devices)),
    tmpfs=seldom(st.just(()), st.tuples(tmpfs)),
    hooks=seldom(st.just(()), st.tuples(hooks)),
    autostart=mixed(
        Autostart,
        enabled=[False, True],
        priority=[-1, 0, 10],
        delay_s=[0, 5],
        groups=[(), (), ("shop",), ("shop", "onboot")],
    ),
    ready=st.none() | readies,
    labels=seldom(st.just(()), labels),
    from_image=seldom(st.none(), of_images),
).map(lambda spec: asking(replace(spec, idmap=(), own_ids=None) if spec.privileged else spec))
specs = specs.map(lambda spec: mapped(replace(spec, idmap=()) if spec.own_ids else spec))
specs = specs.map(lambda spec: replace(spec, init=Init.NONE) if spec.program.command else spec)


@st.composite
def spec_lists(draw: st.DrawFn) -> list[VMSpec]:
    """Some specs of one VM, close enough that two of them are often equal."""
    first = draw(specs)
    others = draw(st.lists(specs, max_size=2))
    near = asking(
        VMSpec(
            name=first.name,
            driver=first.driver,
            template=first.template,
            hostname=first.hostname,
            volumes=first.volumes,
            limits=draw(limits),
            nics=draw(nic_tuples),
            dns=draw(st.just(first.dns) | dnses),
            transient=first.transient,
        )
    )
    return [first, first, near, *others]


@st.composite
def volumes_seen(draw: st.DrawFn, known: st.SearchStrategy[VMSpec], name: str) -> VolumeSeen:
    """A volume at any stage, as some plan for one of the *known* specs may have left it."""
    spec = draw(known)
    stage = draw(st.sampled_from(Stage) | st.just(Stage.INSTALLED))
    installed = stage is Stage.INSTALLED and name == ROOT
    return VolumeSeen(
        name=name,
        pool=draw(st.just(spec.root.pool) | pools),
        stage=stage,
        active=stage > Stage.ALLOCATED and draw(st.booleans()),
        size_bytes=draw(st.none() | st.just(1) | st.just(spec.root.size_bytes)),
        template=spec.template if installed else None,
        unreadable=draw(st.sampled_from([""] * 15 + ["of a newer geats"])),
        locked=draw(st.booleans()),
        guest=draw(st.sampled_from([guest_digest(spec), None, UNFINISHED_COPY]))
        if installed
        else None,
    )


foreign_nics = mixed(
    ForeignNic,
    mac=["", "02:00:00:00:00:01"],
    pair=["", "vethweb"],
    addresses=[(), ("10.0.0.2",), ("10.0.0.2", "fd00::2")],
)


@st.composite
def missing_volumes(draw: st.DrawFn, known: st.SearchStrategy[VMSpec], name: str) -> VolumeMissing:
    """A volume that once held what some plan for one of the *known* specs put on it."""
    spec = draw(known)
    return VolumeMissing(
        name=name,
        pool=draw(st.just(spec.root.pool) | pools),
        template=spec.template if name == ROOT else None,
        place=f"/srv/{name}",
        identity=draw(st.sampled_from([None, "0123456789ab"])),
        hint=draw(st.sampled_from(["", "what is there has no mark of geats"])),
    )


@st.composite
def observations_of(draw: st.DrawFn, known: st.SearchStrategy[VMSpec]) -> Observation:
    """Any state: half-made, half-removed, edited by hand, stuck."""
    power = draw(st.sampled_from(Power))
    locked = draw(st.sampled_from([False, False, True]))
    seen = {
        (volume.pool, volume.name): volume
        for name in (ROOT, "data", "old")
        for volume in draw(st.lists(volumes_seen(known, name), max_size=2 if name == ROOT else 1))
    }
    names = draw(st.lists(st.sampled_from([ROOT, ROOT, "data", "old"]), max_size=2, unique=True))
    missing = [draw(missing_volumes(known, name)) for name in sorted(names)]
    missing = draw(st.just(missing) | st.just([]))
    gone = {(each.pool, each.name) for each in missing}
    for place in gone & seen.keys():  # what is there holds less than what is missing
        stage = Stage.ALLOCATED if place[1] != ROOT else Stage.FORMATTED
        less = replace(seen[place], template=None, guest=None, active=False)
        seen[place] = replace(less, stage=min(stage, less.stage))
    recorded, defined = draw(st.none() | known), draw(st.none() | known)
    foreign = draw(st.sampled_from([False] * 7 + [True]))
    may_run = power is Power.STOPPED and (recorded is not None or defined is not None)
    to_run = may_run and draw(st.booleans())
    is_kept_up = recorded is not None and recorded.is_kept_up
    return Observation(
        recorded=recorded,
        drivers=draw(st.sampled_from([()] * 15 + [("lxc", "memory")])),
        unreliable=draw(st.sampled_from([""] * 7 + ["of a newer geats"])),
        defined=defined,
        to_run=to_run,
        to_freeze=(to_run or power in (Power.RUNNING, Power.HELD)) and draw(st.booleans()),
        ended=power is Power.STOPPED and is_kept_up and draw(st.booleans()),
        copy_of=draw(st.sampled_from([""] * 7 + ["the VM mail"])) if recorded else "",
        renaming=draw(st.sampled_from([None] * 15 + [Renaming("web", "www")])),
        in_effect=None if power is Power.STOPPED else draw(st.none() | known),
        power=power,
        volumes=volumes_in_order(list(seen.values())),
        locked=locked,
        half_locked=locked and draw(st.booleans()),
        by_hand=draw(st.sampled_from([(), ("lxc.environment = X=1",)])),
        foreign=foreign,
        foreign_nics=tuple(draw(st.lists(foreign_nics, max_size=2))) if foreign else (),
        missing=tuple(missing),
    )


@st.composite
def goals_of(draw: st.DrawFn, known: st.SearchStrategy[VMSpec]) -> Goal:
    """Any goal for one of the *known* specs, with any policy."""
    return Goal(
        name="web",
        target=draw(st.sampled_from(STATES)),
        spec=draw(known),
        restart=draw(st.sampled_from(Restart)),
        power_off=draw(st.sampled_from(PowerOff)),
        by_hand=draw(st.sampled_from(ByHand)),
        max_impact=draw(st.just(Impact.DATA_LOSS) | st.sampled_from(Impact)),
        data_loss=draw(st.sampled_from(DataLoss)),
    )


@st.composite
def situation_pairs(draw: st.DrawFn) -> tuple[Goal, Observation]:
    """A goal and an observation that have to do with each other."""
    known = st.sampled_from(draw(spec_lists()))
    return draw(goals_of(known)), draw(observations_of(known))


situations = situation_pairs()
observations = spec_lists().map(st.sampled_from).flatmap(observations_of)
known_names = st.none() | st.frozensets(st.sampled_from([*POOLS, *TEMPLATES, "lxc", "br0"]))
costs = st.builds(
    Cost,
    rises=st.sampled_from([Impact.LIVE, Impact.RESTART]),
    falls=st.sampled_from([Impact.LIVE, Impact.RESTART]),
    most=st.sampled_from(["", "memory"]),
)
device_costs: dict[str, EntryCost] = {
    "nics": EntryCost(live=frozenset({"bridge"})),
    "volumes": EntryCost(busy="mount"),
    "hardware.disks": EntryCost(of="volumes"),
}
IF_SET = Cost(rises=Impact.LIVE, falls=Impact.LIVE, if_set=True)
limit_costs = st.just({**LIVE_LIMITS, **LIVE_DNS}) | st.dictionaries(
    st.sampled_from(sorted(LIVE_LIMITS)), costs
)
driver_costs = limit_costs | limit_costs.map(lambda costs: {**costs, "hardware.tpm": IF_SET})
offers = st.none() | st.frozensets(st.sampled_from(Offer))
no_starts = st.sampled_from(
    [*[None] * 7, NoStart(why="there is no parser: install it", unless="lxc.environment")]
)
known_drivers = st.none() | st.dictionaries(
    st.sampled_from(["lxc", "memory"]),
    st.builds(
        DriverFacts,
        roots=offers,
        volumes=offers,
        costs=driver_costs,
        entries=st.just({}) | st.just(device_costs),
        no_start=no_starts,
        location=st.none() | st.just("/srv/lxc"),
        keys=st.sampled_from([None, None, {}, {"tpm": {"type": "boolean"}}]),
        lacks=st.sampled_from([frozenset(), frozenset(), frozenset({"privileged"})]),
        root_kind=st.sampled_from([None, None, *RootKind]),
        guests_mount=st.sampled_from([None, True, False]),
        whole_cpus=st.booleans(),
        grows_online=offers,
    ),
)
known_pools = st.none() | st.dictionaries(
    st.sampled_from(POOLS),
    st.builds(
        PoolFacts,
        offers=st.none() | st.sampled_from(Offer),
        location=st.none() | st.just("/srv/{vm}/{volume}"),
        part=st.sampled_from(["", "thin"]),
        size_bytes=st.none() | sizes,
        snapshots=st.booleans(),
        grows_online=st.booleans(),
        growth_lacks=st.sampled_from(["", "a capability"]),
        works_online=st.booleans(),
        identity=st.sampled_from([None, "0123456789ab"]),
    ),
)
moves = st.builds(
    Moved,
    what=st.sampled_from([*(f"pools.{name}" for name in POOLS), "drivers.lxc"]),
    was=st.just("directory at /srv/a"),
    now=st.just("directory at /srv/b"),
    left=st.sampled_from([(), ("db",), ("app", "db")]),
)
moved_lists = st.lists(moves, max_size=3, unique_by=lambda each: each.what).map(tuple)
host_facts = st.builds(
    HostFacts,
    drivers=known_drivers,
    pools=known_pools,
    templates=known_names,
    disks=st.sampled_from([{}, {}, {"debian": None}, {"alpine": 2**20}]),
    bridges=known_names,
    bind_sources=st.sampled_from(
        [None, frozenset(), frozenset({"/srv"}), frozenset({"/srv/media"})]
    ),
    device_sources=st.sampled_from([None, None, frozenset(), frozenset({"/dev/net"})]),
    hook_directories=st.sampled_from([None, None, frozenset(), frozenset({"/etc/geats"})]),
    raw_lines=st.sampled_from([None, None, frozenset(), frozenset({"lxc.time.*"})]),
    host_network=st.sampled_from([None, None, False, True]),
    upgrade=st.none() | st.just(UpgradeRegistry(2, 3)),
    elsewhere=st.sampled_from([{}] * 7 + [{"web": "with state_dir: /srv/geats"}]),
    moved=st.just(()) | moved_lists,
)
lxc_facts = st.builds(
    LxcFacts,
    volume_paths=st.fixed_dictionaries(
        dict.fromkeys(
            (ROOT, "data", "films"), st.sampled_from(["/srv/web", "/srv/a b", "/srv/a\\b"])
        )
    ),
    apparmor=st.booleans(),
    shifted=st.frozensets(st.sampled_from([ROOT, "data", "films"])),
    devices=st.sampled_from([{}, {"tun": Nodes(("c 10:200",)), "gpu": Nodes((), True)}]),
)

# What YAML and JSON can express, and more than the parsers hope for.
hostile_texts = st.sampled_from(
    ["\ud800", "a\nb", "../x", "10GiB", "web", "10.0.0.2/24", "fe80::1%a\nb", "fe80::1%a\nb/64"]
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**300, -(2**300)])
    | st.floats()
    | st.text(max_size=5)
    | hostile_texts
    | st.binary(max_size=3)
    | st.dates()
    | st.frozensets(st.integers(), max_size=2)
)
WORDS = [
    *("template", "volumes", "nics", "name", "pool", "size", "mount", "memory", "cpus", "dns"),
    *("metadata", "profile", "addresses", "gateways", "bridge", "mac", "search", "nameservers"),
    *("pools", "templates", "type", "on", "vms", "profiles", "drivers", "sha256", "path", "init"),
    *("hostname", "processes", "privileged", "transient", "shutdown_timeout", "state_dir"),
]
keys = st.sampled_from(WORDS) | scalars
junk = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=20,
)
mappings = st.dictionaries(keys, junk, max_size=8)
