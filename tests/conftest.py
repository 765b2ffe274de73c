"""The order of the suites, and how Hypothesis runs in all of them."""

import os

import pytest
from hypothesis import settings

from geats_host import machine

os.environ[machine.VARIABLE] = ""  # hosts of tests are many on this machine, with equal VMs

settings.register_profile("geats", deadline=None)  # how fast a machine is says nothing of a law
settings.load_profile("geats")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the host suite last: it leaves the machine's network for the rest of the process."""
    items.sort(key=lambda item: "tests/host/" in item.path.as_posix())
