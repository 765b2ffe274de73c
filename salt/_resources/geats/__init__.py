"""
VMs of this host as Salt targets, which Salt calls resources.

Salt loads this only on hosts whose pillar has ``geats`` under ``resources``.

:depends: geats
"""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from salt.utils.resources import pillar_resources_tree

from geats_core.requests import salt_resources as rules
from geats_host.for_salt import resources
from geats_host.for_salt.errors import salts_errors
from geats_host.inputs import configuration

if TYPE_CHECKING:  # Salt's loader injects these
    __opts__: dict[str, Any]
    __resource__: dict[str, str]
    __salt__: dict[str, Callable[..., Any]]

NO_ANSWER = {"__no_return__": True}  # a minion sends nothing, see salt.minion

log = logging.getLogger(__name__)


def discover(opts):
    """
    List the ids of the VMs. Salt calls this at its start, before each job, and on a refresh.

    :param dict opts: the minion's options, with its pillar
    :rtype: list[str]
    """
    offer = pillar_resources_tree(opts).get("geats")
    with salts_errors():
        host = configuration.from_salt(opts, opts["pillar"])
        return resources.resource_ids(opts["id"], host, offer)


def grains():
    """
    Return the grains of the VM for targeting: the name of its host's minion, its own name, and its
    labels.

    :rtype: dict
    """
    found = {"host": __opts__["id"], "vm": _vm()}
    labels = resources.labels_of(_vm(), __opts__, __opts__["pillar"])
    return {"geats": {**found, **({"labels": labels} if labels else {})}}


def call(function, job, tell=None, **arguments):
    """
    Call a function of the host's module ``geats`` for the VM that gets the job.

    With a target such as ``b*``, Salt 3008 sends the job to the VMs of all hosts. If neither the VM
    nor its host matches the target, there is no answer, as from a minion: with ``--batch``, Salt
    treats everything that answers ``test.ping`` as a target.

    :param str function: its name, without ``geats.``
    :param dict job: what else was given, and what Salt says of the job
    :param tell: makes the answer of what the function returns
    """
    if not rules.is_meant(job):
        log.info("%s: a job is not for it, nor for its host", __resource__["id"])
        return NO_ANSWER
    found = __salt__[f"geats.{function}"](_vm(), **arguments, **rules.arguments(job))
    return found if tell is None else tell(found)


def _vm():
    return rules.vm_of(__opts__["id"], __resource__["id"])
