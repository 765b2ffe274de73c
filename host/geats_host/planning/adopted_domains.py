"""Domains of libvirt that something else made, adopted: looked at, and planned for."""

import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from geats_core.foreign.qcow2 import HEADER_BYTES, disk_bytes
from geats_core.plans.plan_files import SavedPlan
from geats_core.reading.checked import Code, Problem
from geats_core.reading.mappings import Raw
from geats_core.vm.observation import Observation, Power, definitions
from geats_host.drivers import Driver
from geats_host.drivers.abilities import DomainAdopting
from geats_host.errors import HostError, Refused, accepted
from geats_host.host import Host
from geats_host.lazy import later
from geats_host.linux.block_devices import is_block_device, size_of
from geats_host.planning import adoptions
from geats_host.planning.adoptions import Description
from geats_host.planning.facts import facts_of
from geats_host.storage import DiskAdoptingPool, Pool

if TYPE_CHECKING:
    from geats_core.adopting import domain_adoption, found_domains
    from geats_core.adopting.domain_adoption import DomainText
    from geats_core.adopting.found_domains import FoundDisk, FoundDomain
else:
    domain_adoption, found_domains = (
        later(f"geats_core.adopting.{each}") for each in ("domain_adoption", "found_domains")
    )


def domain_of(host: Host, name: str) -> "tuple[str, DomainText] | None":
    """What libvirt says of a domain, and the name of the driver that has it; None if none has."""
    found = host.drivers.asked(lambda driver: _text(driver, name))
    return next(((driver, text) for driver, text in found.items() if text is not None), None)


def _text(driver: Driver, name: str) -> "DomainText | None":
    return driver.domain_text(name) if isinstance(driver, DomainAdopting) else None


def adopt(
    host: Host,
    domain: str,
    called: str,
    of: "tuple[str, DomainText]",
    seen: Mapping[str, Observation],
    raw: Raw | None,
    template: object,
) -> tuple[SavedPlan, Description]:
    """The plan that adopts *domain* as the VM *called* so; see ``adopt.adopt``."""
    driver, text = of
    if called != domain and seen[domain].power is not Power.STOPPED:
        raise Refused(f"{domain}: runs, and cannot get another name: power it off first")
    old = domain if domain != called else ""
    sizes = dict(_sizes(called, text))
    found, live = accepted(domain_adoption.read_domain_text(called, text, sizes, old))
    have = seen.get(called, Observation())
    spec, description = adoptions.wanted(
        host, called, driver, raw, template, lambda: _described(host, found, have, template)
    )
    pools = {volume.name: volume.pool for volume in spec.volumes}
    unfit = dict(_unfit(host, found, have, pools))
    unfit |= dict(_shared(host, found, seen, {domain, called}))
    facts, others = facts_of(host, [spec.driver]), definitions(seen)
    made = accepted(
        domain_adoption.plan_adopt_domain(found, live, spec, unfit, have, facts, others)
    )
    return adoptions.saved(host, made, spec, seen, facts, (called, domain)), description


def _described(
    host: Host, found: "FoundDomain", have: Observation, template: object
) -> Mapping[str, object]:
    """The VM as it was found, each disk in a pool that can have it."""
    done = {each.name: each.pool for each in have.volumes}  # if it was interrupted
    pools = {name: done.get(name) or _pool_for(host, disk) for name, disk in found.disks.items()}
    return found_domains.described(found, pools, template)


def _pool_for(host: Host, disk: "FoundDisk") -> str:
    """A pool that can have the disk where it is; the default one if none can, which tells why."""
    names = sorted(host.config.pools, key=lambda name: (name != "default", name))
    fits = (name for name in names if host.pools.ask(name, partial(_why_not, disk)) == "")
    return next(fits, "default")


def _unfit(
    host: Host, found: "FoundDomain", have: Observation, pools: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Why the pools of volumes cannot have the disks where they are."""
    done = {(each.pool, each.name) for each in have.volumes}  # if it was interrupted
    for name, disk in found.disks.items():
        pool = pools.get(name)
        if pool is None or pool not in host.config.pools or (pool, name) in done:
            continue  # the plan tells what is wrong with the description
        if why := host.pools.ask(pool, partial(_why_not, disk)):
            yield name, why


def _why_not(disk: "FoundDisk", pool: Pool) -> str:
    if isinstance(pool, DiskAdoptingPool):
        return pool.cannot_adopt(Path(disk.path), disk.format)
    how = _block_pool(disk) if disk.is_block else _file_pool(disk)
    return f"cannot have the disk {disk.path} where it is: a pool with {how} can"


def _block_pool(disk: "FoundDisk") -> str:
    mapped = os.path.basename(os.path.realpath(disk.path)).startswith("dm-")
    group = "type: lvm, and its group, or " if mapped else ""
    return f"{group}type: blockdevice, device: {disk.path}"


def _file_pool(disk: "FoundDisk") -> str:
    kind = "qcow2" if disk.format == "qcow2" else "sparsefile"
    return f"type: {kind}, path: {os.path.dirname(disk.path)}/geats"


def _shared(
    host: Host, found: "FoundDomain", seen: Mapping[str, Observation], own: set[str]
) -> Iterator[tuple[str, str]]:
    """Disks that other domains have as well."""
    for other, there in seen.items():
        if other in own or not there.foreign:
            continue
        text = domain_of(host, other)
        for name, disk in found.disks.items():
            if text is not None and disk.path in text[1].disks:
                yield name, f"{disk.path} is a disk of {other} as well"


def _sizes(name: str, text: "DomainText") -> Iterator[tuple[str, int]]:
    """How large disks are; refused if one stands on another file, or cannot be read."""
    problems: list[Problem] = []
    for path, form in text.formats:
        try:
            yield path, _size(path, form)
        except Refused as error:
            problems += error.found
        except (OSError, HostError) as error:
            problems.append(Problem(f"{name}.volumes", f"{path}: {error}", Code.REFUSED))
    if problems:
        raise Refused(*problems)


def _size(path: str, form: str) -> int:
    if is_block_device(Path(path)):
        return size_of(Path(path))
    if form != "qcow2":
        return os.stat(path).st_size
    with open(path, "rb") as image:
        return accepted(disk_bytes(path, image.read(HEADER_BYTES)))
