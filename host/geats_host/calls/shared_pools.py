"""Pools that several hosts use: whether they are sound, for ``geats doctor``."""

from collections.abc import Iterator

from geats_host.errors import HostError, Refused
from geats_host.examining.findings import Finding, Health
from geats_host.host import Host
from geats_host.linux.mounts import fstype_of
from geats_host.storage.shared import SharedPool

OF_SEVERAL = (
    *("nfs", "nfs4", "cifs", "smb3", "ceph", "glusterfs", "fuse.glusterfs", "fuse.cephfs"),
    *("gfs2", "ocfs2", "lustre", "gpfs", "beegfs", "9p", "virtiofs", "moosefs", "fuse.mfs"),
)
TRUE_SHARE = "have its path on NFS or on a cluster filesystem, or take out `shared`"
LOCKS = "mount it with locks (NFS 4, or local_lock=none), for root to write"
NAMES = "give each host a name of its own: {shared: NAME} in its pool"


def shared_pools(raw: object) -> Iterator[Finding]:
    """Of each such pool: which hosts use it, and why it may not be the same for all of them."""
    try:
        pools = Host.from_config(raw).pools
    except (Refused, HostError):  # which others tell
        return
    for name in sorted(pools):
        try:
            pool = pools[name]
            if isinstance(pool, SharedPool):
                yield from _findings(f"pool {name}", pool)
        except HostError as error:
            advice = "mount it with locks (NFS 4, or local_lock=none), for root to write"
            yield Finding(
                f"pool {name}", Health.PROBLEM, f"no VM has an owner there: {error}", advice
            )


def _findings(what: str, pool: SharedPool) -> Iterator[Finding]:
    root = pool.owners.root
    if not root.is_dir():
        yield Finding(what, Health.WELL, "is shared, and no host uses it yet")
        return
    pool.owners.try_lock()
    hosts, us = pool.owners.hosts(), pool.us.known()
    names = sorted(each.host for each in hosts)
    if fstype_of(root) not in OF_SEVERAL:
        found = f"is shared, and on {fstype_of(root)}, which only one host at a time may mount"
        yield Finding(what, Health.WARNING, found, TRUE_SHARE)
    if double := sorted({each for each in names if names.count(each) > 1}):
        found = f"several hosts that use it are called {', '.join(double)}"
        yield Finding(what, Health.WARNING, found, NAMES)
    here = "this host is none of them yet" if us not in hosts else f"this is {pool.us.host}"
    seen = f"{', '.join(names) or 'no host'} ({here})"
    identity = pool.facts.identity or "that has no identity yet"
    yield Finding(what, Health.WELL, f"is shared as pool {identity} by {seen}")
