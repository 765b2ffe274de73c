"""All of a VM's life by libvirt's API, without a daemon: the suite that every driver passes.

For each type of domains, also for those that nobody has run.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import pytest

from geats_core.planning.offers import Offer
from geats_core.vm.spec import VMSpec
from geats_host.drivers import Driver, DriverSeen, Place
from geats_host.drivers.libvirt.driver import LibvirtDriver, open_qemu, open_vz, open_xen
from geats_host.errors import HostError
from geats_host.testing.driver_conformance import DriverConformance, Make, Reopen, vm
from geats_host.testing.tiny_guest import root_disk
from tests.host.drivers.libvirt_of_tests import URI, OneChild, libvirt_of_tests

OPENS = {"qemu": open_qemu, "xen": open_xen, "vz": open_vz}
OPTIONS: Mapping[object, object] = {"settle": 0, "uri": URI}
FOREIGN = """<domain type="qemu"><name>old</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
<os><type>hvm</type></os></domain>"""


class OfLibvirt(DriverConformance):
    """The suite, for one type of domains."""

    reaches_guests = False
    kind: ClassVar[str] = "qemu"

    @pytest.fixture(autouse=True)
    def libvirt(self, tmp_path: Path) -> Iterator[OneChild]:
        with libvirt_of_tests(self.kind, tmp_path) as one:
            yield one

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Reopen:
        def opened() -> Driver:
            return OPENS[self.kind](OPTIONS, tmp_path)

        return opened

    @pytest.fixture
    def make(self, tmp_path: Path) -> Make:
        def made(name: str, **keys: object) -> tuple[VMSpec, Mapping[str, Place]]:
            want = vm(name, driver=self.kind, **{"memory": "64MiB", **keys})
            disk = root_disk(tmp_path / f"{name}.raw")
            offers = Offer.BLOCK_DEVICE if self.kind == "vz" else Offer.FILE
            return want, {"root": Place(disk, offers)}

        return made


class TestQemu(OfLibvirt):
    def test_a_guest_that_hears_the_power_button_is_not_powered_off(
        self, reopen: Reopen, make: Make
    ) -> None:
        want, places = make("hears")
        reopen().define(want, places)
        reopen().start(want.name)
        assert reopen().shutdown(want.name, 30) == ""
        assert reopen().observe() == {want.name: DriverSeen(defined=want)}
        reopen().undefine(want.name)


class WithoutBoards(OfLibvirt):
    """Types whose machines have no board, by which QEMU knows what it can take over."""

    def test_what_moves_as_it_runs_is_known_for_what_it_is(
        self, reopen: Reopen, make: Make
    ) -> None:
        want, places = make("live")
        driver = reopen()
        assert isinstance(driver, LibvirtDriver)
        driver.define(want, places)
        driver.start(want.name)
        assert driver.machine(want.name) == ""


class TestXen(WithoutBoards):
    kind = "xen"


class TestVz(WithoutBoards):
    kind = "vz"


def test_a_domain_of_another_program_is_seen_and_left_alone(tmp_path: Path) -> None:
    driver = open_qemu(OPTIONS, tmp_path)
    with libvirt_of_tests("qemu", tmp_path):
        driver.daemon.ask("define", "old", xml=FOREIGN, new=False)
        assert driver.observe() == {"old": DriverSeen(foreign=True)}
        for refused in (driver.start, driver.stop, driver.undefine, driver.freeze):
            with pytest.raises(HostError, match=r"that geats did not make|is not defined"):
                refused("old")
        assert driver.observe() == {"old": DriverSeen(foreign=True)}
