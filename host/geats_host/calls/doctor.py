"""Examine a host: can it run what it is configured to run? Nothing that is there is changed.

What a look does not tell is tried: drivers run a small VM, which is gone afterwards. Each finding
says what was looked at, what was found, and, unless that is well, what to do about it.
"""

import os
import re
import shlex
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from geats_core.declared.config import HostConfig, parse_config
from geats_core.fleet.settling import HostClaims
from geats_core.reading.fields import VM_NAME
from geats_core.vm.idmap import sharing
from geats_core.vm.observation import definitions
from geats_core.vm.parse import DEFAULT_DRIVER
from geats_core.vm.spec import IdRange
from geats_host import templates
from geats_host.calls import lifecycle, units
from geats_host.calls.registry import registry_health
from geats_host.calls.shared_pools import shared_pools
from geats_host.drivers.abilities import TryingDriver
from geats_host.errors import HostError, Refused
from geats_host.examining import tried
from geats_host.examining.findings import Finding, Health, HostFiles
from geats_host.examining.looks import looks
from geats_host.host import Host
from geats_host.inputs.configuration import MEND
from geats_host.linux.mounts import fstype_of
from geats_host.linux.subordinate_ids import subordinate_ids
from geats_host.linux.unit_files import SERVICE
from geats_host.observing import held_claims
from geats_host.plugins.entry_points import DEFAULT_DRIVERS, pools_of

CLAIM = "salt-run geats.claim_running, on the Salt master"
OWN_IDS = "give each an idmap of its own, if one may not reach files and processes of another"
UNITS = "geats units"
OF_DIRECTORIES = ("btrfs", "directory", "overlay")
OF_DISK_FILES = ("qcow2", "sparsefile")
OTHER_FILESYSTEM = (
    "have its path on ext4, xfs or btrfs, or its volumes in disk files "
    "({type: filesystem, on: {type: sparsefile, path: ...}})"
)
NOT_INSTALLED = re.compile(r"is not installed \(package ([a-z0-9.+-]+)\)")
NO_BRIDGE = re.compile(r"\.bridge: unknown bridge '([^']+)'")


def examine(raw: object, tree: HostFiles | None = None) -> tuple[Finding, ...]:
    """All findings on this host, of which *raw* is the configuration; of another *tree*, none of
    what is tried.
    """
    tree = tree or HostFiles()
    return (
        *_registry(raw),
        *looks(tree, _mounting(raw), has_containers=_has_containers(raw)),
        _units(raw, tree),
        *_shared_ids(raw, tree),
        *_unclaimed(raw),
        *_mapped_ids(raw, tree),
        *_disk_folders(raw, tree),
        *(shared_pools(raw) if tree.is_this_host else ()),
        *(_trials(raw) if tree.is_this_host else ()),
        *_configuration(raw),
    )


def of_pillar(problems: Iterable[object]) -> tuple[Finding, ...]:
    """The findings if Salt could not render the pillar of a host: nothing else can be checked
    then."""
    return tuple(Finding("pillar", Health.PROBLEM, str(each), MEND) for each in problems)


def has_problem(findings: Iterable[Finding]) -> bool:
    """Whether something does not work, and not only may be better."""
    return any(each.health is Health.PROBLEM for each in findings)


def to_plain(findings: tuple[Finding, ...]) -> list[Mapping[str, str]]:
    """The findings as plain data."""
    return [{key: str(value) for key, value in asdict(each).items()} for each in findings]


def _registry(raw: object) -> Iterator[Finding]:
    """First of all: without it, geats does not know its own VMs."""
    found = registry_health.troubles(raw)
    if not found:
        yield Finding("registry", Health.WELL, "can be read")
    for each in found:
        health = Health.PROBLEM if each.stops else Health.WARNING
        yield Finding("registry", health, each.found, each.fix)


def _mounting(raw: object) -> tuple[Path, ...]:
    """Where geats mounts volumes, as far as the configuration can be read."""
    config = parse_config(raw).value_or(HostConfig())
    return Path(config.run_dir), Path(config.state_dir)


def _has_containers(raw: object) -> bool:
    """Whether the host can have some; also if the configuration cannot be read."""
    drivers = parse_config(raw).value_or(HostConfig()).drivers or DEFAULT_DRIVERS
    return any(plugin.type == DEFAULT_DRIVER for plugin in drivers.values())


def _units(raw: object, tree: HostFiles) -> Finding:
    """Whether guests are shut down before their host is."""
    if not (tree.root / units.RUNS).is_dir():
        found = "systemd is not the init here: what runs geats boot and halt is not known"
        return Finding("units", Health.WELL, found)
    policy = parse_config(raw).value_or(HostConfig()).policy
    if missing := units.not_enabled(policy, tree.root):
        found = f"not enabled: {', '.join(missing)}"
        if SERVICE in missing:
            found = f"{found}: a poweroff kills guests that are not off after 90 s"
        return Finding("units", Health.WARNING, found, UNITS)
    if tree.is_this_host and (faults := units.faults(policy)):
        return Finding("units", Health.WARNING, "; ".join(faults), UNITS)
    return Finding("units", Health.WELL, f"{SERVICE} is enabled")


def _trials(raw: object) -> Iterator[Finding]:
    """What the drivers tried; nothing of those that cannot be opened, which has other findings."""
    try:
        drivers = Host.from_config(raw).drivers
    except (Refused, HostError):
        return
    for name in drivers:
        with suppress(HostError):
            if isinstance(driver := drivers[name], TryingDriver):
                for trial in driver.trials():
                    health = Health.PROBLEM if trial.fix else Health.WELL
                    yield Finding(trial.what, health, trial.found, trial.fix)


def _shared_ids(raw: object, tree: HostFiles) -> Iterator[Finding]:
    """VMs whose users are the same on the host: nothing but their namespaces is between them."""
    try:
        seen = Host.from_config(raw).observe_all()
    except (Refused, HostError):  # which others tell
        return
    first, count = subordinate_ids(tree.root / "etc") or (0, 0)
    of_host = (IdRange(guest=0, host=first, count=count),)
    maps = {
        name: spec.ids or of_host
        for name, spec in definitions(seen).items()
        if spec.driver == DEFAULT_DRIVER and not spec.privileged
    }
    for names in sharing(maps):
        found = f"{', '.join(names)} have the same ids on the host"
        yield Finding("ids of guests", Health.WARNING, found, OWN_IDS)


def _unclaimed(raw: object) -> Iterator[Finding]:
    """VMs that were on before their claims were required: another VM may get what they have."""
    try:
        host = Host.from_config(raw)
        seen, held = host.observe_all(), held_claims.held(host.registry)
    except (Refused, HostError):  # which others tell
        return
    for vm, keys in HostClaims.seen(held, seen, host.config.policy).without().items():
        found = f"{vm} is on, and this host does not hold {', '.join(keys)} for it"
        yield Finding("claims", Health.WARNING, found, CLAIM)


def _paths(raw: object, types: Collection[str]) -> Iterator[tuple[str, Path]]:
    """The pools of these types, each with its path."""
    for name, pool in pools_of(parse_config(raw).value_or(HostConfig())).items():
        path = pool.options.get("path")
        if pool.type in types and isinstance(path, str):
            yield name, Path(path)


def _mapped_ids(raw: object, tree: HostFiles) -> Iterator[Finding]:
    """Pools of directories for unprivileged containers, on filesystems that cannot map ids."""
    ids = subordinate_ids(tree.root / "etc")
    if ids is None or not tree.is_this_host or os.geteuid():  # which other findings tell
        return
    for name, path in _paths(raw, OF_DIRECTORIES):
        folder = next(each for each in (path, *path.parents) if each.is_dir())
        if fault := tried.mapped_ids(folder, *ids):
            found = f"{fstype_of(folder)} at {folder}: {fault}: only privileged containers start"
            yield Finding(f"pool {name}", Health.PROBLEM, found, OTHER_FILESYSTEM)


def _disk_folders(raw: object, tree: HostFiles) -> Iterator[Finding]:
    """Directories of disk files that only root passes, as geats once made them: QEMU may not be
    root.
    """
    if not tree.is_this_host:
        return
    for name, path in _paths(raw, OF_DISK_FILES):
        with suppress(OSError):  # it is not there yet, or out of reach, which others tell
            closed = sorted(
                each.path
                for each in os.scandir(path)
                if each.is_dir(follow_symlinks=False)
                and VM_NAME.fullmatch(each.name.removeprefix("_"))  # and not lost+found
                and not each.stat().st_mode & stat.S_IXOTH
            )
            if closed:
                found = f"a QEMU that is not root reaches no disk in {', '.join(closed)}"
                fix = shlex.join(["chmod", "711", *closed])
                yield Finding(f"pool {name}", Health.WARNING, found, fix)


def _configuration(raw: object) -> Iterator[Finding]:
    """Pools with their tools, templates, bridges, and VMs: whatever a plan would be refused for."""
    if raw == {}:
        found = "declares nothing: everything has its default"
        yield Finding("configuration", Health.WARNING, found, "geats init")
    by_name = lifecycle.validate(raw)
    by_name.pop(lifecycle.REGISTRY, None)  # which has findings of its own
    problems = [str(each) for found in by_name.values() for each in found]
    problems += _template_problems(raw)
    if raw != {} and not problems:
        yield Finding("configuration", Health.WELL, "is valid, with everything that it declares")
    for each in dict.fromkeys(problems):
        yield Finding("configuration", Health.PROBLEM, each, _fix(each))


def _template_problems(raw: object) -> list[str]:
    """What is wrong with the files of templates; nothing if no host can be opened."""
    try:
        host = Host.from_config(raw)
    except (Refused, HostError):  # which ``validate`` told already, or the registry's finding
        return []
    declared = host.config.templates.values()
    return [str(found) for each in declared for found in templates.problems(each, host.store)]


def _fix(problem: str) -> str:
    if missing := NOT_INSTALLED.search(problem):
        return f"apt-get install {missing[1]}"
    if bridge := NO_BRIDGE.search(problem):
        name = bridge[1]
        return f"ip link add {name} type bridge && ip link set {name} up"
    return f"correct it in the configuration, at {problem.partition(':')[0]}"
