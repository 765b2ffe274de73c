"""What virtual machines need of a host, tried or looked at; nothing is changed."""

import os
from collections.abc import Iterator
from importlib.util import find_spec

from geats_host.drivers import binding
from geats_host.drivers.abilities import Trial
from geats_host.drivers.libvirt import seed_image
from geats_host.drivers.libvirt.daemon import LIBVIRT, Daemon
from geats_host.drivers.libvirt.guests import console_log
from geats_host.drivers.libvirt.needs import Needs
from geats_host.drivers.libvirt.options import Options
from geats_host.errors import HostError

BINDING, DAEMON, QEMU, SEED = "libvirt for Python", "libvirt", "machines", "cloud-init"
ORDER, LOGGER = "libvirt starts VMs", "virtlogd"
GUESTS_SERVICE = "/etc/systemd/system/multi-user.target.wants/libvirt-guests.service"
START = "start libvirtd (package libvirt-daemon-system), or mend the driver's option uri"
KVM = "load the modules kvm and kvm_intel or kvm_amd, and allow virtualisation in the firmware"
FIXES = {
    "kvm": KVM,
    "qemu": "apt-get install qemu-system-x86",
    "xen": "boot the host on Xen (package xen-system-amd64)",
    "vz": "use a host of Virtuozzo",
}


def trials(options: Options) -> Iterator[Trial]:
    """The binding, the daemon, what that can run; then what seeds need, and who starts VMs."""
    tried = list(binding.candidates(LIBVIRT, options.python, options.state_dir))
    sound = next((str(each) for each in tried if not each.fault), None)
    if sound is None:
        yield Trial(what=BINDING, found="; ".join(map(str, tried)), fix=LIBVIRT.mend)
        return
    yield Trial(what=BINDING, found=sound)
    yield from _daemon(options)
    if find_spec("pycdlib") is None:
        yield Trial(what=SEED, found="pycdlib is missing: no seed can be made", fix=seed_image.MEND)
    if os.path.lexists(GUESTS_SERVICE):
        found = "libvirt-guests.service ends VMs at a poweroff too, and not in their order"
        yield Trial(what=ORDER, found=found, fix="systemctl disable libvirt-guests.service")


def _for_some(options: Options) -> Iterator[Trial]:
    """What only some machines need: to lack it is no fault, and plans for these are refused."""
    for key, why in Needs().missing(options).items():
        yield Trial(what=QEMU, found=f"cannot have {key} here: it {why}")


def logger(options: Options, needs: Needs) -> Iterator[Trial]:
    """What keeps QEMU's own words, if libvirt is set so that nothing starts without it."""
    if options.uri == console_log.SYSTEM and console_log.is_virtlogd_missing(
        needs.settings, needs.virtlogd
    ):
        found = f"nothing listens at {needs.virtlogd}, and without it no machine starts"
        yield Trial(what=LOGGER, found=found, fix=console_log.START)


def _daemon(options: Options) -> Iterator[Trial]:
    try:
        answer = Daemon(options).ask("examine", None, kind=options.kind)
    except HostError as error:
        yield Trial(what=DAEMON, found=f"{options.uri} does not answer: {error}", fix=START)
        return
    yield Trial(what=DAEMON, found=f"{options.uri} answers")
    yield from logger(options, Needs())
    if answer["runs"]:
        yield Trial(what=QEMU, found=f"can run machines of the type {options.kind}")
        yield from _for_some(options)
    else:
        found = f"cannot run machines of the type {options.kind}"
        yield Trial(what=QEMU, found=found, fix=FIXES[options.kind])
    started = answer["autostart"]
    if isinstance(started, list) and started:
        found = f"at its own start, and in no order: {', '.join(map(str, started))}"
        yield Trial(what=ORDER, found=found, fix="virsh autostart --disable NAME, for each")
