"""The order of the suites, and how Hypothesis runs in all of them."""

import os
import stat
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from geats_host.observing import known_places

os.environ[known_places.VARIABLE] = ""  # hosts of tests are many on this machine, with equal VMs

# How fast a machine is says nothing about a law, and a check that passes today passes tomorrow.
SLOW = [HealthCheck.too_slow]  # as the machine may be: a first text alone takes seconds
settings.register_profile(
    "geats", deadline=None, derandomize=True, print_blob=True, suppress_health_check=SLOW
)
settings.register_profile(  # of script/laws
    "random", deadline=None, print_blob=True, suppress_health_check=SLOW
)
settings.load_profile("geats")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the host suite last: it leaves the machine's network for the rest of the process."""
    items.sort(key=lambda item: "tests/real/" in item.path.as_posix())


@pytest.fixture(scope="session", autouse=True)
def _what_all_programs_share() -> Iterator[None]:
    """The folder for temporary files stays as it is: others of this machine need it as well."""
    before = stat.S_IMODE(os.stat(tempfile.gettempdir()).st_mode)
    yield
    after = stat.S_IMODE(os.stat(tempfile.gettempdir()).st_mode)
    assert f"{after:o}" == f"{before:o}", f"a test changed the mode of {tempfile.gettempdir()}"
