"""The order of the suites."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the host suite last: it leaves the machine's network for the rest of the process."""
    items.sort(key=lambda item: "tests/host/" in item.path.as_posix())
