"""What the drivers of libvirt can be told."""

from pathlib import Path

import pytest

from geats_host.drivers.libvirt.options import read_options
from geats_host.errors import Refused


def test_the_bandwidth_of_moves_is_in_whole_mebibytes() -> None:
    assert read_options("kvm", {}, Path("/nowhere")).bandwidth_mib == 0
    assert read_options("kvm", {"bandwidth": "1.5GiB"}, Path("/nowhere")).bandwidth_mib == 1536


@pytest.mark.parametrize(
    ("bandwidth", "why"),
    [
        ("1.5MiB", "bandwidth: must be whole MiB a second, such as 100MiB, got '1.5MiB'"),
        ("fast", "bandwidth: must be a positive size such as 10GiB, got 'fast'"),
        (100, "bandwidth: must have a unit, got 100: did you mean 100MiB?"),
    ],
)
def test_another_bandwidth_is_refused(bandwidth: object, why: str) -> None:
    with pytest.raises(Refused) as refused:
        read_options("kvm", {"bandwidth": bandwidth}, Path("/nowhere"))
    assert str(refused.value) == why
