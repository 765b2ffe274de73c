"""The Salt minion of a guest, seeded in its tree: its configuration, and a pair of keys.

The private key is made here, into the guest, and is nowhere else. Its master accepts the public
one. Keys that came with a template, or that are of the VM that this one is a copy of, are replaced.
"""

from pathlib import Path

from geats_core.guests.minion import (
    CONF,
    HEADER,
    LACKING,
    MASTERS_KEY,
    PRIVATE_KEY,
    PROGRAMS,
    PUBLIC_KEY,
    conf_keeps_keys,
    conf_keeps_master,
    conf_mode,
    minion_conf,
)
from geats_core.vm.spec import VMSpec
from geats_host.errors import HostError
from geats_host.guest_trees.guest_files import (
    is_there,
    read_guest_file,
    remove_guest_files,
    write_guest_files,
)
from geats_host.linux.run import run

BITS = "3072"


def configure_minion(rootfs: Path, spec: VMSpec, *, owner: int, new: bool) -> None:
    """Write them, or remove what geats wrote if *spec* says nothing of it any more."""
    was = read_guest_file(rootfs, CONF) or ""
    if spec.minion is None:
        if was.startswith(HEADER):
            remove_guest_files(rootfs, [CONF])
        return
    if not spec.minion.install and not any(is_there(rootfs, each) for each in PROGRAMS):
        raise HostError(f"{spec.name}: {LACKING}")
    conf = minion_conf(spec.minion, spec.name)
    if new or not conf_keeps_keys(was, conf):
        remove_guest_files(rootfs, [PRIVATE_KEY, PUBLIC_KEY])
    if new or not conf_keeps_master(was, conf):
        remove_guest_files(rootfs, [MASTERS_KEY])
    if not (is_there(rootfs, PRIVATE_KEY) and is_there(rootfs, PUBLIC_KEY)):
        private, public = _pair()
        write_guest_files(rootfs, {PRIVATE_KEY: private}, mode=0o400, owner=owner)
        write_guest_files(rootfs, {PUBLIC_KEY: public}, owner=owner)
    write_guest_files(rootfs, {CONF: conf}, mode=conf_mode(spec.minion), owner=owner)


def _pair() -> tuple[str, str]:
    """A new private key and its public one, as Salt has them."""
    private = run(["openssl", "genrsa", BITS])
    return private, run(["openssl", "pkey", "-pubout"], stdin=private)
