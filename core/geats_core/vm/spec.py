"""What is wanted of one VM: types only, valid by the time they exist (see ``parse``)."""

from dataclasses import field
from enum import StrEnum

from geats_core.containers.cgroups import CgroupLimits
from geats_core.containers.devices import Device
from geats_core.containers.guest_networks import Manager
from geats_core.containers.hooks import Hook
from geats_core.containers.isolation import Isolation
from geats_core.containers.nics import Nic as Nic
from geats_core.containers.own_ids import IdRange as IdRange
from geats_core.containers.own_ids import Ids as Ids
from geats_core.containers.own_ids import OwnIds as OwnIds
from geats_core.containers.programs import Program, WhatRuns, over_image
from geats_core.containers.tmpfs import Tmpfs
from geats_core.guests.minion import Minion
from geats_core.guests.users import User
from geats_core.reading.fields import Address as Address
from geats_core.reading.fields import Gateway as Gateway
from geats_core.reading.values import dataclass
from geats_core.vm.readiness import Ready

ROOT = "root"  # the name of the volume that contains the VM's root filesystem


class Init(StrEnum):
    """What runs as process 1 in the guest, and so which signal asks it to power off.

    AUTO is what is found in the guest when it is asked. With NONE, a program runs in its place.
    """

    AUTO = "auto"
    SYSTEMD = "systemd"
    BUSYBOX = "busybox"
    SYSVINIT = "sysvinit"
    OPENRC = "openrc"
    RUNIT = "runit"
    S6 = "s6"
    PROCD = "procd"
    NONE = "none"


class PowerWish(StrEnum):
    """Whether a VM should be on: as its description says it, for every plan that brings it there.

    DEFINED leaves that open: the VM is written down, not made, neither started nor stopped.
    """

    RUNNING = "running"
    STOPPED = "stopped"
    FROZEN = "frozen"
    DEFINED = "defined"


class Restarts(StrEnum):
    """Whether a guest that ended by itself is started again."""

    NO = "no"
    ON_FAILURE = "on-failure"
    ALWAYS = "always"


class RootKind(StrEnum):
    """What a guest's root filesystem is made from: a tree of files, or a disk with all on it."""

    TREE = "tree"
    DISK = "disk"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a VM may use at most; None is without limit. ``cgroup`` is what only containers have."""

    memory_bytes: int | None = None
    cpus: float | None = None
    processes: int | None = None
    cgroup: CgroupLimits = field(default_factory=CgroupLimits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """One volume; ``mount`` is its mount point in the guest (``/`` for the root volume).

    ``mount`` is empty if the guest itself does with it what it likes: not every driver has that.
    If it is ``shared``, other VMs may mount it too (see ``SharedVolume``).
    """

    name: str
    pool: str
    mount: str
    size_bytes: int | None = None
    read_only: bool = False
    shared: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedVolume:
    """A volume of another VM, ``vm``, that the guest sees at ``mount``."""

    name: str
    vm: str
    volume: str
    pool: str
    mount: str
    read_only: bool = True

    @property
    def key(self) -> tuple[str, str, str]:
        """Which volume it is: of which VM, in which pool, and its name."""
        return self.vm, self.pool, self.volume

    def __str__(self) -> str:
        return f"{self.vm}/{self.volume}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """A directory of the host, ``source``, that is mounted at ``mount`` in the guest. It is not a
    volume.

    ``recursive`` includes everything that is mounted below the source when the VM starts. An
    ``optional`` bind is left out if its source does not exist. If ``file`` is True, the source is a
    file or a device node, not a directory. With ``slave``, the guest also sees what the host mounts
    below the source later: see mount(8).
    """

    name: str
    source: str
    mount: str
    read_only: bool = True
    recursive: bool = False
    optional: bool = False
    file: bool = False
    slave: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Dns:
    """What the guest's ``/etc/resolv.conf`` says; empty means that geats leaves it alone."""

    nameservers: tuple[Gateway, ...] = ()
    search: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Autostart:
    """Whether a VM starts with its host, and when: the highest priority first.

    After it has started, those that come later wait for ``delay_s`` seconds more. The VMs of one of
    its ``groups`` can be started and powered off together.
    """

    enabled: bool = False
    priority: int = 0
    delay_s: int = 0
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VMSpec:
    """Everything wanted of one VM; ``after`` names the VMs that are started before it.

    ``idmap`` are the ids that an unprivileged guest has on the host, and ``own_ids`` are those that
    geats allocates; without either, these are of the range that the host has for all VMs that say
    none. ``includes`` are the files that the
    container's config includes before all else; None are those of LXC's own that geats includes if
    nothing is said. ``ssh_keys`` are those of root in the guest, and an empty ``timezone`` is the
    guest's own. If ``ready`` is set, the VM counts as started only once it is ready. ``labels``
    and ``description`` are for people, and for programs that sort VMs. ``power`` says whether it
    should be on. One that is not ``enabled`` is off whatever that says, and nothing starts it.
    ``restart`` says what is done if it ends by itself. ``from_image`` is what the image that its
    root is filled with says of its program, as far as ``program`` says nothing.
    """

    name: str
    driver: str
    template: str
    hostname: str
    volumes: tuple[Volume, ...]
    binds: tuple[Bind, ...] = ()
    shared_volumes: tuple[SharedVolume, ...] = ()
    limits: Limits = Limits()
    nics: tuple[Nic, ...] = ()
    guest_network: Manager = Manager.NONE
    dns: Dns = Dns()
    metadata: tuple[tuple[str, str], ...] = ()
    timezone: str = ""
    users: tuple[User, ...] = ()
    ssh_keys: tuple[str, ...] = ()
    minion: Minion | None = None
    init: Init = Init.AUTO
    privileged: bool = False
    idmap: tuple[IdRange, ...] = ()
    own_ids: OwnIds | None = None
    includes: tuple[str, ...] | None = None
    isolation: Isolation = field(default_factory=Isolation)
    program: Program = field(default_factory=Program)
    from_image: WhatRuns | None = None
    devices: tuple[Device, ...] = ()
    tmpfs: tuple[Tmpfs, ...] = ()
    hooks: tuple[Hook, ...] = ()
    raw: tuple[str, ...] = ()
    transient: bool = False
    shutdown_timeout_s: int = 60
    after: tuple[str, ...] = ()
    autostart: Autostart = Autostart()
    power: PowerWish = PowerWish.RUNNING
    enabled: bool = True
    restart: Restarts = Restarts.NO
    ready: Ready | None = None
    hardware: tuple[tuple[str, str], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    description: str = ""

    @property
    def is_to_be_off(self) -> bool:
        """Whether its description says that it be off."""
        return self.power is PowerWish.STOPPED or not self.enabled

    @property
    def is_kept_up(self) -> bool:
        """Whether its guest may be started again if it ends by itself."""
        return self.restart is not Restarts.NO and not self.is_to_be_off

    @property
    def runs(self) -> Program:
        """What runs in it: what is said, and what its image says."""
        return over_image(self.program, self.from_image)

    @property
    def ids(self) -> tuple[IdRange, ...]:
        """The ranges of ids that are its own; none if they are the host's, or not allocated yet."""
        return self.own_ids.ranges if self.own_ids else self.idmap

    @property
    def root(self) -> Volume:
        """The volume that the template is installed on; parsing makes sure that there is one."""
        return next(volume for volume in self.volumes if volume.name == ROOT)

    @property
    def all_volumes(self) -> tuple[Volume | SharedVolume, ...]:
        """The volumes of the VM, and the volumes of other VMs that it mounts."""
        return *self.volumes, *self.shared_volumes
