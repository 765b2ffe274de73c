"""What ``test.ping`` answers for a VM that is a Salt target."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # Salt's loader injects these
    __resource_funcs__: dict[str, Callable[..., Any]]


def ping(**job):
    """
    Return whether the VM runs.

    job
        added by Salt

    CLI Example:

    .. code-block:: bash

        salt -C 'T@geats:minion1.web01' test.ping
    """
    return __resource_funcs__["geats.call"]("list", job, _is_running, verbose=True)


def _is_running(listed):
    return [vm["power"] for vm in listed.values()] == ["running"]
