"""What puts faults in adapters: it stands for them in all that they are asked."""

import inspect
from pathlib import Path

from geats_host.drivers.abilities import AdoptingDriver, ForeseeingDriver
from geats_host.drivers.lxc.driver import open_driver
from geats_host.drivers.memory import MemoryDriver
from tests.faults import Fault, faulty


def test_an_adapter_with_a_fault_offers_what_it_offers_without(tmp_path: Path) -> None:
    driver = open_driver({}, tmp_path)
    struck = faulty(driver, Fault())
    assert isinstance(struck, AdoptingDriver)
    assert isinstance(struck, ForeseeingDriver)
    assert not isinstance(faulty(MemoryDriver(), Fault()), AdoptingDriver)
    # As isinstance looks from Python 3.12 on: at the class, and not by __getattr__.
    assert inspect.getattr_static(struck, "config_text")
    assert struck.options == driver.options
