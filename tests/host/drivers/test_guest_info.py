"""What guests say of themselves, lies too."""

import json
import os

import pytest

from geats_host.drivers import Info
from geats_host.drivers.libvirt.guests.info import LONGEST, MOST, addresses, info, os_name
from geats_host.linux.processes import age_s


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


def test_of_a_domain_that_is_off_nothing_is_known() -> None:
    assert info({}, None) == Info()


def test_addresses_are_those_of_the_host_unless_its_agent_tells_some() -> None:
    stats = {"balloon.rss": 5, "cpu.time": 2_000_000_000}
    by_host = {"stats": stats, "addresses": ["10.0.0.3"], "told": ""}
    assert info(by_host, os.getpid()) == Info(
        pid=os.getpid(),
        addresses=("10.0.0.3",),
        memory_used_bytes=5120,
        cpu_time_s=2.0,
        uptime_s=age_s(os.getpid()),
    )
    assert info({**by_host, "told": told(at("10.0.0.2"))}, None).addresses == ("10.0.0.2",)
    assert age_s(2**22 + 1) is None


def test_a_name_is_short_and_printable() -> None:
    name = os_name(json.dumps({"return": {"pretty-name": "\x1b[2J" * 1000}}))
    assert name is not None
    assert name.isprintable()
    assert len(name) < 10 * LONGEST
