"""Configs with values that no container has: what is wrong is said, and nothing raises."""

import pytest

from geats_core.foreign.lxc_import import import_lxc
from geats_core.foreign.lxc_nics import nics_of

LONG = "9" * 5000  # more digits than Python reads as a number
BLANK = '" "'  # what liblxc reads as one blank


@pytest.mark.parametrize(
    "text",
    [
        f"lxc.net.{LONG}.type = veth",
        f"lxc.net.{LONG} = x",
        f"lxc.network.type = veth\nlxc.network.mtu = {LONG}",
        f"lxc.network.{LONG}.type = veth",
        f"lxc.net.0.type = vlan\nlxc.net.0.vlan.id = {LONG}",
        f"lxc.net.0.type = veth\nlxc.net.0.ipv4.address = {BLANK}",
        f"lxc.idmap = {BLANK}",
        "lxc.cgroup2.memory.max = ²",
        "lxc.mount.entry = tmpfs /tmp tmpfs",
    ],
)
def test_nothing_that_a_config_says_is_a_crash(text: str) -> None:
    assert import_lxc({"config": ("web", f"{text}\n")}).problems  # it has no template
    assert nics_of(text) == ()
