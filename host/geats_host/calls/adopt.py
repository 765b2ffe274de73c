"""VMs that something else made, adopted: looked at, planned for, and reported.

This is for containers; see ``adopted_domains`` for domains of libvirt.
"""

import os
import stat
from collections.abc import Container, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from geats_core.adopting.container_adoption import FoundVM, RootSeen, plan_adopt, read_found
from geats_core.first_geats.definitions import lock_mark
from geats_core.foreign.lxc_lines import root_of
from geats_core.hostwide.strays import NO_NAME
from geats_core.plans.plan_files import SavedPlan
from geats_core.reading import fields
from geats_core.reading.checked import unknown
from geats_core.reading.mappings import Raw
from geats_core.vm.observation import Observation, Power, definitions
from geats_core.vm.spec import VMSpec
from geats_host.drivers import ConfigText, Driver
from geats_host.drivers.abilities import AdoptingDriver
from geats_host.errors import Refused, accepted
from geats_host.host import Host
from geats_host.linux.mounts import mounts_below
from geats_host.planning import adopted_domains, adoptions
from geats_host.planning.adoptions import Description
from geats_host.planning.facts import facts_of
from geats_host.storage import AdoptingPool, VolumeId

NO_CONFIG = "its driver has no config of it that can be adopted"


def adopt(
    host: Host,
    name: object,
    raw: Raw | None = None,
    template: object = None,
    new_name: object = None,
) -> tuple[SavedPlan, Description]:
    """The plan that adopts a container or a domain which geats did not make, without a restart.

    It becomes the VM that *raw*, else the configuration describes. If neither says anything, it is
    taken as its own definition has it, and counts as installed from *template*. One that is off may
    get a *new_name*; one that no VM can be called must. With the plan comes what its description
    should be; None if it has one. Raises ``Refused`` if there is no such VM, or no such plan.
    """
    new = None if new_name is None else accepted(fields.vm_name("as", new_name))
    seen = host.observe_all()
    if new is None and name in seen and not fields.VM_NAME.fullmatch(str(name)):
        raise Refused(f"{name}: {NO_NAME}")
    container = accepted((fields.vm_name if new is None else fields.text)("name", name))
    called = container if new is None else new
    have = seen.get(called, Observation())
    _check_foreign(container, seen)
    if domain := adopted_domains.domain_of(host, container):
        return adopted_domains.adopt(host, container, called, domain, seen, raw, template)
    driver, old = _old_config(host, container)
    found = accepted(read_found(called, old.file, old.text, old.on_host))
    if container != called:
        found = replace(found, called=container)
        if seen[container].power is not Power.STOPPED:
            raise Refused(f"{container}: runs, and cannot get another name: power it off first")
    spec, described = adoptions.wanted(
        host, called, driver, raw, template, lambda: {**found.vm, "template": template}
    )
    if Path(mark := lock_mark(found.root)).is_file():
        found = replace(found, locked_by=mark)
    root = _root_seen(host, found, spec, seen)
    facts = facts_of(host, [spec.driver])
    made = accepted(plan_adopt(found, spec, root, have, facts, definitions(seen)))
    return adoptions.saved(host, made, spec, seen, facts, (called, container)), described


def _check_foreign(name: str, seen: Mapping[str, Observation]) -> None:
    """Whether there is a VM of that name that geats did not make."""
    have = seen.get(name)
    if have is None:
        foreign = {each for each, there in seen.items() if there.foreign}
        known = unknown("name", "container or domain", name, foreign)
        where = "the option path of a driver lxc says where containers are, and uri of one of"
        raise Refused(f"{known}: {where} libvirt which domains it sees")
    if not have.foreign:
        raise Refused(f"{name}: is managed by geats already")


def _old_config(host: Host, name: str) -> tuple[str, ConfigText]:
    """The config of a container that can be adopted, and the name of the driver that has it."""
    old = _read(host, name)
    if old is None:
        raise Refused(f"{name}: {NO_CONFIG}")
    return old


def _root_seen(
    host: Host, found: FoundVM, spec: VMSpec, seen: Mapping[str, Observation]
) -> RootSeen:
    tree = Path(found.root)
    owner = _owner(tree)
    mounts = () if owner is None else mounts_below(tree, itself=True)
    return RootSeen(
        owner=owner,
        mounted=mounts[0] if mounts else None,
        volume=_place(host, spec),
        others=dict(_roots(host, {found.name, found.called}, seen)),
    )


def _owner(tree: Path) -> int | None:
    """Who owns a directory; None if there is none, or a link leads to it."""
    try:
        seen = tree.lstat()
    except OSError:
        return None
    is_real = stat.S_ISDIR(seen.st_mode) and os.path.realpath(tree) == f"{tree}"
    return seen.st_uid if is_real else None


def _place(host: Host, spec: VMSpec) -> str | None:
    """Where the root volume is, or would be; None if its pool cannot adopt."""
    root = VolumeId(spec.name, spec.root.name)
    adopting = host.pools.ask(spec.root.pool, lambda pool: isinstance(pool, AdoptingPool))
    return f"{host.pools[spec.root.pool].path(root)}" if adopting else None


def _roots(
    host: Host, own: Container[str], seen: Mapping[str, Observation]
) -> Iterator[tuple[str, str]]:
    """The root filesystem of every other container."""
    for other, there in seen.items():
        if other in own:
            continue
        for root in there.roots:
            yield other, f"{host.pools[root.pool].path(VolumeId(other, root.name))}"
        if there.foreign and (old := _read(host, other)) is not None:
            yield other, root_of(old[1].text)


def _read(host: Host, name: str) -> tuple[str, ConfigText] | None:
    found = host.drivers.asked(lambda driver: _config_text(driver, name))
    return next(((driver, old) for driver, old in found.items() if old is not None), None)


def _config_text(driver: Driver, name: str) -> ConfigText | None:
    return driver.config_text(name) if isinstance(driver, AdoptingDriver) else None
