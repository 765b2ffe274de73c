"""The suite that every driver passes, over real machines that QEMU emulates."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from geats_core.planning.offers import Offer
from geats_core.vm.spec import VMSpec
from geats_host.drivers import Driver, Place
from geats_host.drivers.libvirt.driver import open_qemu
from geats_host.testing.driver_conformance import DriverConformance, Make, Reopen, vm
from geats_host.testing.tiny_guest import root_disk
from tests.real.machines.libvirt_daemon import a_daemon


@pytest.fixture(scope="module", autouse=True)
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with a_daemon(tmp_path_factory.mktemp("libvirt"), logs=True):
        yield


class TestQemu(DriverConformance):
    reaches_guests = False  # they have no agent: see test_guest_agent for some that have

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Reopen:
        def opened() -> Driver:
            return open_qemu({"settle": 0.1}, tmp_path)

        return opened

    @pytest.fixture
    def make(self, tmp_path: Path) -> Make:
        def made(name: str, **keys: object) -> tuple[VMSpec, Mapping[str, Place]]:
            usual = {"memory": "64MiB", "console_log": "64KiB"}
            want = vm(name, driver="qemu", **{**usual, **keys})
            return want, {"root": Place(root_disk(tmp_path / f"{name}.raw"), Offer.FILE)}

        return made
