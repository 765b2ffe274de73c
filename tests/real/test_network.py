"""What the kernel says of the network, in a namespace of our own."""

import os
import resource
import sys
from collections.abc import Iterator

import pytest

from geats_host.errors import HostError
from geats_host.linux.network import bridges
from tests.real.conftest import sh

MANY = frozenset(f"gtmany{number}" for number in range(300))  # more than one answer holds


@pytest.fixture
def before(own_namespaces: None) -> frozenset[str]:
    """The bridges of other tests."""
    return bridges()


@pytest.fixture
def many_bridges(before: frozenset[str]) -> Iterator[None]:
    """Bridges, and a pair of links that are none."""
    for name in MANY:
        sh("ip", "link", "add", name, "type", "bridge")
    sh("ip", "link", "add", "gtleft", "type", "veth", "peer", "name", "gtright")
    yield
    for name in (*MANY, "gtleft"):
        sh("ip", "link", "delete", name)


def test_a_network_without_bridges_has_none() -> None:
    ask = "from geats_host.linux.network import bridges; print(sorted(bridges()))"
    assert sh("unshare", "--net", sys.executable, "-c", ask) == "[]\n"


@pytest.mark.usefixtures("many_bridges")
def test_all_bridges_of_the_network_are_seen_and_no_other_links(before: frozenset[str]) -> None:
    assert bridges() - before == MANY


def test_a_kernel_that_cannot_be_asked_is_told() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open("/", os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
    try:
        with pytest.raises(HostError, match=r"^cannot list the network: Too many open files$"):
            bridges()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
