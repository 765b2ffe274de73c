"""Which host has which VM in a shared pool: a file for each VM, in the directory ``_owners`` of it.

A file is only replaced whole, and under a lock that all hosts see: so of two that want a VM, one
has it. Locks of files work on NFS from version 4 on, and on cluster filesystems.
"""

import fcntl
import hmac
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from geats_core.declared.shared_pools import Owner, owner_from_json, owner_to_json
from geats_core.reading.fields import VM_NAME
from geats_host.errors import HostError
from geats_host.guest_trees.folders import exists, host_errors, make_directory, open_directory
from geats_host.storage.marks import READING, replace_file

OWNERS = "_owners"  # in the root of a pool; no VM can have this name
HOSTS = "_hosts"  # in that: a file for each host that ever had a VM there
LOCK = "_lock"
ENDING = ".owner"  # of the files of VMs: a VM can be called ``x.new``
TOKEN = "_token-"
LENGTH = 6  # bytes of an identity: short enough for people to compare
PRIVATE = 0o700
MACHINE_ID = Path("/etc/machine-id")
MACHINE = "machine"  # in the file of a host: what tells that it was not copied to another machine
COPIED = (
    "was made on another machine, so two hosts may be one in shared pools. If this one is a copy:"
    " remove the file, and its VMs there stay with the other. If its machine-id was changed: take"
    f" {MACHINE!r} out of the file"
)


@dataclass(frozen=True, slots=True)
class Us:
    """This host, as it is called in shared pools; what tells it from others is in *file*."""

    host: str
    file: Path

    def known(self) -> Owner | None:
        """As an owner; None as long as it never was one. ``HostError`` if another machine is."""
        try:
            text = self.file.read_text("utf-8")
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise HostError(f"{self.file}: cannot be read: {error}") from None
        if _machine_in(text) not in ("", _machine()):
            raise HostError(f"{self.file}: {COPIED}")
        found = owner_from_json(text)
        if not found.identity:  # nobody: two such hosts would be one
            raise HostError(f"{self.file}: says not who this host is: restore the file")
        return found

    def made(self) -> Owner:
        """The same; it is one from now on. Of two processes that do so at once, one wins."""
        found = self.known()
        if found is not None:
            return found
        new = Owner(host=self.host, identity=secrets.token_hex(LENGTH))
        aside = self.file.with_name(f"{self.file.name}.{new.identity}")
        with host_errors(self.file):
            self.file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            try:
                with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                    said = {**json.loads(owner_to_json(new)), MACHINE: _machine()}
                    file.write(f"{json.dumps(said)}\n")
                    file.flush()
                    os.fsync(file.fileno())
                with suppress(FileExistsError):
                    os.link(aside, self.file)
                with open_directory(self.file.parent) as at:
                    os.fsync(at)  # else a power cut leaves its VMs to a host that nobody is
            finally:
                aside.unlink(missing_ok=True)
        return self.known() or new


@dataclass(frozen=True, slots=True)
class Owners:
    """The owners of VMs in the pool with that *root*."""

    root: Path

    def all(self) -> Mapping[str, Owner]:
        """By the name of the VM."""
        return dict(self._read())

    def hosts(self) -> frozenset[Owner]:
        """Every host that ever had a VM there."""
        folder = self.root / OWNERS / HOSTS
        with host_errors(folder), suppress(FileNotFoundError), open_directory(folder) as at:
            return frozenset(_owner_at(at, name) for name in os.listdir(at) if "." not in name)
        return frozenset()

    def of(self, vm: str) -> Owner | None:
        """That of one VM; None if it has none."""
        folder = self.root / OWNERS
        with host_errors(folder), suppress(FileNotFoundError), open_directory(folder) as at:
            return _owner_at(at, f"{vm}{ENDING}")
        return None

    def claim(self, vm: str, us: Owner) -> Owner:
        """Have *us* own it, unless it has an owner; the answer is who owns it then."""
        with self._locked() as at:
            found = self.of(vm)
            if found is None:
                _sign(at, us)
                replace_file(at, f"{vm}{ENDING}", owner_to_json(us))
            return found or us

    def pass_on(self, vm: str, from_: Owner, to: Owner) -> None:
        """Have *to* own what is *from_*'s; what is that of *to* already stays so.

        ``HostError`` if another host owns it.
        """
        with self._locked() as at:
            found = self.of(vm)
            if found is not None and found.identity == to.identity:
                return
            if found is None or found.identity != from_.identity:
                has = "no host" if found is None else found.host
                raise HostError(f"{self.root}: {has} has {vm} there, and not {from_.host}")
            _sign(at, to)
            replace_file(at, f"{vm}{ENDING}", owner_to_json(to))

    def release(self, vm: str, us: Owner) -> None:
        """Forget that it is that of *us*: nothing is left of it."""
        with self._locked() as at:
            found = self.of(vm)
            if found is not None and found.identity == us.identity:
                os.unlink(f"{vm}{ENDING}", dir_fd=at)
                os.fsync(at)

    @contextmanager
    def token(self) -> Iterator[str]:
        """A file of that name is there for a while: who sees it, sees the same files, and now."""
        name = f"{TOKEN}{secrets.token_hex(LENGTH)}"
        with self._locked() as at:
            replace_file(at, name, "")
        try:
            yield name
        finally:
            with self._locked() as at, suppress(FileNotFoundError):
                os.unlink(name, dir_fd=at)

    def has_token(self, name: str) -> bool:
        """Whether it is there."""
        if not re.fullmatch(f"{TOKEN}[0-9a-f]+", name):
            return False
        with self._locked() as at:
            return exists(name, at)

    def try_lock(self) -> None:
        """Lock and unlock, as ``claim`` does; ``HostError`` if that does not work there."""
        with self._locked():
            pass

    def _read(self) -> Iterator[tuple[str, Owner]]:
        folder = self.root / OWNERS
        with host_errors(folder), suppress(FileNotFoundError), open_directory(folder) as at:
            for name in os.listdir(at):
                vm = name.removesuffix(ENDING)
                if name != vm and VM_NAME.fullmatch(vm):
                    with suppress(FileNotFoundError):  # it was released meanwhile
                        yield vm, _owner_at(at, name)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """The directory, made if missing, while no other host changes anything in it."""
        with host_errors(self.root), open_directory(self.root) as pool:
            make_directory(OWNERS, pool, mode=PRIVATE)
            with open_directory(OWNERS, pool) as at:
                make_directory(HOSTS, at, mode=PRIVATE)
                flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
                lock = os.open(LOCK, flags, 0o600, dir_fd=at)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX)
                    yield at
                finally:
                    os.close(lock)


def _machine() -> str:
    """What tells this machine from others, and tells nobody its id: see machine-id(5)."""
    try:
        said = MACHINE_ID.read_bytes().strip()
    except OSError:
        return ""
    return hmac.digest(said, b"geats.owner", "sha256").hex() if said else ""


def _machine_in(text: str) -> str:
    """The machine on which that was written; empty if it does not say."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    return str(said.get(MACHINE, "")) if isinstance(said, dict) else ""


def _owner_at(at: int, name: str) -> Owner:
    descriptor = os.open(name, READING, dir_fd=at)
    with open(descriptor, encoding="utf-8", errors="replace") as file:
        return owner_from_json(file.read())


def _sign(at: int, owner: Owner) -> None:
    """Note that the host has VMs there; for people, and ``geats doctor``."""
    with open_directory(HOSTS, at) as hosts:
        replace_file(hosts, owner.identity, owner_to_json(owner))
