"""A guest of ``script/guest``: Linux, and QEMU's agent, seconds after its start."""

import os
import subprocess
import time
from pathlib import Path

from geats_core.planning.offers import Offer
from geats_core.requests.guest_requests import Command
from geats_core.vm.spec import VMSpec
from geats_host.drivers import Place
from geats_host.drivers.libvirt.driver import LibvirtDriver
from geats_host.errors import HostError
from geats_host.testing.driver_conformance import vm

DEFAULT_GUEST = "/var/cache/geats-test/guest"
DISK_BYTES = 8 << 20
BOOTS_WITHIN_S = 120
CMDLINE = "panic=-1 mitigations=off random.trust_cpu=on quiet"


def hardware(**keys: object) -> dict[str, object]:
    """What the machine starts with; the driver needs the option ``raw_xml``."""
    guest = Path(os.environ.get("GEATS_TEST_GUEST", DEFAULT_GUEST))
    if not guest.exists():
        raise FileNotFoundError(f"{guest}: script/guest makes it, or set GEATS_TEST_GUEST")
    boot = f"<kernel>{guest}/kernel</kernel><initrd>{guest}/initrd</initrd>"
    return {"xml": [f"<os>{boot}<cmdline>{CMDLINE}</cmdline></os>"], "rng": False, **keys}


def machine(name: str, **keys: object) -> VMSpec:
    return vm(name, driver="qemu", **{"memory": "128MiB", "hardware": hardware(), **keys})


def disk(path: Path) -> Place:
    """A filesystem that the guest mounts at ``/mnt``."""
    subprocess.run(["truncate", "-s", f"{DISK_BYTES}", path], check=True)
    subprocess.run(["mkfs.ext4", "-q", "-F", path], check=True)
    return Place(path, Offer.FILE)


def booted(driver: LibvirtDriver, want: VMSpec, folder: Path) -> None:
    """Define and start it, and wait until its agent answers."""
    driver.define(want, {"root": disk(folder / f"{want.name}.raw")})
    driver.start(want.name)
    wait_for_agent(driver, want.name)


def wait_for_agent(driver: LibvirtDriver, name: str, within_s: int = BOOTS_WITHIN_S) -> None:
    deadline = time.monotonic() + within_s
    while True:
        try:
            assert driver.exec(name, Command(argv=("true",))).code == 0
            return
        except HostError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
