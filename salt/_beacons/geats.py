"""
Send an event when a VM changes its state, a stray appears, a VM drifts, or a pool is full or away.

.. code-block:: yaml

    beacons:
      geats:
        - interval: 30
        - vms: [web*, db*]      # only VMs of these names (default: all)
        - states: true
        - strays: true
        - drift: true
        - pool_space: 90        # percent from which on a pool counts as full; false: off
        - unavailable: true
        - restart: true         # start guests again that ended by themselves, if their VM says so

All of them are on by default. Each event is sent once, when something changes:

- ``salt/beacon/MINION/geats/state/VM``: ``vm``, ``from`` and ``to``, which are ``running``,
  ``stopped``, ``frozen``, ``held``, ``stuck``, ``unknown`` if its driver is not available, or
  nothing if the VM is not defined
- ``salt/beacon/MINION/geats/stray/VM``: ``vm``, and whether it is a ``stray`` now
- ``salt/beacon/MINION/geats/drift/VM``: ``vm``, and the ``fields`` that differ from the
  description; no fields when it is as described again
- ``salt/beacon/MINION/geats/pool/POOL``: ``pool``, ``used_percent``, and whether it is ``full``
- ``salt/beacon/MINION/geats/unavailable/WHAT``: ``what``, such as ``pools.fast`` or
  ``drivers.lxc``, and ``why`` it is not available; empty when it is available again
- ``salt/beacon/MINION/geats/restart/VM``: ``vm``, and ``why`` it was started again: how it ended by
  itself; or the ``error``, if it could not be
- ``salt/beacon/MINION/geats/trouble``: ``error`` says why the host could not be looked at; empty
  when it could again

After a restart, the minion reports everything that is not as it should be, but no changes of state.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import salt.utils.beacons
from salt.exceptions import CommandExecutionError

from geats_core.requests import beacon as watch
from geats_host import errors

if TYPE_CHECKING:  # Salt's loader injects these
    __context__: dict[str, Any]
    __salt__: dict[str, Callable[..., Any]]

SALTS_OWN = {
    "interval",
    "disable_during_state_run",
    "enabled",
    "run_once",
    "beacon_module",
    "_beacon_name",
}


def validate(config):
    """
    Check the configuration of this beacon; list everything that is wrong with it.

    .. code-block:: yaml

        beacons:
          geats:
            - pool_space: 80
    """
    if not isinstance(config, list) or not all(isinstance(each, dict) for each in config):
        return False, "the configuration of the beacon geats must be a list of options"
    try:
        _watch(config)
    except errors.Refused as refused:
        return False, str(refused)
    return True, "Valid beacon configuration"


def beacon(config):
    """
    Look at the host, and report what has changed since the last look.

    .. code-block:: yaml

        beacons:
          geats: []
    """
    watched = _watch(config)
    again = _start_again() if watched.restart else []
    key = f"geats.beacon.{salt.utils.beacons.list_to_dict(config).get('_beacon_name', 'geats')}"
    seen, trouble = __context__.get(key, (None, None))
    try:
        now, error = __salt__["geats.overview"](list(watched.vms)), None
    except CommandExecutionError as failed:
        now, error = seen, failed.error
    __context__[key] = (now, error)
    events = [] if error == trouble else [{"tag": "trouble", "error": error}]
    return [*again, *events, *([] if error else watch.told(seen, now, watched))]


def _start_again():
    try:
        restarted = __salt__["geats.keep_up"](test=False)
    except CommandExecutionError:
        return []  # the look that follows says why
    return [{"tag": f"restart/{each['vm']}", **each} for each in restarted]


def _watch(config):
    given = salt.utils.beacons.list_to_dict(config)
    return errors.accepted(
        watch.parse_watch({key: value for key, value in given.items() if key not in SALTS_OWN})
    )
