"""Every driver is one: the suite for all of them, over the one whose VMs exist in memory only."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from geats_core.vm.spec import VMSpec
from geats_host.drivers import Driver, Place
from geats_host.drivers.memory import open_driver
from geats_host.testing.driver_conformance import DriverConformance, Make, Reopen, vm


class TestMemory(DriverConformance):
    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Reopen:
        def opened() -> Driver:
            return open_driver({}, tmp_path)

        return opened

    @pytest.fixture
    def make(self) -> Make:
        def made(name: str, **keys: object) -> tuple[VMSpec, Mapping[str, Place]]:
            return vm(name, driver="memory", **keys), {}

        return made
