"""Asserts of the conformance suite show their values here, as those of any test module do."""

import pytest

pytest.register_assert_rewrite(
    "geats_host.testing.pool_conformance",
    "geats_host.testing.pool_conformance_content",
    "geats_host.testing.pool_conformance_trees",
)
