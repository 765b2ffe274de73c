"""What is wrong with several VMs is said once, with all their names."""

import pytest

from geats_core.plans.said_once import keys, said_once
from geats_core.vm.parse import parse_vm, to_plain, vm_schema


def test_what_is_wrong_with_several_is_said_once_with_all_their_names() -> None:
    away = "volumes[root].pool: the pool 'fast' is not available: it: is not mounted"
    assert said_once(
        [
            f"a.{away}",
            "b: is not defined",
            f"c.{away}",
            "c.memory: is too small",
            f"a.{away}",
            f"b.{away}",
            "d: is not defined",
            "no path at all",
        ]
    ) == [
        f"a, c, b: {away}",
        "b, d: is not defined",
        "c.memory: is too small",
        "no path at all",
    ]
    assert said_once([]) == []


def test_what_is_wrong_with_several_is_said_once_whatever_dots_are_in_their_names() -> None:
    long, why = "nics[eth0].addresses", "must be a list"
    found = said_once([f"web01.example.com.{long}: {why}", f"web.{long}: {why}"])
    assert found == [f"web01.example.com, web: {long}: {why}"]


@pytest.mark.parametrize("key", ["labels", "ready", "hardware", "to run", "in_effect", "target"])
def test_whatever_key_a_path_has_the_name_ends_before_it(key: str) -> None:
    found = said_once([f"{name}.{key}: is wrong" for name in ("a.example.com", "b.example.com")])
    assert found == [f"a.example.com, b.example.com: {key}: is wrong"]


def test_every_key_of_a_vm_ends_its_name_in_a_path() -> None:
    spec = parse_vm("web", {"template": "t"}).unwrap()
    said = vm_schema()["properties"]
    assert isinstance(said, dict)
    assert to_plain(spec).keys() | said.keys() <= keys()
