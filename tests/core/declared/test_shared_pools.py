"""Pools that several hosts use: whether one is, and whose a VM is there."""

import pytest
from returns.result import Failure, Success

from geats_core.declared.config import StackLayer, parse_config
from geats_core.declared.shared_pools import (
    UNKNOWN,
    Owner,
    Shared,
    Whose,
    owner_from_json,
    owner_to_json,
    whose,
)
from geats_core.reading.checked import Problem

US, THEM = Owner(host="a", identity="1a"), Owner(host="a", identity="2b")


def pool(**keys: object) -> object:
    return {"pools": {"disks": {"type": "sparsefile", "path": "/nfs", **keys}}}


@pytest.mark.parametrize(
    ("said", "shared"),
    [(True, Shared()), (False, None), ("host-a.example.com", Shared(host="host-a.example.com"))],
)
def test_a_pool_is_shared_if_that_is_said(said: object, shared: Shared | None) -> None:
    layer = StackLayer(type="sparsefile", options={"path": "/nfs"}, shared=shared)
    match parse_config(pool(shared=said)):
        case Success(config):
            assert config.pools == {"disks": layer}
        case Failure(problems):
            raise AssertionError(problems)


def test_what_a_host_is_called_there_is_a_name() -> None:
    wanted = "must be true, false, or what this host is called there, got '-'"
    assert parse_config(pool(shared="-")) == Failure((Problem("pools.disks.shared", wanted),))


def test_a_pool_is_shared_as_a_whole() -> None:
    """Below, the key is the plugin's, which knows none of that name."""
    match parse_config({"pools": {"p": {"type": "luks", "on": {"type": "x", "shared": True}}}}):
        case Success(config):
            below = config.pools["p"].on
            assert below == StackLayer(type="x", options={"shared": True})
        case Failure(problems):
            raise AssertionError(problems)


@pytest.mark.parametrize(
    ("owner", "us", "is_recorded", "found"),
    [
        (US, US, False, Whose.OURS),
        (Owner(host="renamed", identity="1a"), US, False, Whose.OURS),
        (THEM, US, True, Whose.OTHERS),
        (US, None, True, Whose.OTHERS),
        (UNKNOWN, US, True, Whose.OTHERS),
        (None, US, True, Whose.OURS),
        (None, US, False, Whose.NOBODYS),
        (None, None, False, Whose.NOBODYS),
    ],
)
def test_a_vm_is_that_of_the_host_whose_identity_is_written(
    owner: Owner | None, us: Owner | None, is_recorded: bool, found: Whose
) -> None:
    assert whose(owner, us, is_recorded=is_recorded) is found


def test_an_owner_is_read_as_it_was_written() -> None:
    assert owner_from_json(owner_to_json(US)) == US


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", '{"format": 99, "host": "a", "identity": "1a"}'),
        *(f'{{"host": "a", "identity": "{bad}"}}' for bad in ("", "../1a", "1a.new", "1" * 65)),
    ],
)
def test_what_is_no_owner_is_an_unknown_one(text: str) -> None:
    assert owner_from_json(text) == UNKNOWN
