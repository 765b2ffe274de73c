"""Which VMs a list shows."""

import pytest
from returns.result import Failure

from geats_core.requests.vm_filter import ListedPower, ListFilter, parse_filter
from geats_core.vm.observation import Power

ROW: dict[str, object] = {
    "power": "running",
    "declared": True,
    "defined": True,
    "locked": False,
    "driver": "lxc",
    "labels": {"owner": "ada", "role": "web"},
    "groups": ["shop"],
}
DRIVERS = ("lxc", "memory")


def picks(raw: dict[str, object], **row: object) -> bool:
    return parse_filter(raw, DRIVERS).unwrap().picks("web01", ROW | row)


def test_without_a_word_every_vm_is_shown() -> None:
    assert parse_filter({}, DRIVERS).unwrap() == ListFilter()
    assert picks({})
    assert picks({}, power=None, driver=None)


@pytest.mark.parametrize(
    ("key", "yes", "no"),
    [
        ("vms", ["db01", "web*"], ["db*"]),
        ("vms", "web0?", "WEB*"),
        ("power", "running", "stopped"),
        ("power", ["frozen", "running"], ["none", "stuck"]),
        ("driver", "lxc", "memory"),
        ("label", "owner=ada", "owner=bob"),
        ("label", ["owner", "role=web"], ["owner", "tenant"]),
        ("group", "shop", "office"),
        ("group", ["office", "shop"], ["office"]),
        ("declared", True, False),
        ("defined", True, False),
        ("locked", False, True),
    ],
)
def test_a_vm_is_shown_where_it_is_all_that_is_asked_for(key: str, yes: object, no: object) -> None:
    assert picks({key: yes})
    assert not picks({key: no})
    assert not picks({"vms": "*", "locked": False, key: no})


def test_what_is_not_defined_has_no_power() -> None:
    assert picks({"power": "none"}, power=None)
    assert not picks({"power": "stopped"}, power=None)
    assert {*ListedPower} == {*Power, ListedPower.NONE, ListedPower.UNKNOWN}


def test_an_unknown_word_is_refused_with_what_there_is() -> None:
    raw: dict[str, object] = {
        "power": "runing",
        "driver": ["lxd"],
        "label": ["owner", "=x", 5],
        "declared": "x",
        "vms": 5,
        "state": 1,
    }
    refused = parse_filter(raw, DRIVERS)
    assert isinstance(refused, Failure)
    assert [str(problem) for problem in refused.failure()] == [
        "vms: must be a list, got 5",
        "power[0]: unknown power 'runing', did you mean 'running'? (there is: frozen, held, none,"
        " running, stopped, stuck, unknown)",
        "driver[0]: unknown driver 'lxd', did you mean 'lxc'? (there is: lxc, memory)",
        "label[1]: must be a label such as owner=ada or owner, got '=x'",
        "label[2]: must be a label such as owner=ada or owner, got 5",
        "declared: must be true or false, got 'x'",
        "state: unknown key 'state' (there is: declared, defined, driver, group, label, locked,"
        " power, vms)",
    ]


def test_a_key_that_had_another_name_is_told_the_new_one() -> None:
    refused = parse_filter({"names": "web01"}, DRIVERS).failure()
    assert [str(problem) for problem in refused] == ["names: is called 'vms' now"]
