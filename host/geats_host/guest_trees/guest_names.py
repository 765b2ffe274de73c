"""The files of a guest that geats writes: those of the spec, and those that name the guest."""

from pathlib import Path
from typing import TYPE_CHECKING

from geats_core.containers.guest_networks import LOOKED_FOR, Manager, found_in, network_files
from geats_core.vm import hardware
from geats_core.vm.guest_files import (
    FIRSTBOOT,
    HOSTNAME,
    HOSTS,
    NAMING,
    guest_files,
    guest_names,
)
from geats_core.vm.spec import VMSpec
from geats_host.errors import HostError
from geats_host.guest_trees import guest_accounts, guest_minion
from geats_host.guest_trees.guest_files import (
    is_guest_file,
    is_there,
    read_guest_file,
    remove_guest_files,
    write_guest_files,
)
from geats_host.lazy import later

if TYPE_CHECKING:
    from geats_core.domains import seed
else:  # most hosts have no guest with a seed
    seed = later("geats_core.domains.seed")

KNOWN = [each for each in Manager if each not in (Manager.NONE, Manager.AUTO)]
CLOUD_INIT, META_DATA = "cloud-init", "meta-data"
SEED = "var/lib/cloud/seed/nocloud"  # see the datasource NoCloud of cloud-init


def finish_guest(rootfs: Path, spec: VMSpec, *, owner: int) -> tuple[str, ...]:
    """What is done before each start; the answer says what is still left out, and why."""
    _seed_guest(rootfs, spec, owner=owner)
    return guest_accounts.finish_accounts(rootfs, spec, owner=owner)


def _seed_guest(rootfs: Path, spec: VMSpec, *, owner: int) -> None:
    """Write the documents for cloud-init, where it looks for them, if that configures the guest.

    As with virtual machines, it is done before each start: what is lost or changed is renewed. If
    nothing configures the guest any more, those that geats wrote are removed.
    """
    if hardware.to_plain(spec.hardware).get("guest") == CLOUD_INIT:
        files = {f"{SEED}/{name}": text for name, text in seed.container_seed(spec).items()}
        write_guest_files(rootfs, files, mode=0o600, owner=owner)
    elif (known := read_guest_file(rootfs, f"{SEED}/{META_DATA}")) is not None:
        documents = seed.container_seed(spec)
        if seed.instance_of(known) == seed.instance_of(documents[META_DATA]):
            remove_guest_files(rootfs, [f"{SEED}/{name}" for name in documents])


def configure_guest(rootfs: Path, spec: VMSpec, *, owner: int, new: bool) -> tuple[str, ...]:
    """Write them; *owner* is the id of the guest's root, and a *new* guest is no copy of a VM.

    The hostname is written once what is found by the old one is durable: an interrupted run can be
    repeated.
    The answer says what is left out, and why.
    """
    was = (read_guest_file(rootfs, HOSTNAME) or "").strip()
    found = {path: text for path in NAMING if (text := read_guest_file(rootfs, path)) is not None}
    names = dict(guest_names(found, was, spec, new=new))
    if HOSTS in names and is_there(rootfs, HOSTS) and not is_guest_file(rootfs, HOSTS):
        del names[HOSTS]
    write_guest_files(rootfs, names, owner=owner)
    if spec.guest_network is not Manager.NONE and spec.nics:
        _tell_manager(rootfs, spec, owner=owner)
    if spec.timezone:
        guest_accounts.set_timezone(rootfs, spec.timezone, owner=owner)
    left = guest_accounts.configure_accounts(rootfs, spec, owner=owner)
    guest_minion.configure_minion(rootfs, spec, owner=owner, new=new)
    files = guest_files(spec)
    write_guest_files(rootfs, files, owner=owner, private=(FIRSTBOOT,))  # it may contain secrets
    return left


def _tell_manager(rootfs: Path, spec: VMSpec, *, owner: int) -> None:
    """Write what configures the guest's network; only some managers take what others can read."""
    manager = spec.guest_network
    if manager is Manager.AUTO:
        manager = found_in([path for path in LOOKED_FOR if is_there(rootfs, path)])
    if manager is Manager.NONE:
        raise HostError(
            f"{spec.name}: nothing in its guest configures its network that geats knows: install"
            f" one of {', '.join(KNOWN)} in its template, or leave guest_network out"
        )
    private = manager in (Manager.NETWORK_MANAGER, Manager.NETPLAN)
    files = network_files(spec.nics, manager)
    write_guest_files(rootfs, files, mode=0o600 if private else 0o644, owner=owner)
