"""A first configuration: the text of ``geats.yaml`` for a host, from what was found on it."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never


class Storage(StrEnum):
    """What a filesystem lets a pool do."""

    BTRFS = "btrfs"
    REFLINKS = "files that share their content"
    OVERLAY = "overlay"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFound:
    """What a host has. ``fstype`` is the filesystem of ``state_dir``.

    ``ids`` are the first and the number of the ids that root may give to guests, None if there are
    none. ``containers`` are in ``lxc_path``, and ``domains`` in libvirt: others made them.
    ``libvirt`` is the driver for it, such as ``kvm``; empty if libvirt is not here.
    """

    state_dir: str
    fstype: str
    storage: Storage
    bridges: tuple[str, ...] = ()
    ids: tuple[int, int] | None = None
    has_lxc: bool = True
    lxc_path: str = ""
    containers: tuple[str, ...] = ()
    libvirt: str = ""
    domains: tuple[str, ...] = ()

    @property
    def only_libvirt(self) -> bool:
        """Whether there is libvirt, and nothing of LXC."""
        return bool(self.libvirt) and not self.has_lxc and not self.containers


WHY = {
    Storage.BTRFS: "a new VM is a snapshot of its template, at once",
    Storage.REFLINKS: "each VM has a disk file of its own, which shares what it can",
    Storage.OVERLAY: "a new container is a mount above its template, at once",
    Storage.PLAIN: "a new VM is a copy of its template",
}
CONTAINER = """\
templates:
  debian:
    simplestreams: {{url: "https://images.linuxcontainers.org", alias: debian/12}}
vms:
  web01:
    template: debian
    memory: 512MiB
    cpus: 1
    volumes:
      - {{name: root, size: 4GiB}}
    nics:
      - {{name: eth0, bridge: {bridge}, addresses: [10.0.0.11/24], gateways: [10.0.0.1]}}
"""
MACHINE = """\
templates:
  debian:
    simplestreams:
      {{url: "https://images.linuxcontainers.org", alias: debian/12/cloud, kind: disk}}
vms:
  web01:
    driver: {driver}
    template: debian
    memory: 1GiB
    cpus: 1
    volumes:
      - {{name: root, size: 8GiB}}
    nics:
      - {{name: eth0, bridge: {bridge}, addresses: [10.0.0.11/24], gateways: [10.0.0.1]}}
"""


def first_configuration(found: HostFound) -> str:
    """YAML with comments: pools and drivers for this host, and an example of a VM to uncomment."""
    return "".join(f"{line}\n" for line in _lines(found))


def _lines(found: HostFound) -> Iterator[str]:
    yield "# What geats manages on this host. 'geats init' wrote it from what it found."
    yield "# 'geats help configuration' tells more; 'geats validate' and 'geats doctor' check it."
    yield "geats:"
    if found.containers or found.libvirt:
        yield from ("  drivers:", *_drivers(found), "")
    why = "" if found.only_libvirt else f": {WHY[found.storage]}"
    yield f"  # {found.state_dir} is on {found.fstype}{why}."
    yield from ("  pools:", f"    default: {_pool(found)}")
    if found.libvirt and not found.only_libvirt:
        yield f"    disks: {{type: sparsefile, path: {found.state_dir}/pools/disks}}"
    yield ""
    yield from map("  # {}".format, _notes(found))
    yield "  # A VM, to uncomment and change:"
    bridge = found.bridges[0] if found.bridges else "br0"
    example = MACHINE if found.only_libvirt else CONTAINER
    lines = example.format(bridge=bridge, driver=found.libvirt).splitlines()
    yield from (f"  # {line}" for line in lines)


def _drivers(found: HostFound) -> Iterator[str]:
    if found.containers:
        yield f"    lxc: {{path: {found.lxc_path}}}"
    elif found.has_lxc or not found.libvirt:
        yield "    lxc: {}"
    if found.libvirt:
        yield f"    {found.libvirt}: {{}}"


def _pool(found: HostFound) -> str:
    path = f"{found.state_dir}/pools/default"
    if found.only_libvirt:
        return f"{{type: sparsefile, path: {path}}}"
    match found.storage:
        case Storage.BTRFS:
            return f"{{type: btrfs, path: {path}}}"
        case Storage.REFLINKS:
            return f"{{type: filesystem, on: {{type: sparsefile, path: {path}}}}}"
        case Storage.OVERLAY:
            return f"{{type: overlay, path: {path}}}"
        case Storage.PLAIN:
            return f"{{type: directory, path: {path}}}"
        case _:
            assert_never(found.storage)


def _notes(found: HostFound) -> Iterator[str]:
    if found.bridges:
        yield f"Bridges of this host: {', '.join(found.bridges)}."
    else:
        yield "This host has no bridge yet, which NICs of VMs need: 'geats help network'."
    if not found.only_libvirt:
        yield _ids(found.ids)
    if found.containers:
        yield f"Containers that are here already ('geats adopt NAME'): {_some(found.containers)}."
    if found.domains:
        yield f"Domains of libvirt ('geats adopt NAME'): {_some(found.domains)}."


def _ids(ids: tuple[int, int] | None) -> str:
    if ids is None:
        return "Root has no ids for unprivileged containers: 'geats doctor' says what to do."
    first, count = ids
    return f"Users of unprivileged containers are {first} to {first + count - 1} on this host."


def _some(names: tuple[str, ...], most: int = 6) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
