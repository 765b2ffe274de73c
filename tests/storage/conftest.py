"""Asserts of the conformance suite show their values here, as those of any test module do."""

import pytest

pytest.register_assert_rewrite(
    "geats_host.storage.conformance",
    "geats_host.storage.conformance_content",
    "geats_host.storage.conformance_trees",
)
