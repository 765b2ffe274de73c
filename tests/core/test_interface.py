"""The names that ``geats_core`` itself has: for programs that use it as a library."""

import pytest

import geats_core


def test_every_public_name_is_there() -> None:
    assert [name for name in geats_core.__all__ if not hasattr(geats_core, name)] == []


def test_names_that_are_functions_and_modules_mean_the_functions() -> None:
    names = ("changes", "explain", "plan", "saved", "reverse", "duplicates", "migration")

    assert [name for name in names if not callable(getattr(geats_core, name))] == []


def test_a_name_that_is_not_public_is_none() -> None:
    with pytest.raises(AttributeError, match="module 'geats_core' has no attribute 'paln'"):
        getattr(geats_core, "paln")  # noqa: B009
