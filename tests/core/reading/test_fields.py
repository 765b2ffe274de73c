"""Single values: the last that is taken, the first that is refused, and in which words."""

from ipaddress import ip_address, ip_interface

import pytest
from returns.result import Failure, Success

from geats_core import Problem
from geats_core.reading import fields
from geats_core.reading.checked import shown
from geats_core.reading.fields import Parser
from tests.core.hosts import VM_RULE


@pytest.mark.parametrize(
    ("parse", "raws"),
    [
        (fields.name, ["a", "0", "a-b", "a--b", "x" * 63]),
        (fields.interface, ["e", "eth0", "Br_0.1-x", "x" * 15]),
        (fields.key_name, ["_", "a", "A_1", "x" * 64]),
        (fields.mount, ["/a", "/srv/data", "/_x/a.b@c+d-e", "/a..b"]),
        (fields.domain, ["a", "example.org", "A-1.b", "x" * 253]),
        (fields.hostname, ["a", "web.example.org", "x" * 64]),
        (fields.mac, ["02:00:00:00:00:0f", "fe:ff:ff:ff:ff:ff"]),
        (fields.sha256, ["0123456789abcdef" * 4]),
        (fields.text, ["", "two words", "\u00e9", "x" * 4096]),
        (
            fields.vm_name,
            ["web01.example.com", "db_1", "Web01", "a", "7", "x" * 63, "a__b", "a--b"],
        ),
        (fields.hostname, ["db_1", "web01.example.com"]),
        (fields.absolute_path, ["/", "/a", "/a b/..c"]),
        (fields.boolean, [True, False]),
        (fields.positive_int, [1, 2**31]),
        (fields.priority, [-1000, 0, 1000]),
        (fields.delay_s, [0, 3600]),
        (fields.cpus, [0.01, 1.5, 4096.0]),
    ],
)
def test_a_value_within_bounds_is_taken_as_it_is(parse: Parser[object], raws: list[object]) -> None:
    assert [parse("x", raw) for raw in raws] == [Success(raw) for raw in raws]


@pytest.mark.parametrize(
    ("parse", "wanted", "raws"),
    [
        (
            fields.name,
            "1 to 63 lower-case letters, digits and inner hyphens",
            ["", "-", "a-", "A", "x" * 64, 1],
        ),
        (
            fields.interface,
            "an interface name of 1 to 15 letters, digits, '.', '_' and '-'",
            ["", ".x", "-x", "a b", "a/b", "x" * 16, None],
        ),
        (
            fields.key_name,
            "a name of up to 64 letters, digits and underscores",
            ["", "1a", "a-b", "x" * 65, 1],
        ),
        (
            fields.mount,
            "an absolute path of plain letters, digits and ._@+- without '.' or '..'",
            ["", "a", "/a/", "//a", "/.", "/a/..", "/a b", "/a\n", 1],
        ),
        (fields.domain, "a domain name", ["", ".a", "a.", "-a", "a-", "a b", 1]),
        (fields.hostname, "a domain name", ["", "_b", 1]),
        (fields.vm_name, VM_RULE, ["", "-", "a.", "a..b", "a_", "x" * 64, "a\n", True, None]),
        (
            fields.mac,
            "a unicast MAC address such as 02:00:00:12:34:56",
            ["", "02:00:00:00:00", "02:00:00:00:00:00:00", "03:00:00:00:00:00", 1, None],
        ),
        (
            fields.sha256,
            "64 lower-case hexadecimal digits",
            ["", "0" * 63, "0" * 65, "A" * 64, "g" * 64],
        ),
        (fields.text, "one line of printable text", ["a\nb", "\x1b", None]),
        (
            fields.absolute_path,
            "an absolute path without '..'",
            ["", "a", "a/b", "/..", "/a/../b", "/a\n", 1],
        ),
        (fields.boolean, "true or false", [0, 1, "true", None]),
        (
            fields.positive_int,
            "a positive whole number",
            [0, -1, 2**31 + 1, True, 1.0, "0", " 1", "1e3"],
        ),
        (
            fields.priority,
            "a whole number from -1000 to 1000",
            [-1001, 1001, True, False, 1.0, "1001", "+1", None],
        ),
        (fields.delay_s, "a whole number from 0 to 3600", [-1, 3601, True]),
        (
            fields.cpus,
            "a number of CPUs from 0.01 to 4096",
            [0, 0.009, 4096.5, 4097, True, "0", "nan", float("inf"), float("nan")],
        ),
        (
            fields.ip_address_with_prefix,
            "an address with prefix such as 10.0.0.2/24",
            ["10.0.0.2", "10.0.0.2/33", "x/24", "fe80::1%eth0/64", 1],
        ),
        (
            fields.ip,
            "an address such as 10.0.0.1",
            ["10.0.0.1/24", "10.0.0.256", "x", "fe80::1%eth0", 1],
        ),
    ],
)
def test_a_value_out_of_bounds_is_refused_in_these_words(
    parse: Parser[object], wanted: str, raws: list[object]
) -> None:
    assert [parse("x", raw) for raw in raws] == [
        Failure((Problem("x", f"must be {wanted}, got {shown(raw)}"),)) for raw in raws
    ]


def test_text_is_bounded() -> None:
    message = f"must be one line of printable text, got {'x' * 80!r}…"

    assert fields.text("x", "x" * 4097) == Failure((Problem("x", message),))


def test_numbers_and_booleans_are_written_as_text_where_python_can() -> None:
    longest = 2**256 - 1

    assert fields.text("x", True) == Success("True")
    assert fields.text("x", 1.5) == Success("1.5")
    assert fields.text("x", longest) == Success(str(longest))
    assert fields.text("x", longest + 1) == Failure(
        (Problem("x", "must be one line of printable text, got a number of 257 bits"),)
    )


def test_a_mac_address_is_folded_to_lower_case_and_cpus_to_a_fraction() -> None:
    assert fields.mac("x", "02:AA:BB:CC:DD:EE") == Success("02:aa:bb:cc:dd:ee")
    assert fields.cpus("x", 2) == Success(2.0)


@pytest.mark.parametrize("address", ["10.0.0.1", "fd00::1"])
def test_addresses_are_of_either_version(address: str) -> None:
    assert fields.ip("x", address) == Success(ip_address(address))
    assert fields.ip_address_with_prefix("x", f"{address}/24") == Success(
        ip_interface(f"{address}/24")
    )


def test_a_list_is_read_entry_by_entry() -> None:
    numbers = fields.each(fields.positive_int)

    assert numbers("x", [1, 2]) == Success((1, 2))
    assert numbers("x", ()) == Success(())
    assert numbers("x", [1, 0, "a"]) == Failure(
        (
            Problem("x[1]", "must be a positive whole number, got 0"),
            Problem("x[2]", "must be a positive whole number, got 'a'"),
        )
    )
    assert numbers("x", "12") == Failure((Problem("x", "must be a list, got '12'"),))


def test_a_number_may_be_written_as_text() -> None:
    assert fields.positive_int("x", "2") == Success(2)
    assert fields.priority("x", "-10") == Success(-10)
    assert fields.cpus("x", "0.5") == fields.cpus("x", 0.5) == Success(0.5)
    assert fields.delay_s("x", "0") == Success(0)


def test_that_there_is_none_is_a_word() -> None:
    cpus = fields.or_none(fields.cpus)

    assert cpus("x", "none") == Success(None)
    assert cpus("x", 2) == Success(2.0)
    assert isinstance(cpus("x", None), Failure)
