"""What guests say of themselves, lies too."""

import json

import pytest

from geats_host.drivers.libvirt.guest_info import LONGEST, MOST, addresses, os_name


def told(*found: object) -> str:
    return json.dumps({"return": [{"name": "eth0", "ip-addresses": [*found]}]})


def at(address: object) -> dict[str, object]:
    return {"ip-address": address, "ip-address-type": "ipv4", "prefix": 24}


def test_addresses_are_those_at_which_others_reach_it() -> None:
    found = ("127.0.0.1", "::1", "fe80::1", "10.0.0.2", "2001:db8::2", "10.0.0.2")
    assert addresses(told(*map(at, found))) == ("10.0.0.2", "2001:db8::2")


@pytest.mark.parametrize(
    "said",
    [
        *("", "x", "[" * 100_000, '{"return": 5}', '{"return": [5, {}]}'),
        told(
            5, {}, at(5), at("; reboot"), at("10.0.0.2/24"), at("1" * 1000), at("2001:db8::1%$(id)")
        ),
    ],
)
def test_what_is_no_address_is_none(said: str) -> None:
    assert addresses(said) == ()


def test_there_are_not_more_than_can_be_shown() -> None:
    many = [at(f"10.0.{n // 256}.{n % 256}") for n in range(1000)]
    assert len(addresses(told(*many))) == MOST


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ('{"return": {"pretty-name": "Debian 12"}}', "Debian 12"),
        ('{"return": {"id": "debian"}}', None),
        ('{"return": {"pretty-name": 5}}', None),
        ("", None),
    ],
)
def test_the_name_of_its_system(said: str, name: str | None) -> None:
    assert os_name(said) == name


def test_a_name_is_short_and_printable() -> None:
    name = os_name(json.dumps({"return": {"pretty-name": "\x1b[2J" * 1000}}))
    assert name is not None
    assert name.isprintable()
    assert len(name) < 10 * LONGEST
