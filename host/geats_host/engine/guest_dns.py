"""What a guest asks for names, told to it while it runs.

The file first, then the mark of the root volume, then what the driver knows: whatever is cut, the
next plan sees that it is to be told, and does it again without a restart.
"""

from dataclasses import replace

from geats_core.vm.guest_files import RESOLV_CONF, guest_digest, resolv_conf
from geats_core.vm.spec import Dns
from geats_host.drivers.abilities import DnsNoting
from geats_host.engine.ground import Ground
from geats_host.errors import HostError
from geats_host.guest_trees.guest_files import write_guest_files
from geats_host.storage import Offer, VolumeId


def set_dns(ground: Ground, dns: Dns) -> None:
    """Write it into the root that the VM runs from; its guest may be hostile, and at work there."""
    name, driver = ground.name, ground.driver
    seen = driver.observe(name).get(name)
    runs = None if seen is None else seen.in_effect
    if runs is None:
        raise HostError(f"{name}: it is not known what it runs with")
    if not isinstance(driver, DnsNoting):
        raise HostError(f"{name}: its driver cannot tell it while it is on")
    pool, volume = ground.pools[runs.root.pool], VolumeId(name, runs.root.name)
    place = ground.place(pool, volume)
    if dns != Dns() and place.offers is Offer.DIRECTORY:
        write_guest_files(place.path, {RESOLV_CONF: resolv_conf(dns)}, owner=place.shifted_by)
    root = ground.seen(pool, volume)
    if root.guest == guest_digest(runs):
        pool.mark(volume, replace(root, guest=guest_digest(replace(runs, dns=dns))))
    driver.note_dns(name, dns)
