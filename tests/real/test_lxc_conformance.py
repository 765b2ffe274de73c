"""The suite that every driver passes, over real containers of busybox."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from geats_core.vm.spec import VMSpec
from geats_host.drivers import Driver, Place
from geats_host.drivers.lxc.driver import LxcDriver, open_driver
from geats_host.testing.driver_conformance import DriverConformance, Make, Reopen, vm
from tests.real.conftest import busybox_root


class TestLxc(DriverConformance):
    @pytest.fixture
    def reopen(self, driver: LxcDriver, tmp_path: Path) -> Reopen:
        def opened() -> Driver:
            return open_driver({"timeout": 10, "settle": 0.2}, tmp_path)

        return opened

    @pytest.fixture
    def make(self, tmp_path: Path) -> Make:
        def made(name: str, **keys: object) -> tuple[VMSpec, Mapping[str, Place]]:
            return vm(name, init="busybox", **keys), {
                "root": Place(busybox_root(tmp_path / "roots" / name))
            }

        return made
