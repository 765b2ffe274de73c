"""What is wanted that this host cannot have: its drivers, pools and templates are not able to."""

from collections.abc import Collection, Iterable
from typing import TypeAlias

from geats_core.containers import nics
from geats_core.containers.nics import NicType
from geats_core.containers.raw import is_taken
from geats_core.guests.users import ROOT_USER
from geats_core.planning.goal import Goal, Target
from geats_core.planning.host_facts import HostFacts
from geats_core.planning.offers import Offer
from geats_core.planning.plugin_facts import DriverFacts
from geats_core.reading.checked import Code, Problem, unknown
from geats_core.reading.paths import allowed_by, is_within
from geats_core.reading.sizes import format_size
from geats_core.vm import hardware
from geats_core.vm.hardware import HARDWARE
from geats_core.vm.idmap import shift
from geats_core.vm.mounts import mount_points
from geats_core.vm.observation import Observation, Stage
from geats_core.vm.parse import to_plain
from geats_core.vm.spec import ROOT, Init, RootKind, VMSpec

NEEDED = ("name", "driver", "template", "hostname", "volumes")  # of every VM
CALLED = {RootKind.TREE: "a tree of files", RootKind.DISK: "a disk image"}
Named: TypeAlias = tuple[str, str, str, Collection[str] | None]  # path, kind, name, those known


def impossible(goal: Goal, want: VMSpec, have: Observation, facts: HostFacts) -> Iterable[Problem]:
    """All that this host cannot do of *want*, with paths into the spec."""
    able = facts.driver(want.driver)
    yield from unknown_names(_names(want, facts))
    yield from _privileged(want, facts)
    yield from _idmap(want, facts)
    yield from _program(want)
    yield from _offers(want, able, facts)
    yield from _keys(want, able)
    yield from _nics(want, able)
    yield from _mounts(want, able)
    yield from _cpus(want, able)
    yield from _binds(want, facts)
    yield from _devices(want, facts)
    yield from _hooks(want, facts)
    yield from _raw(want, facts)
    yield from _host_network(want, facts)
    yield from _homes(want, able)
    yield from _too_small(want, have, facts)
    if makes_root(goal, want, have):
        yield from _template(want, able, facts)


def makes_root(goal: Goal, want: VMSpec, have: Observation) -> bool:
    """Whether a template is to be installed on the root, now or by a later plan."""
    root = have.volume(want.root.pool, ROOT)
    installed = root is not None and root.stage is Stage.INSTALLED
    return not installed or goal.target is Target.REINITIALISED


def unknown_names(names: Iterable[Named]) -> Iterable[Problem]:
    for path, kind, name, known in names:
        if known is not None and name not in known:
            yield unknown(path, kind, name, known)


def _names(want: VMSpec, facts: HostFacts) -> Iterable[Named]:
    yield "driver", "driver", want.driver, facts.drivers
    yield "template", "template", want.template, facts.templates
    for volume in want.volumes:
        yield f"volumes[{volume.name}].pool", "pool", volume.pool, facts.pools
    for other in want.shared_volumes:
        yield f"shared_volumes.{other.name}.pool", "pool", other.pool, facts.pools
    for nic in want.nics:
        if nic.bridge:
            yield f"nics[{nic.name}].bridge", "bridge", nic.bridge, facts.bridges


def _privileged(want: VMSpec, facts: HostFacts) -> Iterable[Problem]:
    for volume in want.volumes:
        if want.privileged and facts.pool(volume.pool).shifted_by:
            yield Problem(
                f"volumes[{volume.name}].pool",
                f"the pool {volume.pool!r} is for unprivileged VMs only, and the VM is privileged",
                Code.REFUSED,
            )


def _idmap(want: VMSpec, facts: HostFacts) -> Iterable[Problem]:
    """A pool that shows its files with ids of a range is for guests that have exactly these."""
    if want.own_ids and want.own_ids.first is None:
        yield Problem("idmap", "has no ids yet: let the host allocate them first", Code.REFUSED)
    for volume in want.all_volumes if want.ids else ():
        by = facts.pool(volume.pool).shifted_by
        if by and shift(want.ids) != by:
            yield Problem(
                "idmap",
                f"the pool {volume.pool!r} of the volume {volume.name} shows files with ids that"
                f" are higher by {by}: let those of the guest be so as well, or take another pool",
                Code.REFUSED,
            )


def _program(want: VMSpec) -> Iterable[Problem]:
    """Without an init, something else runs: as it is said, or as the image says."""
    if want.init is Init.NONE and not want.runs.command:
        message = (
            "is missing: init: none needs what runs in its place, and the template "
            f"{want.template!r} is no image of the OCI that says it"
        )
        yield Problem("command", message, Code.MISSING)


def _offers(want: VMSpec, able: DriverFacts, facts: HostFacts) -> Iterable[Problem]:
    """A driver takes some kinds of volumes only: no template makes it start from another."""
    root = want.root
    for path, pool, takes in (
        *((f"volumes[{v.name}]", v.pool, able.volumes) for v in want.volumes if v is not root),
        (f"volumes[{ROOT}]", root.pool, able.roots),
        *((f"shared_volumes.{v.name}", v.pool, able.volumes) for v in want.shared_volumes),
    ):
        offers = facts.pool(pool).offers
        if takes is not None and offers is not None and offers not in takes:
            kinds = " or a ".join(sorted(takes - {Offer.NOTHING})) or "volume of no kind"
            message = f"the driver {want.driver!r} needs a {kinds}, and pool {pool!r} offers "
            yield Problem(f"{path}.pool", f"{message}{_what(offers, takes)}", Code.REFUSED)


def _what(offers: Offer, takes: Collection[Offer]) -> str:
    """What a pool offers, and what to do where that can be made into what is needed."""
    if offers is Offer.NOTHING:
        return "nothing that can contain files"
    can_hold = Offer.DIRECTORY in takes and offers in (Offer.FILE, Offer.BLOCK_DEVICE)
    return f"a {offers}{': use a pool of the type filesystem on it' if can_hold else ''}"


def _keys(want: VMSpec, able: DriverFacts) -> Iterable[Problem]:
    """A driver has keys of its own, and may have no use for one that others have."""
    if able.keys is not None:
        yield from hardware.problems(want.driver, able.keys, want.hardware)
    if able.lacks:
        bare = to_plain(VMSpec(**{name: getattr(want, name) for name in NEEDED}))
        said = to_plain(want)
        for key in sorted(able.lacks & said.keys()):
            if said[key] != bare.get(key):
                message = f"the driver {want.driver!r} has no such key: leave it out"
                yield Problem(key, message, Code.REFUSED)


def _nics(want: VMSpec, able: DriverFacts) -> Iterable[Problem]:
    """A driver whose keys say nothing of NICs knows of what they are connected to from them."""
    for nic in want.nics:
        said = nics.to_plain(nic)
        for key in sorted(able.lacks_of_nics.keys() & said.keys()):
            its_own = able.lacks_of_nics[key]
            at = f"say it as {HARDWARE}.nics.{nic.name}.{its_own}" if its_own else "leave it out"
            message = f"the driver {want.driver!r} has no such key: {at}"
            yield Problem(f"nics[{nic.name}].{key}", message, Code.REFUSED)
        on_bridge = nic.type is NicType.BRIDGE and not nic.bridge
        if on_bridge and able.keys is not None and "nics" not in able.keys:
            yield Problem(f"nics[{nic.name}].bridge", "is missing", Code.MISSING)


def _mounts(want: VMSpec, able: DriverFacts) -> Iterable[Problem]:
    for volume in want.volumes:
        if not volume.mount and able.guests_mount is False:
            message = f"is missing: guests of the driver {want.driver!r} mount nothing themselves"
            yield Problem(f"volumes[{volume.name}].mount", message, Code.MISSING)


def _cpus(want: VMSpec, able: DriverFacts) -> Iterable[Problem]:
    cpus = want.limits.cpus
    if able.whole_cpus and cpus is not None and not cpus.is_integer():
        message = f"must be a whole number for the driver {want.driver!r}, got {cpus:g}"
        yield Problem("cpus", message, Code.REFUSED)


def _homes(want: VMSpec, able: DriverFacts) -> Iterable[Problem]:
    """Keys are written into the root of a container before anything else is mounted there."""
    by_itself = hardware.to_plain(want.hardware).get("guest") == "cloud-init"
    if able.root_kind is not RootKind.TREE or by_itself:
        return
    mounts = mount_points(want.volumes, want.binds, want.shared_volumes)
    mounts |= {f"tmpfs.{each.mount}": each.mount for each in want.tmpfs}
    keys = {f"users.{user.name}.ssh_keys": user.name for user in want.users if user.ssh_keys}
    keys |= {"ssh_keys": ROOT_USER} if want.ssh_keys else {}
    for path, user in keys.items():
        home = "/root" if user == ROOT_USER else f"/home/{user}"
        for key, mount in mounts.items():
            if f"{home}/.ssh/".startswith(f"{mount}/"):
                where = f"{home} is in what {key} mounts, where geats writes no keys"
                message = f"{where}: let hardware.guest: cloud-init do it, or put them there"
                yield Problem(path, message, Code.REFUSED)


def _template(want: VMSpec, able: DriverFacts, facts: HostFacts) -> Iterable[Problem]:
    """A tree fills a directory, a disk image a disk that is as large as it is, or larger."""
    if facts.templates is None or want.template not in facts.templates:
        return
    kind = RootKind.DISK if want.template in facts.disks else RootKind.TREE
    is_what = f"and the template {want.template!r} is {CALLED[kind]}"
    pool, size_bytes = facts.pool(want.root.pool), want.root.size_bytes
    offers = pool.offers
    if able.root_kind not in (None, kind):
        needs = f"the driver {want.driver!r} needs {CALLED[RootKind(able.root_kind)]}"
        yield Problem("template", f"{needs}, {is_what}", Code.REFUSED)
    elif offers is not None and not offers.takes(kind):
        message = f"the pool {want.root.pool!r} of the root offers a {offers}, {is_what}"
        yield Problem("template", message, Code.REFUSED)
    least_bytes = facts.disks.get(want.template)
    if least_bytes is not None and size_bytes is not None and size_bytes < least_bytes:
        least = f"{format_size(least_bytes)}, the size of the template {want.template!r}"
        message = f"must be at least {least}, got {format_size(size_bytes)}"
        yield Problem(f"volumes[{ROOT}].size", message, Code.REFUSED)
    elif not pool.enforces_size and pool.size_bytes and pool.size_bytes < (least_bytes or 0):
        has = f"the pool {want.root.pool!r} has {format_size(pool.size_bytes)}"
        message = f"{has}, and the template {want.template!r} needs {format_size(least_bytes or 0)}"
        yield Problem(f"volumes[{ROOT}].pool", message, Code.REFUSED)


def _binds(want: VMSpec, facts: HostFacts) -> Iterable[Problem]:
    if facts.bind_sources is None:
        return
    for bind in want.binds:
        if not is_within(bind.source, facts.bind_sources):
            why = f"{bind.source!r} {allowed_by('bind_sources', facts.bind_sources)}"
            yield Problem(f"binds.{bind.name}.source", why, Code.REFUSED)


def _devices(want: VMSpec, facts: HostFacts) -> Iterable[Problem]:
    allowed = facts.device_sources
    for device in want.devices if allowed is not None else ():
        if not is_within(device.source, allowed or ()):
            why = f"{device.source!r} {allowed_by('device_sources', allowed or ())}"
            yield Problem(f"devices.{device.name}.source", why, Code.REFUSED)


def _hooks(want: VMSpec, facts: HostFacts) -> Iterable[Problem]:
    allowed = facts.hook_directories
    for hook in want.hooks if allowed is not None else ():
        if hook.is_of_host and not is_within(hook.program, allowed or ()):
            why = f"{hook.program!r} {allowed_by('hook_directories', allowed or ())}"
            yield Problem(f"hooks.{hook.kind}", why, Code.REFUSED)


def _raw(want: VMSpec, facts: HostFacts) -> Iterable[Problem]:
    allowed = facts.raw_lines
    for at, line in enumerate(want.raw if allowed is not None else ()):
        if not is_taken(line, allowed or ()):
            there = ", ".join(sorted(allowed or ())) or "there is none"
            why = f"{line!r} is no line that policy.raw_lines takes ({there})"
            yield Problem(f"raw[{at}]", why, Code.REFUSED)


def _host_network(want: VMSpec, facts: HostFacts) -> Iterable[Problem]:
    if not want.isolation.host_network or facts.host_network is None:
        return
    if not facts.host_network:
        why = "is refused unless the configuration of the host says policy: {host_network: true}"
        yield Problem("host_network", why, Code.REFUSED)
    if not want.privileged:
        why = "the kernel lets no unprivileged guest mount sysfs in the network of the host"
        yield Problem("host_network", f"needs privileged: true, as {why}", Code.REFUSED)


def _too_small(want: VMSpec, have: Observation, facts: HostFacts) -> Iterable[Problem]:
    for volume in want.volumes:
        least_bytes = facts.pool(volume.pool).least_bytes
        is_new = have.volume(volume.pool, volume.name) is None
        if is_new and volume.size_bytes is not None and volume.size_bytes < least_bytes:
            yield Problem(
                f"volumes[{volume.name}].size",
                f"must be at least {format_size(least_bytes)} in the pool {volume.pool!r}, "
                f"got {format_size(volume.size_bytes)}",
                Code.REFUSED,
            )
