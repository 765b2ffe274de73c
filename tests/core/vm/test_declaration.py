"""What declares a VM as it is: the same when it is read again, and no more than it must be."""

from geats_core.reading.shown_lines import HIDDEN
from geats_core.vm.parse import parse_vm
from geats_core.vm.secrets import declaration
from tests.core.hosts import vm

RICH: dict[str, object] = {
    "memory": "1GiB",
    "after": ["db01"],
    "metadata": {"password": "very secret"},
    "volumes": [{"name": "root", "size": "2GiB"}, {"name": "data", "mount": "/srv"}],
    "nics": [{"name": "eth0", "bridge": "br0", "addresses": ["10.0.0.7/24"]}],
}


def test_it_is_the_same_vm_when_it_is_read_again() -> None:
    for spec in (vm("app"), vm("app", **RICH)):
        assert parse_vm("app", declaration(spec, shows_secrets=True)).unwrap() == spec
    assert {*declaration(vm("app", **RICH))} >= {*RICH}
    assert not {"binds", "privileged", "autostart", "after"} & {*declaration(vm("app"))}


def test_secrets_are_hidden() -> None:
    assert declaration(vm("app", **RICH))["metadata"] == {"password": HIDDEN}


def test_what_is_inside_a_key_is_left_out_as_well() -> None:
    """Such as the MAC address that follows from the name, and where the root is mounted."""
    told = declaration(vm("app", **RICH))
    assert told["nics"] == RICH["nics"]
    assert told["volumes"] == RICH["volumes"]
    assert declaration(vm("app", autostart={"priority": 5}))["autostart"] == {"priority": 5}
    assert declaration(vm("app", autostart={"enabled": True}))["autostart"] is True
